# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One read-only PostgreSQL session for triage: how it is opened, what it asks, and how it degrades."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .pg_wire import PgConnection, PgError

MAINTENANCE_DATABASE = "postgres"

# The session can neither write, nor wait for somebody's lock, nor burn the server: an incident is the worst time for a guest.
SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "500ms",
    "idle_in_transaction_session_timeout": "10s",
    "default_transaction_read_only": "on",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "search_path": "pg_catalog",
    "client_min_messages": "error",
}

# Cumulative counters, read twice. PostgreSQL's backends publish theirs about once a second, so short windows are coarse.
COUNTERS_SQL = """
/* ir_triage */ SELECT json_build_object(
  'at', extract(epoch FROM clock_timestamp()),
  'totals', (SELECT json_build_object('commits', sum(xact_commit), 'rollbacks', sum(xact_rollback),
                                      'deadlocks', sum(deadlocks), 'temp_bytes', sum(temp_bytes)) FROM pg_stat_database),
  'tables', (SELECT json_object_agg(x.name, x.rows) FROM (
      SELECT n.nspname || '.' || c.relname AS name, pg_stat_get_tuples_returned(c.oid) AS rows
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND c.reltuples >= 10000 AND n.nspname <> 'pg_catalog'
      ORDER BY 2 DESC LIMIT 20) x))
"""

# With fewer transactions than this between the samples a share of rollbacks says nothing.
FEWEST_TRANSACTIONS = 10

# Places in the snapshot where SQL's empty aggregate is null but readers expect something to iterate over.
LISTS = {
    "": (
        "overrides",
        "pending_restart",
        "wait_events",
        "long_running",
        "crowds",
        "idle_in_transaction",
        "databases",
        "xmin_holders",
        "prepared_xacts",
        "seq_scan_tables",
        "invalid_indexes",
    ),
    "connections": ("by_client", "database_limits", "role_limits"),
    "locks": ("access_exclusive", "roots", "waiters"),
    "wraparound": ("oldest_tables",),
    "vacuum": ("progress", "create_index", "dead_tables", "autovacuum_off_tables", "never_analyzed"),
    "replication": ("senders", "slots"),
}
MAPS = {"": ("settings", "background", "extensions"), "connections": ("by_state",), "locks": ("by_mode",)}


@dataclass(frozen=True)
class Login:
    """One way to reach the server. ``address`` is a socket path, a (host, port) pair, or "" for psql inside the container."""

    way: str
    user: str
    database: str
    address: str | tuple[str, int] = ""
    password: str = ""


