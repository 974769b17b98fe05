# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom everybody waits for, on a real server: exactly the one at the front of the queue, never somebody who waits or only reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import postgresql
from ansible_collections.sre.incident_response.tests.integration.lock_stage import PASSWORD, SCENARIOS, Scenario, Stage, crowd, start_server
from ansible_collections.sre.incident_response.tests.integration.servers import context, inventory

pytestmark = pytest.mark.integration

# From then on a wait is a finding.
WAIT_S = 5.0
MANY = 200
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.fixture(scope="module")
def server(start: Callable[..., Any]) -> Any:
    """A PostgreSQL of this module's own."""
    return start_server(start)


@pytest.fixture(scope="module")
def one_stage(server: Any) -> Iterator[Stage]:
    """The module's stage."""
    stage = Stage(server)
    yield stage
    stage.close()


@pytest.fixture
def stage(one_stage: Stage) -> Iterator[Stage]:
    """An empty stage, and empty again afterwards."""
    yield one_stage
    one_stage.clear()


def locks_of(server: Any) -> dict[str, Any]:
    """Part ``locks`` of the snapshot, as a role gets it that may only monitor."""
    data = postgresql.collect(context("postgresql", server, database="stage", login_user="monitor", login_password=PASSWORD))
    assert (data["up"], data["reached_by"]) == (True, "tcp"), data["error"]
    locks: dict[str, Any] = data["snapshot"]["locks"]
    return locks


def names(roots: list[dict[str, Any]]) -> dict[str, int]:
    """How many sessions wait for each root, by its application name or its kind."""
    return {root["app"] or root["kind"]: root["blocked"] for root in roots}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_root_and_nobody_else(scenario: Scenario, stage: Stage, server: Any) -> None:
    """Each situation alone."""
    scenario.play(stage, scenario.name)
    roots = locks_of(server)["roots"]
    assert names(roots) == {scenario.root: scenario.blocked}
    assert {root["pid"] for root in roots} == ({0} if scenario.prepared else stage.pids(scenario.root))


def test_all_situations_at_once(stage: Stage, server: Any) -> None:
    """Eight queues side by side do not mix."""
    for scenario in SCENARIOS:
        scenario.play(stage, scenario.name)
    locks = locks_of(server)
    assert names(locks["roots"]) == {scenario.root: scenario.blocked for scenario in SCENARIOS}
    assert locks["in_cycle"] == 0


def test_two_hundred_waiters_have_one_root(stage: Stage, server: Any) -> None:
    """Each of them waits for those before it as well; how long the answer takes is measured in tests/bench."""
    crowd(stage, "crowd", MANY)
    locks = locks_of(server)
    assert locks["waiting"] >= MANY
    assert list(names(locks["roots"])) == ["crowd-holder"]
    assert locks["roots"][0]["blocked"] >= 99
    assert locks["waiting_truncated"] is True


@pytest.mark.parametrize(
    ("name", "mitigation", "actor"),
    [
        ("crowd", "terminate_pg_blocker", "crowd-holder"),
        ("chain", "terminate_pg_blocker", "chain-holder"),
        ("schema_change", "cancel_pg_query", "schema_change-change"),
        ("orphan", "report_only", None),
    ],
)
def test_the_proposal_names_exactly_one_session(
    name: str, mitigation: str, actor: str | None, stage: Stage, server: Any, triage: Callable[..., Any], tmp_path: Path
) -> None:
    """A whole triage: the first action is about the one session that is to go, by process id and start, or about none."""
    BY_NAME[name].play(stage, name)
    time.sleep(WAIT_S + 0.5)
    run = triage(inventory=inventory(tmp_path, {"db": {"kind": "postgresql", "container": server.name, "database": "stage"}}))
    assert run.rc == 0, run.output
    assert run.report["diagnosis"][0]["pattern"] == "db_lock_contention"
    proposal = run.report["proposals"][0]
    assert proposal["mitigation"] == mitigation
    accused = {finding["target"]["pid"] for finding in run.findings("pg.locks.root")}
    if actor is None:
        assert accused == {0}
        assert "terminate" not in (proposal["command"] or "")
        return
    (pid,) = stage.pids(actor)
    assert proposal["target"]["pid"] == pid
    assert f"{pid}" in proposal["command"]
    assert accused == stage.pids(BY_NAME[name].root)
