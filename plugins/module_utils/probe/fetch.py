# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands over the logs of containers as they are: the newest lines of a time span, compressed, one service after the other.

A request is ``{"services": {name: {kind, container}} or null, "names": [service], "since": MOMENT, "until": MOMENT or null, "tail": 0,
"max_bytes": n, "options": {"budget_s": n}, "token": text}`` with MOMENT ``{"ago_s": n}`` or ``{"epoch": n}``. No services means: discover
them. No names means: every service that has a container.

The answer is ASCII lines: a header as JSON, then for every service its own header followed by ``blocks`` lines of base64. A block is
compressed by zlib and holds lines ``<1 or 2><engine's timestamp> <text>``. Nothing is ever held whole but the log of one service, compressed.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import discover, runner
from .clean import cleaned
from .context import Container, Context, Machine, Service, SourceError
from .docker import DockerClient
from .events import container_list, container_name
from .logs_stream import Line, LogReader
from .times import epoch, iso

SCHEMA = "sre.incident_response/logs/1"
BLOCK = 256 * 1024
# Reading the end of a log is quick, however long the log is; all of it (0) is read from its beginning.
TAILS = (20_000, 200_000, 2_000_000, 0)
NAMES_SHOWN = 30
RESERVE_S = 2.0


@dataclass(frozen=True)
class Target:
    """A service whose log is wanted; ``problem`` says why there is none, and then ``container`` is empty."""

    service: str
    kind: str
    container: str
    problem: str = ""


