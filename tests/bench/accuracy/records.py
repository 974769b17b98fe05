# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One JSON object per run, in a file that grows while the bench runs; and the small committed file that the pages are written from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .drills import PROJECT, Drill, parse

RESULTS = Path(__file__).parent / "results.json"
FOLDER = PROJECT / ".cache/accuracy"
SCHEMA = "sre.incident_response/accuracy/1"

Run = dict[str, Any]


def key(run: Mapping[str, Any]) -> tuple[str, int, int]:
    """What a run was: drill, variant, and which repetition."""
    return (str(run["drill"]), int(run["variant"]), int(run["round"]))


class Log:
    """The runs so far. A line that repeats a run replaces it, so a drill can be tried again after a repair."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "runs.jsonl"

    def begin_anew(self) -> None:
        """Put the runs of an earlier bench aside."""
        if self.path.exists():
            self.path.replace(self.folder / "runs.previous.jsonl")

    def add(self, run: Run) -> None:
        """Append one run; a bench that is killed keeps what it had."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(run, ensure_ascii=False) + "\n")

    def runs(self) -> list[Run]:
        """The newest of each run, in the order of drills. A line that was cut off by a crash is left out."""
        newest: dict[tuple[str, int, int], Run] = {}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for line in lines:
            try:
                run = json.loads(line)
            except ValueError:
                continue
            newest[key(run)] = run
        return [newest[one] for one in sorted(newest)]

    def state_dir(self, run: Mapping[str, Any]) -> Path:
        """Where triage kept its files in that run."""
        return self.folder / "incidents" / f"{run['drill']}-{run['variant']}-{run['round']}"


def write_results(path: Path, machine: Mapping[str, Any], data: Iterable[Mapping[str, Any]], runs: Sequence[Run]) -> None:
    """The committed file: what each drill expected, and what each run answered; one line each, so that a change can be read."""
    used = {run["drill"] for run in runs}
    drills = {one["id"]: {name: one.get(name) for name in ("id", "title", "expect", "safe_actions")} for one in data if one["id"] in used}
    rows = [f"    {json.dumps(name)}: {json.dumps(drills[name], ensure_ascii=False)}" for name in sorted(drills)]
    lines = [f"    {json.dumps(run, ensure_ascii=False)}" for run in sorted(runs, key=key)]
    parts = [
        f'  "schema": {json.dumps(SCHEMA)}',
        f'  "machine": {json.dumps(dict(machine), ensure_ascii=False)}',
        '  "drills": {\n' + ",\n".join(rows) + "\n  }",
        '  "runs": [\n' + ",\n".join(lines) + "\n  ]",
    ]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def read_results(path: Path) -> tuple[dict[str, Any], dict[str, Drill], list[Run]]:
    """Machine, drills and runs of the committed file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["machine"], {name: parse(data) for name, data in content["drills"].items()}, content["runs"]
