# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep source ``redis_detail``: what is large in Redis, which commands keep it busy, and who its clients are.

It only reads, and it asks a busy server less: keys are walked with SCAN in small steps, which end early when Redis answers slowly, after a
number of keys, or after a few seconds. SCAN visits keys in no order, so the first thousands are a fair sample of all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .context import Context, Service, SourceError
from .reach import answering_container, named, network_failure
from .redact import sample
from .redis import RESERVE_S, addresses, log_in, slow_commands
from .redis_info import number, parse_info
from .resp import ProtocolError, RespConnection, RespError, classify
from .times import iso

SCAN_STEP = 100
MOST_KEYS = 3000
SCAN_S = 4.0
# Redis does one thing at a time: when a step takes longer than this, its users wait for us.
SLOW_STEP_S = 0.1
BIGGEST = 20
MOST_PREFIXES = 20
MOST_CLIENTS_LISTED = 3000
TOP_COMMANDS = 15
COMMAND_FIELDS = {"calls": "calls", "usec": "usec", "rejected": "rejected_calls", "failed": "failed_calls"}
KEY_LENGTH = 80


def collect(ctx: Context) -> dict[str, Any]:
    """``window_s commands [...] slowlog [...] latency [...] clients {...} keys {...}``, each with a reason beside it when it could not be read."""
    service = ctx.owner
    container = answering_container(ctx, service)
    limit = time.monotonic() + float(ctx.options["db_timeout_s"]) + float(ctx.options["sample_s"]) + SCAN_S

    def remaining() -> float:
        return max(0.05, min(limit - time.monotonic(), ctx.remaining() - RESERVE_S))

    reasons: list[str] = []
    for _way, address in addresses(ctx, service, container):
        try:
            connection = RespConnection(address, remaining)
            try:
                return asked(ctx, service, connection, remaining)
            finally:
                connection.close()
        except (OSError, ProtocolError) as error:
            reasons.append(network_failure(error, named(address))[1])
    raise SourceError("refused", reasons[0] if reasons else "there was no address to ask Redis at")


def asked(ctx: Context, service: Service, connection: RespConnection, remaining: Callable[[], float]) -> dict[str, Any]:
    """The conversation over one connection."""
    log_in(service, connection)
    started = time.monotonic()
    pong = connection.call(("PING",))[0]
    ping_s = time.monotonic() - started
    if classify(pong) in ("noauth", "maxclients", "loading", "busy"):
        raise SourceError("auth" if classify(pong) == "noauth" else "refused", f"Redis says {sample(str(pong))}")
    first, second, elapsed_s = ctx.sample(lambda: command_counters(connection))
    slow, latency, info = connection.call(("SLOWLOG", "GET", "25"), ("LATENCY", "LATEST"), ("INFO", "everything"))
    facts = parse_info(info) if isinstance(info, str) and not isinstance(info, RespError) else {}
    keys = walk(connection, facts, remaining) if ping_s < SLOW_STEP_S else {"reason": f"Redis took {ping_s:.1f} s to answer a PING: its keys were left alone"}
    return {
        "window_s": round(elapsed_s, 3),
        "commands": hot_commands(first, second, elapsed_s),
        "slowlog": slow_commands(slow),
        "slowlog_reason": sample(str(slow)) if isinstance(slow, RespError) else None,
        "latency": latency_events(latency),
        "latency_reason": sample(str(latency)) if isinstance(latency, RespError) else None,
        "clients": clients(connection, facts),
        "keys": keys,
        "memory": {name: facts.get(name) for name in ("used_memory", "maxmemory", "maxmemory_policy", "mem_fragmentation_ratio", "used_memory_peak")},
    }


# -- commands -----------------------------------------------------------------------------------------------------------------------


def command_counters(connection: RespConnection) -> dict[str, dict[str, float]]:
    """``{command: {calls usec rejected failed}}`` since the statistics were reset."""
    text = connection.call(("INFO", "commandstats"))[0]
    if isinstance(text, RespError) or not isinstance(text, str):
        raise SourceError("error", f"Redis refused INFO: {sample(str(text))}")
    return parse_commandstats(text)


