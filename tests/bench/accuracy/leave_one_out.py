# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much an answer hangs on one signal or one pattern: recorded findings are ranked again without it. Needs no lab.

Two questions. Does the right cause still come first when any single finding that speaks for it is missing? And what does triage say when it
does not know the fault's pattern at all: then an honest answer is "unclassified", a possible cause, or one that proposes no change; a likely
wrong cause with a change as its first action would make somebody break more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment, outcome
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.patterns import Pattern
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

from .drills import PROJECT, Cause, Drill
from .scores import HARMLESS

PATTERNS = PROJECT / "roles/incident_diagnosis/files/patterns"

# Outcomes without the fault's own pattern, the best first.
OTHER_CAUSE, UNSURE, HARMLESS_GUESS, WRONG = "right other cause", "unsure", "likely, but changes nothing", "confidently wrong"
OUTCOMES = (OTHER_CAUSE, UNSURE, HARMLESS_GUESS, WRONG)


@dataclass(frozen=True)
class Recorded:
    """What a run of triage left: its findings, and the evidence that says who calls whom."""

    findings: list[Finding]
    documents: list[dict[str, Any]]

    def diagnosed(self, patterns: Sequence[Pattern], without: str = "") -> dict[str, Any]:
        """What ``incident_diagnosis`` would have been with those patterns, and without the findings of one check."""
        return outcome.conclude([finding for finding in self.findings if finding.id != without], self.documents, patterns)


def recorded(state_dir: Path) -> Recorded:
    """The newest run in a state directory, as triage assessed it."""
    workspace = Workspace.open((state_dir / "latest").resolve(strict=True))
    return Recorded(outcome.findings_of(workspace.findings()), [document for _host, document in workspace.all_evidence()])


def assessed_again(state_dir: Path) -> Recorded:
    """The newest run's evidence, assessed with the checks as they are now."""
    folder = (state_dir / "latest").resolve(strict=True)
    documents = [document for _host, document in Workspace.open(folder).all_evidence()]
    findings: list[Finding] = []
    for path in sorted((PROJECT / "roles").glob("*/files/checks.yml")):
        role = path.parents[1].name
        findings += assessment.assess(assessment.chosen_checks(str(path), role, {}, None, None), documents, role, None, folder)
    return Recorded(findings, documents)


def report_of(run: Recorded, patterns: Sequence[Pattern]) -> dict[str, Any]:
    """Those parts of report.json that are scored."""
    diagnosed = run.diagnosed(patterns)
    return {
        "findings": [finding.as_dict() for finding in run.findings],
        "diagnosis": diagnosed["diagnosis"],
        "proposals": diagnosed["proposals"],
        "services": diagnosed["services"],
    }


def leave_one_out(drill: Drill, run: Recorded, patterns: Sequence[Pattern]) -> dict[str, Any] | None:
    """Both questions about one run; None where nothing is wrong or the full answer was not right, so that nothing could be lost."""
    if drill.healthy or first_pattern(run.diagnosed(patterns)) not in drill.first:
        return None
    fell = {}
    signals = speaking_for(drill, run, patterns)
    for check in signals:
        first = first_pattern(run.diagnosed(patterns, without=check))
        if first not in drill.first:
            fell[check] = first
    return {
        "findings": {"tried": len(signals), "right": len(signals) - len(fell), "fell": fell},
        "patterns": [unknown_pattern(drill, cause, run, patterns) for cause in drill.causes],
    }


def first_pattern(diagnosed: Mapping[str, Any]) -> str | None:
    """The best ranked pattern, None without a diagnosis."""
    return diagnosed["diagnosis"][0]["pattern"] if diagnosed["diagnosis"] else None


def speaking_for(drill: Drill, run: Recorded, patterns: Sequence[Pattern]) -> list[str]:
    """Checks whose finding opens the gate of a right pattern or gives it points; taking away others could not hurt it."""
    globs = {glob for pattern in patterns if pattern.id in drill.first for glob in (*pattern.weights, *pattern.gate_globs)}
    found = {finding.id for finding in run.findings if finding.state == FINDING}
    return sorted(check for check in found if any(fnmatchcase(check, glob) for glob in globs))


def unknown_pattern(drill: Drill, cause: Cause, run: Recorded, patterns: Sequence[Pattern]) -> dict[str, Any]:
    """What is said when the patterns of one cause are not known."""
    entries = run.diagnosed([pattern for pattern in patterns if pattern.id not in cause])["diagnosis"]
    others = frozenset().union(*drill.causes) - cause
    first = entries[0] if entries else None
    return {
        "without": sorted(cause),
        "first": first["pattern"] if first else None,
        "verdict": first["verdict"] if first else None,
        "outcome": outcome_of(entries, others),
    }


def outcome_of(entries: Sequence[Mapping[str, Any]], others: Cause) -> str:
    """The worst that a ranking says about a fault whose pattern it does not know. ``others``: further causes that are really there."""
    sure = [entry for entry in root_causes(entries) if entry["pattern"] not in others]
    if any(entry["first_action"]["mitigation"] != HARMLESS for entry in sure):
        return WRONG
    if sure:
        return HARMLESS_GUESS
    return OTHER_CAUSE if any(entry["pattern"] in others for entry in entries) else UNSURE


def root_causes(entries: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The likely entries that are not explained by another one: those for which triage proposes an action."""
    return (entry for entry in entries if entry["verdict"] == "likely" and not entry["symptom_of"])
