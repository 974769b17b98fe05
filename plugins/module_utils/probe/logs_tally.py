# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts errors: per minute, per signature, per path, in the window and in the baseline before it. Memory is bounded."""

from __future__ import annotations

from collections import deque
from typing import Any

from .logs_known import KnownErrors, text_of
from .logs_record import Record
from .logs_text import ERROR, LEVEL_NAMES, UNKNOWN, WARNING, exception_in, masked, route_of
from .redact import sample
from .times import epoch, iso

MOST_SIGNATURES = 500
MOST_PATHS = 200
OTHERS = "(others)"
SHOWN_PATHS = 30
LAST_ERRORS = 10
# Less than this is no spike, whatever the ratio says.
FEWEST_FOR_ONSET = 5
SPIKE_RATIO = 2.0
ONSET_SHARE = 0.2
MOST_MINUTES = 24 * 60


class Tally:
    """All counters over the records of one log. ``window_start`` is a timestamp text; records before it are the baseline."""

    def __init__(self, window_start: str, boot_until: str) -> None:
        self.window_start = window_start
        self.errors = 0
        self.baseline_errors = 0
        self.known = KnownErrors(boot_until)
        self.minutes: dict[str, int] = {}
        self._first_in_minute: dict[str, str] = {}
        self._signatures: dict[str, dict[str, Any]] = {}
        self._overflow = 0
        self._paths: dict[str, list[int]] = {}
        self._last: deque[tuple[str, str]] = deque(maxlen=LAST_ERRORS)

    def add(self, record: Record) -> None:
        """Count one record."""
        in_window = record.stamp >= self.window_start
        is_error = record.level >= ERROR
        if record.path and in_window and (record.status is not None or is_error):
            self._count_path(record, is_error)
        if is_error:
            self._count_error(record, in_window)
        elif record.level >= WARNING or (record.level == UNKNOWN and record.status is None) or record.sqlstate not in ("", "00000"):
            self.known.add(record, record.error_class, "", in_window)

    def _count_error(self, record: Record, in_window: bool) -> None:
        kind, where, words = exception_in(record.trace) if record.trace else (None, None, "")
        kind = kind or record.error_class or None
        self.known.add(record, kind or "", words, in_window)
        self._count_signature(record, kind, where, in_window)
        if not in_window:
            self.baseline_errors += 1
            return
        self.errors += 1
        minute = record.stamp[:16]
        self.minutes[minute] = self.minutes.get(minute, 0) + 1
        self._first_in_minute.setdefault(minute, record.stamp)
        self._last.append((record.stamp, text_of(record)))

    def _count_signature(self, record: Record, kind: str | None, where: str | None, in_window: bool) -> None:
        key = signature_of(record, kind, where)
        entry = self._signatures.get(key)
        if entry is None:
            if len(self._signatures) >= MOST_SIGNATURES:
                self._overflow += in_window
                return
            entry = {"signature": key, "count": 0, "baseline": 0, "first": None, "last": None, "sample": "", "level": record.level, "where": where}
            self._signatures[key] = entry
        if not in_window:
            entry["baseline"] += 1
            return
        entry["count"] += 1
        entry["first"] = entry["first"] or record.stamp
        entry["last"] = record.stamp
        entry["where"] = where or entry["where"]
        if entry["count"] == 1:
            entry["sample"] = text_of(record)

    def _count_path(self, record: Record, is_error: bool) -> None:
        """``[requests, failed requests, errors without a status]`` of the record's route."""
        route = route_of(record.path)
        if route not in self._paths and len(self._paths) >= MOST_PATHS:
            route = OTHERS
        counts = self._paths.setdefault(route, [0, 0, 0])
        if record.status is None:
            counts[2] += is_error
        else:
            counts[0] += 1
            counts[1] += record.status >= 500

    # -- results ---------------------------------------------------------------------------------------------------

    def signatures(self) -> list[dict[str, Any]]:
        """What failed in the window, commonest first; ``new``: it did not happen in the baseline."""
        seen = sorted((entry for entry in self._signatures.values() if entry["count"]), key=lambda entry: (-entry["count"], entry["signature"]))
        return [
            {
                **entry,
                "signature": sample(entry["signature"], 200),
                "sample": sample(entry["sample"]),
                "level": LEVEL_NAMES[entry["level"]],
                "where": sample(entry["where"], 160) if entry["where"] else None,
                "new": entry["baseline"] == 0,
            }
            for entry in seen
        ]

    def by_path(self) -> list[dict[str, Any]]:
        """``[{path errors total}]``, most errors first. Routes whose requests are not logged with a status have only errors."""
        rows: list[dict[str, Any]] = []
        for path, (requests, failed, errors) in self._paths.items():
            rows.append({"path": sample(path, 120), "errors": failed if requests else errors, "total": requests or errors})
        return sorted(rows, key=lambda row: (-row["errors"], -row["total"], row["path"]))[:SHOWN_PATHS]

    def last_errors(self) -> list[dict[str, str]]:
        """The last errors, oldest first."""
        return [{"time": stamp, "text": sample(text)} for stamp, text in self._last]

    def onset(self, baseline_per_min: float, window_min: float) -> str | None:
        """When the errors of the window began, or None when they are too few or not more than before."""
        minute = onset_minute(self.minutes, baseline_per_min, window_min)
        if minute is None:
            return None
        # An error that was always there may open the minute: the signatures that make the surplus know better.
        wanted = ONSET_SHARE * self.errors
        began = [one["first"] for one in self._signatures.values() if one["count"] >= wanted and one["baseline"] == 0 and one["first"][:16] >= minute]
        return min(began, default=self._first_in_minute[minute])


