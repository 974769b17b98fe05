# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs beside the probe share: the machine of a request, and how an answer gets back."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable, Dict

from . import runner
from .clean import cleaned
from .context import Machine, Service, SourceError
from .docker import DockerClient

Answer = Callable[[Dict[str, Any]], Dict[str, Any]]


def machine_of(request: dict[str, Any]) -> Machine:
    """The machine with the services of the request, which are always declared: a change never acts on a guess."""
    machine = Machine({}, DockerClient(), runner.options_of(request), resources=request.get("resources"))
    machine.docker.timeout_s = float(machine.options["docker_timeout_s"])
    machine.services = {name: Service(name, str(spec["kind"]), spec) for name, spec in (request.get("services") or {}).items()}
    return machine


def service_of(machine: Machine, name: str) -> Service:
    """The service of that name; SourceError when the request does not declare it."""
    if name not in machine.services:
        raise SourceError("absent", f"service {name} is not declared for this machine; add it to incident_services")
    return machine.services[name]


def told(answer: Answer, request: dict[str, Any]) -> dict[str, Any]:
    """The answer, or ``{"ok": false, "kind": ..., "reason": one sentence}``; never raises."""
    try:
        return {"ok": True, **cleaned(answer(request))}
    except SourceError as error:
        return {"ok": False, "kind": error.kind, "reason": error.reason}
    except Exception as error:  # noqa: BLE001 - whatever it is, the controller has to be told in a sentence
        return {"ok": False, "kind": "error", "reason": f"{type(error).__name__}: {error}"}


def hand_over(answer: Answer, request: dict[str, Any]) -> None:
    """Print the answer between two marks that carry the request's token, and end at once."""
    runner.end_anyway(request)
    runner.volunteer_for_oom()
    mark = f"sre-answer-{request['token']}"
    output = f"\n<{mark}>{json.dumps(told(answer, request))}</{mark}>\n".encode("ascii")
    while output:
        output = output[os.write(sys.stdout.fileno(), output) :]
    os._exit(0)
