# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Triage with a real Prometheus, which this test starts on loopback and which scrapes an application of this test. Needs no lab."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sre.incident_response.tests.lacking import lacking


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Every test here starts one."""
    if shutil.which("prometheus") is None:
        lacking("no Prometheus is installed", "on Debian or Ubuntu: apt-get install prometheus", provided=True)


SCRAPE_S = 0.5
RATE_S = 5
READY_LIMIT_S = 30
BUCKETS = (0.1, 1.0, 2.5, 5.0, 10.0)


@dataclass
class Traffic:
    """What the application pretends to serve: requests per second, the share of them that fails, and seconds that they take."""

    rate: float = 20.0
    failing: float = 0.0
    takes: float = 0.05


class Application:
    """Counts requests as time passes, and shows them the way prometheus-fastapi-instrumentator does."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.good = self.bad = 0.0
        self.buckets = dict.fromkeys(BUCKETS, 0.0)
        self.last = time.monotonic()
        self.lock = threading.Lock()

    def text(self) -> str:
        """The page that Prometheus scrapes."""
        with self.lock:
            now = time.monotonic()
            served, self.last = self.traffic.rate * (now - self.last), now
            self.bad += served * self.traffic.failing
            self.good += served * (1 - self.traffic.failing)
            for edge in BUCKETS:
                self.buckets[edge] += served * (self.traffic.takes <= edge)
        lines = [f'http_requests_total{{status="2xx"}} {self.good}', "process_open_fds 870", "process_max_fds 1000"]
        # As with the real thing there is no counter of errors before the first one.
        lines += [f'http_requests_total{{status="5xx"}} {self.bad}'] if self.bad else []
        lines += [f'http_request_duration_seconds_bucket{{le="{edge}"}} {count}' for edge, count in self.buckets.items()]
        return "\n".join([*lines, f'http_request_duration_seconds_bucket{{le="+Inf"}} {self.good + self.bad}', ""])


@pytest.fixture
def application() -> Iterator[tuple[Application, str]]:
    """A running application and its address."""
    shown = Application()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = shown.text().encode() if self.path == "/metrics" else b'{"status": "ok"}'
            self.send_response(200)
            self.send_header("Content-Type", "text/plain" if self.path == "/metrics" else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield shown, f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def prometheus(application: tuple[Application, str], tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a Prometheus that scrapes the application, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    scrape = {"job_name": "shop", "scrape_interval": "500ms", "scrape_timeout": "500ms", "static_configs": [{"targets": [application[1]]}]}
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump({"scrape_configs": [scrape]}), encoding="utf-8")
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}", f"--web.listen-address={address}", "--log.level=error"]
    process = subprocess.Popen(["prometheus", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: value(address, f"sum(rate(http_requests_total[{RATE_S}s]))") is not None, "Prometheus measured nothing")
        yield f"http://{address}", process
    finally:
        process.kill()
        process.wait()


def value(address: str, query: str) -> float | None:
    """What a query comes to now, None when Prometheus does not know or is not there yet."""
    try:
        with urllib.request.urlopen(f"http://{address}/api/v1/query?query={urllib.request.quote(query)}", timeout=2) as answer:
            result = json.load(answer)["data"]["result"]
    except OSError:
        return None
    return float(result[0]["value"][1]) if result else None


def wait_until(true: Callable[[], bool], complaint: str) -> None:
    """Return when it is true, fail when it takes too long."""
    deadline = time.monotonic() + READY_LIMIT_S
    while not true():
        assert time.monotonic() < deadline, complaint
        time.sleep(SCRAPE_S)


@pytest.fixture
def measured(triage: Callable[..., Any], tmp_path: Path, application: tuple[Application, str], prometheus: tuple[str, Any]) -> Callable[..., Any]:
    """Function that triages the application with that Prometheus and more variables."""
    inventory = tmp_path / "shop.yml"
    services = {"backend": {"kind": "fastapi", "url": f"http://{application[1]}"}}
    host = {"ansible_connection": "local", "incident_services": services}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"web1": host}}}), encoding="utf-8")
    own = {
        "incident_prometheus_url": prometheus[0],
        "metrics_check_labels": {"backend": {"job": "shop"}},
        "metrics_check_rate_s": RATE_S,
        "metrics_check_window_s": 300,
    }

    def run(**variables: Any) -> Any:
        return triage("-e", json.dumps({**own, **variables}), inventory=inventory)

    return run


