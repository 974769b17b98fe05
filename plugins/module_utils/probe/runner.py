# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks all sources of all services and of the machine at the same time and returns one evidence document.

A request is ``{"services": {name: spec} or null, "sources": [names] or null, "options": {...}, "resources": {file: text},
"root": "", "host_root": ""}``. ``root`` is a prefix for every path, ``host_root`` a recorded tree that only stands in for the machine
itself (see :mod:`recorded`). No services means: discover them. The document is that of docs/architecture.md without what only the controller
knows (inventory name, clock offset, problems of the inventory).
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
from collections import deque
from datetime import datetime, timezone
from typing import Any

from . import discover, recorded
from .clean import bounded, clean_text, cleaned
from .context import DEEP_OPTIONS, DEFAULT_OPTIONS, Context, Machine, Service, SourceError
from .docker import DockerClient
from .registry import MACHINE_SOURCES, SERVICE_SOURCES, Source

# Most of them sleep between two readings of a counter.
MOST_THREADS = 128
# A source that passes ctx.remaining() to its waits ends by itself and knows better what hung: it gets this long to say so.
GRACE_S = 0.25
LAST_RESORT_S = 5.0


class Job:
    """One source to be asked for one service, or for the machine when ``service`` is None."""

    def __init__(self, source: Source, service: Service | None) -> None:
        self.source = source
        self.service = service
        self.started: float | None = None
        self.result: dict[str, Any] | None = None

    @property
    def title(self) -> str:
        """How a reader knows it: ``postgresql of db``."""
        return f"{self.source.name} of {self.service.name if self.service else 'the machine'}"

    def run(self, machine: Machine) -> dict[str, Any]:
        """SOURCE as docs/architecture.md describes it; never raises."""
        started = time.monotonic()
        try:
            tree = recording(machine) if self.service is None and self.source.name in recorded.SOURCES else None
            data = self.source.collect(Context(machine, self.service, self.source.limit_s, tree))
            # No trend may begin with the numbers of another machine.
            return {"ok": True, "ms": _ms(started), "data": bounded(data), **({"recorded": True} if tree else {})}
        except SourceError as error:
            return failure(error.kind, error.reason, started)
        except Exception as error:  # noqa: BLE001 - a source's bug must not cost the evidence of the others
            return failure("error", f"{self.title} failed: {type(error).__name__}: {error}", started)


