# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an entry of a check file may say: looked through, with the user's thresholds put in, and selected by id.

Pure: no file, no clock, no network. Every mistake is one sentence for the person who wrote the entry or the option.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .expressions import ExpressionError, are_numbers, compile_expression
from .findings import ROLES, clean_text, value_text

TARGETS = {"fastapi": "backend", "postgresql": "db", "redis": "redis", "nginx": "proxy", "external": "dep"}
KINDS = (*TARGETS, "machine")
OPERATORS = (">=", ">", "<=", "<", "==", "in")
LEVELS = ("critical", "warning", "info")

TEXT_KEYS = ("id", "question", "message", "ok", "unit", "thresholds_from", "mitigation", "privilege", "trap", "operator", "role", "fix")
EXPRESSION_KEYS = ("when", "each", "value", "since", "critical_if", "warning_if", "info_if", "unknown_if", "critical_needs", "warning_needs")
LIST_KEYS = ("kinds", "needs", "evidence")
MAP_KEYS = ("facts", "target")
KEYS = frozenset((*TEXT_KEYS, *EXPRESSION_KEYS, *LIST_KEYS, *MAP_KEYS, *LEVELS))
REQUIRED = ("id", "question", "kinds", "needs", "role", "message")
PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_ID = re.compile(r"^(\{target\}|[a-z][a-z0-9_]*)(\.[a-z0-9_]+)*$")


class CheckError(ValueError):
    """A check entry, a threshold or a selection is wrong; the message is one sentence for the person who wrote it."""


class Expressions:
    """An entry's expressions by their place, each compiled when it is first needed: where nothing is wrong most of them never are."""

    def __init__(self, texts: Mapping[str, Any]) -> None:
        self._texts = texts

    def __contains__(self, place: str) -> bool:
        return place in self._texts

    def __getitem__(self, place: str) -> Any:
        return compile_expression(self._texts[place])


@dataclass(frozen=True)
class Check:
    """A validated entry. ``thresholds`` holds only the levels that are set."""

    entry: Mapping[str, Any]
    thresholds: Mapping[str, Any]
    expressions: Expressions

    @property
    def raw_id(self) -> str:
        """The id as it is written, possibly with ``{target}``."""
        return str(self.entry["id"])

    def id_for(self, kind: str) -> str:
        """The id of its findings about a service of that kind."""
        return self.raw_id.replace("{target}", TARGETS.get(kind, "host"))

    @property
    def source(self) -> str:
        """The source that it mainly looks at."""
        return str(next(iter(self.entry["needs"]), "collect"))

    @property
    def ids(self) -> list[str]:
        """Every id that its findings can have."""
        return list(dict.fromkeys(self.id_for(kind) for kind in self.entry["kinds"]))


def entry_problems(entry: Any) -> list[str]:
    """What is wrong with one check entry, as sentences; empty when nothing is."""
    if not isinstance(entry, Mapping):
        return [f"a check must be a dictionary, not {value_text(entry)}"]
    name = f"check {clean_text(entry.get('id', '(without id)'), 80)}"
    found = [f"{name} has the unknown key {key}{_nearest(str(key), KEYS)}" for key in entry if key not in KEYS]
    # YAML reads on, off, yes and no as booleans.
    found += [f"{name}: {key}.{fact} must have a text as name" for key in MAP_KEYS for fact in entry.get(key) or {} if not isinstance(fact, str)]
    found += [f"{name} has no {key}" for key in REQUIRED if entry.get(key) is None or (entry[key] in ("", []) and key != "needs")]
    found += [f"{name}: {key} must be a text" for key in TEXT_KEYS if entry.get(key) is not None and not isinstance(entry[key], str)]
    found += [f"{name}: {key} must be a list" for key in LIST_KEYS if key in entry and not isinstance(entry[key], (list, tuple))]
    found += [f"{name}: {key} must be a dictionary" for key in MAP_KEYS if key in entry and not isinstance(entry[key], Mapping)]
    if found:
        return found
    return [f"{name}: {problem}" for problem in (*_word_problems(entry), *_level_problems(entry), *_expression_problems(entry), *_text_problems(entry))]


def _word_problems(entry: Mapping[str, Any]) -> Iterable[str]:
    if not _ID.match(entry["id"]):
        yield "its id must look like pg.conn.used_pct or {target}.container.state"
    if entry["role"] not in ROLES:
        yield f"role {entry['role']} is none of {', '.join(ROLES)}"
    if entry.get("operator", ">=") not in OPERATORS:
        yield f"operator {entry['operator']} is none of {' '.join(OPERATORS)}"
    for kind in entry["kinds"]:
        if kind not in KINDS:
            yield f"kind {kind} is none of {', '.join(KINDS)}"
    if "{target}" in entry["id"] and "machine" in entry["kinds"]:
        yield "{target} is for kinds of services, not for machines"


def _level_problems(entry: Mapping[str, Any]) -> Iterable[str]:
    operator = entry.get("operator", ">=")
    for level in LEVELS:
        problem = _threshold_problem(entry.get(level), operator)
        if problem:
            yield f"{level} {problem}"
    thresholds = [level for level in LEVELS if entry.get(level) is not None]
    if thresholds and not entry.get("value"):
        yield f"it has a threshold ({', '.join(thresholds)}) but no value"
    if not thresholds and not any(entry.get(f"{level}_if") for level in (*LEVELS, "unknown")):
        yield "it can never find anything: give a threshold or critical_if, warning_if or info_if"


