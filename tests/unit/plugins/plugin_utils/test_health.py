# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick health check: three states, valid JSON whatever is down, and one sentence of what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import health

NOW = "2026-11-23T14:09:11.123Z"


def evidence(**endpoints: dict[str, Any]) -> dict[str, Any]:
    """Evidence of one machine with a proxy, a database and an external service."""
    http = {"ok": True, "data": {"endpoints": {"live": None, "ready": None, "frontend": None, **endpoints}}}
    return {
        "reachable": True,
        "services": {
            "proxy": {"kind": "nginx", "spec": {"url": "https://shop", "container": "app-proxy"}, "sources": {"http": http}},
            "db": {"kind": "postgresql", "spec": {"container": "app-db"}, "sources": {}},
        },
    }


def seen(**endpoints: dict[str, Any]) -> health.Seen:
    return health.Seen({"lab1": evidence(**endpoints)}, {})


def found(check: str, service: str, state: str = "ok", **more: Any) -> Finding:
    return Finding(check, state, service=service, host="lab1", summary=f"{service} is {state}", **more)


LIVE = {"url": "https://shop/health", "ok": True, "status": 200, "median_ms": 12.34}


def test_healthy() -> None:
    report = health.document([found("http.live", "proxy"), found("pg.up", "db")], seen(live=LIVE), NOW)
    assert (report["overall_status"], report["total_checks"], report["healthy"]) == ("healthy", 2, 2)
    by_name = {result["name"]: result for result in report["results"]}
    assert by_name["proxy http.live"]["url"] == "https://shop/health"
    assert by_name["proxy http.live"]["http_code"] == 200
    assert by_name["proxy http.live"]["response_time_ms"] == 12.3
    assert by_name["db pg.up"]["container"] == "app-db"
    assert by_name["db pg.up"]["detail"] == "db is ok"
    assert report["services"]["proxy"] == {"host": "lab1", "kind": "nginx", "url": "https://shop", "container": "app-proxy", "status": "healthy"}
    assert health.failure(report, "x.json") is None


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_unhealthy(severity: str) -> None:
    down = {"url": "https://shop/health", "ok": False, "status": None, "error": "connection refused", "median_ms": None}
    report = health.document([found("http.live", "proxy", "finding", severity=severity), found("pg.up", "db")], seen(live=down), NOW)
    assert report["overall_status"] == "unhealthy"
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text)["results"][1]["http_code"] is None
    assert health.failure(report, "x.json") == "Of 2 health checks, 1 unhealthy (proxy http.live); see x.json"
    assert "HTTP no answer" in health.log(report)
    assert health.log(report).endswith("Overall: UNHEALTHY\n")


def test_unknown_is_not_healthy() -> None:
    report = health.document([found("http.live", "proxy"), found("pg.up", "db", "unknown", reason="permission denied")], seen(live=LIVE), NOW)
    assert (report["overall_status"], report["healthy"], report["unknown"]) == ("unknown", 1, 1)
    assert report["services"]["db"]["status"] == "unknown"
    assert report["results"][0]["detail"] == "permission denied"
    assert health.failure(report, "x.json") == "Of 2 health checks, 1 unknown (db pg.up); see x.json"


def test_a_service_that_nobody_checked_is_unknown() -> None:
    report = health.document([found("http.live", "proxy")], seen(live=LIVE), NOW)
    assert [(result["name"], result["status"]) for result in report["results"]] == [("proxy http.live", "healthy"), ("db", "unknown")]


@pytest.mark.parametrize(
    ("document", "detail"),
    [
        (None, "no evidence was collected from its machine"),
        ({"reachable": False, "reason": "ssh: timed out"}, "ssh: timed out"),
    ],
)
def test_a_silent_machine_makes_its_services_unknown(document: dict[str, Any] | None, detail: str) -> None:
    documents = {} if document is None else {"web1": document}
    report = health.document([], health.Seen(documents, {"web1": {"db": {"kind": "postgresql", "container": "app-db"}}}), NOW)
    assert [(result["name"], result["status"], result["detail"]) for result in report["results"]] == [("db", "unknown", detail)]
    assert health.failure(report, "x.json") == f"Nothing could be checked: db: {detail}; see x.json"


def test_a_silent_machine_without_services_is_named() -> None:
    report = health.document([], health.Seen({"web1": {"reachable": False, "reason": "no route"}}, {}), NOW)
    assert report["results"][0]["name"] == "machine web1"
    assert report["overall_status"] == "unknown"


def test_nothing_at_all_is_unknown() -> None:
    report = health.document([], health.Seen({}, {}), NOW)
    assert (report["overall_status"], report["total_checks"]) == ("unknown", 0)
    assert health.failure(report, "x.json") == "Nothing could be checked: no machine was asked; see x.json"


def test_external_services_tell_their_status_code() -> None:
    http = {"ok": True, "data": {"endpoints": {"live": {"url": "https://pay/health", "ok": False, "status": 503, "median_ms": 5}}}}
    document = {"reachable": True, "services": {"pay": {"kind": "external", "spec": {}, "sources": {"http": http}}}}
    checks = [found("dep.reachable", "pay"), found("dep.http_status", "pay", "finding", severity="critical")]
    report = health.document(checks, health.Seen({"lab1": document}, {}), NOW)
    assert [(result["status"], result["http_code"]) for result in report["results"]] == [("unhealthy", 503), ("unhealthy", 503)]


def test_other_checks_are_told_only_when_bad() -> None:
    checks = [found("redis.reply.loading", "r"), *(found(check, "r", "finding", severity="critical") for check in ("redis.up", "redis.reply.busy"))]
    report = health.document(checks, health.Seen({}, {}), NOW)
    assert [result["name"] for result in report["results"]] == ["r redis.reply.busy", "r redis.up"]
    assert report["healthy"] == 0


def test_the_same_name_on_two_machines_stays_two_services() -> None:
    documents = {"a": evidence(), "b": evidence()}
    report = health.document([], health.Seen(documents, {}), NOW)
    assert set(report["services"]) == {"proxy@a", "proxy@b", "db@a", "db@b"}


@pytest.mark.parametrize("junk", [None, [], "x", {"services": []}, {"services": {"db": None}}, {"services": {"db": {"sources": {"http": 5}}}}])
def test_odd_evidence_is_survived(junk: Any) -> None:
    report = health.document([found("http.live", "db")], health.Seen({"lab1": junk}, {}), NOW)
    assert report["total_checks"] >= 1


def test_stamp() -> None:
    assert health.stamp(NOW) == "20261123T140911Z"
