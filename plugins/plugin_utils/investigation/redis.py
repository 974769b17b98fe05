# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Investigation of Redis: memory and what fills it, the commands that keep it busy, slow ones, and its clients."""

from __future__ import annotations

from ..estate import Estate, Service
from ..record import Investigation, Table
from ..shapes import items, mapping
from .tables import Column, clock, facts, looked_at, milliseconds, missing, named, percent, seconds, size, table, text


def investigate(estate: Estate) -> Investigation:
    """Everything about the Redis servers."""
    services = named(estate, ("redis",))
    found = Investigation("redis", "Redis", looked_at(estate, services, "Redis service"))
    for service in services:
        found.tables += [server(service), *details(service)]
    return found


def server(service: Service) -> Table:
    """Whether it answers and works, and how full it is."""
    unknown = missing("Server", service, "redis")
    if unknown:
        return unknown
    data = service.data("redis")
    info = mapping(data.get("info"))
    answers = f"yes, in {milliseconds(data.get('ping_ms'))}" if data.get("up") else f"{text(data.get('reply_class'))}: {text(data.get('error'))}"
    pairs = [
        ("answers", answers),
        ("version", text(info.get("redis_version"))),
        ("role", text(data.get("role"))),
        ("up for", seconds(info.get("uptime_in_seconds"))),
        ("memory", f"{size(info.get('used_memory'))} of {size(info.get('maxmemory') or None)} ({percent(data.get('used_pct'))})"),
        ("when memory is full", text(info.get("maxmemory_policy"))),
        ("fragmentation", text(info.get("mem_fragmentation_ratio"))),
        ("clients", f"{text(info.get('connected_clients'))} of {text(info.get('maxclients'))}, {text(info.get('blocked_clients'))} blocked"),
        ("keys", f"{text(data.get('keys'))}, {percent(data.get('no_ttl_pct'))} without a time to live"),
        ("operations per second", text(info.get("instantaneous_ops_per_sec"))),
        ("errors by kind", text(data.get("errorstats"))),
        ("last save", f"{text(info.get('rdb_last_bgsave_status'))}, append-only file {text(info.get('aof_last_write_status'))}"),
    ]
    return facts("Server", service, pairs if info else pairs[:1])


def details(service: Service) -> list[Table]:
    """What only the deep look has."""
    unknown = missing("Keys, commands and clients", service, "redis_detail")
    if unknown:
        return [unknown]
    data = service.data("redis_detail")
    return [*keys(service), *commands(service), *clients(service, mapping(data.get("clients")))]


def keys(service: Service) -> list[Table]:
    """What fills the memory: keys by prefix, and the largest ones of those that were seen."""
    found = mapping(service.data("redis_detail").get("keys"))
    if found.get("reason"):
        return [Table("Keys", text(service.name), text(service.host), reason=text(found.get("reason")))]
    seen = f"all {text(found.get('seen'))} keys"
    if not found.get("complete"):
        seen = f"{text(found.get('seen'))} of {text(found.get('total'))} keys: {text(found.get('ended'))}"
    return [
        table("Keys by prefix", service, items(found.get("prefixes")), PREFIX_COLUMNS, note=f"seen: {seen}; about: what all keys of the prefix come to"),
        table("Largest keys", service, items(found.get("biggest")), KEY_COLUMNS, note="of those that were seen"),
    ]


PREFIX_COLUMNS = (
    Column("prefix", "prefix"),
    Column("keys seen", "keys", number=True),
    Column("their size", "bytes", size, number=True),
    Column("about", "bytes_est", size, number=True),
    Column("without ttl", "no_ttl", number=True),
)
KEY_COLUMNS = (
    Column("key", "key"),
    Column("db", "database", number=True),
    Column("type", "type"),
    Column("size", "bytes", size, number=True),
    Column("ttl", "ttl_s", seconds, number=True),
)


def commands(service: Service) -> list[Table]:
    """What keeps Redis busy, and what took long."""
    data = service.data("redis_detail")
    hot = table("Commands", service, items(data.get("commands")), COMMAND_COLUMNS)
    hot.note = f"over {seconds(data.get('window_s'))}; busy: share of that time in which Redis did nothing else"
    slow = table("Slow log", service, items(data.get("slowlog")), SLOW_COLUMNS, note="without arguments, which hold users' data")
    slow.reason = text(data.get("slowlog_reason")) if data.get("slowlog_reason") else ""
    latency = table("Latency events", service, items(data.get("latency")), LATENCY_COLUMNS, note="none also when latency-monitor-threshold is 0")
    latency.reason = text(data.get("latency_reason")) if data.get("latency_reason") else ""
    return [hot, slow, latency]


COMMAND_COLUMNS = (
    Column("command", "command"),
    Column("per second", "calls_per_s", number=True),
    Column("us per call", "us_per_call", number=True),
    Column("busy", "busy_pct", percent, number=True),
    Column("calls", "calls", number=True),
    Column("failed", "failed", number=True),
)
SLOW_COLUMNS = (Column("time", "time", clock), Column("took", "ms", milliseconds, number=True), Column("command", "command"))
LATENCY_COLUMNS = (
    Column("event", "event"),
    Column("last", "time", clock),
    Column("took", "last_ms", milliseconds, number=True),
    Column("worst", "worst_ms", milliseconds, number=True),
)


def clients(service: Service, found: dict[str, object]) -> list[Table]:
    """Who is connected."""
    made = table("Clients", service, items(found.get("groups")), CLIENT_COLUMNS, note=f"{text(found.get('count'))} connected")
    made.reason = text(found.get("reason")) if found.get("reason") else ""
    return [made]


CLIENT_COLUMNS = (
    Column("n", "count", number=True),
    Column("blocked", "blocked", number=True),
    Column("name", "name"),
    Column("from", "address"),
    Column("longest idle", "idle_max_s", seconds, number=True),
    Column("buffers", "buffers", size, number=True),
    Column("last commands", "commands"),
)
