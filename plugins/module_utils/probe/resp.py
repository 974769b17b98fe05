# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Redis client that sends a few commands over one connection (RESP2), and the classes of Redis' error replies."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

MOST_BYTES = 16 * 1024 * 1024
DEEPEST = 8

# The first word of an error reply is its code; only the refusal of a client over the limit is an untyped "ERR".
CLASS_OF_CODE = {
    "LOADING": "loading",
    "BUSY": "busy",
    "MISCONF": "misconf",
    "READONLY": "readonly",
    "OOM": "oom",
    "NOAUTH": "noauth",
    "WRONGPASS": "noauth",
    "NOPERM": "noauth",
    "DENIED": "noauth",
}


class RespError(str):
    """An error reply: the text after the minus sign."""

    @property
    def code(self) -> str:
        """First word, such as ``LOADING``."""
        return self.split(" ", 1)[0]


class ProtocolError(Exception):
    """What listens there does not speak Redis' protocol."""


def classify(reply: Any) -> str:
    """``pong``, the class of an error reply, or ``other``: redis-cli's exit code says nothing, the text does."""
    if not isinstance(reply, RespError):
        return "pong" if reply == "PONG" else "other"
    if "max number of clients" in reply:
        return "maxclients"
    if "invalid password" in reply or "without any password configured" in reply:
        return "noauth"
    return CLASS_OF_CODE.get(reply.code, "other")


def encoded(command: tuple[str, ...]) -> bytes:
    """A command as an array of bulk strings."""
    parts = [argument.encode() for argument in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class RespConnection:
    """One connection; ``address`` is a socket path or a ``(host, port)`` pair. OSError when it can't be reached or does not answer."""

    def __init__(self, address: str | tuple[str, int], remaining: Callable[[], float]) -> None:
        self._remaining = remaining
        self._buffer = b""
        if isinstance(address, str):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(remaining())
            try:
                self._socket.connect(address)
            except BaseException:
                self._socket.close()
                raise
        else:
            self._socket = socket.create_connection(address, timeout=remaining())

    def call(self, *commands: tuple[str, ...]) -> list[Any]:
        """Replies of several commands, sent at once. A reply is text, a number, a list, None or a :class:`RespError`.

        A server that refuses the client says so and closes: its one reply then stands for all commands.
        """
        self._socket.settimeout(self._remaining())
        # A refused client's first bytes may meet a closed connection while the refusal still waits to be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(b"".join(encoded(command) for command in commands))
        replies: list[Any] = []
        for _command in commands:
            try:
                replies.append(self._reply())
            except ConnectionError:
                if not replies or not isinstance(replies[-1], RespError):
                    raise
                replies.append(replies[-1])
        return replies

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _reply(self, depth: int = 0) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode("utf-8", "replace")
        if kind == b"-":
            return RespError(rest.decode("utf-8", "replace"))
        try:
            number = int(rest)
        except ValueError:
            raise ProtocolError(f"an answer starts with {line[:20]!r}") from None
        if kind == b":":
            return number
        if kind == b"$" and number <= MOST_BYTES:
            return None if number < 0 else self._exactly(number + 2)[:-2].decode("utf-8", "replace")
        if kind == b"*" and number <= 100000 and depth < DEEPEST:
            return None if number < 0 else [self._reply(depth + 1) for _item in range(number)]
        raise ProtocolError(f"an answer starts with {line[:20]!r}")

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > 65536:
                raise ProtocolError("an answer has no line end")
            self._more()
        line, _end, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def _more(self) -> None:
        self._socket.settimeout(self._remaining())
        data = self._socket.recv(262144)
        if not data:
            raise ConnectionResetError("the server closed the connection in the middle of an answer")
        self._buffer += data
