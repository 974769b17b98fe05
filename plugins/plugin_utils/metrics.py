# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Prometheus says about the services: which queries, in which window, and what their answers come to.

The queries are data (``roles/metrics_check/files/queries.yml``). What Prometheus answers is as untrusted as a log line: only finite
numbers and their times are taken from it, and its error messages are cleaned.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import yaml

from .estate import Estate, Service
from .expressions import are_numbers, epoch, iso_time
from .findings import clean_text, value_text
from .services import KINDS
from .shapes import mapping
from .supplements import Known, answered, failed
from .web import Target, WebError, all_at_once, get_json

SCHEMA = "sre.incident_response/metrics/1"
MEASURES = ("errors", "latency", "rate", "saturation")
KEYS = frozenset(("id", "measure", "name", "kinds", "unit", "query"))
POINTS = 120
SERIES_LIMIT = 240
# What the journal, and so the report, keeps for charts.
CHARTED_SERIES, CHARTED_POINTS = 48, 60
QUERY_LIMIT = 400
LONGEST_QUERY = 6000
LEAST_STEP_S = 1.0
# Around the onset: what was before is needed to see what changed.
BEFORE_ONSET_S = 1800.0
LONGEST_WINDOW_S = 6 * 3600.0
# A value that is older than this says nothing about now; Prometheus itself drops a series after five minutes.
STALE_S = 360.0
_PLACE = re.compile(r"\$(labels|window|service|container)\b")
_ID = re.compile(r"^[a-z][a-z0-9_.]{0,60}$")
_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]{0,100}$")


class QueryError(ValueError):
    """A query entry, a label or the file with them is wrong; the message is one sentence."""


@dataclass(frozen=True)
class Query:
    """A validated entry: ``name`` is what the value is called (``p95``, or what is used up)."""

    id: str
    measure: str
    name: str
    kinds: tuple[str, ...]
    unit: str
    query: str


@dataclass(frozen=True)
class Window:
    """From ``start`` to ``end`` (epoch), a value every ``step`` seconds; ``onset`` is when errors began, None when none did."""

    start: float
    end: float
    step: float
    onset: float | None = None


@dataclass(frozen=True)
class Question:
    """One query about one service."""

    service: Service
    query: Query
    text: str


# -- data -------------------------------------------------------------------------------------------------------------------------


def load_queries(path: Path) -> list[Query]:
    """The queries of a file; QueryError with the first problem."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise QueryError(clean_text(f"the queries in {path} can't be read: {error}")) from error
    if not isinstance(entries, list) or not entries:
        raise QueryError(clean_text(f"{path} must hold a list of queries"))
    queries = [_query(entry) for entry in entries]
    seen: set[str] = set()
    for query in queries:
        if query.id in seen:
            raise QueryError(f"query {query.id} is defined twice")
        seen.add(query.id)
    return queries


def _query(entry: Any) -> Query:
    if not isinstance(entry, Mapping):
        raise QueryError(f"a query must be a dictionary, not {value_text(entry)}")
    name = f"query {clean_text(entry.get('id', '(without id)'), 60)}"
    unknown = sorted(str(key) for key in entry if key not in KEYS)
    if unknown:
        raise QueryError(f"{name} has the unknown key {clean_text(unknown[0], 60)}; known are {', '.join(sorted(KEYS))}")
    for key in KEYS - {"kinds", "unit"}:
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise QueryError(f"{name} has no {key}")
    kinds = entry.get("kinds")
    if not isinstance(kinds, list) or not kinds or not set(map(str, kinds)) <= set(KINDS):
        raise QueryError(f"{name}: kinds must be a list of {', '.join(KINDS)}")
    if not _ID.match(entry["id"]):
        raise QueryError(f"{name}: its id must look like latency.p95")
    if entry["measure"] not in MEASURES:
        raise QueryError(f"{name}: measure {clean_text(entry['measure'], 40)} is none of {', '.join(MEASURES)}")
    if len(entry["query"]) > LONGEST_QUERY:
        raise QueryError(f"{name} is longer than {LONGEST_QUERY} characters")
    unit = clean_text(entry.get("unit") or "", 20)
    return Query(entry["id"], entry["measure"], clean_text(entry["name"], 60), tuple(map(str, kinds)), unit, " ".join(entry["query"].split()))


def checked_labels(given: Any) -> dict[str, dict[str, str]]:
    """``{service: {label: value}}`` of the option; QueryError when it is something else."""
    labels: dict[str, dict[str, str]] = {}
    if given is not None and not isinstance(given, Mapping):
        raise QueryError("metrics_check_labels must be a dictionary such as {backend: {job: shop}}")
    for service, pairs in (given or {}).items():
        if not isinstance(pairs, Mapping) or not pairs:
            raise QueryError(f"metrics_check_labels: {clean_text(service, 60)} must be a dictionary of labels such as {{job: shop}}")
        for name, value in pairs.items():
            if not _LABEL.match(str(name)) or isinstance(value, (Mapping, list, tuple)) or value is None:
                raise QueryError(f"metrics_check_labels: {clean_text(name, 60)} of {clean_text(service, 60)} is no label with a text as value")
        labels[str(service)] = {str(name): str(value) for name, value in pairs.items()}
    return labels


def promql_text(value: str) -> str:
    """A text inside the double quotes of PromQL: it can't end them."""
    cleaned = "".join(character for character in value if character.isprintable())[:200]
    return cleaned.replace("\\", "\\\\").replace('"', '\\"')