def _threshold_problem(threshold: Any, operator: str) -> str | None:
    """Why that can't be compared, or None. ``==`` takes any plain value, ``in`` a list, everything else a number."""
    if threshold is None:
        return None
    if operator == "in":
        return None if isinstance(threshold, (list, tuple)) else f"must be a list for the operator in, not {value_text(threshold)}"
    if operator == "==":
        return None if isinstance(threshold, (str, bool, int, float)) else f"must be a plain value, not {value_text(threshold)}"
    return None if are_numbers(threshold) else f"must be a number, not {value_text(threshold)}"


def _expressions_of(entry: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for key in EXPRESSION_KEYS:
        if entry.get(key) is not None:
            yield key, entry[key]
    for key in MAP_KEYS:
        for name, expression in (entry.get(key) or {}).items():
            yield f"{key}.{name}", expression


def _expression_problems(entry: Mapping[str, Any]) -> Iterable[str]:
    for place, expression in _expressions_of(entry):
        try:
            compile_expression(expression)
        except ExpressionError as error:
            yield f"{place} {error}"


def _text_problems(entry: Mapping[str, Any]) -> Iterable[str]:
    known = {"value", "unit", "service", "host", *(entry.get("facts") or {})}
    texts = [("message", entry["message"]), ("ok", entry.get("ok") or ""), *(("evidence", text) for text in entry.get("evidence") or [])]
    for place, text in texts:
        if not isinstance(text, str):
            yield f"{place} must be a text, not {value_text(text)}"
            continue
        for name in PLACEHOLDER.findall(text):
            if name not in known:
                yield f"{place} uses {{{name}}}, which is no fact of it"
        if "{{" in text or "{%" in text:
            yield f"{place} must not look like a Jinja template"


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def load_checks(entries: Any, role: str = "", thresholds: Mapping[str, Any] | None = None, validated: bool = False) -> list[Check]:
    """Checks with the user's thresholds put in; raises CheckError with the first problem. ``validated`` entries are not looked through again."""
    if not isinstance(entries, (list, tuple)):
        raise CheckError(f"the checks of {role or 'the role'} must be a list, not {value_text(entries)}")
    for entry in () if validated else entries:
        problems = entry_problems(entry)
        if problems:
            raise CheckError(clean_text(problems[0], 400))
    checks = [_compiled(entry) for entry in entries]
    seen: set[str] = set()
    for check in checks:
        for check_id in check.ids:
            if check_id in seen:
                raise CheckError(f"check {check_id} of {role or 'the role'} is defined twice")
            seen.add(check_id)
    return _with_thresholds(checks, role, thresholds or {})


def _compiled(entry: Mapping[str, Any]) -> Check:
    return Check(entry, {level: entry[level] for level in LEVELS if entry.get(level) is not None}, Expressions(dict(_expressions_of(entry))))


def _with_thresholds(checks: list[Check], role: str, thresholds: Any) -> list[Check]:
    option = f"{role}_thresholds" if role else "thresholds"
    if not isinstance(thresholds, Mapping):
        raise CheckError(f"{option} must be a dictionary of check ids, not {value_text(thresholds)}")
    changed = list(checks)
    for check_id, levels in thresholds.items():
        hits = [position for position, check in enumerate(changed) if check_id == check.raw_id or check_id in check.ids]
        if not hits:
            known = [known_id for check in checks for known_id in check.ids]
            raise CheckError(f"{option} names {clean_text(check_id, 80)}, which is no check of {role or 'this role'}{_nearest(str(check_id), known)}")
        for position in hits:
            changed[position] = _overridden(changed[position], str(check_id), levels, option)
    return changed


def _overridden(check: Check, check_id: str, levels: Any, option: str) -> Check:
    where = f"{option}: {check_id}"
    if not isinstance(levels, Mapping):
        raise CheckError(f"{where} must be a dictionary such as {{warning: 70}}, not {value_text(levels)}")
    if not check.entry.get("value"):
        raise CheckError(f"{where} compares no number, so it has no threshold that could be set")
    merged = dict(check.thresholds)
    for level, number in levels.items():
        if level not in LEVELS:
            raise CheckError(f"{where} has the unknown level {clean_text(level, 40)}; use {', '.join(LEVELS)}")
        problem = _threshold_problem(number, str(check.entry.get("operator", ">=")))
        if problem:
            raise CheckError(f"{where}.{level} {problem}")
        merged.pop(level, None)
        if number is not None:
            merged[level] = number
    return Check(check.entry, merged, check.expressions)


def select_checks(checks: Sequence[Check], only: Sequence[str] = (), skip: Sequence[str] = ()) -> list[Check]:
    """The checks with an id that matches one of the globs in ``only`` (empty: all) and none in ``skip``."""

    def matches(check: Check, globs: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(check_id, glob) for check_id in (check.raw_id, *check.ids) for glob in globs)

    return [check for check in checks if (not only or matches(check, only)) and not matches(check, skip)]
