# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deep sources: processes and connections of a container from recorded trees, details of PostgreSQL and Redis from played servers."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import connections, context, pg_detail, processes, redis_detail, registry, runner
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Service, SourceError
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe import machines, test_postgresql
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import PID, FakeDocker, inspect_document, stat_line, write_tree
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import tcp_server, unix_server

GROUP = f"sys/fs/cgroup/memory/docker/{machines.CONTAINER_ID}"
TREE = {
    "proc/mounts": machines.MOUNTS_V1,
    f"proc/{PID}/cgroup": machines.CGROUP_V1,
    f"{GROUP}/cgroup.procs": f"{PID}\n4712\n",
    "proc/uptime": "1000.00 900.00\n",
    f"proc/{PID}/stat": stat_line(PID, "gunicorn", ticks=50),
    f"proc/{PID}/status": "VmSwap:\t12 kB\n",
    f"proc/{PID}/cmdline": "gunicorn\0--bind\0:8000\0--db\0postgresql://app:hunter2@db/app\0",
    f"proc/{PID}/wchan": "ep_poll",
    "proc/4712/stat": stat_line(4712, "worker", state="D", parent=PID, ticks=90, rss_pages=5000),
    "proc/4712/cmdline": "",
    "proc/4712/wchan": "0",
}
APP = Service("backend", "fastapi", {"container": "app"})


def on_machine(root: str, service: Service = APP, **options: Any) -> Any:
    """The context of a service whose container is recorded."""
    peer = Service("db", "postgresql", {"container": "db"})
    database = inspect_document("db", NetworkSettings={"Networks": {"appnet": {"IPAddress": "172.18.0.2", "Aliases": ["db"]}}})
    return machines.context(root, FakeDocker([inspect_document("app"), database]), service, [service, peer], **options)


# -- depth ----------------------------------------------------------------------------------------------------------------------------


def test_deep_sources_are_asked_by_a_deep_look_only() -> None:
    services = {"app": APP, "db": Service("db", "postgresql", {"container": "db"}), "redis": Service("redis", "redis", {"container": "r"})}
    deep = {source.name for source in registry.SERVICE_SOURCES if source.deep}
    assert deep == {"processes", "connections", "pg_detail", "redis_detail", "pg_access", "redis_access", "releases"}
    assert not deep & {job.source.name for job in runner.wanted_jobs(services, None)}
    assert not deep & {job.source.name for job in runner.wanted_jobs(services, sorted(deep))}
    assert deep <= {job.source.name for job in runner.wanted_jobs(services, None, deep=True)}
    assert {job.source.name for job in runner.wanted_jobs(services, ["pg_detail"], deep=True)} == {"pg_detail"}


def test_options_of_a_deep_look_are_those_of_the_task_first() -> None:
    assert runner.options_of({})["sample_s"] == context.DEFAULT_OPTIONS["sample_s"]
    assert runner.options_of({"depth": "deep"})["sample_s"] == context.DEEP_OPTIONS["sample_s"] > context.DEFAULT_OPTIONS["sample_s"]
    assert runner.options_of({"depth": "deep", "options": {"sample_s": 1.0}})["sample_s"] == 1.0
    assert set(context.DEEP_OPTIONS) == set(context.DEFAULT_OPTIONS)


# -- processes ------------------------------------------------------------------------------------------------------------------------


def test_processes_with_their_command_lines_masked(tmp_path: Path) -> None:
    data = processes.collect(on_machine(write_tree(tmp_path, TREE)))
    worker, main = data["processes"]
    assert (data["count"], worker["pid"], worker["state"], worker["command"], worker["waits_in"]) == (2, 4712, "D", "[worker]", None)
    assert main["command"] == "gunicorn --bind :8000 --db postgresql://app:[masked]@db/app"
    assert (main["parent"], main["threads"], main["swap"], main["waits_in"]) == (1, 1, 12 * 1024, "ep_poll")
    assert main["age_s"] == pytest.approx(1000 - 5000 / os.sysconf("SC_CLK_TCK"))
    assert worker["rss"] == 5000 * os.sysconf("SC_PAGE_SIZE")


