# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep source ``connections``: who a container talks to over TCP, and what its network lost meanwhile, from the kernel's own tables.

The tables are those of the container's network namespace, read through ``/proc/<pid>/net``: nothing is started in the container.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import cgroup, procfs
from .context import Container, Context, SourceError
from .process import ROOT_NEEDED

MOST_GROUPS = 40
STATES = {
    "01": "established",
    "02": "syn_sent",
    "03": "syn_received",
    "04": "fin_wait_1",
    "05": "fin_wait_2",
    "06": "time_wait",
    "07": "close",
    "08": "close_wait",
    "09": "last_ack",
    "0A": "listen",
    "0B": "closing",
    "0C": "syn_received",
}
LISTEN = "listen"
# /proc/net/snmp, and what a reader calls it.
TCP_COUNTERS = {
    "Tcp.OutSegs": "sent",
    "Tcp.RetransSegs": "retransmitted",
    "Tcp.AttemptFails": "connects_failed",
    "Tcp.EstabResets": "resets",
    "Tcp.ActiveOpens": "connects",
}


@dataclass(frozen=True)
class Connection:
    """One row of /proc/net/tcp with both ends; queues are bytes."""

    port: int
    peer: str
    peer_port: int
    state: str
    unsent: int
    unread: int


def collect(ctx: Context) -> dict[str, Any]:
    """``window_s states {state: n} peers [{direction peer name port states count unsent unread}] cut interfaces [...] tcp {...}``.

    ``direction`` is ``in`` for a port that the container listens on, else ``out``; ``name`` is the service behind an address, None when unknown.
    """
    container = cgroup.running(ctx)
    first, second, elapsed_s = ctx.sample(lambda: counters(ctx, container.pid))
    rows = table(ctx, container)
    names = service_names(ctx)
    groups = grouped(rows, names)
    states: dict[str, int] = {}
    for row in rows:
        states[row.state] = states.get(row.state, 0) + 1
    return {
        "window_s": round(elapsed_s, 3),
        "states": states,
        "peers": groups[:MOST_GROUPS],
        "cut": len(groups) > MOST_GROUPS,
        "interfaces": interfaces(first["interfaces"], second["interfaces"] if second else None, elapsed_s),
        "tcp": tcp_rates(first["tcp"], second["tcp"] if second else None, elapsed_s),
    }


def table(ctx: Context, container: Container) -> list[Connection]:
    """All TCP sockets of the container's network; SourceError without the right to look."""
    rows: list[Connection] = []
    for name in ("tcp", "tcp6"):
        try:
            rows += parsed(ctx.read(ctx.path("proc", container.pid, "net", name), 8 * 1024 * 1024))
        except FileNotFoundError:
            continue
        except PermissionError:
            raise SourceError("permission", f"/proc/{container.pid}/net: {ROOT_NEEDED}") from None
    return rows


def parsed(text: str) -> list[Connection]:
    """Rows of /proc/net/tcp or tcp6; a damaged row is left out."""
    rows = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        try:
            peer, _colon, peer_port = fields[2].partition(":")
            unsent, _colon, unread = fields[4].partition(":")
            port = int(fields[1].partition(":")[2], 16)
            state = STATES.get(fields[3], fields[3])
            rows.append(Connection(port, procfs.hex_address(peer), int(peer_port, 16), state, int(unsent, 16), int(unread, 16)))
        except (IndexError, ValueError, OSError):
            continue
    return rows


def grouped(rows: list[Connection], names: dict[str, str]) -> list[dict[str, Any]]:
    """Connections by who is at the other end, most first; listening sockets are no connections."""
    served = {row.port for row in rows if row.state == LISTEN}
    groups: dict[tuple[str, str, int], dict[str, Any]] = {}
    for row in rows:
        if row.state == LISTEN:
            continue
        direction, port = ("in", row.port) if row.port in served else ("out", row.peer_port)
        group = groups.setdefault(
            (direction, row.peer, port),
            {"direction": direction, "peer": row.peer, "name": names.get(row.peer), "port": port, "states": {}, "count": 0, "unsent": 0, "unread": 0},
        )
        group["count"] += 1
        group["states"][row.state] = group["states"].get(row.state, 0) + 1
        group["unsent"] += row.unsent
        group["unread"] += row.unread
    return sorted(groups.values(), key=lambda group: (-group["count"], group["direction"], group["peer"], group["port"]))


def service_names(ctx: Context) -> dict[str, str]:
    """``{address: service}`` of the containers on this machine."""
    names = {}
    for name in ctx.services:
        container = ctx.container_of(name)
        for ip in container.ips if container is not None and not container.host_network else []:
            names[ip] = name
    return names


def counters(ctx: Context, pid: int) -> dict[str, Any]:
    """What is read twice."""
    snmp = procfs.netstat_counters(ctx.read(ctx.path("proc", pid, "net", "snmp")))
    return {
        "interfaces": interface_counters(ctx.read(ctx.path("proc", pid, "net", "dev"))),
        "tcp": {name: snmp[key] for key, name in TCP_COUNTERS.items() if key in snmp},
    }


def interface_counters(text: str) -> dict[str, dict[str, int]]:
    """/proc/net/dev without loopback."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _colon, rest = line.partition(":")
        numbers = rest.split()
        if name.strip() == "lo" or len(numbers) < 12:
            continue
        places = {"rx_bytes": 0, "rx_errors": 2, "rx_dropped": 3, "tx_bytes": 8, "tx_errors": 10, "tx_dropped": 11}
        found[name.strip()] = {key: int(numbers[place]) for key, place in places.items()}
    return found


def interfaces(first: dict[str, dict[str, int]], second: dict[str, dict[str, int]] | None, elapsed_s: float) -> list[dict[str, Any]]:
    """``[{name rx_bytes_per_s tx_bytes_per_s errors dropped}]``: errors and drops are totals of the interface since it exists."""
    rows = []
    for name, before in first.items():
        after = (second or {}).get(name)
        last = after or before
        rows.append(
            {
                "name": name,
                "rx_bytes_per_s": round((after["rx_bytes"] - before["rx_bytes"]) / elapsed_s, 1) if after and elapsed_s > 0 else None,
                "tx_bytes_per_s": round((after["tx_bytes"] - before["tx_bytes"]) / elapsed_s, 1) if after and elapsed_s > 0 else None,
                "errors": last["rx_errors"] + last["tx_errors"],
                "dropped": last["rx_dropped"] + last["tx_dropped"],
            }
        )
    return rows


def tcp_rates(first: dict[str, int], second: dict[str, int] | None, elapsed_s: float) -> dict[str, Any]:
    """``sent_per_s connects_per_s connects_failed_per_s resets_per_s``, and ``retransmitted_pct`` of what was sent; None without a second reading."""
    grown = {name: last - first[name] for name, last in (second or {}).items() if name in first}
    rates: dict[str, Any] = {
        f"{name}_per_s": round(grown[name] / elapsed_s, 1) if name in grown and elapsed_s > 0 else None
        for name in ("sent", "connects", "connects_failed", "resets")
    }
    rates["retransmitted_pct"] = procfs.percent(grown.get("retransmitted"), grown.get("sent"))
    return rates
