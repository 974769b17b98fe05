# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``docker`` of a machine: the engine itself, its containers, and how many died lately."""

from __future__ import annotations

from typing import Any

from .container import RESTART_WINDOW_S
from .context import Context, SourceError
from .events import container_events, container_list, container_name

MOST_CONTAINERS = 500


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``docker``; ``up`` is false for an engine that hangs or has ended while containers are declared."""
    try:
        api_version = ctx.docker.version()
    except SourceError as error:
        expected = any(service.container_name for service in ctx.services.values())
        if not expected or error.kind not in ("timeout", "refused"):
            raise
        names = ("version", "api_version", "ping_ms", "root_dir", "containers", "deaths_15m")
        return {"up": False, "error": error.reason, **dict.fromkeys(names)}
    version = ctx.docker.get_json("/version")
    return {
        "up": True,
        "error": None,
        "version": version.get("Version"),
        "api_version": api_version,
        "ping_ms": ctx.docker.ping_ms,
        "root_dir": root_dir(ctx),
        "containers": [
            {"name": container_name(entry), "image": entry.get("Image"), "status": entry.get("State")}
            for entry in container_list(ctx.machine)[:MOST_CONTAINERS]
        ],
        "deaths_15m": deaths(ctx),
    }


def root_dir(ctx: Context) -> str | None:
    """Where images and containers lie; None when a read-only proxy in front of the engine hides it."""
    try:
        folder = ctx.docker.get_json("/info").get("DockerRootDir")
    except SourceError:
        return None
    return str(folder) if folder else None


def deaths(ctx: Context) -> int | None:
    """Containers that ended within 15 minutes, whatever the reason; None when events can't be read."""
    try:
        events = container_events(ctx.machine)
    except SourceError:
        return None
    return sum(event.action == "die" and ctx.now - event.epoch <= RESTART_WINDOW_S for event in events)
