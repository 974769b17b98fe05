# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source redis: replies, INFO, and every state in which Redis accepts connections and refuses to work."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import redis, redis_info, resp
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Service, SourceError
from ansible_collections.sre.incident_response.plugins.module_utils.probe.resp import ProtocolError, RespConnection, RespError, classify
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import PID, FakeDocker, context, inspect_document, write_tree
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import remaining, tcp_server, unix_server, unused_port

# From Redis 7.0.15, shortened.
INFO = """\
# Server
redis_version:7.0.15
executable:/usr/bin/redis-server
uptime_in_seconds:3600

# Clients
connected_clients:19
maxclients:20

# Memory
used_memory:{used}
used_memory_human:11.99M
maxmemory:12582912
maxmemory_policy:{policy}
mem_not_counted_for_evict:0
mem_fragmentation_ratio:1.25

# Stats
rejected_connections:{rejected}
evicted_keys:0

# Replication
role:master
slave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0

# Commandstats
cmdstat_get:calls=5,usec=10,usec_per_call=2.00

# Errorstats
errorstat_OOM:count={oom}

# Keyspace
db0:keys=200,expires=50,avg_ttl=1000,subexpiry=0
db1:keys=100,expires=0,avg_ttl=0
"""


def info_text(used: int = 6291456, policy: str = "noeviction", oom: int = 0, rejected: int = 0) -> str:
    """INFO with some values changed."""
    return INFO.format(used=used, policy=policy, oom=oom, rejected=rejected)


def bulk(text: str) -> bytes:
    """A bulk string."""
    return b"$%d\r\n%s\r\n" % (len(text.encode()), text.encode())


def server(replies: dict[str, bytes], seen: list[str] | None = None) -> Callable[[socket.socket], None]:
    """A Redis that answers commands by their first word; INFO may have several replies, joined by ``|``-lists."""

    def hold(connection: socket.socket) -> None:
        rest = b""
        infos = list(replies.get("INFO", b"").split(b"<next>")) if "INFO" in replies else []
        while True:
            data = connection.recv(65536)
            if not data:
                return
            rest += data
            while rest.startswith(b"*") and rest.count(b"\r\n") >= 1 + 2 * int(rest[1 : rest.index(b"\r\n")]):
                count = int(rest[1 : rest.index(b"\r\n")])
                lines = rest.split(b"\r\n", 1 + 2 * count)
                words = [line.decode() for line in lines[2 : 2 + 2 * count : 2]]
                rest = lines[-1]
                if seen is not None:
                    seen.append(" ".join(words))
                reply = (infos.pop(0) if len(infos) > 1 else infos[0]) if words[0] == "INFO" and infos else replies.get(words[0], b"-ERR unknown command\r\n")
                connection.sendall(reply)

    return hold


HEALTHY = {
    "PING": b"+PONG\r\n",
    "INFO": bulk(info_text()),
    "ROLE": b"*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n",
    "SLOWLOG": b"*1\r\n*6\r\n:7\r\n:1795445140\r\n:250000\r\n*2\r\n$4\r\nkeys\r\n$9\r\nsession:*\r\n$14\r\n10.0.0.9:50000\r\n$0\r\n\r\n",
}


