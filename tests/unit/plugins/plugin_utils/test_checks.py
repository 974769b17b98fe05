# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks: three outcomes with honest reasons, and no evidence that can raise, be evaluated as a template, or flood the report."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import load_checks
from ansible_collections.sre.incident_response.plugins.plugin_utils.checks import EACH_LIMIT, Subject, evaluate_all
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, OK, UNKNOWN, Finding
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.check_samples import entry


def subject(data: Any = None, **changes: Any) -> Subject:
    """A database whose source ``postgresql`` answered with ``data``."""
    values: dict[str, Any] = {
        "service": "db",
        "kind": "postgresql",
        "instance": "app-db",
        "host": "db1",
        "document": {"postgresql": data or {}, "now": 1000.0},
        "sources": {"postgresql": {"ok": True, "data": data or {}}},
    }
    return Subject(**{**values, **changes})


def answers(data: Any = None, changes: dict[str, Any] | None = None, **about: Any) -> list[Finding]:
    """What the sample entry, changed, says about a database."""
    return evaluate_all(load_checks([entry(**(changes or {}))]), [subject(data, **about)], "pg_connection_check")


def answer(data: Any = None, changes: dict[str, Any] | None = None, **about: Any) -> Finding:
    """The same when there is exactly one finding."""
    (finding,) = answers(data, changes, **about)
    return finding


@pytest.mark.parametrize(
    ("value", "changes", "severity"),
    [
        (79.9, {}, None),
        (80, {}, "warning"),
        (90, {}, "critical"),
        (5, {"operator": "<", "warning": 14, "critical": 3}, "warning"),
        (2, {"operator": "<", "warning": 14, "critical": 3}, "critical"),
        (14, {"operator": "<", "warning": 14, "critical": 3}, None),
        (80, {"operator": ">"}, None),
        (80, {"operator": "<="}, "critical"),
        ("exited", {"operator": "in", "warning": ["created"], "critical": ["exited", "dead"]}, "critical"),
        ("running", {"operator": "in", "warning": ["created"], "critical": ["exited", "dead"]}, None),
        ("on", {"operator": "==", "warning": "on", "critical": None}, "warning"),
        (95, {"critical_needs": "postgresql.others > `10`"}, "warning"),
        (95, {"critical_needs": "postgresql.used_pct > `10`"}, "critical"),
        (10, {"critical_if": "postgresql.used_pct == `10`"}, "critical"),
        (10, {"info_if": "postgresql.used_pct == `10`"}, "info"),
        (85, {"info_if": "`true`"}, "warning"),
    ],
)
def test_thresholds_decide_the_severity(value: Any, changes: dict[str, Any], severity: str | None) -> None:
    found = answer({"used_pct": value}, changes)
    assert (found.state, found.severity) == (FINDING if severity else OK, severity)
    assert found.value == value


def test_finding_says_everything_of_the_contract() -> None:
    changes = {
        "facts": {"pid": "postgresql.pid", "missing": "postgresql.nothing"},
        "message": "session {pid} uses {value} %",
        "evidence": ["its id is {pid}", "this line has {missing} and is left out"],
        "target": {"pid": "facts.pid"},
        "mitigation": "terminate_pg_idle",
        "since": "postgresql.when",
    }
    found = answer({"used_pct": 95.04, "pid": 4711, "when": "2026-11-23T14:00:00.123456789Z"}, changes)
    assert found.as_dict() == {
        "id": "pg.conn.used_pct",
        "state": "finding",
        "severity": "critical",
        "service": "db",
        "kind": "postgresql",
        "instance": "app-db",
        "host": "db1",
        "summary": "session 4711 uses 95 %",
        "question": "How full are the connection slots?",
        "value": 95.04,
        "warning": 80,
        "critical": 90,
        "unit": "%",
        "since": "2026-11-23T14:00:00Z",
        "observed_at": None,
        "role": "cause",
        "check_role": "pg_connection_check",
        "evidence": [{"source": "postgresql", "text": "its id is 4711"}],
        "mitigation": "terminate_pg_idle",
        "target": {"pid": 4711},
        "reason": None,
    }