def parse_commandstats(text: str) -> dict[str, dict[str, float]]:
    """Lines ``cmdstat_get:calls=1,usec=2,usec_per_call=2.00,rejected_calls=0,failed_calls=0``."""
    counters = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if not colon or not name.startswith("cmdstat_"):
            continue
        pairs = dict(pair.split("=", 1) for pair in rest.split(",") if "=" in pair)
        values = {
            key: number(pairs.get(field, "0"))
            for key, field in (("calls", "calls"), ("usec", "usec"), ("rejected", "rejected_calls"), ("failed", "failed_calls"))
        }
        counters[name[len("cmdstat_") :].upper()] = {key: float(value) if isinstance(value, (int, float)) else 0.0 for key, value in values.items()}
    return counters


def hot_commands(first: dict[str, dict[str, float]], second: dict[str, dict[str, float]] | None, elapsed_s: float) -> list[dict[str, Any]]:
    """``[{command calls_per_s us_per_call busy_pct calls failed}]``, what keeps Redis busiest first; rates are None without a second reading.

    ``busy_pct`` is the share of the window in which Redis, which has one thread for commands, did nothing else.
    """
    rows = []
    for name, last in (second or first).items():
        before = first.get(name, {"calls": 0.0, "usec": 0.0})
        calls, usec = last["calls"] - before["calls"], last["usec"] - before["usec"]
        measured = second is not None and elapsed_s > 0
        rows.append(
            {
                "command": sample(name.replace("|", " "), 40),
                "calls": int(last["calls"]),
                "failed": int(last["failed"] + last["rejected"]),
                "calls_per_s": round(calls / elapsed_s, 1) if measured else None,
                "us_per_call": round(usec / calls, 1) if measured and calls > 0 else round(last["usec"] / last["calls"], 1) if last["calls"] else None,
                "busy_pct": round(usec / (elapsed_s * 10000), 2) if measured else None,
            }
        )
    return sorted(rows, key=lambda row: (-(row["busy_pct"] or 0.0), -(row["calls_per_s"] or 0.0), -row["calls"], row["command"]))[:TOP_COMMANDS]


def latency_events(reply: Any) -> list[dict[str, Any]] | None:
    """``[{event time last_ms worst_ms}]`` of the latency monitor; empty also when it is switched off."""
    if not isinstance(reply, list):
        return None
    rows = []
    for entry in reply:
        if isinstance(entry, list) and len(entry) >= 4 and all(isinstance(value, int) for value in entry[1:4]):
            rows.append({"event": sample(str(entry[0]), 40), "time": iso(float(entry[1])), "last_ms": entry[2], "worst_ms": entry[3]})
    return rows


# -- clients ------------------------------------------------------------------------------------------------------------------------


def clients(connection: RespConnection, facts: dict[str, Any]) -> dict[str, Any]:
    """``{count groups [{name address count blocked idle_max_s age_max_s buffers commands}]}``, or ``reason``."""
    count = facts.get("connected_clients")
    if isinstance(count, int) and count > MOST_CLIENTS_LISTED:
        return {"count": count, "groups": None, "reason": f"{count} clients are too many to list on a server in trouble"}
    text = connection.call(("CLIENT", "LIST"))[0]
    if not isinstance(text, str) or isinstance(text, RespError):
        return {"count": count, "groups": None, "reason": f"Redis refused CLIENT LIST: {sample(str(text))}"}
    return {"count": count, "groups": client_groups(text), "reason": None}