class Newest:
    """The newest lines of a log, compressed; about ``most_bytes`` of text, the oldest go first."""

    def __init__(self, most_bytes: int) -> None:
        self.lines = 0
        self.dropped = False
        self._most_bytes = most_bytes
        self._block = min(BLOCK, max(1, most_bytes // 8))
        self._blocks: deque[tuple[bytes, int, int]] = deque()
        self._size = 0
        self._open: list[bytes] = []
        self._open_size = 0

    def add(self, line: Line) -> None:
        """Keep a line."""
        self._open.append(b"%d%s %s\n" % (line.stream, line.stamp.encode("ascii", "replace"), line.text))
        self._open_size += len(line.text) + 1
        if self._open_size >= self._block:
            self._close()

    def _close(self) -> None:
        if not self._open:
            return
        self._blocks.append((zlib.compress(b"".join(self._open), 1), self._open_size, len(self._open)))
        self._size += self._open_size
        self.lines += len(self._open)
        self._open, self._open_size = [], 0
        while self._size > self._most_bytes and len(self._blocks) > 1:
            _block, size, lines = self._blocks.popleft()
            self._size -= size
            self.lines -= lines
            self.dropped = True

    def blocks(self) -> list[bytes]:
        """All blocks, oldest first."""
        self._close()
        return [block for block, _size, _lines in self._blocks]


@dataclass
class Pass:
    """One reading of a log: what it kept, and why it is not all (``bytes``, ``time`` or ``tail``; None: it is)."""

    newest: Newest
    truncated: str | None


def targets(machine: Machine, names: list[str]) -> list[Target]:
    """The services that are meant: those of these names, else every service that has a container."""
    if not names:
        services = sorted(machine.services.items())
        return [Target(name, service.kind, service.container_name) for name, service in services if service.container_name]
    return [named(machine, name) for name in names]


def named(machine: Machine, name: str) -> Target:
    """The service of that name, else the container of that name, which nobody declared."""
    service = machine.services.get(name)
    if service is not None and service.container_name:
        return Target(name, service.kind, service.container_name)
    if service is not None:
        return Target(name, service.kind, "", f"service {name} has no container (kind {service.kind}), so its log is not kept by Docker; read it where it runs")
    try:
        container = machine.container(name)
    except SourceError as error:
        if error.kind != "absent":
            return Target(name, "", "", error.reason)
        with_container = sorted(known for known, one in machine.services.items() if one.container_name)
        known = f"; services with a container are {', '.join(with_container)}" if with_container else ""
        return Target(name, "", "", f"there is neither a service nor a container {name} on this machine{known}{existing(machine)}")
    candidate = discover.Candidate(container, name)
    discover.classify(Context(machine, None, limit_s=5.0), candidate)
    return Target(name, candidate.kind or "", container.name)


def existing(machine: Machine) -> str:
    """The containers that there are, as the rest of a sentence."""
    try:
        names = sorted(container_name(entry) for entry in container_list(machine))
    except SourceError as error:
        return f"; {error.reason}"
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"; containers here are {', '.join(names[:NAMES_SHOWN])}{more}" if names else "; there are no containers here"


def read(machine: Machine, container: Container, request: dict[str, Any], deadline: float) -> Pass:
    """The newest lines of the time span. SourceError when the engine does not hand out this log."""
    wished = int(request["tail"])
    until = moment(request["until"], machine.now) if request["until"] else None
    # The engine takes the last lines first and then leaves out those after ``until``: that would be too few.
    tails = (0,) if until is not None else (wished,) if wished else TAILS
    best: Pass | None = None
    for tail in tails:
        reader = LogReader(machine.docker, container, moment(request["since"], machine.now), tail, sys.maxsize, deadline, until)
        newest = Newest(int(request["max_bytes"]))
        for line in reader:
            newest.add(line)
        newest.blocks()
        if reader.stopped and best is not None:
            # It lacks the newest lines, which the shorter one has.
            return Pass(best.newest, "time")
        truncated = "time" if reader.stopped else "bytes" if newest.dropped else None if reader.has_all else "tail"
        best = Pass(newest, truncated)
        if truncated != "tail":
            break
    return best or Pass(Newest(1), "time")


def moment(wanted: dict[str, float], now: float) -> float:
    """Epoch of a MOMENT by this machine's clock, which is the one that stamped the lines."""
    return max(0.0, now - float(wanted["ago_s"])) if "ago_s" in wanted else float(wanted["epoch"])


def about(container: Container) -> dict[str, Any]:
    """What the summary tells about the container."""
    started = epoch((container.inspect.get("State") or {}).get("StartedAt"))
    return {
        "container": container.name,
        "container_status": container.status,
        "container_restarts": int(container.inspect.get("RestartCount") or 0),
        "container_started_at": iso(started),
    }


def service_answer(machine: Machine, target: Target, request: dict[str, Any], deadline: float) -> Iterator[str]:
    """The lines of one service; what went wrong with it is in its header."""
    header: dict[str, Any] = {
        "service": target.service,
        "kind": target.kind,
        "container": target.container or None,
        "error": target.problem or None,
        "blocks": 0,
    }
    blocks: list[bytes] = []
    if not target.problem:
        try:
            container = machine.container(target.container)
            header.update(about(container))
            done = read(machine, container, request, deadline)
            blocks = done.newest.blocks()
            header.update(blocks=len(blocks), lines=done.newest.lines, truncated=done.truncated)
        except SourceError as error:
            header["error"] = error.reason + (existing(machine) if error.kind == "absent" else "")
    yield json.dumps(cleaned(header))
    for block in blocks:
        yield base64.b64encode(block).decode("ascii")


def answer(request: dict[str, Any]) -> Iterator[str]:
    """All lines of the answer."""
    machine = Machine({}, DockerClient(), request["options"])
    machine.docker.timeout_s = float(machine.options["docker_timeout_s"])
    assumptions: list[str] = []
    if request["services"] is None:
        machine.services, assumptions = discover.discover(machine)
    else:
        machine.services = {name: Service(name, str(spec["kind"]), spec) for name, spec in request["services"].items()}
    wanted = targets(machine, request["names"])
    span = {key: iso(moment(request[key], machine.now)) if request[key] else None for key in ("since", "until")}
    yield json.dumps(cleaned({"schema": SCHEMA, "now": iso(machine.now), **span, "assumptions": assumptions, "services": len(wanted)}))
    for position, target in enumerate(wanted):
        # Each gets its share of what is left, so that one huge log does not cost the others.
        left = max(0.0, machine.end - RESERVE_S - time.monotonic())
        yield from service_answer(machine, target, request, time.monotonic() + left / (len(wanted) - position))


def main(request: dict[str, Any]) -> None:
    """Print the answer between two marks that carry the request's token, and end at once."""
    runner.end_anyway(request)
    runner.volunteer_for_oom()
    mark = f"sre-logs-{request['token']}"
    write(f"\n<{mark}>\n")
    for line in answer(request):
        write(line + "\n")
    write(f"</{mark}>\n")
    os._exit(0)


def write(text: str) -> None:
    """Write all of it, whatever the pipe takes at once."""
    output = text.encode("ascii")
    while output:
        output = output[os.write(sys.stdout.fileno(), output) :]
