# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folding events into a record: what is concluded, and that nothing odd in an event can break it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import checks
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import load_checks
from ansible_collections.sre.incident_response.plugins.plugin_utils.fold import finding_from, fold
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import age, grouped, run_notice
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import board, html, json, markdown
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import record_samples as samples


def test_incident() -> None:
    record = samples.record_of("incident")
    assert record.verdict.code == "incident"
    assert record.verdict.detail == "db_lock_contention on db (likely, 92)  suggested SEV2"
    assert record.incident.started == "2026-11-23T14:02:11.000Z"
    assert record.incident.detected == "2026-11-23T14:09:00.900Z"
    assert record.incident.status == "open"
    assert [finding.id for finding in record.bad] == ["pg.locks.root", "pg.locks.blocked", "http.latency", "proxy.errlog.timed_out"]
    assert {service["name"]: service["state"] for service in record.services} == {
        "backend": "critical",
        "db": "critical",
        "proxy": "warning",
        "redis": "ok",
    }
    assert record.run.hosts == ["lab1"], "the controller is no machine that was looked at"
    assert record.run.duration_s == 1.2
    assert run_notice(record) is None


def test_timeline_is_by_time_and_holds_what_machines_say() -> None:
    entries = samples.record_of("incident").timeline
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)
    assert entries[0].kind == "began"
    assert entries[0].origin == "evidence"
    assert "pid 4242" in entries[0].text
    assert entries[-1].text == "finished"


def test_healthy() -> None:
    record = samples.record_of("healthy")
    assert (record.verdict.code, record.verdict.headline) == ("healthy", "NO INCIDENT FOUND")
    assert record.verdict.detail == "1 machine, 4 services, 4 checks ok, 0 unknown"
    assert record.incident.status == "none"


def test_an_unreachable_machine_is_no_all_clear() -> None:
    record = samples.record_of("unknown")
    assert record.verdict.code == "incomplete"
    assert "1 machine unreachable" in record.verdict.detail
    assert {service["name"]: service["state"] for service in record.services}["db"] == "unknown"
    assert [(gap.host, gap.service, gap.checks) for gap in record.not_assessed] == [("web1", "", ["service.assessed"])]


UP = samples.finding("redis.up", "redis", kind="redis", check_role="redis_health_check")
SERIOUS = [
    samples.unknown("pg.up", "db", "postgresql: permission denied"),
    samples.unknown("redis.latency", "redis", "redis: timeout after 5 s", kind="redis", check_role="redis_health_check"),
    samples.unknown("pg.locks.root", "db", "postgresql does not tell it (snapshot has no value)", check_role="pg_lock_scan"),
    samples.unknown("db.container.state", "db", "container does not tell it (status has no value)"),
    samples.unknown("service.assessed", "db", "nothing was collected"),
]


@pytest.mark.parametrize("gap", SERIOUS, ids=lambda gap: gap["id"])
def test_a_gap_that_matters_is_no_all_clear(gap: dict[str, Any]) -> None:
    events = [samples.started(), samples.evidence(), samples.assessment("health_check", UP, gap), samples.no_diagnosis(), samples.finished()]
    record = fold(events)
    assert record.verdict.code == "incomplete"
    assert "NO INCIDENT" not in record.verdict.headline
    assert record.not_assessed[0].serious
    assert record.healthy_services() == ([] if gap["service"] == "redis" else ["redis"])


def test_a_number_that_a_kernel_does_not_have_is_only_counted() -> None:
    gap = samples.unknown("redis.fragmentation", "redis", "redis does not tell it (info has no value)", kind="redis", check_role="redis_health_check")
    record = fold([samples.started(), samples.evidence(), samples.assessment("redis_health_check", UP, gap), samples.no_diagnosis(), samples.finished()])
    assert record.verdict.code == "healthy"
    assert record.verdict.detail.endswith("1 check ok, 1 unknown")


