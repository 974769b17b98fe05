# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of the accuracy bench against numbers that were worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sre.incident_response.tests.bench.accuracy import scores
from ansible_collections.sre.incident_response.tests.bench.accuracy.drills import Drill, causes_of, matches, parse, services_of

ONE = (frozenset(["a"]),)
TWO = (frozenset(["a"]), frozenset(["b"]))
EITHER = (frozenset(["a", "b"]),)


def drill(**changes: Any) -> Drill:
    """A drill that expects the pattern a on the database."""
    expect = {"top": "a", "also": [], "service": "db", "findings": {"pg.up": "critical", "http.ready": "warning"}, **changes.pop("expect", {})}
    return parse({"id": "P99_example", "title": "Example", "expect": expect, "safe_actions": ["start_service"], **changes})


def run(name: str, ranking: list[list[Any]], seconds: float = 3.0, **changes: Any) -> dict[str, Any]:
    """One recorded run."""
    answer = {"ranking": ranking, "alarms": 0, "cause_alarms": 0, "missing": {}, "surplus": [], "surplus_causes": [], "action": "report_only"}
    answer.update(changes.pop("answer", {}))
    return {"drill": name, "variant": 0, "round": 0, "status": "ok", "seconds": {"triage": seconds}, "answer": answer, **changes}


@pytest.mark.parametrize(
    ("ranked", "causes", "at_1", "at_3", "average"),
    [
        (["a", "x", "y"], ONE, 1.0, 1.0, 1.0),
        # The only cause in second place: 0 + 1 + 1 + 1 + 1.
        (["x", "a"], ONE, 0.0, 1.0, 0.8),
        (["x", "y", "z", "a"], ONE, 0.0, 0.0, 0.4),
        ([], ONE, 0.0, 0.0, 0.0),
        # Two causes: at 1 one place can hold only one of them, so one is all; 1 + 2/2 + 2/2 + 2/2 + 2/2.
        (["b", "a"], TWO, 1.0, 1.0, 1.0),
        # 1 + 1/2 + 2/2 + 2/2 + 2/2.
        (["a", "x", "b"], TWO, 1.0, 1.0, 0.9),
        # The second cause is never named: 1 + 4 times 1/2.
        (["a", "x"], TWO, 1.0, 0.5, 0.6),
        (["x", "a", "b"], TWO, 0.0, 1.0, 0.7),
        # Two names of one cause.
        (["b"], EITHER, 1.0, 1.0, 1.0),
        (["x", "b", "a"], EITHER, 0.0, 1.0, 0.8),
    ],
)
def test_accuracy_of_one_case(ranked: list[str], causes: Any, at_1: float, at_3: float, average: float) -> None:
    """AC@1, AC@3 and Avg@5 as the literature defines them."""
    assert scores.ac_at(1, ranked, causes) == at_1
    assert scores.ac_at(3, ranked, causes) == at_3
    assert scores.avg_at_5(ranked, causes) == pytest.approx(average)


def test_only_an_accepted_pattern_is_right_as_the_first() -> None:
    """A true cause that the drill wants further down is not right in the first place."""
    assert scores.ac_at(1, ["b", "a"], TWO, first=frozenset(["a"])) == 0.0
    assert scores.ac_at(3, ["b", "a"], TWO, first=frozenset(["a"])) == 1.0


@pytest.mark.parametrize(
    ("top", "also", "causes"),
    [
        ([], [], ()),
        (["a"], [], ONE),
        (["a"], ["b"], TWO),
        (["a", "b"], ["a", "b"], TWO),
        (["a", "b"], ["b"], TWO),
        (["a", "b"], [], EITHER),
    ],
)
def test_causes_of_a_drill(top: list[str], also: list[str], causes: Any) -> None:
    """A combined incident has two causes, two names for one thing are one."""
    assert causes_of(top, also) == causes


def test_services_of_a_drill() -> None:
    """Several services are alternatives for one cause, and one each for several."""
    assert services_of(["db", "machine"], ONE) == (frozenset(["db", "machine"]),)
    assert services_of(["db", "redis"], TWO) == (frozenset(["db"]), frozenset(["redis"]))
    assert services_of([], ()) == ()


def test_drills_are_chosen_by_id_short_id_or_glob() -> None:
    """A short id does not match a longer one that begins alike."""
    assert matches("P03_row_lock", "p03")
    assert matches("P03_row_lock", "P03_row_lock")
    assert matches("P03_row_lock", "P0*")
    assert not matches("P03_row_lock", "P0")


SERVICES = [{"name": "shop", "kind": "fastapi", "host": "web1"}, {"name": "orders", "kind": "postgresql", "host": "db1"}]