def collect(port: int, spec: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Data of the source for a server on a port of this machine."""
    service = Service("cache", "redis", {"host": "127.0.0.1", "port": port, **(spec or {})})
    return redis.collect(context(service=service, **options))


# -- protocol ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("PONG", "pong"),
        (RespError("LOADING Redis is loading the dataset in memory"), "loading"),
        (RespError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."), "busy"),
        (RespError("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."), "misconf"),
        (RespError("READONLY You can't write against a read only replica."), "readonly"),
        (RespError("NOAUTH Authentication required."), "noauth"),
        (RespError("WRONGPASS invalid username-password pair or user is disabled."), "noauth"),
        (RespError("NOPERM this user has no permissions to run the 'ping' command"), "noauth"),
        (RespError("DENIED Redis is running in protected mode because protected mode is enabled"), "noauth"),
        (RespError("ERR invalid password"), "noauth"),
        (RespError("OOM command not allowed when used memory > 'maxmemory'."), "oom"),
        (RespError("ERR max number of clients reached"), "maxclients"),
        (RespError("ERR something else"), "other"),
        (None, "other"),
    ],
)
def test_replies_are_classified_by_their_text(reply: Any, expected: str) -> None:
    """redis-cli exits 0 for all of them."""
    assert classify(reply) == expected


def test_replies_of_every_type_in_small_pieces(tmp_path: Path) -> None:
    """Nested lists, nulls and errors, cut anywhere."""
    answer = b"+OK\r\n:-5\r\n$-1\r\n$5\r\na\r\nb!\r\n*3\r\n$1\r\nx\r\n*-1\r\n-ERR inner\r\n"
    answer = answer.replace(b"$5\r\na\r\nb!", b"$5\r\na\r\nb!")

    def hold(connection: socket.socket) -> None:
        connection.recv(1000)
        for start in range(0, len(answer), 3):
            connection.sendall(answer[start : start + 3])
        connection.recv(1)

    with unix_server(f"{tmp_path}/redis.sock", hold) as path:
        replies = RespConnection(path, remaining()).call(("A",), ("B",), ("C",), ("D",), ("E",))
    assert replies == ["OK", -5, None, "a\r\nb!", ["x", None, "ERR inner"]]
    assert isinstance(replies[4][2], RespError)


def test_arguments_are_sent_by_their_length_in_bytes() -> None:
    """A password may hold anything."""
    assert resp.encoded(("AUTH", "pä\r\nss")) == b"*2\r\n$4\r\nAUTH\r\n$7\r\np\xc3\xa4\r\nss\r\n"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$9999999999\r\n", b"*9999999\r\n", b":x\r\n", b"x" * 70000])
def test_what_is_no_redis_is_an_error(answer: bytes) -> None:
    """And never an endless read."""

    def hold(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer)

    with tcp_server(hold) as port, pytest.raises((ProtocolError, ConnectionError)):
        RespConnection(("127.0.0.1", port), remaining()).call(("PING",))


# -- INFO --------------------------------------------------------------------------------------------------------------------------


def test_info_becomes_numbers_and_dictionaries() -> None:
    """Without the tables per command, which nothing reads."""
    info = redis_info.parse_info(info_text())
    assert (info["connected_clients"], info["mem_fragmentation_ratio"], info["maxmemory_policy"]) == (19, 1.25, "noeviction")
    assert info["slave0"] == {"ip": "10.0.0.2", "port": 6379, "state": "online", "offset": 1, "lag": 0}
    assert info["db0"]["keys"] == 200
    assert "cmdstat_get" not in info
    assert redis_info.keyspace(info) == (300, 50)
    assert redis_info.error_counts(info) == {"OOM": 0}


@pytest.mark.parametrize(
    ("used", "policy", "growing", "used_pct", "full"),
    [
        (6291456, "noeviction", False, 50.0, False),
        (12400000, "noeviction", False, 98.5, True),
        (12582912, "allkeys-lru", False, 100.0, False),
        (6291456, "noeviction", True, 50.0, True),
        (12582912, "volatile-lru", False, 100.0, False),
    ],
)
def test_when_memory_is_full(used: int, policy: str, growing: bool, used_pct: float, full: bool) -> None:
    """100 % is normal for a cache that evicts."""
    facts = redis_info.memory_facts(redis_info.parse_info(info_text(used, policy)), growing)
    assert facts == {"used_pct": used_pct, "noeviction_full": full}


def test_volatile_without_any_expiring_key_keeps_everything() -> None:
    """It may only drop what expires."""
    info = redis_info.parse_info(info_text(12582912, "volatile-lru"))
    info["db0"]["expires"] = 0
    assert redis_info.memory_facts(info, False)["noeviction_full"] is True


def test_without_a_limit_there_is_no_share() -> None:
    """Null, not 0 %."""
    assert redis_info.memory_facts({"used_memory": 5, "maxmemory": 0, "maxmemory_policy": "noeviction"}, False) == {"used_pct": None, "noeviction_full": False}


# -- states ------------------------------------------------------------------------------------------------------------------------


def test_a_healthy_server() -> None:
    """One connection tells everything; arguments of slow commands stay where they are."""
    with tcp_server(server(HEALTHY)) as port:
        data = collect(port)
    assert (data["up"], data["reply_class"], data["reached_by"], data["role"]) == (True, "pong", "tcp", "master")
    assert (data["used_pct"], data["clients_pct"], data["keys"], data["expires"], data["no_ttl_pct"]) == (50.0, 95.0, 300, 50, 83.3)
    assert data["slowlog"] == [{"time": "2026-11-23T14:45:40.000000Z", "ms": 250.0, "command": "KEYS"}]
    assert data["error_deltas"] is None
    assert "session" not in json.dumps(data)


def test_slow_commands_of_the_last_minute_are_added_up() -> None:
    """Redis runs one command at a time, so their sum is time in which everybody else waits; older ones are over."""
    now = 1_795_445_200.0
    commands = [{"time": f"2026-11-23T14:46:{second:02d}Z", "ms": 3000.0, "command": "SORT"} for second in (5, 20, 39)]
    old = {"time": "2026-11-23T14:40:00Z", "ms": 60000.0, "command": "KEYS"}
    assert redis.slow_share([*commands, old], now) == 15.0
    assert redis.slow_share([{**commands[0], "ms": 90000.0}], now) == 100.0
    assert redis.slow_share([], now) == 0.0


def test_a_second_info_tells_what_grows() -> None:
    """A counter since the start says nothing about now."""
    replies = {**HEALTHY, "INFO": bulk(info_text(oom=100, rejected=3)) + b"<next>" + bulk(info_text(oom=112, rejected=5))}
    with tcp_server(server(replies)) as port:
        data = collect(port, sample_s=0.01)
    assert (data["error_deltas"], data["errorstats"]) == ({"OOM": 12}, {"OOM": 112})
    assert data["deltas"]["rejected_connections"] == 2
    assert data["noeviction_full"] is True


@pytest.mark.parametrize(
    ("ping", "reply_class", "up"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading", False),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "misconf", False),
        (b"-NOAUTH Authentication required.\r\n", "noauth", None),
        (b"-BUSY Redis is busy running a script.\r\n", "busy", False),
    ],
)
def test_a_server_that_answers_and_refuses(ping: bytes, reply_class: str, up: bool | None) -> None:
    """NOAUTH without a declared password is our problem as likely as anybody's: neither up nor down."""
    with tcp_server(server({**HEALTHY, "PING": ping, "INFO": ping if reply_class in ("busy", "noauth") else HEALTHY["INFO"]})) as port:
        data = collect(port)
    assert (data["up"], data["reply_class"]) == (up, reply_class)
    assert data["error"] == ping[1:-2].decode()
    assert (data["info"] is None) == (reply_class in ("busy", "noauth"))


def test_too_many_clients_are_counted_from_outside(tmp_path: Path) -> None:
    """Redis answers one line and closes; the kernel still knows who holds the connections."""
    rows = "".join(
        f"   {number}: 090012AC:18EB {peer}:C000 {state} 00000000:00000000 00:00000000 00000000 0 0 1\n"
        for number, (peer, state) in enumerate([("040012AC", "01"), ("040012AC", "01"), ("050012AC", "01"), ("060012AC", "06")])
    )
    root = write_tree(tmp_path, {f"proc/{PID}/net/tcp": "head\n" + rows})

    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"-ERR max number of clients reached\r\n")

    with tcp_server(refuse) as port:
        document = inspect_document("app-redis")
        service = Service("cache", "redis", {"container": "app-redis", "host": "127.0.0.1"})
        ctx = context(root, FakeDocker([document]), service)
        service.spec["port"] = port
        # The table has Redis' usual port; the server of this test has another one.
        peers = redis.peers(ctx, ctx.container, redis.PORT)
        data = redis.collect(ctx)
    assert (data["up"], data["reply_class"], data["clients_pct"]) == (False, "maxclients", 100.0)
    assert peers == {"172.18.0.4": 2, "172.18.0.5": 1}


