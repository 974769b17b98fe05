# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a container of the hostile stack: answers, logs and calls itself with whatever PAYLOAD (base64) holds.

Arguments: `application` or `proxy`, which chooses the form of its log. With CERTIFICATE (base64 of a PEM file) port 8443 speaks TLS.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import ssl
import sys
import threading
import time

PAYLOAD = base64.b64decode(os.environ["PAYLOAD"])
TEXT = PAYLOAD.decode("utf-8", "replace")
LINE = TEXT.replace("\n", " ")
LONG = 1024 * 1024


def log(line: bytes) -> None:
    """Write one line of any bytes."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def log_as_application() -> None:
    """JSON lines, plain lines, a traceback, bytes that are no text, and a line of a mebibyte."""
    record = {"level": "ERROR", "event": LINE, "path": f"/api/{LINE}", "status": 500, "exception": f"Traceback (most recent call last):\n{LINE}"}
    log(json.dumps(record).encode())
    log(json.dumps({"level": LINE, "event": [LINE], LINE: {LINE: LINE}, "status": LINE, "path": 7}).encode())
    log(b"ERROR " + PAYLOAD.replace(b"\n", b" "))
    log(b'Traceback (most recent call last):\n  File "' + PAYLOAD.replace(b"\n", b" ") + b'", line 1, in ' + PAYLOAD.replace(b"\n", b" "))
    log(b"KeyError: " + PAYLOAD.replace(b"\n", b" "))
    log(b"ERROR sorry, too many clients already " + PAYLOAD.replace(b"\n", b" "))
    log(b"ERROR " + PAYLOAD.replace(b"\n", b" ") * (LONG // len(PAYLOAD)))
    log(b'{"level": "ERROR", "event": "' + b"<b>" * (LONG // 3) + b'"}')


def log_as_proxy() -> None:
    """Access and error log of nginx."""
    for number in range(20):
        record = {"time": time.time(), "request": f"GET /{LINE} HTTP/1.1", "uri": f"/{LINE}", "path": f"/{LINE}", "method": LINE, "status": 502}
        record.update(upstream_addr=LINE, upstream_status=LINE, request_time=0.1, user_agent=LINE, host=LINE, number=number)
        log(json.dumps(record).encode())
    stamp = time.strftime("%Y/%m/%d %H:%M:%S").encode()
    words = PAYLOAD.replace(b"\n", b" ")
    log(stamp + b" [error] 7#7: *1 connect() failed (111: Connection refused) while " + words + b', client: 1.2.3.4, upstream: "http://' + words + b'"')
    log(b'1.2.3.4 - - [23/Nov/2026:14:00:00 +0000] "GET /' + words + b' HTTP/1.1" 502 1 "' + words + b'" "' + words + b'"')
    log(words)


class Answer(http.server.BaseHTTPRequestHandler):
    """Every path fails, with hostile headers and body."""

    def version_string(self) -> str:
        """Header Server."""
        return "{{ 7*7 }} <script>"

    def log_message(self, *_arguments: object) -> None:
        """Nothing of its own."""

    def do_GET(self) -> None:
        """Answer anything."""
        ready = {"status": TEXT, "components": {TEXT: "down", "db": TEXT}, TEXT: [TEXT] * 3, "checks": {"redis": {"status": TEXT}}}
        body = json.dumps(ready).encode() if "ready" in self.path else b'<html><div id="root">' + PAYLOAD + b"\0" * 10 + PAYLOAD * 100
        self.send_response(503, "Oh <script>alert(1)</script> {{ 7*7 }}")
        self.send_header("Content-Type", "application/json" if "ready" in self.path else "text/html; <img src=x onerror=alert(1)>")
        self.send_header("Retry-After", "{{ 7*7 }} $(id)")
        self.send_header("Location", "javascript:alert(1)//{{ 7*7 }}")
        # What would end the header or the connection is left out: then nobody would read the rest.
        self.send_header("X-Version", LINE.translate({0: None, 13: None}).encode("latin-1", "replace").decode("latin-1"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port: int, certificate: str = "") -> None:
    """Serve for ever."""
    server = http.server.ThreadingHTTPServer(("", port), Answer)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def main() -> None:
    """Log once at the start and now and then, and answer."""
    with open("/proc/self/comm", "wb") as name:
        name.write(b"<u>{{7*7}}\x1b[1m")
    certificate = os.environ.get("CERTIFICATE")
    if certificate:
        with open("/tmp/certificate.pem", "wb") as target:
            target.write(base64.b64decode(certificate))
        threading.Thread(target=serve, args=(8443, "/tmp/certificate.pem"), daemon=True).start()
    threading.Thread(target=serve, args=(8000,), daemon=True).start()
    (log_as_proxy if sys.argv[1] == "proxy" else log_as_application)()
    while True:
        time.sleep(60)


main()
