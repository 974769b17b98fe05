# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every drill that has no molecule scenario: injected into the running lab, triaged, compared with its data, taken back. One variant each.

How often triage is right over all variants is what the accuracy bench measures; this finds out in one go what broke.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.sre.incident_response.tests.bench.accuracy.drills import PROJECT, Drill, load
from ansible_collections.sre.incident_response.tests.bench.accuracy.lab import Lab, stop_like_ctrl_c
from ansible_collections.sre.incident_response.tests.drills import expectations

SCENARIOS = {path.parent.name for path in (PROJECT / "molecule").glob("*/molecule.yml")}
DRILLS = [drill for drill in load() if drill.id.lower() not in SCENARIOS]
FOLDER = PROJECT / ".cache/drills" / (os.environ.get("LAB_PREFIX", "").strip("-") or "lab")


@dataclass(frozen=True)
class Drilled:
    """A drill and what triage reported while its fault was there."""

    drill: Drill
    report: dict[str, Any]


@pytest.fixture(scope="session", autouse=True)
def ended_from_outside() -> Iterator[None]:
    """Take the fault back then too."""
    with stop_like_ctrl_c():
        yield


@pytest.fixture(scope="module", params=DRILLS, ids=lambda drill: drill.id)
def drilled(request: pytest.FixtureRequest) -> Iterator[Drilled]:
    """The fault is in the lab for all tests of one drill, and taken back after them, whatever happens."""
    drill: Drill = request.param
    lab = Lab(FOLDER)
    parameters = drill.variants[0]
    try:
        injected = lab.inject(drill.id, parameters, drill.id)
        if not injected.ok:
            pytest.fail(f"{drill.id} could not be injected: {injected.problem}; all of its output: {lab.logs.relative_to(PROJECT)}/{drill.id}.present.log")
        triaged, report = lab.triage(FOLDER / "incidents" / drill.id, drill.id)
        if not triaged.ok or report is None:
            pytest.fail(f"triage of {drill.id} failed: {triaged.problem}; all of its output: {lab.logs.relative_to(PROJECT)}/{drill.id}.triage.log")
        yield Drilled(drill, report)
    finally:
        reverted = lab.revert(drill.id, drill.id)
    assert reverted.ok, f"{drill.id} could not be taken back, the lab was made anew: {reverted.problem}"


def require_none(problems: list[str]) -> None:
    """Fail with all of them."""
    assert not problems, "\n".join(problems)


def test_cause_comes_first(drilled: Drilled) -> None:
    """The fault's own pattern, on the service that has it."""
    require_none(expectations.cause(drilled.drill, drilled.report))


def test_expected_findings_are_there(drilled: Drilled) -> None:
    """What the data names, at least as severe."""
    require_none(expectations.findings(drilled.drill, drilled.report))


def test_nothing_alarms_when_nothing_is_wrong(drilled: Drilled) -> None:
    """A healthy state may look odd, but wakes nobody up."""
    require_none(expectations.calm(drilled.drill, drilled.report))


def test_first_action_is_safe(drilled: Drilled) -> None:
    """One that the data lists, or only a report, complete with its target."""
    require_none(expectations.action(drilled.drill, drilled.report))


def test_every_service_is_listed(drilled: Drilled) -> None:
    """Also those that are down."""
    require_none(expectations.services(drilled.report))
