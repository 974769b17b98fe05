# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Engine API client against a socket that plays the engine, well and badly."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import docker
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Container, SourceError
from ansible_collections.sre.incident_response.plugins.module_utils.probe.docker import DockerClient, DockerError
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import CONTAINER_ID, inspect_document

Answer = Callable[[str], bytes]
CONTAINER = Container(inspect_document())


class Engine:
    """Listens on a unix socket; ``answers`` maps the path after the API version to raw bytes of a response."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.answers: dict[str, bytes] = {"/_ping": response(b"OK", headers="Api-Version: 1.41\r\n")}
        self.requests: list[str] = []
        self.silent = False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            request = received(connection)
            target = request.split(" ")[1]
            self.requests.append(f"{request.split(' ')[0]} {target}")
            if self.silent:
                connection.recv(1)
                return
            path = target.partition("?")[0]
            answer = self.answers.get(path) or self.answers.get(path.partition("/v1.41")[2]) or response(b'{"message":"nothing here"}', "404 Not Found")
            # A client that has read enough closes.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(answer)


def received(connection: socket.socket) -> str:
    """A whole request with its body: an engine that answers and closes before it has read everything would break the client's pipe."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(65536)
    head, _blank, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length.group(1)):
        body += connection.recv(65536)
    return head.decode()


def response(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def stream(body: bytes) -> bytes:
    """A response without a length, as the engine streams logs to a client that closes."""
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


def frame(kind: int, payload: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    running = Engine(tmp_path / "docker.sock")
    yield running
    running.listener.close()


@pytest.mark.parametrize(("offered", "spoken"), [("1.41", "1.41"), ("1.24", "1.24"), ("1.52", "1.45"), ("2.0", "1.45")])
def test_speaks_the_older_of_both_versions(offered: str, spoken: str) -> None:
    assert docker.spoken_version(offered) == spoken


def test_a_socket_of_something_else_is_named() -> None:
    with pytest.raises(SourceError, match="no Docker engine's"):
        docker.spoken_version(None)


def test_asks_with_the_negotiated_version_and_pings_once(engine: Engine) -> None:
    engine.answers["/containers/json"] = response(b'[{"Id": "x"}]')
    client = DockerClient(engine.path)
    assert client.get_json("/containers/json", {"all": 1, "filters": {"type": ["container"]}}) == [{"Id": "x"}]
    assert client.get_json("/containers/json") == [{"Id": "x"}]
    assert engine.requests[0] == "GET /_ping"
    assert engine.requests[1].startswith("GET /v1.41/containers/json?all=1&filters=%7B")
    assert len(engine.requests) == 3
    assert client.ping_ms is not None


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (FileNotFoundError(), "absent", "there is no Docker socket"),
        (PermissionError(), "permission", "add it to the docker group or use become"),
        (ConnectionRefusedError(), "refused", "start the docker service"),
        (OSError("odd"), "error", "odd"),
    ],
)
def test_an_engine_that_can_not_be_asked_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: OSError, kind: str, words: str) -> None:
    def connect(_self: object) -> None:
        raise error

    monkeypatch.setattr(docker._UnixConnection, "connect", connect)
    client = DockerClient("/var/run/docker.sock")
    with pytest.raises(SourceError, match=words) as caught:
        client.get_json("/info")
    assert caught.value.kind == kind
    with pytest.raises(SourceError, match=words):
        client.inspect("app")


def test_an_engine_that_hangs_costs_its_time_limit_once(engine: Engine) -> None:
    engine.silent = True
    client = DockerClient(engine.path, timeout_s=0.3)
    started = time.monotonic()
    for _number in range(3):
        with pytest.raises(SourceError, match=r"did not answer /_ping within 0\.3 s") as caught:
            client.get_json("/info")
        assert caught.value.kind == "timeout"
    assert time.monotonic() - started < 1


def test_a_missing_container_is_named(engine: Engine) -> None:
    with pytest.raises(DockerError, match="there is no container app-bd on this machine") as caught:
        DockerClient(engine.path).inspect("app-bd")
    assert (caught.value.status, caught.value.kind) == (404, "absent")


