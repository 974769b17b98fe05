# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench itself: which runs, in which order, and one run from injection to score."""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.patterns import Pattern, load_patterns

from . import leave_one_out as loo
from .drills import Drill
from .lab import Done, Lab
from .records import Log, Run, key
from .scores import false_alarms, is_safe, judge

OK, NOT_INJECTED, TRIAGE_FAILED = "ok", "not injected", "triage failed"


@dataclass(frozen=True)
class Planned:
    """One injection to do, and how often to triage it. ``variant`` counts from 0; ``rounds`` are the numbers of its triages."""

    drill: Drill
    variant: int
    rounds: tuple[int, ...] = (0,)

    @property
    def label(self) -> str:
        """For file names."""
        return f"{self.drill.id}-{self.variant}"

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What this variant changes."""
        return self.drill.variants[self.variant]

    def without(self, done: set[tuple[str, int, int]]) -> Planned:
        """The same with those triages left out that were done before."""
        return replace(self, rounds=tuple(number for number in self.rounds if (self.drill.id, self.variant, number) not in done))


def plan(drills: Sequence[Drill], variants: int, healthy_rounds: int) -> list[Planned]:
    """Each fault once in each variant. Each healthy state is triaged so many times in all, shared out evenly to its variants."""
    planned: list[Planned] = []
    for drill in drills:
        count = min(variants, len(drill.variants))
        rounds = range(healthy_rounds if drill.healthy else count)
        for variant in range(count):
            own = tuple(number // count for number in rounds if number % count == variant)
            planned += [Planned(drill, variant, own)] if own else []
    return planned


def perform(planned: Planned, lab: Lab, log: Log, patterns: Sequence[Pattern]) -> Iterator[Run]:
    """Inject, triage and score; a run for each triage. The fault is taken back whatever happens, Ctrl-C included."""
    drill = planned.drill
    runs = [begun(planned, number) for number in planned.rounds]
    try:
        injected = lab.inject(drill.id, planned.parameters, planned.label)
        note(runs[0], "inject", injected)
        for run in runs if injected.ok else []:
            state_dir = log.state_dir(run)
            triaged, report = lab.triage(state_dir, f"{planned.label}-{run['round']}")
            note(run, "triage", triaged)
            run["status"] = OK if triaged.ok and report is not None else TRIAGE_FAILED
            if run["status"] == OK and report is not None:
                score(run, drill, report, loo.recorded(state_dir), patterns)
    finally:
        note(runs[-1], "revert", lab.revert(drill.id, planned.label))
    yield from runs if injected.ok else [{**run, "problem": runs[0]["problem"]} for run in runs]


def begun(planned: Planned, number: int) -> Run:
    """A run about which nothing is known yet."""
    return {
        "drill": planned.drill.id,
        "variant": planned.variant,
        "round": number,
        "parameters": dict(planned.parameters),
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        # Whoever shares the machine with the lab is seen by triage as well.
        "load_per_core": round(os.getloadavg()[0] / (os.cpu_count() or 1), 1),
        "status": NOT_INJECTED,
        "problem": None,
        "seconds": {},
    }


def note(run: Run, step: str, done: Done) -> None:
    """Keep the time of a step, and its problem when it is the first."""
    run["seconds"][step] = done.seconds
    if not done.ok:
        run["problem"] = run["problem"] or f"{step}: {done.problem}"


def score(run: Run, drill: Drill, report: Mapping[str, Any], recorded: loo.Recorded, patterns: Sequence[Pattern]) -> None:
    """Add the answer and what is left of it without single signals."""
    run["answer"] = judge(drill, report)
    run["leave_one_out"] = loo.leave_one_out(drill, recorded, patterns)


def run_all(planned: Sequence[Planned], labs: Sequence[Lab], log: Log, say: Callable[[str], None], stop: threading.Event) -> None:
    """Do all runs and say a line about each. Every lab takes the next drill when it is free, with all its variants.

    Ctrl-C sets ``stop``: then each lab takes its fault back, and KeyboardInterrupt goes on.
    """
    patterns = load_patterns(loo.PATTERNS)
    waiting: queue.SimpleQueue[list[Planned]] = queue.SimpleQueue()
    for _name, group in itertools.groupby(planned, key=lambda one: one.drill.id):
        waiting.put(list(group))
    started, numbers, guard = time.monotonic(), itertools.count(1), threading.Lock()

    def work(lab: Lab) -> None:
        while not stop.is_set():
            try:
                group = waiting.get_nowait()
            except queue.Empty:
                return
            for one in group:
                runs = list(perform(one, lab, log, patterns))
                with guard:
                    number = next(numbers)
                    for run in runs:
                        log.add(run)
                        say(f"{number:>3}/{len(planned)} {progress(one.drill, run)}")

    with concurrent.futures.ThreadPoolExecutor(max_workers=len(labs)) as pool:
        working = [pool.submit(work, lab) for lab in labs]
        try:
            for one in concurrent.futures.as_completed(working):
                one.result()
        except BaseException:
            stop.set()
            raise
    if planned:
        say(f"{len(planned)} injections in {time.monotonic() - started:.0f} s")


def left_to_do(planned: Sequence[Planned], log: Log) -> list[Planned]:
    """What is planned without what the log has already."""
    done = {key(run) for run in log.runs() if run["status"] == OK}
    return [one for one in (one.without(done) for one in planned) if one.rounds]


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
    patterns = load_patterns(loo.PATTERNS)
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
