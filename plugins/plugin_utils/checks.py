# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks are data: how they turn one document of evidence into findings. What an entry may say is in check_entries.py.

Pure: no file, no clock, no network. A check has three outcomes (``ok``, ``finding``, ``unknown``) and never raises:
a source that failed, a missing value and a mistake in an expression are all ``unknown``, each with its reason.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .check_entries import LEVELS, PLACEHOLDER, Check
from .expressions import ExpressionError, are_numbers, is_true, iso_time, search
from .findings import FINDING, OK, UNKNOWN, Finding, clean_text, sort_key, value_text

# One list of elements may not flood the report: the worst ones are told, the others are counted.
EACH_LIMIT = 8
# A plain path to a value: when that is null nobody knows. In anything longer null is what JMESPath calls false.
_PATH = re.compile(r"^[\w.]+$")


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
