# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx' logs say: one entry per request in JSON or the combined format, and the error log's kinds of trouble with upstreams."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .logs_record import Record, json_object, path_only
from .redact import sample

PATH_KEYS = ("uri", "request_uri", "path", "url")
STATUS_KEYS = ("status", "status_code")
TIME_KEYS = ("request_time", "rt", "duration", "request_time_s")
UPSTREAM_TIME_KEYS = ("upstream_response_time", "upstream_time", "urt", "uht")
UPSTREAM_KEYS = ("upstream_addr", "upstream")
UPSTREAM_STATUS_KEYS = ("upstream_status",)
AGENT_KEYS = ("user_agent", "http_user_agent", "agent", "ua")

# Requests of machines that look after machines: they would outvote the users on a quiet day.
LONGEST_S = 1e6
PROBE_AGENTS = ("ir-triage", "kube-probe", "ELB-HealthChecker", "GoogleHC", "Prometheus", "Blackbox", "Uptime", "Pingdom", "StatusCake", "Consul Health")
_HEALTH = re.compile(
    r"^/(?:-/)?(?:nginx-)?(?:health|healthz|healthcheck|health_check|ready|readyz|readiness|live|livez|liveness|ping|status|stub_status|metrics)(?:/|$)"
)


@dataclass
class Request:
    """One request as the proxy saw it; times in seconds. ``upstream_status`` is that of the last upstream tried, 0 when none was."""

    path: str
    status: int
    seconds: float | None
    upstream_seconds: float | None
    upstream: str
    upstream_status: int
    agent: str

    @property
    def is_probe(self) -> bool:
        """Whether a health check or a monitor asked."""
        return bool(_HEALTH.match(self.path)) or self.agent.startswith(PROBE_AGENTS)


def request_from_json(line: bytes) -> Request | None:
    """The request of a JSON access-log line; None when it is none."""
    document = json_object(line)
    if document is None:
        return None
    status = whole(_first(document, STATUS_KEYS))
    if not 100 <= status <= 599:
        return None
    request = str(document.get("request") or "")
    path = path_only(str(_first(document, PATH_KEYS) or "")) or path_only([*request.split(" "), "", ""][1])
    return Request(
        path or "/",
        status,
        seconds_in(_first(document, TIME_KEYS)),
        seconds_in(_first(document, UPSTREAM_TIME_KEYS)),
        str(_first(document, UPSTREAM_KEYS) or ""),
        whole(_first(document, UPSTREAM_STATUS_KEYS)),
        str(_first(document, AGENT_KEYS) or ""),
    )


