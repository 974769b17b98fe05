# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source logs end to end, against a socket that plays the engine's log stream, and its statistics."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import logs, logs_nginx, logs_tally
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Context, Machine, Service, SourceError
from ansible_collections.sre.incident_response.plugins.module_utils.probe.docker import DockerClient
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_access import AccessLog, Latency
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_nginx import Request
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_record import Record
from ansible_collections.sre.incident_response.plugins.module_utils.probe.times import iso
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import inspect_document
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import unix_server

# 15:00:00 UTC; the window is a quarter of an hour, the baseline an hour before it.
NOW = 1795446000.0
CREATED_LONG_AGO = "2026-11-20T10:00:00.5Z"


def stamp(age_s: float) -> str:
    """The engine's timestamp of a line that is so old."""
    return str(iso(NOW - age_s)).replace("Z", "000Z")


def frame(age_s: float, text: str | bytes, stream: int = 1, end: bytes = b"\n") -> bytes:
    """A line as the engine sends it."""
    payload = stamp(age_s).encode() + b" " + (text if isinstance(text, bytes) else text.encode()) + end
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


class LogEngine:
    """Plays the engine: the last ``tail`` of its frames for every request, and what was asked."""

    def __init__(self, frames: list[bytes], status: str = "200 OK", piece: int = 65536) -> None:
        self.frames = frames
        self.status = status
        self.piece = piece
        self.tails: list[int] = []

    def __call__(self, connection: socket.socket) -> None:
        request = connection.recv(65536).decode()
        if "/_ping" in request:
            connection.sendall(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")
            return
        found = re.search(r"tail=(\d+)", request)
        assert found, request
        assert " HTTP/1.0" in request
        tail = int(found.group(1))
        self.tails.append(tail)
        body = b"".join(self.frames[-tail:])
        data = f"HTTP/1.0 {self.status}\r\n\r\n".encode() + body
        for start in range(0, len(data), self.piece):
            connection.sendall(data[start : start + self.piece])


def context(path: str, kind: str = "fastapi", document: dict[str, Any] | None = None, **options: Any) -> Context:
    """Context of a service whose engine listens at ``path``."""
    service = Service("web", kind, {"container": "app"})
    machine = Machine({"web": service}, DockerClient(path), options)
    machine.now = NOW
    inspected = document or inspect_document("app", Created=CREATED_LONG_AGO, StartedAt=CREATED_LONG_AGO)
    machine.docker.inspect = lambda _name: inspected  # type: ignore[method-assign]
    return Context(machine, service, 5.0)


@pytest.fixture
def collect(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Function that collects the source from an engine."""

    def run(engine: LogEngine, kind: str = "fastapi", document: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        path = str(tmp_path / f"{len(list(tmp_path.iterdir()))}.sock")
        with unix_server(path, engine):
            return logs.collect(context(path, kind, document, **options))

    return run


Collect = Callable[..., dict[str, Any]]


def entry(age_s: float, level: str, event: str, **fields: Any) -> bytes:
    """A JSON line of an application."""
    return frame(age_s, json.dumps({"level": level, "event": event, **fields}))


# -- the whole source --------------------------------------------------------------------------------------------------------------


def test_window_and_baseline_are_counted_apart(collect: Collect) -> None:
    """By the engine's clock, whatever the writer's says."""
    noise = [entry(age, "ERROR", "retry", timestamp="1999-01-01") for age in range(4400, 0, -60)]
    data = collect(LogEngine([*noise, entry(15, "INFO", "request", path="/api/x", status=200)]))
    assert data["errors"] == {"window": 15, "baseline": 59, "per_min": 1.0, "baseline_per_min": 0.98, "ratio": 1.0}
    assert (data["window_s"], data["baseline_s"], data["truncated"], data["onset"]) == (900.0, 3600.0, False, None)
    assert (data["lines"], data["last_line_age_s"], data["format"]) == (75, 15.0, "json")
    assert [(one["signature"], one["new"]) for one in data["signatures"]] == [("retry", False)]
    assert (data["new_signatures"], data["new_share_pct"]) == ([], 0.0)


def test_a_new_error_is_found_in_constant_noise(collect: Collect) -> None:
    """With its place, its onset and its share."""
    noise = [entry(age, "ERROR", "retry") for age in range(4400, 0, -60)]
    trace = "Traceback (most recent call last):\n  File \"/srv/shop/orders.py\", line 42, in order_view\nKeyError: 'tier'"
    bugs = [entry(age, "ERROR", "Exception in ASGI application", path=f"/api/orders/{age}", status=500, exception=trace) for age in range(190, 0, -2)]
    frames = sorted(noise + bugs, key=lambda one: one[8:38])
    data = collect(LogEngine(frames))
    new = data["new_signatures"]
    assert [(one["signature"], one["where"], one["count"]) for one in new] == [("KeyError at shop/orders.py:order_view", "shop/orders.py:42 order_view", 95)]
    assert data["onset"] == stamp(190)
    assert (data["errors"]["window"], data["new_share_pct"]) == (110, 86.4)
    assert data["errors"]["ratio"] > 5
    assert data["by_path"] == [{"path": "/api/orders", "errors": 95, "total": 95}]
    assert data["known"]["unhandled_exception"]["count"] == 95
    assert len(data["last_errors"]) == 10


def test_a_new_container_has_no_baseline(collect: Collect) -> None:
    """And says how long its window really is."""
    document = inspect_document("app", Created=stamp(120), StartedAt=stamp(119))
    data = collect(LogEngine([entry(100, "ERROR", "broken")] * 20), document=document)
    assert (data["window_s"], data["baseline_s"], data["errors"]["per_min"], data["errors"]["ratio"]) == (120.0, 0.0, 10.0, 20.0)
    assert data["new_since"] == iso(NOW - 120)


def test_long_lines_come_in_pieces(collect: Collect) -> None:
    """Docker cuts at 16 KiB and repeats the timestamp."""
    text = json.dumps({"level": "ERROR", "event": "big", "payload": "x" * 40000}).encode()
    pieces = [text[start : start + 16384] for start in range(0, len(text), 16384)]
    frames = [frame(10, piece, end=b"" if number < len(pieces) - 1 else b"\n") for number, piece in enumerate(pieces)]
    data = collect(LogEngine(frames))
    assert (data["lines"], data["errors"]["window"], data["signatures"][0]["signature"]) == (1, 1, "big")


def test_frames_may_be_cut_anywhere(collect: Collect) -> None:
    """By the socket's buffers."""
    assert collect(LogEngine([entry(10, "ERROR", f"e{number}") for number in range(50)], piece=13))["errors"]["window"] == 50


def test_a_container_with_a_terminal_has_no_frames(collect: Collect) -> None:
    """Lines end in CR LF there."""
    lines = [f"{stamp(10)} ERROR: failed\r\n".encode(), f"{stamp(9)} INFO: fine\r\n".encode()]
    data = collect(LogEngine(lines), document=inspect_document("app", Created=CREATED_LONG_AGO, Config={"Tty": True}))
    assert (data["lines"], data["errors"]["window"], data["last_errors"][0]["text"]) == (2, 1, "ERROR: failed")


def test_whatever_bytes_there_are(collect: Collect) -> None:
    """Invalid UTF-8, NUL, terminal sequences, templates, and a secret."""
    hostile = b"ERROR: \xff\xfe\x00 \x1b[2J\x1b[31m{{ lookup('pipe','id') }} <script> postgres://a:hunter2@db/x"
    data = collect(LogEngine([frame(5, hostile)]))
    text = json.dumps(data)
    assert "hunter2" not in text
    assert "\\u001b" not in text
    assert "{{ lookup('pipe','id') }} <script> postgres://a:[masked]@db/x" in data["last_errors"][0]["text"]


def test_a_busy_log_is_read_from_its_end(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    """First a little, then what the window needs."""
    monkeypatch.setattr(logs, "FIRST_TAIL", 100)
    monkeypatch.setattr(logs, "BASELINE_TAIL", 400)
    engine = LogEngine([entry(age / 10, "INFO", "request") for age in range(45000, 0, -10)])  # one a second
    data = collect(engine)
    assert engine.tails[0] == 100
    assert 1800 <= engine.tails[1] <= 1900
    assert (data["truncated"], data["window_s"]) == (False, 900.0)
    assert 850 <= data["baseline_s"] <= 950


def test_a_log_beyond_the_limit_keeps_the_newest_lines(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that the window is incomplete."""
    monkeypatch.setattr(logs, "FIRST_TAIL", 50)
    data = collect(LogEngine([entry(age / 10, "INFO", "x" * 100) for age in range(8000, 0, -1)]), log_max_bytes=100_000)
    assert (data["truncated"], data["last_line_age_s"]) == (True, 0.1)
    assert data["bytes"] <= 100_000
    assert data["window_s"] < 100


def test_a_log_that_can_not_be_read_back(collect: Collect) -> None:
    """Nothing is known, so nothing is 0."""
    engine = LogEngine([b'{"message":"configured logging driver does not support reading"}'], "501 Not Implemented")
    data = collect(engine, document=inspect_document("app", HostConfig={"LogConfig": {"Type": "syslog"}}))
    assert (data["unreadable"], data["errors"], data["lines"], data["known"]) == (True, None, None, None)
    assert data["unreadable_reason"] == "container app logs with driver syslog, which can't be read back"


def test_an_engine_that_refuses_fails_the_source(collect: Collect) -> None:
    """With its own words."""
    with pytest.raises(SourceError, match="with 500: no such file"):
        collect(LogEngine([b'{"message":"no such file"}'], "500 Internal Server Error"))


def test_an_empty_log(collect: Collect) -> None:
    """A container that says nothing."""
    data = collect(LogEngine([]))
    assert (data["lines"], data["last_line_age_s"], data["onset"], data["truncated"]) == (0, None, None, False)


def test_a_log_of_postgresql(collect: Collect) -> None:
    """Crashes are logged at level LOG there."""
    frames = [
        frame(60, "2026-11-23 14:59:00.0 UTC [9] 53300 app@x FATAL:  sorry, too many clients already", 2),
        frame(50, "2026-11-23 14:59:10.0 UTC [1] 00000 LOG:  server process (PID 77) was terminated by signal 9: Killed", 2),
        frame(50, "2026-11-23 14:59:10.0 UTC [1] 00000 DETAIL:  Failed process was running: SELECT 'hunter2'", 2),
    ]
    data = collect(LogEngine(frames), "postgresql")
    assert (data["format"], data["errors"]["window"]) == ("postgresql", 2)
    assert (data["known"]["db_too_many"]["count"], data["known"]["crash"]["count"]) == (1, 1)
    assert "53300 sorry, too many clients already" in [one["signature"] for one in data["signatures"]]
    assert "hunter2" not in json.dumps(data)


# -- nginx -------------------------------------------------------------------------------------------------------------------------


def hit(age_s: float, uri: str, status: int = 200, seconds: float = 0.01, agent: str = "curl") -> bytes:
    """A line of a JSON access log."""
    upstream = {"upstream_addr": "10.0.0.5:8000", "upstream_status": str(status), "upstream_response_time": f"{seconds:.3f}"}
    return frame(age_s, json.dumps({"uri": uri, "status": status, "request_time": seconds, "user_agent": agent, **upstream}))


def test_a_proxys_log(collect: Collect) -> None:
    """Requests, routes, latencies, and what the error log says about upstreams."""
    good = [hit(age, "/api/orders/7") for age in range(600, 0, -3)]
    bad = [hit(age, "/api/quote", 502 if age % 2 else 200, 0.5) for age in range(100, 0, -1)]
    probes = [hit(age, "/health", 503) for age in range(100, 0, -1)] + [hit(5, "/api/orders/1", 500, agent="ir-triage")]
    refused = "2026/11/23 14:59:00 [error] 29#29: *1 connect() failed (111: Connection refused) while connecting to upstream, client: 1.2.3.4, "
    rest = 'server: x, request: "GET / HTTP/1.1", upstream: "http://10.0.0.{}:8000/", host: "x"'
    errors = [frame(age, refused + rest.format(age % 2 + 5), 2) for age in range(90, 0, -3)]
    data = collect(LogEngine(sorted([*good, *bad, *probes, *errors], key=lambda one: one[8:38])), "nginx")
    access, errlog = data["access"], data["errlog"]
    assert (access["requests"], access["probes"], access["errors_5xx"], access["by_status"]) == (300, 101, 50, {"200": 250, "502": 50})
    assert (access["error_ratio_pct"], access["failing_routes"], access["healthy_routes"]) == (16.67, ["/api/quote"], ["/api/orders"])
    assert (access["p50_ms"], access["p95_ms"], access["upstream_p95_ms"], access["baseline_p95_ms"]) == (10.0, 500.0, 500.0, None)
    worst = {name: value for name, value in access["routes"][0].items() if name != "recent"}
    assert worst == {"route": "/api/quote", "requests": 100, "errors": 50, "error_pct": 50.0, "p95_ms": 500.0, "by_status": {"502": 50}}
    assert access["routes"][0]["recent"] == {"requests": 59, "errors": 30, "error_pct": 50.85, "p95_ms": 500.0}
    assert access["recent"]["errors_5xx"] == 50
    assert access["previous"]["errors_5xx"] == 0
    assert (errlog["connect_refused"]["count"], errlog["connect_refused"]["phases"]) == (30, {"connecting to upstream": 30})
    assert sorted(errlog["connect_refused"]["upstreams"]) == ["10.0.0.5:8000", "10.0.0.6:8000"]
    assert (errlog["timed_out"]["count"], errlog["timed_out"]["upstreams"]) == (0, [])
    assert data["errors"]["window"] == 30
    assert data["format"] == "nginx"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('1.2.3.4 - - [23/Nov/2026:14:46:33 +0000] "GET /a?b=1 HTTP/1.1" 200 30 "-" "curl/8"', ("/a?b=1", 200, None, None, "curl/8")),
        ('1.2.3.4 - bob [23/Nov/2026:14:46:33 +0000] "POST /a HTTP/2.0" 502 0 "https://x/" "M\\"ozilla" 0.512 0.500', ("/a", 502, 0.512, 0.5, 'M\\"ozilla')),
        ('1.2.3.4 - - [23/Nov/2026:14:46:33 +0000] "GET /a HTTP/1.1" 504 0 "-" "c" rt=5.001 uct="0.000" urt="2.5, 2.5"', ("/a", 504, 5.001, 5.0, "c")),
        ('1.2.3.4 - - [23/Nov/2026:14:46:33 +0000] "" 400 0', ("/", 400, None, None, "")),
        ('1.2.3.4 - - [23/Nov/2026:14:46:33 +0000] "\\x16\\x03\\x01" 400 157 "-" "-"', ("/", 400, None, None, "-")),
    ],
)
def test_the_combined_format_and_what_is_appended_to_it(line: str, expected: tuple[Any, ...]) -> None:
    """Also what scanners send."""
    request = logs_nginx.request_from_combined(line)
    assert request is not None
    assert (request.path, request.status, request.seconds, request.upstream_seconds, request.agent) == expected


@pytest.mark.parametrize("line", ["", "starting", "2026/11/23 14:45:38 [notice] 1#1: nginx/1.26", '{"a": 1}', "[] [] []"])
def test_lines_that_are_no_request(line: str) -> None:
    """The entrypoint's words, for instance."""
    assert logs_nginx.request_from_combined(line) is None
    assert logs_nginx.request_from_json(line.encode()) is None


@pytest.mark.parametrize(
    ("path", "agent", "probe"),
    [
        ("/health", "x", True),
        ("/health/ready", "x", True),
        ("/healthz", "x", True),
        ("/nginx-health", "x", True),
        ("/api/health-insurance", "x", False),
        ("/healthy-recipes", "x", False),
        ("/api/orders", "ir-triage", True),
        ("/api/orders", "kube-probe/1.29", True),
        ("/api/orders", "curl", False),
    ],
)
def test_probes_are_not_users(path: str, agent: str, probe: bool) -> None:
    """They would outvote them on a quiet day."""
    assert Request(path, 200, None, None, "", 0, agent).is_probe is probe


@pytest.mark.parametrize(
    ("value", "expected"), [("0.004", 0.004), ("0.004, 0.010", 0.014), ("-", None), ("", None), (None, None), (1.5, 1.5), ("0.1 : 0.2", 0.3)]
)
def test_times_of_several_upstreams_add_up(value: Any, expected: float | None) -> None:
    """nginx tried one after the other."""
    assert logs_nginx.seconds_in(value) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("value", ["NaN", float("nan"), "inf", float("inf"), -1, "1e300", "9" * 400])
def test_what_is_no_time_is_none(value: Any) -> None:
    """A client can't stop the counting with a number that can't be counted."""
    assert logs_nginx.seconds_in(value) is None


def test_percentiles_with_bounded_memory() -> None:
    """Exact to the millisecond up to a second."""
    latency = Latency()
    for number in range(1, 1001):
        latency.add(number / 1000)
    assert [latency.percentile(share) for share in (0.5, 0.95, 0.99, 1.0)] == [500.0, 950.0, 990.0, 1000.0]
    assert Latency().percentile(0.5) is None
    for number in range(100000):
        latency.add(number / 10)
    assert len(latency._counts) < 70000


def test_thousands_of_routes_do_not_fill_the_memory() -> None:
    """A scanner asks for everything."""
    access = AccessLog(stamp(900), NOW)
    for number in range(20000):
        name = "".join(chr(97 + number // 26**power % 26) for power in range(4))
        access.add(stamp(10), Request(f"/{name}/x", 404, 0.001, None, "", 0, ""))
    result = access.result(15, 60)
    assert (result["requests"], result["errors_4xx"], len(result["routes"])) == (20000, 20000, 30)
    assert "(others)" not in result["healthy_routes"]
    assert len(access._routes) <= 201


def rejected_known(*requests: tuple[float, str, int]) -> int:
    """What is left of requests given as (age in seconds, path, status)."""
    access = AccessLog(stamp(900), NOW)
    for age, path, status in requests:
        access.add(stamp(age), Request(path, status, 0.001, None, "", 0, ""))
    return access.result(15, 60)["rejected_known"]


def test_a_page_that_is_gone_is_told_from_one_that_never_was() -> None:
    assert rejected_known((60, "/api/orders/1", 200), (10, "/api/orders/2", 404)) == 1
    assert rejected_known((1800, "/api/orders/1", 200), (10, "/api/orders/2", 404)) == 1, "it answered in the baseline"
    assert rejected_known((10, "/api/orders/2", 404), (5, "/api/orders/1", 304)) == 1, "in whatever order"
    assert rejected_known((60, "/", 200), (10, "/wp-login.php", 404), (9, "/api/.env", 404)) == 0
    assert rejected_known((60, "/api/orders/1", 200), (10, "/api/orders/2", 401), (9, "/api/orders/2", 429)) == 0
    assert rejected_known((60, "/api/orders/1", 200), (1800, "/api/orders/2", 404)) == 0, "before the window"


# -- onset -------------------------------------------------------------------------------------------------------------------------


def minutes(*counts: int) -> dict[str, int]:
    """Errors per minute from 23:50 on, so that midnight lies in between."""
    start = NOW - NOW % 86400 + 86400 - 600
    return {str(iso(start + 60 * number))[:16]: count for number, count in enumerate(counts) if count}


@pytest.mark.parametrize(
    ("counts", "baseline_per_min", "expected"),
    [
        ((0, 0, 0, 50, 60, 55), 0.0, 3),
        ((1, 0, 1, 50, 60, 55), 0.5, 3),
        ((0, 0, 0, 4, 60, 55), 0.0, 3),
        ((12, 11, 13, 12, 12, 11), 12.0, None),
        ((12, 11, 13, 200, 190, 210, 180, 200, 210, 190, 205), 12.0, 3),
        ((0, 0, 80, 70, 0, 0, 0), 0.0, 2),
        ((1, 0, 0, 0, 1), 0.0, None),
        ((), 0.0, None),
        ((0,) * 8 + (30, 40, 35, 30), 0.0, 8),
    ],
)
def test_when_the_errors_began(counts: tuple[int, ...], baseline_per_min: float, expected: int | None) -> None:
    """Neither a stray error before nor a late start within the minute moves it; midnight is a minute like any other."""
    found = logs_tally.onset_minute(minutes(*counts), baseline_per_min, max(1, len(counts)))
    every = list(minutes(*([1] * len(counts))))
    assert found == (None if expected is None else every[expected])


def test_signatures_are_bounded() -> None:
    """Every error different: the count is still right."""
    tally = logs_tally.Tally(stamp(900), "")
    for number in range(5000):
        tally.add(Record(stamp(10), 40, "".join(chr(97 + number // 26**power % 26) for power in range(4))))
    assert tally.errors == 5000
    assert len(tally.signatures()) == 500


def test_the_spell_of_errors_reaches_from_the_first_failing_minute_to_the_last() -> None:
    now = 1_795_443_111.0

    def spell(*requests: tuple[int, int]) -> int:
        log = AccessLog(iso(now - 900) or "", now)
        for age_s, status in requests:
            log.add(iso(now - age_s) or "", Request("/api", status, 0.1, None, "", 0, ""))
        return log.result(15, 0)["recent"]["spell"]

    assert spell((250, 200), (190, 502), (189, 200), (130, 200), (70, 502), (10, 200)) == 4
    assert spell((250, 200), (70, 502), (69, 200), (10, 200)) == 2
    assert spell((70, 200)) == 0


def test_good_requests_since_the_last_bad_one_and_where_the_newest_went() -> None:
    now = 1_795_443_111.0
    log = AccessLog(iso(now - 900) or "", now)
    for age_s, status, upstream in ((400, 200, "172.18.0.5:8000"), (90, 502, "172.18.0.5:8000"), (60, 200, "172.18.0.6:8000"), (1, 404, "")):
        log.add(iso(now - age_s) or "", Request("/api", status, 0.1, None, upstream, 0, ""))
    result = log.result(15, 0)
    assert (result["last_error_age_s"], result["good_since_error"]) == (90.0, 2)
    assert result["newest_upstreams"] == ["172.18.0.5:8000", "172.18.0.6:8000"]
    quiet = AccessLog(iso(now - 900) or "", now).result(15, 0)
    assert (quiet["last_error_age_s"], quiet["good_since_error"], quiet["newest_upstreams"]) == (None, None, [])
