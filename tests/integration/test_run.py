# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A broken lab: the same cause with and without an inventory, exit codes for machines, and a run that is ended in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration


def test_lock_is_found_without_an_inventory(triage: Callable[..., Any], fault: Callable[[str], None]) -> None:
    """Discovery finds the same cause, with the same session to end, as the declared services do."""
    fault("P03")
    declared, discovered = triage(), triage("-c", "local", inventory="localhost,")
    for run in (declared, discovered):
        assert run.rc == 0, run.output
        assert run.report["diagnosis"][0]["pattern"] == "db_lock_contention"
        assert "db_lock_contention" in run.output
    assert declared.report["proposals"][0]["target"]["pid"] == discovered.report["proposals"][0]["target"]["pid"]


def test_fail_on(triage: Callable[..., Any], fault: Callable[[str], None]) -> None:
    """With incident_fail_on the play fails for a finding of that level, after the report was written; without it, it does not."""
    assert triage("-e", "incident_fail_on=warning").rc == 0
    fault("P09")
    assert triage().rc == 0
    run = triage("-e", "incident_fail_on=critical")
    assert run.rc == 2, run.output
    assert "Traceback" not in run.output
    assert run.report["diagnosis"][0]["pattern"] == "external_dependency"


def test_interrupted_run_leaves_a_report(
    start_triage: Callable[..., subprocess.Popen[str]], playbook: Callable[..., Any], inventory_with: Callable[..., Path], state_dir: Path
) -> None:
    """SIGTERM in the middle leaves a journal from which the report playbook makes a report that says so."""
    # An address of the documentation range never answers, so this run is in its middle for seconds.
    silent = {"ansible_host": "192.0.2.1", "ansible_connection": "ssh", "ansible_ssh_common_args": "-o ConnectTimeout=20"}
    process = start_triage(inventory=inventory_with(hosts={"silent": silent}))
    wait_for_evidence(state_dir)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=30)[0]
    assert process.returncode != 0, output
    assert "Traceback" not in output

    folder = (state_dir / "latest").resolve()
    for derived in ("report.json", "report.html", "report.md"):
        (folder / derived).unlink(missing_ok=True)
    rebuilt = playbook("report", "-e", f"incident_run={folder.name}")
    assert rebuilt.rc == 0, rebuilt.output
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["run"]["status"] == "interrupted"
    assert "interrupted" in (folder / "report.html").read_text(encoding="utf-8").lower()


def wait_for_evidence(state_dir: Path, limit_s: float = 30) -> None:
    """Return when the lab's own evidence is stored and the run therefore only waits for the silent machine."""
    deadline = time.monotonic() + limit_s
    while not list(state_dir.glob("latest/evidence/hosts/*.json")):
        assert time.monotonic() < deadline, "triage stored no evidence"
        time.sleep(0.1)
