# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs measured of finite resources, and when such a resource is used up if it goes on like this.

One run is one line in ``<incident_state_dir>/history.jsonl``. A straight line is laid through at least three points by least
squares. Pure apart from reading and writing that file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from .expressions import are_numbers, epoch, iso_time
from .findings import clean_text
from .shapes import items, mapping, source_data

FILE = "history.jsonl"
SCHEMA = "sre.incident_response/history/1"
# Half of it is kept when the file gets longer, so that it is rewritten rarely.
FILE_LIMIT = 4 * 1024 * 1024
LINE_LIMIT = 256 * 1024
RUNS_READ = 500
POINTS_OF_A_RUN = 1000
MOUNTS = 20
NAME_LIMIT = 200

LEAST_POINTS = 3
DAY_S = 86400.0
OLDEST_S = 14 * DAY_S
# A leak that kills within the hour is not seen in the points of days: the last two hours have a line of their own, from two minutes on.
GROWTH_S, GROWTH_SPAN_S = 7200.0, 120.0
# Nobody can tell from some hours what will be in a month; it also stands for "never".
FURTHEST_S = 30 * DAY_S

PERCENT = 100.0
LARGEST = 1e18


@dataclass(frozen=True)
class Settings:
    """``min_span_s``: the points must be so far apart, in seconds; ``latency_limit_ms``: the latency that counts as the end."""

    min_span_s: float = 3600.0
    latency_limit_ms: float = 5000.0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """From an action's options; what is missing or no number above 0 keeps its default."""
        given = {name: _number(options.get(f"trend_{name}")) for name in ("min_span_s", "latency_limit_ms")}
        return cls(**{name: value for name, value in given.items() if value is not None and value > 0})


def _number(value: Any) -> float | None:
    """An option as a number; Ansible hands over a text where it was a template."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Point:
    """One measured value. ``part`` is a mount point or empty; ``since`` is when the process began that it belongs to (epoch) or None."""

    time: float
    host: str
    service: str
    measure: str
    part: str
    value: float
    since: float | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the value is of."""
        return self.host, self.service, self.measure, self.part


# -- points -----------------------------------------------------------------------------------------------------------------------


def points_of(documents: Iterable[Mapping[str, Any]]) -> list[Point]:
    """What the evidence of a run says about resources that can run out; values in percent of the limit, latency in ms."""
    return [point for document in documents for point in _points_of_machine(document)][:POINTS_OF_A_RUN]


def _points_of_machine(document: Mapping[str, Any]) -> Iterator[Point]:
    host = clean_text(document.get("host") or "", NAME_LIMIT)
    time = epoch(document.get("collected_at"))
    if time is None or not host:
        return
    machine = mapping(document.get("machine"))
    recorded = bool(mapping(machine.get("disk")).get("recorded"))
    for mount in [] if recorded else items(source_data(machine, "disk").get("mounts"))[:MOUNTS]:
        used, name = mount.get("used_pct"), clean_text(mount.get("mount") or "", NAME_LIMIT)
        if _sane(used) and name and not mount.get("readonly"):
            yield Point(time, host, "", "disk", name, float(used))
    whole = mapping(source_data(machine, "host").get("memory")).get("total")
    for name, service in mapping(document.get("services")).items():
        sources = mapping(mapping(service).get("sources"))
        since = epoch(source_data(sources, "container").get("started_at"))
        for measure, value in _values(sources, whole):
            if _sane(value):
                yield Point(time, host, clean_text(name, NAME_LIMIT), measure, "", float(value), since)


def _sane(value: Any) -> TypeGuard[float]:
    """Whether it is a number that can be computed with: a document may hold integers that no float can, and NaN."""
    return are_numbers(value) and abs(value) < LARGEST


def _values(sources: Mapping[str, Any], machine_memory: Any) -> Iterator[tuple[str, Any]]:
    yield "conn", mapping(mapping(source_data(sources, "postgresql").get("snapshot")).get("connections")).get("used_pct")
    memory = mapping(source_data(sources, "cgroup").get("memory"))
    # Without a limit of its own a container ends where the machine's memory does.
    limit, used = memory.get("limit") or machine_memory, memory.get("working_set")
    yield "mem", PERCENT * used / limit if _sane(used) and _sane(limit) and limit > 0 else None
    yield "fds", mapping(source_data(sources, "process").get("fds")).get("worst_pct")
    yield "latency", mapping(source_data(sources, "logs").get("access")).get("p95_ms")


# -- the file ---------------------------------------------------------------------------------------------------------------------


def history_file(run: Path) -> Path:
    """Where the runs beside ``run`` (a run's folder) are remembered."""
    return run.parent.parent / FILE


def remember(documents: Sequence[Mapping[str, Any]], run: Path) -> str | None:
    """Append this run's points, once; returns the one sentence why that was not possible, else None."""
    points = points_of(documents)
    if not points:
        return None
    rows = [[point.time, point.host, point.service, point.measure, point.part, round(point.value, 3), point.since] for point in points]
    line = json.dumps({"schema": SCHEMA, "run": run.name, "points": rows}, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
    path = history_file(run)
    try:
        with open(path, "a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            _without_torn_end(stream)
            stream.write(line)
            stream.flush()
            if stream.tell() > FILE_LIMIT:
                _rotate(path, stream)
    except OSError as error:
        return clean_text(f"this run is not part of later trends: {path} can't be written ({error.strerror or error})")
    return None


def _without_torn_end(stream: Any) -> None:
    """A run that was killed while it wrote leaves half a line; the next one must not be glued to it."""
    if stream.seek(0, os.SEEK_END):
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) != b"\n":
            stream.write(b"\n")


def _rotate(path: Path, stream: Any) -> None:
    """Keep the newer half, in place: whoever waits for the lock has this very file open."""
    stream.seek(-FILE_LIMIT // 2, os.SEEK_END)
    stream.readline()
    kept = stream.read()
    with open(path, "r+b") as whole:
        whole.write(kept)
        whole.truncate()


def remembered(run: Path) -> list[Point]:
    """The points of earlier runs, oldest first; lines that are none are left out. OSError when there is a file that can't be read."""
    path = history_file(run)
    lines: deque[bytes] = deque(maxlen=RUNS_READ)
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - FILE_LIMIT))
            while line := stream.readline(LINE_LIMIT):
                lines.append(line)
    except FileNotFoundError:
        return []
    return sorted((point for line in lines for point in _points_in(line, run.name)), key=lambda point: point.time)


