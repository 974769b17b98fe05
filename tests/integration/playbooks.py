# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's playbooks as a user would, and reads what they left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
LAB_INVENTORY = PROJECT / "inventories/lab"
LIMIT_S = 180
STREAMS: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
RECAP = re.compile(r"^(?P<host>\S+)\s+: (?P<counts>ok=\d+ .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """A finished ansible-playbook: exit code, both output streams as one text, and where it kept its files."""

    rc: int
    output: str
    state_dir: Path

    @property
    def report(self) -> dict[str, Any]:
        """The newest report.json in the state directory."""
        return json.loads((self.state_dir / "latest/report.json").read_text(encoding="utf-8"))

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Counters of the play recap by host, such as {"localhost": {"ok": 3, "changed": 0}}."""
        counters = {}
        for match in RECAP.finditer(self.output):
            pairs = (pair.split("=") for pair in match["counts"].split())
            counters[match["host"]] = {name: int(number) for name, number in pairs}
        return counters

    def findings(self, check: str | None = None) -> list[dict[str, Any]]:
        """Reported findings in state `finding`, of one check or of all."""
        return [f for f in self.report["findings"] if f["state"] == "finding" and check in (None, f["id"])]

    def gaps(self) -> list[dict[str, Any]]:
        """What could not be looked at, without the numbers that this machine's kernel does not have."""
        return [entry for entry in self.report["run"]["not_assessed"] if entry["serious"]]

    def alarms(self) -> list[tuple[str, str, str]]:
        """(check, severity, summary) of the findings that somebody would have to act on."""
        return [(f["id"], f["severity"], f["summary"]) for f in self.findings() if f["severity"] != "info"]


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Environment of a user who just activated the virtual environment: nothing of ansible is set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "SRE_INCIDENT_", "MOLECULE_"))}
    tools = str(Path(sys.executable).parent)
    settings = {
        "PATH": tools + os.pathsep + kept["PATH"],
        "ANSIBLE_HOME": str(PROJECT / ".ansible"),
        "ANSIBLE_NOCOLOR": "1",
    }
    return kept | settings | (extra or {})


def command(playbook: str, *arguments: str, state_dir: Path, inventory: str | Path | None = LAB_INVENTORY) -> list[str]:
    """Command line of one of the collection's playbooks, by its full name."""
    where = [] if inventory is None else ["-i", str(inventory)]
    return ["ansible-playbook", f"sre.incident_response.{playbook}", *where, "-e", json.dumps({"incident_state_dir": str(state_dir)}), *arguments]


def run_playbook(
    playbook: str, *arguments: str, state_dir: Path, inventory: str | Path | None = LAB_INVENTORY, env: dict[str, str] | None = None, cwd: Path = PROJECT
) -> Run:
    """Run a playbook to its end and return what it said."""
    line = command(playbook, *arguments, state_dir=state_dir, inventory=inventory)
    done = subprocess.run(line, env=environment(env), cwd=cwd, timeout=LIMIT_S, check=False, **STREAMS)
    return Run(done.returncode, done.stdout, state_dir)