def _first(document: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = document.get(key)
        if value is not None and value != "":
            return value
    return None


def whole(value: Any) -> int:
    """A status as a number; of ``502, 200`` (two upstreams tried) the last; 0 for anything else."""
    if isinstance(value, int):
        return value
    text = str(value or "").replace(":", ",").rpartition(",")[2].strip()
    return int(text) if text.isdigit() else 0


def seconds_in(value: Any) -> float | None:
    """Seconds; ``0.004, 0.010`` is the sum over the upstreams tried; None for ``-`` and anything else."""
    try:
        # What nearly every line has. Anybody may write NaN or Infinity into a log.
        number = float(value)
        return number if 0 <= number < LONGEST_S else None
    except (TypeError, ValueError):
        pass
    found = [float(part) for part in re.findall(r"\d+\.\d+|\d+", str(value or ""))]
    return sum(found) if found and sum(found) < LONGEST_S else None


# combined, and what people append to it: rt=0.005 uct="0.000" urt="0.004"; or request and upstream time as the last numbers
_COMBINED = re.compile(
    r'^\S+ \S+ .{1,200}?\[[^\]]{10,40}\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?:\d+|-)'
    r'(?: "(?:[^"\\]|\\.)*" "(?P<agent>(?:[^"\\]|\\.)*)")?(?P<rest>.*)$'
)
_NAMED_TIME = re.compile(r"\b(?:rt|request_time|duration)[=:]\"?(\d+\.\d+)")
_NAMED_UPSTREAM_TIME = re.compile(r"\b(?:urt|upstream_response_time|uht)[=:]\"?([\d., :]+)")
_TRAILING = re.compile(r"(?:^|\s)\"?(\d+\.\d{3})\"?(?=\s|$)")


def request_from_combined(text: str) -> Request | None:
    """The request of a line in the combined format, with or without times behind it; None when it is none."""
    match = _COMBINED.match(text)
    if match is None:
        return None
    rest = match.group("rest")
    named, upstream = _NAMED_TIME.search(rest), _NAMED_UPSTREAM_TIME.search(rest)
    trailing = _TRAILING.findall(rest)
    seconds = float(named.group(1)) if named else float(trailing[0]) if trailing else None
    upstream_seconds = seconds_in(upstream.group(1)) if upstream else float(trailing[1]) if not named and len(trailing) > 1 else None
    parts = match.group("request").split(" ")
    path = path_only(parts[1]) if len(parts) > 1 else ""
    return Request(path or "/", int(match.group("status")), seconds, upstream_seconds, "", 0, match.group("agent") or "")


# ---------------------------------------------------------------- error log

TROUBLES: dict[str, re.Pattern[str]] = {
    "connect_refused": re.compile(r"connect\(\) failed \((?:111: Connection refused|113: No route|110: .*while connecting|101: )|111: Connection refused"),
    "timed_out": re.compile(r"upstream timed out"),
    "premature_close": re.compile(r"upstream prematurely closed|recv\(\) failed \(104|104: Connection reset by peer\) while reading"),
    "no_live_upstreams": re.compile(r"no live upstreams"),
    "host_not_found": re.compile(r"host not found in upstream|could not be resolved|no resolver defined"),
    "too_many_open_files": re.compile(r"\(24: Too many open files\)"),
    "worker_connections": re.compile(r"worker_connections are not enough"),
    "too_big_header": re.compile(r"upstream sent too big header"),
    "body_too_large": re.compile(r"client intended to send too large body"),
    "config": re.compile(
        r"unknown directive|directive is not allowed|unexpected \"|key values mismatch|cannot load certificate|invalid number of arguments|in /etc/nginx/"
    ),
}
MOST_UPSTREAMS = 10


class ErrorLog:
    """Counts of the kinds of trouble, in the window only."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, Any]] = {}

    def add(self, record: Record) -> None:
        """Look at one record of the error log."""
        for kind, pattern in TROUBLES.items():
            if pattern.search(record.message):
                self._count(kind, record)
                return

    def _count(self, kind: str, record: Record) -> None:
        entry = self._kinds.setdefault(kind, {"count": 0, "first": record.stamp, "last": None, "sample": record.message, "upstreams": {}, "phases": {}})
        entry["count"] += 1
        entry["last"] = record.stamp
        _bump(entry["upstreams"], record.upstream)
        phase = re.search(r" while ([a-z ]{5,60})", record.message)
        _bump(entry["phases"], phase.group(1).strip() if phase else "")
        if record.upstream:
            entry["last_upstream"] = record.upstream

    def result(self) -> dict[str, dict[str, Any]]:
        """``{kind: {count first last sample upstreams last_upstream phases}}`` for every kind; ``upstreams`` are addresses, commonest first."""
        found = {}
        for kind in TROUBLES:
            entry = self._kinds.get(kind, {})
            found[kind] = {
                "count": entry.get("count", 0),
                "first": entry.get("first"),
                "last": entry.get("last"),
                "sample": sample(entry["sample"]) if entry else None,
                "upstreams": sorted(entry.get("upstreams", {}), key=lambda upstream: -entry["upstreams"][upstream]),
                "last_upstream": entry.get("last_upstream"),
                "phases": entry.get("phases", {}),
            }
        return found


def _bump(counts: dict[str, int], name: str) -> None:
    if name and (name in counts or len(counts) < MOST_UPSTREAMS):
        counts[name] = counts.get(name, 0) + 1
