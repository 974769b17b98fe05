# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a run: CloudEvents 1.0, one per line, appended as things happen; and a reader that survives any content.

One process writes one file (a segment); nobody else ever opens it for writing, so no locks are needed, not even on a network file
system. Each line carries the SHA-256 of the line before it: a changed or missing line is noticed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.redaction import Redactor

TYPE_PREFIX = "sre.incident_response."
TYPE_VERSION = 1
NO_HASH = "0" * 64
SEVERITY_NUMBERS = {"info": 9, "warning": 13, "critical": 21}  # the OpenTelemetry log severities of the same meaning

_TYPE = re.compile(r"^sre\.incident_response\.([a-z][a-z_.]{0,40})\.v([0-9]{1,4})$")
_LONGEST_LINE = 16 * 1024 * 1024
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def utc_now() -> str:
    """Return the time now as ISO-8601 UTC with milliseconds."""
    return format_time(datetime.datetime.now(datetime.UTC))


def format_time(moment: datetime.datetime) -> str:
    """Return an aware time as ISO-8601 UTC with milliseconds and a Z."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: object) -> datetime.datetime | None:
    """Return the aware UTC time that a text means, None when it means none; a time without zone counts as UTC."""
    if not isinstance(text, str) or not 10 <= len(text) <= 40:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None


def event_id() -> str:
    """Return a ULID: 26 characters that sort by time."""
    number = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


# -- writing -------------------------------------------------------------------------------------------------------------


class Journal:
    """The only writer of one segment. `emit` raises OSError when the disk does, and nothing else."""

    def __init__(self, path: str | os.PathLike[str], run_id: str, redactor: Redactor | None = None) -> None:
        self.path = Path(path)
        self.run_id = run_id
        self.redactor = redactor or Redactor()
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        # O_EXCL: two writers of one segment would break the chain, so a second one must fail here.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor: int | None = os.open(self.path, flags, 0o640)
        self._pid = os.getpid()
        self._sequence = 0
        self._previous = NO_HASH
        self._torn = False
        _sync_folder(self.path.parent)

    @property
    def is_open(self) -> bool:
        """True in the process that opened the journal, until it is closed; never in a forked worker."""
        return self._descriptor is not None and os.getpid() == self._pid

    def emit(
        self,
        kind: str,
        data: Mapping[str, Any],
        *,
        happened: str | None = None,
        subject: str | None = None,
        severity: str | None = None,
        sync: bool = False,
    ) -> dict[str, Any] | None:
        """Append one event and return it; None when this process is not the journal's writer.

        `happened` is when (ISO-8601; default now), `subject` what it is about, `sync` waits until it is on disk.
        """
        if self._descriptor is None or os.getpid() != self._pid:
            return None
        recorded = utc_now()
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": event_id(),
            "source": f"urn:sre:run:{self.run_id}",
            "type": f"{TYPE_PREFIX}{kind}.v{TYPE_VERSION}",
            "time": happened if parse_time(happened) else recorded,
            "recordedtime": recorded,
            "subject": self.redactor.text(subject or self.run_id),
            "correlationid": self.run_id,
            "sequence": f"{self._sequence + 1:08d}",
            "prevhash": self._previous,
            "datacontenttype": "application/json",
            "data": self.redactor.value(dict(data)),
        }
        if severity in SEVERITY_NUMBERS:
            event["severitytext"] = severity.upper()
            event["severitynumber"] = SEVERITY_NUMBERS[severity]
        line = json.dumps(event, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
        self._write(self._descriptor, line)
        self._sequence += 1
        self._previous = hashlib.sha256(line).hexdigest()
        if sync:
            _sync_file(self._descriptor)
        return event

    def _write(self, descriptor: int, line: bytes) -> None:
        rest = (b"\n" if self._torn else b"") + line
        self._torn = True  # until the whole line is written: a full disk may take only a part of it
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        self._torn = False

    def close(self) -> None:
        """Flush and close; closing twice or in a worker does nothing."""
        if self._descriptor is None or os.getpid() != self._pid:
            return
        descriptor, self._descriptor = self._descriptor, None
        _sync_file(descriptor)
        os.close(descriptor)


def _sync_file(descriptor: int) -> None:
    getattr(os, "fdatasync", os.fsync)(descriptor)  # macOS has no fdatasync


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems can't sync a folder; the file itself is synced
    finally:
        os.close(descriptor)


# -- reading -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """One event as read: types are right, text is clean, whatever the line said."""

    kind: str
    id: str
    source: str
    time: datetime.datetime
    recorded: datetime.datetime
    sequence: int
    subject: str
    severity: str | None
    data: dict[str, Any]

    @property
    def order(self) -> tuple[datetime.datetime, str, int]:
        """Key that puts the events of several writers in the order in which they were recorded."""
        return (self.recorded, self.source, self.sequence)


@dataclass
class ReadResult:
    """Events in recorded order, and what was wrong with the files, one sentence each."""

    events: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_folder(folder: str | os.PathLike[str]) -> ReadResult:
    """Read all segments of a run's folder; never raises on content, only OSError when the folder itself can't be read."""
    result = ReadResult()
    segments = Path(folder) / "segments"
    for path in sorted(segments.glob("*.jsonl")) if segments.is_dir() else []:
        try:
            content = path.read_bytes()
        except OSError as error:
            result.problems.append(f"segments/{path.name} can't be read: {error.strerror or error}.")
            continue
        part = read_lines(content, f"segments/{path.name}")
        result.events += part.events
        result.problems += part.problems
    result.events = _without_duplicates(sorted(result.events, key=lambda event: event.order))
    return result


def read_lines(content: bytes, name: str = "journal") -> ReadResult:
    """Read the bytes of one segment; a torn last line is ignored, any other bad line is reported in `problems`."""
    result = ReadResult()
    redactor = Redactor()
    previous = NO_HASH
    lines = content.split(b"\n")
    torn_tail = lines.pop()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        body, problem = _decode(line)
        event = _event(body, redactor) if body is not None else None
        if body is None or event is None:
            result.problems.append(f"{name} line {number} is left out: {problem or 'not an event of this collection'}.")
            continue
        if body.get("prevhash") != previous:
            result.problems.append(f"{name} line {number} does not follow the line before it: lines were changed, removed or added.")
        previous = hashlib.sha256(line + b"\n").hexdigest()
        result.events.append(event)
    if torn_tail.strip():
        result.problems.append(f"{name} ends in the middle of a line: its writer was stopped while writing.")
    return result


def _decode(line: bytes) -> tuple[dict[str, Any] | None, str | None]:
    if len(line) > _LONGEST_LINE:
        return None, "it is too long"
    try:
        body = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None, "it is not JSON"
    if not isinstance(body, dict):
        return None, "it is not a JSON object"
    return body, None


def _event(body: Mapping[str, Any], redactor: Redactor) -> Event | None:
    """Make an event of a decoded line, None when it is none of ours. Cleaned again: a journal can be edited."""
    kind = _TYPE.match(str(body.get("type")))
    source, identity, data = body.get("source"), body.get("id"), body.get("data")
    if kind is None or int(kind.group(2)) != TYPE_VERSION or not isinstance(source, str) or not isinstance(identity, str) or not isinstance(data, dict):
        return None
    recorded = parse_time(body.get("recordedtime")) or parse_time(body.get("time"))
    if recorded is None:
        return None
    severity = str(body.get("severitytext")).lower()
    sequence = str(body.get("sequence"))
    return Event(
        kind=kind.group(1),
        id=identity,
        source=source,
        time=parse_time(body.get("time")) or recorded,
        recorded=recorded,
        sequence=int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) <= 18 else 0,
        subject=redactor.text(str(body.get("subject") or "")),
        severity=severity if severity in SEVERITY_NUMBERS else None,
        data=redactor.value(data),
    )


def _without_duplicates(events: list[Event]) -> list[Event]:
    seen: dict[tuple[str, str], Event] = {}
    for event in events:
        seen.setdefault((event.source, event.id), event)
    return list(seen.values())


def iter_run_folders(state_dir: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the folders of the runs that have a journal, newest first; run ids sort by time."""
    runs = Path(state_dir) / "runs"
    if not runs.is_dir():
        return
    for folder in sorted(runs.iterdir(), key=lambda entry: entry.name, reverse=True):
        if any((folder / "segments").glob("*.jsonl")):
            yield folder
