# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``host`` of a machine: load, CPU, memory, pressure, limits and the largest consumers, all from /proc."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any

from . import procfs
from .context import Context, SourceError
from .events import container_list, container_name
from .process import cpu_shares, process_stats
from .times import iso

TOP = 5
MOST_PROCESSES = 4000
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``host``; what this kernel does not have is None."""
    first, second, elapsed_s = ctx.sample(lambda: counters(ctx))
    load = [float(value) for value in ctx.read(ctx.path("proc", "loadavg")).split()[:3]]
    statistics = ctx.read(ctx.path("proc", "stat"))
    cores = core_count(statistics)
    boot_epoch = procfs.key_numbers(statistics).get("btime")
    return {
        "hostname": _line(ctx, "proc", "sys", "kernel", "hostname"),
        "kernel": _line(ctx, "proc", "sys", "kernel", "osrelease"),
        "uptime_s": round(float(ctx.read(ctx.path("proc", "uptime")).split()[0]), 1),
        "boot_time": iso(boot_epoch),
        "cores": cores,
        "load": load,
        "load_per_core": round(load[0] / cores, 2),
        "cpu": procfs.cpu_shares(first["cpu"], second["cpu"] if second else None),
        "memory": memory(ctx),
        "psi": {
            "cpu_some_avg60": pressure(ctx, "cpu", "some"),
            "memory_full_avg60": pressure(ctx, "memory", "full"),
            "io_full_avg60": pressure(ctx, "io", "full"),
        },
        "fd": open_files(ctx),
        "threads": threads(ctx),
        "blocked": blocked(first["processes"], second["processes"] if second else None),
        "conntrack": conntrack(ctx),
        "oom_kill_total": first["oom_kill"],
        "oom_kill_delta": _grown(first, second, "oom_kill"),
        "listen_overflow_per_s": _per_second(_grown(first, second, "overflows"), elapsed_s),
        "top": top(ctx, first["processes"], second["processes"] if second else {}, elapsed_s),
    }


def counters(ctx: Context) -> dict[str, Any]:
    """What is read twice."""
    return {
        "cpu": procfs.cpu_times(ctx.read(ctx.path("proc", "stat"))),
        "oom_kill": procfs.key_numbers(_text(ctx, "proc", "vmstat")).get("oom_kill"),
        "overflows": procfs.netstat_counters(_text(ctx, "proc", "net", "netstat")).get("TcpExt.ListenOverflows"),
        "processes": process_stats(ctx, all_pids(ctx)),
    }


def all_pids(ctx: Context) -> list[int]:
    """Ids of the processes of this machine, bounded: a fork bomb must not take the probe with it."""
    return sorted(int(name) for name in os.listdir(ctx.path("proc")) if name.isdigit())[:MOST_PROCESSES]


def core_count(statistics: str) -> int:
    """CPUs that are online."""
    return max(1, len(re.findall(r"^cpu\d+ ", statistics, re.MULTILINE)))


def memory(ctx: Context) -> dict[str, Any]:
    """Bytes; available is what the kernel says that programs can still get (free memory alone means nothing)."""
    kib = procfs.key_numbers(ctx.read(ctx.path("proc", "meminfo")))
    total, available = kib.get("MemTotal"), kib.get("MemAvailable")
    swap_total, swap_free = kib.get("SwapTotal"), kib.get("SwapFree")
    return {
        "total": None if total is None else total * 1024,
        "available": None if available is None else available * 1024,
        "available_pct": procfs.percent(available, total),
        "swap_total": None if swap_total is None else swap_total * 1024,
        "swap_used_pct": None if swap_total is None or swap_free is None else procfs.percent(swap_total - swap_free, swap_total),
    }


def pressure(ctx: Context, resource: str, which: str) -> float | None:
    """Share of the last minute in which tasks waited for the resource; None when the kernel does not count it."""
    return procfs.pressure_avg60(_text(ctx, "proc", "pressure", resource), which)


def open_files(ctx: Context) -> dict[str, Any]:
    """Open files of the whole machine."""
    fields = ctx.read(ctx.path("proc", "sys", "fs", "file-nr")).split()
    used, most = int(fields[0]), int(fields[2])
    return {"used": used, "max": most, "used_pct": procfs.percent(used, most)}


def threads(ctx: Context) -> dict[str, Any]:
    """Threads of the whole machine against the smaller of the two limits."""
    used = int(ctx.read(ctx.path("proc", "loadavg")).split()[3].partition("/")[2])
    limits = [_number(ctx, "proc", "sys", "kernel", name) for name in ("pid_max", "threads-max")]
    most = min((limit for limit in limits if limit is not None), default=None)
    return {"used": used, "max": most, "used_pct": procfs.percent(used, most)}


def blocked(first: dict[int, procfs.ProcessStat], second: dict[int, procfs.ProcessStat] | None) -> dict[str, Any]:
    """Processes that wait for a device and can't be interrupted, in both readings: one alone may be any ordinary read."""
    stuck = [stat for pid, stat in first.items() if stat.state == "D" and (second is None or (pid in second and second[pid].state == "D"))]
    return {"processes": len(stuck), "comms": dict(Counter(stat.comm for stat in stuck).most_common(TOP))}


