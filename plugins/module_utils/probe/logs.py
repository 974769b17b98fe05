# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``logs``: what a container wrote in the last minutes, compared with the time before.

The engine's own timestamps decide what lies in the window, not those of the writer. Small logs are read once; of a busy one at first
only its end, which tells how much is needed: the whole window, and as much of the baseline as is cheap.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from .context import Container, Context, SourceError
from .logs_access import AccessLog
from .logs_group import LONGEST_PLAIN, application_records
from .logs_nginx import ErrorLog, request_from_combined, request_from_json
from .logs_record import Record, from_nginx_error, from_plain, from_postgresql, from_redis
from .logs_stream import Line, LogReader
from .logs_tally import Tally
from .logs_text import without_colours
from .times import epoch, iso

# Enough to judge how much a busy log needs; a quiet one has no more.
FIRST_TAIL = 1500
# The engine hands out about 50,000 lines a second: a longer baseline than this is not worth the wait.
BASELINE_TAIL = 20000
LONGEST_TAIL = 200000
SHORTEST_BASELINE_S = 600.0
RESERVE_S = 0.7
BOOT_S = 30.0
SHOWN_SIGNATURES = 20
SHOWN_NEW = 10


class Scan:
    """One pass over a log: counters of every kind, and how far back it reaches."""

    def __init__(self, ctx: Context, container: Container) -> None:
        self.now = ctx.now
        self.kind = ctx.owner.kind
        self.window_start = ctx.now - float(ctx.options["log_window_s"])
        self.start = self.window_start - float(ctx.options["log_baseline_s"])
        self.window_text = str(iso(self.window_start))
        started = epoch((container.inspect.get("State") or {}).get("StartedAt"))
        self.tally = Tally(self.window_text, str(iso(started + BOOT_S)) if started else "")
        self.access = AccessLog(self.window_text, ctx.now)
        self.errlog = ErrorLog()
        self.first: str | None = None
        self.last: str | None = None
        self.baseline_lines = 0
        self.formats: dict[str, int] = {}
        self.reader: LogReader | None = None

    def count(self, line: Line) -> None:
        """Every line passes here first."""
        self.first = self.first or line.stamp
        self.last = line.stamp
        self.baseline_lines += line.stamp < self.window_text

    def run(self, reader: LogReader) -> None:
        """Read everything."""
        self.reader = reader
        for record in self.records(iter(reader)):
            self.formats[record.kind] = self.formats.get(record.kind, 0) + 1
            self.tally.add(record)

    def records(self, lines: Iterator[Line]) -> Iterator[Record]:
        """Records by the kind of the service."""
        if self.kind == "nginx":
            return self.nginx_records(lines)
        if self.kind in ("postgresql", "redis"):
            return self.server_records(lines)
        return application_records(lines, self.count)

    def nginx_records(self, lines: Iterator[Line]) -> Iterator[Record]:
        """Requests go to the access statistics; records of the error log, and lines of the entrypoint, are yielded."""
        for line in lines:
            self.count(line)
            request = request_from_json(line.text) if line.text[:1] == b"{" else None
            if request is None:
                text = line.text[:LONGEST_PLAIN].decode("utf-8", "replace")
                record = from_nginx_error(line.stamp, text)
                if record is not None:
                    if line.stamp >= self.window_text:
                        self.errlog.add(record)
                    yield record
                    continue
                request = request_from_combined(text)
                if request is None:
                    yield from_plain(line.stamp, text)
                    continue
                self.formats["combined"] = self.formats.get("combined", 0) + 1
            else:
                self.formats["json"] = self.formats.get("json", 0) + 1
            self.access.add(line.stamp, request)

    def server_records(self, lines: Iterator[Line]) -> Iterator[Record]:
        """Records of PostgreSQL's and Redis' own logs."""
        parse = from_postgresql if self.kind == "postgresql" else from_redis
        for line in lines:
            self.count(line)
            record = parse(line.stamp, without_colours(line.text[:LONGEST_PLAIN]).decode("utf-8", "replace"))
            if record is not None:
                yield record

    def reaches(self, moment: float) -> bool:
        """Whether the scan holds everything since ``moment``."""
        if self.reader is None or self.reader.has_all:
            return True
        first = epoch(self.first)
        return first is not None and first <= moment

    def complete(self) -> bool:
        """Whether the end of the log was reached: a pass that was stopped lacks the newest lines."""
        return self.reader is not None and self.reader.stopped is None


def collect(ctx: Context) -> dict[str, Any]:
    """Data of the source as docs/architecture.md describes it; every count is null when the log can't be read back."""
    container = ctx.container
    try:
        scan = read(ctx, container)
    except SourceError as error:
        if error.kind != "unsupported":
            raise
        return unreadable(ctx, error.reason)
    return result(ctx, container, scan)


def read(ctx: Context, container: Container) -> Scan:
    """The pass that holds the newest lines and reaches back far enough, or as far as the limits let it."""
    scan = one_pass(ctx, container, FIRST_TAIL)
    for tail in tails(scan, int(ctx.options["log_max_bytes"])):
        again = one_pass(ctx, container, tail)
        if not again.complete():
            # It ran into a limit and lacks the newest lines: the shorter one is worth more.
            break
        scan = again
        if scan.reaches(scan.window_start):
            break
    return scan


