# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands over what a change of a container would destroy: how it was made, its processes, its last log lines, and stacks of a Python.

A request is ``{"services": {...}, "service": name, "tail": lines, "options", "token"}``. Only reads.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import Any

from .answer import hand_over, machine_of, service_of
from .context import Container, Machine, SourceError
from .logs_stream import LogReader
from .redact import redact

STACKS_S = 10.0
LOGS_S = 10.0
MOST_BYTES = 8 * 1024 * 1024


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """``{container, inspect, processes, log, stacks}``; a part that can't be had is a sentence instead. SourceError without a container."""
    machine = machine_of(request)
    service = service_of(machine, str(request["service"]))
    if service.container_name is None:
        raise SourceError("absent", f"service {service.name} has no container")
    container = machine.container(service.container_name)
    return {
        "container": container.name,
        "inspect": inspected(container),
        "processes": part(lambda: processes(machine, container)),
        "log": part(lambda: last_lines(machine, container, int(request.get("tail") or 1000))),
        "stacks": part(lambda: stacks(container)),
    }


def part(read: Any) -> Any:
    """What ``read`` returns, or why that can't be had."""
    try:
        return read()
    except SourceError as error:
        return error.reason
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"


def inspected(container: Container) -> dict[str, Any]:
    """The engine's whole description without the values of the environment, which hold secrets."""
    config = dict(container.inspect.get("Config") or {})
    config["Env"] = sorted(container.environment)
    return {**container.inspect, "Config": config}


def processes(machine: Machine, container: Container) -> Any:
    """What ``docker top`` prints."""
    if not container.running:
        return f"the container is {container.status}, it has no processes"
    return machine.docker.get_json(f"/containers/{container.id}/top", {"ps_args": "-eo pid,ppid,stat,etime,pcpu,rss,wchan:20,comm"})


def last_lines(machine: Machine, container: Container, tail: int) -> list[str]:
    """The last lines of its log, with the engine's timestamps."""
    reader = LogReader(machine.docker, container, 0.0, tail, MOST_BYTES, time.monotonic() + LOGS_S, None)
    return [redact(f"{line.stamp} {line.text.decode('utf-8', 'replace')}") for line in reader][-tail:]


def stacks(container: Container) -> list[str] | None:
    """Where the threads of its main process are, when that is a Python and py-spy is on this machine; None otherwise."""
    program = shutil.which("py-spy")
    if not program or not container.running or not container.pid:
        return None
    done = subprocess.run([program, "dump", "--nonblocking", "--pid", str(container.pid)], capture_output=True, timeout=STACKS_S, check=False)
    return (done.stdout or done.stderr).decode("utf-8", "replace").splitlines()


def main(request: dict[str, Any]) -> None:
    """Answer and end."""
    hand_over(answer, request)
