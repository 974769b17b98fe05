# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of an investigation: made of evidence, whatever is missing or hostile in it, and shown in 80 columns."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate
from ansible_collections.sre.incident_response.plugins.plugin_utils.investigation import application, database, network, redis, tables
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Metrics, Series
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import charts
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import tables as shown
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import record_samples
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.estate_samples import SPECS, answered

TOPICS = {"application": application.investigate, "database": database.investigate, "redis": redis.investigate, "network": network.investigate}
HOSTILE = "\x1b[31m<b>{{ 7 * 7 }}\x00 DROP\u202e"


def failing(reason: str) -> dict[str, Any]:
    """SOURCE that could not look."""
    return {"ok": False, "ms": 1.0, "kind": "permission", "reason": reason}


SOURCES: dict[str, dict[str, Any]] = {
    "backend": {
        "container": answered(name="app-backend", image="shop:1", status="running", health="healthy", up_s=90.0, restart_count=2),
        "cgroup": answered(memory={"working_set": 100_000_000, "limit": 400_000_000, "limit_pct": 25.0}, cpu={"usage_pct": 5.0}, pids={"current": 9}),
        "http": answered(
            endpoints={"live": {"url": "http://127.0.0.1:8000/health", "status": 200, "count": 8, "failures": 1, "median_ms": 1.5}, "direct": None}
        ),
        "logs": answered(
            window_s=900,
            baseline_s=3600,
            by_path=[{"path": "/api/orders", "total": 10, "errors": 5}],
            errors={"window": 5, "baseline": 0},
            signatures=[{"signature": "KeyError", "sample": HOSTILE, "count": 5, "new": True, "last": "2026-11-23T14:09:00Z"}],
            last_errors=[{"time": "2026-11-23T14:09:00Z", "text": "boom"}],
            onset="2026-11-23T14:04:00Z",
        ),
        "processes": failing("only root and the process's own user may look; use become"),
        "connections": answered(peers=[{"direction": "out", "name": "db", "peer": "10.0.0.2", "port": 5432, "count": 3}], tcp={"connects_per_s": 2.0}),
        "dns": answered(names={"app-db": {"ok": True, "addresses": ["10.0.0.2"], "ms": 1.0}}, nameservers=["127.0.0.11"]),
    },
    "proxy": {
        "http": answered(endpoints={"live": {"via": "proxy", "status": 200, "probes": [{"total_ms": 5.0}, {"total_ms": 90.0, "tls_ms": 3.0}, None]}}),
        "tls": answered(host="shop.example.com", served={"not_after": "2027-01-01T00:00:00Z", "days_left": 30, "san": ["shop.example.com"]}),
        "logs": answered(
            window_s=900, access={"requests": 9, "p95_ms": 12.0, "routes": [{"route": "/a", "requests": 9, "errors": 0}, {"route": "/b", "errors": 3}]}
        ),
    },
    "db": {
        "postgresql": answered(
            up=True,
            reached_by="socket",
            connect_ms=1.0,
            snapshot={
                "connections": {"client_backends": 3, "usable": 37, "used_pct": 8.1, "by_state": {"idle": 3}, "by_client": [{"n": 3, "app": HOSTILE}]},
                "locks": {"waiting": 1, "max_wait_s": 30.0, "roots": [{"pid": 7, "blocked": 1}], "waiters": [{"pid": 8, "blocked_by": [7]}]},
            },
        ),
        "pg_detail": answered(
            window_s=3.0,
            sessions=[{"pid": 7, "state": "idle in transaction", "state_age_s": 30.0, "query": HOSTILE}],
            statements=None,
            statements_reason="extension pg_stat_statements is not installed in database app_prod",
            tables=[{"name": "public.orders", "bytes_est": 8192}],
            indexes=[],
        ),
    },
    "redis": {
        "redis": answered(up=True, ping_ms=0.2, info={"redis_version": "8.0.2", "used_memory": 1000, "maxmemory": 0}),
        "redis_detail": answered(
            window_s=3.0,
            commands=[{"command": "GET", "calls_per_s": 100.0, "busy_pct": 12.0}],
            slowlog=None,
            slowlog_reason="NOPERM",
            latency=[],
            clients={"count": 9000, "groups": None, "reason": "9000 clients are too many to list"},
            keys={
                "seen": 3000,
                "total": 90000,
                "complete": False,
                "ended": "3000 keys are a fair sample",
                "prefixes": [{"prefix": "cart:"}],
                "biggest": [{"key": HOSTILE}],
            },
        ),
    },
    "payments": {"http": failing("the probe's time ended")},
}


