# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which proposal was approved: exactly one of the newest triage, or a sentence that says what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.action.pg_session import values, wrong_identity
from ansible_collections.sre.incident_response.plugins.plugin_utils import gate_desk, gate_registry, gate_words
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, OK, UNKNOWN, Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.gate_ledger import Entry, Holder, Ledger
from ansible_collections.sre.incident_response.plugins.plugin_utils.gate_proposals import ApprovalError, approved, identity, newest_triage
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import Journal
from ansible_collections.sre.incident_response.plugins.plugin_utils.recovery import Proof
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

KNOWN = gate_registry.load()
BLOCKER = {
    "id": "P1",
    "mitigation": "terminate_pg_blocker",
    "service": "db",
    "host": "web1",
    "pattern": "db_lock_contention",
    "target": {"pid": 4711, "backend_start": "2026-11-23T14:03:11Z", "host": "web1", "service": "db"},
    "effect": "ends it",
    "undo": "nothing to undo",
    "command": "psql -c 'SELECT 1'\nsecond line",
}
ROLLBACK = {**BLOCKER, "id": "P2", "mitigation": "rollback", "service": "backend", "target": {"container": "app-backend"}}


def triaged(state_dir: Path, run: str, *proposals: dict[str, Any]) -> Path:
    """A run that has a diagnosis."""
    folder = state_dir / "runs" / run
    journal = Journal(folder / "segments" / f"{run}.jsonl", run)
    journal.emit("diagnosis", {"proposals": list(proposals)})
    journal.close()
    return folder


def test_the_newest_run_with_a_diagnosis_counts(tmp_path: Path) -> None:
    triaged(tmp_path, "R1", BLOCKER)
    triaged(tmp_path, "R2", BLOCKER, ROLLBACK)
    Journal(tmp_path / "runs/R3/segments/R3.jsonl", "R3").emit("gate", {"sentence": "refused"})
    found = newest_triage(tmp_path)
    assert found is not None
    assert (found.run, [one.id for one in found.proposals]) == ("R2", ["P1", "P2"])
    older = newest_triage(tmp_path, "R1")
    assert older is not None
    assert older.run == "R1"
    with pytest.raises(ApprovalError, match="incident_id is R9"):
        newest_triage(tmp_path, "R9")
    assert newest_triage(tmp_path / "nowhere") is None


@pytest.mark.parametrize("given", [None, "", False, "false"])
def test_nothing_was_approved(given: object, tmp_path: Path) -> None:
    triaged(tmp_path, "R1", BLOCKER)
    assert approved(given, newest_triage(tmp_path)) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("P7", r"does not propose P7 but P1 \(terminate_pg_blocker of db\)"),
        ("P1,P2", "names 2 proposals"),
        (["P1", "P2"], "approve one"),
        ("P1 P2", "names 2 proposals"),
        ("*", "is no proposal"),
        ("P1; rm", "names 2 proposals"),
        ("{{ 1 }}", "names 3 proposals"),
        (True, "name a proposal"),
        ("p1", "is no proposal"),
    ],
)
def test_anything_but_one_that_exists_is_refused(given: object, words: str, tmp_path: Path) -> None:
    triaged(tmp_path, "R1", BLOCKER)
    with pytest.raises(ApprovalError, match=words):
        approved(given, newest_triage(tmp_path))


def test_without_a_triage_nothing_can_be_approved() -> None:
    with pytest.raises(ApprovalError, match="run the playbook triage first"):
        approved("P1", None)


def test_a_plan_says_all_that_the_role_needs(tmp_path: Path) -> None:
    triaged(tmp_path, "R1", BLOCKER)
    plan = gate_desk.plan(tmp_path, "P1", "", KNOWN, ["web1"]).as_dict()
    assert {key: plan[key] for key in ("role", "service", "host", "proposal", "run", "resume")} == {
        "role": "terminate_pg_blocker",
        "service": "db",
        "host": "web1",
        "proposal": "P1",
        "run": "R1",
        "resume": "",
    }
    assert plan["target"]["pid"] == 4711
    assert gate_desk.plan(tmp_path, None, "", KNOWN, ["web1"]).as_dict() == {}
    with pytest.raises(ApprovalError, match="web1, which is not here; use the inventory of the triage"):
        gate_desk.plan(tmp_path, "P1", "", KNOWN, ["web2"])


def test_an_approval_is_about_one_triage(tmp_path: Path) -> None:
    """P1 of yesterday is another P1."""
    triaged(tmp_path, "R1", BLOCKER)
    assert gate_desk.is_newest(tmp_path, "R1", "")
    triaged(tmp_path, "R2", ROLLBACK)
    assert not gate_desk.is_newest(tmp_path, "R1", "")
    assert gate_desk.is_newest(tmp_path, "R1", "R1")
    assert gate_desk.evidence_age_s(tmp_path, "", "") is None
    assert (gate_desk.evidence_age_s(tmp_path, "R1", "") or 99.0) < 60.0


