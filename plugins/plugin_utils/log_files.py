# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what was fetched of a service's log: raw, errors, filtered, and a summary that is valid JSON whatever happened."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_stream import Line
from ansible_collections.sre.incident_response.plugins.plugin_utils.log_entries import Entry, entries
from ansible_collections.sre.incident_response.plugins.plugin_utils.log_fetcher import ServiceLog
from ansible_collections.sre.incident_response.plugins.plugin_utils.redaction import MARK, Redactor
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.publish import write_whole
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import clean, one_line, shorten

LONGEST_LINE = 240_000
TOP_PATTERNS = 10
MOST_PATTERNS = 5000
PATTERN_WIDTH = 200
LAST_ERRORS = 5
OTHERS = "(others)"
MOST_KEY_LINES = 200
WHY_TRUNCATED = {
    "bytes": "the log is longer than fetch_logs_max_bytes; its oldest lines are missing",
    "time": "reading took too long; lines are missing, ask for a shorter time",
    "tail": "the log has more lines than fetch_logs_tail; its oldest lines are missing",
}
_KEY_BEGINS = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINE = re.compile(r"\s*(?:[A-Za-z0-9+/=]{0,80}|(?:Proc-Type|DEK-Info|Version|Comment):.{0,200})\s*")


class BadFilterError(ValueError):
    """The filter is no regular expression; the message is one sentence."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for: the folder, the time in the files' names, and the options that the summary repeats."""

    folder: Path
    stamp: str
    host: str
    since: str
    until: str
    tail: int
    filter: str


@dataclass
class Saved:
    """What was written: the summary, and the last errors as (time, text)."""

    summary: dict[str, Any]
    last_errors: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Counts:
    """Counters of one log while it is written."""

    lines: int = 0
    errors: int = 0
    error_lines: int = 0
    matches: int = 0
    first: str | None = None
    last: str | None = None
    patterns: Counter[str] = field(default_factory=Counter)
    last_errors: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=LAST_ERRORS))

    def error(self, entry: Entry) -> None:
        """Count an error."""
        self.errors += 1
        self.error_lines += len(entry.lines)
        pattern = shorten(one_line(entry.pattern), PATTERN_WIDTH)
        self.patterns[pattern if pattern in self.patterns or len(self.patterns) < MOST_PATTERNS else OTHERS] += 1
        self.last_errors.append((entry.record.stamp, shorten(one_line(entry.sentence), PATTERN_WIDTH)))


class LineCleaner:
    """Makes the lines of one log safe to keep: no control characters, and no secrets unless ``redact`` is false."""

    def __init__(self, redact: bool, custom: list[str]) -> None:
        self.redactor = Redactor(custom, longest=LONGEST_LINE)
        self._redact = redact
        self._key_lines: dict[int, int] = {}

    def line(self, line: Line) -> Line:
        """The line, still one line: what looks like the end of one inside of it becomes a blank."""
        text = line.text.decode("utf-8", "replace")
        cleaned = self._without_secrets(line.stream, text) if self._redact else clean(text)
        return Line(line.stamp, line.stream, cleaned.replace("\n", " ").encode("utf-8", "replace"))

    def _without_secrets(self, stream: int, text: str) -> str:
        """A private key goes over many lines, which alone look like nothing."""
        left = self._key_lines.pop(stream, 0)
        if left and "-----END " in text:
            return MARK
        if left and _KEY_LINE.fullmatch(text):
            self._key_lines[stream] = left - 1
            return MARK
        if _KEY_BEGINS.search(text) and "-----END " not in text:
            self._key_lines[stream] = MOST_KEY_LINES
        return self.redactor.text(text)


def filter_pattern(text: str) -> re.Pattern[str] | None:
    """The filter as an expression that ignores case; text is taken literally unless ``regex:`` stands before it. None for no filter."""
    if not text:
        return None
    if not text.startswith("regex:"):
        return re.compile(re.escape(text), re.IGNORECASE)
    try:
        return re.compile(text.removeprefix("regex:"), re.IGNORECASE)
    except re.error as error:
        raise BadFilterError(f"fetch_logs_filter is {text[:80]!r}, which is no regular expression ({error}); without regex: it is taken literally") from None


