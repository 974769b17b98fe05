# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source dns: the resolver byte by byte, and which names a container calls."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import dns, names, netns, resolver
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Service, SourceError
from ansible_collections.sre.incident_response.plugins.module_utils.probe.resolver import Resolver, ResolverConfig
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import (
    PID,
    STOPPED,
    FakeDocker,
    context,
    inspect_document,
    write_tree,
)

Zone = dict[tuple[str, int], tuple[int, list[str]]]


def name_in(query: bytes) -> tuple[str, int]:
    """(name, kind) of a query."""
    position, labels = 12, []
    while query[position]:
        labels.append(query[position + 1 : position + 1 + query[position]].decode())
        position += 1 + query[position]
    return ".".join(labels), struct.unpack_from("!H", query, position + 1)[0]


def reply(query: bytes, code: int, addresses: list[str], alias: bool = True) -> bytes:
    """A response that points back to the name in the question, with a CNAME in front as real ones have."""
    packed = [socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address) for address in addresses]
    records = [b"\xc0\x0c" + struct.pack("!2HIH", 5, 1, 60, 2) + b"\xc0\x0c"] if alias and packed else []
    records += [b"\xc0\x0c" + struct.pack("!2HIH", 28 if len(data) == 16 else 1, 1, 60, len(data)) + data for data in packed]
    return query[:2] + struct.pack("!5H", 0x8180 | code, 1, len(records), 0, 0) + query[12:] + b"".join(records)


class NameServer:
    """A name server; ``silent`` answers nothing. Asked through sockets that :meth:`socket` makes instead of real ones."""

    def __init__(self, zone: Zone, silent: tuple[str, ...] = ()) -> None:
        self.zone = zone
        self.silent = silent
        self.asked: list[tuple[str, str, int]] = []

    def socket(self, _family: int) -> Any:
        return _Wire(self)


class _Wire:
    """What a connected UDP socket does, without a network."""

    def __init__(self, server: NameServer) -> None:
        self.server = server
        self.address = ""
        self.answers: list[bytes] = []

    def connect(self, address: tuple[str, int]) -> None:
        self.address = address[0]

    def send(self, query: bytes) -> None:
        name, kind = name_in(query)
        self.server.asked.append((self.address, name, kind))
        if self.address in self.server.silent:
            return
        code, addresses = self.server.zone.get((name, kind), (3 if not any(name == known for known, _kind in self.server.zone) else 0, []))
        # A late answer to an earlier question comes first.
        self.answers = [b"\xff\xff" + query[2:], reply(query, code, addresses)]
        if query[:2] == b"\xff\xff":
            self.answers.pop(0)

    def settimeout(self, _seconds: float) -> None:
        pass

    def recv(self, _count: int) -> bytes:
        if not self.answers:
            raise TimeoutError("timed out")
        return self.answers.pop(0)

    def close(self) -> None:
        pass


def ask(name: str, server: NameServer, config: ResolverConfig | None = None, hosts: dict[str, list[str]] | None = None) -> list[str]:
    """Resolve a name with the server."""
    known = config or ResolverConfig(nameservers=["127.0.0.11"])
    return Resolver(known, hosts or {}, server.socket, time.monotonic() + 5).resolve(name)


# -- resolver ----------------------------------------------------------------------------------------------------------------------


def test_resolv_conf_as_docker_and_people_write_it() -> None:
    """Comments, tabs, the last search line, three servers at most."""
    text = "# by Docker\nnameserver 127.0.0.11\nsearch first.example\nsearch\tcorp.example  lan ; two\noptions ndots:0 timeout:2 edns0\n"
    text += "nameserver 10.0.0.1\n" * 5
    assert resolver.parse_resolv_conf(text) == ResolverConfig(["127.0.0.11", "10.0.0.1", "10.0.0.1"], ["corp.example", "lan"], 0, 2.0)


