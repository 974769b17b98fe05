"""Two workers, and every line on standard output is one JSON object, whoever writes it."""

from __future__ import annotations

from shop.logs import LOGGING, configure

configure()

bind = "0.0.0.0:8000"
workers = 2
worker_class = "shop.worker.Worker"
# A worker that does not report back for this long is killed with WORKER TIMEOUT.
timeout = 30
graceful_timeout = 5
# The heartbeat file must not wait for a slow disk.
worker_tmp_dir = "/dev/shm"
logconfig_dict = LOGGING
