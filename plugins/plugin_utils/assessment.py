# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action ``assess`` does, without Ansible: choose the checks, build the picture, evaluate, and sum up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .checks import EXPRESSION_KEYS, Check, CheckError, evaluate_all, load_checks, select_checks
from .derived import SOURCES_OF
from .estate import Estate
from .evidence import SOURCES
from .findings import FINDING, OK, SEVERITIES, UNKNOWN, Finding
from .history import previous_releases
from .text import plural

__all__ = ["CheckError", "assess", "chosen_checks", "counts", "short", "sources_of"]

_WORD = re.compile(r"(?<![\w.])(?:machine\.)?([a-z_]+)(?=\.)")
_DERIVED = re.compile(r"derived\.([a-z_]+)")


def chosen_checks(entries: Any, role: str, thresholds: Mapping[str, Any], only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    """The role's checks with the user's thresholds and selection; raises CheckError with one sentence."""
    return select_checks(load_checks(entries, role, thresholds), only, skip)


def sources_of(checks: Sequence[Check]) -> list[str]:
    """Names of all sources that the checks look at: those they need, and those that their expressions only mention."""
    names: set[str] = set()
    for check in checks:
        names.update(str(need).removeprefix("machine.") for need in check.entry["needs"])
        for text in _expressions(check):
            names.update(_WORD.findall(text))
            for fact in _DERIVED.findall(text):
                names.update(SOURCES_OF.get(fact, ()))
    return sorted(names & set(SOURCES))


def _expressions(check: Check) -> list[str]:
    """The texts of an entry's expressions without what stands in quotes."""
    texts = [str(check.entry[key]) for key in EXPRESSION_KEYS if check.entry.get(key)]
    texts += [str(value) for key in ("facts", "target") for value in (check.entry.get(key) or {}).values()]
    return [re.sub(r"'[^']*'", "", text) for text in texts]


def assess(checks: Sequence[Check], documents: Sequence[Mapping[str, Any]], role: str, host: str | None, run: Path) -> list[Finding]:
    """Findings of the checks about one host's services, or about all (``host`` None). ``run`` is the folder of this run."""
    remember = any("derived.deploy" in text for check in checks for text in _expressions(check))
    previous = previous_releases(documents, run) if remember else None
    estate = Estate(documents, previous)
    return evaluate_all(checks, list(estate.subjects(host)), role)


def short(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """What a playbook may want to look at after ``register``: everything that is not ok, in few keys."""
    return [
        {"id": finding.id, "state": finding.state, "severity": finding.severity, "service": finding.service, "host": finding.host, "summary": finding.summary}
        for finding in findings
        if finding.state != OK and finding.severity != "info"
    ]


def counts(findings: Sequence[Finding]) -> str:
    """``1 critical, 2 unknown, 14 ok``."""
    parts = []
    for severity in reversed(SEVERITIES):
        number = sum(1 for finding in findings if finding.state == FINDING and finding.severity == severity)
        if number:
            parts.append(f"{number} {severity}")
    for state in (UNKNOWN, OK):
        number = sum(1 for finding in findings if finding.state == state)
        if number:
            parts.append(f"{number} {state}")
    return ", ".join(parts) or f"none of {plural(0, 'check')} applies"
