# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep source ``pg_detail``: who does what on PostgreSQL, which statements cost most, and how its tables and indexes are used.

One read-only session with the limits of :mod:`pg_session`. Only catalogs and statistics are read, never a user's table, so a lock on
one can't hold it up; sizes are what the catalog remembers (``relpages``), because measuring them would need a lock.
"""

from __future__ import annotations

import time
from typing import Any

from .context import Context, SourceError
from .pg_session import Login, Session
from .pg_wire import PgError
from .postgresql import logins
from .reach import answering_container, named, network_failure
from .redact import sample

RESERVE_S = 0.5
QUERY_LENGTH = 200
TOP_STATEMENTS = 15
# Words that only our own statements have: what the look itself costs is nobody's problem.
OURS = ("ir_triage", "pg_snapshot.sql")
MOST_OURS = 10
# pg_stat_statements keeps 5000 by default; those that cost most are enough to see what a window changed.
COUNTED_STATEMENTS = 1000

SESSIONS_SQL = """
/* ir_triage */ SELECT coalesce(json_agg(x), '[]') FROM (
  SELECT pid, usename::text AS usename, datname::text AS datname, application_name AS app, host(client_addr) AS client, state,
         wait_event_type, wait_event,
         round(extract(epoch FROM clock_timestamp() - query_start)::numeric, 1) AS query_age_s,
         round(extract(epoch FROM clock_timestamp() - xact_start)::numeric, 1) AS xact_age_s,
         round(extract(epoch FROM clock_timestamp() - state_change)::numeric, 1) AS state_age_s,
         pg_blocking_pids(pid) AS blocked_by, left(query, 2000) AS query
  FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'ir_triage'
  ORDER BY (state = 'active') DESC NULLS LAST, (state LIKE 'idle in%') DESC NULLS LAST, query_start LIMIT 40) x
"""

TABLES_SQL = """
/* ir_triage */ SELECT coalesce(json_agg(x), '[]') FROM (
  SELECT s.schemaname || '.' || s.relname AS name, c.relpages::bigint * 8192 AS bytes_est, greatest(c.reltuples, 0)::bigint AS rows_est,
         s.seq_scan, s.seq_tup_read, s.idx_scan, s.n_tup_ins AS inserted, s.n_tup_upd AS updated, s.n_tup_del AS deleted,
         s.n_live_tup AS live, s.n_dead_tup AS dead, round(100.0 * s.n_dead_tup / greatest(1, s.n_live_tup + s.n_dead_tup), 1) AS dead_pct,
         CASE WHEN io.heap_blks_hit + io.heap_blks_read > 0
              THEN round(100.0 * io.heap_blks_hit / (io.heap_blks_hit + io.heap_blks_read), 1) END AS hit_pct,
         to_json(greatest(s.last_vacuum, s.last_autovacuum)) AS last_vacuum, to_json(greatest(s.last_analyze, s.last_autoanalyze)) AS last_analyze
  FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid LEFT JOIN pg_statio_user_tables io ON io.relid = s.relid
  ORDER BY c.relpages + s.seq_tup_read / 1000 DESC LIMIT 25) x
"""

INDEXES_SQL = """
/* ir_triage */ SELECT coalesce(json_agg(x), '[]') FROM (
  SELECT s.schemaname || '.' || s.indexrelname AS name, s.schemaname || '.' || s.relname AS table_name, c.relpages::bigint * 8192 AS bytes_est,
         s.idx_scan, s.idx_tup_read, i.indisunique AS is_unique, i.indisvalid AS is_valid
  FROM pg_stat_user_indexes s JOIN pg_class c ON c.oid = s.indexrelid JOIN pg_index i ON i.indexrelid = s.indexrelid
  ORDER BY c.relpages DESC LIMIT 25) x