def safe_name(name: str) -> str:
    """A name as a part of a file's name: names of services may come from a machine."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".")[:100] or "_"


def free_stamp(folder: Path, name: str, stamp: str) -> str:
    """The stamp, with a number behind it when files of this service and second exist."""
    candidate, number = stamp, 1
    while (folder / f"{name}-summary-{candidate}.json").exists() or (folder / f"{name}-raw-{candidate}.log").exists():
        number += 1
        candidate = f"{stamp}-{number}"
    return candidate


def save(log: ServiceLog, span: Mapping[str, Any], wanted: Wanted, cleaner: LineCleaner) -> Saved:
    """Write the files of one service; raises OSError, and UnreadableAnswerError for damaged lines."""
    wanted.folder.mkdir(parents=True, exist_ok=True)
    name = safe_name(str(log.header["service"]))
    stamp = free_stamp(wanted.folder, name, wanted.stamp)
    files = {"summary": wanted.folder / f"{name}-summary-{stamp}.json"}
    counts = Counts()
    if not log.header["error"]:
        files["raw_log"] = wanted.folder / f"{name}-raw-{stamp}.log"
        files["error_log"] = wanted.folder / f"{name}-errors-{stamp}.log"
        if wanted.filter:
            files["filtered_log"] = wanted.folder / f"{name}-filtered-{stamp}.log"
        _write_logs(log, wanted, cleaner, files, counts)
    result = summary(log.header, span, wanted, counts)
    result["timestamp"] = stamp
    result["redacted"] = dict(sorted(cleaner.redactor.removed.items()))
    result["files"] = {key: str(path) for key, path in sorted(files.items())}
    write_whole(files["summary"], json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return Saved(result, list(counts.last_errors))


def _write_logs(log: ServiceLog, wanted: Wanted, cleaner: LineCleaner, files: Mapping[str, Path], counts: Counts) -> None:
    """One pass over the lines writes all files, so that nothing is held whole."""
    pattern = filter_pattern(wanted.filter)
    with ExitStack() as stack:
        raw = stack.enter_context(_new_file(files["raw_log"]))
        errors = stack.enter_context(_new_file(files["error_log"]))
        filtered = stack.enter_context(_new_file(files["filtered_log"])) if "filtered_log" in files else None

        def passing() -> Iterator[Line]:
            for line in _last_lines(log, wanted.tail):
                cleaned = cleaner.line(line)
                text = cleaned.text.decode("utf-8")
                counts.lines += 1
                counts.first, counts.last = counts.first or line.stamp, line.stamp
                raw.write(text + "\n")
                if filtered is not None and pattern is not None and pattern.search(text):
                    counts.matches += 1
                    filtered.write(text + "\n")
                yield cleaned

        for entry in entries(passing(), str(log.header["kind"])):
            if entry.is_error:
                counts.error(entry)
                errors.writelines(text + "\n" for text in entry.lines)


def _last_lines(log: ServiceLog, tail: int) -> Iterator[Line]:
    """The last ``tail`` lines, all for 0: the machine may have sent more."""
    surplus = max(0, int(log.header.get("lines") or 0) - tail) if tail else 0
    for number, line in enumerate(log.lines()):
        if number >= surplus:
            yield line


def _new_file(path: Path) -> TextIO:
    """A file that did not exist, readable for its owner and group only: logs tell more than they should."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8", errors="replace", newline="")


def summary(header: Mapping[str, Any], span: Mapping[str, Any], wanted: Wanted, counts: Counts) -> dict[str, Any]:
    """The summary without what only the writer of the files knows; values are null where nothing was collected."""
    failed = bool(header["error"])
    reason = header.get("truncated")
    if reason is None and wanted.tail and int(header.get("lines") or 0) > wanted.tail:
        reason = "tail"
    return {
        "service": header["service"],
        "host": wanted.host,
        "container": header.get("container"),
        "since": wanted.since,
        "since_at": span.get("since"),
        "until": wanted.until or None,
        "until_at": span.get("until") or span.get("now"),
        "status": "error" if failed else "collected",
        "error": header["error"],
        "container_status": header.get("container_status"),
        "container_restarts": header.get("container_restarts"),
        "container_started_at": header.get("container_started_at"),
        "total_log_lines": None if failed else counts.lines,
        "first_line_at": counts.first,
        "last_line_at": counts.last,
        "error_lines": None if failed else counts.error_lines,
        "errors": None if failed else counts.errors,
        "filter_pattern": wanted.filter or None,
        "filter_matches": counts.matches if wanted.filter and not failed else None,
        "truncated": None if failed else reason is not None,
        "truncated_reason": WHY_TRUNCATED.get(str(reason)),
        "top_error_patterns": [{"pattern": pattern, "count": count} for pattern, count in counts.patterns.most_common(TOP_PATTERNS)],
    }


def told(saved: Saved) -> list[str]:
    """The lines that are printed about a service: counts, the commonest errors and the last ones."""
    about = saved.summary
    title = f"{one_line(str(about['service']))} on {one_line(str(about['host']))}"
    if about["status"] == "error":
        return [f"{title}: nothing saved, {one_line(str(about['error']))}"]
    lines = [
        f"{title} ({about['container']}, {about['container_status']}, {about['container_restarts']} restarts): {about['total_log_lines']} lines since "
        f"{about['since_at']}, {about['errors']} errors in {about['error_lines']} lines"
        + (f", {about['filter_matches']} lines with {one_line(about['filter_pattern'])!r}" if about["filter_pattern"] else "")
    ]
    if about["truncated"]:
        lines.append(f"  incomplete: {about['truncated_reason']}")
    lines += [f"  {top['count']:>6}x {top['pattern']}" for top in about["top_error_patterns"][:LAST_ERRORS]]
    lines += [f"  last   {stamp[:19]}Z {text}" for stamp, text in saved.last_errors]
    lines += [f"  saved  {path}" for key, path in about["files"].items() if key != "raw_log"]
    return lines
