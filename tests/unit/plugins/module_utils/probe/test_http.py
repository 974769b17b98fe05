# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source http against real servers: good ones, slow ones, broken ones, and ones that lie."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import http, http_body, http_wire
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Service, SourceError
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import FakeDocker, context, inspect_document
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import tcp_server, unused_port

Pages = dict[str, bytes]


def page(body: bytes = b"ok", status: int = 200, kind: str = "text/plain", headers: str = "") -> bytes:
    """A response."""
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def site(pages: Pages, seen: list[str] | None = None) -> Callable[[socket.socket], None]:
    """Serves pages by path with keep-alive; anything else is a 404."""

    def hold(connection: socket.socket) -> None:
        while True:
            request = b""
            while b"\r\n\r\n" not in request:
                part = connection.recv(4096)
                if not part:
                    return
                request += part
            text = request.decode()
            method, path, _version = text.split("\r\n")[0].split(" ")
            if seen is not None:
                seen.append(text)
            answer = pages.get(path, page(b"not found", 404))
            connection.sendall(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else answer)

    return hold


def raw(answer: bytes) -> Callable[[socket.socket], None]:
    """Sends these bytes after the request and closes."""

    def hold(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    return hold


def collect(kind: str, spec: dict[str, Any], docker: FakeDocker | None = None, **options: Any) -> dict[str, Any]:
    """Endpoints of a service."""
    service = Service("web", kind, spec)
    return http.collect(context(docker=docker, service=service, **{"http_timeout_s": 1.0, **options}))["endpoints"]


def live(conversation: Callable[[socket.socket], Any], *more: Callable[[socket.socket], Any], **options: Any) -> dict[str, Any]:
    """The live endpoint of an external service that a conversation plays."""
    with tcp_server(conversation, *more) as port:
        return collect("external", {"url": f"http://127.0.0.1:{port}/health"}, **options)["live"]


# -- endpoints ---------------------------------------------------------------------------------------------------------------------


def test_a_healthy_backend_is_asked_like_its_callers_do() -> None:
    """Own User-Agent, so that logs and statistics can leave the probe out."""
    seen: list[str] = []
    body = b'{"status":"ok","components":{"db":"ok","redis":"ok"}}'
    with tcp_server(site({"/base/health": page(), "/base/health/ready": page(body, kind="application/json")}, seen)) as port:
        endpoints = collect("fastapi", {"url": f"http://127.0.0.1:{port}/base"})
    assert (endpoints["live"]["ok"], endpoints["live"]["status"], endpoints["live"]["failures"]) == (True, 200, 0)
    assert endpoints["live"]["url"] == f"http://127.0.0.1:{port}/base/health"
    assert (endpoints["ready"]["components"], endpoints["ready"]["failed_components"]) == ({"db": "ok", "redis": "ok"}, [])
    assert (endpoints["direct"], endpoints["frontend"], endpoints["tls_live"]) == (None, None, None)
    assert all("User-Agent: ir-triage\r\n" in request and f"Host: 127.0.0.1:{port}\r\n" in request for request in seen)


def test_healthy_endpoints_cost_little() -> None:
    """Three probes each are only sent because they are cheap."""
    with tcp_server(site({"/health": page(), "/health/ready": page(b"{}")})) as port:
        started = time.monotonic()
        endpoints = collect("fastapi", {"url": f"http://127.0.0.1:{port}"})
    assert endpoints["live"]["count"] == 3
    assert time.monotonic() - started < 1.0


def test_good_but_slow_answers_are_not_asked_for_again() -> None:
    """A route that takes its time, well below what is slow, gets one more probe at most."""

    def slow(connection: socket.socket) -> None:
        time.sleep(0.1)
        raw(page())(connection)

    assert live(slow)["count"] == 1


def test_a_flaky_endpoint_shows() -> None:
    """One bad answer out of three does not make it down, but it counts."""
    result = live(raw(page()), raw(page(b"no", 500)), raw(page()))
    assert (result["ok"], result["failures"], result["count"], result["status"]) == (True, 1, 3, 200)
    assert result["error"] == "answered 500"


def test_most_probes_decide() -> None:
    """Two of three."""
    result = live(raw(page(b"no", 503)), raw(page()), raw(page(b"no", 503)))
    assert (result["ok"], result["failures"], result["status"], result["error_kind"]) == (False, 2, 503, None)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"SSH-2.0-OpenSSH_9\r\n", "protocol"), (b"", "reset"), (b"HTTP/1.1 " + b"2" * 100000, "protocol")],
    ids=["another protocol", "closes", "endless status line"],
)
def test_answers_that_are_none(answer: bytes, kind: str) -> None:
    """Each has a kind of its own."""
    result = live(raw(answer))
    assert (result["ok"], result["status"]) == (False, None)
    assert result["error_kind"] == kind