def test_a_frozen_server_is_a_timeout_within_the_limit() -> None:
    """The kernel accepts the connection of a stopped process."""
    with tcp_server(lambda _connection: time.sleep(5)) as port:
        started = time.monotonic()
        data = collect(port, db_timeout_s=0.2)
        assert time.monotonic() - started < 1.5
    assert (data["up"], data["reply_class"]) == (False, "timeout")


def test_nobody_listens() -> None:
    """Down, with the address."""
    port = unused_port()
    data = collect(port)
    assert (data["up"], data["reply_class"], data["error"]) == (False, "refused", f"nobody listens at 127.0.0.1 port {port}")


def test_a_refused_password_means_that_we_could_not_look() -> None:
    """And is never shown."""
    refusal = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    with tcp_server(server({**HEALTHY, "AUTH": refusal})) as port, pytest.raises(SourceError) as caught:
        collect(port, {"login_user": "triage", "login_password": "geheim"})
    assert (caught.value.kind, caught.value.reason) == ("auth", "Redis refused user triage (WRONGPASS); check login_password of service cache")


@pytest.mark.parametrize(
    ("spec", "command"),
    [({"login_password": "p"}, "AUTH p"), ({"login_user": "triage", "login_password": "p"}, "AUTH triage p")],
)
def test_logs_in_with_a_password_or_as_an_acl_user(spec: dict[str, Any], command: str) -> None:
    """Redis before 6 knows no users."""
    seen: list[str] = []
    with tcp_server(server({**HEALTHY, "AUTH": b"+OK\r\n"}, seen)) as port:
        assert collect(port, spec)["up"] is True
    assert seen == [command, "PING", "INFO everything", "ROLE", "SLOWLOG GET 128"]


def test_a_user_that_may_not_see_everything_gets_the_rest() -> None:
    """ACLs are common; what is refused is null with its reason."""
    replies = {**HEALTHY, "INFO": b"-NOPERM this user has no permissions to run the 'info' command\r\n", "SLOWLOG": b"-NOPERM\r\n"}
    with tcp_server(server(replies)) as port:
        data = collect(port)
    assert (data["up"], data["info"], data["used_pct"], data["slowlog"], data["role"]) == (True, None, None, None, "master")
    assert data["info_reason"].startswith("NOPERM")


def test_a_paused_container_is_not_waited_for() -> None:
    """Docker knows already."""
    docker = FakeDocker([inspect_document("app-redis", Status="paused", Paused=True)])
    data = redis.collect(context(docker=docker, service=Service("cache", "redis", {"container": "app-redis"})))
    assert (data["up"], data["reply_class"], data["error"]) == (False, "timeout", "container app-redis is paused")
