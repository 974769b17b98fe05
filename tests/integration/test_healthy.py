# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is wrong: triage must say so, from anywhere and in any mode, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("healthy_lab")]


def assert_nothing_found(run: Any) -> None:
    """The run looked at everything, found nothing, changed nothing and said so."""
    assert run.rc == 0, run.output
    assert "no incident found" in run.output.lower()
    assert run.report["diagnosis"] == []
    assert run.alarms() == []
    assert run.gaps() == []
    assert run.recap, run.output
    assert {host: counts["changed"] for host, counts in run.recap.items()} == dict.fromkeys(run.recap, 0)


def test_declared_services(triage: Callable[..., Any]) -> None:
    """With the lab's inventory: no finding that somebody would act on, no diagnosis, changed=0 on every host."""
    run = triage()
    assert_nothing_found(run)
    assert {finding["state"] for finding in run.report["findings"]} >= {"ok"}


def test_discovered_services(triage: Callable[..., Any], lab_variables: dict[str, Any]) -> None:
    """Without any declaration the lab's services are discovered, by their containers, and triaged just as well."""
    run = triage("-c", "local", inventory="localhost,")
    assert_nothing_found(run)
    declared = {spec["kind"] for spec in lab_variables["incident_services"].values()}
    assert {service["kind"] for service in run.report["services"]} == declared


def test_check_mode(triage: Callable[..., Any]) -> None:
    """Check mode reads and reports like any other run, because reading is all that triage does."""
    assert_nothing_found(triage("--check"))


def test_limited_to_one_host(triage: Callable[..., Any], inventory_with: Callable[..., Path]) -> None:
    """With --limit only that host is triaged, and the controller's part still runs."""
    elsewhere = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}
    run = triage("--limit", "lab", inventory=inventory_with(hosts={"elsewhere": elsewhere}))
    assert_nothing_found(run)
    assert "elsewhere" not in run.report["run"]["hosts"]


def test_from_another_directory(triage: Callable[..., Any], tmp_path: Path) -> None:
    """The playbook is found by its full name wherever it is started."""
    assert_nothing_found(triage(cwd=tmp_path))
