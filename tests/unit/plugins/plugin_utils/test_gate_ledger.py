# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger keeps two responders apart, and remembers what a run that was killed has left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import gate, gate_desk, gate_registry
from ansible_collections.sre.incident_response.plugins.plugin_utils.gate_identity import DONE, SAME, Seen
from ansible_collections.sre.incident_response.plugins.plugin_utils.gate_ledger import BEGUN, NOT_APPLIED, VERIFIED, Entry, Holder, Ledger, LedgerError

ROLE = gate_registry.load()["terminate_pg_blocker"]


def request(state: str = SAME) -> gate.Request:
    """An approved request that goes through."""
    return gate.Request(ROLE, "db", "web1", {"pid": 4711}, Seen(state, "session 4711"), 0.0, approved=True, declared_kind="postgresql")


def killed() -> Holder:
    """The holder that a process was which does not exist any more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    holder = Holder.of(process.pid, "alice", "R1")
    process.wait()
    return holder


def left_behind(ledger: Ledger) -> Entry:
    """What a run that was killed has begun."""
    return ledger.begin(Entry("", "terminate_pg_blocker", "db", "web1", {"pid": 4711}, killed(), 0.0, proposal="P1", run="R0"))


def attempt(folder: str, start: multiprocessing.synchronize.Event, answers: multiprocessing.queues.Queue[str]) -> None:
    """What each of two responders does at the same time."""
    start.wait(10)
    decision, _entry = gate_desk.enter(Ledger(Path(folder)), request(), Holder.of(os.getppid(), "somebody", "R"), "P1", "R0", "")
    answers.put(decision.verdict)


def test_of_many_who_come_at_once_one_is_let_through(tmp_path: Path) -> None:
    start, answers = multiprocessing.Event(), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=attempt, args=(str(tmp_path), start, answers)) for _number in range(6)]
    for worker in workers:
        worker.start()
    start.set()
    verdicts = sorted(answers.get(timeout=20) for _worker in workers)
    for worker in workers:
        worker.join(10)
    assert verdicts == [gate.PROCEED] + [gate.REFUSE] * 5
    assert len(Ledger(tmp_path).entries()) == 1


def test_the_next_one_may_when_it_ended(tmp_path: Path) -> None:
    ledger, holder = Ledger(tmp_path), Holder.of(os.getpid(), "alice", "R1")
    _decision, first = gate_desk.enter(ledger, request(), holder, "P1", "R0", "")
    assert first is not None
    assert first.state == BEGUN
    assert gate_desk.enter(ledger, request(), holder, "P1", "R0", "")[0].verdict == gate.REFUSE
    ledger.close(first.id, VERIFIED, "it helped", ["evidence/sha256/ab/abc"])
    assert ledger.get(first.id).evidence == ["evidence/sha256/ab/abc"]
    assert gate_desk.enter(ledger, request(), holder, "P1", "R0", "")[0].verdict == gate.PROCEED


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    asked = gate.Request(ROLE, "db", "web1", {}, Seen(SAME, "session 1"), 0.0, approved=True, check_mode=True, declared_kind="postgresql")
    decision, entry = gate_desk.enter(ledger, asked, Holder.of(os.getpid(), "alice", "R1"), "P1", "R0", "")
    assert (decision.verdict, entry, ledger.entries()) == (gate.PROCEED, None, [])


def test_what_a_killed_run_left_is_found_and_finished(tmp_path: Path) -> None:
    """It had ended the session: only the proof is missing."""
    ledger = Ledger(tmp_path)
    left = left_behind(ledger)
    plan = gate_desk.plan(tmp_path, None, "", {ROLE.role: ROLE}, ["web1"])
    assert plan.as_dict()["resume"] == left.id
    assert plan.as_dict()["target"] == {"pid": 4711}
    decision, entry = gate_desk.enter(ledger, request(DONE), Holder.of(os.getpid(), "bob", "R2"), "P1", "R0", left.id)
    assert decision.verdict == gate.VERIFY
    assert entry is not None
    assert (entry.id, entry.holder.actor) == (left.id, "bob")
    assert gate_desk.abandoned(ledger) is None


def test_what_a_killed_run_had_not_done_is_begun_anew(tmp_path: Path) -> None:
    """The session is still there: the old one is closed, and the approved one begins."""
    ledger = Ledger(tmp_path)
    left = left_behind(ledger)
    decision, entry = gate_desk.enter(ledger, request(), Holder.of(os.getpid(), "bob", "R2"), "P1", "R0", left.id)
    assert decision.verdict == gate.PROCEED
    assert ledger.get(left.id).state == NOT_APPLIED
    assert entry is not None
    assert entry.id != left.id


def test_a_process_id_that_was_given_to_another_process_is_not_the_holder() -> None:
    mine = Holder.of(os.getpid(), "alice", "R1")
    assert mine.alive(0.0, 0.0)
    assert not Holder(mine.actor, mine.controller, mine.pid, "another start", mine.run).alive(0.0, 0.0)


def test_of_a_holder_elsewhere_only_the_time_is_known() -> None:
    away = Holder("alice", "another controller", 1, "1", "R1")
    assert away.alive(1000.0, 1000.0 + 1799)
    assert not away.alive(1000.0, 1000.0 + 1801)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"holder": 5}', "\x00"])
def test_a_damaged_entry_is_never_taken_for_none(text: str, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.folder.mkdir()
    (ledger.folder / "E1.json").write_text(text)
    with pytest.raises(LedgerError, match="damaged"):
        ledger.entries()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mitigations").write_text("a file")
    with pytest.raises(LedgerError, match="set incident_state_dir"), Ledger(tmp_path).locked():
        pytest.fail("it was let in")


def test_entries_are_plain_json(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    entry = left_behind(ledger)
    assert json.loads((ledger.folder / f"{entry.id}.json").read_text())["holder"]["actor"] == "alice"
    assert ledger.entries() == [entry]