def test_nobody_listens() -> None:
    """All probes are refused at once."""
    result = collect("external", {"url": f"http://127.0.0.1:{unused_port()}/"})["live"]
    assert (result["ok"], result["error_kind"], result["failures"], result["probes"][0]["connect_ms"]) == (False, "refused", 3, None)


def test_silence_costs_one_timeout_and_not_three() -> None:
    """The other probes start while the first one still waits."""
    started = time.monotonic()
    result = live(lambda _connection: time.sleep(5), http_timeout_s=1.5)
    assert time.monotonic() - started < 4
    assert (result["error_kind"], result["failures"]) == ("timeout", 3)


def test_a_byte_now_and_then_does_not_stretch_the_limit() -> None:
    """The limit is for the whole answer."""

    def drip(connection: socket.socket) -> None:
        connection.recv(4096)
        for byte in b"HTTP/1.1 200 OK\r\n" * 5:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    started = time.monotonic()
    assert live(drip, http_timeout_s=0.4)["error_kind"] == "timeout"
    assert time.monotonic() - started < 4


def test_a_name_that_does_not_resolve() -> None:
    """That is DNS and not the service."""
    result = collect("external", {"url": "http://nowhere.invalid/"})["live"]
    assert (result["ok"], result["error_kind"]) == (False, "dns")


def test_a_plea_to_stop_is_heard() -> None:
    """After 429 nothing is asked again."""
    result = live(raw(page(b"", 429, headers="Retry-After: 30\r\n")))
    assert (result["count"], result["status"], result["ok"], result["retry_after"]) == (1, 429, False, "30")


def test_redirects_stay_at_home() -> None:
    """One within the origin is followed; another host is not ours to ask."""
    seen: list[str] = []
    pages = {"/health": page(b"", 307, headers="Location: /health/\r\n"), "/health/": page(b"", 302, headers="Location: http://elsewhere.invalid/\r\n")}
    with tcp_server(site(pages, seen)) as port:
        result = collect("fastapi", {"url": f"http://127.0.0.1:{port}"})["live"]
    assert (result["ok"], result["status"], result["location"]) == (False, 302, "http://elsewhere.invalid/")
    assert not any("elsewhere" in request for request in seen)


def test_a_redirect_loop_ends() -> None:
    """After three hops."""
    pages = {"/health": page(b"", 302, headers="Location: /a\r\n"), "/a": page(b"", 302, headers="Location: /health\r\n")}
    with tcp_server(site(pages)) as port:
        result = collect("fastapi", {"url": f"http://127.0.0.1:{port}"})["live"]
    assert (result["ok"], result["error_kind"]) == (False, "protocol")
    assert "redirects" in result["error"]


def test_a_large_body_is_cut_and_made_harmless() -> None:
    """64 kB are enough for any health answer."""
    body = b"\x1b[31m{{ secret }} password=hunter2 <script>" + b"x" * 1_000_000
    result = live(raw(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body))
    assert result["ok"] is True
    assert result["body_excerpt"].startswith("{{ secret }} password=[masked] <script>")
    assert len(result["body_excerpt"]) == 500


def test_the_container_is_asked_behind_the_proxys_back() -> None:
    """At its own address, with the name that callers use."""
    seen: list[str] = []
    with tcp_server(site({"/health": page()}, seen)) as port:
        document = inspect_document("app", HostConfig={"NetworkMode": "host"}, Config={"ExposedPorts": {f"{port}/tcp": {}}})
        spec = {"url": f"http://shop.invalid:{port}", "container": "app", "port": port}
        endpoints = collect("fastapi", spec, FakeDocker([document]))
    assert (endpoints["live"]["error_kind"], endpoints["direct"]["ok"]) == ("dns", True)
    assert endpoints["direct"]["address"] == f"127.0.0.1:{port}"
    assert f"Host: shop.invalid:{port}\r\n" in seen[0]


def test_nothing_to_ask_is_said() -> None:
    """Not shown as healthy."""
    docker = FakeDocker([inspect_document("app", NetworkSettings={"Networks": {}})])
    with pytest.raises(SourceError, match="neither a url nor a running container"):
        collect("fastapi", {"container": "app"}, docker)


def test_a_url_that_is_none_is_said() -> None:
    """With the service and the value."""
    with pytest.raises(SourceError, match="url of service web is no http or https URL: shop"):
        collect("fastapi", {"url": "shop.example.com"})


# -- front end ---------------------------------------------------------------------------------------------------------------------

