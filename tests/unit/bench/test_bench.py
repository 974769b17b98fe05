# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accuracy bench around its scores: what is run, what survives an interruption, and what is asked of an answer that lost a signal."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.patterns import Pattern, parse_pattern
from ansible_collections.sre.incident_response.tests.bench.accuracy import bench, lab, leave_one_out, page, records
from ansible_collections.sre.incident_response.tests.bench.accuracy.drills import Drill, parse


def drill(name: str = "P99_example", top: Any = "first", also: list[str] | None = None, **changes: Any) -> Drill:
    """A drill with three variants."""
    expect = {"top": top, "also": also or [], "service": "db" if top else None, "findings": {}}
    return parse({"id": name, "title": "Example", "expect": expect, "safe_actions": [], "variants": [{}, {"n": 2}, {"n": 3}], **changes})


def pattern(name: str, gate: str, weights: dict[str, float], mitigation: str = "start_service", **changes: Any) -> Pattern:
    """A pattern of the database."""
    action = {"mitigation": mitigation, "effect": "does something", "undo": "undo it"}
    data = {"id": name, "title": name, "family": "x", "service": "db", "depth": 3, "gate": {"any": [[gate]]}, "weights": weights}
    return parse_pattern({**data, "first_action": action, "verify": [gate], "escalate": "somebody", **changes})


def found(check: str, severity: str = "critical") -> Finding:
    """A finding about the database."""
    return Finding(check, "finding", severity, service="db", kind="postgresql", host="db1", summary=f"{check} fired")


DOCUMENTS = [{"host": "db1", "services": {"db": {"kind": "postgresql", "spec": {"kind": "postgresql"}, "sources": {}}}}]
PATTERNS = [
    pattern("first", "pg.one", {"pg.one": 60, "pg.two": 20}),
    pattern("second", "pg.two", {"pg.two": 70}, explains=["pg.three"]),
    pattern("third", "pg.three", {"pg.three": 65}, mitigation="report_only"),
]


class FakeLab:
    """Notes what is asked of it; ``fails`` names the step that does not work, ``interrupts`` the one at which somebody presses Ctrl-C."""

    def __init__(self, fails: str = "", interrupts: str = "") -> None:
        self.fails, self.interrupts = fails, interrupts
        self.asked: list[str] = []

    def _step(self, name: str) -> lab.Done:
        self.asked.append(name)
        if name == self.interrupts:
            raise KeyboardInterrupt
        return lab.Done(name != self.fails, 1.5, f"{name} is broken" if name == self.fails else None)

    def inject(self, *_arguments: Any) -> lab.Done:
        return self._step("inject")

    def revert(self, *_arguments: Any) -> lab.Done:
        return self._step("revert")

    def triage(self, *_arguments: Any) -> tuple[lab.Done, dict[str, Any] | None]:
        return self._step("triage"), {"findings": [], "diagnosis": [], "proposals": [], "services": []}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> records.Log:
    """A log of its own; recorded runs hold nothing."""
    monkeypatch.setattr(leave_one_out, "recorded", lambda _state_dir: leave_one_out.Recorded([], DOCUMENTS))
    return records.Log(tmp_path)


def test_every_variant_and_every_round_is_planned() -> None:
    """Faults once in each variant; healthy states are injected once in each and triaged several times."""
    planned = bench.plan([drill(), drill("H99_well", top=None)], variants=2, healthy_rounds=5)
    assert [(one.drill.id, one.variant, one.rounds) for one in planned] == [
        ("P99_example", 0, (0,)),
        ("P99_example", 1, (0,)),
        ("H99_well", 0, (0, 1, 2)),
        ("H99_well", 1, (0, 1)),
    ]
    assert planned[1].parameters == {"n": 2}
    assert planned[2].without({("H99_well", 0, 1), ("H99_well", 1, 0)}).rounds == (0, 2)


def test_healthy_state_is_injected_once_for_several_triages(log: records.Log) -> None:
    """Each triage is a run of its own."""
    fake = FakeLab()
    runs = list(bench.perform(bench.Planned(drill(top=None), 1, (0, 1)), fake, log, PATTERNS))  # type: ignore[arg-type]  # only these methods are used
    assert fake.asked == ["inject", "triage", "triage", "revert"]
    assert [(run["variant"], run["round"], sorted(run["seconds"])) for run in runs] == [(1, 0, ["inject", "triage"]), (1, 1, ["revert", "triage"])]


@pytest.mark.parametrize(
    ("fails", "status", "asked"),
    [
        ("inject", "not injected", ["inject", "revert"]),
        ("triage", "triage failed", ["inject", "triage", "revert"]),
        ("revert", "ok", ["inject", "triage", "revert"]),
    ],
)
def test_what_fails_is_a_row_and_the_fault_is_taken_back(log: records.Log, fails: str, status: str, asked: list[str]) -> None:
    """Whatever does not work, the next drill finds a healthy lab and the table says what happened."""
    fake = FakeLab(fails)
    (run,) = bench.perform(bench.Planned(drill(), 0), fake, log, PATTERNS)  # type: ignore[arg-type]  # only these methods are used
    assert run["status"] == status
    assert run["problem"] == f"{fails}: {fails} is broken"
    assert fake.asked == asked


