# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``process``: the processes of a container as the machine's own /proc shows them; nothing is executed in the container."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from . import cgroup, procfs
from .container import service_port
from .context import Container, Context, SourceError

MOST_COMMANDS = 30
INITS = ("docker-init", "tini", "dumb-init", "catatonit", "s6-svscan")
ROOT_NEEDED = "only root and the process's own user may look; use become"


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``process``. What needs root and is run without is None, with its reason beside it."""
    container = cgroup.running(ctx)
    pids = cgroup.member_pids(ctx, container)
    first, second, elapsed_s = ctx.sample(lambda: process_stats(ctx, pids))
    if not first:
        raise SourceError("absent", f"no process of container {container.name} is visible in /proc; it may have ended just now")
    main = main_process(container.pid, first)
    port = service_port(ctx.owner, container)
    return {
        "count": len(first),
        "states": states(first),
        "main_state": main.state if main else None,
        "main_pid": main.pid if main else container.pid,
        "comms": dict(Counter(stat.comm for stat in first.values()).most_common(MOST_COMMANDS)),
        **listening(ctx, container, port),
        **file_descriptors(ctx, list(first)),
        **busiest(first, second, elapsed_s),
    }


def process_stats(ctx: Context, pids: list[int]) -> dict[int, procfs.ProcessStat]:
    """``{pid: stat}`` of the processes that still exist."""
    stats = {}
    for pid in pids:
        try:
            stats[pid] = procfs.process_stat(ctx.read(ctx.path("proc", pid, "stat")))
        except (OSError, ValueError, IndexError):
            continue
    return stats


def main_process(pid: int, stats: dict[int, procfs.ProcessStat]) -> procfs.ProcessStat | None:
    """The container's first process, or its child when the first one is only an init."""
    first = stats.get(pid)
    if first is not None and first.comm in INITS:
        children = sorted((stat for stat in stats.values() if stat.parent == pid), key=lambda stat: stat.pid)
        return children[0] if children else first
    return first


def states(stats: dict[int, procfs.ProcessStat]) -> dict[str, int]:
    """How many run (R), sleep (S), wait for a device (D), are stopped (T) or dead but not reaped (Z)."""
    counts = dict.fromkeys("RSDTZ", 0)
    for stat in stats.values():
        letter = {"t": "T", "I": "S"}.get(stat.state, stat.state)
        counts[letter] = counts.get(letter, 0) + 1
    return counts


def listening(ctx: Context, container: Container, port: int) -> dict[str, Any]:
    """Listening sockets with their accept queues, and connections that the application forgot to close."""
    nothing: dict[str, Any] = {"listeners": None, "listening": None, "accept_queue_max": None, "close_wait": None}
    sockets: list[procfs.TcpSocket] = []
    for name in ("tcp", "tcp6"):
        try:
            sockets += procfs.tcp_sockets(ctx.read(ctx.path("proc", container.pid, "net", name)))
        except FileNotFoundError:
            continue
        except PermissionError:
            return dict(nothing, listeners_reason=f"/proc/{container.pid}/net: {ROOT_NEEDED}")
        except OSError as error:
            return dict(nothing, listeners_reason=f"/proc/{container.pid}/net: {error.strerror}")
    if container.host_network:
        # The table is that of the whole machine: keep what is this service's.
        sockets = [entry for entry in sockets if entry.port == port]
    listeners = [entry for entry in sockets if entry.state == procfs.TCP_LISTEN]
    return {
        "listeners": [{"ip": entry.ip, "port": entry.port, "accept_queue": entry.rx_queue} for entry in listeners],
        "listening": any(entry.port == port for entry in listeners),
        "accept_queue_max": max((entry.rx_queue for entry in listeners), default=0),
        "close_wait": sum(entry.state == procfs.TCP_CLOSE_WAIT for entry in sockets),
    }


def file_descriptors(ctx: Context, pids: list[int]) -> dict[str, Any]:
    """The process that is nearest to its limit of open files."""
    worst: tuple[float, int, int, int] | None = None
    for pid in pids:
        try:
            opened = len(os.listdir(ctx.path("proc", pid, "fd")))
            limit = open_files_limit(ctx.read(ctx.path("proc", pid, "limits")))
        except FileNotFoundError:
            continue
        except PermissionError:
            return {"fds": None, "fds_reason": f"/proc/{pid}/fd: {ROOT_NEEDED}"}
        except OSError:
            continue
        share = procfs.percent(opened, limit)
        if share is not None and limit is not None and (worst is None or share > worst[0]):
            worst = (share, pid, opened, limit)
    if worst is None:
        return {"fds": None, "fds_reason": "no process of the container has a limit of open files"}
    return {"fds": {"worst_pct": worst[0], "worst_pid": worst[1], "worst_open": worst[2], "worst_limit": worst[3]}}


def open_files_limit(text: str) -> int | None:
    """The soft limit "Max open files" of /proc/<pid>/limits, None when unlimited."""
    for line in text.splitlines():
        if line.startswith("Max open files"):
            soft = line[len("Max open files") :].split()[0]
            return int(soft) if soft.isdigit() else None
    return None


def busiest(first: dict[int, procfs.ProcessStat], second: dict[int, procfs.ProcessStat] | None, elapsed_s: float) -> dict[str, Any]:
    """The process that used most of one core between two readings."""
    shares = cpu_shares(first, second or {}, elapsed_s)
    if not shares:
        return {"busiest_pct": None, "busiest_pid": None}
    pid = max(shares, key=lambda key: shares[key])
    return {"busiest_pct": shares[pid], "busiest_pid": pid}


def cpu_shares(first: dict[int, procfs.ProcessStat], second: dict[int, procfs.ProcessStat], elapsed_s: float) -> dict[int, float]:
    """``{pid: percent of one core}`` between two readings."""
    if elapsed_s <= 0:
        return {}
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    return {pid: round((second[pid].ticks - stat.ticks) / ticks_per_s / elapsed_s * 100, 1) for pid, stat in first.items() if pid in second}
