# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate lets through: only what was approved, is still what it was, is allowed, and is not being done by somebody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import gate, gate_registry
from ansible_collections.sre.incident_response.plugins.plugin_utils.gate_identity import DONE, OTHER, SAME, Seen, classify
from ansible_collections.sre.incident_response.plugins.plugin_utils.gate_ledger import BEGUN, NOT_APPLIED, VERIFIED, Entry, Holder

NOW = 1_800_000_000.0
KNOWN = gate_registry.load()
START = "2026-11-23T14:03:11.482913+00:00"
SESSION = {
    "pid": 4711,
    "backend_start": START,
    "backend_type": "client backend",
    "state": "idle in transaction",
    "state_age_s": 42.0,
    "query_age_s": 50.0,
    "user": "app",
    "superuser": False,
    "app": "migration-shell",
    "client": "10.0.0.7",
    "own": False,
    "waits": False,
    "blocked": 8,
    "blocked_by": 0,
}
TARGET = {"pid": 4711, "backend_start": START}


class Someone(Holder):
    """A holder of whom the test says whether it still runs."""

    runs = True

    def alive(self, began: float, now: float) -> bool:
        return self.runs


class Nobody(Someone):
    """A holder that was killed."""

    runs = False


def request(role: str = "restart_service", **more: Any) -> gate.Request:
    """A request that goes through, unless more says otherwise."""
    kind = "postgresql" if "pg" in role else "fastapi"
    usual = {
        "mitigation": KNOWN[role],
        "service": "backend",
        "host": "web1",
        "target": {},
        "seen": Seen(SAME, "container app-backend, exited"),
        "now": NOW,
        "approved": True,
        "approve_with": "P1",
        "evidence_age_s": 60.0,
        "declared_kind": kind,
    }
    return gate.Request(**{**usual, **more})


def entry(role: str = "restart_service", ago_s: float = 60.0, state: str = VERIFIED, holder: type[Holder] = Someone, **more: Any) -> Entry:
    """Something that was done before."""
    usual = {"id": "E1", "mitigation": role, "service": "backend", "host": "web1", "target": {}, "began": NOW - ago_s, "state": state}
    return Entry(**{**usual, "holder": holder("alice", "ops1", 77, "5", "R1"), **more})


def test_what_is_right_goes_through() -> None:
    assert gate.decide(request()).verdict == gate.PROCEED


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({"approved": False}, gate.PLAN, "add -e incident_approve=P1"),
        ({"approved": False, "seen": Seen(OTHER, "it is another one")}, gate.PLAN, "would be refused: it is another one"),
        ({"seen": Seen(DONE, "session 1 is gone")}, gate.NOTHING, "nothing to do: session 1 is gone"),
        ({"seen": Seen(OTHER, "it is another one; run triage again")}, gate.REFUSE, "it is another one"),
        ({"evidence_age_s": 901.0}, gate.REFUSE, "run triage again"),
        ({"evidence_age_s": 901.0, "force_reason": "  "}, gate.REFUSE, "run triage again"),
        ({"evidence_age_s": 901.0, "force_reason": "the vendor waits"}, gate.PROCEED, "without fresh evidence (the vendor waits)"),
        ({"evidence_age_s": None}, gate.PROCEED, "goes on"),
        ({"allowed": []}, gate.REFUSE, "incident_mitigations does not allow restart_service for backend"),
        ({"allowed": ["backend"], "declared_kind": "postgresql"}, gate.PROCEED, "goes on"),
        ({"declared_kind": ""}, gate.REFUSE, "declare it in incident_services"),
        ({"declared_kind": "postgresql"}, gate.REFUSE, "not for a postgresql service"),
        ({"stopped_by_operator": True}, gate.REFUSE, "stopped backend on purpose"),
        ({"stopped_by_operator": True, "force_reason": "Bob says go"}, gate.PROCEED, "goes on"),
        ({"check_mode": True}, gate.PROCEED, "nothing is changed"),
    ],
)
def test_every_rule(change: dict[str, Any], verdict: str, words: str) -> None:
    decision = gate.decide(request(**change))
    assert decision.verdict == verdict
    assert words in decision.told


