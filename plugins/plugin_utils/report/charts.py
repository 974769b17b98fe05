# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small charts of what a Prometheus measured, as inline SVG: shapes only, coloured by the page's own style. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import number_text
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import parse_time
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Metrics, Record, Series

WIDTH, HEIGHT, PAD = 320.0, 64.0, 4.0
# A hole in a series shall be seen: points further apart than this many usual steps are not joined.
HOLE = 3.0


@dataclass(frozen=True)
class Chart:
    """One series: `lines` are the points of polylines, `onset` the place of the vertical mark on the x axis (None: outside or unknown)."""

    title: str
    about: str
    lines: list[str]
    onset: float | None
    least: str
    most: str
    last: str
    words: str


@dataclass(frozen=True)
class Panel:
    """The charts of one Prometheus."""

    source: str
    start: str
    end: str
    onset: str
    charts: list[Chart]


def panels(record: Record) -> list[Panel]:
    """Charts of all metrics of a record."""
    return [Panel(one.source, one.start or "", one.end or "", one.onset or "", [chart(series, one) for series in one.series]) for one in record.metrics]


def chart(series: Series, metrics: Metrics) -> Chart:
    """One chart; the value axis begins at 0, because all measures are amounts."""
    begin, end = span(series, metrics)
    values = [value for _time, value in series.points]
    most, least = max(values), min(values)
    top = max(most, 1e-9)
    unit = f" {series.unit}" if series.unit else ""
    shown = {name: f"{number_text(value)}{unit}" for name, value in (("least", least), ("most", most), ("last", values[-1]))}
    onset = parse_time(metrics.onset)
    mark = _x(onset.timestamp(), begin, end) if onset and begin <= onset.timestamp() <= end else None
    title = series.measure if series.name == series.measure else f"{series.measure}: {series.name}"
    words = f"{title} of {series.service}: from {shown['least']} to {shown['most']}, last {shown['last']}"
    about = " on ".join(part for part in (series.service, series.host) if part)
    return Chart(title, about, [_points(part, begin, end, top) for part in parts(series.points)], mark, shown["least"], shown["most"], shown["last"], words)


def span(series: Series, metrics: Metrics) -> tuple[float, float]:
    """First and last second of the time axis: the window that was asked for, or what the points cover."""
    start, end = parse_time(metrics.start), parse_time(metrics.end)
    begin = start.timestamp() if start else series.points[0][0]
    finish = end.timestamp() if end else series.points[-1][0]
    return begin, max(finish, begin + 1.0)


def parts(points: list[list[float]]) -> list[list[list[float]]]:
    """The points in runs without a hole."""
    gaps = sorted(after[0] - before[0] for before, after in pairwise(points))
    usual = gaps[len(gaps) // 2] if gaps else 0.0
    runs: list[list[list[float]]] = []
    for point in points:
        if runs and point[0] - runs[-1][-1][0] <= HOLE * usual:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _points(run: list[list[float]], begin: float, end: float, top: float) -> str:
    return " ".join(f"{_x(time, begin, end):.1f},{HEIGHT - PAD - (HEIGHT - 2 * PAD) * max(0.0, min(1.0, value / top)):.1f}" for time, value in run)


def _x(time: float, begin: float, end: float) -> float:
    return round(PAD + (WIDTH - 2 * PAD) * max(0.0, min(1.0, (time - begin) / (end - begin))), 1)