@pytest.mark.parametrize(
    ("name", "ndots", "expected"),
    [
        ("app-db", 0, ["app-db", "app-db.corp"]),
        ("app-db", 1, ["app-db.corp", "app-db"]),
        ("a.b", 1, ["a.b", "a.b.corp"]),
        ("a.b", 5, ["a.b.corp", "a.b"]),
        ("a.b.", 5, ["a.b"]),
    ],
)
def test_the_search_list(name: str, ndots: int, expected: list[str]) -> None:
    """With few dots it comes first."""
    assert resolver.candidates(name, ResolverConfig(search=["corp"], ndots=ndots)) == expected


def test_addresses_come_from_the_answer_to_the_question() -> None:
    """Past an alias, and past a late answer to something else."""
    server = NameServer({("app-db", 1): (0, ["172.18.0.2", "172.18.0.3"])})
    assert ask("app-db", server) == ["172.18.0.2", "172.18.0.3"]
    assert server.asked == [("127.0.0.11", "app-db", 1)]


def test_a_name_with_ipv6_only() -> None:
    """AAAA is asked when there is no A."""
    assert ask("six", NameServer({("six", 28): (0, ["2001:db8::1"])})) == ["2001:db8::1"]


def test_the_hosts_file_comes_first() -> None:
    """As in the container; case does not matter."""
    server = NameServer({})
    assert ask("App-DB", server, hosts=resolver.parse_hosts("127.0.0.1 localhost\n10.1.1.1\tapp-db db # main\n")) == ["10.1.1.1"]
    assert server.asked == []


def test_the_search_list_is_used() -> None:
    """A short name of the company's domain."""
    server = NameServer({("payments.corp", 1): (0, ["10.2.2.2"])})
    assert ask("payments", server, ResolverConfig(["10.0.0.1"], ["corp"], 1)) == ["10.2.2.2"]


@pytest.mark.parametrize(
    ("zone", "reason"),
    [({}, "NXDOMAIN"), ({("x", 1): (2, [])}, "SERVFAIL"), ({("x", 1): (5, [])}, "REFUSED"), ({("x", 15): (0, [])}, "no address")],
)
def test_why_a_name_does_not_resolve(zone: Zone, reason: str) -> None:
    """In the server's word."""
    with pytest.raises(OSError, match=reason):
        ask("x", NameServer(zone))


def test_a_silent_server_is_skipped() -> None:
    """As the C library does."""
    server = NameServer({("x", 1): (0, ["10.0.0.9"])}, silent=("10.0.0.1",))
    assert ask("x", server, ResolverConfig(["10.0.0.1", "10.0.0.2"])) == ["10.0.0.9"]


def test_only_silent_servers() -> None:
    """The last one is named."""
    with pytest.raises(OSError, match=r"no answer from nameserver 10\.0\.0\.2"):
        ask("x", NameServer({}, silent=("10.0.0.1", "10.0.0.2")), ResolverConfig(["10.0.0.1", "10.0.0.2"]))


def test_without_a_name_server() -> None:
    """Said, not timed out."""
    with pytest.raises(OSError, match="names no nameserver"):
        ask("x", NameServer({}), ResolverConfig())


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, "a.\0"])
def test_names_that_can_not_be_asked(name: str) -> None:
    """From an environment variable, for instance."""
    try:
        query = resolver.question(1, name, 1)
    except ValueError:
        return
    assert b"\0" in query


def test_malformed_answers_are_errors() -> None:
    """Every cut, and a pointer that leads to itself."""
    full = reply(resolver.question(1, "app-db", 1), 0, ["10.0.0.1"])
    for length in range(len(full)):
        try:
            resolver.answer(full[:length], 1)
        except ValueError:
            continue
    assert resolver.answer(full, 1) == (0, ["10.0.0.1"])


# -- names that a container calls --------------------------------------------------------------------------------------------------


