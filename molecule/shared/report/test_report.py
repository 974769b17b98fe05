# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What triage has to report, whatever the fault: the same as in the drills without a scenario, read from the fault's own data file."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sre.incident_response.tests.bench.accuracy.drills import Drill, parse
from ansible_collections.sre.incident_response.tests.drills import expectations


@pytest.fixture(scope="session")
def drill(fault: dict[str, Any]) -> Drill:
    """The fault with its right answers."""
    return parse(fault)


def test_cause_comes_first(drill: Drill, report: dict[str, Any]) -> None:
    """The best ranked pattern is the fault's own, in the right place; with nothing wrong there is no diagnosis at all."""
    problems = expectations.cause(drill, report)
    assert not problems, "\n".join(problems)


def test_expected_findings_are_there(drill: Drill, report: dict[str, Any]) -> None:
    """Every finding that the fault's data names is reported, at least as severe as it says."""
    problems = expectations.findings(drill, report)
    assert not problems, "\n".join(problems)


def test_nothing_alarms_when_nothing_is_wrong(drill: Drill, report: dict[str, Any]) -> None:
    """Without a fault no finding is a warning or critical, and nothing was left out."""
    if not drill.healthy:
        pytest.skip("this scenario has a fault")
    problems = expectations.calm(drill, report)
    assert not problems, "\n".join(problems)


def test_first_action_is_proposed(drill: Drill, report: dict[str, Any]) -> None:
    """The first cause comes with a safe action: what it does, how to undo it, and on exactly which target."""
    problems = expectations.action(drill, report)
    assert not problems, "\n".join(problems)


def test_every_service_is_listed(report: dict[str, Any]) -> None:
    """The five services of the lab are in the report, also those that are down."""
    problems = expectations.services(report)
    assert not problems, "\n".join(problems)
