# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL client that can log in and run one statement: protocol 3.0 over TCP or a unix socket.

Covers what triage needs and nothing else: trust, cleartext, md5 and SCRAM-SHA-256 logins, TLS when the server offers it, the simple
query protocol, and error fields with their SQLSTATE. Every wait ends at ``remaining()``.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

from .pg_scram import MECHANISM, Scram, ScramError, md5_answer

PROTOCOL_3 = 196608
SSL_REQUEST = 80877103
# The snapshot of a busy server is about 100 kB; a hundred times that is no PostgreSQL answer.
MOST_BYTES = 16 * 1024 * 1024

# Fields of ErrorResponse; V is the severity that lc_messages does not translate.
ERROR_FIELDS = {"V": "severity", "C": "sqlstate", "M": "message", "D": "detail", "H": "hint"}


class PgError(Exception):
    """The server refused the login or the statement.

    ``sqlstate`` is its five-character code, or "" when what we got is not the protocol.
    """

    def __init__(self, sqlstate: str, message: str, severity: str = "ERROR", detail: str = "", hint: str = "") -> None:
        super().__init__(f"{message} ({sqlstate})" if sqlstate else message)
        self.sqlstate = sqlstate
        self.message = message
        self.severity = severity
        self.detail = detail
        self.hint = hint


def error_from_fields(body: bytes) -> PgError:
    """PgError from the body of an ErrorResponse."""
    found = {"severity": "ERROR", "sqlstate": "", "message": "no message"}
    for part in body.split(b"\0"):
        name = ERROR_FIELDS.get(part[:1].decode("ascii", "replace"))
        if name:
            found[name] = part[1:].decode("utf-8", "replace")
    return PgError(**found)


def message(kind: bytes, body: bytes) -> bytes:
    """A frontend message: type byte, length that counts itself, body."""
    return kind + struct.pack("!I", len(body) + 4) + body


def startup_message(parameters: dict[str, str]) -> bytes:
    """The first message of a session; it has no type byte."""
    pairs = b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters.items())
    body = struct.pack("!I", PROTOCOL_3) + pairs + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def row_values(body: bytes) -> list[bytes | None]:
    """Column values of a DataRow in text form; None is SQL NULL."""
    (count,) = struct.unpack_from("!H", body)
    values: list[bytes | None] = []
    position = 2
    for _column in range(count):
        (size,) = struct.unpack_from("!i", body, position)
        position += 4
        if size < 0:
            values.append(None)
            continue
        values.append(body[position : position + size])
        position += size
    return values