"""

EXTENSION_SQL = """
/* ir_triage */ SELECT coalesce((SELECT json_build_object(
    'schema', quote_ident(n.nspname),
    'total', CASE WHEN EXISTS (SELECT FROM pg_attribute a JOIN pg_class v ON v.oid = a.attrelid
                               WHERE v.relname = 'pg_stat_statements' AND v.relnamespace = n.oid AND a.attname = 'total_exec_time')
                  THEN 'total_exec_time' ELSE 'total_time' END)
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'), 'null')
"""


def statements_sql(extension: dict[str, str]) -> str:
    """Calls and time of the statements that cost most since the statistics were reset, without their texts."""
    schema, total = extension["schema"], extension["total"]
    return f"""
/* ir_triage */ SELECT coalesce(json_agg(x), '[]') FROM (
  SELECT userid::text || '/' || dbid::text || '/' || queryid::text AS key, sum(calls) AS calls, sum({total}) AS total_ms, sum(rows) AS rows
  FROM {schema}.pg_stat_statements(false) WHERE queryid IS NOT NULL GROUP BY 1 ORDER BY 3 DESC LIMIT {COUNTED_STATEMENTS}) x
"""  # noqa: S608 - both come from the server's catalog, one quoted by it, the other one of two constants


def texts_sql(extension: dict[str, str], keys: list[str]) -> str:
    """Texts of the statements behind ``keys``, which :func:`statements_sql` gave and which are numbers."""
    numbers = sorted({int(key.rpartition("/")[2]) for key in keys})
    schema = extension["schema"]
    chosen = ",".join(str(number) for number in numbers)
    return f"""
/* ir_triage */ SELECT coalesce(json_object_agg(x.key, x.query), '{{}}') FROM (
  SELECT DISTINCT ON (1) userid::text || '/' || dbid::text || '/' || queryid::text AS key, left(query, 2000) AS query
  FROM {schema}.pg_stat_statements WHERE queryid IN ({chosen})) x
"""  # noqa: S608 - the schema is quoted by the server, the rest are integers


def collect(ctx: Context) -> dict[str, Any]:
    """``window_s sessions [...] statements [...] statements_reason tables [...] indexes [...] database``, as docs/architecture.md describes them."""
    service = ctx.owner
    container = answering_container(ctx, service)
    reasons: list[str] = []
    for login in logins(ctx, service, container):
        # psql in the container would need a process for each question; the source postgresql says what it can say that way.
        if login.way == "exec":
            continue
        try:
            return asked(ctx, login)
        except PgError as error:
            reasons.append(sample(f"PostgreSQL refused: {error}"))
        except (OSError, ValueError) as error:
            reasons.append(sample(network_failure(error, named(login.address))[1]))
    raise SourceError("refused", reasons[0] if reasons else "there is no way to a session of PostgreSQL from this machine")


def asked(ctx: Context, login: Login) -> dict[str, Any]:
    """Everything over one session."""
    limit = time.monotonic() + float(ctx.options["db_timeout_s"]) + float(ctx.options["sample_s"])
    session = Session(login, lambda: max(0.05, min(limit - time.monotonic(), ctx.remaining() - RESERVE_S)))
    try:
        sessions = session.ask(SESSIONS_SQL)
        extension, reason = extension_of(session)
        first, second, elapsed_s = ctx.sample(lambda: counters(session, extension))
        statements, said = ranked(session, extension, first, second, elapsed_s)
        return {
            "database": session.database,
            "window_s": round(elapsed_s, 3),
            "sessions": [session_row(row) for row in sessions],
            "statements": statements,
            "statements_reason": reason or said,
            "tables": table_rows(first["tables"], second["tables"] if second else None, elapsed_s),
            "indexes": session.ask(INDEXES_SQL),
        }
    finally:
        session.close()


def extension_of(session: Session) -> tuple[dict[str, str] | None, str | None]:
    """Where pg_stat_statements is in this database, or why it can't be asked."""
    extension: dict[str, str] | None = session.ask(EXTENSION_SQL)
    if extension is None:
        return None, f"extension pg_stat_statements is not installed in database {session.database}; CREATE EXTENSION would give the top statements"
    try:
        session.ask(statements_sql(extension))
    except PgError as error:
        # 55000: it is not in shared_preload_libraries.
        return None, sample(f"pg_stat_statements can't be read: {error}")
    return extension, None


def counters(session: Session, extension: dict[str, str] | None) -> dict[str, Any]:
    """What is read twice."""
    try:
        return {"tables": session.ask(TABLES_SQL), "statements": session.ask(statements_sql(extension)) if extension else []}
    except PgError as error:
        raise SourceError("error", sample(str(error))) from None


def ranked(
    session: Session, extension: dict[str, str] | None, first: dict[str, Any], second: dict[str, Any] | None, elapsed_s: float
) -> tuple[list[dict[str, Any]] | None, str | None]:
    """The statements that cost most in the window and since the reset, with their texts; None and why when they can't be told."""
    if extension is None:
        return None, None
    chosen = costly(first["statements"], second["statements"] if second else None, elapsed_s)
    try:
        texts = session.ask(texts_sql(extension, [row["key"] for row in chosen])) if chosen else {}
    except PgError as error:
        return None, sample(f"the texts of pg_stat_statements can't be read: {error}")
    shown = [{**row, "query": sample(str(texts.get(row["key"]) or "(text is not kept)"), QUERY_LENGTH)} for row in chosen]
    return [row for row in shown if not any(words in row["query"] for words in OURS)][:TOP_STATEMENTS], None


def costly(first: list[dict[str, Any]], second: list[dict[str, Any]] | None, elapsed_s: float) -> list[dict[str, Any]]:
    """``[{key calls total_ms mean_ms rows window_calls window_ms busy_pct}]``: what ran most in the window, then what ran most at all.

    ``busy_pct`` is the share of the window that one core would have spent in it; window values are None without a second reading.
    """
    before = {row["key"]: row for row in first}
    rows = []
    for row in second or first:
        calls, total = int(row["calls"] or 0), float(row["total_ms"] or 0)
        earlier = before.get(row["key"], {"calls": 0, "total_ms": 0})
        window_ms = max(0.0, total - float(earlier["total_ms"] or 0)) if second is not None else None
        rows.append(
            {
                "key": str(row["key"]),
                "calls": calls,
                "total_ms": round(total, 1),
                "mean_ms": round(total / calls, 2) if calls else None,
                "rows": int(row["rows"] or 0),
                "window_calls": max(0, calls - int(earlier["calls"] or 0)) if second is not None else None,
                "window_ms": None if window_ms is None else round(window_ms, 1),
                "busy_pct": round(window_ms / (elapsed_s * 10), 1) if window_ms is not None and elapsed_s > 0 else None,
            }
        )
    return sorted(rows, key=lambda row: (-(row["window_ms"] or 0.0), -row["total_ms"], row["key"]))[: TOP_STATEMENTS + MOST_OURS]  # type: ignore[operator]


def table_rows(first: list[dict[str, Any]], second: list[dict[str, Any]] | None, elapsed_s: float) -> list[dict[str, Any]]:
    """The tables with what was read from end to end per second meanwhile."""
    before = {row["name"]: row for row in first}
    rows = []
    for row in second or first:
        earlier = before.get(row["name"])
        per_s = None
        if second is not None and earlier is not None and elapsed_s > 0:
            per_s = round(max(0, int(row["seq_tup_read"] or 0) - int(earlier["seq_tup_read"] or 0)) / elapsed_s, 1)
        rows.append({**row, "seq_rows_per_s": per_s})
    return rows


def session_row(row: dict[str, Any]) -> dict[str, Any]:
    """One session; its query and names were written by somebody else."""
    return {**row, "query": sample(str(row.get("query") or ""), QUERY_LENGTH), "app": sample(str(row.get("app") or ""), 60)}