@pytest.mark.parametrize(
    ("data", "changes", "about", "reason"),
    [
        ({}, {}, {}, "postgresql does not tell it (postgresql.used_pct has no value)"),
        ({"used_pct": None}, {}, {}, "postgresql does not tell it (postgresql.used_pct has no value)"),
        ({"used_pct": "many"}, {}, {}, "postgresql gave many where a number was expected"),
        ({}, {}, {"sources": {"postgresql": {"ok": False, "reason": "no answer in 5 s"}}}, "postgresql: no answer in 5 s"),
        ({}, {}, {"sources": {}}, "postgresql was not collected from db on db1"),
        ({}, {"value": None, "warning": None, "critical": None, "critical_if": "postgresql.broken"}, {}, "postgresql does not tell it"),
        ({"list": None}, {"each": "postgresql.list", "value": "item.n"}, {}, "postgresql gave no list to look at"),
        ({"used_pct": 5, "apps": 3}, {"facts": {"n": "length(postgresql.apps)"}}, {}, "the expression facts.n of check pg.conn.used_pct does not fit"),
        ({"used_pct": 5}, {"unknown_if": "`true`", "message": "nobody knows"}, {}, "nobody knows"),
    ],
)
def test_what_can_not_be_answered_is_unknown_with_its_reason(data: Any, changes: dict[str, Any], about: dict[str, Any], reason: str) -> None:
    found = answer(data, changes, **about)
    assert (found.state, found.severity) == (UNKNOWN, None)
    assert found.reason is not None
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"when": "postgresql.used_pct > `200`"}, {}),
        ({"kinds": ["redis"]}, {}),
        ({}, {"sources": {}, "absent": frozenset(["postgresql"])}),
    ],
    ids=["its condition is false", "another kind of service", "a source that such a service never has"],
)
def test_what_does_not_apply_is_left_out(changes: dict[str, Any], about: dict[str, Any]) -> None:
    assert answers({"used_pct": 99}, changes, **about) == []


def test_failed_source_is_unknown_even_when_the_condition_would_be_false() -> None:
    found = answer({}, {"when": "postgresql.up"}, sources={"postgresql": {"ok": False, "reason": "refused"}})
    assert found.state == UNKNOWN


def test_unreachable_machine_is_one_unknown_and_not_one_per_check() -> None:
    checks = load_checks([entry(), entry(id="pg.up"), entry(id="host.reachable", needs=[], value=None, warning=None, critical=None, critical_if="`true`")])
    found = evaluate_all(checks, [subject(unavailable="machine db1 could not be reached: timed out")], "pg_connection_check")
    assert [(one.id, one.state) for one in found] == [("host.reachable", FINDING), ("service.assessed", UNKNOWN)]
    assert "2 checks of pg_connection_check were not made on db on db1: machine db1 could not be reached" in found[1].summary


def test_each_element_gets_its_own_finding_and_the_good_ones_one_together() -> None:
    changes = {"each": "postgresql.clients", "value": "item.n", "facts": {"who": "item.app"}, "message": "{who} holds {value}", "warning": 10, "critical": 20}
    data = {"clients": [{"app": "a", "n": 1}, {"app": "b", "n": 15}, {"app": "c", "n": 30}, {"app": "d"}]}
    assert [(one.severity, one.summary) for one in answers(data, changes)] == [
        ("critical", "c holds 30"),
        ("warning", "b holds 15"),
        (None, "postgresql does not tell it (item.n has no value)"),
    ]
    (fine,) = answers({"clients": [{"app": "a", "n": 1}]}, {**changes, "ok": "nobody holds many"})
    assert (fine.state, fine.summary) == (OK, "nobody holds many")
    (none,) = answers({"clients": []}, changes)
    assert none.state == OK