def test_processes_of_a_container_that_is_down_are_absent(tmp_path: Path) -> None:
    engine = FakeDocker([inspect_document("app", **machines.STOPPED)])
    with pytest.raises(SourceError, match="it has no process"):
        processes.collect(machines.context(str(tmp_path), engine, APP))


# -- connections ----------------------------------------------------------------------------------------------------------------------

ROWS = [
    "   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1",
    "   1: 090012AC:1F40 0A0012AC:C001 01 00000000:00000007 00:00000000 00000000     0        0 2",
    "   2: 090012AC:C350 020012AC:1538 01 00000005:00000000 00:00000000 00000000     0        0 3",
    "   3: 090012AC:C351 020012AC:1538 08 00000000:00000000 00:00000000 00000000     0        0 4",
    "   4: damaged",
]
SNMP = "Tcp: ActiveOpens AttemptFails EstabResets OutSegs RetransSegs\nTcp: 10 2 1 1000 10\n"
DEV = "Inter-| Receive | Transmit\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0 0 0\n  eth0: 100 1 2 3 0 0 0 0 200 1 4 5 0 0 0 0\n"


def test_connections_by_who_is_at_the_other_end(tmp_path: Path) -> None:
    net = {f"proc/{PID}/net/tcp": machines.TCP_HEAD + "\n".join(ROWS) + "\n", f"proc/{PID}/net/snmp": SNMP, f"proc/{PID}/net/dev": DEV}
    data = connections.collect(on_machine(write_tree(tmp_path, {**TREE, **net}), sample_s=0.01))
    assert data["states"] == {"listen": 1, "established": 2, "close_wait": 1}
    to_db, from_user = data["peers"]
    assert to_db == {
        "direction": "out",
        "peer": "172.18.0.2",
        "name": "db",
        "port": 5432,
        "states": {"established": 1, "close_wait": 1},
        "count": 2,
        "unsent": 5,
        "unread": 0,
    }
    assert (from_user["direction"], from_user["peer"], from_user["port"], from_user["unread"], from_user["name"]) == ("in", "172.18.0.10", 8000, 7, None)
    assert data["interfaces"] == [{"name": "eth0", "rx_bytes_per_s": 0.0, "tx_bytes_per_s": 0.0, "errors": 6, "dropped": 8}]
    assert data["tcp"]["connects_per_s"] == 0.0
    assert data["tcp"]["retransmitted_pct"] is None


def test_what_was_lost_is_a_share_of_what_was_sent() -> None:
    first = {"sent": 1000, "retransmitted": 10, "connects": 5, "connects_failed": 0, "resets": 0}
    second = {"sent": 1200, "retransmitted": 20, "connects": 9, "connects_failed": 2, "resets": 0}
    assert connections.tcp_rates(first, second, 2.0) == {
        "sent_per_s": 100.0,
        "connects_per_s": 2.0,
        "connects_failed_per_s": 1.0,
        "resets_per_s": 0.0,
        "retransmitted_pct": 5.0,
    }
    assert set(connections.tcp_rates(first, None, 0.0).values()) == {None}


# -- PostgreSQL -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A path that is short enough for the address of a socket."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        yield Path(folder)


def statement(key: str, calls: int, total_ms: float) -> dict[str, Any]:
    return {"key": key, "calls": calls, "total_ms": total_ms, "rows": calls}


def test_the_statement_that_runs_now_comes_before_the_one_that_ran_most() -> None:
    first = [statement("10/5/1", 1000, 90000.0), statement("10/5/2", 10, 100.0)]
    second = [statement("10/5/1", 1000, 90000.0), statement("10/5/2", 40, 1600.0), statement("10/5/3", 1, 1.0)]
    rows = pg_detail.costly(first, second, 2.0)
    assert [row["key"] for row in rows] == ["10/5/2", "10/5/3", "10/5/1"]
    assert rows[0] == {
        "key": "10/5/2",
        "calls": 40,
        "total_ms": 1600.0,
        "mean_ms": 40.0,
        "rows": 40,
        "window_calls": 30,
        "window_ms": 1500.0,
        "busy_pct": 75.0,
    }
    alone = pg_detail.costly(first, None, 0.0)
    assert [(row["key"], row["window_ms"], row["busy_pct"]) for row in alone] == [("10/5/1", None, None), ("10/5/2", None, None)]


