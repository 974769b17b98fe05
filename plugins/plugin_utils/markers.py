# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy markers: what a deploy pipeline wrote down about who brought which version of which service when.

Anybody may have written them, so a marker is a time and three short clean texts, and nothing else of it is kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml

from .estate import Estate
from .expressions import are_numbers, epoch, iso_time
from .findings import clean_text, value_text
from .supplements import MARKERS, Known, answered, failed
from .web import WebError, get_json, target

TEXTS = ("service", "version", "who")
TEXT_LIMIT = 80
LINES_LIMIT = 4 * 1024 * 1024
DOCUMENT_LIMIT = 1024 * 1024
MARKER_LIMIT = 200
OLDEST_S = 7 * 86400.0
# Clocks differ a little; what lies further ahead is a plan or a mistake.
AHEAD_S = 120.0
# From here on a number can only be milliseconds.
MILLISECONDS_FROM = 1e11


class MarkerError(ValueError):
    """The markers can't be read; the message is one sentence."""


@dataclass(frozen=True)
class Marker:
    """One deploy. ``time`` is an epoch; texts are clean and may be empty."""

    time: float
    service: str = ""
    version: str = ""
    who: str = ""

    def sentence(self) -> str:
        """How the report tells it."""
        what = f"version {self.version} was deployed" if self.version else "was deployed"
        return clean_text(f"{self.service or 'something'}: {what}{f' by {self.who}' if self.who else ''}")


@dataclass
class Markers:
    """Usable markers, newest first, and a sentence for each entry that is none."""

    markers: list[Marker] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


# -- reading ----------------------------------------------------------------------------------------------------------------------


def from_file(path: Path, now: float) -> Markers:
    """The markers of a file: JSON lines, or a YAML or JSON list. MarkerError when it is neither."""
    name = clean_text(path)
    try:
        if not path.is_file():
            raise MarkerError(f"incident_deploy_markers_file {name} is no file; write the markers there, or unset it")
        with open(path, "rb") as stream:
            start = stream.read(4096).lstrip()
            if start[:1] == b"{":
                return collected(_lines(stream), now)
            stream.seek(0)
            text = stream.read(DOCUMENT_LIMIT + 1)
    except OSError as error:
        raise MarkerError(f"incident_deploy_markers_file {name} can't be read ({error.strerror or error})") from error
    if len(text) > DOCUMENT_LIMIT:
        raise MarkerError(f"incident_deploy_markers_file {name} is a list of more than 1 MB; write JSON lines, of which the newest are read")
    try:
        entries = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if text.strip() else []  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise MarkerError(clean_text(f"incident_deploy_markers_file {name} is neither JSON lines nor a YAML list: {error}", 300)) from error
    if not isinstance(entries, list):
        raise MarkerError(f"incident_deploy_markers_file {name} is neither JSON lines nor a YAML list; begin each marker with '- time:'")
    return collected(((f"entry {number}", entry) for number, entry in enumerate(entries, 1)), now)


def _lines(stream: Any) -> Iterator[tuple[str, Any]]:
    """``(where, entry)`` of the newest lines; one that is no JSON is None."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - LINES_LIMIT))
    lines = stream.read(LINES_LIMIT).splitlines()
    # The first one of a long file is only its end.
    for number, line in enumerate(lines[1:] if size > LINES_LIMIT else lines, 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError):
                yield f"line {number}", None


def from_url(url: Any, headers: Any, timeout_s: float, now: float) -> Markers:
    """The markers that a GET returns: a JSON list, or ``{"markers": [...]}``. MarkerError when it returns something else."""
    try:
        where = target("incident_deploy_markers_url", url, headers)
        document = get_json(where, timeout_s)
    except WebError as error:
        raise MarkerError(str(error)) from error
    entries = document.get("markers") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise MarkerError(f"{where.shown} answered with no list of deploy markers; it must be [{{time, service, version, who}}, ...]")
    return collected(((f"entry {number}", entry) for number, entry in enumerate(entries, 1)), now)


def collected(entries: Iterable[tuple[str, Any]], now: float) -> Markers:
    """The usable ones of the last week, newest first."""
    found = Markers()
    for where, entry in entries:
        marker, problem = _marker(entry, now)
        if problem:
            found.problems.append(f"{where} {problem}")
        elif marker is not None and marker.time >= now - OLDEST_S:
            found.markers.append(marker)
    found.markers = sorted(found.markers, key=lambda marker: -marker.time)[:MARKER_LIMIT]
    return found


def _marker(entry: Any, now: float) -> tuple[Marker | None, str]:
    """``(marker, "")``, or None and what is wrong with the entry."""
    if not isinstance(entry, Mapping):
        return None, "is no JSON object" if entry is None else f"is {value_text(entry)} and not a marker"
    moment = _moment(entry.get("time"))
    if moment is None:
        return None, f"has the time {value_text(entry['time'])}, which is none" if entry.get("time") else "has no time"
    if moment > now + AHEAD_S:
        return None, f"lies in the future ({iso_time(moment) or 'far'})"
    values = {name: entry.get(name) for name in TEXTS}
    return Marker(moment, **{name: clean_text(value, TEXT_LIMIT) for name, value in values.items() if isinstance(value, (str, int, float))}), ""


def _moment(value: Any) -> float | None:
    """An epoch in seconds or milliseconds, an ISO-8601 time, or what YAML made of one."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return None
    if are_numbers(value):
        # Compared before it is computed with: JSON has integers that no float can hold.
        if not 0 < value < MILLISECONDS_FROM * 1000:
            return None
        return float(value / 1000 if value >= MILLISECONDS_FROM else value)
    return epoch(value)


# -- as evidence ------------------------------------------------------------------------------------------------------------------


def sources(estate: Estate, found: Markers | None, reason: str, now: float, host: str | None = None) -> Known:
    """The markers as a source of their services; those of no known service, and what is wrong, go to the first machine, once.

    ``found`` is None when nothing could be read, for which ``reason`` is the sentence. ``host`` limits it to one machine.
    """
    known = Known()
    first = host or next(iter(estate.machines), None)
    if found is None:
        if first is not None:
            known.put(first, "", MARKERS, failed(reason))
        return known
    left = list(found.markers)
    for service in estate.services:
        names = {service.name, str(service.spec.get("container") or service.name)}
        own = [marker for marker in found.markers if marker.service in names]
        left = [marker for marker in left if marker not in own]
        if host in (None, service.host):
            known.put(service.host, service.name, MARKERS, answered({"markers": [_as_dict(marker, now) for marker in own]}))
    if first is not None:
        data = {"markers": [_as_dict(marker, now) for marker in left], "unusable": len(found.problems), "problem": reason or next(iter(found.problems), None)}
        known.put(first, "", MARKERS, answered(data))
    return known


def _as_dict(marker: Marker, now: float) -> dict[str, Any]:
    return {
        "time": iso_time(marker.time),
        "age_s": round(max(0.0, now - marker.time), 1),
        "service": marker.service,
        "version": marker.version,
        "who": marker.who,
        "what": marker.sentence(),
    }