def test_many_bad_elements_do_not_flood_the_report() -> None:
    found = answers({"clients": [{"n": 100 + number} for number in range(100)]}, {"each": "postgresql.clients", "value": "item.n"})
    assert len(found) == EACH_LIMIT
    assert found[-1].evidence[-1]["text"] == f"and {100 - EACH_LIMIT} more of the same kind"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ lookup('pipe', 'id') }} {pid} {value.__class__}", "{{ lookup('pipe', 'id') }} {pid} {value.__class__}"),
        ("\x1b[2J\x1b]0;title\x07red\x1b[31m\r\nnext\x00\u202eleft", "red nextleft"),
        ("<script>alert(1)</script> $(touch /tmp/x) `id` %s", "<script>alert(1)</script> $(touch /tmp/x) `id` %s"),
        ("x" * 5000, "x" * 77 + "..."),
    ],
)
def test_text_from_a_machine_stays_text(text: str, shown: str) -> None:
    changes = {"facts": {"app": "postgresql.app", "pid": "postgresql.pid"}, "message": "{app}", "evidence": ["{app}"], "target": {"app": "postgresql.app"}}
    found = answer({"used_pct": 99, "app": text, "pid": 1}, changes)
    assert found.summary == shown
    for said in (found.summary, found.evidence[0]["text"], found.target["app"]):
        assert len(said) <= 200
        assert said.isprintable()


@pytest.mark.parametrize("data", [[], "text", 5, {"used_pct": {"deep": 1}}, {"used_pct": []}, {"used_pct": True}, {"used_pct": float("nan")}])
def test_evidence_of_any_shape_never_raises(data: Any) -> None:
    changes = {"facts": {"a": "postgresql.a.b[0].c", "b": "percent(postgresql.x, postgresql.y)"}, "message": "{a} {b}", "target": {"a": "postgresql"}}
    found = answers(data, changes, document={"postgresql": data}, sources={"postgresql": {"ok": True}})
    assert len(found) == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [(3, "3"), (3.0, "3"), (3.14159, "3.14"), (3.10, "3.1"), (31.4159, "31.4"), (314.159, "314"), (1048576, "1048576"), (0.001, "0"), (-2.5, "-2.5")],
)
def test_numbers_are_rounded_as_people_write_them(number: float, text: str) -> None:
    assert answer({"used_pct": 99, "n": number}, {"facts": {"n": "postgresql.n"}, "message": "{n}"}).summary == text


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("percent(`1`, `4`)", 25.0),
        ("percent(`1`, `0`)", None),
        ("percent(postgresql.nothing, `4`)", None),
        ("minus(`3`, `1`)", 2),
        ("divide(`3`, `2`)", 1.5),
        ("divide(`3`, `0`)", None),
        ("matches('PANIC: x', '^PANIC')", True),
        ("matches(postgresql.nothing, 'x')", None),
        ("epoch('1970-01-01T00:01:00Z')", 60.0),
        ("epoch('1970-01-01 01:00:00.5+01')", 0.5),
        ("epoch('soon')", None),
        ("age(now, '1970-01-01T00:01:00Z')", 940.0),
        ("age(now, postgresql.nothing)", None),
        ("either(postgresql.nothing, 'x')", "x"),
        ("round(`2.345`, `1`)", 2.3),
        ("count(['a', 'b'])", 2),
        ("pairs({b: `1`, a: `2`})[0][0]", "a"),
        ("size(`1572864`)", "1.5 MB"),
        ("duration(`90`)", "90 s"),
        ("duration(`5400`)", "90 min"),
    ],
)
def test_functions_give_null_for_what_is_missing(expression: str, value: Any) -> None:
    found = answer({"used_pct": 99}, {"facts": {"n": expression}, "target": {"n": "facts.n"}, "message": "{n}"})
    assert found.target["n"] == value


def test_finding_has_the_id_of_its_kind_of_service() -> None:
    assert answer({"used_pct": 99}, {"id": "{target}.full"}).id == "db.full"


def test_thresholds_of_the_user_win() -> None:
    (check,) = load_checks([entry()], "pg_connection_check", {"pg.conn.used_pct": {"warning": 50, "critical": None}})
    (found,) = evaluate_all([check], [subject({"used_pct": 99})])
    assert (found.severity, found.warning, found.critical) == ("warning", 50, None)
