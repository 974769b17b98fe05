# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of answers, after the literature on root-cause analysis. Pure: nothing is read or written.

*AC@k* of one case with the ranked answers R and the true causes V is |{R1 ... Rk} ∩ V| / min(k, |V|); over many cases it is their mean.
*Avg@5* is the mean of AC@1 to AC@5. Both as in RCAEval (Pham et al.). A cause that has several equally right names counts once. At k = 1 this
bench is stricter than the definition: only a pattern that the drill accepts as the first counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .drills import MACHINE, PLACES, Cause, Drill

RANK = {"info": 1, "warning": 2, "critical": 3}
ALARMS = ("warning", "critical")
# A first action that only tells somebody is always safe.
HARMLESS = "report_only"
DEPTH = 5


def ac_at(k: int, ranked: Sequence[str], causes: Sequence[Cause], first: Cause | None = None) -> float:
    """AC@k of one case. ``first``: what counts as right at k = 1, when that is less than all causes."""
    if k == 1 and first is not None:
        return float(bool(ranked) and ranked[0] in first)
    top = set(ranked[:k])
    return sum(1 for cause in causes if cause & top) / min(k, len(causes))


def avg_at_5(ranked: Sequence[str], causes: Sequence[Cause], first: Cause | None = None) -> float:
    """Mean of AC@1 to AC@5 of one case."""
    return sum(ac_at(k, ranked, causes, first) for k in range(1, DEPTH + 1)) / DEPTH


def distinct(values: Iterable[str]) -> list[str]:
    """Each value once, in the order of its first place: a service is ranked where its first cause is."""
    return list(dict.fromkeys(values))


def place_of(entry: Mapping[str, Any], services: Iterable[Mapping[str, Any]]) -> str:
    """Where a diagnosis or finding says that something is wrong: the lab's word for that kind of service, or the machine."""
    for service in services:
        if (service["name"], service["host"]) == (entry["service"], entry["host"]):
            return PLACES[service["kind"]]
    return MACHINE


