# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several questions at the same time within one source. Plain threads: importing an executor costs more than the questions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def at_once(jobs: dict[str, Callable[[], T]]) -> dict[str, T]:
    """Results by name of all jobs, each run in a thread of its own; the first exception of one is raised here. Jobs limit their own time."""
    results: dict[str, T] = {}
    problems: list[Exception] = []

    def run(name: str) -> None:
        try:
            results[name] = jobs[name]()
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            problems.append(error)

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return {name: results[name] for name in jobs}