def conntrack(ctx: Context) -> dict[str, Any] | None:
    """Tracked connections, None on a machine that tracks none."""
    used, most = (_number(ctx, "proc", "sys", "net", "netfilter", name) for name in ("nf_conntrack_count", "nf_conntrack_max"))
    return None if used is None or most is None else {"used": used, "max": most, "used_pct": procfs.percent(used, most)}


def top(ctx: Context, first: dict[int, procfs.ProcessStat], second: dict[int, procfs.ProcessStat], elapsed_s: float) -> list[dict[str, Any]]:
    """The five processes with most CPU and the five with most memory, busiest first."""
    shares = cpu_shares(first, second, elapsed_s)
    by_cpu = sorted(shares, key=lambda pid: -shares[pid])[:TOP]
    by_memory = sorted(first, key=lambda pid: -first[pid].rss_pages)[:TOP]
    page = os.sysconf("SC_PAGE_SIZE")
    names = container_names(ctx)
    consumers = [
        {
            "pid": pid,
            "comm": first[pid].comm,
            "cpu_pct": shares.get(pid),
            "rss": first[pid].rss_pages * page,
            "container": owner(ctx, pid, names),
        }
        for pid in dict.fromkeys(by_cpu + by_memory)
    ]
    return sorted(consumers, key=lambda entry: (-(entry["cpu_pct"] or 0.0), -entry["rss"]))


def container_names(ctx: Context) -> dict[str, str]:
    """``{container id: name}``; empty when the engine can't be asked."""
    try:
        return {str(entry.get("Id")): container_name(entry) for entry in container_list(ctx.machine)}
    except SourceError:
        return {}


def owner(ctx: Context, pid: int, names: dict[str, str]) -> str | None:
    """Name (or short id) of the container that a process belongs to."""
    match = _CONTAINER_ID.search(_text(ctx, "proc", pid, "cgroup"))
    return names.get(match.group(), match.group()[:12]) if match else None


def _grown(first: dict[str, Any], second: dict[str, Any] | None, key: str) -> int | None:
    before, after = first.get(key), (second or {}).get(key)
    return None if before is None or after is None else int(after - before)


def _per_second(delta: int | None, elapsed_s: float) -> float | None:
    return None if delta is None or elapsed_s <= 0 else round(delta / elapsed_s, 2)


def _text(ctx: Context, *parts: Any) -> str:
    """Text of a file that not every kernel has; empty without it."""
    try:
        return ctx.read(ctx.path(*parts))
    except OSError:
        return ""


def _line(ctx: Context, *parts: Any) -> str | None:
    return _text(ctx, *parts).strip() or None


def _number(ctx: Context, *parts: Any) -> int | None:
    text = _text(ctx, *parts).strip()
    return int(text) if text.isdigit() else None
