# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers for the tests of protocol clients: each plays one conversation per connection, well or badly."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Conversation = Callable[[socket.socket], object]


@contextlib.contextmanager
def tcp_server(*conversations: Conversation) -> Iterator[int]:
    """Port of a server that holds the conversations one after the other, the last one again and again."""
    listener = socket.create_server(("127.0.0.1", 0))
    serve(listener, conversations)
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@contextlib.contextmanager
def unix_server(path: str, *conversations: Conversation) -> Iterator[str]:
    """Path of such a server on a unix socket."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    serve(listener, conversations)
    try:
        yield path
    finally:
        listener.close()


def serve(listener: socket.socket, conversations: tuple[Conversation, ...]) -> None:
    """Accept in a thread until the listener is closed; every connection has a thread of its own."""

    def hold(conversation: Conversation, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            conversation(connection)

    def accept() -> None:
        number = 0
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            conversation = conversations[min(number, len(conversations) - 1)]
            number += 1
            threading.Thread(target=hold, args=(conversation, connection), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def exactly(connection: socket.socket, count: int) -> bytes:
    """``count`` bytes from a connection; ConnectionError when it ends before."""
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the client closed the connection")
        data += part
    return data


def remaining(seconds: float = 2.0) -> Callable[[], float]:
    """A time limit for the clients under test."""
    return lambda: seconds
