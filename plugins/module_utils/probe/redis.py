# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``redis``: one connection that asks PING, INFO, ROLE and SLOWLOG, and INFO once more for what grew meanwhile.

PING's answer decides: Redis accepts connections in many states in which it refuses to work, and each has a text of its own.
"""

from __future__ import annotations

import time
from typing import Any

from .context import Container, Context, Service, SourceError
from .events import containers_by_address
from .procfs import TCP_ESTABLISHED, hex_address
from .reach import container_of, down_reason, is_local, named, network_failure, socket_below, tcp_addresses
from .redact import sample
from .redis_info import deltas, error_counts, keyspace, memory_facts, parse_info, percent
from .resp import ProtocolError, RespConnection, RespError, classify
from .times import epoch, iso

PORT = 6379
SOCKETS = ("run/redis/redis-server.sock", "run/redis/redis.sock", "tmp/redis.sock", "tmp/redis-server.sock")
# A Redis that works answers within milliseconds; one that is frozen accepts the connection and stays silent.
ANSWER_S = 2.0
RESERVE_S = 0.2
MOST_PEERS = 10
# As many as the server keeps unless it is told otherwise; the newest say what happens now.
MOST_SLOW = 128
MOST_SLOW_KEPT = 10
SLOW_WINDOW_S = 60.0

INFO = ("INFO", "everything")
COUNTERS = ("rejected_connections", "evicted_keys", "expired_keys", "keyspace_hits", "keyspace_misses")
UNKNOWN = {
    "info": None,
    "used_pct": None,
    "noeviction_full": None,
    "errorstats": None,
    "error_deltas": None,
    "deltas": None,
    "clients_pct": None,
    "keys": None,
    "expires": None,
    "no_ttl_pct": None,
    "slowlog": None,
    "slow_pct": None,
    "role": None,
    "peers": None,
    "peer_containers": None,
}


def collect(ctx: Context) -> dict[str, Any]:
    """Data of the source as docs/architecture.md describes it."""
    service = ctx.owner
    container = container_of(ctx, service)
    data: dict[str, Any] = {"up": False, "reply_class": None, "error": None, "ping_ms": None, "reached_by": None, "info_reason": None}
    data.update(UNKNOWN)
    not_running = down_reason(container)
    if not_running:
        data.update(reply_class="timeout" if container and container.paused else "refused", error=not_running, info_reason=not_running)
        return data

    limit = time.monotonic() + min(ANSWER_S, float(ctx.options["db_timeout_s"]))

    def remaining() -> float:
        return max(0.05, min(limit - time.monotonic(), ctx.remaining() - RESERVE_S))

    problems: list[tuple[str, str]] = []
    for way, address in addresses(ctx, service, container):
        try:
            connection = RespConnection(address, remaining)
            try:
                data["reached_by"] = way
                ask(ctx, service, connection, data)
            finally:
                connection.close()
            break
        except (OSError, ProtocolError) as error:
            problems.append(network_failure(error, named(address)))
    else:
        conclude_unreached(problems, data)
    if data["reply_class"] == "maxclients":
        data["clients_pct"] = 100.0
        data["peers"] = peers(ctx, container, int(service.spec.get("port") or PORT))
        data["peer_containers"] = by_container(ctx, data["peers"] or {})
    return data


def by_container(ctx: Context, counts: dict[str, int]) -> dict[str, int]:
    """The same counts by name of the container on this machine that has the address; other addresses are left out."""
    owners = containers_by_address(ctx.machine) if counts else {}
    named_counts: dict[str, int] = {}
    for address, count in counts.items():
        if address in owners:
            named_counts[owners[address]] = named_counts.get(owners[address], 0) + count
    return named_counts


def addresses(ctx: Context, service: Service, container: Container | None) -> list[tuple[str, Any]]:
    """Ways to the server, best first, as (``tcp`` or ``socket``, address)."""
    port = int(service.spec.get("port") or PORT)
    ways: list[tuple[str, Any]] = [("tcp", address) for address in tcp_addresses(service.spec, container, port)]
    if container or is_local(service.spec):
        root = ctx.path("proc", container.pid, "root") if container else ctx.path()
        ways += [("socket", path) for path in (socket_below(root, name) for name in SOCKETS) if path]
    return ways


def conclude_unreached(problems: list[tuple[str, str]], data: dict[str, Any]) -> None:
    """Fill ``data`` when no way led to an answer; SourceError when the obstacle is on our side."""
    # A server that accepts and stays silent says more than a second address where nobody listens.
    order = {"timeout": 0, "other": 1, "refused": 2, "permission": 3}
    kind, reason = min(problems, key=lambda problem: order[problem[0]], default=("permission", "there was no address to ask Redis at"))
    if kind == "permission":
        raise SourceError("permission", reason)
    data.update(reply_class=kind, error=reason, info_reason=reason)


def ask(ctx: Context, service: Service, connection: RespConnection, data: dict[str, Any]) -> None:
    """The conversation: log in if declared, PING, then everything else when Redis lets us."""
    log_in(service, connection)
    started = time.monotonic()
    pong = connection.call(("PING",))[0]
    data["ping_ms"] = round((time.monotonic() - started) * 1000, 2)
    data["reply_class"] = classify(pong)
    data["up"] = data["reply_class"] == "pong"
    if not data["up"]:
        data["error"] = sample(str(pong))
    if data["reply_class"] in ("maxclients", "noauth"):
        data["info_reason"] = data["error"]
        if data["reply_class"] == "noauth":
            # It answers, it only wants to know who asks: neither up nor down.
            data["up"] = None
        return
    text, role, slow = connection.call(INFO, ("ROLE",), ("SLOWLOG", "GET", str(MOST_SLOW)))
    data["role"] = role[0] if isinstance(role, list) and role else None
    found = slow_commands(slow)
    data["slowlog"] = None if found is None else found[:MOST_SLOW_KEPT]
    data["slow_pct"] = None if found is None else slow_share(found, time.time())
    if not isinstance(text, str) or isinstance(text, RespError):
        data["info_reason"] = sample(str(text))
        return
    fill_from_info(ctx, parse_info(text), connection, data)


def log_in(service: Service, connection: RespConnection) -> None:
    """AUTH with the declared user; SourceError when Redis refuses it, because then we can't look."""
    password = str(service.spec.get("login_password") or "")
    if not password:
        return
    user = str(service.spec.get("login_user") or "")
    reply = connection.call(("AUTH", user, password) if user else ("AUTH", password))[0]
    if isinstance(reply, RespError) and classify(reply) == "noauth":
        who = f"user {user}" if user else "the declared password"
        raise SourceError("auth", f"Redis refused {who} ({reply.code}); check login_password of service {service.name}")