def test_interrupted_run_is_taken_back(log: records.Log) -> None:
    """Ctrl-C in the middle of a triage leaves no fault in the lab."""
    fake = FakeLab(interrupts="triage")
    with pytest.raises(KeyboardInterrupt):
        list(bench.perform(bench.Planned(drill(), 0), fake, log, PATTERNS))  # type: ignore[arg-type]  # only these methods are used
    assert fake.asked == ["inject", "triage", "revert"]


def test_resumed_bench_leaves_out_what_it_has(log: records.Log) -> None:
    """What was done well is kept; what failed is done again and replaces the old line."""
    planned = bench.plan([drill()], variants=3, healthy_rounds=1)
    said: list[str] = []
    stop = threading.Event()
    bench.run_all(planned[:1], [FakeLab()], log, said.append, stop)  # type: ignore[list-item]  # only these methods are used
    bench.run_all(planned[1:2], [FakeLab("inject")], log, said.append, stop)  # type: ignore[list-item]  # only these methods are used
    bench.run_all(bench.left_to_do(planned, log), [FakeLab()], log, said.append, stop)  # type: ignore[list-item]  # only these methods are used
    assert [(run["variant"], run["status"]) for run in log.runs()] == [(0, "ok"), (1, "ok"), (2, "ok")]
    assert [text[:7] for text in said if "/" in text[:4]] == ["  1/1 P", "  1/1 P", "  1/2 P", "  2/2 P"]


def test_several_labs_share_the_drills(log: records.Log) -> None:
    """Every run is done once; the variants of one drill stay on one lab, because they may have the same names."""
    planned = bench.plan([drill("P97_a"), drill("P98_b"), drill("P99_c")], variants=3, healthy_rounds=1)
    labs = [FakeLab(), FakeLab()]
    bench.run_all(planned, labs, log, lambda _text: None, threading.Event())  # type: ignore[arg-type]  # only these methods are used
    assert len(log.runs()) == 9
    assert all(len(one.asked) % 9 == 0 for one in labs)


def test_interruption_of_one_lab_stops_the_others(log: records.Log) -> None:
    """After Ctrl-C no lab begins another drill."""
    planned = bench.plan([drill("P97_a"), drill("P98_b")], variants=1, healthy_rounds=1)
    stop = threading.Event()
    fake = FakeLab(interrupts="triage")
    with pytest.raises(KeyboardInterrupt):
        bench.run_all(planned, [fake], log, lambda _text: None, stop)  # type: ignore[list-item]  # only these methods are used
    assert stop.is_set()
    assert fake.asked == ["inject", "triage", "revert"]
    assert log.runs() == []


