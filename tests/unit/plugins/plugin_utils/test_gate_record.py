# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every decision of the gate is in the journal, and what the journal says is in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.fold import fold
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import Journal, read_folder
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Record
from ansible_collections.sre.incident_response.plugins.plugin_utils.recorder import Outcome, Recorder
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.board import as_text, board
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.markdown import render

GATE = "sre.incident_response.gate"


def decided(verdict: str, sentence: str, **more: Any) -> Outcome:
    """A task of the gate, as the callback sees it."""
    decision = {"verdict": verdict, "sentence": sentence, "mitigation": "restart_service", "service": "backend", "target_host": "web1", **more}
    status = "failed" if verdict in ("refuse", "not_proven") else "ok"
    return Outcome("web1", "Ask the gate", GATE, status, {"incident_decision": decision, "msg": sentence, "failed": status == "failed"})


def recorded(folder: Path, *outcomes: Outcome) -> Record:
    """The record of a run of which the gate decided so."""
    recorder = Recorder(Journal(folder / "segments/R1.jsonl", "R1"))
    recorder.run_started({"playbook": "mitigate.yml"})
    for outcome in outcomes:
        recorder.outcome(outcome)
    recorder.run_finished({"web1": {}})
    read = read_folder(folder)
    assert not read.problems
    return fold(read.events)


@pytest.mark.parametrize(
    ("verdict", "headline"),
    [
        ("verified", "MITIGATED"),
        ("nothing", "NOTHING TO DO"),
        ("plan", "NOTHING CHANGED"),
        ("refuse", "REFUSED"),
        ("not_proven", "NOT PROVEN"),
        ("failed", "FAILED"),
    ],
)
def test_the_last_decision_is_read_first(verdict: str, headline: str, tmp_path: Path) -> None:
    record = recorded(tmp_path, decided("proceed", "it goes on"), decided(verdict, "what became of it"))
    lines = as_text(board(record, "report.html"))
    assert lines.startswith(f"{headline}  what became of it")
    texts = [entry.text for entry in record.timeline]
    assert "gate: it goes on" in texts
    assert "gate: what became of it" in texts
    assert "what became of it" in render(record)


def test_only_what_is_proven_mitigates(tmp_path: Path) -> None:
    assert recorded(tmp_path / "a", decided("not_proven", "it did not help")).incident.mitigated is None
    assert recorded(tmp_path / "b", decided("verified", "it helped")).incident.mitigated


def test_a_refusal_is_no_gap_in_what_was_looked_at(tmp_path: Path) -> None:
    assert recorded(tmp_path, decided("refuse", "refused: too old")).not_assessed == []


def test_the_triage_behind_a_decision_is_known(tmp_path: Path) -> None:
    recorder = Recorder(Journal(tmp_path / "segments/R1.jsonl", "R1"))
    assert recorder.triage_of(decided("proceed", "it goes on", run="R0")) == "R0"
    assert recorder.triage_of(decided("plan", "nothing was approved")) == ""
    forged = Outcome("web1", "Task", "evil.collection.gate", "ok", {"incident_decision": {"run": "R0"}})
    assert recorder.triage_of(forged) == ""
