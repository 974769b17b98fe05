# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source postgresql: which ways are tried in which order, what is kept of each, and what a failure means."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import pg_session, pg_titles, postgresql, reach
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Container, Context, Machine, Service, SourceError
from ansible_collections.sre.incident_response.plugins.module_utils.probe.docker import ExecResult
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import CONTAINER_ID, PID, inspect_document, write_tree
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import tcp_server, unix_server, unused_port
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.test_pg_wire import (
    LOGGED_IN,
    READY,
    error,
    exactly,
    frontend,
    row,
    startup,
)

SNAPSHOT = {"server": {"database": "app_prod"}, "locks": {"waiters": [{"pid": 1, "blocked_by": None}], "roots": None}, "connections": {"used_pct": 12}}
RESOURCES = {"pg_snapshot.sql": "SELECT snapshot;"}
CLIENT = {"datname": "app_prod", "active": 0, "idle": 0, "idle_in_xact": 0}


class Engine:
    """A Docker engine with one container; psql in it answers ``exec_result``."""

    def __init__(self, document: dict[str, Any] | None = None, exec_result: ExecResult | None = None, memory: dict[str, Any] | None = None) -> None:
        self.document = document or inspect_document("app-db")
        self.exec_result = exec_result or ExecResult(126, b"", b"psql: not found", False)
        self.memory = memory or {}
        self.argv: list[str] = []

    def inspect(self, _name: str) -> dict[str, Any]:
        return self.document

    def get_json(self, path: str, _query: dict[str, Any] | None = None) -> Any:
        if path == "/containers/json":
            return [{"Id": "w", "Names": ["/app-worker"], "NetworkSettings": {"Networks": {"appnet": {"IPAddress": "172.18.0.9"}}}}]
        return {"memory_stats": self.memory}

    def exec_argv(self, _container: Container, argv: list[str], **_options: Any) -> ExecResult:
        self.argv = argv
        return self.exec_result


def context(spec: dict[str, Any], engine: Engine | None = None, root: str = "", **options: Any) -> Context:
    """Context of service db; no second sample unless asked for."""
    service = Service("db", "postgresql", spec)
    return Context(Machine({"db": service}, engine or Engine(), {"sample_s": 0, "db_timeout_s": 1.0, **options}, root, RESOURCES), service, 5.0)


def session(*answers: bytes, refusal: bytes = b"", tcp: bool = False) -> Any:
    """A conversation: a login and one answer per statement, or a refusal of the login."""

    def hold(connection: socket.socket) -> None:
        if tcp:
            exactly(connection, 8)
            connection.sendall(b"N")
        startup(connection)
        connection.sendall(refusal or LOGGED_IN + READY)
        for answer in answers:
            frontend(connection)
            connection.sendall(answer)
        if not refusal:
            frontend(connection)

    return hold


def document(value: Any) -> bytes:
    """The answer to a statement that returns one JSON document."""
    return row(json.dumps(value).encode()) + READY


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short path, for the address of a socket has at most 107 bytes and ansible-test works deep below the checkout."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        yield Path(folder)


def socket_root(tmp_path: Path) -> tuple[str, str]:
    """(root with the container's tree, path of the server's socket in it)."""
    directory = tmp_path / f"proc/{PID}/root/run/postgresql"
    directory.mkdir(parents=True)
    return str(tmp_path), str(directory / ".s.PGSQL.5432")


# -- the ladder --------------------------------------------------------------------------------------------------------------------


def test_without_a_declared_login_the_containers_own_socket_is_asked(tmp_path: Path) -> None:
    """Nothing is started in the container, and no password is needed."""
    root, path = socket_root(tmp_path)
    with unix_server(path, session(document(SNAPSHOT), document({}))):
        data = postgresql.collect(context({"container": "app-db", "database": "app_prod"}, root=root))
    assert data["up"] is True
    assert (data["reached_by"], data["error"], data["database"]) == ("socket", None, "app_prod")
    assert data["attempts"] == [{"way": "socket", "user": "postgres", "ok": True, "reason": None, "sqlstate": None}]
    assert data["connect_ms"] > 0


def test_lists_of_the_snapshot_are_never_null(tmp_path: Path) -> None:
    """Whoever iterates over them needs no special case."""
    root, path = socket_root(tmp_path)
    with unix_server(path, session(document(SNAPSHOT), document({}))):
        snapshot = postgresql.collect(context({"container": "app-db"}, root=root))["snapshot"]
    assert snapshot["locks"]["roots"] == []
    assert snapshot["locks"]["waiters"] == [{"pid": 1, "blocked_by": []}]
    assert snapshot["connections"]["by_state"] == {}
    assert snapshot["replication"]["slots"] == []


