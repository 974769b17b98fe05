# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON over HTTP for the controller's own questions: bounded in time and size, no redirects, and every failure one sentence."""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from .findings import clean_text

BODY_LIMIT = 4 * 1024 * 1024
_CHUNK = 64 * 1024
_HEADER_NAME = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")
_HEADER_VALUE = re.compile(r"^[\t\x20-\x7e\xa0-\xff]*$")

Work = TypeVar("Work")
Answer = TypeVar("Answer")


class WebError(Exception):
    """The question has no usable answer; the text is one sentence without a secret."""


@dataclass(frozen=True)
class Target:
    """Where to ask: ``url`` without login, ``shown`` the same for sentences, ``headers`` with the login in them."""

    url: str
    headers: Mapping[str, str]

    @property
    def shown(self) -> str:
        """How sentences name it: without query, which may hold a token."""
        parts = urlsplit(self.url)
        return clean_text(urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the headers, with the token in them, to another server."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


def target(option: str, url: Any, headers: Any = None) -> Target:
    """The checked address and headers; WebError names the option, and never a value that may be a secret."""
    text = str(url or "").strip()
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise WebError(f"{option} is no address; write it as http://prometheus.example.com:9090")
    checked = _checked_headers(option, headers)
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        checked.setdefault("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    place = parts.netloc.rpartition("@")[2]
    return Target(urlunsplit((parts.scheme, place, parts.path, parts.query, "")), checked)


def _split(text: str) -> Any:
    try:
        parts = urlsplit(text)
        _port = parts.port
    except ValueError:
        return None
    return parts


def _checked_headers(option: str, headers: Any) -> dict[str, str]:
    if headers is None or headers == "":
        return {}
    if not isinstance(headers, Mapping):
        raise WebError(f"the headers that belong to {option} must be a dictionary such as {{Authorization: Bearer ...}}")
    checked = {}
    for name, value in headers.items():
        if not _HEADER_NAME.match(str(name)) or not _HEADER_VALUE.match(str(value)):
            raise WebError(f"header {clean_text(name, 60)} that belongs to {option} holds a character that no header may have")
        checked[str(name)] = str(value)
    return checked


def get_json(where: Target, timeout_s: float, query: str = "") -> Any:
    """The JSON document that a GET returns; WebError after ``timeout_s`` for the whole answer, or for anything else but a 2xx."""
    separator = "&" if urlsplit(where.url).query else "?"
    address = f"{where.url}{separator}{query}" if query else where.url
    request = urllib.request.Request(address, headers={"Accept": "application/json", "User-Agent": "sre.incident_response", **where.headers})  # noqa: S310 - target() admits only http and https
    deadline = time.monotonic() + timeout_s
    opener = urllib.request.build_opener(_NoRedirect())
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return _parsed(where, _read(response, where, deadline, timeout_s))
    except urllib.error.HTTPError as error:
        raise WebError(_refusal(where, error, deadline)) from None
    except TimeoutError:
        raise WebError(f"{where.shown} did not answer within {timeout_s:g} s") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise WebError(f"{where.shown} did not answer within {timeout_s:g} s") from None
        raise WebError(clean_text(f"{where.shown} can't be asked: {reason}")) from None


def _read(response: Any, where: Target, deadline: float, timeout_s: float) -> bytes:
    """The body, unless it is too long or comes too slowly: a server that sends a byte a second never runs into a socket's timeout."""
    parts: list[bytes] = []
    size = 0
    while True:
        part = response.read1(_CHUNK)
        if not part:
            return b"".join(parts)
        size += len(part)
        parts.append(part)
        if size > BODY_LIMIT:
            raise WebError(f"{where.shown} answered with more than {BODY_LIMIT // 1024 // 1024} MB, which is not read")
        if time.monotonic() > deadline:
            raise WebError(f"{where.shown} did not finish its answer within {timeout_s:g} s")


def _parsed(where: Target, body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WebError(f"{where.shown} answered with something that is no JSON") from None


def _refusal(where: Target, error: urllib.error.HTTPError, deadline: float) -> str:
    """What the server says about its refusal: Prometheus puts the reason into ``error`` of a JSON body."""
    said = ""
    try:
        document = json.loads(_read(error, where, deadline, 0)) if time.monotonic() < deadline else {}
        said = str(document.get("error") or "") if isinstance(document, dict) else ""
    except (ValueError, RecursionError, OSError, http.client.HTTPException, WebError):
        said = ""
    if 300 <= error.code < 400:
        return f"{where.shown} answered with the redirect {error.code}, which is not followed; set the address that it leads to"
    hint = "; check the headers" if error.code in (401, 403) and not said else ""
    return clean_text(f"{where.shown} answered {error.code}{f': {said}' if said else ''}{hint}", 300)


def all_at_once(work: Sequence[Work], do: Callable[[Work], Answer], budget_s: float, workers: int = 16) -> list[Answer | Exception | None]:
    """What ``do`` returned or raised for each piece, in order; None for what was not finished after ``budget_s``.

    Threads are left behind and not waited for: a server that hangs must not hold the run.
    """
    answers: list[Answer | Exception | None] = [None] * len(work)
    waiting = iter(list(enumerate(work)))
    deadline = time.monotonic() + budget_s

    def serve() -> None:
        for position, piece in waiting:
            if time.monotonic() > deadline:
                return
            try:
                answers[position] = do(piece)
            except Exception as error:  # noqa: BLE001 - it is the answer to this piece, whatever it is
                answers[position] = error

    threads = [Thread(target=serve, daemon=True) for _number in range(min(workers, len(work)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(answers)