def fill_from_info(ctx: Context, first: dict[str, Any], connection: RespConnection, data: dict[str, Any]) -> None:
    """Everything that comes from INFO, and from a second one after the sampling window."""
    answers = [first]

    def info() -> dict[str, Any]:
        return answers.pop() if answers else parse_info(str(connection.call(INFO)[0]))

    second = ctx.sample(info)[1]
    if second:
        data["error_deltas"] = deltas(error_counts(first), error_counts(second))
        data["deltas"] = deltas(*({name: int(sampled.get(name) or 0) for name in COUNTERS} for sampled in (first, second)))
    keys, expires = keyspace(first)
    data.update(
        info=first,
        errorstats=error_counts(second or first),
        clients_pct=percent(first.get("connected_clients"), first.get("maxclients")),
        keys=keys,
        expires=expires,
        no_ttl_pct=percent(keys - expires, keys),
        **memory_facts(first, (data["error_deltas"] or {}).get("OOM", 0) > 0),
    )


def slow_commands(reply: Any) -> list[dict[str, Any]] | None:
    """``[{time ms command}]`` without arguments, which hold users' data; None when SLOWLOG was refused."""
    if not isinstance(reply, list):
        return None
    commands = []
    for entry in reply:
        if isinstance(entry, list) and len(entry) >= 4 and isinstance(entry[3], list) and entry[3]:
            commands.append({"time": iso(float(entry[1])), "ms": round(int(entry[2]) / 1000, 1), "command": sample(str(entry[3][0]).upper(), 40)})
    return commands


def slow_share(commands: list[dict[str, Any]], now: float) -> float:
    """How much of the last minute went to the listed commands, in percent: Redis does nothing else while one of them runs."""
    busy_ms = sum(command["ms"] for command in commands if now - (epoch(command["time"]) or 0.0) <= SLOW_WINDOW_S)
    return round(min(100.0, busy_ms / (SLOW_WINDOW_S * 10)), 1)


def peers(ctx: Context, container: Container | None, port: int) -> dict[str, int] | None:
    """Who is connected, counted by address from the kernel's table: no connection to Redis is needed. None when it can't be read."""
    owner: Any = container.pid if container else "self"
    counts: dict[str, int] = {}
    readable = False
    for table in ("tcp", "tcp6"):
        try:
            rows = ctx.read(ctx.path("proc", owner, "net", table)).splitlines()[1:]
        except OSError:
            continue
        readable = True
        for row in rows:
            columns = row.split()
            if len(columns) > 3 and columns[3] == TCP_ESTABLISHED and int(columns[1].rpartition(":")[2], 16) == port:
                peer = hex_address(columns[2].rpartition(":")[0])
                counts[peer] = counts.get(peer, 0) + 1
    return dict(sorted(counts.items(), key=lambda entry: -entry[1])[:MOST_PEERS]) if readable else None
