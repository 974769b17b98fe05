# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the readiness check asks: rights without using them, releases that are left, the engine and the clock."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import pg_access, readiness, redis_access, releases
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Service, SourceError
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import FakeDocker, context, inspect_document
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import tcp_server, unused_port

NOPERM = "-NOPERM this user has no permissions to run the command"


def redis_server(answer: Callable[[str], str], heard: list[str]) -> Callable[[socket.socket], object]:
    """A conversation in Redis' protocol: ``answer`` gives the reply to a command line such as ``AUTH u p``."""

    def serve(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while head := stream.readline():
            words = []
            for _word in range(int(head[1:])):
                size = int(stream.readline()[1:])
                words.append(stream.read(size + 2)[:-2].decode())
            heard.append(" ".join(words))
            connection.sendall(f"{answer(heard[-1])}\r\n".encode())

    return serve


def ask_redis(answer: Callable[[str], str], **spec: Any) -> tuple[dict[str, Any], list[str]]:
    """The source's data, and what the server was sent."""
    heard: list[str] = []
    with tcp_server(redis_server(answer, heard)) as port:
        service = Service("redis", "redis", {"kind": "redis", "host": "127.0.0.1", "port": port, **spec})
        return redis_access.collect(context(service=service)), heard


def allowing(*allowed: str) -> Callable[[str], str]:
    """A server that lets a user send these commands."""

    def answer(line: str) -> str:
        if line.startswith(("AUTH", "MULTI", "DISCARD")):
            return "+OK"
        if line == "PING":
            return "+PONG"
        return "+QUEUED" if line.startswith(allowed) else NOPERM

    return answer


READS = tuple(command[0] for command in redis_access.READS)


def test_redis_user_that_may_only_look() -> None:
    data, heard = ask_redis(allowing(*READS), login_user="ir", login_password="p")
    assert data == {
        "monitor": {"user": "ir", "declared": True, "ok": True, "way": "tcp", "reason": None, "lacks": [], "may": [], "may_reason": None},
        "mitigation": None,
    }
    assert heard[0] == "AUTH ir p"
    assert heard[-1] == "DISCARD"
    assert "EXEC" not in heard


def test_redis_user_with_too_little_and_too_much() -> None:
    data, _heard = ask_redis(allowing("INFO", "ROLE", "SET", "CONFIG", "SELECT", "SCAN", "TYPE", "PTTL", "MEMORY"))
    assert data["monitor"]["lacks"] == ["SLOWLOG GET", "LATENCY LATEST", "CLIENT LIST"]
    assert data["monitor"]["may"] == ["SET", "CONFIG GET"]
    assert (data["monitor"]["user"], data["monitor"]["declared"]) == ("default", False)


def test_redis_without_multi_is_sent_nothing_else() -> None:
    """Outside of a transaction the commands would run."""
    data, heard = ask_redis(lambda line: "+PONG" if line == "PING" else NOPERM)
    assert data["monitor"]["ok"] is True
    assert (data["monitor"]["lacks"], data["monitor"]["may"]) == (None, None)
    assert "may not use MULTI" in data["monitor"]["may_reason"]
    assert heard == ["PING", "MULTI"]


@pytest.mark.parametrize("refusal", ["-READONLY You can't write against a read only replica.", "-OOM command not allowed", "-MISCONF Redis is configured"])
def test_redis_state_is_no_lack_of_rights(refusal: str) -> None:
    """A replica or a full memory refuses the write, not the user."""
    data, _heard = ask_redis(lambda line: refusal if line.startswith("SET") else allowing(*READS)(line))
    assert data["monitor"]["may"] == ["SET"]


def test_redis_wrong_password() -> None:
    data, heard = ask_redis(lambda line: "-WRONGPASS invalid username-password pair", login_user="ir", login_password="secret-pw")
    assert (data["monitor"]["ok"], data["monitor"]["lacks"]) == (False, None)
    assert "Redis refused user ir (WRONGPASS)" in data["monitor"]["reason"]
    assert "secret-pw" not in str(data)
    assert len(heard) == 1


def test_redis_login_wanted_and_none_declared() -> None:
    data, _heard = ask_redis(lambda line: "-NOAUTH Authentication required.")
    assert data["monitor"]["ok"] is False
    assert "declares none that works" in data["monitor"]["reason"]


def test_redis_mitigation_is_asked_about_its_own_keys() -> None:
    """Each declared prefix has to work, and a key outside must not."""

    def answer(line: str) -> str:
        return NOPERM if line.startswith("UNLINK") and not line.startswith("UNLINK cache:") else allowing("SCAN", "SCRIPT", "TYPE", "UNLINK")(line)

    data, heard = ask_redis(answer, mitigation_user="mit", mitigation_password="m", cache_prefixes=["cache:", "page:"])
    assert data["mitigation"]["lacks"] == ["UNLINK"]
    assert data["mitigation"]["may"] == []
    assert data["monitor"]["declared"] is False
    assert [line for line in heard if line.startswith("AUTH")] == ["AUTH mit m"]
    assert any(line.startswith("UNLINK page:sre-preflight-") for line in heard)


def test_redis_that_is_not_there() -> None:
    service = Service("redis", "redis", {"kind": "redis", "host": "127.0.0.1", "port": unused_port()})
    data = redis_access.collect(context(service=service))
    assert data["monitor"]["ok"] is False
    assert "nobody listens" in data["monitor"]["reason"]


def test_postgresql_logins_do_not_mix() -> None:
    """The mitigation's login takes the place of the monitor's, and never its password."""
    spec = {"kind": "postgresql", "login_user": "mon", "login_password": "a", "mitigation_user": "mit", "port": 5}
    service = Service("db", "postgresql", spec)
    assert pg_access.service_for(service, "login").spec == {**spec}
    taken = pg_access.service_for(service, "mitigation").spec
    assert (taken["login_user"], taken.get("login_password"), taken["port"]) == ("mit", None, 5)


def test_postgresql_that_is_not_there() -> None:
    spec = {"kind": "postgresql", "host": "127.0.0.1", "port": unused_port(), "login_user": "mon", "login_password": "secret-pw", "mitigation_user": "mit"}
    data = pg_access.collect(context(service=Service("db", "postgresql", spec)))
    for purpose, user in (("monitor", "mon"), ("mitigation", "mit")):
        assert (data[purpose]["user"], data[purpose]["ok"], data[purpose]["rights"]) == (user, False, None)
        assert "nobody listens" in data[purpose]["reason"]
    assert "secret-pw" not in str(data)


def test_postgresql_word_over_tcp_counts() -> None:
    """A server that refuses the password is not asked over its socket, which lets everybody in."""
    refusal = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"

    def serve(connection: socket.socket) -> None:
        connection.recv(8)
        connection.sendall(b"N")
        connection.recv(1000)
        connection.sendall(b"E" + (len(refusal) + 4).to_bytes(4, "big") + refusal)

    with tcp_server(serve) as port:
        spec = {"kind": "postgresql", "host": "127.0.0.1", "port": port, "login_user": "mon", "login_password": "wrong"}
        data = pg_access.collect(context(service=Service("db", "postgresql", spec)))
    assert data["monitor"]["ok"] is False
    assert (data["monitor"]["way"], data["monitor"]["sqlstate"], data["monitor"]["reason"]) == ("tcp", "28P01", "password authentication failed")


def image(identity: str, created: int, tags: list[str] | None, digests: list[str] | None = None, version: str | None = None) -> dict[str, Any]:
    labels = {releases.VERSION_LABEL: version} if version else None
    return {"Id": identity, "Created": created, "RepoTags": tags, "RepoDigests": digests, "Labels": labels}


def ask_releases(images: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    engine = FakeDocker([inspect_document("app", **changes)])
    engine.documents["/images/json"] = images
    return releases.collect(context(docker=engine, service=Service("backend", "fastapi", {"kind": "fastapi", "container": "app"})))


def test_releases_of_the_same_repository() -> None:
    images = [
        image("sha256:abc", 300, ["shop/app:1"], version="1"),
        image("sha256:old", 100, ["shop/app:0"], version="0"),
        image("sha256:lost", 200, ["<none>:<none>"], ["shop/app@sha256:77"]),
        image("sha256:other", 400, ["shop/apple:1"]),
        image("sha256:nothing", 500, ["<none>:<none>"], ["<none>@<none>"]),
    ]
    data = ask_releases(images)
    assert (data["repository"], data["count"], data["kept"]) == ("shop/app", 2, True)
    assert data["current"]["version"] == "1"
    assert [(other["id"], other["names"]) for other in data["others"]] == [("sha256:lost", ["shop/app@sha256:77"]), ("sha256:old", ["shop/app:0"])]


def test_releases_when_the_running_image_is_gone() -> None:
    data = ask_releases([image("sha256:old", 100, ["shop/app:0"])])
    assert (data["kept"], data["count"], data["current"]["id"]) == (False, 1, "sha256:abc")


def test_releases_of_a_missing_container() -> None:
    engine = FakeDocker()
    engine.documents["/images/json"] = []
    data = releases.collect(context(docker=engine, service=Service("backend", "fastapi", {"kind": "fastapi", "container": "gone"})))
    assert (data["current"], data["count"]) == (None, 0)


def test_releases_without_permission() -> None:
    engine = FakeDocker(refused=SourceError("permission", "may not"))
    with pytest.raises(SourceError, match="may not"):
        releases.collect(context(docker=engine, service=Service("backend", "fastapi", {"kind": "fastapi", "container": "app"})))


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("shop/app:v1", "shop/app"),
        ("registry:5000/shop/app", "registry:5000/shop/app"),
        ("registry:5000/shop/app:v1@sha256:1", "registry:5000/shop/app"),
        ("app", "app"),
    ],
)
def test_repository_of(name: str, repository: str) -> None:
    assert releases.repository_of(name) == repository


def test_readiness_of_the_engine() -> None:
    engine = FakeDocker()
    engine.documents["/version"] = {"Version": "27.1"}
    service = Service("backend", "fastapi", {"kind": "fastapi", "container": "app"})
    assert readiness.docker(context(docker=engine, service=service)) == {"needed": True, "allowed": True, "version": "27.1", "kind": None, "reason": None}
    refused = context(docker=FakeDocker(refused=SourceError("permission", "may not")), service=service)
    assert readiness.docker(refused) == {"needed": True, "allowed": False, "version": None, "kind": "permission", "reason": "may not"}


def test_clock_is_only_asked() -> None:
    """Whatever the answer on this machine is, it is one of three, and an unknown one has its reason."""
    found = readiness.ntp()
    assert found["synchronized"] in (True, False, None)
    assert (found["reason"] is None) == (found["synchronized"] is not None)
