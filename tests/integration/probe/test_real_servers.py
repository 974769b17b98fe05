# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe's sources against real servers: containers of this test's own, made from the lab's images, so that the lab stays as it is."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import dns, logs, postgresql, redis
from ansible_collections.sre.incident_response.tests.integration.servers import address, as_root, context, eventually, psql, ready_database, run_in

pytestmark = pytest.mark.integration

Start = Callable[..., Any]


# -- PostgreSQL --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(start: Start) -> Any:
    """A PostgreSQL server that is ready for connections over TCP."""
    container = start("db")
    ready_database(container)
    psql(container, "CREATE ROLE triage LOGIN PASSWORD 'right' IN ROLE pg_monitor")
    return container


@contextlib.contextmanager
def open_session(container: Any, sql: str, name: str) -> Iterator[None]:
    """A session that has run the statements and stays as they left it."""
    statements = f"SET application_name = '{name}'; {sql}; SELECT pg_sleep(60)"
    container.exec_run(["psql", "-XqU", "postgres", "-d", "app_prod", "-c", statements], user="postgres", detach=True)
    eventually(lambda: psql(container, f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND wait_event = 'PgSleep'") == "1")
    try:
        yield
    finally:
        psql(container, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'")


@as_root
def test_postgresql_is_asked_through_its_own_socket(database: Any) -> None:
    """Without a password, without starting anything in the container."""
    data = postgresql.collect(context("postgresql", database, database="app_prod"))
    assert (data["up"], data["reached_by"], data["database"], data["degraded"]) == (True, "socket", "app_prod", [])
    assert data["snapshot"]["server"]["in_recovery"] is False
    assert data["snapshot"]["privileges"]["limited"] is False


def test_postgresql_is_asked_with_the_declared_login(database: Any) -> None:
    """SCRAM over TCP, at the container's own address."""
    data = postgresql.collect(context("postgresql", database, database="app_prod", login_user="triage", login_password="right"))
    assert [(attempt["way"], attempt["ok"]) for attempt in data["attempts"]] == [("tcp", True)]
    assert data["snapshot"]["privileges"] == {**data["snapshot"]["privileges"], "superuser": False, "limited": False}


def test_a_wrong_password_is_told_and_the_ladder_goes_on(database: Any) -> None:
    """Over the socket with root, with psql in the container without."""
    data = postgresql.collect(context("postgresql", database, login_user="triage", login_password="wrong"))
    assert (data["up"], data["attempts"][0]["sqlstate"]) == (True, "28P01")
    assert data["login_refused"] == "PostgreSQL refused user triage (28P01); check login_password of service it"
    assert "wrong" not in json.dumps(data["attempts"])


def test_psql_in_the_container_answers_the_same(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way that is left without root."""
    monkeypatch.setattr(postgresql, "local_socket", lambda *_arguments: None)
    data = postgresql.collect(context("postgresql", database, database="app_prod"))
    assert (data["reached_by"], data["rates"]) == ("exec", None)
    assert data["snapshot"]["server"]["database"] == "app_prod"


@as_root
def test_a_locked_catalog_is_seen_from_the_maintenance_database(database: Any) -> None:
    """Not even a connection to the locked database is possible."""
    with open_session(database, "BEGIN; LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE", "catalog-lock"):
        data = postgresql.collect(context("postgresql", database, database="app_prod"))
    assert (data["up"], data["database"], data["degraded"]) == (True, "postgres", ["database"])
    assert data["attempts"][0]["sqlstate"] == "55P03"


@as_root
def test_two_samples_show_what_is_read(database: Any) -> None:
    """A table that is scanned again and again."""
    psql(database, "CREATE TABLE scanned AS SELECT g AS n FROM generate_series(1, 200000) g")
    psql(database, "ANALYZE scanned")
    load = "yes 'SELECT count(*) FROM scanned;' | head -1000 | psql -XAtqU postgres > /dev/null"
    database.exec_run(["sh", "-c", load], user="postgres", detach=True)
    time.sleep(1.5)
    rates = postgresql.collect(context("postgresql", database, database="postgres", sample_s=1.5))["rates"]
    assert (rates["seq_tup_read_table"], rates["seq_tup_read_per_s"] > 100_000) == ("public.scanned", True)


@as_root
def test_a_full_server_is_still_seen(start: Start) -> None:
    """The superuser's reserved slots first, and the process titles when even those are gone."""
    container = start("db")
    ready_database(container)
    for setting in ("max_connections = 8", "superuser_reserved_connections = 1", "max_wal_senders = 0"):
        psql(container, f"ALTER SYSTEM SET {setting}")
    container.restart(timeout=10)
    container.reload()
    ready_database(container)
    psql(container, "CREATE ROLE leaky LOGIN PASSWORD 'leaky'")
    for _number in range(7):
        program = "PGPASSWORD=leaky exec psql -Xqh 127.0.0.1 -U leaky -d app_prod -c 'SELECT pg_sleep(60)'"
        container.exec_run(["sh", "-c", program], detach=True)
    eventually(lambda: psql(container, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'leaky'") == "7")
    data = postgresql.collect(context("postgresql", container, database="app_prod", login_user="leaky", login_password="leaky"))
    assert [(attempt["way"], attempt["sqlstate"]) for attempt in data["attempts"]] == [("tcp", "53300"), ("socket", None)]
    assert data["snapshot"]["connections"]["used_pct"] >= 100
    # Again and again, because our own look may hold the last slot at that moment.
    container.exec_run(["sh", "-c", "until psql -XqU postgres -c 'SELECT pg_sleep(60)'; do sleep 0.05; done"], user="postgres", detach=True)
    time.sleep(1)
    data = eventually(lambda: full(container))
    assert data["error"]["sqlstate"] == "53300"
    assert data["process_titles"]["by_user"]["leaky"] == 7


def full(container: Any) -> dict[str, Any] | None:
    """Data of the source once no slot is left for anybody."""
    data = postgresql.collect(context("postgresql", container, database="app_prod"))
    return None if data["up"] else data


# -- Redis -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(start: Start) -> Any:
    """A Redis server that answers."""
    container = start("redis")
    eventually(lambda: container.exec_run(["redis-cli", "ping"])[1] == b"PONG\n")
    return container


def collect_redis(container: Any, **spec: Any) -> dict[str, Any]:
    """Data of source redis."""
    container.reload()
    return redis.collect(context("redis", container, **spec))


def test_redis_at_its_memory_limit(cache: Any) -> None:
    """PING says PONG, and writes fail."""
    run_in(cache, "redis-cli", "config", "set", "maxmemory", "3mb", "maxmemory-policy", "noeviction")
    fill = "i=0; while redis-cli -e set cache:$i $(head -c 20000 /dev/zero | tr '\\0' x) >/dev/null 2>&1; do i=$((i+1)); done"
    run_in(cache, "sh", "-c", fill)
    data = collect_redis(cache)
    assert (data["up"], data["reply_class"], data["noeviction_full"]) == (True, "pong", True)
    assert data["used_pct"] > 95
    assert data["errorstats"]["OOM"] >= 1
    assert data["no_ttl_pct"] == 100.0


@as_root
def test_redis_at_its_limit_of_clients(cache: Any) -> None:
    """It answers one line; the kernel knows who they are."""
    run_in(cache, "redis-cli", "config", "set", "maxclients", "3")
    with contextlib.ExitStack() as stack:
        for _number in range(3):
            stack.enter_context(socket.create_connection((address(cache), 6379), 2))
        data = collect_redis(cache)
    assert (data["up"], data["reply_class"], data["clients_pct"]) == (False, "maxclients", 100.0)
    assert sum(data["peers"].values()) >= 3


def test_redis_that_can_not_save(cache: Any) -> None:
    """It refuses even PING then."""
    run_in(cache, "redis-cli", "config", "set", "stop-writes-on-bgsave-error", "yes", "save", "1 1")
    directory = run_in(cache, "redis-cli", "config", "get", "dir").split()[1]
    run_in(cache, "chown", "root:root", directory, user="root")
    run_in(cache, "chmod", "755", directory, user="root")
    run_in(cache, "redis-cli", "set", "a", "1")
    eventually(lambda: collect_redis(cache)["reply_class"] == "misconf")
    data = collect_redis(cache)
    assert data["up"] is False
    assert data["error"].startswith("MISCONF")
    assert data["info"]["rdb_last_bgsave_status"] == "err"


def test_redis_that_wants_a_password(cache: Any) -> None:
    """Not declared: neither up nor down. Declared: as usual."""
    run_in(cache, "redis-cli", "config", "set", "requirepass", "right")
    assert [collect_redis(cache)[key] for key in ("up", "reply_class")] == [None, "noauth"]
    assert collect_redis(cache, login_password="right")["up"] is True


def test_redis_that_is_frozen_or_paused(cache: Any) -> None:
    """Docker knows about the pause at once; a stopped process only stays silent."""
    cache.pause()
    data = collect_redis(cache)
    cache.unpause()
    assert (data["reply_class"], data["error"]) == ("timeout", f"container {cache.name} is paused")
    cache.kill("SIGSTOP")
    started = time.monotonic()
    data = collect_redis(cache)
    cache.kill("SIGCONT")
    assert (data["up"], data["reply_class"]) == (False, "timeout")
    assert time.monotonic() - started < 5


def test_a_stopped_redis_is_down(cache: Any) -> None:
    """Its log is still there."""
    cache.stop(timeout=3)
    assert collect_redis(cache)["error"] == f"container {cache.name} is exited"
    data = logs.collect(context("redis", cache))
    assert (data["format"], data["lines"] > 3, data["errors"]["window"]) == ("redis", True, 0)


# -- logs and names ----------------------------------------------------------------------------------------------------------------

WRITER = r"""
import json, sys
print(json.dumps({"level": "INFO", "event": "request", "path": "/api/orders/1", "status": 200}))
print("x" * 70000)
print(json.dumps({"level": "ERROR", "event": "big", "payload": "y" * 70000}))
sys.stdout.buffer.write(b"\xff\xfe\x00 \x1b[31mred\n")
sys.stdout.flush()
raise KeyError("tier")
"""


@pytest.mark.parametrize("tty", [False, True])
def test_a_real_log_stream(start: Start, tty: bool) -> None:
    """Long lines, any bytes, a traceback; with and without a terminal."""
    container = start("backend", ["-c", WRITER], entrypoint="python3", tty=tty)
    container.wait()
    data = logs.collect(context("fastapi", container))
    assert (data["errors"]["window"], data["truncated"]) == (2, False)
    assert {signature["signature"] for signature in data["signatures"]} == {"big", "KeyError at <string>:<module>"}
    assert data["by_path"] == [{"path": "/api/orders", "errors": 0, "total": 1}]


def test_a_log_driver_that_can_not_be_read(start: Start) -> None:
    """Nothing is known, so nothing is 0."""
    container = start("backend", ["-c", "print('lost')"], entrypoint="python3", log_config=docker.types.LogConfig(type="none"))
    container.wait()
    data = logs.collect(context("fastapi", container))
    assert (data["unreadable"], data["errors"]) == (True, None)
    assert "logs with driver none" in data["unreadable_reason"]


@as_root
def test_names_are_resolved_inside_of_the_container(start: Start) -> None:
    """By the name server that only its network has."""
    engine = docker.from_env()
    network = engine.networks.create(f"probe-test-{os.getpid()}")
    try:
        container = start(
            "backend",
            ["-c", "import time; time.sleep(60)"],
            entrypoint="python3",
            network=network.name,
            environment={"SELF_URL": "http://me-myself:1", "GONE_URL": "http://nobody-here:1"},
        )
        network.disconnect(container)
        network.connect(container, aliases=["me-myself"])
        container.reload()
        data = dns.collect(context("fastapi", container, depends_on=["nobody"]))
        container.remove(force=True)
    finally:
        network.remove()
        engine.close()
    assert data["nameservers"] == ["127.0.0.11"]
    assert {name: entry["ok"] for name, entry in data["names"].items()} == {"me-myself": True, "nobody-here": False}