def test_texts_are_asked_for_by_number_only() -> None:
    sql = pg_detail.texts_sql({"schema": "public", "total": "total_time"}, ["10/5/-77", "10/6/3", "11/6/3"])
    assert "queryid IN (-77,3)" in sql
    with pytest.raises(ValueError, match="invalid literal"):
        pg_detail.texts_sql({"schema": "public", "total": "total_time"}, ["10/5/1); DROP TABLE orders; --"])


def test_tables_know_what_is_read_from_end_to_end_now() -> None:
    first = [{"name": "public.orders", "seq_tup_read": 100}, {"name": "public.gone", "seq_tup_read": 5}]
    second = [{"name": "public.orders", "seq_tup_read": 900}, {"name": "public.new", "seq_tup_read": 7}]
    assert [(row["name"], row["seq_rows_per_s"]) for row in pg_detail.table_rows(first, second, 2.0)] == [("public.orders", 400.0), ("public.new", None)]


def test_everything_over_one_session_without_the_extension(short_path: Path) -> None:
    root, path = test_postgresql.socket_root(short_path)
    answers = [
        test_postgresql.document([{"pid": 7, "query": "SELECT '\x1b[31m' -- password=hunter2", "app": "shop", "state": "active"}]),
        test_postgresql.document(None),
        test_postgresql.document([{"name": "public.orders", "seq_tup_read": 1}]),
        test_postgresql.document([{"name": "public.orders_pkey", "idx_scan": 0}]),
    ]
    service = Service("db", "postgresql", {"container": "app-db", "database": "app_prod"})
    ctx = test_postgresql.context(service.spec, root=root)
    with unix_server(path, test_postgresql.session(*answers)):
        data = pg_detail.collect(ctx)
    assert data["statements"] is None
    assert "pg_stat_statements is not installed in database app_prod" in data["statements_reason"]
    assert data["sessions"][0]["query"] == "SELECT '' -- password=[masked]"
    assert (data["tables"][0]["name"], data["indexes"][0]["name"]) == ("public.orders", "public.orders_pkey")


