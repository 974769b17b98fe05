# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy of triage on the lab: every drill is injected, triaged, scored and taken back.

With the virtual environment active: python -m ansible_collections.sre.incident_response.tests.bench.accuracy --help
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import yaml

from . import drills as data
from . import page
from .bench import Planned, judged_again, left_to_do, plan, rescore, run_all
from .lab import Lab, stop_like_ctrl_c
from .records import FOLDER, RESULTS, Log, Run, write_results

DOCUMENT, README = data.PROJECT / "docs/accuracy.md", data.PROJECT / "README.md"


def say(text: str) -> None:
    """One line, at once: the next one may take a minute."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./run bench accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="drills to run, separated by commas: ids, short ids (P03) or globs (P0*)")
    parser.add_argument("--variants", type=int, choices=(1, 2, 3), default=3, help="how many variants of each fault (default 3)")
    parser.add_argument("--healthy-rounds", type=int, default=5, metavar="N", help="how often each healthy state is triaged (default 5)")
    parser.add_argument("--labs", type=int, choices=(1, 2, 3, 4), default=1, help="so many labs at once, where the machine has two cores for each (default 1)")
    parser.add_argument("--resume", action="store_true", help="keep the runs of the last bench and do only those that are missing or failed")
    parser.add_argument("--rescore", action="store_true", help="no lab: today's checks and patterns over the recorded evidence of the last bench")
    parser.add_argument("--write", action="store_true", help="write results.json, docs/accuracy.md and the README's table from all recorded runs")
    chosen = parser.parse_args(arguments)
    if chosen.rescore and chosen.write:
        parser.error("--rescore is no measurement, so there is nothing to --write")
    return chosen


def main(arguments: Sequence[str]) -> int:
    """Run the bench; 0 when every run could be done, however right its answers are."""
    chosen = options(arguments)
    try:
        wanted = data.load([name.strip() for name in chosen.only.split(",") if name.strip()])
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    every = {drill.id: drill for drill in data.load()}
    log = Log(FOLDER / (os.environ.get("LAB_PREFIX", "").strip("-") or "lab"))
    if chosen.rescore:
        ids = {drill.id for drill in wanted}
        say(page.terminal(every, [run for run in rescore(log, every) if run["drill"] in ids]))
        return 0
    # A few drills by name are tried again among the others; everything again is a new bench.
    if not chosen.resume and not chosen.only:
        log.begin_anew()
    planned = plan(wanted, chosen.variants, chosen.healthy_rounds)
    try:
        measure(left_to_do(planned, log) if chosen.resume else planned, chosen.labs, log)
    except KeyboardInterrupt:
        say("interrupted; the fault was taken back. Go on with --resume.")
        return 130
    runs = judged_again(log, every)
    say("")
    say(page.terminal(every, runs))
    if chosen.write:
        write(every, runs)
    return int(any(run["status"] != "ok" for run in runs))


def measure(planned: Sequence[Planned], count: int, log: Log) -> None:
    """Do the runs on the lab that is up, and on as many beside it as were asked for; those are removed afterwards."""
    stop = threading.Event()
    labs = [Lab(log.folder, number, stop) for number in range(count)]
    try:
        with stop_like_ctrl_c():
            for lab in labs[1:]:
                say(f"starting lab {lab.number + 1} of {count}")
                started = lab.up()
                if not started.ok:
                    raise SystemExit(f"lab {lab.number + 1} does not start: {started.problem}")
            run_all(planned, labs, log, say, stop)
    finally:
        for lab in labs[1:]:
            lab.down()


def write(every: dict[str, data.Drill], runs: list[Run]) -> None:
    """The committed results and the pages that are made of them."""
    machine = {"cores": os.cpu_count(), "ansible_core": importlib.metadata.version("ansible-core")}
    write_results(RESULTS, machine, [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(data.FAULTS.glob("*.yml"))], runs)
    DOCUMENT.write_text(page.document(machine, every, runs), encoding="utf-8")
    README.write_text(page.with_block(README.read_text(encoding="utf-8"), page.readme_block(every, runs)), encoding="utf-8")
    for path in (RESULTS, DOCUMENT, README):
        say(f"wrote {path.relative_to(Path(data.PROJECT))}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