def _points_in(line: bytes, this_run: str) -> Iterator[Point]:
    try:
        entry = mapping(json.loads(line))
    except (ValueError, RecursionError):
        return
    rows = entry.get("points")
    if entry.get("schema") != SCHEMA or entry.get("run") == this_run or not isinstance(rows, list):
        return
    for row in rows[:POINTS_OF_A_RUN]:
        if isinstance(row, list) and len(row) == 7 and _sane(row[0]) and _sane(row[5]) and all(isinstance(text, str) for text in row[1:5]):
            host, service, measure, part = row[1:5]
            yield Point(float(row[0]), host, service, measure, part, float(row[5]), float(row[6]) if _sane(row[6]) else None)


# -- trends -----------------------------------------------------------------------------------------------------------------------


def trends(documents: Sequence[Mapping[str, Any]], run: Path, settings: Settings) -> dict[str, dict[str, dict[str, Any]]]:
    """``{host: {service: {source: SOURCE}}}`` of everything with enough points; the service "" is the machine.

    Too few points, or points that are too near to each other, give no source: there is no trend yet to ask about.
    """
    now = points_of(documents)
    try:
        before = remembered(run)
    except OSError as error:
        reason = clean_text(f"the history of earlier runs, {history_file(run)}, can't be read ({error.strerror or error})")
        return _by_source((point, {"ok": False, "ms": 0.0, "reason": reason, "kind": "permission"}) for point in now)
    series: dict[tuple[str, str, str, str], list[Point]] = {}
    for point in before:
        series.setdefault(point.key, []).append(point)
    answers = []
    for point in now:
        points = [*series.get(point.key, []), point]
        trend = trend_of(points, settings)
        if trend is not None:
            answers.append((point, {"ok": True, "ms": 0.0, "data": trend}))
        if point.measure == "mem":
            growth = trend_of([one for one in points if one.time >= point.time - GROWTH_S], replace(settings, min_span_s=GROWTH_SPAN_S))
            if growth is not None:
                answers.append((replace(point, measure="growth"), {"ok": True, "ms": 0.0, "data": growth}))
    return _by_source(answers)


def _by_source(answers: Iterable[tuple[Point, dict[str, Any]]]) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for point, answer in answers:
        sources = found.setdefault(point.host, {}).setdefault(point.service, {})
        name = f"trend_{point.measure}"
        if not point.part or not answer["ok"]:
            sources[name] = answer
        else:
            mounts = sources.setdefault(name, {"ok": True, "ms": 0.0, "data": {"mounts": []}})
            mounts["data"]["mounts"].append({"mount": point.part, **answer["data"]})
    return found


def usable_points(points: Sequence[Point]) -> list[Point]:
    """The points that belong to today's last one: of the same process and of the last day, or if those are too few of two weeks."""
    last = points[-1]
    own = [point for point in points if point.since == last.since and last.time - OLDEST_S <= point.time <= last.time]
    recent = [point for point in own if point.time >= last.time - DAY_S]
    return recent if len(recent) >= LEAST_POINTS else own


def trend_of(points: Sequence[Point], settings: Settings) -> dict[str, Any] | None:
    """The trend at the last point, None when the points are too few or too near to each other.

    ``left_h``: hours to the limit at this speed, at most a month. ``grown_pct``: rise of the line over the span, in percent of the limit.
    ``fit``: 0 (no line) to 1 (exactly one). ``reach``: how many times the span lies ahead until the limit.
    """
    chosen = usable_points(points)
    if len({point.time for point in chosen}) < LEAST_POINTS:
        return None
    last = chosen[-1]
    span_s = last.time - chosen[0].time
    if span_s < settings.min_span_s:
        return None
    slope, fit = least_squares([(point.time - last.time, point.value) for point in chosen])
    limit = settings.latency_limit_ms if last.measure == "latency" else PERCENT
    room = limit - last.value
    left_s = 0.0 if room <= 0 else min(FURTHEST_S, room / slope) if slope > 0 else FURTHEST_S
    return {
        "value": round(last.value, 2),
        "first": round(chosen[0].value, 2),
        "limit": limit,
        "points": len(chosen),
        "span_s": round(span_s, 1),
        "begin": iso_time(chosen[0].time),
        "per_hour": round(slope * 3600, 4),
        "grown_pct": round(PERCENT * slope * span_s / limit, 2),
        "fit": round(fit, 3),
        "left_h": round(left_s / 3600, 2),
        "reach": round(left_s / span_s, 2),
    }


def least_squares(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """``(slope, coefficient of determination)`` of the line through the points; a line is no fit where nothing changes."""
    count = len(pairs)
    mean_x = sum(x for x, _y in pairs) / count
    mean_y = sum(y for _x, y in pairs) / count
    spread_x = sum((x - mean_x) ** 2 for x, _y in pairs)
    spread_y = sum((y - mean_y) ** 2 for _x, y in pairs)
    common = sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    if spread_x == 0:
        return 0.0, 0.0
    return common / spread_x, common**2 / (spread_x * spread_y) if spread_y > 0 else 0.0
