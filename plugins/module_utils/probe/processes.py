# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep source ``processes``: every process of a container as the machine's own /proc shows it, the busiest first.

Nothing is executed in the container: starting a ``ps`` or an interpreter there needs memory that it may not have.
"""

from __future__ import annotations

import os
from typing import Any

from . import cgroup, procfs
from .context import Context, SourceError
from .process import cpu_shares, process_stats
from .redact import sample

MOST_SHOWN = 40
COMMAND_LENGTH = 200


def collect(ctx: Context) -> dict[str, Any]:
    """``count window_s processes [{pid parent state cpu_pct rss swap threads fds age_s command waits_in}] executable``.

    What needs root and is read without it is None.
    """
    container = cgroup.running(ctx)
    pids = cgroup.member_pids(ctx, container)
    first, second, elapsed_s = ctx.sample(lambda: process_stats(ctx, pids))
    if not first:
        raise SourceError("absent", f"no process of container {container.name} is visible in /proc; it may have ended just now")
    shares = cpu_shares(first, second or {}, elapsed_s)
    busiest = sorted(first.values(), key=lambda stat: (-shares.get(stat.pid, 0.0), -stat.rss_pages, stat.pid))[:MOST_SHOWN]
    up_s = float(ctx.read(ctx.path("proc", "uptime")).split()[0])
    return {
        "count": len(first),
        "window_s": round(elapsed_s, 3),
        "executable": executable(ctx, container.pid),
        "processes": [one(ctx, (second or {}).get(stat.pid, stat), shares.get(stat.pid), up_s) for stat in busiest],
    }


def one(ctx: Context, stat: procfs.ProcessStat, cpu_pct: float | None, up_s: float) -> dict[str, Any]:
    """One entry of ``processes``."""
    status = procfs.key_numbers(_text(ctx, stat.pid, "status"))
    return {
        "pid": stat.pid,
        "parent": stat.parent,
        "state": stat.state,
        "cpu_pct": cpu_pct,
        "rss": stat.rss_pages * os.sysconf("SC_PAGE_SIZE"),
        "swap": status["VmSwap"] * 1024 if "VmSwap" in status else None,
        "threads": stat.threads,
        "fds": open_files(ctx, stat.pid),
        "age_s": round(max(0.0, up_s - stat.started / os.sysconf("SC_CLK_TCK")), 1),
        "command": command(_text(ctx, stat.pid, "cmdline"), stat.comm),
        "waits_in": waits_in(_text(ctx, stat.pid, "wchan")),
    }


def command(text: str, comm: str) -> str:
    """The command line with its secrets masked; the kernel's short name in brackets for a process without one."""
    line = sample(text.replace("\0", " ").strip(), COMMAND_LENGTH)
    return line or f"[{sample(comm, 40)}]"


def waits_in(text: str) -> str | None:
    """The kernel function that a process sleeps in; None when it runs, or when the kernel tells nobody."""
    name = text.strip()
    return sample(name, 60) if name not in ("", "0") else None


def open_files(ctx: Context, pid: int) -> int | None:
    """Number of open files, None without the right to look."""
    try:
        return len(os.listdir(ctx.path("proc", pid, "fd")))
    except OSError:
        return None


def executable(ctx: Context, pid: int) -> str | None:
    """What the container's first process is an instance of, such as /usr/bin/python3.12; None without the right to look."""
    try:
        return sample(os.readlink(ctx.path("proc", pid, "exe")), 200)
    except OSError:
        return None


def _text(ctx: Context, pid: int, name: str) -> str:
    try:
        return ctx.read(ctx.path("proc", pid, name), 65536)
    except OSError:
        return ""
