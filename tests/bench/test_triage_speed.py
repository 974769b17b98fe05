# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Triage of the healthy lab against the source document's commands, typed one after another into the same lab.

Both are run in turn, so that whatever else the machine does hits both. Triage looks at rates over a window on purpose (option `sample_s`); that window
is not work, so it is taken off its time, and the table shows both numbers. Also runs as a script: `python tests/bench/test_triage_speed.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ansible_collections.sre.incident_response.tests.lacking import lacking

PROJECT = Path(__file__).resolve().parents[2]
COMMANDS = yaml.safe_load((Path(__file__).parent / "source_commands.yml").read_text(encoding="utf-8"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
LIMIT = 0.35
TOOLS = ("curl", "docker", "getent", "jq", "openssl")


@dataclass(frozen=True)
class Comparison:
    """Wall times in seconds, one per round; `sample_s` is the window that triage waits for."""

    triage: list[float]
    document: list[float]
    slowest: dict[str, float]
    sample_s: float

    @property
    def ratio(self) -> float:
        """Median time of triage without its sampling window, as a share of the document's commands."""
        return (statistics.median(self.triage) - self.sample_s) / statistics.median(self.document)

    def table(self) -> str:
        """What was measured, for people."""
        triage, document = statistics.median(self.triage), statistics.median(self.document)
        lines = [
            f"{len(self.document)} rounds, medians in seconds",
            f"  {'the document, ' + str(len(COMMANDS)) + ' commands in sequence':<48}{document:7.2f}",
            *(f"    of these: {question:<36}{seconds:7.2f}" for question, seconds in self.slowest.items()),
            f"  {'triage of everything, with report':<48}{triage:7.2f}   ratio {triage / document:.2f}",
            f"  {f'without its sampling window of {self.sample_s:.2f} s':<48}{triage - self.sample_s:7.2f}   ratio {self.ratio:.2f} (at most {LIMIT})",
        ]
        return "\n".join(lines)


def run_document(times: dict[str, list[float]]) -> float:
    """Run the document's commands in sequence as somebody would type them; adds each one's time to `times` and returns the sum."""
    begun = time.perf_counter()
    for command in COMMANDS:
        started = time.perf_counter()
        line = command.get("run", command["document"])
        done = subprocess.run(["bash", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        # grep answers 1 when there is no error line, which is how a healthy lab looks.
        assert done.returncode in (0, 1), f"{line}: {done.stderr.decode()}"
        times.setdefault(command["question"], []).append(time.perf_counter() - started)
    return time.perf_counter() - begun


def run_triage(state_dir: Path) -> float:
    """Run triage as a user does; returns its wall time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "SRE_INCIDENT_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    line = ["ansible-playbook", "sre.incident_response.triage", "-i", "inventories/lab", "-e", f"incident_state_dir={state_dir}"]
    begun = time.perf_counter()
    done = subprocess.run(line, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - begun
    assert done.returncode == 0, done.stdout + done.stderr
    return elapsed


def sampling_window(state_dir: Path) -> float:
    """Seconds for which the probe of the newest run watched counters."""
    evidence = next(iter((state_dir / "latest/evidence/hosts").glob("*.json")))
    return float(json.loads(evidence.read_text(encoding="utf-8"))["options"]["sample_s"])


def compare(rounds: int = ROUNDS) -> Comparison:
    """Run both in turn, after one round that only warms caches up."""
    times: dict[str, list[float]] = {}
    triage, document = [], []
    with tempfile.TemporaryDirectory() as folder:
        state_dir = Path(folder) / "incidents"
        run_document({})
        run_triage(state_dir)
        for _round in range(rounds):
            document.append(run_document(times))
            triage.append(run_triage(state_dir))
        window = sampling_window(state_dir)
    medians = {question: statistics.median(seconds) for question, seconds in times.items()}
    slowest = dict(sorted(medians.items(), key=lambda pair: -pair[1])[:3])
    return Comparison(triage, document, slowest, window)


@pytest.mark.bench
def test_triage_takes_a_third_of_the_documents_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything at once, assessed and reported, in at most 0.35 of the time that the document's commands take."""
    if os.environ.get("LAB_PREFIX"):
        pytest.skip("the document's commands name the containers of the lab without a prefix; unset LAB_PREFIX")
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        lacking(f"the document's commands need {', '.join(missing)}", "install them")
    measured = compare()
    with capsys.disabled():
        print("\n" + measured.table())  # noqa: T201 the table is what people want to see
    assert measured.ratio <= LIMIT, measured.table()


if __name__ == "__main__":
    result = compare()
    print(result.table())  # noqa: T201 a script's output
    sys.exit(result.ratio > LIMIT)