@pytest.mark.parametrize(
    ("service", "host", "place"), [("orders", "db1", "db"), ("shop", "web1", "backend"), ("orders", "web1", "machine"), ("web1", "web1", "machine")]
)
def test_place_of_a_diagnosis(service: str, host: str, place: str) -> None:
    """The data names places by kind; what is no service is a machine."""
    assert scores.place_of({"service": service, "host": host}, SERVICES) == place


def test_recall_asks_for_severity_and_precision_for_expectation() -> None:
    """A finding that is weaker than expected is missing; an alarm that nobody expected is surplus; info alarms nobody."""
    findings = [
        {"id": "pg.up", "state": "finding", "severity": "warning", "role": "cause"},
        {"id": "pg.up", "state": "finding", "severity": "info", "role": "cause"},
        {"id": "http.ready", "state": "unknown", "severity": None, "role": "symptom"},
        {"id": "redis.up", "state": "finding", "severity": "critical", "role": "cause"},
        {"id": "http.latency", "state": "finding", "severity": "warning", "role": "symptom"},
        {"id": "host.load", "state": "finding", "severity": "info", "role": "state"},
    ]
    entry = {"pattern": "b", "service": "orders", "host": "db1", "score": 61.5, "verdict": "likely", "first_action": {"mitigation": "rollback"}}
    report = {"findings": findings, "services": SERVICES, "diagnosis": [entry], "proposals": []}
    assert scores.judge(drill(), report) == {
        "ranking": [["b", "db", 61.5, "likely"]],
        "alarms": 3,
        "cause_alarms": 2,
        "missing": {"pg.up": "warning", "http.ready": "nothing"},
        "surplus": ["http.latency"],
        "surplus_causes": ["redis.up"],
        "action": "rollback",
    }
    assert scores.precision([(3, 2), (5, 0)]) == 0.75
    assert scores.precision([]) is None


@pytest.mark.parametrize(("action", "safe"), [("start_service", True), ("report_only", True), ("rollback", False), (None, False)])
def test_first_action_of_an_incident(action: str | None, safe: bool) -> None:
    """Listed or only a report; saying nothing at all helps nobody."""
    assert scores.is_safe(drill(), action) is safe


def test_first_action_of_a_healthy_state() -> None:
    """Any action is one too many."""
    healthy = drill(expect={"top": None, "service": None})
    assert scores.is_safe(healthy, None)
    assert not scores.is_safe(healthy, "report_only")


def test_percentile_is_a_measured_value() -> None:
    """Nearest rank: no value is made up between two others."""
    assert scores.percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert scores.percentile([float(number) for number in range(1, 41)], 95) == 38.0
    assert scores.percentile([7.0], 95) == 7.0
    assert scores.percentile([], 50) is None


def test_totals_over_all_runs() -> None:
    """Three faults, one of them with a triage that failed, one drill that could not be injected, one healthy state that alarmed."""
    drills = {"sick": drill(), "well": drill(expect={"top": None, "service": None, "findings": {}})}
    lost = {"findings": {"tried": 4, "right": 3, "fell": {"pg.up": "b"}}, "patterns": [{"without": ["a"], "first": "b", "outcome": "unsure"}]}
    right = {"alarms": 4, "cause_alarms": 2, "surplus": ["http.latency"], "surplus_causes": [], "action": "start_service"}
    runs = [
        run("sick", [["a", "db", 90, "likely"]], 2.0, answer=right, leave_one_out=lost),
        run("sick", [["b", "db", 70, "likely"], ["a", "db", 60, "likely"]], 4.0, answer={"missing": {"pg.up": "nothing"}, "action": "rollback"}),
        run("sick", [], status="triage failed"),
        run("sick", [], status="not injected"),
        run("well", [], 9.0, answer={"alarms": 1, "surplus": ["http.latency"], "action": None}),
        run("well", [], 1.0, answer={"action": None}),
    ]
    sums = scores.totals(drills, runs)
    assert (sums.incidents, sums.healthy, sums.not_run) == (3, 2, 1)
    assert sums.pattern["AC@1"] == pytest.approx(1 / 3)
    assert sums.pattern["AC@3"] == pytest.approx(2 / 3)
    assert sums.pattern["Avg@5"] == pytest.approx((1.0 + 0.8 + 0.0) / 3)
    assert sums.service["AC@1"] == pytest.approx(2 / 3)
    # Two of two, one of two, and none of two where triage failed.
    assert sums.recall == pytest.approx(3 / 6)
    assert (sums.precision, sums.cause_precision) == (0.75, 1.0)
    # Of five cases: the right fault and both healthy states.
    assert sums.safe == pytest.approx(3 / 5)
    assert (sums.healthy_alarms, sums.healthy_diagnoses, sums.healthy_clean) == (1, 0, 1)
    assert (sums.triage_median_s, sums.triage_p95_s) == (2.0, 9.0)
    assert (sums.lost_signal, sums.no_pattern) == ((3, 4), {"unsure": 1})