def test_the_identity_of_a_container_comes_from_the_evidence(tmp_path: Path) -> None:
    folder = triaged(tmp_path, "R1", {**BLOCKER, "service": "backend", "target": {"container": "app-backend"}})
    data = {"name": "app-backend", "id": "abc", "started_at": "2026-11-23T14:00:00Z"}
    stopped = {"id": "docker.stopped_by_operator", "state": "finding", "service": "backend", "host": "web1"}
    Workspace(folder, "R1").write_findings("container_check", {"findings": [stopped, "no finding"]})
    (folder / "evidence/hosts").mkdir(parents=True)
    services = {"backend": {"sources": {"container": {"ok": True, "data": data}}}}
    Workspace(folder, "R1").write_evidence({"host": "web1", "collected_at": "2026-11-23T14:05:00Z", "services": services})
    found = newest_triage(tmp_path)
    assert found is not None
    target = identity(found.proposals[0], found)
    assert not found.found("docker.stopped_by_operator", "db", "web1")
    assert (target["container_id"], target["started_at"], target["stopped_by_operator"]) == ("abc", "2026-11-23T14:00:00Z", True)


def test_what_no_role_carries_out_has_its_commands(tmp_path: Path) -> None:
    """When Ansible can't, or is gone, somebody has to be able to paste it."""
    triaged(tmp_path, "R1", BLOCKER, ROLLBACK)
    text = gate_words.as_text(gate_words.plan(newest_triage(tmp_path), KNOWN, 120.0))
    assert "add -e incident_approve=P1" in text
    assert "no role carries this out: do it by hand" in text
    assert "    psql -c 'SELECT 1'\n    second line" in text
    assert "2 min old; nothing is changed" in text


def test_an_unknown_mitigation_that_was_left_behind_is_told(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with ledger.locked():
        ledger.begin(Entry("", "invented", "db", "web1", {}, Holder("alice", os.uname().nodename, 2**22 + 1, "0", "R1"), 0.0))
    with pytest.raises(ApprovalError, match="no role of that name is here"):
        gate_desk.plan(tmp_path, None, "", KNOWN, ["web1"])


@pytest.mark.parametrize("pid", ["0", "", "-1", "4711; DROP", "99999999999", "4 5", None, "*"])
def test_a_pid_that_is_none_never_reaches_the_server(pid: Any) -> None:
    assert wrong_identity({"pid": pid, "backend_start": "2026-11-23T14:03:11Z"})


def test_a_session_is_named_by_id_and_start() -> None:
    assert wrong_identity({"pid": 4711, "backend_start": "2026-11-23T14:03:11.482913+00:00"}) is None
    assert "prepared transaction" in str(wrong_identity({"pid": 0}))
    assert "no time" in str(wrong_identity({"pid": 4711, "backend_start": "' OR true --"}))


def test_values_are_texts_and_flags() -> None:
    made = values({"pid": 1, "app": "a'b", "role": "app"}, {"active": True, "most": 7, "min_idle_s": 5}, ["backup", "migrate"])
    assert (made["pid"], made["app"], made["user"], made["active"], made["waiting"]) == ("1", "a'b", "app", "yes", "")
    assert (made["most"], made["min_idle_s"], made["least_used_pct"], made["protected"]) == ("7", "5.000", "0.000", "backup,migrate")


def finding(state: str, severity: str | None = None) -> Finding:
    """What one check said."""
    return Finding.from_dict({"id": "pg.up", "state": state, "severity": severity, "summary": "it is down", "reason": "no answer", "service": "db"})


def test_proof_needs_several_good_looks_in_a_row() -> None:
    proof = Proof(2)
    proof.add([finding(OK)])
    proof.add([finding(FINDING, "critical")])
    proof.add([finding(OK), finding(FINDING, "info")])
    assert not proof.complete
    proof.add([finding(OK)])
    assert proof.complete
    assert proof.sentence(7.0) == "2 looks in a row found everything fine, over 7 s"


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        ([finding(UNKNOWN), finding(OK)], "pg.up is not known: no answer"),
        ([finding(FINDING, "warning")], "pg.up: it is down"),
        ([], "no check says anything"),
    ],
)
def test_what_is_not_known_proves_nothing(findings: list[Finding], words: str) -> None:
    proof = Proof(1)
    proof.add(findings)
    assert not proof.complete
    assert words in proof.sentence(3.0)
    proof.failed("web1 could not be asked")
    assert "web1 could not be asked" in proof.sentence(3.0)
