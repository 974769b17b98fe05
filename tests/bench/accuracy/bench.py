# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench itself: which runs, in which order, and one run from injection to score."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.patterns import Pattern

from . import leave_one_out as loo
from .drills import Drill
from .lab import Done, Lab
from .records import Log, Run, key
from .scores import false_alarms, is_safe, judge

OK, NOT_INJECTED, TRIAGE_FAILED = "ok", "not injected", "triage failed"


@dataclass(frozen=True)
class Planned:
    """One run to do. ``variant`` counts from 0; ``round`` tells repetitions of a healthy state apart."""

    drill: Drill
    variant: int
    round: int

    @property
    def key(self) -> tuple[str, int, int]:
        """As in the log."""
        return (self.drill.id, self.variant, self.round)

    @property
    def label(self) -> str:
        """For file names."""
        return f"{self.drill.id}-{self.variant}-{self.round}"

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What this variant changes."""
        return self.drill.variants[self.variant]


def plan(drills: Sequence[Drill], variants: int, healthy_rounds: int) -> list[Planned]:
    """Each fault once in each variant; each healthy state so many times, its variants in turn."""
    runs: list[Planned] = []
    for drill in drills:
        count = min(variants, len(drill.variants))
        if drill.healthy:
            runs += [Planned(drill, number % count, number) for number in range(healthy_rounds)]
        else:
            runs += [Planned(drill, variant, 0) for variant in range(count)]
    return runs


def perform(planned: Planned, lab: Lab, log: Log, patterns: Sequence[Pattern]) -> Run:
    """Inject, triage, score; the fault is taken back whatever happens, Ctrl-C included."""
    drill = planned.drill
    run: Run = {
        "drill": drill.id,
        "variant": planned.variant,
        "round": planned.round,
        "parameters": dict(planned.parameters),
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "status": NOT_INJECTED,
        "problem": None,
        "seconds": {},
    }
    state_dir = log.state_dir(run)
    try:
        injected = lab.inject(drill.id, planned.parameters, planned.label)
        note(run, "inject", injected)
        if injected.ok:
            triaged, report = lab.triage(state_dir, planned.label)
            note(run, "triage", triaged)
            run["status"] = OK if triaged.ok and report is not None else TRIAGE_FAILED
            if run["status"] == OK and report is not None:
                score(run, drill, report, loo.recorded(state_dir), patterns)
    finally:
        note(run, "revert", lab.revert(drill.id, planned.label))
    return run


def note(run: Run, step: str, done: Done) -> None:
    """Keep the time of a step, and its problem when it is the first."""
    run["seconds"][step] = done.seconds
    if not done.ok:
        run["problem"] = run["problem"] or f"{step}: {done.problem}"


def score(run: Run, drill: Drill, report: Mapping[str, Any], recorded: loo.Recorded, patterns: Sequence[Pattern]) -> None:
    """Add the answer and what is left of it without single signals."""
    run["answer"] = judge(drill, report)
    run["leave_one_out"] = loo.leave_one_out(drill, recorded, patterns)


def run_all(planned: Sequence[Planned], lab: Lab, log: Log, say: Callable[[str], None], resume: bool) -> None:
    """Do all runs and say a line about each; with ``resume`` leave out those that are in the log already."""
    patterns = loo.outcome.load_patterns(loo.PATTERNS)
    done = {key(run) for run in log.runs() if run["status"] == OK} if resume else set()
    waiting = [one for one in planned if one.key not in done]
    started = time.monotonic()
    for number, one in enumerate(waiting, start=1):
        run = perform(one, lab, log, patterns)
        log.add(run)
        say(f"{number:>3}/{len(waiting)} {progress(one.drill, run)}")
    if waiting:
        say(f"{len(waiting)} runs in {time.monotonic() - started:.0f} s")


def progress(drill: Drill, run: Run) -> str:
    """One line about a run that ended."""
    times = "  ".join(f"{step} {seconds:.1f}" for step, seconds in run["seconds"].items())
    return f"{run['drill']:<34} {run['variant'] + 1}  {verdict(drill, run):<58} {times} s"


def verdict(drill: Drill, run: Run) -> str:
    """Right or not, and the first answer."""
    if run["status"] != OK:
        return f"FAIL {run['status']}: {(run['problem'] or '')[:120]}"
    return f"{'ok  ' if is_right(drill, run) else 'FAIL'} {first_answer(run)}"


def is_right(drill: Drill, run: Run) -> bool:
    """The right first cause and a safe first action; where nothing is wrong, neither an alarm nor a diagnosis."""
    answer = run["answer"]
    if drill.healthy:
        return not answer["ranking"] and not false_alarms(run)
    return bool(answer["ranking"]) and answer["ranking"][0][0] in drill.first and is_safe(drill, answer["action"])


def first_answer(run: Run) -> str:
    """The first cause with its place and points; what alarmed when there is none."""
    answer = run["answer"]
    if answer["ranking"]:
        pattern, place, points, sure = answer["ranking"][0]
        return f"{pattern} on {place} ({sure}, {points:.0f})"
    alarms = false_alarms(run)
    return f"no diagnosis, {len(alarms)} unexpected alarms" if alarms else "nothing wrong"


def judged_again(log: Log, drills: Mapping[str, Drill]) -> list[Run]:
    """The runs so far, their recorded reports compared with what the drills' data expects now: a corrected expectation needs no new run."""
    runs = []
    for run in log.runs():
        report = log.state_dir(run) / "latest/report.json"
        drill = drills.get(run["drill"])
        if drill is not None:
            if run["status"] == OK and report.is_file():
                run["answer"] = judge(drill, json.loads(report.read_text(encoding="utf-8")))
            runs.append(run)
    return runs


def rescore(log: Log, drills: Mapping[str, Drill]) -> list[Run]:
    """The recorded runs, with today's checks and patterns over the evidence of then: shows in seconds what a change of data does."""
    patterns = loo.outcome.load_patterns(loo.PATTERNS)
    runs = []
    for run in log.runs():
        drill = drills.get(run["drill"])
        state_dir: Path = log.state_dir(run)
        if drill is None or run["status"] != OK or not (state_dir / "latest").exists():
            continue
        recorded = loo.assessed_again(state_dir)
        again = dict(run)
        score(again, drill, loo.report_of(recorded, patterns), recorded, patterns)
        runs.append(again)
    return runs
