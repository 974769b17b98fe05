# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time of a run: whatever hangs, triage ends in time, lists it, and has a report. Needs no lab."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

BUDGET_S = 12
# Two rounds of machines: the first one may not take more than half of it.
BUDGET_OF_TWO_S = 30
# The checks, one after the other, on a busy machine; how long ansible-playbook needs to start does not count.
MARGIN_S = 10


@contextlib.contextmanager
def silent(listener: socket.socket) -> Iterator[socket.socket]:
    """Accept every connection and never say a word."""
    held: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                held.append(listener.accept()[0])

    listener.listen(64)
    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener
    finally:
        listener.close()
        for connection in held:
            connection.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A TCP port that takes connections and never answers."""
    with silent(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def silent_engine() -> Iterator[str]:
    """The socket of a Docker engine that never answers."""
    with tempfile.TemporaryDirectory(prefix="hung-", dir="/tmp") as folder:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{folder}/docker.sock")
        with silent(listener):
            yield f"unix://{folder}/docker.sock"


def inventory_of(folder: Path, hosts: dict[str, dict[str, Any]]) -> Path:
    path = folder / "inventory.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    return path


def local(services: dict[str, Any]) -> dict[str, Any]:
    """This machine with some services."""
    return {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "incident_services": services}


def reasons(run: Any) -> str:
    return json.dumps(run.report["run"]["not_assessed"])


def test_servers_and_an_engine_that_never_answer(triage: Callable[..., Any], tmp_path: Path, silent_port: int, silent_engine: str) -> None:
    """Everything on this machine hangs at once; what could not be looked at is told, service by service."""
    services = {
        "api": {"kind": "fastapi", "url": f"http://127.0.0.1:{silent_port}", "container": "api"},
        "db": {"kind": "postgresql", "host": "127.0.0.1", "port": silent_port, "login_user": "x", "login_password": "y"},
        "redis": {"kind": "redis", "host": "127.0.0.1", "port": silent_port},
    }
    run = triage("-e", f"incident_budget_s={BUDGET_S}", inventory=inventory_of(tmp_path, {"web1": local(services)}), env={"DOCKER_HOST": silent_engine})
    assert run.rc == 0, run.output
    assert run.report["run"]["duration_s"] < BUDGET_S + MARGIN_S
    assert "Traceback" not in run.output
    assert "no incident found" not in run.output.lower()
    states = {finding["id"]: finding["state"] for finding in run.report["findings"] if finding["service"] in services}
    assert states["pg.up"] == "finding"
    assert states["redis.up"] == "finding"
    assert "did not answer" in reasons(run)


def test_a_machine_that_never_answers_does_not_keep_the_others_waiting(triage: Callable[..., Any], tmp_path: Path, silent_port: int) -> None:
    """ssh connects and gets no word: the run ends in time with the evidence of the machine that answered, and no ssh is left behind."""
    patient = {"ansible_ssh_args": "-o ConnectTimeout=301", "ansible_timeout": 301}
    hung = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": silent_port, **patient}
    inventory = inventory_of(tmp_path, {"hung1": hung, "hung2": hung, "web1": local({"redis": {"kind": "redis", "host": "127.0.0.1", "port": 1}})})
    run = triage("-e", f"incident_budget_s={BUDGET_OF_TWO_S}", "--forks", "2", inventory=inventory)
    assert run.rc == 0, run.output
    assert run.report["run"]["duration_s"] < BUDGET_OF_TWO_S + MARGIN_S
    report = run.report
    unknown = {finding["host"] for finding in report["findings"] if finding["id"] == "host.reachable" and finding["state"] == "unknown"}
    assert unknown == {"hung1", "hung2"}
    assert "incident_budget_s" in reasons(run)
    assert report["run"]["status"] == "finished"
    assert [finding["id"] for finding in run.findings("redis.up")] == ["redis.up"]
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"ConnectTimeout=301" in read(path)]
    assert left == []


def read(path: Path) -> bytes:
    """Content of a file that may be gone already."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_time_that_is_none_is_refused(triage: Callable[..., Any], tmp_path: Path) -> None:
    run = triage("-e", "incident_budget_s=soon", inventory=inventory_of(tmp_path, {"web1": local({})}))
    assert run.rc != 0
    assert "incident_budget_s is 'soon': it must be a number of seconds above 0" in run.output