def tails(scan: Scan, most_bytes: int) -> list[int]:
    """How many lines to ask for next, judged by the time and the bytes that the first ones take; none when those are enough."""
    reader = scan.reader
    if reader is None or reader.stopped or scan.reaches(scan.start):
        return []
    per_second = reader.messages / max(1.0, scan.now - (epoch(scan.first) or scan.now))
    needed = per_second * (scan.now - scan.window_start + SHORTEST_BASELINE_S) * 1.2
    wished = per_second * (scan.now - scan.start) * 1.2
    fitting = int(0.9 * most_bytes * reader.messages / max(1, reader.bytes))
    longest = max(FIRST_TAIL, min(LONGEST_TAIL, fitting))
    tail = int(min(longest, max(needed, min(wished, BASELINE_TAIL))))
    return [tail] if tail == longest else [tail, longest]


def one_pass(ctx: Context, container: Container, tail: int) -> Scan:
    """Read at most the last ``tail`` lines."""
    scan = Scan(ctx, container)
    deadline = time.monotonic() + max(0.05, ctx.remaining() - RESERVE_S)
    scan.run(LogReader(ctx.docker, container, scan.start, tail, int(ctx.options["log_max_bytes"]), deadline))
    return scan


def unreadable(ctx: Context, reason: str) -> dict[str, Any]:
    """The answer for a log that can't be read: nothing is known, so nothing is 0."""
    names = (
        "format",
        "lines",
        "bytes",
        "truncated",
        "last_line_age_s",
        "errors",
        "onset",
        "signatures",
        "new_signatures",
        "new_share_pct",
        "known",
        "by_path",
        "last_errors",
        "access",
        "errlog",
    )
    data: dict[str, Any] = dict.fromkeys(names)
    data.update(window_s=ctx.options["log_window_s"], baseline_s=ctx.options["log_baseline_s"], unreadable=True, unreadable_reason=reason)
    return data


def result(ctx: Context, container: Container, scan: Scan) -> dict[str, Any]:
    """The data of the source from a finished scan."""
    window_s, baseline_s = covered(container, scan)
    window_min, baseline_min = window_s / 60, baseline_s / 60
    tally = scan.tally
    per_min = tally.errors / max(window_min, 1 / 60)
    baseline_per_min = tally.baseline_errors / baseline_min if baseline_min > 0 else 0.0
    signatures = tally.signatures()
    new = [signature for signature in signatures if signature["new"]]
    last = epoch(scan.last)
    data: dict[str, Any] = {
        "format": format_of(scan),
        "window_s": round(window_s, 1),
        "baseline_s": round(baseline_s, 1),
        "baseline_lines": scan.baseline_lines,
        "since": scan.first,
        "lines": scan.reader.lines if scan.reader else 0,
        "bytes": scan.reader.bytes if scan.reader else 0,
        "truncated": not (scan.complete() and scan.reaches(scan.window_start)),
        "unreadable": False,
        "unreadable_reason": None,
        "last_line_age_s": round(max(0.0, scan.now - last), 1) if last else None,
        "errors": {
            "window": tally.errors,
            "baseline": tally.baseline_errors,
            "per_min": round(per_min, 2),
            "baseline_per_min": round(baseline_per_min, 2),
            # Compared with what the baseline lets expect, but at least with one error: "infinitely more" helps nobody.
            "ratio": round(tally.errors / max(1.0, baseline_per_min * window_min), 1),
        },
        "onset": tally.onset(baseline_per_min, window_min),
        "signatures": signatures[:SHOWN_SIGNATURES],
        "new_signatures": new[:SHOWN_NEW],
        "new_since": new_since(container, scan),
        "new_share_pct": round(100.0 * sum(signature["count"] for signature in new) / tally.errors, 1) if tally.errors else 0.0,
        "known": tally.known.result(),
        "by_path": tally.by_path(),
        "last_errors": tally.last_errors(),
    }
    if scan.kind == "nginx":
        data["access"] = scan.access.result(window_min, baseline_min)
        data["errlog"] = scan.errlog.result()
    return data


def covered(container: Container, scan: Scan) -> tuple[float, float]:
    """Seconds of the window and of the baseline that the log really covers: a container made a minute ago has no baseline."""
    created = epoch(container.inspect.get("Created")) or scan.start
    begin = max(scan.start, created)
    if not scan.reaches(scan.start):
        begin = max(begin, epoch(scan.first) or begin)
    return scan.now - max(scan.window_start, min(begin, scan.now)), max(0.0, scan.window_start - begin)


def new_since(container: Container, scan: Scan) -> str | None:
    """Since when a new signature counts as new: the window's start, or the container's creation if that is later."""
    created = epoch(container.inspect.get("Created")) or 0.0
    return iso(max(created, scan.window_start))


def format_of(scan: Scan) -> str:
    """``json plain nginx postgresql redis``: what most of the log is written in."""
    if scan.kind in ("nginx", "postgresql", "redis"):
        return scan.kind
    return "json" if scan.formats.get("json", 0) >= scan.formats.get("plain", 0) and scan.formats else "plain"
