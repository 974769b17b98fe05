# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request on one connection, with the time of each part: connect, TLS, first byte, total."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .names import NameFailedError, resolve
from .tls_wire import UNKNOWN_ISSUER, handshake, open_tcp, trust_problem

USER_AGENT = "ir-triage"
BODY_LIMIT = 64 * 1024
DEFAULT_PORT = {"http": 80, "https": 443}
MOST_ADDRESSES = 3


@dataclass(frozen=True)
class Origin:
    """Where requests go: the URL's scheme, host and port, and the address that is really connected to (``direct`` probes)."""

    scheme: str
    host: str
    port: int
    address: tuple[str, int] | None = None

    @property
    def authority(self) -> str:
        """Host header: the port only when it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """``https://shop.example.com``"""
        return f"{self.scheme}://{self.authority}"


def origin_of(url: str) -> tuple[Origin, str]:
    """(origin, path with query) of an http or https URL; ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORT or not parts.hostname:
        raise ValueError(f"{url} is no http or https URL")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, parts.hostname, parts.port or DEFAULT_PORT[parts.scheme]), path


@dataclass
class Answer:
    """What one request brought. ``status`` is None when there was no HTTP answer; then ``error_kind`` and ``error`` say why.

    ``error_kind`` is ``tls`` with a ``status`` when only the certificate is wrong: the request was sent without verification then.
    """

    status: int | None = None
    error: str | None = None
    error_kind: str | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    verify_error: str | None = None

    def timings(self) -> dict[str, Any]:
        """The probe's entry in an endpoint."""
        return {
            "status": None if self.error_kind else self.status,
            "error": self.error,
            "error_kind": self.error_kind,
            "connect_ms": self.connect_ms,
            "tls_ms": self.tls_ms,
            "first_byte_ms": self.first_byte_ms,
            "total_ms": self.total_ms,
        }


class _Reader(io.RawIOBase):
    """Reads from a socket until a deadline: a server that sends a byte now and then can't stretch the time."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("deadline")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Deadlined:
    """What HTTPResponse wants from a socket."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._reader = _Reader(connection, deadline)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The file that the response is read from."""
        return io.BufferedReader(self._reader)