def test_the_superuser_is_the_one_that_the_container_was_made_with(tmp_path: Path) -> None:
    """The official image has no role postgres when POSTGRES_USER says otherwise."""
    root, path = socket_root(tmp_path)
    engine = Engine(inspect_document("app-db", Config={"Env": ["POSTGRES_USER=shop"]}))
    with unix_server(path, session(document(SNAPSHOT), document({}))):
        data = postgresql.collect(context({"container": "app-db"}, engine, root))
    assert data["attempts"][0]["user"] == "shop"


def test_a_wrong_declared_password_is_told_and_the_socket_still_answers(tmp_path: Path) -> None:
    """The mistake in the inventory must not cost the evidence."""
    root, path = socket_root(tmp_path)
    refusal = error("28P01", 'password authentication failed for user "triage"')
    with tcp_server(session(refusal=refusal, tcp=True)) as port, unix_server(path.replace("5432", str(port)), session(document(SNAPSHOT), document({}))):
        spec = {"container": "app-db", "host": "127.0.0.1", "port": port, "login_user": "triage", "login_password": "wrong"}
        data = postgresql.collect(context(spec, root=root))
    assert data["up"] is True
    assert data["login_refused"] == "PostgreSQL refused user triage (28P01); check login_password of service db"
    assert [(attempt["way"], attempt["ok"], attempt["sqlstate"]) for attempt in data["attempts"]] == [("tcp", False, "28P01"), ("socket", True, None)]
    assert "wrong" not in json.dumps(data)


def test_a_refused_login_alone_does_not_mean_that_the_server_is_down() -> None:
    """We could not look: that is unknown, never down."""
    with tcp_server(session(refusal=error("28P01", "password authentication failed"), tcp=True)) as port, pytest.raises(SourceError) as caught:
        postgresql.collect(context({"host": "127.0.0.1", "port": port, "login_user": "triage", "login_password": "wrong"}))
    assert (caught.value.kind, caught.value.reason) == ("auth", "PostgreSQL refused user triage (28P01); check login_password of service db")


def test_a_full_server_leaves_the_process_titles(tmp_path: Path) -> None:
    """They need no connection."""
    root, path = socket_root(tmp_path)
    cgroup = f"0::/docker/{CONTAINER_ID}\n"
    titles = {
        "101": "postgres: app app_prod 172.18.0.4(51234) idle in transaction",
        "102": "postgres: leaky app_prod 172.18.0.9(40000) idle",
        "103": "postgres: leaky app_prod 172.18.0.9(40001) idle",
        "104": "postgres: checkpointer ",
    }
    write_tree(tmp_path, {f"proc/{pid}/cmdline": title for pid, title in titles.items()} | {f"proc/{pid}/cgroup": cgroup for pid in titles})
    with unix_server(path, session(refusal=error("53300", "sorry, too many clients already"))):
        data = postgresql.collect(context({"container": "app-db"}, root=root))
    assert data["up"] is False
    assert data["error"] == {"sqlstate": "53300", "message": "sorry, too many clients already", "class": "too_many"}
    titles = data["process_titles"]
    assert (titles["count"], titles["by_user"], titles["by_state"]) == (3, {"leaky": 2, "app": 1}, {"idle": 2, "idle in transaction": 1})
    assert titles["by_client"] == [
        {**CLIENT, "usename": "leaky", "client": "172.18.0.9", "container": "app-worker", "n": 2, "idle": 2},
        {**CLIENT, "usename": "app", "client": "172.18.0.4", "container": None, "n": 1, "idle_in_xact": 1},
    ]
    # psql in the container would only be told the same.
    assert [attempt["way"] for attempt in data["attempts"]] == ["socket"]


def test_a_server_that_starts_is_not_asked_in_other_ways(tmp_path: Path) -> None:
    """Every way leads to the same server; it needs time."""
    root, path = socket_root(tmp_path)
    with unix_server(path, session(refusal=error("57P03", "the database system is starting up"))):
        data = postgresql.collect(context({"container": "app-db"}, root=root))
    assert data["error"]["class"] == "starting"
    assert len(data["attempts"]) == 1


def test_nobody_listens() -> None:
    """The plainest way to be down."""
    data = postgresql.collect(context({"host": "127.0.0.1", "port": unused_port()}))
    assert (data["up"], data["error"]["class"], data["snapshot"]) == (False, "refused", None)
    assert "nobody listens at 127.0.0.1 port" in data["snapshot_reason"]


@pytest.mark.parametrize(("status", "running", "paused", "expected"), [("exited", False, False, "refused"), ("paused", True, True, "timeout")])
def test_a_container_that_can_not_answer_is_not_waited_for(status: str, running: bool, paused: bool, expected: str) -> None:
    """Docker knows already."""
    engine = Engine(inspect_document("app-db", Status=status, Running=running, Paused=paused))
    data = postgresql.collect(context({"container": "app-db"}, engine))
    assert (data["up"], data["error"]["class"]) == (False, expected)
    assert data["snapshot_reason"] == f"container app-db is {status}"
    assert data["attempts"] == []


