# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``container``: what the Docker engine knows about the container of a service, and what happened to it lately."""

from __future__ import annotations

import difflib
import hashlib
import os
from typing import Any
from urllib.parse import urlsplit

from .context import DEFAULT_PORTS, Container, Context, Service, SourceError
from .docker import DockerError
from .events import Event, container_events, container_list, container_name
from .times import epoch, iso

RESTART_WINDOW_S = 15 * 60
OOM_WINDOW_S = 30 * 60
STOP_SIGNALS = {"2", "3", "9", "15"}
# `docker stop` waits 10 s by default between SIGTERM and SIGKILL; some services are given a minute.
STOP_TAKES_AT_MOST_S = 75
FIELDS = [
    "name",
    "id",
    "image",
    "image_id",
    "status",
    "running",
    "paused",
    "oom_killed",
    "exit_code",
    "error",
    "restart_count",
    "restart_policy",
    "health",
    "health_failing_streak",
    "health_output",
    "pid",
    "created_at",
    "started_at",
    "finished_at",
    "image_created_at",
    "age_s",
    "up_s",
    "down_s",
    "version",
    "revision",
    "networks",
    "ports",
    "mounts",
    "log_driver",
    "log_max_size",
    "log_bytes",
    "memory_limit",
    "env_hash",
    "events",
    "restarts_15m",
    "oom_events_30m",
    "oom_recent",
    "stopped_by_operator",
    "port",
]


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``container``; a declared container that does not exist is an answer: status ``missing``."""
    try:
        container = ctx.container
    except DockerError as error:
        if error.status != 404:
            raise
        return missing(ctx)
    events, events_reason = recent_events(ctx, container)
    data = described(container, ctx.now)
    data.update(happened(container, events, ctx.now))
    data["image_created_at"] = image_created_at(ctx, container)
    data["port"] = service_port(ctx.owner, container)
    if events_reason:
        data["events_reason"] = events_reason
    return data


def missing(ctx: Context) -> dict[str, Any]:
    """The answer for a container that the engine does not know, with up to three names that look like it."""
    name = str(ctx.owner.container_name)
    names = [container_name(entry) for entry in container_list(ctx.machine)]
    data: dict[str, Any] = dict.fromkeys(FIELDS)
    data.update(name=name, status="missing", running=False, paused=False, networks={}, ports=[], mounts=[], events=[])
    data["similar"] = difflib.get_close_matches(name, names, n=3)
    return data


def recent_events(ctx: Context, container: Container) -> tuple[list[Event], str | None]:
    """Events of this very container, oldest first; they are worth having but not worth failing for."""
    try:
        events = container_events(ctx.machine)
    except SourceError as error:
        return [], error.reason
    return [event for event in events if event.container_id == container.id], None


def described(container: Container, now: float) -> dict[str, Any]:
    """The fields that ``docker inspect`` answers alone."""
    inspect = container.inspect
    state, config, host = (inspect.get(part) or {} for part in ("State", "Config", "HostConfig"))
    log_config = host.get("LogConfig") or {}
    created, started, finished = epoch(inspect.get("Created")), epoch(state.get("StartedAt")), epoch(state.get("FinishedAt"))
    return {
        "name": container.name,
        "id": container.id,
        "image": config.get("Image"),
        "image_id": inspect.get("Image"),
        "status": container.status,
        "running": container.running,
        "paused": container.paused,
        "oom_killed": bool(state.get("OOMKilled")),
        "exit_code": state.get("ExitCode") if not container.running else None,
        "error": state.get("Error") or None,
        "restart_count": inspect.get("RestartCount") or 0,
        "restart_policy": (host.get("RestartPolicy") or {}).get("Name") or "no",
        **health(state),
        "pid": container.pid or None,
        "created_at": iso(created),
        "started_at": iso(started),
        "finished_at": iso(finished),
        "age_s": since(created, now),
        "up_s": since(started, now) if container.running else None,
        "down_s": since(finished, now) if not container.running else None,
        "version": container.labels.get("org.opencontainers.image.version"),
        "revision": container.labels.get("org.opencontainers.image.revision"),
        "networks": {address.network: {"ip": address.ip or None, "aliases": list(address.aliases)} for address in container.addresses},
        "ports": published_ports(container),
        "mounts": [
            {"type": mount.get("Type"), "source": mount.get("Source"), "destination": mount.get("Destination"), "rw": mount.get("RW")}
            for mount in inspect.get("Mounts") or []
        ],
        "log_driver": log_config.get("Type"),
        "log_max_size": (log_config.get("Config") or {}).get("max-size"),
        "log_bytes": log_bytes(str(inspect.get("LogPath") or "")),
        "memory_limit": host.get("Memory") or None,
        "env_hash": env_hash(config.get("Env") or []),
    }


def log_bytes(path: str) -> int | None:
    """Size of the container's log with its rotated files, None where it is no file or may not be looked at."""
    if not path:
        return None
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries if entry.name == name or entry.name.startswith(name + "."))
    except OSError:
        return None


