# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Investigation of PostgreSQL: sessions, waiting and blocking, statements, tables, indexes, and room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..estate import Estate, Service
from ..record import Investigation, Table
from ..shapes import items, mapping
from .application import container_facts
from .tables import Column, clock, facts, looked_at, milliseconds, missing, named, percent, seconds, size, table, text


def investigate(estate: Estate) -> Investigation:
    """Everything about the PostgreSQL servers."""
    services = named(estate, ("postgresql",))
    found = Investigation("database", "PostgreSQL", looked_at(estate, services, "PostgreSQL service"))
    for service in services:
        found.tables += [server(service), *connections(service), *locks(service), *details(service)]
    return found


def server(service: Service) -> Table:
    """Whether and how it answers, and how much room there is."""
    unknown = missing("Server", service, "postgresql")
    if unknown:
        return unknown
    data = service.data("postgresql")
    snapshot, rates, volume = mapping(data.get("snapshot")), mapping(data.get("rates")), service.data("volume")
    used = mapping(snapshot.get("connections"))
    error = mapping(data.get("error"))
    answers = f"yes, by {text(data.get('reached_by'))} in {milliseconds(data.get('connect_ms'))}" if data.get("up") else f"no: {text(error.get('message'))}"
    pairs = [
        ("answers", answers),
        ("version", text(mapping(snapshot.get("server")).get("version"))),
        ("connections", f"{text(used.get('client_backends'))} of {text(used.get('usable'))} ({percent(used.get('used_pct'))})"),
        ("transactions", f"{text(rates.get('transactions_per_s'))} per second, {percent(rates.get('rollback_pct'))} rolled back"),
        ("longest transaction", seconds(mapping(snapshot.get("longest_xact")).get("xact_age_s"))),
        ("room for data", f"{size(volume.get('free'))} of {size(volume.get('total'))} free ({percent(volume.get('used_pct'))} used)" if volume else "-"),
    ]
    group = service.data("cgroup")
    return facts("Server", service, pairs + (container_facts(service, group) if group else []))


def connections(service: Service) -> list[Table]:
    """Who holds how many connections in which state."""
    snapshot = mapping(service.data("postgresql").get("snapshot"))
    if not snapshot:
        return []
    used = mapping(snapshot.get("connections"))
    states = ", ".join(f"{text(count)} {text(state)}" for state, count in mapping(used.get("by_state")).items())
    return [table("Connections by client", service, items(used.get("by_client")), CLIENT_COLUMNS, note=states)]


CLIENT_COLUMNS = (
    Column("n", "n", number=True),
    Column("active", "active", number=True),
    Column("idle", "idle", number=True),
    Column("in transaction", "idle_in_xact", number=True),
    Column("user", "usename"),
    Column("database", "datname"),
    Column("application", "app"),
    Column("from", lambda row: row.get("container") or row.get("client")),
)


def locks(service: Service) -> list[Table]:
    """Who waits for whom: the roots of the queues first, then everybody who waits."""
    found = mapping(mapping(service.data("postgresql").get("snapshot")).get("locks"))
    if not found:
        return []
    roots, waiters = items(found.get("roots")), items(found.get("waiters"))
    note = f"{text(found.get('waiting'))} locks are waited for, the longest for {seconds(found.get('max_wait_s'))}"
    return [
        table("Sessions that others wait for", service, roots, ROOT_COLUMNS, note=note),
        *([table("Sessions that wait for a lock", service, waiters, WAITER_COLUMNS)] if waiters else []),
    ]


ROOT_COLUMNS = (
    Column("pid", "pid", number=True),
    Column("blocked", "blocked", number=True),
    Column("state", "state"),
    Column("transaction", "xact_age_s", seconds, number=True),
    Column("application", "app"),
    Column("query", "query"),
)
WAITER_COLUMNS = (
    Column("pid", "pid", number=True),
    Column("waits", "wait_s", seconds, number=True),
    Column("for", "blocked_by"),
    Column("mode", "mode"),
    Column("on", "relation"),
    Column("query", "query"),
)


def details(service: Service) -> list[Table]:
    """What only the deep look has: sessions with their queries, top statements, tables and indexes."""
    unknown = missing("Sessions, statements, tables and indexes", service, "pg_detail")
    if unknown:
        return [unknown]
    data = service.data("pg_detail")
    window = seconds(data.get("window_s"))
    statements = table("Statements that cost most", service, items(data.get("statements")), STATEMENT_COLUMNS)
    if data.get("statements_reason"):
        statements.reason = text(data.get("statements_reason"))
    else:
        statements.note = f"those of the last {window} first, then since the statistics were reset; busy: share of one core meanwhile"
    return [
        table("Sessions", service, items(data.get("sessions")), SESSION_COLUMNS, note="what runs first, then what holds a transaction open"),
        statements,
        table("Tables", service, items(data.get("tables")), TABLE_COLUMNS, note=f"the largest ones; read/s: rows read from end to end, over {window}"),
        table("Indexes", service, items(data.get("indexes")), INDEX_COLUMNS, note="the largest ones; never used since the statistics were reset: 0 scans"),
    ]


def _waits(row: Mapping[str, Any]) -> str:
    kind, event = row.get("wait_event_type"), row.get("wait_event")
    return f"{text(kind)}: {text(event)}" if kind and row.get("state") == "active" else "-"


SESSION_COLUMNS = (
    Column("pid", "pid", number=True),
    Column("state", "state"),
    Column("since", lambda row: row.get("query_age_s") if row.get("state") == "active" else row.get("state_age_s"), seconds, number=True),
    Column("transaction", "xact_age_s", seconds, number=True),
    Column("waits", _waits),
    Column("blocked by", "blocked_by"),
    Column("application", "app"),
    Column("query", "query"),
)
STATEMENT_COLUMNS = (
    Column("busy", "busy_pct", percent, number=True),
    Column("calls now", "window_calls", number=True),
    Column("calls", "calls", number=True),
    Column("mean", "mean_ms", milliseconds, number=True),
    Column("total", lambda row: _seconds_of(row.get("total_ms")), seconds, number=True),
    Column("rows", "rows", number=True),
    Column("statement", "query"),
)
TABLE_COLUMNS = (
    Column("table", "name"),
    Column("size", "bytes_est", size, number=True),
    Column("rows", "rows_est", number=True),
    Column("dead", "dead_pct", percent, number=True),
    Column("scans", "seq_scan", number=True),
    Column("read/s", "seq_rows_per_s", number=True),
    Column("by index", "idx_scan", number=True),
    Column("cached", "hit_pct", percent, number=True),
    Column("vacuumed", "last_vacuum", clock),
)
INDEX_COLUMNS = (
    Column("index", "name"),
    Column("table", "table_name"),
    Column("size", "bytes_est", size, number=True),
    Column("scans", "idx_scan", number=True),
    Column("unique", "is_unique"),
    Column("valid", "is_valid"),
)


def _seconds_of(milliseconds_: Any) -> float | None:
    return milliseconds_ / 1000 if isinstance(milliseconds_, (int, float)) else None