def metrics_of(run: Any) -> dict[str, tuple[str, str | None]]:
    """State and severity of the metrics checks."""
    assert run.rc == 0, run.output
    assert "Traceback" not in run.output
    return {finding["id"]: (finding["state"], finding["severity"]) for finding in run.report["findings"] if finding["id"].startswith("metrics.")}


def test_triage_reads_what_prometheus_measured(application: tuple[Application, str], prometheus: tuple[str, Any], measured: Callable[..., Any]) -> None:
    """Fine, then failing and slow, then without its Prometheus: each time triage says just that."""
    address = prometheus[0].removeprefix("http://")
    assert metrics_of(measured()) == {
        "metrics.error_ratio": ("ok", None),
        "metrics.latency": ("ok", None),
        "metrics.saturation": ("finding", "warning"),
    }
    application[0].traffic = Traffic(rate=40.0, failing=0.4, takes=4.0)
    slow = f"histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[{RATE_S}s])))"
    wait_until(lambda: (value(address, slow) or 0) > 4, "Prometheus does not notice the slow requests")
    time.sleep(RATE_S)
    run = measured()
    assert metrics_of(run) == {
        "metrics.error_ratio": ("finding", "critical"),
        "metrics.latency": ("finding", "critical"),
        "metrics.saturation": ("finding", "warning"),
    }
    ratio = next(finding["value"] for finding in run.findings("metrics.error_ratio"))
    assert 35 <= ratio <= 45
    kept = json.loads((run.state_dir / "latest/supplements/metrics.json").read_text(encoding="utf-8"))
    assert {series["name"] for series in kept["series"]} == {"ratio", "p50", "p95", "p99", "rate", "open files"}
    # How many there are hangs on when the first requests were measured; two make a line.
    assert all(len(series["points"]) >= 2 for series in kept["series"])

    charted = {series["name"]: series["points"] for series in run.report["metrics"][0]["series"]}
    assert set(charted) == {"ratio", "p50", "p95", "p99", "rate", "open files"}
    assert 35 <= charted["ratio"][-1][1] <= 45
    assert (run.state_dir / "latest/report.html").read_text(encoding="utf-8").count("<svg") == 6
    assert "## Metrics" in (run.state_dir / "latest/report.md").read_text(encoding="utf-8")

    prometheus[1].kill()
    prometheus[1].wait()
    run = measured(incident_prometheus_url=prometheus[0].replace("http://", "http://joe:hunter2@"))
    assert set(metrics_of(run).values()) == {("unknown", None)}
    assert "Connection refused" in run.output
    assert "hunter2" not in run.output
    assert "no incident found" not in run.output.lower()


def test_labels_that_choose_nothing_and_broken_queries_are_told(measured: Callable[..., Any], tmp_path: Path) -> None:
    """Both are mistakes in the inventory; triage goes on without the metrics and says which mistake it is."""
    run = measured(metrics_check_labels={"backend": {"job": "no such job"}})
    assert set(metrics_of(run).values()) == {("unknown", None)}
    assert 'job="no such job"' in json.dumps(run.report["run"]["not_assessed"]).replace('\\"', '"')

    path = tmp_path / "queries.yml"
    entry = {"id": "rate.own", "measure": "rate", "name": "rate", "kinds": ["fastapi"], "query": "sum(rate(http_requests_total{$labels}[$window"}
    path.write_text(yaml.safe_dump([entry]), encoding="utf-8")
    run = measured(metrics_check_queries=str(path))
    assert metrics_of(run)["metrics.rate"] == ("unknown", None)
    assert "answered 400" in json.dumps(run.report["run"]["not_assessed"])
