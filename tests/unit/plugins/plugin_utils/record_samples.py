# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of small runs that the tests of the record and of the reports share."""

from __future__ import annotations

import datetime
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.fold import fold
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import Event
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Record

START = datetime.datetime(2026, 11, 23, 14, 9, 0, tzinfo=datetime.UTC)
HOSTILE = "</script></style><img src=x onerror=alert(1)> [x](javascript:1) {{ 7*7 }}"
COMMAND = 'docker exec -u postgres app-db psql -X -d postgres -c "SELECT pg_terminate_backend(4242)" # a long line that has to stay on one line to be pasted'


def event(kind: str, data: dict[str, Any], seconds: float = 0.0, severity: str | None = None) -> Event:
    """An event that many seconds after the start; its sequence follows from that."""
    moment = START + datetime.timedelta(seconds=seconds)
    name = f"{kind}-{seconds}-{data.get('role', data.get('host', ''))}"
    return Event(kind, name, "urn:sre:run:01K", moment, moment, int(seconds * 1000), "01K", severity, data)


def finding(check: str, service: str, severity: str | None = None, summary: str = "", **more: Any) -> dict[str, Any]:
    """A finding as an assessment returns it: ok without severity."""
    state = "finding" if severity else "ok"
    return {"id": check, "service": service, "state": state, "severity": severity, "summary": summary, "kind": "postgresql", "host": "lab1", **more}


def unknown(check: str, service: str, reason: str, **more: Any) -> dict[str, Any]:
    """A check that could not be made."""
    return {**finding(check, service, **more), "state": "unknown", "reason": reason}


def started() -> Event:
    """The first event of a run."""
    versions = {"ansible_core": "2.19.14", "collection": "0.1.0", "python": "3.11.7"}
    return event("run.started", {"run": "01K", "context": {"playbook": "triage.yml", "actor": {"type": "user", "id": "alice"}, "versions": versions}})


def finished() -> Event:
    """The last event of a run."""
    return event("run.finished", {"hosts": {"lab1": {}, "localhost": {}}, "redacted": {"password in a URL": 2}}, 1.2)


def evidence(host: str = "lab1", **more: Any) -> Event:
    """A machine that answered, unless more says otherwise."""
    return event("evidence", {"host": host, "reachable": True, "duration_s": 0.48, **more}, 0.6)


def assessment(role: str, *findings: dict[str, Any], seconds: float = 0.7) -> Event:
    """What one role found."""
    return event("assessment", {"role": role, "findings": list(findings)}, seconds)


def reason(check: str, service: str, points: float) -> dict[str, Any]:
    """One reason of a diagnosis."""
    text = f"{check} was seen"
    return {"id": check, "severity": "critical", "service": service, "host": "lab1", "text": text, "evidence": [], "since": None, "points": points}


def lock_diagnosis() -> Event:
    """The diagnosis of a lock, with the latency as its symptom."""
    lock = {
        "pattern": "db_lock_contention",
        "title": "Sessions wait for a lock that somebody holds",
        "family": "slow",
        "service": "db",
        "host": "lab1",
        "score": 92.0,
        "verdict": "likely",
        "why": [reason("pg.locks.blocked", "db", 50), reason("pg.locks.root", "db", 25), reason("http.latency", "backend", 5)],
        "symptom_of": None,
        "first_action": {"mitigation": "terminate_pg_blocker"},
        "verify": ["pg.locks.blocked"],
        "escalate": "the session belongs to a migration",
        "confounders": ["a slow query without waiters"],
        "unknown": ["pg.prepared.orphan"],
    }
    symptom = {**lock, "pattern": "slow_responses", "title": "Slow responses", "service": "backend", "score": 41.0, "verdict": "possible"}
    symptom.update(symptom_of="db_lock_contention", why=[reason("http.latency", "backend", 35)])
    proposal = {
        "id": "P1",
        "pattern": "db_lock_contention",
        "service": "db",
        "host": "lab1",
        "mitigation": "terminate_pg_blocker",
        "target": {"pid": 4242},
        "effect": "ends session 4242; its uncommitted changes are rolled back",
        "undo": "none: the client must repeat its work",
        "command": COMMAND,
        "note": None,
    }
    names = {"proxy": "nginx", "backend": "fastapi", "db": "postgresql", "redis": "redis"}
    return event(
        "diagnosis",
        {
            "diagnosis": [lock, symptom],
            "proposals": [proposal],
            "severity": "SEV2",
            "severity_reason": "one core route is slow",
            "exonerated": ["redis on lab1"],
            "services": [{"name": name, "kind": kind, "host": "lab1", "state": "ok"} for name, kind in names.items()],
        },
        0.9,
    )


