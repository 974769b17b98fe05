# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``volume``: how full the file system is on which a database keeps its data."""

from __future__ import annotations

import os
from typing import Any

from . import cgroup, procfs
from .context import Container, Context, SourceError
from .process import main_process, process_stats

# The newest images of PostgreSQL moved their data from the first to the second.
USUAL_FOLDERS = {"postgresql": ("/var/lib/postgresql/data", "/var/lib/postgresql"), "redis": ("/data", "/var/lib/redis")}


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``volume``: ``path`` is the folder in the container."""
    container = ctx.container
    denied = False
    folders = data_folders(ctx, ctx.owner.kind, container)
    for folder in folders:
        for candidate in host_paths(ctx, container, folder):
            try:
                sizes = procfs.space(candidate, os.statvfs)
            except PermissionError:
                denied = True
            except OSError:
                continue
            else:
                return {"path": folder, **sizes, "filesystem": filesystem(ctx, container, folder)}
    if denied:
        raise SourceError("permission", f"{folders[0]} of container {container.name} can only be measured by root; use become")
    raise SourceError("absent", f"{folders[0]} of container {container.name} is not reachable from this machine while the container is {container.status}")


def data_folders(ctx: Context, kind: str, container: Container) -> list[str]:
    """Where the database keeps its data in the container, most certain first: both kinds of server work in that folder."""
    told = [container.environment.get("PGDATA")] if kind == "postgresql" else []
    mounted = [str(mount.get("Destination") or "") for mount in container.inspect.get("Mounts") or []]
    usual = list(USUAL_FOLDERS.get(kind, ("/",)))
    usual.sort(key=lambda folder: not any(is_inside(folder, destination) for destination in mounted))
    return [folder for folder in [working_folder(ctx, container), *told, *usual] if folder]


def working_folder(ctx: Context, container: Container) -> str | None:
    """The working folder of the server's process, None when it tells nothing or only root may know."""
    if not container.pid:
        return None
    try:
        stats = process_stats(ctx, cgroup.member_pids(ctx, container))
        main = main_process(container.pid, stats)
        folder = os.readlink(ctx.path("proc", main.pid if main else container.pid, "cwd"))
    except (OSError, SourceError):
        return None
    return folder if folder != "/" and folder.startswith("/") else None


def is_inside(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def host_paths(ctx: Context, container: Container, folder: str) -> list[str]:
    """Where the machine may find it: through the container's own view, or below the folder that is mounted there."""
    paths = [ctx.path("proc", container.pid, "root", folder)] if container.pid else []
    mounts = [mount for mount in container.inspect.get("Mounts") or [] if mount.get("Source") and is_inside(folder, str(mount.get("Destination")))]
    if mounts:
        nearest = max(mounts, key=lambda mount: len(str(mount["Destination"])))
        paths.append(ctx.path(str(nearest["Source"]) + folder[len(str(nearest["Destination"]).rstrip("/")) :]))
    return paths


def filesystem(ctx: Context, container: Container, path: str) -> str | None:
    """Type of the file system, as the container sees it; None when the container's mounts may not be read."""
    if not container.pid:
        return None
    try:
        mounts = procfs.mounts(ctx.read(ctx.path("proc", container.pid, "mounts")))
    except OSError:
        return None
    holding = [mount for mount in mounts if is_inside(path, mount.path)]
    return max(holding, key=lambda mount: len(mount.path)).filesystem if holding else None
