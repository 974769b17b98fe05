# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Can we respond tonight? Answers of the readiness checks as one score, with what to do about each gap. Pure.

What could not be found out counts as a gap: a login that nobody has tried does not help at night.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .assessment import assess, chosen_checks, read_entries
from .check_entries import CheckError
from .checks import Subject, evaluate_all
from .findings import FINDING, OK, UNKNOWN, Finding, sort_key, value_text
from .text import one_line, plural, wrap

SCHEMA = "sre.incident_response/preflight/1"
ROLE = "preflight"
CONTROLLER = "controller"
NOT_ASSESSED = "service.assessed"
WIDTH = 80
_REACH = "Make the machine reachable for Ansible (ansible_host, SSH key, Python 3.8 or newer), and look again."


@dataclass(frozen=True)
class Questions:
    """Check entries and what to do about each, by the id of the check; ``kinds`` are the kinds of service of each entry."""

    entries: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Questions:
        """Those of a file; CheckError when it can't be used."""
        entries = read_entries(path)
        if not isinstance(entries, list):
            raise CheckError(f"the readiness checks in {path} must be a list")
        return cls(entries)

    def fix(self, check_id: str) -> str:
        """What to do when the answer is not good."""
        if check_id == NOT_ASSESSED:
            return _REACH
        return next((str(entry.get("fix") or "") for entry in self.entries if entry.get("id") == check_id), "")

    def about(self, controller: bool) -> list[dict[str, Any]]:
        """The entries about the controller, or those about machines and services."""
        return [dict(entry) for entry in self.entries if (CONTROLLER in (entry.get("needs") or [])) == controller]


@dataclass(frozen=True)
class Choice:
    """What a user may set: other numbers, and which checks are made."""

    thresholds: Mapping[str, Any]
    only: Sequence[str]
    skip: Sequence[str]


def answers(questions: Questions, documents: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], run: Path, choice: Choice) -> list[Finding]:
    """Findings about all machines, and about the controller, worst first; CheckError for a choice that names no check."""
    # All together first, so that a threshold for a check of either part is known.
    chosen = chosen_checks([dict(entry) for entry in questions.entries], ROLE, choice.thresholds, choice.only, choice.skip)
    own = [check for check in chosen if CONTROLLER in check.entry["needs"]]
    theirs = [check for check in chosen if CONTROLLER not in check.entry["needs"]]
    return sorted([*evaluate_all(own, [controller(facts)], ROLE), *assess(theirs, documents, ROLE, None, run)], key=sort_key)


def controller(facts: Mapping[str, Any]) -> Subject:
    """The machine that Ansible runs on, as checks see one."""
    sources = {CONTROLLER: {"ok": True, "ms": 0.0, "data": facts}}
    return Subject("", "machine", CONTROLLER, CONTROLLER, {CONTROLLER: facts, "service": {"name": CONTROLLER}}, sources)


def is_ready(finding: Finding) -> bool:
    """Advice does not make anybody unready; an unanswered question does."""
    return finding.state == OK or (finding.state == FINDING and finding.severity == "info")


def weight(finding: Finding, questions: Questions) -> int:
    """How many questions an answer stands for: one, but for a machine that could not be asked all that were not made there."""
    if finding.id != NOT_ASSESSED:
        return 1
    asked = [entry for entry in questions.about(controller=False) if entry.get("needs")]
    return max(1, sum(finding.kind in (entry.get("kinds") or []) for entry in asked))


def document(findings: Iterable[Finding], questions: Questions, run_id: str, now: str) -> dict[str, Any]:
    """The result as data; ``now`` is ISO-8601 UTC. ``score`` is ``{ready of percent}``, percent rounded down."""
    told = list(findings)
    ready = sum(is_ready(finding) for finding in told)
    total = sum(weight(finding, questions) for finding in told)
    results = [_result(finding, questions) for finding in told]
    gaps = [result for result in results if not result["ready"]]
    return {
        "schema": SCHEMA,
        "timestamp": now,
        "run": run_id,
        "ready": bool(total) and not gaps,
        "score": {"ready": ready, "of": total, "percent": ready * 100 // total if total else 0},
        "critical": sum(result["severity"] == "critical" for result in gaps),
        "gaps": gaps,
        "advice": [result for result in results if result["ready"] and result["state"] == FINDING],
        "answers": results,
    }


def _result(finding: Finding, questions: Questions) -> dict[str, Any]:
    good = finding.state == OK
    return {
        "id": finding.id,
        "ready": is_ready(finding),
        "state": finding.state,
        "severity": finding.severity,
        "host": finding.host,
        "service": finding.service or None,
        "question": finding.question,
        "answer": one_line(finding.reason if finding.state == UNKNOWN and finding.reason else finding.summary),
        "evidence": [one_line(str(entry.get("text"))) for entry in finding.evidence],
        "fix": None if good else questions.fix(finding.id),
    }


def headline(report: Mapping[str, Any]) -> str:
    """The score in one sentence."""
    score = report["score"]
    counted = f"{score['ready']} of {score['of']} ({score['percent']} %)"
    if not score["of"]:
        return "NOT READY  nothing could be asked"
    if report["ready"]:
        return f"READY FOR TONIGHT  {counted}"
    critical = f", {report['critical']} of them critical" if report["critical"] else ""
    return f"NOT READY  {counted}: {plural(len(report['gaps']), 'gap')}{critical}"


def lines(report: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """What is printed, as (text, severity): the score, then every gap with its fix, then advice."""
    text: list[tuple[str, str | None]] = [(headline(report), "ok" if report["ready"] else "critical" if report["critical"] else "warning")]
    for result in [*report["gaps"], *report["advice"]]:
        level = str(result["severity"] or result["state"])
        label = "ADVICE" if result["ready"] else level.upper()
        where = f"{result['service']} on {result['host']}" if result["service"] else result["host"]
        said = "; ".join([str(result["answer"]), *result["evidence"]])
        text += [(line, level) for line in wrap(f"{where}: {said}", WIDTH, " " * 10, f"{label:<10}")]
        text += [(line, None) for line in wrap(f"fix: {value_text(result['fix'], 400)}", WIDTH, " " * 15, " " * 10)]
    return text


def failure(report: Mapping[str, Any], fail_below: int, path: str) -> str | None:
    """One sentence when the score is below what is demanded, else None."""
    if report["score"]["percent"] >= fail_below:
        return None
    named = ", ".join(dict.fromkeys(result["id"] for result in report["gaps"][:5])) or "nothing was asked"
    return f"{headline(report)}, below preflight_fail_below ({fail_below} %): {named}; see {path}"