class Session:
    """An open session with the degradations that were needed to get it (``sizes``, ``database``, ``encoding``, ``pooler``).

    ``setbacks`` are the errors behind them, in order.
    """

    def __init__(self, login: Login, remaining: Callable[[], float]) -> None:
        self.login = login
        self.degraded: list[str] = []
        self.setbacks: list[PgError] = []
        self._remaining = remaining
        self._connection = self._open(login.database)

    def _open(self, database: str, encoding: str = "UTF8") -> PgConnection:
        """Connect; step aside to the maintenance database when the declared one is locked away or does not exist."""
        pooler = "pooler" in self.degraded
        try:
            return PgConnection(self.login.address, self.login.user, database, self._remaining, self.login.password, {} if pooler else SETTINGS, encoding)
        except PgError as error:
            # 55P03: somebody holds a system catalog of that database. 3D000: no such database.
            if error.sqlstate in ("55P03", "3D000") and database != MAINTENANCE_DATABASE:
                self._give_up("database", error)
                return self._open(MAINTENANCE_DATABASE, encoding)
            # PgBouncer refuses startup options; there the settings travel with each statement instead.
            if error.sqlstate == "08P01" and not pooler:
                self._give_up("pooler", error)
                return self._open(database, encoding)
            raise

    def _give_up(self, what: str, error: PgError) -> None:
        self.degraded.append(what)
        self.setbacks.append(error)

    def snapshot(self, sql: str) -> dict[str, Any]:
        """The snapshot document, its lists never null; PgError or OSError when no degradation helped."""
        while True:
            try:
                return normalized(self.ask(sql))
            except PgError as error:
                self._degrade(error)  # each degradation happens once, so this ends

    def _degrade(self, error: PgError) -> None:
        """Prepare another try after a statement failed; raises ``error`` again when there is no better way left to ask."""
        if error.sqlstate == "57014" and "sizes" not in self.degraded:
            self._give_up("sizes", error)
        elif error.sqlstate == "55P03" and "database" not in self.degraded:
            self._give_up("database", error)
            self.close()
            self._connection = self._open(MAINTENANCE_DATABASE)
        elif error.sqlstate == "22021" and "encoding" not in self.degraded:
            self._give_up("encoding", error)
            self.close()
            self._connection = self._open(MAINTENANCE_DATABASE if "database" in self.degraded else self.login.database, "SQL_ASCII")
        else:
            raise error

    def counters(self) -> dict[str, Any]:
        """Cumulative counters for :func:`rates`."""
        document: dict[str, Any] = self.ask(COUNTERS_SQL)
        return document

    @property
    def database(self) -> str:
        """The database of the session: the declared one, or the maintenance database when that one was locked away."""
        return MAINTENANCE_DATABASE if "database" in self.degraded else self.login.database

    def ask(self, sql: str) -> Any:
        """The JSON value that a statement returns; PgError when the server refuses it, OSError when it does not answer."""
        settings = {"triage.sizes": "off"} if "sizes" in self.degraded else {}
        if "pooler" in self.degraded:
            settings.update(SETTINGS)
        if settings:
            # LOCAL, because behind a pooler the next client gets the same server session.
            local = "".join(f"SET LOCAL {name} = '{value}';" for name, value in settings.items())
            sql = f"BEGIN READ ONLY; {local} {sql.rstrip().rstrip(';')}; COMMIT"
        rows = [row for row in self._connection.query(sql) if row and row[0]]
        if not rows:
            raise PgError("", "the server answered without a row")
        return json.loads((rows[-1][0] or b"").decode("utf-8", "replace"))

    def close(self) -> None:
        """End the session."""
        self._connection.close()


def normalized(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The snapshot with ``[]`` for empty lists and ``{}`` for empty maps."""
    for places, empty in ((LISTS, list), (MAPS, dict)):
        for part, names in places.items():
            holder = snapshot.setdefault(part, {}) if part else snapshot
            for name in names:
                if holder.get(name) is None:
                    holder[name] = empty()
    for waiter in snapshot["locks"]["waiters"]:
        waiter["blocked_by"] = waiter.get("blocked_by") or []
    return snapshot


def rates(first: dict[str, Any], second: dict[str, Any] | None) -> dict[str, Any] | None:
    """What changed between two counters() answers; None without a second one.

    ``{seq_tup_read_per_s seq_tup_read_table deadlocks rollback_pct temp_bytes_per_s transactions_per_s window_s}``: the first two name the table that is read
    fastest by sequential scans; ``rollback_pct`` is null when fewer than 10 transactions ended.
    """
    if second is None:
        return None
    window = float(second["at"]) - float(first["at"])
    if window <= 0:
        return None
    gone = {name: max(0, int(second["totals"][name] or 0) - int(first["totals"][name] or 0)) for name in second["totals"]}
    before = first.get("tables") or {}
    read = {name: rows - before[name] for name, rows in (second.get("tables") or {}).items() if name in before}
    table = max(read, key=lambda name: read[name]) if read else None
    transactions = gone["commits"] + gone["rollbacks"]
    return {
        "seq_tup_read_per_s": round(max(0, read[table]) / window, 1) if table else 0.0,
        "seq_tup_read_table": table if table and read[table] > 0 else None,
        "deadlocks": gone["deadlocks"],
        "rollback_pct": round(100.0 * gone["rollbacks"] / transactions, 1) if transactions >= FEWEST_TRANSACTIONS else None,
        "temp_bytes_per_s": round(gone["temp_bytes"] / window, 1),
        "transactions_per_s": round(transactions / window, 1),
        "window_s": round(window, 3),
    }
