# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real sessions that hold and want locks, and the eight situations in which the usual query over pg_locks accuses the wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from ansible_collections.sre.incident_response.tests.integration.servers import address, eventually, psql, ready_database

SLOTS = 260
PASSWORD = "stage-only"
PREPARED = "prepared transaction"


def start_server(start: Callable[..., Any]) -> Any:
    """A PostgreSQL with room for two hundred waiters and for prepared transactions, and a role that may not see everything."""
    settings = f"max_connections = {SLOTS}\\nmax_prepared_transactions = 5\\n"
    container = start("db", ["sh", "-c", f"printf '{settings}' >> /opt/lab/postgresql.lab.conf && exec sh /opt/lab/entrypoint.sh"])
    ready_database(container)
    for role in ("worker", "monitor"):
        psql(container, f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    psql(container, "GRANT pg_monitor TO monitor")
    psql(container, "CREATE DATABASE stage OWNER worker")
    return container


class Stage:
    """Sessions by name (their application_name) in one server; all of them end with ``clear``."""

    def __init__(self, container: Any) -> None:
        self.container = container
        self._server = address(container)
        self._monitor = self._connect("monitor", "stage-monitor", "postgres")
        self._sessions: list[psycopg.Connection[Any]] = []

    def _connect(self, user: str, name: str, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(host=self._server, user=user, password=PASSWORD, dbname=database, application_name=name, autocommit=True, connect_timeout=10)

    def holds(self, name: str, *statements: str, database: str = "stage") -> None:
        """A session that has run the statements and is idle now."""
        session = self._connect("worker", name, database)
        self._sessions.append(session)
        for statement in statements:
            session.execute(statement)

    def waits(self, name: str, *statements: str, count: int = 1, database: str = "stage") -> None:
        """Sessions of that name of which each runs the statements; the last statement gets stuck behind a lock."""
        *before, last = statements
        for _number in range(count):
            self.holds(name, *before, database=database)
            self._sessions[-1].pgconn.send_query(last.encode())
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
        eventually(lambda: self.ask(query, name)[0][0] == count)

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows that the monitoring role gets."""
        return self._monitor.execute(query, values).fetchall()

    def pids(self, name: str) -> set[int]:
        """Process ids of the sessions of that name."""
        return {row[0] for row in self.ask("SELECT pid FROM pg_stat_activity WHERE application_name = %s", name)}

    def clear(self) -> None:
        """End all sessions, also those that wait, and what they left behind."""
        psql(self.container, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'")
        for session in self._sessions:
            session.close()
        self._sessions.clear()
        for (gid,) in self.ask("SELECT gid FROM pg_prepared_xacts"):
            psql(self.container, f"ROLLBACK PREPARED '{gid}'", "stage")
        eventually(lambda: self.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'worker'")[0][0] == 0)

    def close(self) -> None:
        """End everything, our own session too."""
        self.clear()
        self._monitor.close()


@dataclass(frozen=True)
class Scenario:
    """``play`` puts sessions on the stage, their names beginning with ``name``; ``blocked`` of them wait for one root."""

    name: str
    play: Callable[[Stage, str], None]
    blocked: int
    prepared: bool = False

    @property
    def root(self) -> str:
        """What the snapshot calls it: the holder's application name, or the kind of a root that is no session."""
        return PREPARED if self.prepared else f"{self.name}-holder"


def table(stage: Stage, name: str) -> None:
    """A table of the scenario's own with a few rows."""
    psql(stage.container, f"DROP TABLE IF EXISTS {name}", "stage")
    stage.holds("maker", f"CREATE TABLE {name} AS SELECT g AS id, 0 AS n FROM generate_series(1, 10) g")


def one_row(stage: Stage, name: str) -> None:
    """Two sessions update the same row."""
    table(stage, name)
    stage.holds(f"{name}-holder", "BEGIN", f"UPDATE {name} SET n = 1 WHERE id = 1")
    stage.waits(f"{name}-waiter", f"UPDATE {name} SET n = 2 WHERE id = 1")


def crowd(stage: Stage, name: str, waiters: int = 4) -> None:
    """Many wait for one row: they queue behind each other, but only one holds it."""
    table(stage, name)
    stage.holds(f"{name}-holder", "BEGIN", f"UPDATE {name} SET n = 1 WHERE id = 1")
    stage.waits(f"{name}-waiter", f"UPDATE {name} SET n = 2 WHERE id = 1", count=waiters)


def chain(stage: Stage, name: str) -> None:
    """C waits for B, which itself waits for A: B is a victim."""
    table(stage, name)
    stage.holds(f"{name}-holder", "BEGIN", f"UPDATE {name} SET n = 1 WHERE id = 1")
    stage.waits(f"{name}-middle", "BEGIN", f"UPDATE {name} SET n = 2 WHERE id = 2", f"UPDATE {name} SET n = 2 WHERE id = 1")
    stage.waits(f"{name}-waiter", f"UPDATE {name} SET n = 3 WHERE id = 2")


def schema_change(stage: Stage, name: str) -> None:
    """Readers queue behind a schema change that itself waits for a forgotten reader."""
    table(stage, name)
    stage.holds(f"{name}-holder", "BEGIN", f"SELECT count(*) FROM {name}")
    stage.waits(f"{name}-change", f"ALTER TABLE {name} ADD COLUMN more int")
    stage.waits(f"{name}-waiter", f"SELECT count(*) FROM {name}", count=3)


def advisory(stage: Stage, name: str) -> None:
    """A lock that belongs to no table."""
    stage.holds(f"{name}-holder", "SELECT pg_advisory_lock(815)")
    stage.waits(f"{name}-waiter", "SELECT pg_advisory_lock(815)")


def orphan(stage: Stage, name: str) -> None:
    """A prepared transaction whose session is long gone."""
    table(stage, name)
    stage.holds("maker", "BEGIN", f"UPDATE {name} SET n = 1 WHERE id = 1", f"PREPARE TRANSACTION '{name}-orphan'")
    stage.waits(f"{name}-waiter", f"UPDATE {name} SET n = 2 WHERE id = 1")


def cloned_database(stage: Stage, name: str) -> None:
    """The same table, by number, in a copy of the database: whoever locks that one is innocent."""
    for database in (f"{name}_twin", name):
        psql(stage.container, f"DROP DATABASE IF EXISTS {database}")
    psql(stage.container, f"CREATE DATABASE {name} OWNER worker")
    psql(stage.container, f"CREATE TABLE {name} (id int); ALTER TABLE {name} OWNER TO worker", name)
    psql(stage.container, f"CREATE DATABASE {name}_twin OWNER worker TEMPLATE {name}")
    lock = ("BEGIN", f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
    stage.holds(f"{name}-innocent", *lock, database=f"{name}_twin")
    stage.holds(f"{name}-holder", *lock, database=name)
    stage.waits(f"{name}-waiter", f"SELECT count(*) FROM {name}", database=name)


def share_lock(stage: Stage, name: str) -> None:
    """A SHARE lock waits for a writer; two readers of the same table disturb nobody."""
    table(stage, name)
    stage.holds(f"{name}-innocent", "BEGIN", f"SELECT count(*) FROM {name}")
    stage.holds(f"{name}-innocent", "BEGIN", f"SELECT count(*) FROM {name}")
    stage.holds(f"{name}-holder", "BEGIN", f"LOCK TABLE {name} IN ROW EXCLUSIVE MODE")
    stage.waits(f"{name}-waiter", "BEGIN", f"LOCK TABLE {name} IN SHARE MODE")


SCENARIOS = (
    Scenario("one_row", one_row, 1),
    Scenario("crowd", crowd, 4),
    Scenario("chain", chain, 2),
    Scenario("schema_change", schema_change, 4),
    Scenario("advisory", advisory, 1),
    Scenario("orphan", orphan, 1, prepared=True),
    Scenario("cloned", cloned_database, 1),
    Scenario("share_lock", share_lock, 1),
)
