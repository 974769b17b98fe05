# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe's way of handing over logs, against a socket that plays the engine."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import fetch
from ansible_collections.sre.incident_response.plugins.plugin_utils.log_fetcher import Answer, parse_answer
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import inspect_document
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import unix_server

STAMP = b"2026-11-23T14:46:33.000000000Z"
SERVICES = {"web": {"kind": "fastapi", "container": "app"}, "payments": {"kind": "external"}, "gone": {"kind": "redis", "container": "missing"}}


class Engine:
    """Knows one container and its lines; remembers what was asked of its log."""

    def __init__(self, lines: list[bytes]) -> None:
        self.frames = [self.frame(line) for line in lines]
        self.asked: list[str] = []

    @staticmethod
    def frame(text: bytes) -> bytes:
        payload = STAMP + b" " + text + b"\n"
        return bytes([1, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload

    def __call__(self, connection: socket.socket) -> None:
        path = connection.recv(65536).decode().split(" ")[1]
        if "/logs?" in path:
            self.asked.append(path)
            tail = re.findall(r"tail=(\d+)", path)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"".join(self.frames[-int(tail[0]) :] if tail else self.frames))
            return
        status, body = "200 OK", b"OK"
        if "/containers/app/json" in path:
            body = json.dumps(inspect_document("app", RestartCount=3)).encode()
        elif "/containers/json" in path:
            body = json.dumps([{"Id": "1", "Names": ["/app"]}]).encode()
        elif "_ping" not in path:
            status, body = "404 Not Found", b'{"message": "No such container"}'
        connection.sendall(f"HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def ask(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **request: Any) -> Answer:
    path = str(tmp_path / "engine.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    wanted = {"services": SERVICES, "names": ["web"], "since": {"epoch": 0.0}, "until": None, "tail": 0, "max_bytes": 1_000_000, "options": {"budget_s": 20}}
    with unix_server(path, engine):
        return parse_answer("\n".join(fetch.answer({**wanted, **request})))


def test_lines_arrive_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [b"plain", b"\xff\x00 bytes", b"", b"x" * 20_000]
    log = ask(Engine(texts), tmp_path, monkeypatch).services[0]
    assert [(line.stamp.encode(), line.stream, line.text) for line in log.lines()] == [(STAMP, 1, text) for text in texts]
    assert (log.header["container"], log.header["container_restarts"], log.header["lines"], log.header["truncated"]) == ("app", 3, 4, None)


def test_the_newest_lines_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"line {number:04}".encode() for number in range(1000)]
    log = ask(Engine(texts), tmp_path, monkeypatch, max_bytes=2000).services[0]
    kept = [line.text for line in log.lines()]
    assert kept == texts[-len(kept) :]
    assert 1500 <= sum(len(text) + 1 for text in kept) <= 2000
    assert (log.header["truncated"], log.header["lines"]) == ("bytes", len(kept))


def test_the_end_of_a_long_log_is_read_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More and more of it until nothing is missing."""
    monkeypatch.setattr(fetch, "TAILS", (2, 4, 0))
    engine = Engine([b"1", b"2", b"3", b"4", b"5"])
    log = ask(engine, tmp_path, monkeypatch).services[0]
    assert [re.findall(r"tail=(\w+)", path)[0] for path in engine.asked] == ["2", "4", "all"]
    assert ([line.text for line in log.lines()], log.header["truncated"]) == ([b"1", b"2", b"3", b"4", b"5"], None)


def test_what_is_asked_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine applies ``until`` after ``tail``, so then it has to give everything."""
    engine = Engine([b"1", b"2", b"3"])
    log = ask(engine, tmp_path, monkeypatch, tail=2).services[0]
    assert ([line.text for line in log.lines()], log.header["truncated"]) == ([b"2", b"3"], "tail")
    engine.asked.clear()
    (tmp_path / "engine.sock").unlink()
    ask(engine, tmp_path, monkeypatch, tail=2, since={"epoch": 100.5}, until={"epoch": 200.25})
    assert len(engine.asked) == 1
    assert "since=100.500&tail=all&until=200.250" in engine.asked[0]


def test_one_missing_container_does_not_cost_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask(Engine([b"1"]), tmp_path, monkeypatch, names=["gone", "payments", "nobody", "app", "web"])
    problems = {log.header["service"]: log.header["error"] for log in answer.services}
    assert (problems["web"], problems["app"]) == (None, None)
    assert problems["gone"] == "there is no container missing on this machine; start it, or correct its name in incident_services; containers here are app"
    assert "service payments has no container (kind external)" in problems["payments"]
    expected = "there is neither a service nor a container nobody on this machine; services with a container are gone, web; containers here are app"
    assert problems["nobody"] == expected


def test_without_names_every_service_with_a_container_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask(Engine([b"1"]), tmp_path, monkeypatch, names=[])
    assert [log.header["service"] for log in answer.services] == ["gone", "web"]


def test_no_engine_is_one_sentence_for_each_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    lines = fetch.answer({"services": SERVICES, "names": [], "since": {"ago_s": 60.0}, "until": None, "tail": 0, "max_bytes": 1000, "options": {}})
    logs = parse_answer("\n".join(lines)).services
    assert [log.header["error"].startswith("there is no Docker socket") for log in logs] == [True, True]
