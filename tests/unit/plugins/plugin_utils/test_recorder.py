# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which events a task's outcome is worth, and whose word is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import Journal
from ansible_collections.sre.incident_response.plugins.plugin_utils.recorder import Outcome, Recorder

COLLECT = "sre.incident_response.collect"
ASSESS = "sre.incident_response.assess"
EVENT = "sre.incident_response.event"


def recorded(folder: Path, *outcomes: Outcome) -> list[tuple[str, dict[str, Any]]]:
    """Kind and data of the events that some outcomes leave."""
    journal = Journal(folder / "segments/R1.jsonl", "R1")
    recorder = Recorder(journal)
    for outcome in outcomes:
        recorder.outcome(outcome)
    journal.close()
    events = [json.loads(line) for line in journal.path.read_text().splitlines()]
    return [(event["type"].split(".")[-2], event["data"]) for event in events]


def outcome(action: str, result: dict[str, Any], **more: Any) -> Outcome:
    """A task that went well, unless more says otherwise."""
    return Outcome(**{"host": "h1", "task": "Task", "action": action, "status": "ok", "result": result, **more})


def test_a_result_speaks_for_its_own_host_only(tmp_path: Path) -> None:
    events = recorded(tmp_path, outcome(COLLECT, {"incident_evidence": {"host": "h2", "reachable": True}}))
    assert events == [("evidence", {"host": "h1", "reachable": True})]


@pytest.mark.parametrize(
    ("action", "key"),
    [
        ("ansible.builtin.debug", "incident_event"),
        (COLLECT, "incident_event"),
        (EVENT, "incident_diagnosis"),
        ("evil.collection.event", "incident_event"),
        ("sre.incident_response.probe", "incident_evidence"),
    ],
)
def test_others_are_not_believed(tmp_path: Path, action: str, key: str) -> None:
    assert recorded(tmp_path, outcome(action, {key: {"summary": "forged"}})) == []


@pytest.mark.parametrize("value", [None, "text", [], 5])
def test_a_result_of_another_shape_is_ignored(tmp_path: Path, value: Any) -> None:
    assert recorded(tmp_path, outcome(ASSESS, {"incident_assessment": value})) == []


def test_findings_that_were_stored_are_recorded_in_full(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "segments/R1.jsonl", "R1")
    recorder = Recorder(journal, {"host_check@h1": [{"id": "host.cpu"}]}.__getitem__)
    recorder.outcome(outcome(ASSESS, {"incident_assessment": {"role": "host_check", "stored": "host_check@h1"}}))
    journal.close()
    event = json.loads(journal.path.read_text())
    assert event["data"] == {"role": "host_check", "findings": [{"id": "host.cpu"}], "task_host": "h1"}


def test_a_hidden_result_is_not_read(tmp_path: Path) -> None:
    hidden = {"censored": "hidden", "incident_event": {"summary": "secret"}, "changed": True}
    events = recorded(tmp_path, outcome(EVENT, hidden, task="Task about a secret"))
    assert [kind for kind, _data in events] == ["action"]
    assert events[0][1]["task"] == EVENT
    assert "secret" not in json.dumps(events)


def test_hidden_items_of_a_loop_are_left_out(tmp_path: Path) -> None:
    items = [{"censored": "hidden"}, {"incident_event": {"summary": "open"}}, {"_ansible_no_log": True, "incident_event": {"summary": "secret"}}]
    assert [data["summary"] for _kind, data in recorded(tmp_path, outcome(EVENT, {"results": items}))] == ["open"]


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        ({}, ["action"]),
        ({"check_mode": True}, []),
        ({"status": "failed"}, ["step"]),
        ({"status": "unreachable"}, ["step"]),
        ({"status": "failed", "result": {"results": [{"changed": True}, {"changed": True, "failed": True}]}}, ["step", "action"]),
        ({"status": "failed", "result": {"results": [{"changed": True, "failed": True}]}}, ["step"]),
        ({"result": {"changed": False}}, []),
    ],
)
def test_changes_and_failures(tmp_path: Path, more: dict[str, Any], kinds: list[str]) -> None:
    given = {"result": {"changed": True, "msg": "x"}, **more}
    events = recorded(tmp_path, outcome("ansible.builtin.command", given.pop("result"), **given))
    assert [kind for kind, _data in events] == kinds


def test_messages_of_failed_items_are_kept_once_each(tmp_path: Path) -> None:
    items = [{"failed": True, "msg": "no"}, {"msg": "fine"}, {"failed": True, "msg": "no"}, {"failed": True, "msg": "never"}]
    events = recorded(tmp_path, outcome("x.y.z", {"results": items, "msg": "One or more items failed"}, status="failed"))
    assert events[0][1]["msg"] == "no; never"


def test_a_failing_action_that_said_something_is_a_gate(tmp_path: Path) -> None:
    result = {"incident_diagnosis": {"severity": "SEV2"}, "msg": "critical findings"}
    events = recorded(tmp_path, outcome("sre.incident_response.diagnose", result, status="failed"))
    assert [kind for kind, _data in events] == ["diagnosis", "step"]
    assert events[1][1]["gate"] is True


@pytest.mark.parametrize(
    ("evidence", "sentences"),
    [
        ({"reachable": True, "problems": []}, []),
        ({"reachable": False, "reason": "ssh: timed out"}, ["h1 gave no evidence: ssh: timed out"]),
        ({"problems": [{"service": "db", "sentence": "kind x of service db\nis unknown"}, 5, {}]}, ["h1: kind x of service db is unknown"]),
        ({"reachable": False, "reason": "password=hunter2"}, ["h1 gave no evidence: password=[redacted]"]),
        ("junk", []),
    ],
)
def test_what_the_user_is_told_at_once(tmp_path: Path, evidence: Any, sentences: list[str]) -> None:
    recorder = Recorder(Journal(tmp_path / "segments/R1.jsonl", "R1"))
    assert recorder.sentences(outcome(COLLECT, {"incident_evidence": evidence})) == sentences
    assert recorder.sentences(outcome(ASSESS, {"incident_evidence": evidence})) == []


@pytest.mark.parametrize(("action", "gate"), [("sre.incident_response.health_report", True), ("ansible.builtin.fail", False)])
def test_only_our_own_actions_may_call_a_failure_a_gate(tmp_path: Path, action: str, gate: bool) -> None:
    events = recorded(tmp_path, outcome(action, {"incident_gate": True, "msg": "unhealthy"}, status="failed"))
    assert events[0][1]["gate"] is gate


def test_only_an_event_may_say_when_it_happened(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "segments/R1.jsonl", "R1")
    recorder = Recorder(journal)
    told = {"time": "2020-01-01T00:00:00Z", "severity": "critical"}
    recorder.outcome(outcome(EVENT, {"incident_event": told}))
    recorder.outcome(outcome(COLLECT, {"incident_evidence": told}))
    journal.close()
    note, evidence = (json.loads(line) for line in journal.path.read_text().splitlines())
    assert (note["time"], note["severitytext"]) == ("2020-01-01T00:00:00Z", "CRITICAL")
    assert evidence["time"] == evidence["recordedtime"]
    assert "severitytext" not in evidence