def test_psql_in_the_container_is_the_last_way(tmp_path: Path) -> None:
    """Where the socket is somewhere else, or not ours to see."""
    (tmp_path / f"proc/{PID}/root").mkdir(parents=True)
    engine = Engine(exec_result=ExecResult(0, json.dumps(SNAPSHOT).encode(), b"", False))
    data = postgresql.collect(context({"container": "app-db", "database": "app_prod"}, engine, str(tmp_path)))
    assert (data["reached_by"], data["rates"]) == ("exec", None)
    assert engine.argv[:2] == ["psql", "-XAtqw"]
    assert engine.argv[engine.argv.index("-d") + 1] == "app_prod"


def test_nothing_is_started_in_a_container_that_is_nearly_out_of_memory(tmp_path: Path) -> None:
    """Measured: the kernel may kill the server for it."""
    (tmp_path / f"proc/{PID}/root").mkdir(parents=True)
    memory = {"usage": 95 * 1024 * 1024, "stats": {"total_inactive_file": 1024 * 1024}}
    engine = Engine(inspect_document("app-db", HostConfig={"Memory": 100 * 1024 * 1024}), ExecResult(0, b"{}", b"", False), memory)
    with pytest.raises(SourceError, match="94 % of its memory limit"):
        postgresql.collect(context({"container": "app-db"}, engine, str(tmp_path)))
    assert engine.argv == []


@pytest.mark.parametrize(
    ("stderr", "exit_code", "expected"),
    [
        (b'psql: error: connection to server on socket "x" failed: FATAL:  sorry, too many clients already', 2, "53300"),
        (b"psql: error: FATAL:  the database system is starting up", 2, "57P03"),
        (b'psql: error: FATAL:  role "postgres" does not exist', 2, "28000"),
    ],
)
def test_errors_behind_psqls_words(stderr: bytes, exit_code: int, expected: str) -> None:
    """psql prints no SQLSTATE for a failed connection."""
    assert getattr(postgresql.psql_error(stderr.decode(), exit_code), "sqlstate", None) == expected


def test_psql_that_waits_in_vain_is_no_refusal() -> None:
    """A server whose processes are stopped accepts and stays silent; starting it again would be no answer."""
    words = 'psql: error: connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" failed: timeout expired'
    assert isinstance(postgresql.psql_error(words, 2), socket.timeout)
    assert isinstance(postgresql.psql_error(words.replace("timeout expired", "Connection refused"), 2), ConnectionRefusedError)


def test_a_link_in_a_container_does_not_lead_out_of_it(tmp_path: Path) -> None:
    """Followed from outside, a link would lead to the machine's own server."""
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = tmp_path / "inside/run"
    inside.mkdir(parents=True)
    with unix_server(str(outside / ".s.PGSQL.5432"), session()):
        os.symlink(outside, inside / "postgresql")
        assert reach.socket_below(str(tmp_path / "inside"), "run/postgresql/.s.PGSQL.5432") is None
        assert reach.socket_below(str(tmp_path), "outside/.s.PGSQL.5432") == str(outside / ".s.PGSQL.5432")


# -- degradations ------------------------------------------------------------------------------------------------------------------


def test_a_locked_database_is_left_for_the_maintenance_database(tmp_path: Path) -> None:
    """Somebody holds a system catalog: only that database is closed."""
    root, path = socket_root(tmp_path)
    locked = session(refusal=error("55P03", "canceling statement due to lock timeout"))
    with unix_server(path, locked, session(document({**SNAPSHOT, "server": {"database": "postgres"}}), document({}))):
        data = postgresql.collect(context({"container": "app-db", "database": "app_prod"}, root=root))
    assert (data["up"], data["database"], data["degraded"]) == (True, "postgres", ["database"])
    assert [(attempt["ok"], attempt["sqlstate"]) for attempt in data["attempts"]] == [(False, "55P03"), (True, None)]


def test_a_slow_snapshot_is_asked_again_without_sizes(tmp_path: Path) -> None:
    """Sizes walk through every file."""
    root, path = socket_root(tmp_path)
    statements: list[str] = []

    def server(connection: socket.socket) -> None:
        startup(connection)
        connection.sendall(LOGGED_IN + READY)
        for answer in (error("57014", "canceling statement due to statement timeout", "ERROR") + READY, document(SNAPSHOT), document({})):
            statements.append(frontend(connection)[1].decode())
            connection.sendall(answer)

    with unix_server(path, server):
        data = postgresql.collect(context({"container": "app-db"}, root=root))
    assert (data["up"], data["degraded"]) == (True, ["sizes"])
    assert statements[1] == "BEGIN READ ONLY; SET LOCAL triage.sizes = 'off'; SELECT snapshot; COMMIT\0"


