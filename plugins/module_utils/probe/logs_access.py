# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics over a proxy's requests: shares of errors, latencies, routes and rates, in the window and in the baseline before it."""

from __future__ import annotations

from collections import deque
from typing import Any

from .logs_nginx import Request
from .logs_text import route_of
from .redact import sample
from .times import epoch, iso

MOST_ROUTES = 200
SHOWN_ROUTES = 30
MOST_REMEMBERED_PATHS = 5000
OTHERS = "(others)"
# A route with fewer requests says nothing about a partial failure.
FEWEST_REQUESTS = 5
FAILING_PCT = 5.0
HEALTHY_PCT = 1.0
RECENT_S = 300.0
# What began a minute ago is a small share of a quarter of an hour: a route's last minute is counted on its own.
ROUTE_RECENT_S = 60.0
# Enough requests to meet every server of an upstream; a few seconds of a shop's traffic.
NEWEST_UPSTREAMS = 50
# Who asks too often or without a login is told so by checks of their own.
REJECTED_ELSEWHERE = (401, 429)


class Latency:
    """Times in whole milliseconds; above a second in steps of 10, so that the memory is bounded however long the tail."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.total = 0

    def add(self, seconds: float) -> None:
        """Count one time."""
        millis = int(seconds * 1000 + 0.5)
        if millis > 1000:
            millis = min(millis, 600_000) // 10 * 10
        self._counts[millis] = self._counts.get(millis, 0) + 1
        self.total += 1

    def percentile(self, share: float) -> float | None:
        """The time that ``share`` of all do not exceed, in ms; None without any."""
        wanted = share * self.total
        seen = 0
        for millis in sorted(self._counts):
            seen += self._counts[millis]
            if seen >= wanted:
                return float(millis)
        return None


class Route:
    """Counters of one route in the window; ``recent`` those of its last minute."""

    def __init__(self, recent: Route | None = None) -> None:
        self.requests = 0
        self.errors = 0
        self.rejected = 0
        self.latency = Latency()
        self.by_status: dict[str, int] = {}
        self.recent = recent

    def add(self, failed: bool, seconds: float | None) -> None:
        """Count one request."""
        self.requests += 1
        self.errors += failed
        if seconds is not None:
            self.latency.add(seconds)

    def shares(self) -> dict[str, Any]:
        """``{requests errors error_pct p95_ms}``."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "error_pct": percent(self.errors, self.requests),
            "p95_ms": self.latency.percentile(0.95),
        }


