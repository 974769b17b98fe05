"""Stand-in for a payment provider that can be told to misbehave.

GET /health, GET /quote         answer as the current mode says
POST /admin?mode=MODE           switches the mode: ok, slow (answers after 4 s), hang (accepts, never answers) or a status from 400 to 599
GET /admin                      names the current mode
"""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import UTC, datetime
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PORT = 9000
SLOW_S = 4.0
# A hanging request ends when the mode changes; the limit only keeps abandoned ones from piling up.
HANG_LIMIT_S = 60.0

ANSWERS = {
    "/health": {"status": "ok"},
    "/quote": {"sku": "sku-1", "price": "9.90", "currency": "EUR"},
}
MODES = ("ok", "slow", "hang")
BAD_STATUS = re.compile(r"[45][0-9][0-9]")

# Only for this one: a 503 with the header would tell callers when to come back, which a provider that is down can't.
RETRY_LATER = ("429",)


def reason_of(mode: str) -> str:
    """What the status is called; private ones have no name."""
    return responses.get(int(mode), "error").lower()


class Mode:
    """The current mode; waiting requests are woken when it changes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._name = "ok"

    @property
    def name(self) -> str:
        return self._name

    def switch(self, name: str) -> None:
        with self._changed:
            self._name = name
            self._changed.notify_all()

    def wait_while(self, name: str, limit_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._name != name, timeout=limit_s)


MODE = Mode()


def log(event: str, **fields: object) -> None:
    """Write one JSON line."""
    line = {"timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": "INFO", "event": event, **fields}
    print(json.dumps(line, separators=(",", ":")), flush=True)


class Handler(BaseHTTPRequestHandler):
    """One request; HTTP/1.0, so every answer closes its connection."""

    # A client that connects and says nothing must not keep a thread for ever.
    timeout = 10.0

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/admin":
            self.answer(200, {"mode": MODE.name})
        elif path in ANSWERS:
            self.answer_in_mode(ANSWERS[path])
        else:
            self.answer(404, {"error": "not found"})

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/admin":
            self.answer(404, {"error": "not found"})
            return
        mode = parse_qs(url.query).get("mode", [""])[-1]
        if mode not in MODES and not BAD_STATUS.fullmatch(mode):
            self.answer(400, {"error": f"unknown mode, use one of {', '.join(MODES)} or a status from 400 to 599"})
            return
        MODE.switch(mode)
        log("mode switched", mode=mode)
        self.answer(200, {"mode": mode})

    def answer_in_mode(self, body: dict[str, str]) -> None:
        mode = MODE.name
        if mode in RETRY_LATER:
            self.answer(int(mode), {"error": reason_of(mode)}, {"Retry-After": "30"})
        elif BAD_STATUS.fullmatch(mode):
            self.answer(int(mode), {"error": reason_of(mode)})
        elif mode == "hang":
            MODE.wait_while("hang", HANG_LIMIT_S)
            if MODE.name != "hang":
                self.answer_in_mode(body)
        else:
            if mode == "slow":
                time.sleep(SLOW_S)
            self.answer(200, body)

    def answer(self, status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Requests are not logged: whose stand-in this is would not show us its log either."""


class Server(ThreadingHTTPServer):
    """Forgets clients that left before they were answered."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        log("client left", client=str(client_address))


if __name__ == "__main__":
    log("listening", port=PORT)
    Server(("0.0.0.0", PORT), Handler).serve_forever()
