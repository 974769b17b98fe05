# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks are data: what an entry may say, and how it turns one document of evidence into findings.

Pure: no file, no clock, no network. A check has three outcomes (``ok``, ``finding``, ``unknown``) and never raises:
a source that failed, a missing value and a mistake in an expression are all ``unknown``, each with its reason.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .expressions import ExpressionError, are_numbers, compile_expression, is_true, iso_time, search
from .findings import FINDING, OK, ROLES, UNKNOWN, Finding, clean_text, sort_key, value_text

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

# One list of elements may not flood the report: the worst ones are told, the others are counted.
EACH_LIMIT = 8
PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
# A plain path to a value: when that is null nobody knows. In anything longer null is what JMESPath calls false.
_PATH = re.compile(r"^[\w.]+$")
_ID = re.compile(r"^(\{target\}|[a-z][a-z0-9_]*)(\.[a-z0-9_]+)*$")


class CheckError(ValueError):
    """A check entry, a threshold or a selection is wrong; the message is one sentence for the person who wrote it."""


@dataclass(frozen=True)
class Subject:
    """One service or machine to look at.

    ``sources`` maps a source's name to what the probe answered (``machine.disk`` for one of the machine below a service);
    ``document`` is what expressions see; ``absent`` are sources that such a service never has; ``unavailable`` is the one
    sentence why nothing about it could be collected from its machine; ``elsewhere`` are sources that don't come from there.
    """

    service: str
    kind: str
    instance: str
    host: str
    document: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    unavailable: str | None = None
    elsewhere: frozenset[str] = frozenset()
    observed_at: str | None = None

    @property
    def label(self) -> str:
        """How sentences name it."""
        return f"machine {self.host}" if self.kind == "machine" else f"{self.service} on {self.host}"


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


# --------------------------------------------------------------------------------------------------------------------- validation


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


# --------------------------------------------------------------------------------------------------------------------- evaluation


class UndecidedError(Exception):
    """The check can't be answered; the text is the reason."""


def evaluate_all(checks: Sequence[Check], subjects: Sequence[Subject], check_role: str = "", until: float | None = None) -> list[Finding]:
    """Findings of all checks over all subjects, worst first. A subject that could not be reached is one ``unknown``.

    So is one whose turn would come after ``until`` (epoch), when the run has no time left.
    """
    found: list[Finding] = []
    for subject in subjects:
        fitting = [check for check in checks if subject.kind in check.entry["kinds"]]
        if until is not None and fitting and time.time() > until:
            found.append(_not_assessed(subject, fitting, check_role, "the run's time (incident_budget_s) was over before their turn came"))
            continue
        if subject.unavailable is not None:
            blind = [check for check in fitting if not subject.elsewhere.issuperset(check.entry["needs"])]
            fitting = [check for check in fitting if subject.elsewhere.issuperset(check.entry["needs"])]
            if blind:
                found.append(_not_assessed(subject, blind, check_role))
        for check in fitting:
            found.extend(evaluate(check, subject, check_role))
    return sorted(found, key=sort_key)


def _not_assessed(subject: Subject, checks: Sequence[Check], check_role: str, reason: str | None = None) -> Finding:
    finding = _blank("service.assessed", "Could the checks be made?", "state", subject, check_role)
    finding.state = UNKNOWN
    finding.reason = clean_text(reason or subject.unavailable)
    finding.summary = clean_text(f"{len(checks)} checks of {check_role or 'this role'} were not made on {subject.label}: {finding.reason}")
    return finding


def evaluate(check: Check, subject: Subject, check_role: str = "") -> list[Finding]:
    """What one check says about one subject: nothing when it does not apply, else at least one finding."""
    needs = [str(need) for need in check.entry["needs"]]
    if any(need in subject.absent for need in needs):
        return []
    try:
        _require_sources(needs, subject)
        if "when" in check.expressions and not is_true(_search(check, "when", subject.document)):
            return []
        return _answers(check, subject, check_role)
    except UndecidedError as reason:
        return [_unknown(check, subject, check_role, str(reason))]


def _require_sources(needs: Sequence[str], subject: Subject) -> None:
    for need in needs:
        source = subject.sources.get(need)
        if source is None:
            raise UndecidedError(f"{need} was not collected from {subject.label}")
        if not source.get("ok"):
            raise UndecidedError(f"{need}: {source.get('reason') or 'the source failed without a reason'}")


def _answers(check: Check, subject: Subject, check_role: str) -> list[Finding]:
    if "each" not in check.expressions:
        return [_answer(check, subject, check_role, subject.document)]
    items = _search(check, "each", subject.document)
    if not isinstance(items, list):
        raise UndecidedError(f"{check.source} gave no list to look at")
    answers = _distinct(_answer_or_unknown(check, subject, check_role, item) for item in items)
    bad = sorted((finding for finding in answers if finding.state != OK), key=sort_key)
    if len(bad) > EACH_LIMIT:
        bad[EACH_LIMIT - 1].evidence.append({"source": check.source, "text": f"and {len(bad) - EACH_LIMIT} more of the same kind"})
    if bad:
        return bad[:EACH_LIMIT]
    fine = _blank(check.id_for(subject.kind), check.entry["question"], check.entry["role"], subject, check_role, check)
    fine.state = OK
    fine.summary = clean_text(check.entry.get("ok") or (f"nothing among {len(items)}" if items else "nothing of the kind"))
    return [fine]


