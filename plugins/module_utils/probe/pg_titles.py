# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL's processes call themselves: sessions by user and state without any connection.

The last resort when every slot is taken: ``postgres: app app_prod 172.18.0.4(51234) idle in transaction``.
"""

from __future__ import annotations

import os
import re
from typing import Any

from .context import Context

MOST_CLIENTS = 10

# With cluster_name set there is one more word: "postgres: 15/main: app app_prod [local] idle".
_SESSION = re.compile(r"^postgres: (?:\S+: )?(?P<user>\S+) (?P<database>\S+) (?P<client>\[local\]|\S+\(\d+\)) (?P<state>.+)$")


def parse_title(title: str) -> dict[str, str] | None:
    """``{user database client state}`` of a session's process title; None for the server's own processes."""
    match = _SESSION.match(title.replace("\0", " ").strip())
    if match is None:
        return None
    session = match.groupdict()
    session["state"] = state_of(session["state"])
    return session


def state_of(activity: str) -> str:
    """``idle``, ``idle in transaction``, ``waiting`` (for a lock), ``authentication``, ``startup``, or ``active``."""
    activity = activity.strip()
    if activity.endswith(" waiting"):
        return "waiting"
    if activity.startswith("idle in transaction"):
        return "idle in transaction"
    return activity if activity in ("idle", "authentication", "startup") else "active"


def process_titles(ctx: Context, container_id: str | None) -> dict[str, Any] | None:
    """``{count by_user by_state by_client}`` of the sessions of one server, or None when /proc can't be read.

    With a container only its processes count, without one only processes outside any container. ``by_client`` has the form of the snapshot's
    ``connections.by_client`` as far as titles tell.
    """
    sessions = []
    try:
        pids = [name for name in os.listdir(ctx.path("proc")) if name.isdigit()]
    except OSError:
        return None
    seen = 0
    for pid in pids:
        try:
            title = ctx.read(ctx.path("proc", pid, "cmdline"), 1024)
            if not title.startswith("postgres: ") or not _belongs(ctx.read(ctx.path("proc", pid, "cgroup"), 4096), container_id):
                continue
        except OSError:
            continue
        seen += 1
        session = parse_title(title)
        if session:
            sessions.append(session)
    if not seen:
        return None
    return {"count": len(sessions), "by_user": _count(sessions, "user"), "by_state": _count(sessions, "state"), "by_client": clients(sessions)}


def clients(sessions: list[dict[str, str]]) -> list[dict[str, Any]]:
    """``[{datname usename client n active idle idle_in_xact}]`` of parsed titles, who holds most first."""
    held: dict[tuple[str, str, str], dict[str, int]] = {}
    for session in sessions:
        client = "local" if session["client"] == "[local]" else session["client"].rpartition("(")[0]
        states = held.setdefault((session["database"], session["user"], client), {})
        states[session["state"]] = states.get(session["state"], 0) + 1
    rows = [
        {
            "datname": database,
            "usename": user,
            "client": client,
            "n": sum(states.values()),
            "active": states.get("active", 0) + states.get("waiting", 0),
            "idle": states.get("idle", 0),
            "idle_in_xact": states.get("idle in transaction", 0),
        }
        for (database, user, client), states in held.items()
    ]
    return sorted(rows, key=lambda row: -row["n"])[:MOST_CLIENTS]


def _belongs(cgroup: str, container_id: str | None) -> bool:
    if container_id:
        return container_id in cgroup
    return "docker" not in cgroup and "kubepods" not in cgroup


def _count(sessions: list[dict[str, str]], key: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for session in sessions:
        counts[session[key]] = counts.get(session[key], 0) + 1
    return dict(sorted(counts.items(), key=lambda entry: -entry[1]))
