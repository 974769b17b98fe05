"""One log line for every request, with the reason when it failed."""

from __future__ import annotations

import json
import logging
import time
import uuid
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import metrics
from .failures import describe, status_of

log = structlog.get_logger("shop.request")


class RequestLog:
    """Innermost place that sees every exception of a route: it answers for it and logs it once."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        started = time.perf_counter()
        request_id = dict(scope["headers"]).get(b"x-request-id", b"").decode("ascii", "replace") or uuid.uuid4().hex
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        shop = getattr(scope["app"].state, "resources", None)
        pool = shop.pool if shop else None
        metrics.began(pool)
        # Also lines that a library writes on the way then say which request they belong to.
        structlog.contextvars.bind_contextvars(method=scope["method"], path=scope["path"], request_id=request_id)
        failure: Exception | None = None
        try:
            await self.app(scope, receive, watch)
        except Exception as error:  # noqa: BLE001 every request gets an answer and a line
            failure = error
            if not status:
                await _send_error(watch, status_of(error) or 500, error, request_id)
        duration_s = time.perf_counter() - started
        metrics.ended(scope, status, duration_s, pool)
        _write(scope["path"], status, round(duration_s * 1000, 1), failure)
        structlog.contextvars.clear_contextvars()


async def _send_error(send: Send, status: int, error: Exception, request_id: str) -> None:
    body = json.dumps({"error": type(error).__name__, "request_id": request_id}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _write(path: str, status: int, duration_ms: float, failure: Exception | None) -> None:
    fields: dict[str, Any] = {"status": status, "duration_ms": duration_ms}
    if failure is None:
        # A probe's question is no news unless the answer is bad; what is wrong then, the health route has said itself.
        if status >= 400 or not path.startswith(("/health", "/metrics")):
            log.log(logging.WARNING if status >= 500 else logging.INFO, "request", **fields)
    elif status_of(failure) is not None:
        log.error("request failed", **fields, **describe(failure))
    else:
        log.error("Exception in ASGI application", **fields, **describe(failure), exc_info=failure)
