"""Two workers, and every line on standard output is one JSON object, whoever writes it."""

from __future__ import annotations

import os
import shutil
from typing import Any

from shop.logs import LOGGING, configure

configure()

# Where the workers keep their counters: in memory, and empty at every start, because counters begin at 0 with the process.
METRICS_FOLDER = "/dev/shm/metrics"
try:
    shutil.rmtree(METRICS_FOLDER, ignore_errors=True)
    os.mkdir(METRICS_FOLDER)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = METRICS_FOLDER
except OSError:
    # Then each worker counts for itself: less to see is better than a shop that does not start.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

bind = "0.0.0.0:8000"
workers = 2
worker_class = "shop.worker.Worker"
# A worker that does not report back for this long is killed with WORKER TIMEOUT.
timeout = 30
graceful_timeout = 5
# The heartbeat file must not wait for a slow disk.
worker_tmp_dir = "/dev/shm"
logconfig_dict = LOGGING


def child_exit(_server: Any, worker: Any) -> None:
    """What a worker held is free again when it is gone."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)