def test_who_is_at_it_is_told() -> None:
    """Whatever it is about: one mitigation at a time."""
    other = entry("terminate_pg_blocker", 5.0, BEGUN, service="db")
    decision = gate.decide(request(entries=[other]))
    assert decision.verdict == gate.REFUSE
    assert "alice on ops1 (process 77) is at terminate_pg_blocker of db on web1 since 5 s" in decision.sentence
    assert gate.decide(request(entries=[other], approved=False)).verdict == gate.PLAN


@pytest.mark.parametrize(
    ("seen", "approved", "verdict"),
    [
        (Seen(DONE, "session 4711 is gone"), False, gate.VERIFY),
        (Seen(OTHER, "it is another session"), True, gate.VERIFY),
        (Seen(SAME, "session 4711"), True, gate.PROCEED),
        (Seen(SAME, "session 4711"), False, gate.PLAN),
    ],
)
def test_what_was_left_behind_is_brought_to_its_end(seen: Seen, approved: bool, verdict: str) -> None:
    """Proving needs no approval, doing does."""
    left = entry(ago_s=30.0, state=BEGUN, holder=Nobody)
    decision = gate.decide(request(entries=[left], resumed=left, seen=seen, approved=approved))
    assert decision.verdict == verdict
    if verdict == gate.VERIFY:
        assert "begun by alice in run R1, did not come to its end" in decision.sentence


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([entry(ago_s=599.0)], "599 s ago"),
        ([entry("start_service", ago_s=599.0)], "599 s ago"),
        ([entry(ago_s=601.0)], None),
        ([entry(ago_s=599.0, state=NOT_APPLIED)], None),
        ([entry(ago_s=599.0, host="web2")], None),
        ([entry(ago_s=599.0, service="proxy")], None),
        ([entry("terminate_pg_blocker", ago_s=599.0)], None),
        ([entry(ago_s=hours * 3600.0) for hours in (1, 2, 23)], "3 times within a day"),
        ([entry(ago_s=hours * 3600.0) for hours in (1, 2, 25)], None),
    ],
)
def test_cool_down(entries: list[Entry], words: str | None) -> None:
    decision = gate.decide(request(entries=entries))
    assert decision.verdict == (gate.REFUSE if words else gate.PROCEED)
    assert words is None or words in decision.sentence


def test_what_is_done_already_needs_no_cool_down() -> None:
    """A second run shall change nothing and fail nothing."""
    assert gate.decide(request(entries=[entry(ago_s=1.0)], seen=Seen(DONE, "it runs"))).verdict == gate.NOTHING


def test_ending_a_session_has_no_cool_down() -> None:
    assert gate.decide(request("terminate_pg_blocker", entries=[entry("terminate_pg_blocker", ago_s=1.0)])).verdict == gate.PROCEED


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, SAME, "blocks 8 sessions"),
        ({"backend_start": "2026-11-23T14:09:00+00:00"}, OTHER, "given to another session"),
        ({"superuser": True}, OTHER, "superuser"),
        ({"backend_type": "walsender"}, OTHER, "walsender"),
        ({"backend_type": "autovacuum worker"}, OTHER, "autovacuum worker"),
        ({"user": "backup"}, OTHER, "incident_protected_roles"),
        ({"own": True}, OTHER, "the session that looks"),
        ({"blocked": 0}, DONE, "blocks nobody any more"),
        ({"blocked_by": 1}, OTHER, "not at the front"),
        ({"state": "active"}, OTHER, "terminate_pg_blocker_active=true"),
        ({"state_age_s": 1.0}, OTHER, "idle for only 1 s"),
        ({"state": "idle"}, SAME, "idle for 42 s"),
        ({"app": "a\x1b[31m\nb"}, SAME, "of a b ("),
    ],
)
def test_a_session_is_what_it_was(change: dict[str, Any], state: str, words: str) -> None:
    seen = classify("session", TARGET, {**SESSION, **change}, {"min_idle_s": 5.0, "protected": ["backup"]})
    assert (seen.state, words in seen.sentence) == (state, True), seen