class Pool:
    """Runs jobs in a bounded number of daemon threads; a job that hangs is given up and its thread replaced."""

    def __init__(self, machine: Machine, jobs: list[Job], threads: int = MOST_THREADS) -> None:
        self.machine = machine
        self.jobs = jobs
        self.threads = threads
        self._waiting = deque(jobs)
        self._changed = threading.Condition()

    def run(self) -> None:
        """Returns when every job has a result, at the latest when the machine's budget ends."""
        started = [self._start_thread() for _number in range(min(self.threads, len(self.jobs)))]
        if not any(started):
            self._work()
        with self._changed:
            while time.monotonic() < self.machine.end:
                self._give_up_late_ones(time.monotonic())
                if all(job.result is not None for job in self.jobs):
                    break
                self._changed.wait(self._next_look(time.monotonic()))
            for job in self.jobs:
                if job.result is None:
                    job.result = self._unfinished(job)

    def _start_thread(self) -> bool:
        """False on a machine that has run out of threads, which may be the very incident."""
        try:
            threading.Thread(target=self._work, daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting or time.monotonic() >= self.machine.end:
                    return
                job = self._waiting.popleft()
                job.started = time.monotonic()
            result = job.run(self.machine)
            with self._changed:
                if job.result is not None:  # given up meanwhile: another thread took this one's place
                    return
                job.result = result
                self._changed.notify()

    def _give_up_late_ones(self, now: float) -> None:
        for job in self.jobs:
            if job.result is None and job.started is not None and now - job.started > job.source.limit_s + GRACE_S:
                job.result = failure("timeout", f"{job.title} did not answer within {job.source.limit_s:g} s", job.started)
                if self._waiting:
                    self._start_thread()

    def _next_look(self, now: float) -> float:
        ends = [job.started + job.source.limit_s + GRACE_S for job in self.jobs if job.result is None and job.started is not None]
        return max(0.01, min([self.machine.end, *ends]) - now)

    def _unfinished(self, job: Job) -> dict[str, Any]:
        budget = float(self.machine.options["budget_s"])
        what = "was not asked" if job.started is None else "had not answered"
        reason = f"{job.title} {what} when the probe's time of {budget:g} s ended; raise budget_s or ask for fewer sources"
        return failure("unfinished", reason, job.started or time.monotonic())


def failure(kind: str, reason: str, started: float) -> dict[str, Any]:
    """SOURCE of a source that could not look."""
    return {"ok": False, "ms": _ms(started), "kind": kind, "reason": clean_text(reason)[:1000]}


def _ms(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def recording(machine: Machine) -> recorded.Recording | None:
    """The recorded tree of the request, None without one; SourceError when it can't be read."""
    return machine.once("recorded tree", lambda: recorded.read(machine.host_root)) if machine.host_root else None


def clock_offset_s(machine: Machine) -> float:
    """By how much the recorded machine's clock was ahead."""
    try:
        tree = recording(machine)
    except SourceError:
        return 0.0
    return tree.clock_offset_s if tree else 0.0


def options_of(request: dict[str, Any]) -> dict[str, Any]:
    """All options of a request: its own before those of its depth."""
    return {**(DEEP_OPTIONS if request.get("depth") == "deep" else DEFAULT_OPTIONS), **(request.get("options") or {})}


def wanted_jobs(services: dict[str, Service], sources: list[str] | None, deep: bool = False) -> list[Job]:
    """The jobs for these services and the machine; ``sources`` limits them to those names, and a deep one needs a deep look."""
    jobs = []
    for source in MACHINE_SOURCES:
        if (deep or not source.deep) and (sources is None or source.name in sources):
            jobs.append(Job(source, None))
    for service in services.values():
        for source in SERVICE_SOURCES:
            fits = service.kind in source.kinds and (service.container_name is not None or not source.needs_container)
            fits = fits and (source.applies is None or source.applies(service)) and (deep or not source.deep)
            if fits and (sources is None or source.name in sources):
                jobs.append(Job(source, service))
    return jobs


def collect(request: dict[str, Any]) -> dict[str, Any]:
    """The evidence document for a request."""
    started = time.monotonic()
    roots = {"root": str(request.get("root") or ""), "host_root": str(request.get("host_root") or "")}
    machine = Machine({}, DockerClient(), options_of(request), resources=request.get("resources"), **roots)
    machine.docker.timeout_s = float(machine.options["docker_timeout_s"])
    declared = request.get("services") or {}
    machine.services = {name: Service(name, str(spec["kind"]), spec) for name, spec in declared.items()}
    assumptions: list[str] = []
    if request.get("services") is None:
        machine.services, assumptions = discover.discover(machine)
    if machine.host_root:
        assumptions.append(f"the machine itself is read from the recorded tree {machine.host_root} (incident_host_root), not from its own kernel")
    offset_s = clock_offset_s(machine)
    jobs = wanted_jobs(machine.services, request.get("sources"), request.get("depth") == "deep")
    Pool(machine, jobs).run()
    return {
        "schema": "sre.incident_response/evidence/1",
        "collected_at": datetime.fromtimestamp(machine.now, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "duration_s": round(time.monotonic() - started, 3),
        "clock": {"started_epoch": machine.now + offset_s, "host_epoch": time.time() + offset_s},
        "discovered": request.get("services") is None,
        "assumptions": cleaned(assumptions),
        "options": machine.options,
        "machine": {job.source.name: job.result for job in jobs if job.service is None},
        "services": {
            service.name: {
                "name": service.name,
                "kind": service.kind,
                "spec": cleaned(service.public_spec()),
                "sources": {job.source.name: job.result for job in jobs if job.service is service},
            }
            for service in machine.services.values()
        },
    }


def volunteer_for_oom() -> None:
    """When memory runs out on a machine in trouble the kernel shall take the probe first."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as handle:
            handle.write("1000")
    except OSError:
        pass


def end_anyway(request: dict[str, Any]) -> None:
    """End this process some seconds after its budget, whatever happens.

    One endless computation, a regular expression for instance, stops all threads of a Python: then only this, which needs no Python, is left.
    """
    budget = float(options_of(request)["budget_s"])
    faulthandler.dump_traceback_later(budget + LAST_RESORT_S, exit=True)


def main(request: dict[str, Any]) -> None:
    """Print the document between two marks and end at once, whatever a hanging thread still waits for.

    The marks carry the request's token, so that banners and shell noise around them do no harm. Only ASCII is printed.
    """
    end_anyway(request)
    volunteer_for_oom()
    text = json.dumps(collect(request), allow_nan=False, separators=(",", ":"))
    mark = f"sre-evidence-{request['token']}"
    output = f"\n<{mark}>{text}</{mark}>\n".encode("ascii")
    while output:
        output = output[os.write(sys.stdout.fileno(), output) :]
    os._exit(0)