class PgConnection:
    """One session. ``address`` is a path (unix socket) or a ``(host, port)`` pair; ``settings`` become startup options.

    Raises OSError (including timeouts) when the server can't be reached and PgError when it refuses.
    """

    def __init__(
        self,
        address: str | tuple[str, int],
        user: str,
        database: str,
        remaining: Callable[[], float],
        password: str = "",
        settings: dict[str, str] | None = None,
        encoding: str = "UTF8",
    ) -> None:
        self.address = address
        self.user = user
        self.backend_pid: int | None = None
        self.parameters: dict[str, str] = {}
        self.tls = False
        self._remaining = remaining
        self._password = password
        self._buffer = b""
        self._socket = self._connect()
        try:
            if not isinstance(address, str):
                self._prefer_tls(address[0])
            options = " ".join(f"-c {name}={value}" for name, value in (settings or {}).items())
            self._login({"user": user, "database": database, "application_name": "ir_triage", "client_encoding": encoding, "options": options})
        except BaseException:
            self._socket.close()
            raise

    def _connect(self) -> socket.socket:
        if not isinstance(self.address, str):
            return socket.create_connection(self.address, timeout=self._remaining())
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._remaining())
            connection.connect(self.address)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prefer_tls(self, host: str) -> None:
        """Encrypt when the server can, as libpq's sslmode=prefer does: the certificate is not the question here."""
        self._socket.settimeout(self._remaining())
        self._socket.sendall(struct.pack("!II", 8, SSL_REQUEST))
        answer = self._socket.recv(1)
        if not answer:
            raise ConnectionResetError("the server closed the connection before it said anything")
        if answer != b"S":
            if answer not in (b"N", b"E"):
                raise PgError("", "what listens there does not speak the PostgreSQL protocol")
            # An old server answers the request with an error and closes; so does a full one. Ask again without TLS to read its words.
            if answer == b"E":
                self._socket.close()
                self._socket = self._connect()
            return
        import ssl  # Most sessions use the unix socket: not worth 10 ms at start.

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._socket = context.wrap_socket(self._socket, server_hostname=host)
        self.tls = True

    def _login(self, parameters: dict[str, str]) -> None:
        self._send(startup_message(parameters))
        scram: Scram | None = None
        while True:
            kind, body = self._receive()
            if kind == b"R":
                scram = self._authenticate(body, scram)
            elif kind == b"S":
                name, value = body.split(b"\0")[:2]
                self.parameters[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
            elif kind == b"K":
                (self.backend_pid,) = struct.unpack_from("!I", body)
            elif kind == b"E":
                raise error_from_fields(body)
            elif kind == b"Z":
                return

    def _authenticate(self, body: bytes, scram: Scram | None) -> Scram | None:
        """Answer one authentication request; returns the SCRAM exchange it belongs to."""
        (method,) = struct.unpack_from("!I", body)
        if method == 0:
            return scram
        if not self._password:
            raise PgError("28P01", f'password authentication failed for user "{self.user}": the server wants a password and none is declared')
        try:
            if method == 3:
                self._send(message(b"p", self._password.encode() + b"\0"))
            elif method == 5:
                self._send(message(b"p", md5_answer(self.user, self._password, body[4:8]) + b"\0"))
            elif method == 10 and MECHANISM.encode() in body[4:].split(b"\0"):
                scram = Scram(self._password)
                first = scram.first()
                self._send(message(b"p", MECHANISM.encode() + b"\0" + struct.pack("!I", len(first)) + first))
            elif method == 11 and scram:
                self._send(message(b"p", scram.final(body[4:])))
            elif method == 12 and scram:
                scram.verify(body[4:])
            else:
                raise PgError("28000", f"the server asks for authentication method {method}, which needs a full client")
        except ScramError as error:
            raise PgError("28000", str(error)) from None
        return scram

    def query(self, sql: str) -> list[list[bytes | None]]:
        """Rows of one statement in text form; PgError when the server refuses it."""
        self._send(message(b"Q", sql.encode() + b"\0"))
        rows = []
        failure: PgError | None = None
        while True:
            kind, body = self._receive()
            if kind == b"D":
                rows.append(row_values(body))
            elif kind == b"E":
                failure = error_from_fields(body)
                if failure.severity in ("FATAL", "PANIC"):
                    raise failure
            elif kind == b"Z":
                break
        if failure:
            raise failure
        return rows

    def close(self) -> None:
        """Say goodbye so that the server logs no broken connection; errors do not matter any more."""
        with contextlib.suppress(OSError):
            self._send(message(b"X", b""))
        self._socket.close()

    def __enter__(self) -> PgConnection:
        return self

    def __exit__(self, *_exception: Any) -> None:
        self.close()

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._remaining())
        self._socket.sendall(data)

    def _receive(self) -> tuple[bytes, bytes]:
        """Next backend message as (type, body)."""
        head = self._exactly(5)
        (size,) = struct.unpack("!I", head[1:])
        if not 4 <= size <= MOST_BYTES:
            raise PgError("", "what listens there does not speak the PostgreSQL protocol")
        return head[:1], self._exactly(size - 4)

    def _exactly(self, count: int) -> bytes:
        parts = [self._buffer]
        have = len(self._buffer)
        while have < count:
            self._socket.settimeout(self._remaining())
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("the server closed the connection in the middle of an answer")
            parts.append(data)
            have += len(data)
        data = b"".join(parts)
        self._buffer = data[count:]
        return data[:count]
