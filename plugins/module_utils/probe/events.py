# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several sources ask the Docker engine, asked once per probe: its containers and their recent events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .context import Machine, SourceError

# Events of `docker exec` and of health checks are left out: they are many and say nothing here.
ACTIONS = ["create", "start", "die", "kill", "stop", "oom", "restart", "destroy", "pause", "unpause", "rename", "update"]


@dataclass(frozen=True)
class Event:
    """One event of a container; ``exit_code`` and ``signal`` are None where they make no sense."""

    epoch: float
    action: str
    container_id: str
    name: str
    image: str
    exit_code: int | None
    signal: str | None


def container_list(machine: Machine) -> list[dict[str, Any]]:
    """``GET /containers/json?all=1``: running and stopped containers."""
    return machine.once("container list", lambda: machine.docker.get_json("/containers/json", {"all": 1}))


def container_name(entry: dict[str, Any]) -> str:
    """Name of an entry of :func:`container_list`; links of other containers to it contain a second slash."""
    names = [str(name).lstrip("/") for name in entry.get("Names") or []]
    own = [name for name in names if "/" not in name]
    return (own or names or [str(entry.get("Id"))[:12]])[0]


def containers_by_address(machine: Machine) -> dict[str, str]:
    """``{address: container name}`` of all Docker networks, to name who is behind a connection; empty when the engine can't be asked."""
    try:
        entries = container_list(machine)
    except SourceError:
        return {}
    owners = {}
    for entry in entries:
        networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
        for network in networks.values():
            for key in ("IPAddress", "GlobalIPv6Address"):
                if network.get(key):
                    owners[str(network[key])] = container_name(entry)
    return owners


def container_events(machine: Machine) -> list[Event]:
    """Events of all containers, oldest first, as far back as ``change_window_s`` and the engine's short memory go."""
    window = float(machine.options["change_window_s"])
    filters = {"type": ["container"], "event": ACTIONS}
    raw = machine.once("events", lambda: machine.docker.events(machine.now - window, machine.now, filters))
    return [parsed(entry) for entry in raw]


def parsed(entry: dict[str, Any]) -> Event:
    """An :class:`Event` from the engine's own form."""
    actor = entry.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    code = str(attributes.get("exitCode") or "")
    nanoseconds = entry.get("timeNano")
    return Event(
        epoch=nanoseconds / 1e9 if nanoseconds else float(entry.get("time") or 0),
        action=str(entry.get("Action") or ""),
        container_id=str(actor.get("ID") or ""),
        name=str(attributes.get("name") or ""),
        image=str(attributes.get("image") or ""),
        exit_code=int(code) if code.lstrip("-").isdigit() else None,
        signal=attributes.get("signal"),
    )