def test_a_pooler_that_refuses_options_gets_them_with_the_statement(tmp_path: Path) -> None:
    """PgBouncer; LOCAL, because the next client gets the same server session."""
    root, path = socket_root(tmp_path)
    statements: list[str] = []

    def pooler(connection: socket.socket) -> None:
        assert startup(connection)["options"] == ""
        connection.sendall(LOGGED_IN + READY)
        for answer in (document(SNAPSHOT), document({})):
            statements.append(frontend(connection)[1].decode())
            connection.sendall(answer)

    with unix_server(path, session(refusal=error("08P01", "unsupported startup parameter: options")), pooler):
        data = postgresql.collect(context({"container": "app-db"}, root=root))
    assert (data["up"], data["degraded"]) == (True, ["pooler"])
    assert "SET LOCAL statement_timeout = '5s';" in statements[0]


def test_a_bad_answer_is_no_crash(tmp_path: Path) -> None:
    """Something between us and the server may answer nonsense."""
    root, path = socket_root(tmp_path)
    with unix_server(path, session(row(b"no json") + READY)):
        data = postgresql.collect(context({"container": "app-db"}, root=root))
    assert (data["up"], data["error"]["class"]) == (False, "other")
    assert "is not understood" in data["error"]["message"]


# -- rates and titles --------------------------------------------------------------------------------------------------------------


def counters(at: float, commits: int, rollbacks: int, rows: dict[str, int], temp: int = 0, deadlocks: int = 0) -> dict[str, Any]:
    """A counters document."""
    return {"at": at, "totals": {"commits": commits, "rollbacks": rollbacks, "deadlocks": deadlocks, "temp_bytes": temp}, "tables": rows}


def test_rates_between_two_samples() -> None:
    """The table that is read fastest is named, and a table that appeared in between does not count."""
    first, second = counters(100.0, 10, 0, {"a": 5, "b": 100}), counters(100.5, 25, 5, {"a": 1005, "b": 100, "new": 10**9}, temp=4096, deadlocks=1)
    assert pg_session.rates(first, second) == {
        "seq_tup_read_per_s": 2000.0,
        "seq_tup_read_table": "a",
        "deadlocks": 1,
        "rollback_pct": 25.0,
        "temp_bytes_per_s": 8192.0,
        "transactions_per_s": 40.0,
        "window_s": 0.5,
    }


def test_too_few_transactions_make_no_share() -> None:
    """One failed statement out of two is not an incident."""
    rates = pg_session.rates(counters(1.0, 0, 0, {}), counters(2.0, 1, 1, {}))
    assert rates is not None
    assert rates["rollback_pct"] is None


def test_a_reset_of_the_statistics_gives_no_negative_rates() -> None:
    """Counters start over."""
    rates = pg_session.rates(counters(1.0, 1000, 10, {"a": 500}), counters(2.0, 1, 0, {"a": 0}))
    assert rates is not None
    assert (rates["seq_tup_read_per_s"], rates["transactions_per_s"]) == (0, 0)


def test_without_a_second_sample_there_are_no_rates() -> None:
    """Null is unknown, 0 would be a claim."""
    assert pg_session.rates(counters(1.0, 0, 0, {}), None) is None


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("postgres: app app_prod 172.18.0.4(51234) SELECT waiting", {"user": "app", "database": "app_prod", "client": "172.18.0.4(51234)", "state": "waiting"}),
        ("postgres: 15/main: app app_prod [local] idle", {"user": "app", "database": "app_prod", "client": "[local]", "state": "idle"}),
        ("postgres: app db ::1(5) idle in transaction (aborted)", {"user": "app", "database": "db", "client": "::1(5)", "state": "idle in transaction"}),
        ("postgres: app db [local] UPDATE", {"user": "app", "database": "db", "client": "[local]", "state": "active"}),
        ("postgres: walwriter ", None),
        ("postgres: 15/main: autovacuum launcher ", None),
    ],
)
def test_process_titles(title: str, expected: dict[str, str] | None) -> None:
    """With and without cluster_name."""
    assert pg_titles.parse_title(title) == expected


def test_snapshot_query_is_shipped_and_has_no_template_marks() -> None:
    """It travels as a resource, and nothing may ever be put into it."""
    text = (Path(postgresql.__file__).parent / "pg_snapshot.sql").read_text(encoding="utf-8")
    assert text.rstrip().endswith("FROM cfg c;")
    assert not any(mark in text for mark in ("{{", "{%", "{#"))


def test_options_are_sent_as_the_server_expects_them() -> None:
    """A value with a blank would split the options apart."""
    assert all(" " not in value for value in pg_session.SETTINGS.values())
