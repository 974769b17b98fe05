# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs drills and triage on the lab as a user does, and ends what it started."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .drills import PROJECT

INVENTORY = PROJECT / "inventories/lab"
LIMIT_S = {"drill": 420, "triage": 180, "lab": 600}
# Distance between the ports of two labs of one bench. With 80 two of them would meet: 8000 and 8080 belong to one lab.
PORTS_BESIDE = 40
POLL_S = 0.2
# How long a playbook that was told to stop may take to do so.
GRACE_S = 15
# The words of Ansible's errors, the plainest first.
ERRORS = (re.compile(r"^\[ERROR\]: (.*)$", re.MULTILINE), re.compile(r"^fatal: (.*)$", re.MULTILINE), re.compile(r"^(.*\S.*)$", re.MULTILINE))


@dataclass(frozen=True)
class Done:
    """A playbook that ended: whether it succeeded, its wall time, and what went wrong in one line."""

    ok: bool
    seconds: float
    problem: str | None


def environment(number: int = 0) -> dict[str, str]:
    """Environment of a user who just activated the virtual environment: nothing of Ansible is set, LAB_PREFIX chooses the lab.

    A lab beside it (``number`` above 0) has a longer prefix and ports of its own.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "SRE_INCIDENT_", "MOLECULE_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    if number:
        prefix = kept.get("LAB_PREFIX", "")
        offset = int(kept.get("LAB_PORT_OFFSET") or (100 if prefix else 0))
        kept |= {"LAB_PREFIX": f"{prefix}bench{number}-", "LAB_PORT_OFFSET": str(offset + PORTS_BESIDE * number)}
    return kept | {"PATH": path, "ANSIBLE_HOME": str(PROJECT / ".ansible"), "ANSIBLE_NOCOLOR": "1"}


class Stopped(Exception):  # noqa: N818 - nothing is wrong, somebody wants to stop
    """The bench was told to stop while a playbook ran."""


class Lab:
    """The lab that LAB_PREFIX names, or one beside it: ``number`` 1, 2, ... Playbooks write what they say into ``logs``.

    ``stop`` ends a playbook early, but never the one that takes a fault back.
    """

    def __init__(self, folder: Path, number: int = 0, stop: threading.Event | None = None) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.number = number
        self.stop = stop
        self.environment = environment(number)

    def up(self) -> Done:
        """Start it; nothing to do takes seconds."""
        return self._play("lab", {"lab_state": "present"}, f"lab-{self.number}.present")

    def down(self) -> Done:
        """Remove it."""
        return self._play("lab", {"lab_state": "absent"}, f"lab-{self.number}.absent", may_stop=False)

    def inject(self, drill: str, parameters: Mapping[str, Any], label: str) -> Done:
        """Bring the fault in; returns when users would notice it."""
        return self._drill(drill, "present", parameters, label)

    def revert(self, drill: str, label: str) -> Done:
        """Take the fault back, however it was injected; returns when the lab is healthy. A lab that does not get healthy is made anew."""
        done = self._drill(drill, "absent", {}, label)
        if not done.ok:
            for state in ("absent", "present"):
                self._play("lab", {"lab_state": state}, f"{label}.lab-{state}", may_stop=False)
        return done

    def triage(self, state_dir: Path, label: str) -> tuple[Done, dict[str, Any] | None]:
        """Triage everything into a state directory of its own; returns the report as well, None without one."""
        shutil.rmtree(state_dir, ignore_errors=True)
        done = self._play("triage", {"incident_state_dir": str(state_dir)}, f"{label}.triage")
        try:
            return done, json.loads((state_dir / "latest/report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return Done(False, done.seconds, done.problem or f"no report: {error.__class__.__name__}"), None

    def _drill(self, drill: str, state: str, parameters: Mapping[str, Any], label: str) -> Done:
        variables: dict[str, Any] = {"drill_fault": drill, "drill_state": state, "incident_state_dir": str(self.folder / "drills")}
        if parameters:
            variables["drill_parameters"] = dict(parameters)
        return self._play("drill", variables, f"{label}.{state}", may_stop=state == "present")

    def _play(self, playbook: str, variables: Mapping[str, Any], label: str, may_stop: bool = True) -> Done:
        """Run one playbook of the collection to its end, or to its time limit; raises Stopped."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{label}.log"
        line = ["ansible-playbook", f"sre.incident_response.{playbook}", "-i", str(INVENTORY), "-e", json.dumps(dict(variables))]
        started = time.monotonic()
        with log.open("wb") as output:
            # A session of its own: Ctrl-C is for the bench, which then takes the fault back.
            process = subprocess.Popen(
                line, cwd=PROJECT, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                while process.poll() is None and time.monotonic() - started < LIMIT_S[playbook]:
                    if may_stop and self.stop is not None and self.stop.is_set():
                        raise Stopped
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=POLL_S)
                code = process.poll()
            finally:
                end(process)
        seconds = round(time.monotonic() - started, 2)
        if code == 0:
            return Done(True, seconds, None)
        return Done(False, seconds, f"no end after {LIMIT_S[playbook]} s" if code is None else problem_in(log.read_text(encoding="utf-8", errors="replace")))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a playbook and its workers when it still runs."""
    for how in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, how)
        try:
            process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            continue


def problem_in(output: str) -> str:
    """The last error of a playbook in one line, without paths of this machine and without what could steer a terminal."""
    found = next((texts for expression in ERRORS if (texts := expression.findall(output))), ["it said nothing"])
    text = "".join(character for character in found[-1].replace(str(PROJECT), ".").replace(str(Path.home()), "~") if character.isprintable())
    return text[:300]


@contextmanager
def stop_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM take the same way as Ctrl-C, so that a bench that is ended from outside takes its fault back too.

    Ctrl-C itself is asked for as well: a shell starts programs in the background without it.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
