# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines put together to entries: a traceback stays with the error that it belongs to, whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_group import LONGEST_PLAIN, OpenRecord
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_nginx import request_from_combined, request_from_json
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_record import (
    TRACEBACK,
    Record,
    from_json,
    from_nginx_error,
    from_plain,
    from_postgresql,
    from_redis,
)
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_stream import Line
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_tally import signature_of
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_text import ERROR, INFO, UNKNOWN, exception_in, route_of

# Longer ones are no traceback, but a writer that indents everything.
LONGEST_ENTRY = 5000
SERVER_ERROR = 500
# What the lines of programs without log levels say when something fails.
_ERROR_WORDS = re.compile(r"\b(?:error|critical|fatal|panic|exception|traceback)\b|\b[A-Z]\w*(?:Error|Exception)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """One message of a log: its lines as they were written, and what they say."""

    lines: list[str]
    record: Record

    @property
    def is_error(self) -> bool:
        """Whether its level is error or worse, or, where no level is named, its words sound like it."""
        if self.record.level != UNKNOWN or self.record.kind in ("redis", "postgresql"):
            return self.record.level >= ERROR
        return self.record.status is None and bool(_ERROR_WORDS.search(self.lines[0], 0, LONGEST_PLAIN))

    @property
    def pattern(self) -> str:
        """What entries about the same thing have in common: exception and place, or the message without its numbers."""
        if self.record.kind == "nginx" and self.record.status:
            return self.record.message
        kind, where, _words = exception_in(self.record.trace) if self.record.trace else (None, None, "")
        return signature_of(self.record, kind or self.record.error_class or None, where)

    @property
    def sentence(self) -> str:
        """The message, and the exception behind it."""
        kind, _where, words = exception_in(self.record.trace) if self.record.trace else (self.record.error_class, None, self.record.more)
        parts = (self.record.message, kind, words)
        return ": ".join(dict.fromkeys(part for part in parts if part)) or self.lines[0][:LONGEST_PLAIN]


class _Open:
    """The last entry of one stream, to which more lines may belong."""

    def __init__(self, line: Line, text: str, record: Record | None) -> None:
        self.lines = [text]
        self._takes_rest = record is not None
        self._open = OpenRecord(record or from_plain(line.stamp, text[:LONGEST_PLAIN]))
        if record is None and text.startswith(TRACEBACK):
            self._open.record.message = ""
            self._open.add(line.stamp, text)

    def wants(self, line: Line, text: str) -> bool:
        """Whether a line that is no message by itself belongs here."""
        return len(self.lines) < LONGEST_ENTRY and (self._takes_rest or self._open.wants(line.stamp, text))

    def add(self, line: Line, text: str) -> None:
        """One more line."""
        self.lines.append(text)
        if not self._takes_rest:
            self._open.add(line.stamp, text)

    def entry(self) -> Entry:
        """All of it."""
        return Entry(self.lines, self._open.record if self._takes_rest else self._open.finished())


def entries(lines: Iterable[Line], kind: str) -> Iterator[Entry]:
    """The entries of a log of a service of that kind, in the order in which they ended."""
    message = _MESSAGES.get(kind, _application_message)
    pending: dict[int, _Open] = {}
    for line in lines:
        text = line.text.decode("utf-8", "replace")
        record = message(line, text[:LONGEST_PLAIN])
        current = pending.get(line.stream)
        if record is None and current is not None and current.wants(line, text):
            current.add(line, text)
            continue
        if current is not None:
            yield pending.pop(line.stream).entry()
        if record is not None and kind != "postgresql":
            yield Entry([text], record)
            continue
        # PostgreSQL writes DETAIL and STATEMENT, and the further lines of a statement, behind the message.
        pending[line.stream] = _Open(line, text, record)
    for current in pending.values():
        yield current.entry()


def _application_message(line: Line, _text: str) -> Record | None:
    return from_json(line.stamp, line.text) if line.text[:1] == b"{" else None


def _nginx_message(line: Line, text: str) -> Record | None:
    """A request is an error when the server's side failed it: a proxy has nothing else to say about that."""
    request = request_from_json(line.text) if line.text[:1] == b"{" else request_from_combined(text)
    if request is None:
        return from_nginx_error(line.stamp, text)
    failed = request.status >= SERVER_ERROR
    message = f"request answered with {request.status}"
    return Record(line.stamp, ERROR if failed else INFO, f"{message}: {route_of(request.path)}", status=request.status, kind="nginx")


_MESSAGES: dict[str, Callable[[Line, str], Record | None]] = {
    "nginx": _nginx_message,
    "postgresql": lambda line, text: from_postgresql(line.stamp, text),
    "redis": lambda line, text: from_redis(line.stamp, text),
}
