# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``changes`` of a machine: what was changed lately, newest first.

Releases and restarts of the services' containers, configuration and certificates mounted into them, packages, and reboots.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from . import procfs
from .container import since
from .context import Container, Context, Service, SourceError
from .events import Event, container_events
from .times import epoch, iso

MOST_CHANGES = 100
MOST_NAMES = 5
MOST_FILES_PER_MOUNT = 300
DEEPEST_FOLDER = 2
LOG_TAIL = 128 * 1024
# A restart is a start that is not part of the creation.
CREATION_TAKES_AT_MOST_S = 30
CONFIGURATION = (".conf", ".cfg", ".ini", ".toml", ".yml", ".yaml", ".json", ".env", ".properties", ".pem", ".crt", ".cer", ".key", ".rules")
DATA_KINDS = ("postgresql", "redis")
_DPKG = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (install|upgrade|remove|purge) (\S+) (\S+) (\S+)")
_DNF = re.compile(r"^(\S+) SUBDEBUG (Installed|Upgrade|Upgraded|Erase): (\S+)")
PACKAGE_LOGS = ("var/log/dpkg.log", "var/log/dnf.rpm.log")


@dataclass(frozen=True)
class Change:
    """One thing that changed: ``kind`` is deploy, recreate, restart, config, package or reboot; ``service`` is None for the machine."""

    epoch: float
    kind: str
    what: str
    source: str
    service: str | None = None
    previous_image: str | None = None


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``changes``."""
    changes, unreadable = reboots(ctx), []
    for service in ctx.services.values():
        container = ctx.container_of(service.name)
        if container is not None:
            changes += container_changes(ctx, service, container)
            found, reason = mounted_changes(ctx, service, container)
            changes += found
            unreadable += [reason] if reason else []
    changes += package_changes(ctx)
    window = float(ctx.options["change_window_s"])
    recent = sorted((change for change in changes if 0 <= ctx.now - change.epoch <= window), key=lambda change: -change.epoch)
    return {
        "recent": [
            {
                "time": iso(change.epoch),
                "kind": change.kind,
                "what": change.what,
                "source": change.source,
                "age_s": since(change.epoch, ctx.now),
                "service": change.service,
                "previous_image": change.previous_image,
            }
            for change in recent[:MOST_CHANGES]
        ],
        "unreadable": unreadable,
    }


def reboots(ctx: Context) -> list[Change]:
    """When the machine booted."""
    boot = procfs.key_numbers(ctx.read(ctx.path("proc", "stat"))).get("btime")
    return [] if boot is None else [Change(float(boot), "reboot", "the machine booted", "/proc/stat")]


def container_changes(ctx: Context, service: Service, container: Container) -> list[Change]:
    """Creation and last restart of a service's container."""
    created = epoch(container.inspect.get("Created"))
    started = epoch((container.inspect.get("State") or {}).get("StartedAt"))
    source = f"docker inspect {container.name}"
    changes = []
    if created is not None:
        kind, what, previous = creation(ctx, container, created)
        changes.append(Change(created, kind, f"{service.name}: {what}", source, service.name, previous))
    if created is not None and started is not None and started - created > CREATION_TAKES_AT_MOST_S:
        changes.append(Change(started, "restart", f"{service.name}: container {container.name} was started again", source, service.name))
    return changes


def creation(ctx: Context, container: Container, created: float) -> tuple[str, str, str | None]:
    """``(kind, sentence, image before)``: a deploy brings another image, a recreate the same one again."""
    image = str((container.inspect.get("Config") or {}).get("Image") or container.inspect.get("Image") or "an unknown image")
    before = events_of_predecessor(ctx, container, created)
    if not before or not before[-1].image:
        kind = "deploy" if built_since(ctx, container, created - float(ctx.options["change_window_s"])) else "recreate"
        return kind, f"container {container.name} was created from {image}", None
    previous = before[-1].image
    if not same_image(ctx, container, image, previous):
        return "deploy", f"container {container.name} was replaced, image {previous} by {image}", previous
    # The engine may have forgotten its creation; it existed at its first known event at the latest.
    if built_since(ctx, container, before[0].epoch):
        # The tag was moved to a newer build.
        return "deploy", f"container {container.name} was replaced, image {previous} by {str(container.inspect.get('Image'))[:19]}", previous
    return "recreate", f"container {container.name} was created again from the same image {image}", previous


def events_of_predecessor(ctx: Context, container: Container, created: float) -> list[Event]:
    """What the engine remembers of the last container that had the same name before, oldest first."""
    try:
        events = container_events(ctx.machine)
    except SourceError:
        return []
    before = [
        event for event in events if event.name == container.name and event.container_id != container.id and event.epoch <= created + CREATION_TAKES_AT_MOST_S
    ]
    return [event for event in before if event.container_id == before[-1].container_id]