def questions(estate: Estate, queries: Sequence[Query], labels: Mapping[str, Mapping[str, str]], rate_s: float) -> list[Question]:
    """Every query about every service of its kinds, with the service's labels in their places."""
    asked = []
    for service in estate.services:
        pairs = labels.get(service.name) or {"job": service.name}
        places = {
            "labels": ",".join(f'{name}="{promql_text(value)}"' for name, value in pairs.items()),
            "window": f"{max(1, round(rate_s))}s",
            "service": promql_text(service.name),
            "container": promql_text(str(service.spec.get("container") or service.name)),
        }
        for query in queries:
            if service.kind in query.kinds:
                asked.append(Question(service, query, _PLACE.sub(lambda match, places=places: places[match.group(1)], query.query)))  # type: ignore[misc]
    return asked[:QUERY_LIMIT]


def window(estate: Estate, now: float, window_s: float) -> Window:
    """The last ``window_s`` seconds, or more when errors began earlier: half an hour before their onset belongs to it."""
    onsets = [onset for service in estate.services if (onset := epoch(service.data("logs").get("onset"))) is not None and onset <= now]
    onset = min(onsets, default=None)
    start = now - window_s if onset is None else min(now - window_s, onset - BEFORE_ONSET_S)
    start = max(start, now - max(LONGEST_WINDOW_S, window_s))
    return Window(start, now, max(LEAST_STEP_S, math.ceil((now - start) / POINTS)), onset)


# -- asking -----------------------------------------------------------------------------------------------------------------------


def ask(where: Target, asked: Sequence[Question], span: Window, budget_s: float) -> list[list[list[float]] | str]:
    """Points ``[[epoch, value], ...]`` of each question, or the sentence why there are none; all at the same time."""

    def one(question: Question) -> list[list[float]]:
        parameters = {"query": question.text, "start": f"{span.start:.3f}", "end": f"{span.end:.3f}", "step": f"{span.step:g}"}
        parameters["timeout"] = f"{max(1, int(budget_s))}s"
        path = Target(f"{where.url.rstrip('/')}/api/v1/query_range", where.headers)
        return points_in(get_json(path, budget_s, urlencode(parameters)), where)

    answers: list[list[list[float]] | str] = []
    for answer in all_at_once(asked, one, budget_s + 1):
        if answer is None:
            answers.append(f"{where.shown} did not answer within {budget_s:g} s")
        elif isinstance(answer, WebError):
            answers.append(str(answer))
        elif isinstance(answer, Exception):
            answers.append(clean_text(f"the answer of {where.shown} can't be read: {answer}"))
        else:
            answers.append(answer)
    return answers


def points_in(document: Any, where: Target) -> list[list[float]]:
    """The finite values of the one series in an answer of ``query_range``; empty when Prometheus knows no such series."""
    body = mapping(document)
    result = mapping(body.get("data")).get("result")
    if body.get("status") != "success" or not isinstance(result, list):
        raise WebError(clean_text(f"{where.shown} gave no answer of Prometheus: {body.get('error') or 'it has no data.result'}", 300))
    if len(result) > 1:
        raise WebError(f"the query gave {len(result)} series; sum it up to one")
    values = mapping(result[0]).get("values") if result else []
    if not isinstance(values, list):
        return []
    points = []
    for pair in values[-2 * POINTS :]:
        if isinstance(pair, list) and len(pair) == 2 and are_numbers(pair[0]) and isinstance(pair[1], str):
            value = _number(pair[1])
            if value is not None and math.isfinite(pair[0]):
                points.append([round(float(pair[0]), 3), value])
    return sorted(points)


def _number(text: str) -> float | None:
    try:
        value = float(text[:40])
    except ValueError:
        return None
    return float(f"{value:.6g}") if math.isfinite(value) else None


# -- what it comes to -------------------------------------------------------------------------------------------------------------


def summary(points: Sequence[Sequence[float]], span: Window) -> dict[str, Any]:
    """One series in few numbers. ``now`` is null when the series ended; ``before`` is usual until shortly before the onset.

    Without an onset the first half of the window is what was before.
    """
    edge = span.onset if span.onset is not None else (span.start + span.end) / 2
    earlier = [value for time, value in points if time < edge - span.step]
    fresh = bool(points) and span.end - points[-1][0] <= max(STALE_S, 2 * span.step)
    now = points[-1][1] if fresh else None
    before = median(earlier) if earlier else None
    peak = max(points, key=lambda point: point[1], default=None)
    return {
        "now": now,
        "before": before,
        "times": now / before if now is not None and before else None,
        "peak": peak[1] if peak else None,
        "peak_at": iso_time(peak[0]) if peak else None,
        "points": len(points),
        "last_at": iso_time(points[-1][0]) if points else None,
    }