def _answer_or_unknown(check: Check, subject: Subject, check_role: str, item: Any) -> Finding:
    """An element that can't be judged must not hide the others."""
    try:
        return _answer(check, subject, check_role, {**subject.document, "item": item})
    except UndecidedError as reason:
        return _unknown(check, subject, check_role, str(reason))


def _distinct(answers: Iterable[Finding]) -> list[Finding]:
    """Without unknowns that say the same thing twice."""
    kept: list[Finding] = []
    reasons: set[str | None] = set()
    for finding in answers:
        if finding.state == UNKNOWN and finding.reason in reasons:
            continue
        if finding.state == UNKNOWN:
            reasons.add(finding.reason)
        kept.append(finding)
    return kept


def _answer(check: Check, subject: Subject, check_role: str, document: Mapping[str, Any]) -> Finding:
    facts: dict[str, Any] = {}
    scope = {**document, "facts": facts}
    for name in check.entry.get("facts") or {}:
        facts[name] = _search(check, f"facts.{name}", scope)
    value = None
    if "value" in check.expressions:
        value = _search(check, "value", scope)
        if value is None:
            raise UndecidedError(f"{check.source} does not tell it ({clean_text(check.entry['value'], 100)} has no value)")
    scope["value"] = value
    names = {**facts, "value": value, "unit": check.entry.get("unit"), "service": subject.service, "host": subject.host}
    if "unknown_if" in check.expressions and is_true(_search(check, "unknown_if", scope)):
        raise UndecidedError(format_text(check.entry["message"], names))
    severity = _severity(check, scope, value)
    finding = _blank(check.id_for(subject.kind), check.entry["question"], check.entry["role"], subject, check_role, check)
    finding.state = FINDING if severity else OK
    finding.severity = severity
    finding.value = value if isinstance(value, (str, bool, int, float)) else None
    if isinstance(finding.value, str):
        finding.value = clean_text(finding.value)
    if severity is None:
        finding.summary = format_text(check.entry.get("ok") or check.entry["message"], names)
        return finding
    finding.summary = format_text(check.entry["message"], names)
    finding.evidence = [
        {"source": check.source, "text": format_text(text, names)}
        for text in check.entry.get("evidence") or []
        if not any(names.get(name) in (None, "", [], {}) for name in PLACEHOLDER.findall(text))
    ]
    finding.since = iso_time(_search(check, "since", scope)) if "since" in check.expressions else None
    finding.mitigation = check.entry.get("mitigation")
    finding.target = {name: _plain(_search(check, f"target.{name}", scope)) for name in check.entry.get("target") or {}}
    return finding


def _severity(check: Check, scope: Mapping[str, Any], value: Any) -> str | None:
    for level in LEVELS:
        if f"{level}_if" in check.expressions:
            answer = _search(check, f"{level}_if", scope)
            if answer is None and value is None and _PATH.match(check.entry[f"{level}_if"]):
                raise UndecidedError(f"{check.source} does not tell it ({clean_text(check.entry[f'{level}_if'], 100)} has no value)")
            if is_true(answer):
                return level
        if level in check.thresholds and _reached(check, value, check.thresholds[level]):
            needs = f"{level}_needs"
            if needs not in check.expressions or is_true(_search(check, needs, scope)):
                return level
    return None


def _reached(check: Check, value: Any, threshold: Any) -> bool:
    operator = check.entry.get("operator", ">=")
    if operator == "in":
        return value in threshold
    if operator == "==":
        return bool(value == threshold)
    if not are_numbers(value):
        raise UndecidedError(f"{check.source} gave {value_text(value)} where a number was expected")
    outcomes: dict[str, bool] = {">=": value >= threshold, ">": value > threshold, "<=": value <= threshold, "<": value < threshold}
    return outcomes[operator]


def _search(check: Check, place: str, document: Mapping[str, Any]) -> Any:
    try:
        return search(check.expressions[place], document)
    except ExpressionError as error:
        raise UndecidedError(f"the expression {place} of check {check.raw_id} does not fit the evidence: {error}") from error


def _unknown(check: Check, subject: Subject, check_role: str, reason: str) -> Finding:
    finding = _blank(check.id_for(subject.kind), check.entry["question"], check.entry["role"], subject, check_role, check)
    finding.state = UNKNOWN
    finding.reason = clean_text(reason)
    finding.summary = finding.reason
    return finding


def _blank(check_id: str, question: str, role: str, subject: Subject, check_role: str, check: Check | None = None) -> Finding:
    thresholds = check.thresholds if check else {}
    return Finding(
        id=check_id,
        state=OK,
        service=subject.service,
        kind=subject.kind,
        instance=subject.instance,
        host=subject.host,
        question=question,
        warning=thresholds.get("warning"),
        critical=thresholds.get("critical"),
        unit=check.entry.get("unit") if check else None,
        observed_at=subject.observed_at,
        role=role,
        check_role=check_role,
    )


def _plain(value: Any) -> Any:
    """A fact for a mitigation's target: numbers and booleans as they are, text cleaned, nothing nested deeper than a list."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value[:20] if not isinstance(item, (list, dict))]
    return clean_text(value)


def format_text(template: str, names: Mapping[str, Any]) -> str:
    """Put values into our own ``{name}`` places in one pass: text from a machine is never looked at as a template."""
    return clean_text(PLACEHOLDER.sub(lambda match: value_text(names.get(match.group(1))), template))