def document(**changes: Any) -> dict[str, Any]:
    """The evidence of one machine with the whole shop on it."""
    services = {name: {"name": name, "kind": spec["kind"], "spec": dict(spec), "sources": copy.deepcopy(SOURCES[name])} for name, spec in SPECS.items()}
    machine = {"dns": failing("no nameserver"), "disk": answered(mounts=[{"mount": "/", "total": 10, "free": 5, "used_pct": 50.0}])}
    return {"host": "lab1", "reachable": True, "asked": None, "services": services, "machine": machine, **changes}


def made(topic: str, *documents: dict[str, Any]) -> dict[str, tables.Table]:
    """Tables of a topic by title and service."""
    found = TOPICS[topic](Estate(documents or [document()]))
    return {f"{table.title} {table.service}".strip(): table for table in found.tables}


def cells(table: tables.Table, column: str) -> list[str]:
    return [row[table.columns.index(column)] for row in table.rows]


def test_application() -> None:
    found = made("application")
    assert cells(found["Endpoints backend"], "good") == ["7 of 8"]
    assert cells(found["Requests by route backend"], "share") == ["50 %"]
    assert cells(found["Requests by route proxy"], "route") == ["/b", "/a"]
    assert cells(found["Errors by signature backend"], "signature") == ["<b>{{ 7 * 7 }} DROP"]
    assert "they began at 11-23 14:04:00Z" in found["Errors by signature backend"].note
    assert (found["Processes backend"].rows, found["Processes backend"].reason) == ([], "only root and the process's own user may look; use become")
    assert cells(found["Connections backend"], "other end") == ["db (10.0.0.2)"]
    assert "Endpoints db" not in found


def test_database() -> None:
    found = made("database")
    assert cells(found["Sessions that others wait for db"], "pid") == ["7"]
    assert cells(found["Sessions that wait for a lock db"], "for") == ["7"]
    assert cells(found["Sessions db"], "since") == ["30 s"]
    assert "pg_stat_statements is not installed" in found["Statements that cost most db"].reason
    assert cells(found["Tables db"], "size") == ["8 kB"]
    assert found["Indexes db"].rows == []
    assert found["Indexes db"].reason == ""


def test_redis() -> None:
    found = made("redis")
    assert "3000 of 90000 keys: 3000 keys are a fair sample" in found["Keys by prefix redis"].note
    assert (found["Slow log redis"].reason, found["Latency events redis"].reason) == ("NOPERM", "")
    assert "too many to list" in found["Clients redis"].reason
    assert cells(found["Commands redis"], "busy") == ["12 %"]


def test_network() -> None:
    found = made("network")
    ways = found["The way to each endpoint"]
    assert cells(ways, "total")[cells(ways, "service").index("proxy")] == "90 ms"
    assert cells(ways, "error")[cells(ways, "service").index("payments")] == "the probe's time ended"
    assert cells(found["Certificates"], "days left") == ["30"]
    assert cells(found["Names"], "asked by") == ["machine lab1", "backend"]
    assert cells(found["Containers"], "container") == ["app-backend"]
    assert cells(found["File systems"], "used") == ["50 %"]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_machine_without_such_a_service_says_so(topic: str) -> None:
    found = TOPICS[topic](Estate([document(services={})]))
    assert "no " in found.summary
    assert "is known on lab1: there is nothing to look at" in found.summary
    assert [table for table in found.tables if table.title not in ("Names", "File systems")] == []


