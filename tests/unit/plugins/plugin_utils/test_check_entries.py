# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check entries: every mistake in one is one clear sentence, and the user's thresholds and selection win."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import CheckError, entry_problems, load_checks, select_checks
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.check_samples import entry


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tresholds": 1}, "unknown key tresholds"),
        ({"criticl": 1}, "did you mean critical?"),
        ({"question": None}, "has no question"),
        ({"needs": None}, "has no needs"),
        ({"kinds": ["mysql"]}, "kind mysql is none of"),
        ({"role": "reason"}, "role reason is none of cause, symptom, state, change"),
        ({"operator": "=>"}, "operator => is none of"),
        ({"warning": "80"}, "warning must be a number, not 80"),
        ({"warning": True}, "warning must be a number, not yes"),
        ({"operator": "in", "warning": 80}, "warning must be a list"),
        ({"value": "postgresql.[used"}, "value is no JMESPath"),
        ({"value": "lenght(postgresql.x)"}, "value calls lenght(), which does not exist"),
        ({"when": "!postgresql.up"}, "when needs parentheses after the exclamation mark: !(postgresql....)"),
        ({"facts": {"a": "b..c"}}, "facts.a is no JMESPath"),
        ({"facts": {True: "b"}}, "must have a text as name"),
        ({"facts": {"a": 3}}, "facts.a must be a JMESPath text"),
        ({"message": "{vlue} %"}, "message uses {vlue}, which is no fact of it"),
        ({"message": "{{ value }}"}, "message must not look like a Jinja template"),
        ({"value": None}, "it has a threshold (critical, warning) but no value"),
        ({"value": None, "warning": None, "critical": None}, "it can never find anything"),
        ({"id": "Pg Conn"}, "its id must look like"),
        ({"id": "{target}.x", "kinds": ["machine"]}, "{target} is for kinds of services"),
        ({"evidence": "text"}, "evidence must be a list"),
    ],
)
def test_wrong_entry_is_one_clear_sentence(changes: dict[str, Any], problem: str) -> None:
    problems = entry_problems(entry(**changes))
    assert any(problem in said for said in problems), problems
    with pytest.raises(CheckError):
        load_checks([entry(**changes)])


@pytest.mark.parametrize("entries", ["text", {"id": "x"}, [3], [None]])
def test_checks_that_are_no_list_of_entries_are_refused(entries: Any) -> None:
    with pytest.raises(CheckError):
        load_checks(entries, "pg_connection_check")


def test_one_id_twice_is_refused() -> None:
    with pytest.raises(CheckError, match=r"pg\.conn\.used_pct of pg_connection_check is defined twice"):
        load_checks([entry(), entry()], "pg_connection_check")


def test_id_names_the_kind_of_service() -> None:
    (check,) = load_checks([entry(id="{target}.container.state", kinds=["postgresql", "nginx", "fastapi"])])
    assert check.ids == ["db.container.state", "proxy.container.state", "backend.container.state"]


def test_threshold_by_the_id_of_one_kind_or_of_all() -> None:
    entries = [entry(id="{target}.full", kinds=["postgresql", "nginx"])]
    for check_id in ("{target}.full", "db.full"):
        (check,) = load_checks(entries, "x", {check_id: {"warning": 5}})
        assert check.thresholds["warning"] == 5


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"pg.conn.usedpct": {"warning": 1}}, r"pg_connection_check_thresholds names pg\.conn\.usedpct, .* did you mean pg\.conn\.used_pct\?"),
        ({"pg.conn.used_pct": {"fatal": 1}}, r"pg\.conn\.used_pct has the unknown level fatal; use critical, warning, info"),
        ({"pg.conn.used_pct": {"warning": "many"}}, r"pg\.conn\.used_pct\.warning must be a number, not many"),
        ({"pg.conn.used_pct": 5}, r"must be a dictionary such as \{warning: 70\}, not 5"),
        (["pg.conn.used_pct"], r"pg_connection_check_thresholds must be a dictionary"),
    ],
)
def test_wrong_threshold_is_one_clear_sentence(thresholds: Any, message: str) -> None:
    with pytest.raises(CheckError, match=message):
        load_checks([entry()], "pg_connection_check", thresholds)


@pytest.mark.parametrize(
    ("only", "skip", "left"),
    [
        ([], [], ["pg.up", "pg.conn.used_pct", "{target}.full"]),
        (["pg.*"], [], ["pg.up", "pg.conn.used_pct"]),
        (["db.*"], [], ["{target}.full"]),
        ([], ["pg.conn.*"], ["pg.up", "{target}.full"]),
        (["pg.*"], ["pg.up"], ["pg.conn.used_pct"]),
        (["nothing"], [], []),
    ],
)
def test_checks_are_selected_by_globs(only: list[str], skip: list[str], left: list[str]) -> None:
    checks = load_checks([entry(id="pg.up"), entry(), entry(id="{target}.full")])
    assert [check.raw_id for check in select_checks(checks, only, skip)] == left
