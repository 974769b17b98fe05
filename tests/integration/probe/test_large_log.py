# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A log of 50 MB: read within the probe's time, in little memory, and what was left out is said."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import times
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import DEFAULT_OPTIONS
from ansible_collections.sre.incident_response.plugins.plugin_utils import probe_program
from ansible_collections.sre.incident_response.plugins.plugin_utils.evidence import parse_answer
from ansible_collections.sre.incident_response.tests.integration.playbooks import environment
from ansible_collections.sre.incident_response.tests.integration.servers import inventory

pytestmark = pytest.mark.integration

SIZE = 50 * 1024 * 1024
MOST_MEMORY = 150 * 1024 * 1024
TOKEN = "large-log"

# What a service under load writes: requests of many paths, sometimes slow queries, now and then an error with its traceback.
WRITER = r"""
import json, random, sys, time
random.seed(7)
out, written, number = sys.stdout, 0, 0
while written < int(sys.argv[1]):
    number += 1
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    path = f"/api/orders/{random.randrange(400000)}" if number % 3 else f"/api/cart/{random.randrange(20000)}"
    lines = [json.dumps({"timestamp": at, "level": "INFO", "event": "request", "method": "GET", "path": path, "status": 200, "ms": random.random() * 90,
                         "request_id": f"{random.getrandbits(128):032x}", "client": f"10.0.{number % 250}.7", "user_agent": "Mozilla/5.0 (X11; Linux x86_64)"})]
    if number % 97 == 0:
        lines.append(f"WARNING:  slow query took {random.random() * 3:.3f} s: SELECT * FROM orders WHERE customer_id = {random.randrange(9999)}")
    if number % 211 == 0:
        lines += ["Traceback (most recent call last):"]
        lines += [f'  File "/srv/app/shop/orders.py", line {line}, in step_{line}\n    return view[{line}]' for line in range(10, 30)]
        lines += [f"KeyError: 'tier-{random.randrange(500)}'"]
    text = "\n".join(lines) + "\n"
    out.write(text)
    written += len(text)
out.flush()
"""


@pytest.fixture(scope="module")
def large_log(start: Callable[..., Any]) -> Any:
    """A container that has written it and ended."""
    container = start("backend", ["-c", WRITER, str(SIZE)], entrypoint="python3")
    assert container.wait(timeout=300)["StatusCode"] == 0
    return container


def measured_probe(container: Any, **options: float) -> tuple[dict[str, Any], int]:
    """The evidence of a probe that is started as triage starts it, and its largest resident memory in bytes."""
    services = {"shop": {"kind": "fastapi", "container": container.name}}
    request = {"services": services, "sources": ["logs"], "options": options, "resources": probe_program.resources(), "token": TOKEN}
    process = subprocess.Popen([sys.executable, "-I", "-S", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(probe_program.build(request))
    process.stdin.close()
    answer = process.stdout.read().decode()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return parse_answer(answer, TOKEN), usage.ru_maxrss * 1024


def test_little_memory_in_time_and_truncation_is_stated(large_log: Any) -> None:
    """What was read is exact; that it is not all of the window is said."""
    document, memory = measured_probe(large_log)
    source = document["services"]["shop"]["sources"]["logs"]
    assert source["ok"], source
    data = source["data"]
    print(f"{data['bytes']} bytes and {data['lines']} lines in {source['ms']:.0f} ms, {memory / 1024 / 1024:.0f} MiB")  # noqa: T201 - for whoever runs it with -s
    assert memory < MOST_MEMORY
    assert source["ms"] / 1000 < float(DEFAULT_OPTIONS["budget_s"])
    assert data["truncated"] is True
    assert 1_000_000 < data["bytes"] <= int(DEFAULT_OPTIONS["log_max_bytes"]) + 262144
    assert data["errors"]["window"] > 10
    assert "KeyError at shop/orders.py:step_29" in {signature["signature"] for signature in data["signatures"]}


def test_the_newest_lines_are_those_that_count(large_log: Any) -> None:
    """With even less allowed the end of the log is what is looked at, not its beginning."""
    last = times.epoch(large_log.logs(tail=1, timestamps=True).decode().split(" ", 1)[0])
    document, _memory = measured_probe(large_log, log_max_bytes=4 * 1024 * 1024)
    data = document["services"]["shop"]["sources"]["logs"]["data"]
    assert data["truncated"] is True
    assert last == pytest.approx(times.epoch(document["collected_at"]) - data["last_line_age_s"], abs=1)
    assert data["bytes"] < 5 * 1024 * 1024


def test_the_report_says_that_the_log_is_longer(large_log: Any, triage: Callable[..., Any], tmp_path: Path) -> None:
    """As a finding of its own, with how many lines the numbers are about."""
    run = triage(inventory=inventory(tmp_path, {"shop": {"kind": "fastapi", "container": large_log.name}}))
    assert run.rc == 0, run.output
    (finding,) = run.findings("logs.truncated")
    assert finding["service"] == "shop"
    assert re.search(r"counts are of its newest \d{4,} lines", finding["summary"])