class AccessLog:
    """All counters over the requests of one log; ``window_start`` is a timestamp text. Probes are counted apart."""

    def __init__(self, window_start: str, now: float) -> None:
        self.window_start = window_start
        self.requests = 0
        self.probes = 0
        self.errors = 0
        self.client_errors = 0
        self.baseline_requests = 0
        self.baseline_errors = 0
        self.by_status: dict[str, int] = {}
        self.by_upstream_status: dict[str, int] = {}
        self.upstreams: dict[str, int] = {}
        self._newest: deque[str] = deque(maxlen=NEWEST_UPSTREAMS)
        self._now = now
        self._last_failed = ""
        self._good_since = 0
        self._recent_start = iso(now - ROUTE_RECENT_S) or ""
        self._latency, self._upstream, self._baseline = Latency(), Latency(), Latency()
        self._routes: dict[str, Route] = {}
        self._route_names: dict[str, str] = {}
        self._answered_routes: set[str] = set()
        self._minutes: dict[str, list[int]] = {}

    def add(self, stamp: str, request: Request) -> None:
        """Count one request."""
        in_window = stamp >= self.window_start
        if request.is_probe:
            self.probes += in_window
            return
        failed = request.status >= 500
        route = self._route_of(request.path)
        if request.status < 400:
            self._answered_routes.add(route)
        if not in_window:
            self.baseline_requests += 1
            self.baseline_errors += failed
            if request.seconds is not None:
                self._baseline.add(request.seconds)
            return
        self.requests += 1
        self.errors += failed
        self._good_since = 0 if failed else self._good_since + 1
        self._last_failed = stamp if failed else self._last_failed
        self.client_errors += 400 <= request.status < 500
        minute = self._minutes.setdefault(stamp[:16], [0, 0])
        minute[0] += 1
        minute[1] += failed
        self._count_statuses(request)
        self._count_route(route, request, failed, stamp >= self._recent_start)
        if request.seconds is not None:
            self._latency.add(request.seconds)
        if request.upstream_seconds is not None:
            self._upstream.add(request.upstream_seconds)

    def _count_statuses(self, request: Request) -> None:
        status = str(request.status)
        self.by_status[status] = self.by_status.get(status, 0) + 1
        if request.upstream_status:
            upstream_status = str(request.upstream_status)
            self.by_upstream_status[upstream_status] = self.by_upstream_status.get(upstream_status, 0) + 1
        upstream = request.upstream.rpartition(",")[2].strip()
        if upstream and (upstream in self.upstreams or len(self.upstreams) < 10):
            self.upstreams[upstream] = self.upstreams.get(upstream, 0) + 1
        if upstream:
            self._newest.append(upstream)

    def _route_of(self, path: str) -> str:
        """The route's name; ``OTHERS`` when there are too many of them to keep apart."""
        name = self._route_names.get(path)
        if name is None:
            name = route_of(path)
            if len(self._route_names) < MOST_REMEMBERED_PATHS:
                self._route_names[path] = name
        if name in self._routes or name in self._answered_routes:
            return name
        return name if len(self._routes) < MOST_ROUTES and len(self._answered_routes) < MOST_ROUTES else OTHERS

    def _count_route(self, name: str, request: Request, failed: bool, is_recent: bool) -> None:
        route = self._routes.get(name)
        if route is None:
            route = self._routes[name] = Route(recent=Route())
        route.rejected += 400 <= request.status < 500 and request.status not in REJECTED_ELSEWHERE
        route.add(failed, request.seconds)
        if is_recent and route.recent is not None:
            route.recent.add(failed, request.seconds)
        if failed:
            status = str(request.status)
            route.by_status[status] = route.by_status.get(status, 0) + 1

    # -- results ---------------------------------------------------------------------------------------------------

    def result(self, window_min: float, baseline_min: float) -> dict[str, Any]:
        """The ``access`` entry of docs/architecture.md; the minutes are those that the log really covers."""
        routes = self.routes()
        judged = [route for route in routes if route["requests"] >= FEWEST_REQUESTS and route["route"] != OTHERS]
        return {
            "requests": self.requests,
            "probes": self.probes,
            "errors_5xx": self.errors,
            "errors_4xx": self.client_errors,
            # Of routes that answered at least once in the window or the baseline: a scanner asks for others.
            "rejected_known": sum(route.rejected for name, route in self._routes.items() if name in self._answered_routes),
            "error_ratio_pct": percent(self.errors, self.requests),
            "baseline_error_ratio_pct": percent(self.baseline_errors, self.baseline_requests),
            "by_status": dict(sorted(self.by_status.items())),
            "by_upstream_status": dict(sorted(self.by_upstream_status.items())),
            "upstreams": self.upstreams,
            "newest_upstreams": [sample(upstream, 120) for upstream in dict.fromkeys(self._newest)],
            "p50_ms": self._latency.percentile(0.50),
            "p95_ms": self._latency.percentile(0.95),
            "p99_ms": self._latency.percentile(0.99),
            "upstream_p95_ms": self._upstream.percentile(0.95),
            "baseline_p95_ms": self._baseline.percentile(0.95),
            "routes": routes[:SHOWN_ROUTES],
            "failing_routes": [route["route"] for route in judged if route["error_pct"] > FAILING_PCT],
            "healthy_routes": [route["route"] for route in judged if route["error_pct"] < HEALTHY_PCT],
            "requests_per_min": rate(self.requests, window_min),
            "baseline_requests_per_min": rate(self.baseline_requests, baseline_min) if baseline_min >= 1 else None,
            "last_error_age_s": round(max(0.0, self._now - (epoch(self._last_failed) or 0.0)), 1) if self._last_failed else None,
            "good_since_error": self._good_since if self._last_failed else None,
            "recent": self.recent(min(RECENT_S, window_min * 60), 0.0),
            "previous": self.recent(2 * RECENT_S, RECENT_S) if window_min * 60 >= 2 * RECENT_S else None,
        }

    def routes(self) -> list[dict[str, Any]]:
        """``[{route requests errors error_pct p95_ms by_status recent}]``, most errors first, then busiest; ``recent`` is the last minute."""
        rows = [
            {"route": sample(name, 120), **route.shares(), "by_status": route.by_status, "recent": route.recent.shares() if route.recent else None}
            for name, route in self._routes.items()
        ]
        return sorted(rows, key=lambda row: (-row["errors"], -row["requests"], row["route"]))

    def recent(self, since_s: float, until_s: float) -> dict[str, Any]:
        """Requests and errors between two ages in seconds, by whole minutes; ``{requests errors_5xx error_ratio_pct per_min ok_per_min spell}``.

        ``spell`` counts the requests from the first minute with an error to the last one: a restart fails in one minute, a leak in all of them.
        """
        counted = []
        for minute in sorted(self._minutes):
            age = self._now - (epoch(f"{minute}:59Z") or 0.0)
            if until_s <= max(age, 0.0) < since_s:
                counted.append(self._minutes[minute])
        requests, errors = sum(count[0] for count in counted), sum(count[1] for count in counted)
        failing = [number for number, count in enumerate(counted) if count[1]]
        minutes = (since_s - until_s) / 60
        return {
            "requests": requests,
            "errors_5xx": errors,
            "error_ratio_pct": percent(errors, requests),
            "per_min": rate(requests, minutes),
            "ok_per_min": rate(requests - errors, minutes),
            "spell": sum(count[0] for count in counted[failing[0] : failing[-1] + 1]) if failing else 0,
        }


def percent(part: int, whole: int) -> float:
    """Share in percent, 0 without requests."""
    return round(100.0 * part / whole, 2) if whole else 0.0


def rate(count: int, minutes: float) -> float:
    """Per minute; what covers less than a second counts as one."""
    return round(count / max(minutes, 1 / 60), 1)