def test_a_session_that_is_gone() -> None:
    assert classify("session", TARGET, {}, {}).state == DONE
    assert classify("session", {"pid": 4711}, SESSION, {}).state == OTHER
    assert classify("session", TARGET, {**SESSION, "state": "active"}, {"active": True}).state == SAME


@pytest.mark.parametrize(
    ("change", "options", "state"),
    [
        ({"state": "active"}, {"least_query_s": 40.0}, SAME),
        ({"state": "active"}, {"least_query_s": 60.0}, DONE),
        ({"state": "idle"}, {}, DONE),
        ({"state": "active"}, {"waiting": True}, DONE),
        ({"state": "active", "waits": True}, {"waiting": True}, SAME),
        ({"state": "active", "superuser": True}, {}, OTHER),
        ({"state": "active", "backend_start": "2026-11-23T14:09:00Z"}, {}, OTHER),
    ],
)
def test_a_query_is_what_it_was(change: dict[str, Any], options: dict[str, Any], state: str) -> None:
    assert classify("query", TARGET, {**SESSION, **change}, options).state == state


@pytest.mark.parametrize(
    ("target", "look", "state"),
    [
        ({"app": "leaky", "client": "local"}, {"idle": 9, "old": 9}, SAME),
        ({"app": "leaky", "client": "local"}, {"idle": 0, "old": 0}, DONE),
        ({"app": "leaky", "client": "local"}, {"idle": 9, "old": 0}, OTHER),
        ({"app": "leaky"}, {"idle": 9, "old": 9}, OTHER),
        ({"app": "leaky", "client": "local"}, {"idle": 9, "old": 9, "used_pct": 89.9}, DONE),
    ],
)
def test_idle_sessions(target: dict[str, Any], look: dict[str, Any], state: str) -> None:
    seen = classify("sessions", target, {"used_pct": 95.0, **look}, {"most": 50, "least_used_pct": 90.0})
    assert seen.state == state
    assert state != SAME or "the 5 idle for longest" in seen.sentence


CONTAINER = {"Id": "abc123", "Name": "/app-backend", "State": {"Status": "exited", "ExitCode": 137, "StartedAt": "2026-11-23T14:00:00.123456789Z"}}
MEANT = {"container": "app-backend", "container_id": "abc123", "started_at": "2026-11-23T14:00:00.123456Z"}
LATER = "2026-11-23T14:30:00.5Z"


@pytest.mark.parametrize(
    ("document", "status", "started", "only_when_stopped", "state"),
    [
        (CONTAINER, "exited", None, False, SAME),
        (CONTAINER, "running", None, False, SAME),
        (CONTAINER, "running", None, True, DONE),
        (CONTAINER, "running", LATER, False, DONE),
        (CONTAINER, "exited", LATER, False, OTHER),
        (CONTAINER, "paused", None, False, OTHER),
        (CONTAINER, "restarting", None, False, OTHER),
        ({**CONTAINER, "Id": "fff"}, "exited", None, False, OTHER),
        ({}, "", None, False, OTHER),
    ],
)
def test_a_container_is_what_it_was(document: dict[str, Any], status: str, started: str | None, only_when_stopped: bool, state: str) -> None:
    look = {**document, "State": {**document["State"], "Status": status}} if document else {}
    if started:
        look["State"]["StartedAt"] = started
    assert classify("container", MEANT, look, {"only_when_stopped": only_when_stopped}).state == state


def test_every_mitigation_describes_itself() -> None:
    assert {"terminate_pg_blocker", "cancel_pg_query", "terminate_pg_idle", "restart_service", "start_service"} <= set(KNOWN)
    with pytest.raises(gate_registry.RegistryError, match="missing keys"):
        gate_registry.parse("one", {"identity": "session"})
    with pytest.raises(gate_registry.RegistryError, match="none of session"):
        gate_registry.parse("one", {**_described("restart_service"), "identity": "luck"})


def _described(role: str) -> dict[str, Any]:
    one = replace(KNOWN[role])
    return {name: getattr(one, name) for name in ("identity", "kinds", "needs", "effect", "undo", "proof", "proof_roles")}