def test_hosts_in_the_environment() -> None:
    """URLs with and without credentials, connection strings, and variables for a host; nothing else of the values."""
    environment = {
        "DATABASE_URL": "postgresql+asyncpg://app:s3cret@app-db:5432/app_prod",
        "REDIS_URL": "redis://app-redis:6379/0",
        "CACHE_HOST": "cache.internal:11211",
        "PG_DSN": "host=replica-db port=5432 user=app password=x",
        "PATH": "/usr/bin",
        "SMTP_SERVER": "not a host!",
        "MODE": "production",
        "URLS": "http://a.example/x,https://[2001:db8::1]:8443/",
        "HUGE": "http://huge.example" + "x" * 5000,
    }
    assert dns.hosts_in_environment(environment) == ["app-db", "app-redis", "cache.internal", "replica-db", "a.example", "2001:db8::1"]


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://app:p@ss@app-db:5432/app", ["app-db"]),
        ("postgresql://app:pa/ss@app-db/app", []),
        ("http://u:p@<b>{{ 7*7 }}:80/x", []),
        ("redis://:pa;ss@cache:6379/0", ["cache"]),
        ("amqp://a:1@mq-1:5672,mq-2:5672/", ["mq-1"]),
        ("see 'http://docs.example'.", ["docs.example"]),
    ],
)
def test_no_part_of_a_password_is_taken_for_a_host(url: str, hosts: list[str]) -> None:
    """It would be asked for at a name server, and shown."""
    assert dns.hosts_in_environment({"X": url}) == hosts


def container_service(env: list[str], networks: dict[str, Any] | None = None) -> dict[str, Any]:
    """Inspect document of the calling container."""
    own = networks or {"appnet": {"IPAddress": "172.18.0.9", "Aliases": []}}
    return inspect_document("app-backend", Config={"Env": env}, NetworkSettings={"Networks": own})


def calling(tmp_path: Path, documents: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, server: NameServer) -> Any:
    """Context of service backend whose names the server resolves."""
    etc = f"proc/{PID}/root/etc"
    root = write_tree(tmp_path, {f"{etc}/resolv.conf": "nameserver 127.0.0.11\noptions ndots:0\n", f"{etc}/hosts": "127.0.0.1 localhost\n"})
    backend = Service("backend", "fastapi", {"container": "app-backend", "depends_on": ["db", "cache", "payments"]})
    others = [
        Service("db", "postgresql", {"container": "app-db"}),
        Service("cache", "redis", {"container": "app-redis"}),
        Service("payments", "external", {"url": "https://api.payments.example/health"}),
    ]
    monkeypatch.setattr(dns, "socket_factory", lambda _ctx, _container: server.socket)
    return context(root, FakeDocker(documents), backend, [backend, *others])


def test_names_are_resolved_as_the_container_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it really calls, from its environment; the rest from what it depends on."""
    server = NameServer({("app-db", 1): (0, ["172.18.0.2"]), ("app-redis", 1): (0, ["172.18.0.3"])})
    documents = [container_service(["DATABASE_URL=postgres://app-db/app"]), inspect_document("app-db"), inspect_document("app-redis")]
    data = dns.collect(calling(tmp_path, documents, monkeypatch, server))
    assert {name: (entry["ok"], entry["source"]) for name, entry in data["names"].items()} == {
        "app-db": (True, "environment"),
        "app-redis": (True, "depends_on"),
        "api.payments.example": (False, "depends_on"),
    }
    assert (data["nameservers"], data["names"]["api.payments.example"]["error"]) == (["127.0.0.11"], "NXDOMAIN")


@pytest.mark.parametrize(("state", "status"), [(STOPPED, "exited"), ({"Status": "restarting", "Restarting": True}, "restarting")])
def test_the_name_of_a_container_that_is_down_is_excused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], status: str) -> None:
    """Docker's nameserver knows running containers only: the resolver is not to blame."""
    documents = [container_service(["DATABASE_URL=postgres://app-db/app"]), inspect_document("app-db", **state)]
    entries = dns.collect(calling(tmp_path, documents, monkeypatch, NameServer({})))["names"]
    assert (entries["app-db"]["ok"], entries["app-db"]["error"]) == (None, f"container app-db is {status}, so it has no name")
    assert entries["api.payments.example"]["ok"] is False