INDEX = b"""<!doctype html><html><head><script type="module" crossorigin src="/assets/index-1.js"></script>
<link rel="stylesheet" href='assets/index-2.css'><link rel="icon" href="/favicon.ico"><script src="https://cdn.example/x.js"></script></head>
<body><div id="root"></div></body></html>"""


def frontend(pages: Pages, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """The front end of an nginx that serves these pages."""
    with tcp_server(site({"/health": page(), **pages})) as port:
        return collect("nginx", {"url": f"http://127.0.0.1:{port}", **(spec or {})})["frontend"]


def test_the_page_with_its_scripts_and_styles() -> None:
    """Only those of its own host are asked for."""
    assets = {"/assets/index-1.js": page(b"", kind="text/javascript"), "/assets/index-2.css": page(b"", kind="text/css")}
    result = frontend({"/": page(INDEX, kind="text/html; charset=utf-8"), **assets})
    assert (result["ok"], result["content_type"], result["marker_found"], result["bad_assets"]) == (True, "text/html", True, [])
    assert [asset["url"].rpartition("/")[2] for asset in result["assets"]] == ["index-1.js", "index-2.css"]


def test_a_missing_bundle_that_is_answered_with_the_index_page() -> None:
    """A single-page application says 200 for everything: the content type decides."""
    result = frontend({"/": page(INDEX, kind="text/html"), "/assets/index-1.js": page(INDEX, kind="text/html"), "/assets/index-2.css": page(b"", 404)})
    assert [url.rpartition("/")[2] for url in result["bad_assets"]] == ["index-1.js", "index-2.css"]


def test_another_page_than_expected() -> None:
    """A maintenance page with status 200."""
    result = frontend({"/": page(b"<html>Back soon</html>", kind="text/html")})
    assert (result["status"], result["marker_found"], result["assets"]) == (200, False, [])


# -- readiness bodies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"status": "ok", "components": {"db": "ok", "redis": "down"}, "release": "v1"}, {"db": "ok", "redis": "down"}),
        ({"db": "ok", "redis": "error", "version": "1.2.3", "status": "degraded"}, {"db": "ok", "redis": "error"}),
        ({"db": True, "redis": False}, {"db": "ok", "redis": "down"}),
        ({"checks": [{"name": "db", "status": "UP"}, {"name": "redis", "status": "fail"}]}, {"db": "ok", "redis": "down"}),
        ({"components": {"db": {"status": "UP", "details": {"database": "PostgreSQL"}}, "disk": {"status": "DOWN"}}}, {"db": "ok", "disk": "down"}),
        ({"checks": {"db:responseTime": [{"status": "pass", "observedValue": 1}]}}, {"db:responseTime": "ok"}),
        ({"dependencies": {"db": {"healthy": False}, "mq": {"ok": True}}}, {"db": "down", "mq": "ok"}),
        ({"components": {"db": "timeout after 2 s"}}, {"db": "timeout after 2 s"}),
        ({"details": {"db": None}}, {"db": "down"}),
        ({"details": {"db": {"error": "refused"}}}, {"db": "down"}),
        ([{"name": "db", "status": "ok"}], {"db": "ok"}),
        ({"status": "ok"}, {}),
        ("ok", {}),
        (None, {}),
    ],
)
def test_components_of_any_common_shape(document: Any, expected: dict[str, str]) -> None:
    """Nobody agrees on one."""
    assert http_body.components(document) == expected


def test_hostile_component_names_are_bounded() -> None:
    """At most 20, and short."""
    found = http_body.components({"components": {f"\x1b[2J{number}" + "x" * 500: "ok" for number in range(1000)}})
    assert len(found) == 20
    assert all(len(name) <= 60 and "\x1b" not in name for name in found)


@pytest.mark.parametrize(
    ("path", "kind", "fits"),
    [
        ("/a.js", "application/javascript", True),
        ("/a.mjs", "text/javascript", True),
        ("/a.js", "text/html", False),
        ("/a.css", "text/css", True),
        ("/a.css", "text/plain", False),
        ("/chunk", "text/javascript", True),
        ("/chunk", "text/html", False),
    ],
)
def test_content_types_of_assets(path: str, kind: str, fits: bool) -> None:
    """What a browser would run or apply."""
    assert http_body.asset_type_fits(path, kind) is fits


def test_origins() -> None:
    """The port belongs to the Host header only when it is not the usual one."""
    origin, path = http_wire.origin_of("https://shop.example.com/base?x=1")
    assert (origin.authority, origin.port, path) == ("shop.example.com", 443, "/base?x=1")
    assert http_wire.origin_of("http://[::1]:8000")[0].authority == "[::1]:8000"