def same_image(ctx: Context, container: Container, image: str, previous: str) -> bool:
    """Whether both names mean one image; a container may be created by a tag first and by an id later."""
    return previous == image or image_document(ctx, previous).get("Id") == container.inspect.get("Image")


def built_since(ctx: Context, container: Container, when: float) -> bool:
    """Whether the container's image was built after ``when``."""
    built = epoch(image_document(ctx, str(container.inspect.get("Image"))).get("Created"))
    return built is not None and built >= when


def image_document(ctx: Context, image: str) -> dict[str, Any]:
    """What the engine knows about an image by name or id; empty when it no longer has it."""
    try:
        return ctx.machine.once(f"image {image}", lambda: ctx.docker.get_json(f"/images/{quote(image, safe=':/@')}/json"))
    except SourceError:
        return {}


def mounted_changes(ctx: Context, service: Service, container: Container) -> tuple[list[Change], str | None]:
    """Configuration and certificates mounted into the container that changed lately, and why some could not be read."""
    changes: list[Change] = []
    reason = None
    for mount in container.inspect.get("Mounts") or []:
        source, destination = str(mount.get("Source") or ""), str(mount.get("Destination") or "")
        if not source:
            continue
        try:
            files = configuration_files(ctx.path(source), service.kind)
        except PermissionError:
            reason = f"{source}, mounted into {container.name}, may not be read; use become"
            continue
        except OSError:
            continue
        inside = [(destination + path[len(ctx.path(source)) :], changed) for path, changed in files]
        changes += [Change(latest, "config", f"{service.name}: {shortened(names)} changed", source, service.name) for names, latest in by_minute(inside)]
    return changes, reason


def by_minute(times: list[tuple[str, float]]) -> list[tuple[list[str], float]]:
    """``(names, latest time)`` per minute for ``(name, epoch)``: what was changed together is one change."""
    minutes: dict[int, list[tuple[str, float]]] = {}
    for name, when in times:
        minutes.setdefault(int(when // 60), []).append((name, when))
    return [([name for name, _when in entries], max(when for _name, when in entries)) for _minute, entries in sorted(minutes.items())]


def shortened(names: list[str]) -> str:
    """The first of many names and how many more there are."""
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def configuration_files(path: str, kind: str) -> list[tuple[str, float]]:
    """``(path, epoch of last change)`` of a mounted file, or of the configuration files in a mounted folder; OSError when it can't be read."""
    if not os.path.isdir(path):
        return [(path, os.stat(path).st_mtime)] if os.path.isfile(path) else []
    # Below a database's folder there are thousands of files, and its configuration lies at the top.
    wanted, deepest = ((".conf",), 0) if kind in DATA_KINDS else (CONFIGURATION, DEEPEST_FOLDER)
    found = []
    os.listdir(path)  # os.walk hides what it may not read
    for folder, subfolders, names in os.walk(path):
        if folder[len(path) :].count(os.sep) >= deepest:
            subfolders.clear()
        for name in sorted(names):
            if name.endswith(wanted) and not os.path.islink(os.path.join(folder, name)):
                found.append((os.path.join(folder, name), os.stat(os.path.join(folder, name)).st_mtime))
            if len(found) >= MOST_FILES_PER_MOUNT:
                return found
    return found


def package_changes(ctx: Context) -> list[Change]:
    """Packages that were installed, upgraded or removed, one change per minute."""
    changes = []
    for name in PACKAGE_LOGS:
        changes += [
            Change(latest, "package", f"{len(packages)} package{'s' if len(packages) > 1 else ''}: {shortened(packages)}", "/" + name)
            for packages, latest in by_minute([(what, when) for when, what in package_lines(_tail(ctx.path(name)))])
        ]
    return changes


def package_lines(text: str) -> list[tuple[float, str]]:
    """``(epoch, sentence)`` from the log of dpkg, which writes local time, or of dnf."""
    found = []
    for line in text.splitlines():
        match = _DPKG.match(line)
        if match:
            when, action, package, old, new = match.groups()
            version = f" {old} -> {new}" if action == "upgrade" else ""
            found.append((time.mktime(time.strptime(when, "%Y-%m-%d %H:%M:%S")), f"{action} {package.partition(':')[0]}{version}"))
            continue
        match = _DNF.match(line)
        when_epoch = epoch(match.group(1)) if match else None
        if match and when_epoch is not None:
            found.append((when_epoch, f"{match.group(2).lower()} {match.group(3)}"))
    return found


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as handle:
            handle.seek(0, os.SEEK_END)
            handle.seek(max(0, handle.tell() - LOG_TAIL))
            return handle.read(LOG_TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
