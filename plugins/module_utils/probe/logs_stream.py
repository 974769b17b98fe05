# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a container's log, read from the engine as a bounded stream: nothing is ever held as a whole.

The engine's frames are read from a bare HTTP/1.0 connection: in HTTP/1.1 it sends every line as a chunk of its own, and taking those
apart costs more than everything that is done with the lines.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from .context import Container, SourceError
from .docker import DockerClient

RECEIVE = 262144
HEAD_LIMIT = 65536
LONGEST_LINE = 1024 * 1024
# Docker hands over lines in pieces of 16 KiB; a frame beyond this is no frame.
LARGEST_FRAME = 16 * 1024 * 1024
STAMP_LENGTH = 30


@dataclass
class Line:
    """One line: the engine's timestamp (``2026-11-23T14:46:33.825172619Z``), 1 for stdout or 2 for stderr, and the text without newline."""

    stamp: str
    stream: int
    text: bytes


class LogReader:
    """Iterates over the lines of one container since an epoch, oldest first, at most the last ``tail`` of them (0: all), up to ``until``.

    Stops early at ``most_bytes`` or at ``deadline`` (time.monotonic()); ``stopped`` then is ``bytes`` or ``time``. ``messages`` is what
    ``tail`` counts: the engine keeps a line of more than 16 KiB as several.
    """

    def __init__(
        self, docker: DockerClient, container: Container, since: float, tail: int, most_bytes: int, deadline: float, until: float | None = None
    ) -> None:
        self.bytes = 0
        self.lines = 0
        self.messages = 0
        self.tail = tail
        self.stopped: str | None = None
        self._most_bytes = most_bytes
        self._deadline = deadline
        self._tty = bool((container.inspect.get("Config") or {}).get("Tty"))
        query = urlencode({"stdout": 1, "stderr": 1, "timestamps": 1, "since": f"{since:.3f}", "tail": tail or "all"})
        if until is not None:
            query += f"&until={until:.3f}"
        path = f"/v{docker.version()}/containers/{quote(container.id, safe='')}/logs?{query}"
        self._socket, self._rest = self._open(docker.path, path, container)

    def _open(self, engine: str, path: str, container: Container) -> tuple[socket.socket, bytes]:
        """Send the request and read the head; SourceError when the engine does not hand out this log."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(0.05, self._deadline - time.monotonic()))
            connection.connect(engine)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            data = b""
            while b"\r\n\r\n" not in data and len(data) < HEAD_LIMIT:
                part = connection.recv(RECEIVE)
                if not part:
                    break
                data += part
            head, _blank, rest = data.partition(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status != 200:
                raise refusal(status, rest + connection.recv(HEAD_LIMIT), container)
            return connection, rest
        except socket.timeout:
            connection.close()
            raise SourceError("timeout", f"the Docker engine did not start to hand out the log of {container.name} in time") from None
        except (OSError, ValueError, IndexError) as error:
            connection.close()
            raise SourceError("error", f"the log of container {container.name} can't be read through {engine}: {error}") from None
        except SourceError:
            connection.close()
            raise

    @property
    def has_all(self) -> bool:
        """Whether there was nothing before the first line and nothing is missing at the end."""
        return self.stopped is None and (self.tail == 0 or self.messages < self.tail)

    def __iter__(self) -> Iterator[Line]:
        started = {1: b"", 2: b""}
        try:
            for stream, piece in self._terminal() if self._tty else self._frames():
                self.messages += 1
                open_line = started[stream]
                if open_line:
                    # The rest of a line that was longer than Docker's 16 KiB; it repeats the timestamp.
                    piece = open_line + piece[STAMP_LENGTH + 1 :] if len(open_line) < LONGEST_LINE else open_line + piece[-1:]
                if piece[-1:] != b"\n":
                    started[stream] = piece
                    continue
                started[stream] = b""
                yield self._line(stream, piece)
            for stream, piece in started.items():
                if piece:
                    yield self._line(stream, piece)
        finally:
            self._socket.close()

    def _line(self, stream: int, piece: bytes) -> Line:
        self.lines += 1
        stamp, _blank, text = piece.partition(b" ")
        return Line(stamp.decode("ascii", "replace"), stream, text.rstrip(b"\r\n"))

    def _received(self) -> Iterator[bytes]:
        """What the engine sends, until a limit is reached."""
        data = self._rest
        while True:
            if data:
                self.bytes += len(data)
                yield data
            left = self._deadline - time.monotonic()
            if self.bytes >= self._most_bytes or left <= 0:
                self.stopped = "bytes" if self.bytes >= self._most_bytes else "time"
                return
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(RECEIVE)
            except OSError:
                self.stopped = "time"
                return
            if not data:
                return

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """(stream, payload) of the multiplexed frames: type, three zeros, length, payload."""
        buffer = b""
        for data in self._received():
            buffer = buffer + data if buffer else data
            position, end = 0, len(buffer)
            while end - position >= 8:
                size = int.from_bytes(buffer[position + 4 : position + 8], "big")
                if size > LARGEST_FRAME:
                    self.stopped = "bytes"
                    return
                after = position + 8 + size
                if after > end:
                    break
                yield (2 if buffer[position] == 2 else 1), buffer[position + 8 : after]
                position = after
            buffer = buffer[position:]

    def _terminal(self) -> Iterator[tuple[int, bytes]]:
        """Lines of a container with a terminal: it has one stream and no frames."""
        rest = b""
        for data in self._received():
            pieces = (rest + data).split(b"\n")
            rest = pieces.pop()[-LONGEST_LINE:]
            for piece in pieces:
                yield 1, piece[:LONGEST_LINE] + b"\n"
        if rest:
            yield 1, rest + b"\n"


def refusal(status: int, body: bytes, container: Container) -> SourceError:
    """Why the engine does not hand out the log; ``unsupported`` when its logging driver can't be read back."""
    try:
        words = str(json.loads(body.decode("utf-8", "replace")).get("message") or "")
    except (ValueError, AttributeError):
        words = body.decode("utf-8", "replace").strip()[:200]
    if status == 501 or "does not support reading" in words:
        driver = ((container.inspect.get("HostConfig") or {}).get("LogConfig") or {}).get("Type") or "unknown"
        return SourceError("unsupported", f"container {container.name} logs with driver {driver}, which can't be read back")
    return SourceError("absent" if status == 404 else "error", f"the Docker engine refused the log of {container.name} with {status}: {words}")
