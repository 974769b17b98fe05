# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time of a run: one deadline for all machines, and what happens to those whose turn comes late."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment, budget, collector, services, workspace
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.test_collector import FakeAction, collector_of

HOST_CHECKS = Path(__file__).parents[4] / "roles/host_check/files/checks.yml"


@pytest.fixture(autouse=True)
def no_announcement(monkeypatch: pytest.MonkeyPatch) -> None:
    """No callback of another test has announced its workspace."""
    monkeypatch.delenv(workspace.ENV_PATH, raising=False)


def test_whoever_comes_first_begins_it(tmp_path: Path) -> None:
    folder = Workspace(tmp_path, "run")
    first = budget.begin(folder, "task", 60.0)
    assert budget.begin(folder, "task", 999.0) == first
    time.sleep(0.01)
    later = budget.begin(folder, "another task", 30.0)
    assert later.started > first.started
    assert budget.newest(folder) == later
    assert [path.name for path in (tmp_path / "budgets").iterdir() if path.name.startswith(".")] == []


def test_without_a_look_there_is_none(tmp_path: Path) -> None:
    assert budget.newest(Workspace(tmp_path, "run")) is None
    assert budget.assess_until(Workspace(tmp_path, "run"), 1000.0) == 1000.0 + budget.LEAST_ASSESS_S


def test_a_part_is_kept_for_the_controller() -> None:
    whole = budget.Budget(1000.0, 60.0)
    assert whole.for_machines_s(1000.0) == pytest.approx(54.0)
    assert whole.for_machines_s(1053.9) == 0.0
    assert budget.Budget(1000.0, 600.0).for_machines_s(1000.0) == pytest.approx(590.0)
    assert whole.for_controller_s(1050.0) == pytest.approx(10.0)
    assert whole.for_controller_s(2000.0) == 1.0


@pytest.mark.parametrize(
    ("machines", "at_once", "later_s", "expected"),
    [
        (1, 5, 0.0, 54.0),  # nobody else waits
        (5, 5, 0.0, 54.0),
        (6, 5, 0.0, 27.0),  # two rounds
        (100, 5, 0.0, 10.0),  # never less than a machine under load needs
        (6, 5, 30.0, 24.0),  # never more than is left
        (6, 5, 53.5, 0.0),
        (0, 0, 0.0, 54.0),
    ],
)
def test_one_machine_does_not_take_the_time_of_those_that_wait(machines: int, at_once: int, later_s: float, expected: float) -> None:
    assert budget.Budget(1000.0, 60.0).turn_s(1000.0 + later_s, machines, at_once) == pytest.approx(expected)


@pytest.mark.parametrize(("given", "expected"), [(None, 60.0), ("", 60.0), ("90", 90.0), (0.5, 0.5)])
def test_seconds(given: Any, expected: float) -> None:
    assert budget.seconds(given) == expected


@pytest.mark.parametrize("given", [0, -1, "soon", "nan", "inf", [60]])
def test_what_is_no_time_is_refused(given: Any, tmp_path: Path) -> None:
    with pytest.raises(budget.BudgetError, match="incident_budget_s is"):
        budget.seconds(given)
    with pytest.raises(AnsibleActionFail, match="above 0"):
        collector_of(FakeAction(), tmp_path, incident_budget_s=given).budget()


def asked(action: FakeAction, tmp_path: Path, budget_s: float) -> dict[str, Any]:
    return collector_of(action, tmp_path, incident_budget_s=budget_s).ask(services.check({}), ["host"], {"sample_s": 0})


def test_a_machine_that_hangs_is_given_up_in_time_and_leaves_nothing_behind(tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def hang() -> dict[str, Any]:
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        time.sleep(30)
        return {}

    began = time.monotonic()
    document = asked(FakeAction("ssh", answer=hang), tmp_path, 3.0)
    assert time.monotonic() - began < 4
    assert (document["reachable"], document["unfinished"]) == (False, True)
    assert "no answer within 2.7 s" in document["reason"]
    assert "the run's time of 3 s (incident_budget_s) ended" in document["reason"]
    assert started[0].wait(5) == -15


def test_the_probe_itself_ends_in_time(tmp_path: Path) -> None:
    """Its own budget is cut to what is left, so that it still says what it has."""
    action = FakeAction(answer={"rc": 0, "stdout": "", "stderr": ""}, has_pipelining=False, packed={"evidence": {}, "msg": "x"})
    asked(action, tmp_path, 10.0)
    assert '"budget_s": 7.' in action.packed_arguments[0]["request"]


def test_a_machine_whose_turn_comes_too_late_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector.budgets, "begin", lambda *_arguments: budget.Budget(time.time() - 60, 60.0))
    action = FakeAction()
    document = asked(action, tmp_path, 60.0)
    assert action.commands == []
    assert (document["reachable"], document["unfinished"]) == (False, True)
    assert "it was not asked any more, because the run's time of 60 s (incident_budget_s) was over" in document["reason"]


@pytest.mark.parametrize(("unfinished", "state"), [(True, "unknown"), (False, "finding")])
def test_a_machine_that_we_did_not_wait_for_is_unknown_and_not_down(unfinished: bool, state: str, tmp_path: Path) -> None:
    document = {"host": "web1", "reachable": False, "unfinished": unfinished, "reason": "late", "services": {}, "machine": {}}
    checks = assessment.chosen_checks(str(HOST_CHECKS), "host_check", {}, ["host.reachable"], None)
    findings = assessment.assess(checks, [document], "host_check", None, tmp_path)
    assert [(finding.id, finding.state) for finding in findings] == [("host.reachable", state)]
    assert Estate([document]).machines["web1"].unfinished is unfinished


def test_checks_after_the_end_are_told_as_not_made(tmp_path: Path) -> None:
    documents = [{"host": name, "reachable": True, "services": {}, "machine": {}, "asked": None} for name in ("web1", "web2")]
    checks = assessment.chosen_checks(str(HOST_CHECKS), "host_check", {}, None, None)
    findings = assessment.assess(checks, documents, "host_check", None, tmp_path, until=time.time() - 1)
    assert {(finding.id, finding.state, finding.host) for finding in findings} == {
        ("service.assessed", "unknown", "web1"),
        ("service.assessed", "unknown", "web2"),
    }
    assert "incident_budget_s" in str(findings[0].reason)