def strongest(findings: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Gravest severity of each check that found something."""
    worst: dict[str, str] = {}
    for finding in findings:
        if finding["state"] == "finding" and RANK[finding["severity"]] > RANK.get(worst.get(finding["id"], ""), 0):
            worst[finding["id"]] = finding["severity"]
    return worst


def alternatives(expected: str) -> list[str]:
    """Checks of an expected finding: one, or several with ``|`` between them of which one is enough."""
    return [check.strip() for check in expected.split("|")]


def too_weak(expected: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Expected findings that are missing or less severe than expected, with what is there instead."""
    missing = {}
    for checks, least in expected.items():
        best = max((found.get(check, "nothing") for check in alternatives(checks)), key=lambda severity: RANK.get(severity, 0))
        if RANK.get(best, 0) < RANK[least]:
            missing[checks] = best
    return missing


def unexpected(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Checks with a critical or warning finding that the drill's data does not name."""
    named = {check for checks in expected for check in alternatives(checks)}
    return sorted(check for check, severity in found.items() if severity in ALARMS and check not in named)


def first_action(report: Mapping[str, Any]) -> str | None:
    """The mitigation that an engineer would read first; None when triage names no cause at all."""
    if report["proposals"]:
        return str(report["proposals"][0]["mitigation"])
    return str(report["diagnosis"][0]["first_action"]["mitigation"]) if report["diagnosis"] else None


def is_safe(drill: Drill, action: str | None) -> bool:
    """Whether the first action is one that the drill lists, or only a report. Where nothing is wrong, nothing may be proposed."""
    return action is None if drill.healthy else action == HARMLESS or action in drill.safe_actions


def judge(drill: Drill, report: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says and how that compares with the drill's data, in few keys."""
    found = strongest(report["findings"])
    surplus = unexpected(drill.findings, found)
    causal = {finding["id"] for finding in report["findings"] if finding["state"] == "finding" and finding["role"] == "cause"}
    return {
        "ranking": [[entry["pattern"], place_of(entry, report["services"]), entry["score"], entry["verdict"]] for entry in report["diagnosis"][: 2 * DEPTH]],
        "alarms": sum(1 for severity in found.values() if severity in ALARMS),
        "cause_alarms": sum(1 for check, severity in found.items() if severity in ALARMS and check in causal),
        "missing": too_weak(drill.findings, found),
        "surplus": [check for check in surplus if check not in causal],
        "surplus_causes": [check for check in surplus if check in causal],
        "action": first_action(report),
    }


@dataclass(frozen=True)
class Totals:
    """The table: shares are between 0 and 1, times in seconds; None where there was nothing to measure."""

    drills: int
    incidents: int
    healthy: int
    not_run: int
    pattern: dict[str, float | None]
    service: dict[str, float | None]
    recall: float | None
    precision: float | None
    cause_precision: float | None
    healthy_alarms: int
    healthy_diagnoses: int
    healthy_clean: int
    safe: float | None
    triage_median_s: float | None
    triage_p95_s: float | None
    lost_signal: tuple[int, int]
    no_pattern: dict[str, int]


def totals(drills: Mapping[str, Drill], runs: Sequence[Mapping[str, Any]]) -> Totals:
    """All scores over all runs. A triage that failed is a wrong answer; a drill that could not be injected is no case, but is counted."""
    cases = [run for run in runs if run["status"] != "not injected"]
    sick = [run for run in cases if not drills[run["drill"]].healthy]
    well = [run for run in cases if drills[run["drill"]].healthy]
    answered = [run for run in sick if run["status"] == "ok"]
    times = [run["seconds"]["triage"] for run in cases if run["status"] == "ok"]
    return Totals(
        drills=len({run["drill"] for run in runs}),
        incidents=len(sick),
        healthy=len(well),
        not_run=len(runs) - len(cases),
        pattern=accuracy([(patterns_of(run), drills[run["drill"]].causes, drills[run["drill"]].first) for run in sick]),
        service=accuracy([(places_of(run), drills[run["drill"]].services, None) for run in sick]),
        recall=share(
            sum(len(drills[run["drill"]].findings) - len(run["answer"]["missing"]) for run in answered),
            sum(len(drills[run["drill"]].findings) for run in sick),
        ),
        precision=precision([(run["answer"]["alarms"], len(run["answer"]["surplus"]) + len(run["answer"]["surplus_causes"])) for run in answered]),
        cause_precision=precision([(run["answer"]["cause_alarms"], len(run["answer"]["surplus_causes"])) for run in answered]),
        healthy_alarms=sum(len(false_alarms(run)) for run in well if run["status"] == "ok"),
        healthy_diagnoses=sum(bool(run["answer"]["ranking"]) for run in well if run["status"] == "ok"),
        healthy_clean=sum(run["status"] == "ok" and not run["answer"]["ranking"] and not false_alarms(run) for run in well),
        safe=share(sum(run["status"] == "ok" and is_safe(drills[run["drill"]], run["answer"]["action"]) for run in cases), len(cases)),
        triage_median_s=percentile(times, 50),
        triage_p95_s=percentile(times, 95),
        lost_signal=lost_signals(answered),
        no_pattern=without_pattern(answered),
    )


def false_alarms(run: Mapping[str, Any]) -> list[str]:
    """Checks with a critical or warning finding that the drill's data does not name, those about a cause first."""
    return [*run["answer"]["surplus_causes"], *run["answer"]["surplus"]]


def patterns_of(run: Mapping[str, Any]) -> list[str]:
    """Ranked patterns of a run, empty when triage failed."""
    return distinct(entry[0] for entry in run["answer"]["ranking"]) if run["status"] == "ok" else []


def places_of(run: Mapping[str, Any]) -> list[str]:
    """Ranked places of a run, empty when triage failed."""
    return distinct(entry[1] for entry in run["answer"]["ranking"]) if run["status"] == "ok" else []


def accuracy(cases: Sequence[tuple[Sequence[str], Sequence[Cause], Cause | None]]) -> dict[str, float | None]:
    """AC@1, AC@3 and Avg@5 over cases of (ranked answers, true causes, what may come first)."""
    count = len(cases)
    return {
        "AC@1": share(sum(ac_at(1, *case) for case in cases), count),
        "AC@3": share(sum(ac_at(3, *case) for case in cases), count),
        "Avg@5": share(sum(avg_at_5(*case) for case in cases), count),
    }


def precision(counts: Sequence[tuple[int, int]]) -> float | None:
    """Share of alarms that were expected, over all cases of (alarms, alarms that the drill's data does not name) together."""
    alarms = sum(one for one, _surplus in counts)
    return share(alarms - sum(surplus for _one, surplus in counts), alarms)


def lost_signals(runs: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """How often the right cause still came first when one finding was taken away, and how often that was tried."""
    tried = [run["leave_one_out"]["findings"] for run in runs if run.get("leave_one_out")]
    return sum(one["right"] for one in tried), sum(one["tried"] for one in tried)


def without_pattern(runs: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How the answers read when the pattern of the fault was taken away: number of each outcome."""
    counted: dict[str, int] = {}
    for run in runs:
        for case in (run.get("leave_one_out") or {}).get("patterns", []):
            counted[case["outcome"]] = counted.get(case["outcome"], 0) + 1
    return counted


def share(part: float, whole: float) -> float | None:
    """Part of a whole; None when there is no whole."""
    return part / whole if whole else None


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that at least so many percent of the values do not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(percent / 100 * len(values)), 1) - 1] if values else None
