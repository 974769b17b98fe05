# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``cgroup``: memory, CPU and pids of a container from the kernel's own files, version 1 or 2.

``docker stats`` takes two seconds for the same numbers. The path comes from ``/proc/<pid>/cgroup``, so that it does not matter
whether systemd or the engine itself manages the groups.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from . import procfs
from .context import Container, Context, SourceError

# Version 1 says "no limit" with the largest number of pages.
NO_LIMIT_FROM = 1 << 60
CONTROLLERS = ("memory", "cpu", "cpuacct", "pids")


@dataclass(frozen=True)
class Group:
    """Where the files of one container are: ``folders`` maps a controller to its folder (version 2: all the same)."""

    version: int
    folders: dict[str, str]

    def folder(self, controller: str) -> str:
        """Folder of a controller; SourceError ``unsupported`` when this kernel has it not."""
        if controller not in self.folders:
            raise SourceError("unsupported", f"this kernel has no cgroup controller {controller}")
        return self.folders[controller]


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``cgroup``."""
    container = running(ctx)
    group = find(ctx, container)
    first, second, elapsed_s = ctx.sample(lambda: {**cpu_counters(ctx, group), "working_set": memory(ctx, group)["working_set"]})
    return {
        "version": group.version,
        "window_s": round(elapsed_s, 3),
        "memory": {**memory(ctx, group), "growth_per_s": growth_per_s(first, second, elapsed_s)},
        "cpu": cpu(ctx, group, first, second, elapsed_s),
        "pids": pids(ctx, group),
        "psi": {"memory_full_avg60": memory_pressure(ctx, group)},
    }


def running(ctx: Context) -> Container:
    """The service's container; SourceError ``absent`` when it has no process."""
    container = ctx.container
    if not container.pid:
        raise SourceError("absent", f"container {container.name} is {container.status or 'not running'}: it has no process to look at")
    return container


def find(ctx: Context, container: Container) -> Group:
    """The control groups of a container's first process."""
    try:
        lines = ctx.read(ctx.path("proc", container.pid, "cgroup")).splitlines()
        mounted = procfs.mounts(ctx.read(ctx.path("proc", "mounts")))
    except FileNotFoundError:
        raise SourceError(
            "absent", f"process {container.pid} of container {container.name} is not visible here; does the engine run on another machine?"
        ) from None
    except PermissionError:
        raise SourceError("permission", f"/proc/{container.pid}/cgroup of container {container.name} may not be read; use become") from None
    group = _version1(ctx, lines, mounted) or _version2(ctx, lines, mounted)
    if group is None:
        raise SourceError("unsupported", f"no control group of container {container.name} is mounted on this machine")
    return group


def _version1(ctx: Context, lines: list[str], mounted: list[procfs.Mount]) -> Group | None:
    folders = {}
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            mount = next((mount for mount in mounted if mount.filesystem == "cgroup" and controller in mount.options), None)
            if controller in CONTROLLERS and mount is not None:
                folder = ctx.path(mount.path, path)
                if os.path.isdir(folder):
                    folders[controller] = folder
    return Group(1, folders) if "memory" in folders else None


def _version2(ctx: Context, lines: list[str], mounted: list[procfs.Mount]) -> Group | None:
    path = next((line[len("0::") :] for line in lines if line.startswith("0::")), None)
    mount = next((mount for mount in mounted if mount.filesystem == "cgroup2"), None)
    if path is None or mount is None:
        return None
    folder = ctx.path(mount.path, path)
    return Group(2, dict.fromkeys(CONTROLLERS, folder)) if os.path.isdir(folder) else None


def memory(ctx: Context, group: Group) -> dict[str, Any]:
    """Bytes; the working set is what can't be given back without pain: usage without the inactive part of the page cache."""
    folder = group.folder("memory")
    statistics = procfs.key_numbers(_text(ctx, folder, "memory.stat") or "")
    if group.version == 1:
        usage, limit = _number(ctx, folder, "memory.usage_in_bytes"), _number(ctx, folder, "memory.limit_in_bytes")
        inactive = statistics.get("total_inactive_file")
        kills = procfs.key_numbers(_text(ctx, folder, "memory.oom_control") or "").get("oom_kill")
    else:
        usage, limit = _number(ctx, folder, "memory.current"), _number(ctx, folder, "memory.max")
        inactive = statistics.get("inactive_file")
        kills = procfs.key_numbers(_text(ctx, folder, "memory.events") or "").get("oom_kill")
    if limit is not None and limit >= NO_LIMIT_FROM:
        limit = None
    working_set = None if usage is None else max(0, usage - (inactive or 0))
    return {"usage": usage, "working_set": working_set, "limit": limit, "limit_pct": procfs.percent(working_set, limit), "oom_kill": kills}