def test_the_words_for_a_missing_number_are_those_of_the_checks() -> None:
    entry = {"id": "a.b", "question": "?", "kinds": ["redis"], "needs": ["redis"], "role": "state", "message": "m", "value": "redis.nothing", "warning": 1}
    subject = checks.Subject("redis", "redis", "redis", "h", {"redis": {}}, {"redis": {"ok": True}})
    (finding,) = checks.evaluate_all(load_checks([entry]), [subject], "r")
    assert "does not tell it" in (finding.reason or "")


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        ({"service": "db", "sentence": "kind postgres of service db is unknown"}, "incomplete"),
        (None, "healthy"),
    ],
)
def test_a_mistake_in_the_inventory_is_a_gap(problem: dict[str, str] | None, code: str) -> None:
    events = samples.healthy_events()
    events[1] = samples.evidence(problems=[problem] if problem else [])
    assert fold(events).verdict.code == code


def test_a_service_that_no_check_looked_at_is_a_gap() -> None:
    events = samples.healthy_events()
    events[1] = samples.evidence(services={"db": "postgresql", "payments": "external"})
    record = fold(events)
    assert record.verdict.code == "incomplete"
    assert [(gap.service, gap.reason) for gap in record.not_assessed] == [("payments", "no check was made on it")]
    assert {service["name"]: service["state"] for service in record.services}["payments"] == "unknown"


@pytest.mark.parametrize("host", ["lab1", "localhost"])
def test_a_failed_step_of_our_own_is_a_gap(host: str) -> None:
    step = samples.event("step", {"host": host, "task": "Assess the locks", "status": "failed", "own": True, "gate": False, "msg": "check x is wrong"}, 0.8)
    record = fold([*samples.healthy_events()[:3], step, *samples.healthy_events()[3:]])
    assert record.verdict.code == "incomplete"
    assert record.not_assessed[0].reason == "Assess the locks failed: check x is wrong"
    assert record.healthy_services() == [], "nobody knows which services the failed checks were about"


def test_a_gate_that_fails_on_purpose_is_no_gap() -> None:
    step = samples.event("step", {"host": "lab1", "task": "Diagnose", "status": "failed", "own": True, "gate": True, "msg": "critical findings"}, 0.95)
    assert fold([*samples.healthy_events()[:4], step, samples.finished()]).verdict.code == "healthy"


def test_critical_findings_without_a_pattern() -> None:
    critical = samples.finding("redis.up", "redis", "critical", "redis is down", kind="redis")
    record = fold([samples.started(), samples.evidence(), samples.assessment("r", critical), samples.no_diagnosis(severity="SEV2"), samples.finished()])
    assert (record.verdict.code, record.verdict.headline) == ("unclassified", "UNCLASSIFIED INCIDENT")


@pytest.mark.parametrize(("severity", "code"), [("critical", "unclassified"), ("warning", "warnings")])
def test_the_unclassified_pattern_is_no_named_cause(severity: str, code: str) -> None:
    finding = samples.finding("redis.up", "redis", severity, "redis is slow", kind="redis")
    nameless = {"pattern": "unclassified_incident", "title": "No known pattern", "service": "redis", "host": "lab1", "score": 0, "why": []}
    diagnosis = samples.no_diagnosis(diagnosis=[nameless])
    record = fold([samples.started(), samples.evidence(), samples.assessment("r", finding), diagnosis, samples.finished()])
    assert record.verdict.code == code


@pytest.mark.parametrize(("severity", "code"), [(None, "assessed"), ("warning", "assessed"), ("critical", "unclassified")])
def test_an_assessment_alone_is_no_diagnosis(severity: str | None, code: str) -> None:
    finding = samples.finding("redis.up", "redis", severity, kind="redis")
    record = fold([samples.started(), samples.evidence(), samples.assessment("r", finding), samples.finished()])
    assert record.verdict.code == code
    assert "NO INCIDENT" not in record.verdict.headline


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_run_that_ends_early_has_no_verdict(count: int) -> None:
    record = fold(samples.healthy_events()[:count])
    assert record.verdict.headline == "NO VERDICT"
    assert record.run.status == "unfinished"
    assert (run_notice(record) or "").startswith("DID NOT FINISH")