def test_container_names_do_not_count_on_the_default_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It resolves none."""
    documents = [container_service([], {"bridge": {"IPAddress": "172.17.0.2", "Aliases": None}}), inspect_document("app-db"), inspect_document("app-redis")]
    assert list(dns.collect(calling(tmp_path, documents, monkeypatch, NameServer({})))["names"]) == ["api.payments.example"]


def test_a_container_that_is_called_by_another_name_is_not_asked_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alias is what the application uses."""
    database = inspect_document("shop-db-1", NetworkSettings={"Networks": {"appnet": {"IPAddress": "172.18.0.2", "Aliases": ["db", "shop-db-1"]}}})
    ctx = calling(tmp_path, [container_service(["DATABASE_URL=postgres://db/app"]), database], monkeypatch, NameServer({("db", 1): (0, ["172.18.0.2"])}))
    ctx.services["db"].spec["container"] = "shop-db-1"
    assert list(dns.collect(ctx)["names"]) == ["db", "api.payments.example"]


def test_a_stopped_container_resolves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no network to look from."""
    with pytest.raises(SourceError, match="container app-backend is exited"):
        dns.collect(calling(tmp_path, [inspect_document("app-backend", **STOPPED)], monkeypatch, NameServer({})))


@pytest.mark.skipif(os.geteuid() != 0, reason="entering a network needs root; run the tests as root")
def test_a_socket_is_made_in_the_network_that_was_asked_for() -> None:
    """And the thread that went there is gone."""
    before = threading.active_count()
    made = netns.sockets_in("/proc/self/ns/net", [socket.AF_INET], 2.0)
    assert (made[0].family, threading.active_count()) == (socket.AF_INET, before)
    made[0].close()


def test_without_the_right_to_enter_become_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most people do not run as root at first."""

    def refuse(_descriptor: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(netns, "enter_network", refuse)
    with pytest.raises(SourceError, match="use become") as caught:
        netns.sockets_in("/proc/self/ns/net", [socket.AF_INET], 2.0)
    assert caught.value.kind == "permission"


def test_a_network_that_is_gone_is_an_error() -> None:
    """The process may have ended meanwhile."""
    with pytest.raises(SourceError, match="can't be entered"):
        netns.sockets_in("/proc/0/ns/net", [socket.AF_INET], 2.0)


# -- machine -----------------------------------------------------------------------------------------------------------------------


def resolving(answers: dict[str, list[str]]) -> Callable[..., list[tuple[Any, ...]]]:
    """A getaddrinfo that knows these names."""

    def getaddrinfo(host: str, *_arguments: Any, **_options: Any) -> list[tuple[Any, ...]]:
        if host not in answers:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in answers[host]]

    return getaddrinfo


def test_the_machine_resolves_the_declared_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each once; addresses and local names need no resolver."""
    monkeypatch.setattr(socket, "getaddrinfo", resolving({"shop.example": ["192.0.2.1"]}))
    root = write_tree(tmp_path, {"etc/resolv.conf": "nameserver 10.0.0.53\n"})
    specs = {"web": {"url": "https://shop.example/"}, "api": {"url": "http://127.0.0.1:8000"}, "db": {"host": "db.internal"}, "x": {"url": "http://localhost"}}
    ctx = context(root, services=[Service(name, "fastapi", spec) for name, spec in specs.items()])
    data = dns.collect_machine(ctx)
    assert {name: (entry["ok"], entry["source"]) for name, entry in data["names"].items()} == {"shop.example": (True, "web"), "db.internal": (False, "db")}
    assert data["nameservers"] == ["10.0.0.53"]


def test_a_dead_resolver_costs_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C library would wait for half a minute."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: released.wait(5) and [])
    started = time.monotonic()
    with pytest.raises(names.NameFailedError, match=r"did not answer for shop\.example within 0\.1 s"):
        names.resolve("shop.example", 0.1)
    released.set()
    assert time.monotonic() - started < 1


def test_an_address_is_its_own_answer() -> None:
    """Also in brackets."""
    assert names.resolve("[::1]", 0.1) == ["::1"]