def signature_of(record: Record, kind: str | None, where: str | None) -> str:
    """Exception class and place in the code (without the line, which moves), else class and masked message, else the message."""
    if kind and where:
        return f"{kind} at {where_without_line(where)}"
    message = masked(record.message)
    if kind:
        return f"{kind}: {message}: {masked(record.more)}" if record.more else f"{kind}: {message}"
    if record.sqlstate:
        return f"{record.sqlstate} {message}"
    return message or "(no message)"


def where_without_line(where: str) -> str:
    """``shop/orders.py:order_view`` for ``shop/orders.py:42 order_view``."""
    place, _blank, function = where.rpartition(" ")
    return f"{place.rpartition(':')[0]}:{function}"


def onset_minute(minutes: dict[str, int], baseline_per_min: float, window_min: float) -> str | None:
    """The minute in which the errors began to be more than before.

    It is the start of the stretch of minutes with the largest surplus over a quarter of the peak (and over three times the baseline), so
    single errors before the incident do not count; a minute that it began late in still does.
    """
    total = sum(minutes.values())
    if total < FEWEST_FOR_ONSET or total < SPIKE_RATIO * baseline_per_min * window_min:
        return None
    floor = max(3.0 * baseline_per_min, 0.25 * max(minutes.values()), 0.5)
    ordered = every_minute(minutes)
    best_sum, best_start, running, start = 0.0, None, 0.0, 0
    for position, minute in enumerate(ordered):
        if running <= 0:
            running, start = 0.0, position
        running += minutes.get(minute, 0) - floor
        if running > best_sum:
            best_sum, best_start = running, start
    if best_start is None:
        return None
    while best_start > 0 and minutes.get(ordered[best_start - 1], 0) > max(3.0 * baseline_per_min, 0.5):
        best_start -= 1
    return next((minute for minute in ordered[best_start:] if minutes.get(minute)), None)


def every_minute(minutes: dict[str, int]) -> list[str]:
    """All minutes from the first to the last, those without errors included; ``2026-11-23T14:46`` each."""
    first, last = (int(epoch(f"{minute}:00Z") or 0) for minute in (min(minutes), max(minutes)))
    return [str(iso(moment))[:16] for moment in range(first, last + 60, 60)][:MOST_MINUTES]