class Client:
    """A connection to one origin that can be used for several requests."""

    def __init__(self, origin: Origin, timeout_s: float, ca_file: str = "", now: float = 0.0) -> None:
        """``ca_file`` may be empty for the system's trust store. One that can't be read is a note, not a reason not to ask."""
        self.origin = origin
        self.ca_file = ca_file
        self.now = now
        self._deadline = time.monotonic() + timeout_s
        self._socket: socket.socket | None = None
        self.connect_ms: float | None = None
        self.tls_ms: float | None = None
        self.verify_error: str | None = None
        self.certificate_problem: str | None = None

    def _left(self) -> float:
        return max(0.02, self._deadline - time.monotonic())

    def connect(self) -> None:
        """Name, TCP and TLS. OSError when one of them fails; a bad certificate is only noted."""
        if self.origin.address:
            self._connect_to(self.origin.address)
            return
        addresses = resolve(self.origin.host, self._left())[:MOST_ADDRESSES]
        for address in addresses:
            try:
                self._connect_to((address, self.origin.port))
                return
            except OSError as error:
                # "localhost" is ::1 first for many resolvers, while published ports often listen on 127.0.0.1 only.
                if address == addresses[-1] or isinstance(error, (ssl.SSLError, socket.timeout)):
                    raise

    def _connect_to(self, address: tuple[str, int]) -> None:
        started = time.monotonic()
        if self.origin.scheme == "http":
            self._socket = open_tcp(address, self._left())
            self.connect_ms = elapsed_ms(started)
            return
        # A direct probe asks the container, whatever certificate its name would need.
        behind = self.origin.address is not None
        distrust = None if behind else trust_problem(self.ca_file)
        shaken = handshake(address, self.origin.host, self.ca_file, self._left(), verify=not behind and distrust is None)
        self._socket = shaken.connection
        self.connect_ms, self.tls_ms = shaken.connect_ms, shaken.tls_ms
        if not behind:
            self.verify_error = distrust or shaken.verify_error
            self.certificate_problem = self._judge(shaken.verify_error, shaken.verify_code, shaken.certificate())

    def _judge(self, verify_error: str | None, code: int | None, certificate: Any) -> str | None:
        """What is wrong with the certificate for everybody.

        Without a declared trust store an issuer that this machine does not know may still be known to the users.
        """
        own_problem = certificate.problem(self.origin.host, self.now or time.time()) if certificate else None
        if own_problem or verify_error is None:
            return own_problem
        return None if code in UNKNOWN_ISSUER and not self.ca_file else verify_error

    def request(self, method: str, path: str) -> Answer:
        """One request and its answer; raises OSError and http.client.HTTPException."""
        if self._socket is None:
            self.connect()
        connection = self._socket
        if connection is None:
            raise ConnectionError("not connected")
        connection.settimeout(self._left())
        started = time.monotonic()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.origin.authority}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n"
            "Accept-Encoding: identity\r\nCache-Control: no-cache\r\n\r\n"
        )
        connection.sendall(head.encode("ascii", "replace"))
        response = http.client.HTTPResponse(_Deadlined(connection, self._deadline), method=method)  # type: ignore[arg-type]
        response.begin()
        answer = Answer(status=response.status, first_byte_ms=elapsed_ms(started))
        answer.headers = {name.lower(): value for name, value in response.getheaders()}
        answer.body = self._read(response)
        if not response.isclosed() or response.will_close:
            self.close()
        return answer

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        while size < BODY_LIMIT and time.monotonic() < self._deadline:
            part = response.read1(BODY_LIMIT - size)
            if not part:
                break
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def get(origin: Origin, path: str, timeout_s: float, ca_file: str = "", now: float = 0.0) -> Answer:
    """GET once over a fresh connection; whatever goes wrong is in the answer. No redirect is followed."""
    client = Client(origin, timeout_s, ca_file, now)
    started = time.monotonic()
    try:
        client.connect()
        answer = client.request("GET", path)
    except (OSError, http.client.HTTPException) as error:
        answer = Answer(error_kind=kind_of(error), error=text_of(error, origin, timeout_s))
    finally:
        client.close()
    answer.total_ms = elapsed_ms(started)
    answer.connect_ms, answer.tls_ms, answer.verify_error = client.connect_ms, client.tls_ms, client.verify_error
    if client.certificate_problem and answer.error_kind is None:
        answer.error_kind, answer.error = "tls", client.certificate_problem
    return answer


def kind_of(error: Exception) -> str:
    """``refused timeout reset dns tls unreachable protocol`` for an exception."""
    if isinstance(error, NameFailedError):
        return "dns"
    if isinstance(error, socket.timeout):
        return "timeout"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    # RemoteDisconnected is both: the server accepted the connection and closed it without an answer.
    if isinstance(error, ConnectionError):
        return "reset"
    if isinstance(error, http.client.HTTPException):
        return "protocol"
    return "unreachable"


def text_of(error: Exception, origin: Origin, timeout_s: float) -> str:
    """One phrase about the error."""
    where = "{}:{}".format(*(origin.address or (origin.host, origin.port)))
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake with {where} failed: {error.reason or error}"
    texts = {
        "timeout": f"no answer from {where} within {timeout_s:g} s",
        "refused": f"connection refused by {where}",
        "reset": f"{where} closed the connection without an answer",
        "protocol": f"{where} does not answer in HTTP",
        "unreachable": f"{where} can't be reached: {getattr(error, 'strerror', None) or error}",
    }
    return texts.get(kind_of(error)) or getattr(error, "strerror", None) or str(error)


def elapsed_ms(started: float) -> float:
    """Milliseconds since a time.monotonic()."""
    return round((time.monotonic() - started) * 1000, 1)