def test_a_proxy_that_forbids_says_so(engine: Engine) -> None:
    engine.answers["/info"] = response(b"<html>forbidden</html>", "403 Forbidden")
    with pytest.raises(DockerError, match="refused /info with 403") as caught:
        DockerClient(engine.path).get_json("/info")
    assert caught.value.kind == "permission"


def test_an_answer_that_is_no_json(engine: Engine) -> None:
    engine.answers["/info"] = response(b"hello")
    with pytest.raises(SourceError, match="something that is not JSON"):
        DockerClient(engine.path).get_json("/info")


def test_events_are_bounded_in_time(engine: Engine) -> None:
    engine.answers["/events"] = response(b'{"Action":"die"}\n{"Action":"start"}\n')
    assert [entry["Action"] for entry in DockerClient(engine.path).events(1.0, 2.0, {"type": ["container"]})] == ["die", "start"]
    assert "since=1.000&until=2.000" in engine.requests[-1]


def test_log_lines_come_out_of_their_frames(engine: Engine) -> None:
    """A line may be spread over frames, and both streams have their own half-finished line."""
    body = frame(1, b"one\ntw") + frame(2, b"err") + frame(1, b"o\n") + frame(2, b"or\r\n") + frame(1, b"unfinished")
    engine.answers[f"/containers/{CONTAINER_ID}/logs"] = stream(body)
    log = DockerClient(engine.path).logs(CONTAINER, since=0)
    assert list(log) == [("stdout", b"one"), ("stdout", b"two"), ("stderr", b"error"), ("stdout", b"unfinished")]
    assert (log.bytes, log.truncated) == (len(body), False)


def test_a_container_with_a_terminal_has_no_frames(engine: Engine) -> None:
    engine.answers[f"/containers/{CONTAINER_ID}/logs"] = stream(b"one\r\ntwo\r\n")
    with_terminal = Container(inspect_document(Config={"Tty": True}))
    assert list(DockerClient(engine.path).logs(with_terminal, since=0)) == [("stdout", b"one"), ("stdout", b"two")]


def test_a_log_stops_at_its_byte_limit(engine: Engine) -> None:
    engine.answers[f"/containers/{CONTAINER_ID}/logs"] = stream(frame(1, b"0123456789\n") * 200000)
    log = DockerClient(engine.path).logs(CONTAINER, since=0, max_bytes=100000)
    lines = list(log)
    assert log.truncated
    assert 100000 <= log.bytes < 200000
    assert set(lines[:-1]) == {("stdout", b"0123456789")}


def test_a_log_that_can_not_be_read(engine: Engine) -> None:
    message = json.dumps({"message": "configured logging driver does not support reading"}).encode()
    engine.answers[f"/containers/{CONTAINER_ID}/logs"] = response(message, "500 Internal Server Error")
    with pytest.raises(DockerError) as caught:
        DockerClient(engine.path).logs(CONTAINER, since=0)
    assert caught.value.kind == "unsupported"


def test_exec_returns_both_streams_and_the_exit_code(engine: Engine) -> None:
    engine.answers[f"/containers/{CONTAINER_ID}/exec"] = response(b'{"Id": "e1"}', "201 Created")
    engine.answers["/exec/e1/start"] = stream(frame(1, b"row\n") + frame(2, b"warning\n"))
    engine.answers["/exec/e1/json"] = response(b'{"ExitCode": 2}')
    result = DockerClient(engine.path).exec_argv(CONTAINER, ["psql"])
    assert (result.exit_code, result.stdout, result.stderr, result.truncated) == (2, b"row\n", b"warning\n", False)


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({}, "/var/run/docker.sock"),
        ({"DOCKER_HOST": "unix:///run/user/1000/docker.sock"}, "/run/user/1000/docker.sock"),
        ({"DOCKER_HOST": "tcp://10.0.0.1:2375"}, "/var/run/docker.sock"),
    ],
)
def test_the_socket_of_docker_host_is_used(environment: dict[str, str], path: str) -> None:
    assert docker.socket_path(environment) == path