@pytest.mark.parametrize("topic", TOPICS)
def test_a_machine_that_can_not_be_reached_is_named(topic: str) -> None:
    services = {name: {"name": name, "kind": spec["kind"], "spec": dict(spec), "sources": {}} for name, spec in SPECS.items()}
    found = TOPICS[topic](Estate([document(reachable=False, services=services, machine={})]))
    assert "lab1 could not be reached" in found.summary


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize(
    "broken", [None, "text", 7, [], {"ok": True, "data": None}, {"ok": True, "data": {"endpoints": 5, "snapshot": "x", "keys": [1], "peers": {}}}]
)
def test_evidence_of_another_shape_breaks_nothing(topic: str, broken: Any) -> None:
    services = {name: {"name": name, "kind": spec["kind"], "spec": dict(spec), "sources": dict.fromkeys(SOURCES[name], broken)} for name, spec in SPECS.items()}
    found = TOPICS[topic](Estate([document(services=services, machine={"dns": broken, "disk": broken})]))
    assert all(len(row) == len(table.columns) for table in found.tables for row in table.rows)


@pytest.mark.parametrize("topic", TOPICS)
def test_every_cell_is_one_clean_line(topic: str) -> None:
    for table in TOPICS[topic](Estate([document()])).tables:
        for row in table.rows:
            assert all(cell.isprintable() and "\u202e" not in cell for cell in row), row


def test_rows_that_do_not_fit_are_counted() -> None:
    many = tables.table("x", None, [{"a": number} for number in range(70)], [tables.Column("a", "a")])
    assert (len(many.rows), many.left_out) == (50, 20)


# -- on a terminal --------------------------------------------------------------------------------------------------------------------


def test_tables_on_a_terminal() -> None:
    lines = [line.text for line in shown.tables(record_samples.record_of("investigated"))]
    assert lines[0] == "POSTGRESQL  1 PostgreSQL service on 1 machine: db"
    assert "Sessions - db on lab1" in lines
    assert "  not known: extension pg_stat_statements is not installed" in lines
    assert "  and 3 more rows: see the report" in lines
    assert lines.count("  none") == 1
    assert max(len(line) for line in lines) <= 80


def test_numbers_are_never_cut_and_long_text_goes_below() -> None:
    columns = ["process id", "a name that is long", "how many bytes", "query"]
    rows = [["1234567890", "n" * 60, "123456789012", "word " * 40], ["1", "short", "2", "-"]]
    lines = shown.grid(columns, rows, {0, 2})
    assert all(len(line) <= 80 for line in lines)
    assert "1234567890" in lines[1]
    assert "123456789012" in lines[1]
    assert lines[2].startswith("      word word")
    assert len(lines) == 5


def test_a_table_with_too_many_columns_still_fits() -> None:
    columns = [f"column {number}" for number in range(20)]
    assert all(len(line) <= 80 + 20 * 5 for line in shown.grid(columns, [["x" * 30] * 20], set()))


# -- charts ---------------------------------------------------------------------------------------------------------------------------


def series(*points: list[float]) -> Series:
    return Series("id", "errors", "ratio", "%", "backend", "lab1", [list(point) for point in points])


def test_a_hole_in_a_series_is_not_joined() -> None:
    assert [len(run) for run in charts.parts([[0, 1], [10, 1], [20, 1], [100, 1], [110, 1]])] == [3, 2]
    assert charts.parts([[0.0, 1.0]]) == [[[0.0, 1.0]]]


def test_a_chart_stays_in_its_box_and_marks_the_onset() -> None:
    metrics = Metrics("http://p", "2026-11-23T14:00:00Z", "2026-11-23T14:10:00Z", "2026-11-23T14:05:00Z")
    begin = charts.span(series([0, 0]), metrics)[0]
    made_chart = charts.chart(series([begin - 50, -3.0], [begin + 300, 7.5], [begin + 6000, 15.0]), metrics)
    assert made_chart.onset == charts.WIDTH / 2
    for pair in " ".join(made_chart.lines).split():
        x, y = (float(part) for part in pair.split(","))
        assert 0 <= x <= charts.WIDTH
        assert 0 <= y <= charts.HEIGHT
    assert made_chart.most == "15 %"
    outside = Metrics("http://p", "2026-11-23T14:00:00Z", "2026-11-23T14:10:00Z", "2026-11-23T09:00:00Z")
    assert charts.chart(series([begin, 0.0]), outside).onset is None