def test_labs_side_by_side_have_names_and_ports_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is the one that LAB_PREFIX names."""
    monkeypatch.setenv("LAB_PREFIX", "x-")
    monkeypatch.delenv("LAB_PORT_OFFSET", raising=False)
    seen = [lab.environment(number) for number in range(3)]
    assert [one["LAB_PREFIX"] for one in seen] == ["x-", "x-bench1-", "x-bench2-"]
    assert [one.get("LAB_PORT_OFFSET") for one in seen] == [None, "140", "180"]


def test_playbook_is_ended_when_the_bench_is_told_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A playbook that injects ends; the one that takes the fault back runs to its end."""
    tools = tmp_path / "bin"
    tools.mkdir()
    program = tools / "ansible-playbook"
    program.write_text('#!/bin/sh\ncase "$*" in *present*) exec sleep 60;; esac\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr(lab.sys, "executable", str(tools / "python"))
    stop = threading.Event()
    stop.set()
    here = lab.Lab(tmp_path, stop=stop)
    with pytest.raises(lab.Stopped):
        here.inject("P99", {}, "P99-0")
    assert here.revert("P99", "P99-0").ok


def test_cut_off_line_does_not_spoil_the_log(log: records.Log) -> None:
    """A bench that is killed while it writes loses that one run."""
    log.add({"drill": "a", "variant": 0, "round": 0})
    with log.path.open("a", encoding="utf-8") as stream:
        stream.write('{"drill": "b", "var')
    assert [run["drill"] for run in log.runs()] == ["a"]


def test_problem_of_a_playbook_is_one_harmless_line() -> None:
    """The last error counts; no path of this machine and no escape sequence gets into the results."""
    output = f"[ERROR]: first\n[ERROR]: \x1b[31m{lab.PROJECT}/roles is wrong\nfatal: [localhost]: FAILED! =>\nPLAY RECAP\n"
    assert lab.problem_in(output) == "[31m./roles is wrong"
    assert lab.problem_in("") == "it said nothing"


def test_robustness_against_one_lost_finding() -> None:
    """Both findings speak for the first pattern; without the one that opens its gate the second comes first."""
    run = leave_one_out.Recorded([found("pg.one"), found("pg.two"), found("pg.other")], DOCUMENTS)
    result = leave_one_out.leave_one_out(drill(), run, PATTERNS)
    assert result is not None
    assert result["findings"] == {"tried": 2, "right": 1, "fell": {"pg.one": "second"}}


def test_nothing_is_tried_where_nothing_can_be_lost() -> None:
    """Neither on a healthy state nor after a wrong answer."""
    run = leave_one_out.Recorded([found("pg.two")], DOCUMENTS)
    assert leave_one_out.leave_one_out(drill(), run, PATTERNS) is None
    assert leave_one_out.leave_one_out(drill(top=None), run, PATTERNS) is None


@pytest.mark.parametrize(
    ("checks", "causes", "expected"),
    [
        # The second pattern is sure of itself and would change something.
        (["pg.one", "pg.two"], ["first"], leave_one_out.WRONG),
        # It is one of two real causes, so it is no mistake.
        (["pg.one", "pg.two"], ["first", "second"], leave_one_out.OTHER_CAUSE),
        # The third is sure, but only reports.
        (["pg.one", "pg.three"], ["first"], leave_one_out.HARMLESS_GUESS),
        # Nothing is left that fits.
        (["pg.one"], ["first"], leave_one_out.UNSURE),
    ],
)
def test_answer_without_the_right_pattern(checks: list[str], causes: list[str], expected: str) -> None:
    """What triage says about a fault that it does not know."""
    run = leave_one_out.Recorded([found(check) for check in checks], DOCUMENTS)
    result = leave_one_out.unknown_pattern(drill(also=causes[1:]), frozenset(["first"]), run, PATTERNS)
    assert result["outcome"] == expected


def answered(name: str, ranking: list[list[Any]], **changes: Any) -> dict[str, Any]:
    """A recorded run."""
    answer = {"ranking": ranking, "alarms": 0, "cause_alarms": 0, "missing": {}, "surplus": [], "surplus_causes": [], "action": "report_only"}
    run = {"drill": name, "variant": 0, "round": 0, "parameters": {}, "at": "2026-01-02T03:04:05Z", "status": "ok", "problem": None}
    return {**run, "seconds": {"inject": 1.0, "triage": 2.0, "revert": 3.0}, "answer": answer, **changes}


def test_written_results_read_back(tmp_path: Path) -> None:
    """The pages can be made from the committed file alone."""
    data = {"id": "P99_example", "title": "A | pipe", "expect": {"top": "first", "also": [], "service": "db"}, "safe_actions": ["x"], "dirty": ["db"]}
    runs = [answered("P99_example", [["first", "db", 88.0, "likely"]])]
    path = tmp_path / "results.json"
    records.write_results(path, {"cores": 2, "ansible_core": "2.19.0"}, [data, {**data, "id": "unused"}], runs)
    machine, drills, read = records.read_results(path)
    assert (read, list(drills)) == (runs, ["P99_example"])
    text = page.document(machine, drills, read)
    assert "| P99_example | A \\| pipe | first on db | first on db (88) |" in text
    assert "| AC@1 of the pattern | 100.0 % | 95 % |" in text


def test_wrong_answers_stand_out() -> None:
    """In bold in the table, and in a sentence of their own; so does what could not be run."""
    drills = {"P99_example": drill(), "H99_well": drill("H99_well", top=None)}
    runs = [
        answered("P99_example", [["second", "redis", 70.0, "likely"]]),
        {**answered("P99_example", []), "variant": 1, "status": "triage failed", "problem": "triage: hung <b>"},
        answered("H99_well", []),
    ]
    text = page.document({"cores": 2, "ansible_core": "2.19.0"}, drills, runs)
    assert "| **second on redis (70)** | **triage failed** |" in text
    assert "* P99_example, variant 2: triage failed: triage: hung &lt;b>" in text
    assert "P99_example, variant 1: second on redis (likely, 70); expected first on db; first action report_only\n" in page.terminal(drills, runs)
    runs[0]["load_per_core"] = 9.5
    assert "first action report_only; before, the machine had a load of 9.5 per core\n" in page.terminal(drills, runs)


def test_readme_block_replaces_only_itself() -> None:
    """What people wrote around the markers stays; without markers nothing is written."""
    drills = {"P99_example": drill()}
    block = page.readme_block(drills, [answered("P99_example", [["first", "db", 88.0, "likely"]])])
    once = page.with_block(f"above\n{page.BEGIN}\nold\n{page.END}\nbelow\n", block)
    assert once.startswith("above\n")
    assert once.endswith("\nbelow\n")
    assert "old" not in once
    assert page.with_block(once, block) == once
    with pytest.raises(ValueError, match="no place"):
        page.with_block("nothing here", block)
