# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the lines of a traceback, or of any message of several lines, together with the record they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .logs_record import TRACEBACK, Record, from_json, from_plain, starts_record
from .logs_stream import Line
from .logs_text import ERROR, UNKNOWN, without_colours
from .times import epoch

# Longer tracebacks keep their head and, more important, their end.
HEAD_LINES = 15
TAIL_LINES = 60
LONGEST_PART = 1000
# Of a plain line nobody needs more; JSON is read whole.
LONGEST_PLAIN = 16384
# The rest of a message whose lines look like nothing comes right behind it.
SAME_WRITE_S = 0.1
CONTINUATIONS = ("During handling of the above exception", "The above exception was the direct cause")


class OpenRecord:
    """The last record of one stream, to which further lines may belong."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.tracing = False
        self._head: list[str] = []
        self._tail: list[str] = []
        self._last = record.stamp

    def add(self, stamp: str, text: str) -> None:
        """One more line of the record."""
        self._last = stamp
        text = text[:LONGEST_PART]
        self.tracing = self.tracing or text.startswith(TRACEBACK)
        if len(self._head) < HEAD_LINES:
            self._head.append(text)
            return
        self._tail.append(text)
        if len(self._tail) > 2 * TAIL_LINES:
            del self._tail[:TAIL_LINES]

    def wants(self, stamp: str, text: str) -> bool:
        """Whether a line belongs to this record."""
        if not text or text[0] in " \t":
            return True
        if text.startswith(TRACEBACK):
            # A traceback behind an error is that error's; behind anything else it stands for itself.
            return self.tracing or (self.record.level >= ERROR and self._close_to(stamp))
        if not self.tracing:
            return False
        return text.startswith(CONTINUATIONS) or (not starts_record(text) and self._close_to(stamp))

    def _close_to(self, stamp: str) -> bool:
        before, now = epoch(self._last), epoch(stamp)
        return before is not None and now is not None and now - before <= SAME_WRITE_S

    def finished(self) -> Record:
        """The record with its traceback or further lines."""
        rest = "\n".join(self._head + self._tail[-TAIL_LINES:])
        if self.tracing:
            self.record.trace = rest
            if self.record.level == UNKNOWN:
                self.record.level = ERROR
        elif rest:
            self.record.more = rest[:2000]
        return self.record


def application_records(lines: Iterator[Line], count: Callable[[Line], None]) -> Iterator[Record]:
    """Records of an application's log, JSON and plain lines mixed; ``count`` sees every line first."""
    pending: dict[int, OpenRecord] = {}
    for line in lines:
        count(line)
        if line.text[:1] == b"{":
            record = from_json(line.stamp, line.text)
            if record is not None:
                before = pending.pop(line.stream, None)
                if before:
                    yield before.finished()
                yield record
                continue
        text = without_colours(line.text[:LONGEST_PLAIN]).decode("utf-8", "replace")
        current = pending.get(line.stream)
        if current and current.wants(line.stamp, text):
            current.add(line.stamp, text)
            continue
        if current:
            yield current.finished()
        pending[line.stream] = OpenRecord(from_plain(line.stamp, text))
        if text.startswith(TRACEBACK):
            pending[line.stream].record.message = ""
            pending[line.stream].add(line.stamp, text)
    for current in pending.values():
        yield current.finished()
