# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Investigation of the application: endpoints, requests by route, errors by signature, and the processes behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..estate import Estate, Service
from ..record import Investigation, Table
from ..shapes import items, mapping
from .network import connection_tables
from .tables import Column, clock, facts, looked_at, milliseconds, missing, named, percent, seconds, size, table, text

KINDS = ("fastapi", "nginx")


def investigate(estate: Estate) -> Investigation:
    """Everything about the applications and the proxies in front of them."""
    services = named(estate, KINDS)
    found = Investigation("application", "Application", looked_at(estate, services, "application or proxy"))
    for service in services:
        found.tables += [endpoints(service), *requests(service), *errors(service), *processes(service), *connection_tables(service)]
    return found


def endpoints(service: Service) -> Table:
    """What each endpoint answered, and how fast."""
    title = "Endpoints"
    unknown = missing(title, service, "http")
    if unknown:
        return unknown
    rows = [{"name": name, **entry} for name, entry in mapping(service.data("http").get("endpoints")).items() if isinstance(entry, dict)]
    return table(title, service, rows, ENDPOINT_COLUMNS)


def _good(row: Mapping[str, Any]) -> str:
    count, failures = row.get("count"), row.get("failures")
    return f"{count - failures} of {count}" if isinstance(count, int) and isinstance(failures, int) else text(row.get("ok"))


def _bad_components(row: Mapping[str, Any]) -> str:
    failed = row.get("failed_components")
    return f"{text(row.get('error'))}; not ok: {text(failed)}" if failed else text(row.get("error"))


ENDPOINT_COLUMNS = (
    Column("endpoint", "name"),
    Column("url", "url"),
    Column("status", "status", number=True),
    Column("good", _good, number=True),
    Column("median", "median_ms", milliseconds, number=True),
    Column("slowest", "max_ms", milliseconds, number=True),
    Column("error", _bad_components),
)


def requests(service: Service) -> list[Table]:
    """Requests by route: what the proxy's access log says, or what the application's own lines say."""
    title = "Requests by route"
    unknown = missing(title, service, "logs")
    if unknown:
        return [unknown]
    logs = service.data("logs")
    since = f"in the last {seconds(logs.get('window_s'))}"
    routes = items(mapping(logs.get("access")).get("routes"))
    if routes:
        access = mapping(logs.get("access"))
        note = f"{text(access.get('requests'))} requests {since}, 95 % of them within {milliseconds(access.get('p95_ms'))}; routes with most errors first"
        ordered = sorted(routes, key=lambda row: (-float(row.get("errors") or 0), -float(row.get("requests") or 0)))
        return [table(title, service, ordered, ROUTE_COLUMNS, note=note)]
    return [table(title, service, items(logs.get("by_path")), PATH_COLUMNS, note=f"as the application's own log tells {since}")]


ROUTE_COLUMNS = (
    Column("route", "route"),
    Column("requests", "requests", number=True),
    Column("errors", "errors", number=True),
    Column("share", "error_pct", percent, number=True),
    Column("p95", "p95_ms", milliseconds, number=True),
    Column("by status", "by_status"),
)
PATH_COLUMNS = (
    Column("path", "path"),
    Column("requests", "total", number=True),
    Column("errors", "errors", number=True),
    Column("share", lambda row: _share(row.get("errors"), row.get("total")), percent, number=True),
)


def _share(part: Any, whole: Any) -> float | None:
    return 100.0 * part / whole if isinstance(part, (int, float)) and isinstance(whole, (int, float)) and whole else None


def errors(service: Service) -> list[Table]:
    """Errors of the log by signature, most first, and the last ones as they are."""
    logs = service.data("logs")
    if not logs or logs.get("unreadable"):
        return []
    counted = mapping(logs.get("errors"))
    note = (
        f"{text(counted.get('window'))} errors in {seconds(logs.get('window_s'))}, {text(counted.get('baseline'))} in {seconds(logs.get('baseline_s'))} before"
    )
    if logs.get("onset"):
        note += f"; they began at {clock(logs.get('onset'))}Z"
    signatures = sorted(items(logs.get("signatures")), key=lambda row: -float(row.get("count") or 0))
    return [
        table("Errors by signature", service, signatures, SIGNATURE_COLUMNS, note=note),
        table("Last errors", service, items(logs.get("last_errors"))[-10:], (Column("time", "time", clock), Column("line", "text"))),
    ]


SIGNATURE_COLUMNS = (
    Column("count", "count", number=True),
    Column("before", "baseline", number=True),
    Column("new", "new"),
    Column("last", "last", clock),
    Column("where", "where"),
    Column("signature", lambda row: row.get("sample") or row.get("signature")),
)


def processes(service: Service) -> list[Table]:
    """What the container's memory and CPU come to, and its processes, the busiest first."""
    if not service.spec.get("container"):
        return []
    found = []
    group = service.data("cgroup")
    if group:
        found.append(facts("Container", service, container_facts(service, group)))
    unknown = missing("Processes", service, "processes")
    if unknown:
        return [*found, unknown]
    data = service.data("processes")
    note = f"{text(data.get('count'))} processes of {text(data.get('executable'))}, measured over {seconds(data.get('window_s'))}"
    return [*found, table("Processes", service, items(data.get("processes")), PROCESS_COLUMNS, note=note)]


def container_facts(service: Service, group: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values about a container."""
    memory, cpu, pids, container = mapping(group.get("memory")), mapping(group.get("cpu")), mapping(group.get("pids")), service.data("container")
    return [
        ("image", text(container.get("image"))),
        ("release", text(container.get("version"))),
        ("up for", seconds(container.get("up_s"))),
        ("restarts", text(container.get("restart_count"))),
        ("memory", f"{size(memory.get('working_set'))} of {size(memory.get('limit'))} ({percent(memory.get('limit_pct'))})"),
        ("CPU", f"{percent(cpu.get('usage_pct'))} of one core, quota {text(cpu.get('quota_cores'))} cores, throttled {percent(cpu.get('throttled_pct'))}"),
        ("processes and threads", f"{text(pids.get('current'))} of {text(pids.get('max'))}"),
    ]


PROCESS_COLUMNS = (
    Column("pid", "pid", number=True),
    Column("state", "state"),
    Column("cpu", "cpu_pct", percent, number=True),
    Column("memory", "rss", size, number=True),
    Column("threads", "threads", number=True),
    Column("files", "fds", number=True),
    Column("age", "age_s", seconds, number=True),
    Column("waits in", "waits_in"),
    Column("command", "command"),
)