def growth_per_s(first: dict[str, int | None], second: dict[str, int | None] | None, elapsed_s: float) -> float | None:
    """Bytes per second by which the working set grew (negative: shrank) between the readings; None without a second one."""
    before, after = first["working_set"], (second or {}).get("working_set")
    return None if before is None or after is None or elapsed_s <= 0 else round((after - before) / elapsed_s, 1)


def cpu_counters(ctx: Context, group: Group) -> dict[str, int | None]:
    """``usage_ns`` and, with a quota, ``periods throttled`` since the container started."""
    if group.version == 1:
        usage = _number(ctx, group.folder("cpuacct"), "cpuacct.usage")
        statistics = procfs.key_numbers(_text(ctx, group.folder("cpu"), "cpu.stat") or "")
    else:
        statistics = procfs.key_numbers(_text(ctx, group.folder("cpu"), "cpu.stat") or "")
        usage = statistics["usage_usec"] * 1000 if "usage_usec" in statistics else None
    return {"usage_ns": usage, "periods": statistics.get("nr_periods"), "throttled": statistics.get("nr_throttled")}


def quota_cores(ctx: Context, group: Group) -> float | None:
    """The CPU limit in cores, None without one."""
    folder = group.folder("cpu")
    if group.version == 1:
        quota, period = _number(ctx, folder, "cpu.cfs_quota_us"), _number(ctx, folder, "cpu.cfs_period_us")
    else:
        parts = (_text(ctx, folder, "cpu.max") or "max").split()
        quota = int(parts[0]) if parts[0] != "max" else None
        period = int(parts[1]) if len(parts) > 1 else None
    return round(quota / period, 3) if quota and period and quota > 0 else None


def cpu(ctx: Context, group: Group, first: dict[str, int | None], second: dict[str, int | None] | None, elapsed_s: float) -> dict[str, Any]:
    """``usage_pct`` is of one core, ``quota_pct`` of the limit; None without a second reading or without a limit."""
    cores = quota_cores(ctx, group)
    used_ns, periods, throttled = (_grown(first, second, key) for key in ("usage_ns", "periods", "throttled"))
    usage_pct = None if used_ns is None or not elapsed_s else round(used_ns / (elapsed_s * 1e9) * 100, 1)
    throttled_pct = None
    if cores is not None and periods is not None:
        throttled_pct = procfs.percent(throttled, periods) if periods else 0.0
    quota_pct = procfs.percent(usage_pct, cores * 100) if cores else None
    return {"usage_pct": usage_pct, "quota_cores": cores, "quota_pct": quota_pct, "throttled_pct": throttled_pct}


def _grown(first: dict[str, int | None], second: dict[str, int | None] | None, key: str) -> int | None:
    before, after = first.get(key), (second or {}).get(key)
    return None if before is None or after is None else max(0, after - before)


def pids(ctx: Context, group: Group) -> dict[str, Any]:
    """Tasks (processes and threads) of the container against its limit."""
    if "pids" not in group.folders:
        return {"current": None, "max": None, "pct": None}
    folder = group.folder("pids")
    current, most = _number(ctx, folder, "pids.current"), _number(ctx, folder, "pids.max")
    return {"current": current, "max": most, "pct": procfs.percent(current, most)}


def memory_pressure(ctx: Context, group: Group) -> float | None:
    """Share of the last minute in which all tasks waited for memory; only version 2 knows."""
    if group.version == 1:
        return None
    return procfs.pressure_avg60(_text(ctx, group.folder("memory"), "memory.pressure") or "", "full")


def member_pids(ctx: Context, container: Container) -> list[int]:
    """Ids of all processes of a container, nested groups included."""
    group = find(ctx, container)
    found = []
    for folder, _subfolders, files in os.walk(group.folder("memory")):
        if "cgroup.procs" in files:
            found += [int(line) for line in ctx.read(os.path.join(folder, "cgroup.procs")).split()]
    return sorted(set(found))


def _text(ctx: Context, folder: str, name: str) -> str | None:
    try:
        return ctx.read(os.path.join(folder, name))
    except OSError:
        return None


def _number(ctx: Context, folder: str, name: str) -> int | None:
    text = (_text(ctx, folder, name) or "").strip()
    return int(text) if text.lstrip("-").isdigit() else None
