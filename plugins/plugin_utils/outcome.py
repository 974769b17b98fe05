# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action ``diagnose`` does, without Ansible: from the findings of a run to its diagnosis, proposals, severity and verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .diagnosis import Scope, diagnose, entry, exonerated, service_states, verdict
from .estate import Estate
from .findings import FINDING, SEVERITY_ORDER, UNKNOWN, Finding
from .patterns import Pattern, load_patterns
from .proposals import choose_action, propose
from .severity import suggest
from .shapes import items

__all__ = ["breaches", "check_fail_on", "conclude", "findings_of", "load_patterns"]

FAIL_ON = ("", "warning", "critical")


def check_fail_on(level: str) -> None:
    """ValueError for a level that is none."""
    if level not in FAIL_ON:
        raise ValueError(f"incident_fail_on is {level!r}: use critical, warning, or nothing to never fail")


def findings_of(documents: Mapping[str, Any]) -> list[Finding]:
    """All findings that the roles of a run stored."""
    found: list[Finding] = []
    for name in sorted(documents):
        content = documents[name]
        stored = content.get("findings") if isinstance(content, Mapping) else None
        found.extend(Finding.from_dict(item) for item in items(stored) if item.get("id") and item.get("state"))
    return found


def conclude(findings: Sequence[Finding], documents: Iterable[Mapping[str, Any]], patterns: Sequence[Pattern]) -> dict[str, Any]:
    """``incident_diagnosis`` of docs/architecture.md."""
    estate = Estate(documents)
    ranked = diagnose(findings, patterns, estate)
    found, unknown = (Scope((finding for finding in findings if finding.state == state), estate) for state in (FINDING, UNKNOWN))
    everything = Scope(findings, estate)
    actions = [choose_action(one, found) for one in ranked]
    severity, reason = suggest(findings, estate)
    return {
        "diagnosis": [entry(one, unknown, action.as_dict()) for one, action in zip(ranked, actions, strict=True)],
        "proposals": propose(ranked, actions),
        "severity": severity,
        "severity_reason": reason,
        "exonerated": exonerated(everything),
        "services": service_states(everything),
        "not_assessed": estate.not_assessed(),
        "verdict": verdict(ranked, estate),
    }


def breaches(findings: Iterable[Finding], fail_on: str) -> int:
    """How many findings are of the level that shall fail the play, or above."""
    if not fail_on:
        return 0
    floor = SEVERITY_ORDER[fail_on]
    return sum(1 for finding in findings if finding.state == FINDING and SEVERITY_ORDER.get(finding.severity or "", -1) >= floor)