def test_interrupted() -> None:
    record = samples.record_of("interrupted")
    assert record.run.status == "interrupted"
    assert run_notice(record) == "INTERRUPTED by SIGTERM at 14:09:02Z: what follows is incomplete"
    assert record.verdict.headline == "NO VERDICT"
    assert "2 critical findings so far" in record.verdict.detail


def test_a_later_assessment_of_a_role_replaces_the_earlier_one() -> None:
    bad, good = samples.finding("redis.up", "redis", "critical"), samples.finding("redis.up", "redis")
    record = fold([samples.started(), samples.assessment("r", bad, seconds=0.1), samples.assessment("r", good, seconds=0.2), samples.finished()])
    assert [finding.state for finding in record.findings] == ["ok"]


def test_milestones_come_from_notes() -> None:
    notes = [samples.event("note", {"kind": kind, "summary": kind, "title": "Checkout slow"}, at) for kind, at in (("acknowledged", 60), ("mitigated", 120))]
    incident = fold([*samples.incident_events(), *notes]).incident
    assert incident.acknowledged == "2026-11-23T14:10:00.000Z"
    assert incident.mitigated == "2026-11-23T14:11:00.000Z"
    assert (incident.status, incident.title) == ("mitigated", "Checkout slow")


def test_the_same_finding_of_many_machines_is_one() -> None:
    disks = [samples.finding("host.disk.space", host, "critical", "/ is full", kind="machine", host=host) for host in ("web1", "web2", "web3")]
    other = samples.finding("host.disk.space", "web4", "critical", "/var is full", kind="machine", host="web4")
    groups = grouped(fold([samples.assessment("disk_check", *disks, other)]).bad)
    assert sorted(group.hosts for group in groups) == [["web1", "web2", "web3"], ["web4"]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (119, "119 s"), (720, "12 min"), (10_800, "3 h"), (200_000, "2 days"), (-5, "")],
)
def test_age(seconds: int, text: str) -> None:
    later = samples.event("note", {}, seconds).time.isoformat()
    assert age(samples.START.isoformat(), later) == text
    assert age(None, later) == ""


@pytest.mark.parametrize("state", [None, "fine", 5, {}])
def test_an_odd_state_is_unknown_and_never_ok(state: object) -> None:
    finding = finding_from({"id": "a.b", "state": state})
    assert finding is not None
    assert finding.state == "unknown"


JUNK: list[Any] = [None, True, 5, -1.5, 1e308, "", "x\x1b[31m", "critical", [], [None], [[]], {}, {"a": 1}, {"id": "x"}, "2026-11-23T14:00:00Z", "9" * 400]


def _damaged(value: Any, source: random.Random) -> Any:
    """A copy with some of its parts replaced by junk."""
    if source.random() < 0.15:
        return source.choice(JUNK)
    if isinstance(value, dict):
        return {key: _damaged(item, source) for key, item in value.items() if source.random() > 0.05}
    if isinstance(value, list):
        return [_damaged(item, source) for item in value]
    return value


def test_a_timeline_names_a_service_once() -> None:
    changed = samples.finding("change.config", "db", "info", "db: /etc/pg_hba.conf changed 5 min ago", role="change", since="2026-11-23T14:04:00Z")
    (entry,) = [one for one in fold([samples.started(), samples.assessment("r", changed), samples.finished()]).timeline if one.origin == "evidence"]
    assert (entry.service, entry.text) == ("db", "/etc/pg_hba.conf changed 5 min ago")


def test_damaged_events_never_break_a_report() -> None:
    source = random.Random(11)  # reproducible noise, no cryptography
    for number in range(250):
        damaged = [(event.kind, _damaged(event.data, source)) for event in samples.incident_events()]
        record = fold(samples.event(kind, data if isinstance(data, dict) else {}, index) for index, (kind, data) in enumerate(damaged))
        lines = board.board(record, "/report.html")
        assert lines[-1].text == "/report.html"
        markdown.render(record)
        json.render(record)
        if number % 10 == 0:
            html.render(record)
