# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON over HTTP: bounded in time and size, no redirects, and no secret in any sentence."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import web
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.web_server import replying, serving


def test_login_of_the_address_becomes_a_header_and_is_never_shown() -> None:
    with serving(replying(b"[1]")) as seen:
        where = web.target("some_url", seen.url.replace("http://", "http://joe:s%40cret@"))
        assert web.get_json(where, 5, "query=up") == [1]
    assert seen.headers[0]["Authorization"] == "Basic am9lOnNAY3JldA=="
    assert seen.paths[0].endswith("?query=up")
    assert "cret" not in where.shown
    assert "cret" not in where.url


@pytest.mark.parametrize("url", ["", None, "prometheus:9090", "ftp://x/", "file:///etc/passwd", "http://", "http://x:99999/", "http://a b/", "http://a/\nb", 7])
def test_what_is_no_address_is_one_sentence(url: Any) -> None:
    with pytest.raises(web.WebError, match="some_url is no address"):
        web.target("some_url", url)


@pytest.mark.parametrize("headers", [{"A\r\nB": "x"}, {"Authorization": "Bearer hunter2\r\nX: y"}, {"": "x"}, ["hunter2"], "hunter2", {"A": "hunter2\u2028"}])
def test_headers_that_are_none_are_refused_without_showing_them(headers: Any) -> None:
    with pytest.raises(web.WebError) as error:
        web.target("some_url", "http://127.0.0.1/", headers)
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


def test_redirect_is_not_followed() -> None:
    """The token in the headers would go to whoever is named there."""
    with serving(replying(b"[]")) as other, serving(replying(b"", 302, {"Location": other.url})) as seen:
        with pytest.raises(web.WebError, match="redirect 302"):
            web.get_json(web.target("some_url", seen.url, {"Authorization": "Bearer x"}), 5)
        assert other.paths == []


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"<html>", 200, "no JSON"),
        (b"[" * 100_000, 200, "no JSON"),
        (b"\xff\xfe{", 200, "no JSON"),
        (b'{"error": "bad \x1b[31m query\\u0007"}', 400, "answered 400$"),
        (b'{"error": "parse error\\u001b[31m at 1\\n{{ 7*7 }}"}', 400, r"answered 400: parse error at 1 \{\{ 7\*7 \}\}$"),
        (b"", 401, "401; check the headers"),
        (b"no", 503, "answered 503$"),
    ],
)
def test_answers_that_are_none_are_one_clean_sentence(body: bytes, status: int, sentence: str) -> None:
    with serving(replying(body, status)) as seen, pytest.raises(web.WebError, match=sentence) as error:
        web.get_json(web.target("some_url", seen.url), 5)
    assert str(error.value).isprintable()


def test_long_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BODY_LIMIT", 1000)
    with serving(replying(b"1" * 5000)) as seen, pytest.raises(web.WebError, match="more than"):
        web.get_json(web.target("some_url", seen.url), 5)


def test_server_that_drips_or_is_silent_is_left_in_time() -> None:
    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _number in range(40):
            handler.wfile.write(b" ")
            time.sleep(0.1)

    def silent(_handler: Any) -> None:
        time.sleep(3)

    for answer in (drip, silent):
        with serving(answer) as seen:
            begun = time.monotonic()
            with pytest.raises(web.WebError, match=r"within 0\.5 s"):
                web.get_json(web.target("some_url", seen.url), 0.5)
            assert time.monotonic() - begun < 2


def test_nobody_listening_is_one_sentence() -> None:
    with serving(replying(b"")) as seen:
        where = web.target("some_url", seen.url)
    with pytest.raises(web.WebError, match=r"can't be asked: .*refused"):
        web.get_json(where, 5)


def test_work_is_done_at_the_same_time_and_what_hangs_is_left_behind() -> None:
    def do(piece: float) -> float:
        time.sleep(piece)
        return piece

    begun = time.monotonic()
    assert web.all_at_once([0.2] * 8, do, 5) == [0.2] * 8
    assert web.all_at_once([0.0, 5.0], do, 0.5) == [0.0, None]
    assert time.monotonic() - begun < 2

    def broken(_piece: float) -> float:
        raise ValueError("broken")

    assert isinstance(web.all_at_once([1.0], broken, 1)[0], ValueError)