def incident_events() -> list[Event]:
    """A lock in the database, seen from several sides."""
    root = "pid 4242 (user app, application psql, idle in transaction for 312 s) blocks 6 sessions on table orders"
    return [
        started(),
        evidence(),
        assessment(
            "pg_lock_scan",
            finding("pg.locks.blocked", "db", "critical", "6 sessions wait for a lock, the longest for 48 s", role="symptom", since="2026-11-23T14:08:10Z"),
            finding(
                "pg.locks.root", "db", "critical", root, role="cause", since="2026-11-23T14:02:11Z", value=6, unit="sessions", warning=1, critical=5,
                evidence=[{"source": "postgresql", "text": f"UPDATE orders {HOSTILE}"}], target={"pid": 4242}, question="Who holds the lock?",
            ),
        ),
        assessment(
            "health_check",
            finding("http.latency", "backend", "critical", "/health/ready takes 9800 ms", role="symptom", kind="fastapi", since="2026-11-23T14:08:30Z"),
            finding("http.live", "backend", kind="fastapi"),
            finding("http.live", "proxy", kind="nginx"),
            seconds=0.71,
        ),
        assessment(
            "proxy_check",
            finding("proxy.errlog.timed_out", "proxy", "warning", "31 upstream timeouts in 15 min", role="symptom", kind="nginx"),
            seconds=0.72,
        ),
        assessment("redis_health_check", finding("redis.up", "redis", kind="redis"), finding("redis.latency", "redis", kind="redis"), seconds=0.73),
        assessment(
            "host_check",
            unknown("host.psi.memory", "lab1", "host does not tell it (psi has no value)", kind="machine"),
            finding("host.load", "lab1", kind="machine"),
            seconds=0.74,
        ),
        assessment("tls_check", unknown("tls.expiry", "proxy", "tls: connection refused by 127.0.0.1:8443", kind="nginx"), seconds=0.75),
        lock_diagnosis(),
        finished(),
    ]  # fmt: skip


def healthy_events() -> list[Event]:
    """Everything was looked at and is fine."""
    checks = [finding("http.live", name, kind=kind) for name, kind in (("proxy", "nginx"), ("backend", "fastapi"))]
    checks += [finding("pg.up", "db"), finding("redis.up", "redis", kind="redis")]
    return [started(), evidence(), assessment("health_check", *checks), no_diagnosis(), finished()]


def no_diagnosis(**more: Any) -> Event:
    """A diagnosis that found nothing."""
    return event("diagnosis", {"diagnosis": [], "proposals": [], "services": [], **more}, 0.9)


def unknown_events() -> list[Event]:
    """One machine is fine, the other one can't be reached."""
    why = "ssh: connect to host web1 port 22: Connection timed out"
    return [
        started(),
        evidence(),
        evidence("web1", reachable=False, reason=why),
        assessment("health_check", finding("http.live", "proxy", kind="nginx"), unknown("service.assessed", "db", why, host="web1")),
        no_diagnosis(services=[{"name": "db", "kind": "postgresql", "host": "web1", "state": "ok"}]),
        finished(),
    ]


def interrupted_events() -> list[Event]:
    """Stopped by a signal before the diagnosis."""
    return [*incident_events()[:3], event("run.interrupted", {"reason": "SIGTERM"}, 2)]


def killed_events() -> list[Event]:
    """Killed: there is no last event."""
    return incident_events()[:3]


def investigated_events() -> list[Event]:
    """A deeper look at the database, and what a Prometheus measured; both with text that somebody hostile wrote."""
    sessions = {
        "title": "Sessions",
        "service": "db",
        "host": "lab1",
        "columns": ["pid", "state", "query"],
        "rows": [["4242", "active", HOSTILE], ["4243", "idle"]],
        "numbers": [0],
        "note": "what runs first",
        "left_out": 3,
    }
    statements = {"title": "Statements", "service": "db", "host": "lab1", "reason": "extension pg_stat_statements is not installed"}
    nothing = {"title": "Locks", "service": "db", "host": "lab1", "columns": ["pid"], "rows": []}
    looked = {"topic": "database", "title": "PostgreSQL", "summary": "1 PostgreSQL service on 1 machine: db", "tables": [sessions, statements, nothing]}
    end = START.timestamp()
    points = [[end - 600 + 30 * number, float(number)] for number in range(20)]
    ratio = {"id": "errors.ratio", "measure": "errors", "name": "ratio", "unit": "%", "service": "backend", "host": "lab1", "points": points}
    rate = {**ratio, "id": "rate", "measure": "rate", "name": HOSTILE, "unit": "", "points": [*points[:5], *points[12:]]}
    times = {"start": "2026-11-23T13:59:00Z", "end": "2026-11-23T14:09:00Z", "onset": "2026-11-23T14:04:00Z"}
    measured = {"from": "http://prometheus.example:9090", **times, "series": [ratio, rate], "cut": False}
    return [started(), evidence(), event("metrics", measured, 0.65), event("investigation", looked, 0.8), finished()]


RUNS = {
    "investigated": investigated_events,
    "incident": incident_events,
    "healthy": healthy_events,
    "unknown": unknown_events,
    "interrupted": interrupted_events,
    "killed": killed_events,
}


def record_of(name: str) -> Record:
    """The record of one of the runs above."""
    return fold(RUNS[name]())