def health(state: dict[str, Any]) -> dict[str, Any]:
    """Docker's own health check: ``healthy unhealthy starting``, None without one; the output of the last probe."""
    report = state.get("Health") or {}
    log = report.get("Log") or []
    return {
        "health": report.get("Status") if report.get("Status") != "none" else None,
        "health_failing_streak": report.get("FailingStreak") if report else None,
        "health_output": str(log[-1].get("Output") or "")[:500] if log else None,
    }


def happened(container: Container, events: list[Event], now: float) -> dict[str, Any]:
    """What the events tell: restarts, OOM kills, and who stopped it."""
    state = container.inspect.get("State") or {}
    oom_events = [event for event in events if event.action == "oom" and now - event.epoch <= OOM_WINDOW_S]
    finished = epoch(state.get("FinishedAt"))
    oom_killed_lately = bool(state.get("OOMKilled")) and finished is not None and now - finished <= OOM_WINDOW_S
    return {
        "events": [{"time": iso(event.epoch), "action": event.action, "exit_code": event.exit_code, "signal": event.signal} for event in events[-50:]],
        "restarts_15m": restarts(container, events, now),
        "oom_events_30m": len(oom_events),
        "oom_recent": bool(oom_events) or oom_killed_lately,
        "stopped_by_operator": stopped_by_operator(container, events),
    }


def restarts(container: Container, events: list[Event], now: float) -> int:
    """How often it died by itself within 15 minutes and was, or is being, started again.

    The engine keeps only its last events, and health checks push them out: then RestartCount still tells, because an operator's
    start resets it.
    """
    last_start = max((event.epoch for event in events if event.action == "start"), default=0.0)
    comes_back = container.status == "restarting"
    deaths = [event for event in events if event.action == "die" and now - event.epoch <= RESTART_WINDOW_S]
    restarted = [death for death in deaths if (death.epoch < last_start or comes_back) and not death_was_ordered(death, events)]
    started = epoch((container.inspect.get("State") or {}).get("StartedAt"))
    policy_restarted = bool(container.inspect.get("RestartCount")) and started is not None and now - started <= RESTART_WINDOW_S
    return max(len(restarted), 1 if policy_restarted else 0)


def death_was_ordered(death: Event, events: list[Event]) -> bool:
    """True for ``docker stop``, ``kill`` or ``restart``: kill before the death, or stop right after it."""
    for event in events:
        before = 0 <= death.epoch - event.epoch <= STOP_TAKES_AT_MOST_S
        after = 0 <= event.epoch - death.epoch <= STOP_TAKES_AT_MOST_S
        if event.action == "kill" and event.signal in STOP_SIGNALS and before:
            return True
        if event.action in ("stop", "restart") and after:
            return True
    return False


def stopped_by_operator(container: Container, events: list[Event]) -> bool | None:
    """Whether somebody told the engine to stop it; None when nothing tells."""
    if container.running or container.status in ("created", "restarting"):
        return False
    deaths = [event for event in events if event.action == "die"]
    if deaths:
        return death_was_ordered(deaths[-1], events)
    policy = ((container.inspect.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name")
    # The engine would have started it again unless it was told to stop.
    return True if policy in ("always", "unless-stopped") else None


def published_ports(container: Container) -> list[dict[str, Any]]:
    """``[{port, protocol, host_ip, host_port}]``; host fields are None for a port that is only exposed."""
    ports = (container.inspect.get("NetworkSettings") or {}).get("Ports") or {}
    found = []
    for name, bindings in ports.items():
        number, _slash, protocol = name.partition("/")
        for binding in bindings or [{}]:
            host_port = binding.get("HostPort")
            found.append(
                {
                    "port": int(number),
                    "protocol": protocol,
                    "host_ip": binding.get("HostIp"),
                    "host_port": int(host_port) if host_port else None,
                }
            )
    return found


def service_port(service: Service, container: Container) -> int:
    """The port on which the service listens inside its container: declared, behind the URL, exposed, or usual."""
    if service.spec.get("port"):
        return int(service.spec["port"])
    behind_url = port_behind_url(str(service.spec.get("url") or ""), container)
    if behind_url:
        return behind_url
    usual = DEFAULT_PORTS.get(service.kind, 0)
    exposed = container.exposed_ports
    return usual if usual in exposed or not exposed else exposed[0]


def port_behind_url(url: str, container: Container) -> int | None:
    """The container's port that is published as the port of ``url``."""
    try:
        parts = urlsplit(url)
        wanted = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    for entry in published_ports(container):
        if wanted is not None and entry["host_port"] == wanted:
            return int(entry["port"])
    return None


def image_created_at(ctx: Context, container: Container) -> str | None:
    """When the image was built; None when the engine no longer has it."""
    image = container.inspect.get("Image")
    if not image:
        return None
    try:
        document = ctx.machine.once(f"image {image}", lambda: ctx.docker.get_json(f"/images/{image}/json"))
    except SourceError:
        return None
    return iso(epoch(document.get("Created")))


def env_hash(environment: list[str]) -> str:
    """Changes when the environment does; the values, which may be secrets, are not kept."""
    return hashlib.sha256("\0".join(sorted(environment)).encode("utf-8", "replace")).hexdigest()[:16]


def since(then: float | None, now: float) -> float | None:
    """Seconds from ``then`` to ``now``, None without a time."""
    return None if then is None else round(max(0.0, now - then), 1)