def test_a_server_without_a_way_in_is_a_reason(short_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        pg_detail.collect(test_postgresql.context({"container": "app-db"}, root=str(short_path)))
    assert caught.value.kind == "refused"


# -- Redis ----------------------------------------------------------------------------------------------------------------------------

STATS = "# Commandstats\r\ncmdstat_get:calls={get},usec={usec},usec_per_call=1.00,rejected_calls=1,failed_calls=2\r\ncmdstat_config|get:calls=1,usec=5\r\n"


def test_hot_commands_are_those_that_keep_redis_busy_now() -> None:
    first = redis_detail.parse_commandstats(STATS.format(get=100, usec=1000))
    second = redis_detail.parse_commandstats(STATS.format(get=300, usec=501000))
    rows = redis_detail.hot_commands(first, second, 2.0)
    assert rows[0] == {"command": "GET", "calls": 300, "failed": 3, "calls_per_s": 100.0, "us_per_call": 2500.0, "busy_pct": 25.0}
    assert rows[1]["command"] == "CONFIG GET"
    assert redis_detail.hot_commands(first, None, 0.0)[0]["busy_pct"] is None


def test_clients_by_name_and_address() -> None:
    lines = [
        "id=1 addr=10.0.0.2:5000 name=shop age=10 idle=5 flags=N qbuf=10 omem=5 cmd=get",
        "id=2 addr=10.0.0.2:5001 name=shop age=20 idle=1 flags=b qbuf=0 omem=0 cmd=blpop",
        "id=3 addr=127.0.0.1:1 name= age=0 idle=0 flags=N cmd=client|list",
        "",
    ]
    assert redis_detail.client_groups("\n".join(lines)) == [
        {"name": "shop", "address": "10.0.0.2", "count": 2, "blocked": 1, "idle_max_s": 5, "age_max_s": 20, "buffers": 15, "commands": ["get", "blpop"]}
    ]


def test_prefixes_are_an_estimate_when_only_a_part_was_seen() -> None:
    rows = [{"key": "cache:1", "bytes": 100, "ttl_s": 5}, {"key": "cache:2", "bytes": 300, "ttl_s": None}, {"key": "lonely", "bytes": None, "ttl_s": None}]
    assert redis_detail.prefixes(rows, 10.0) == [
        {"prefix": "cache:", "keys": 2, "bytes": 400, "no_ttl": 1, "bytes_est": 4000},
        {"prefix": "(no prefix)", "keys": 1, "bytes": 0, "no_ttl": 1, "bytes_est": 0},
    ]


@pytest.mark.parametrize(
    ("seen", "step_s", "late", "words"),
    [(10, 0.01, False, None), (3000, 0.01, False, "fair sample"), (10, 0.5, False, "kept its users waiting"), (10, 0.01, True, "were over")],
)
def test_the_walk_over_the_keys_ends(seen: int, step_s: float, late: bool, words: str | None) -> None:
    why = redis_detail.why_enough(seen, step_s, late)
    assert why is None if words is None else words in str(why)


def played_redis(answers: dict[str, bytes]) -> Callable[[socket.socket], None]:
    """A Redis that answers each command by its first word (and its second one when that is listed too)."""

    def hold(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while True:
            head = stream.readline()
            if not head:
                return
            words = []
            for _number in range(int(head[1:])):
                size = int(stream.readline()[1:])
                words.append(stream.read(size + 2)[:-2].decode())
            connection.sendall(answers.get(" ".join(words[:2]), answers.get(words[0], b"-ERR unknown command\r\n")))

    return hold


def bulk(text: str) -> bytes:
    body = text.encode()
    return b"$%d\r\n%s\r\n" % (len(body), body)


def test_redis_is_asked_in_small_steps() -> None:
    answers = {
        "PING": b"+PONG\r\n",
        "INFO commandstats": bulk(STATS.format(get=1, usec=1)),
        "INFO everything": bulk("connected_clients:1\r\nused_memory:100\r\ndb0:keys=2,expires=0\r\n"),
        "SLOWLOG": b"*0\r\n",
        "LATENCY": b"*1\r\n*4\r\n" + bulk("command") + b":1763892000\r\n:5\r\n:90\r\n",
        "CLIENT": b"-NOPERM this user has no permissions\r\n",
        "SELECT": b"+OK\r\n",
        "SCAN": b"*2\r\n$1\r\n0\r\n*2\r\n" + bulk("cart:1") + bulk("\x1b[2Jcart:2"),
        "TYPE": b"+hash\r\n",
        "MEMORY": b":1000\r\n",
        "PTTL": b":60000\r\n",
    }
    with tcp_server(played_redis(answers)) as port:
        service = Service("redis", "redis", {"host": "127.0.0.1", "port": port})
        data = redis_detail.collect(machines.context(service=service, db_timeout_s=2.0))
    keys = data["keys"]
    assert (keys["seen"], keys["total"], keys["complete"], keys["bytes"]) == (2, 2, True, 2000)
    assert [row["key"] for row in keys["biggest"]] == ["cart:1", "cart:2"]
    assert keys["biggest"][0] == {"key": "cart:1", "database": 0, "type": "hash", "bytes": 1000, "ttl_s": 60}
    assert (data["latency"][0]["event"], data["latency"][0]["worst_ms"]) == ("command", 90)
    assert data["slowlog"] == []
    assert "NOPERM" in data["clients"]["reason"]
    assert json.dumps(data)


@pytest.mark.parametrize(("reply", "kind"), [(b"-NOAUTH Authentication required.\r\n", "auth"), (b"-LOADING Redis is loading\r\n", "refused")])
def test_redis_in_a_state_in_which_details_can_not_be_had(reply: bytes, kind: str) -> None:
    with tcp_server(played_redis({"PING": reply})) as port:
        service = Service("redis", "redis", {"host": "127.0.0.1", "port": port})
        with pytest.raises(SourceError) as caught:
            redis_detail.collect(machines.context(service=service, db_timeout_s=1.0))
    assert caught.value.kind == kind
