# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``volume``: how full the file system is on which a database keeps its data."""
from __future__ import annotations

import os
from typing import Any

from . import procfs
from .context import Container, Context, SourceError

# The newest images of PostgreSQL moved their data from the first to the second.
USUAL_FOLDERS = {"postgresql": ("/var/lib/postgresql/data", "/var/lib/postgresql"), "redis": ("/data", "/var/lib/redis")}


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``volume``: ``path`` is the folder in the container."""
    container = ctx.container
    path, source = data_folder(ctx.owner.kind, container)
    tried = []
    for candidate in host_paths(ctx, container, path, source):
        try:
            sizes = procfs.space(candidate, os.statvfs)
        except OSError as error:
            tried.append(error)
            continue
        return {"path": path, **sizes, "filesystem": filesystem(ctx, container, path)}
    if any(isinstance(error, PermissionError) for error in tried):
        raise SourceError("permission", f"{path} of container {container.name} can only be measured by root; use become")
    raise SourceError("absent", f"{path} of container {container.name} is not reachable from this machine while the container is {container.status}")


def data_folder(kind: str, container: Container) -> tuple[str, str | None]:
    """The data folder in the container, and the folder or volume of the machine that is mounted there (None: the container's own layer)."""
    usual = USUAL_FOLDERS.get(kind, ("/",))
    told = container.environment.get("PGDATA") if kind == "postgresql" else None
    folders = ([told] if told else []) + list(usual)
    mounts = [(str(mount.get("Destination") or "").rstrip("/") or "/", mount.get("Source")) for mount in container.inspect.get("Mounts") or []]
    for folder in folders:
        holding = [(destination, source) for destination, source in mounts if is_inside(folder, destination) and destination != "/"]
        if holding:
            destination, source = max(holding, key=lambda entry: len(entry[0]))
            return (folder if folder == told else destination), str(source) if source else None
    return folders[0], None


def is_inside(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def host_paths(ctx: Context, container: Container, path: str, source: str | None) -> list[str]:
    """Where the machine may find it: through the container's own view, or at the mounted folder itself."""
    paths = [ctx.path("proc", container.pid, "root", path)] if container.pid else []
    if source:
        paths.append(ctx.path(source))
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