def sources(asked: Sequence[Question], answers: Sequence[Sequence[Sequence[float]] | str], span: Window, declared: Mapping[str, Any], shown: str) -> Known:
    """The answers as sources of the services.

    A service without any series is left out, because not every service has an exporter, unless its labels were declared. When no service
    has one, something is wrong with labels or queries, and every source says so.
    """
    known = Known()
    groups: dict[tuple[str, str], list[tuple[Question, Any]]] = {}
    for question, answer in zip(asked, answers, strict=True):
        groups.setdefault((question.service.host, question.service.name), []).append((question, answer))
    nowhere = all(not answer for answer in answers)
    for (host, name), pairs in groups.items():
        if all(not answer for _question, answer in pairs) and not nowhere and name not in declared:
            continue
        empty = f"{shown} has no series for {name}, for instance for {pairs[0][0].text}; set metrics_check_labels or metrics_check_queries"
        for measure in MEASURES:
            own = [(question.query, answer) for question, answer in pairs if question.query.measure == measure]
            source = _source(measure, own, span, clean_text(empty, 400) if not any(answer for _question, answer in pairs) else None)
            if source is not None:
                known.put(host, name, f"metric_{measure}", source)
    return known


def _source(measure: str, own: Sequence[tuple[Query, Any]], span: Window, empty: str | None) -> dict[str, Any] | None:
    """SOURCE of one measure, None when nobody measures it."""
    if not own:
        return None
    if empty is not None:
        return failed(empty, "absent")
    reasons = [answer for _query, answer in own if isinstance(answer, str)]
    if reasons and (measure != "saturation" or len(reasons) == len(own)):
        return failed(reasons[0])
    parts = [
        {"id": query.id, "name": query.name, "unit": query.unit, **summary(answer, span)} for query, answer in own if answer and not isinstance(answer, str)
    ]
    # What could not be asked stays in the list without a value: the check says so instead of passing over it.
    parts += [{"id": query.id, "name": query.name, "unit": query.unit, "now": None} for query, answer in own if isinstance(answer, str)]
    if not parts:
        return None
    onset = iso_time(span.onset)
    if measure == "saturation":
        return answered({"parts": parts, "onset": onset})
    return answered({**{str(entry["name"]): entry for entry in parts}, "onset": onset})


def document(asked: Sequence[Question], answers: Sequence[Any], span: Window, known: Known, shown: str) -> dict[str, Any]:
    """What the workspace keeps: the sources, and the series for charts."""
    series = [
        {
            "host": question.service.host,
            "service": question.service.name,
            "id": question.query.id,
            "measure": question.query.measure,
            "name": question.query.name,
            "unit": question.query.unit,
            "query": clean_text(question.text, 1000),
            "points": answer,
        }
        for question, answer in zip(asked, answers, strict=True)
        if isinstance(answer, list) and answer
    ]
    return {
        "schema": SCHEMA,
        "from": shown,
        "start": iso_time(span.start),
        "end": iso_time(span.end),
        "step_s": span.step,
        "onset": iso_time(span.onset),
        "sources": known.as_dict(),
        "series": series[:SERIES_LIMIT],
        "cut": len(series) > SERIES_LIMIT,
    }


def charted(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The part of :func:`document` that the journal gets: what happened when, in as many points as a small chart can show.

    Errors and latency come first when there is too much.
    """
    order = {measure: position for position, measure in enumerate(MEASURES)}
    series = sorted(kept["series"], key=lambda one: (order.get(one["measure"], len(order)), one["host"], one["service"]))
    names = ("host", "service", "id", "measure", "name", "unit")
    return {
        **{name: kept[name] for name in ("from", "start", "end", "onset")},
        "series": [{**{name: one[name] for name in names}, "points": thinned(one["points"])} for one in series[:CHARTED_SERIES]],
        "cut": bool(kept["cut"]) or len(series) > CHARTED_SERIES,
    }


def thinned(points: Sequence[Sequence[float]]) -> list[list[float]]:
    """At most CHARTED_POINTS of the points: of each stretch the highest one, and the last one of all. A short peak must not get lost."""
    if len(points) <= CHARTED_POINTS:
        return [list(point) for point in points]
    size = math.ceil((len(points) - 1) / (CHARTED_POINTS - 1))
    return [*(_highest(points[start : start + size]) for start in range(0, len(points) - 1, size)), list(points[-1])]


def _highest(points: Sequence[Sequence[float]]) -> list[float]:
    highest: Sequence[float] = max(points, key=lambda point: point[1])
    return list(highest)
