# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a run may look: one deadline for all machines, whatever one of them does.

The first worker that looks at a machine writes into the workspace when that was; all others, however late their turn comes, read it. So
the time counts from the first question on, and a playbook that looks twice has a budget for each look.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .workspace import Workspace, safe_name

VARIABLE = "incident_budget_s"
DEFAULT_S = 60.0
# Of the budget, this share (at most so many seconds) is kept for what the controller does with the answers.
RESERVE_SHARE, MOST_RESERVE_S = 0.1, 10.0
# With less there is no point in calling a machine: connecting and starting its Python take that long.
LEAST_CALL_S = 1.5
# What a machine may take at least, however many others wait for their turn: one that is well needs a second or two, one under load more.
LEAST_TURN_S = 10.0
# However late it is: the checks of a role over the evidence of hundreds of machines take less.
LEAST_ASSESS_S = 3.0


class BudgetError(ValueError):
    """The value of the option is no number of seconds; the message is one sentence."""


@dataclass(frozen=True)
class Budget:
    """``total_s`` seconds from ``started`` (epoch of the controller)."""

    started: float
    total_s: float

    @property
    def end(self) -> float:
        """When everything shall be over."""
        return self.started + self.total_s

    def for_machines_s(self, now: float) -> float:
        """Seconds that a machine may still be asked, 0 when it is too late to begin."""
        left = self.end - min(MOST_RESERVE_S, RESERVE_SHARE * self.total_s) - now
        return left if left >= LEAST_CALL_S else 0.0

    def turn_s(self, now: float, machines: int, at_once: int) -> float:
        """Seconds that one machine may take when so many are asked in all, and so many at the same time; 0 when it is too late to begin.

        Machines that hang would else use up the time of those that wait behind them.
        """
        left = self.for_machines_s(now)
        rounds = max(1, math.ceil(machines / max(1, at_once)))
        return min(left, max(self.for_machines_s(self.started) / rounds, LEAST_TURN_S))

    def for_controller_s(self, now: float) -> float:
        """Seconds for a question that the controller itself asks, such as one to Prometheus; never below 1."""
        return max(1.0, self.end - now)

    @property
    def words(self) -> str:
        """How a sentence names it."""
        return f"the run's time of {self.total_s:g} s ({VARIABLE})"


def seconds(value: Any) -> float:
    """The option as seconds; BudgetError for what is no positive number."""
    try:
        number = DEFAULT_S if value in (None, "") else float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not math.isfinite(number) or number <= 0:
        raise BudgetError(f"{VARIABLE} is {value!r}: it must be a number of seconds above 0, such as {DEFAULT_S:g}")
    return number


def begin(workspace: Workspace, task: str, total_s: float) -> Budget:
    """The budget of the task with that id: begun by whichever worker comes first, the same for all of them."""
    path = _folder(workspace) / f"{safe_name(task or 'look')}.json"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    own = Budget(time.time(), total_s)
    new = path.with_name(f".{path.name}-{os.getpid()}")
    new.write_text(json.dumps({"started": own.started, "total_s": own.total_s}), encoding="utf-8")
    try:
        # A link appears whole and only once: the worker that comes second learns that it was second.
        os.link(new, path)
    except FileExistsError:
        return _read(path) or own
    finally:
        with contextlib.suppress(OSError):
            new.unlink()
    return own


def newest(workspace: Workspace) -> Budget | None:
    """The budget of the newest look of this run, None when nothing was looked at yet."""
    folder = _folder(workspace)
    known = [budget for path in (folder.glob("*.json") if folder.is_dir() else []) if (budget := _read(path)) is not None]
    return max(known, key=lambda budget: budget.started, default=None)


def assess_until(workspace: Workspace, now: float) -> float:
    """Epoch after which no further check is evaluated."""
    budget = newest(workspace)
    return max(budget.end if budget else 0.0, now + LEAST_ASSESS_S)


def _folder(workspace: Workspace) -> Path:
    return workspace.path / "budgets"


def _read(path: Path) -> Budget | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Budget(float(stored["started"]), float(stored["total_s"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