def client_groups(text: str) -> list[dict[str, Any]]:
    """Clients by name and address, most first; ours is left out."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for line in text.splitlines():
        fields = dict(pair.split("=", 1) for pair in line.split(" ") if "=" in pair)
        if not fields or fields.get("cmd", "").startswith("client"):
            continue
        name, address = sample(fields.get("name", ""), 40), sample(fields.get("addr", "").rpartition(":")[0], 60)
        group = groups.setdefault(
            (name, address), {"name": name, "address": address, "count": 0, "blocked": 0, "idle_max_s": 0, "age_max_s": 0, "buffers": 0, "commands": []}
        )
        group["count"] += 1
        group["blocked"] += "b" in fields.get("flags", "")
        group["idle_max_s"] = max(group["idle_max_s"], _integer(fields.get("idle")))
        group["age_max_s"] = max(group["age_max_s"], _integer(fields.get("age")))
        group["buffers"] += sum(_integer(fields.get(key)) for key in ("qbuf", "omem"))
        command = sample(fields.get("cmd", ""), 30)
        if command and command not in group["commands"] and len(group["commands"]) < 5:
            group["commands"].append(command)
    return sorted(groups.values(), key=lambda group: (-group["count"], group["name"], group["address"]))[:BIGGEST]


def _integer(text: str | None) -> int:
    value = number(text or "0")
    return value if isinstance(value, int) else 0


# -- keys ---------------------------------------------------------------------------------------------------------------------------


def walk(connection: RespConnection, facts: dict[str, Any], remaining: Callable[[], float]) -> dict[str, Any]:
    """``{seen total complete ended bytes biggest [{key database type bytes ttl_s}] prefixes [{prefix keys bytes bytes_est no_ttl}]}``, or ``reason``.

    ``ended`` says why not every key was seen.
    """
    databases = {int(key[2:]): int(value.get("keys", 0)) for key, value in facts.items() if key[:2] == "db" and key[2:].isdigit() and isinstance(value, dict)}
    seen: list[dict[str, Any]] = []
    ended: str | None = None
    until = time.monotonic() + min(SCAN_S, remaining())
    for database in sorted(databases, key=lambda number: -databases[number]):
        if isinstance(connection.call(("SELECT", str(database)))[0], RespError):
            return {"reason": f"Redis refused SELECT {database}"}
        cursor = "0"
        while True:
            started = time.monotonic()
            reply = connection.call(("SCAN", cursor, "COUNT", str(SCAN_STEP)))[0]
            if isinstance(reply, RespError) or not isinstance(reply, list) or len(reply) != 2:
                return {"reason": f"Redis refused SCAN: {sample(str(reply))}"}
            cursor, names = str(reply[0]), [str(name) for name in reply[1] or []]
            seen += measured(connection, names, database)
            ended = why_enough(len(seen), time.monotonic() - started, time.monotonic() > until)
            if ended or cursor == "0":
                break
        if ended:
            break
    total = sum(databases.values())
    complete = ended is None
    sampled = sum(row["bytes"] or 0 for row in seen)
    return {
        "seen": len(seen),
        "total": total,
        "complete": complete,
        "ended": None if complete else ended,
        "bytes": sampled,
        "biggest": sorted(seen, key=lambda row: -(row["bytes"] or 0))[:BIGGEST],
        "prefixes": prefixes(seen, 1.0 if complete or not seen else max(1.0, total / len(seen))),
        "reason": None,
    }


def why_enough(seen: int, step_s: float, out_of_time: bool) -> str | None:
    """Why the walk ends here, or None."""
    if seen >= MOST_KEYS:
        return f"{MOST_KEYS} keys are a fair sample"
    if step_s > SLOW_STEP_S:
        return f"Redis needed {step_s:.2f} s for {SCAN_STEP} keys; more would have kept its users waiting"
    return f"the {SCAN_S:g} s for it were over" if out_of_time else None


def measured(connection: RespConnection, names: list[str], database: int) -> list[dict[str, Any]]:
    """Type, size and time to live of some keys; one whose name is no UTF-8 can't be asked for again, so its size is None."""
    if not names:
        return []
    questions = [question for name in names for question in (("TYPE", name), ("MEMORY", "USAGE", name, "SAMPLES", "5"), ("PTTL", name))]
    answers = connection.call(*questions)
    rows = []
    for position, name in enumerate(names):
        kind, size, left = answers[3 * position : 3 * position + 3]
        rows.append(
            {
                "key": sample(name, KEY_LENGTH),
                "database": database,
                "type": None if isinstance(kind, RespError) or kind == "none" else sample(str(kind), 20),
                "bytes": size if isinstance(size, int) else None,
                "ttl_s": round(left / 1000) if isinstance(left, int) and left >= 0 else None,
            }
        )
    return rows


def prefixes(rows: list[dict[str, Any]], factor: float) -> list[dict[str, Any]]:
    """Keys by what stands before their first colon, largest first; ``bytes_est`` is what all of them come to when ``factor`` times as many exist."""
    groups: dict[str, dict[str, Any]] = {}
    for row in rows:
        head, colon, _rest = row["key"].partition(":")
        name = head + colon if colon else "(no prefix)"
        group = groups.setdefault(name, {"prefix": name, "keys": 0, "bytes": 0, "no_ttl": 0})
        group["keys"] += 1
        group["bytes"] += row["bytes"] or 0
        group["no_ttl"] += row["ttl_s"] is None
    largest = sorted(groups.values(), key=lambda group: (-group["bytes"], group["prefix"]))[:MOST_PREFIXES]
    return [{**group, "bytes_est": round(group["bytes"] * factor)} for group in largest]
