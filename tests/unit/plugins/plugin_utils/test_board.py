# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The board: what a tired person reads first. The goldens in boards/ are what it looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.fold import fold
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import html, markdown
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.board import WIDTH, as_text, board
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import record_samples as samples

GOLDENS = Path(__file__).parent / "boards"
REPORT = "/srv/incidents/runs/01K/report.html"


def printed(events: list[Any], **more: Any) -> list[str]:
    """The lines of a run's board."""
    return [line.text for line in board(fold(events), REPORT, **more)]


@pytest.mark.parametrize("name", samples.RUNS)
def test_golden(name: str) -> None:
    text = as_text(board(samples.record_of(name), REPORT))
    assert text == (GOLDENS / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", samples.RUNS)
def test_lines_fit_and_the_last_one_is_the_report(name: str) -> None:
    lines = printed(samples.RUNS[name]())
    assert lines[-1] == REPORT
    assert len(lines) <= 24
    assert [line for line in lines if len(line) > WIDTH and line not in (REPORT, samples.COMMAND)] == []


def test_the_command_is_one_line_to_paste() -> None:
    assert samples.COMMAND in printed(samples.incident_events())


@pytest.mark.parametrize(
    ("proposal", "where"),
    [
        ({}, "Run on lab1:"),
        ({"target": {"host": "data1"}}, "Run on data1:"),
        ({"run_on": "controller"}, "Run on the controller (where Ansible runs):"),
    ],
)
def test_where_the_command_is_run_is_said_everywhere(proposal: dict[str, Any], where: str) -> None:
    events = samples.incident_events()
    diagnosis = samples.lock_diagnosis()
    diagnosis.data["proposals"][0].update(proposal)
    events[-2] = diagnosis
    record = fold(events)
    shown = " ".join(line.strip() for line in printed(events))
    assert where in shown
    assert where in markdown.render(record).replace("\\", "")
    assert html.render(record).count(where) == 2


def machines(*findings: dict[str, Any], more: tuple[Any, ...] = ()) -> list[str]:
    """The healthy line of a run over two machines, with these findings about them."""
    service = samples.finding("redis.up", "redis", kind="redis")
    events = [samples.started(), samples.evidence(), samples.evidence("lab2"), samples.assessment("host_check", *findings, service), *more]
    return [line for line in printed([*events, samples.no_diagnosis(), samples.finished()]) if line.startswith("healthy: ")]


def test_machines_that_were_assessed_are_named() -> None:
    fine = [samples.finding("host.load", host, kind="machine", host=host) for host in ("lab1", "lab2")]
    assert machines(*fine) == ["healthy: redis; machine lab1, lab2"]
    busy = samples.finding("host.cpu.util", "lab1", "info", kind="machine")
    assert machines(*fine, busy) == ["healthy: redis; machine lab1, lab2"]


def test_machines_that_are_not_fine_or_not_known_are_not_named() -> None:
    fine = samples.finding("host.load", "lab1", kind="machine")
    assert machines(fine) == ["healthy: redis; machine lab1"]
    full = samples.finding("host.disk.space", "lab1", "warning", kind="machine")
    assert machines(fine, full) == ["healthy: redis"]
    blind = samples.unknown("host.disk.space", "lab1", "disk: permission denied", kind="machine")
    assert machines(fine, blind) == ["healthy: redis"]
    failed = samples.event("step", {"host": "localhost", "status": "failed", "task": "Assess", "msg": "no room", "own": True})
    assert machines(fine, more=(failed,)) == []


def test_machine_that_a_diagnosis_blames_is_not_called_healthy() -> None:
    events = samples.incident_events()
    found = samples.lock_diagnosis()
    found.data["diagnosis"][1].update(pattern="host_saturated", service="lab1", symptom_of=None)
    assert "healthy: redis; machine lab1" in printed(events)
    assert "healthy: redis" in printed([*events[:-2], found, events[-1]])


def test_other_causes_are_told_whole_or_counted() -> None:
    events = samples.incident_events()
    found = samples.lock_diagnosis()
    lock, symptom = found.data["diagnosis"]
    found.data["diagnosis"] = [lock, symptom, {**symptom, "pattern": "partial_failure_" + "x" * 30}, {**symptom, "pattern": "proxy_misrouted"}]
    events[-2] = found
    lines = printed(events)
    first = next(number for number, line in enumerate(lines) if line.startswith("  also"))
    assert lines[first : first + 3] == [
        "  also    slow_responses on backend (possible, 41, symptom of",
        "          db_lock_contention); 2 more in the report",
        "",
    ]


def test_many_healthy_services_stay_in_few_lines() -> None:
    checks = [samples.finding("http.live", f"service{number:02}", kind="fastapi") for number in range(40)]
    lines = printed([samples.started(), samples.evidence(), samples.assessment("r", *checks), samples.no_diagnosis(), samples.finished()])
    assert any(line.endswith("service11 and 28 more") for line in lines)
    assert len(lines) < 10


def two_causes() -> list[Any]:
    """A lock, and beside it a certificate that expired the day before."""
    events = samples.incident_events()
    expired = samples.finding("tls.expiry", "proxy", "critical", "the certificate has expired", role="cause", kind="nginx", since="2026-11-22T08:00:00Z")
    found = samples.lock_diagnosis()
    lock, symptom = found.data["diagnosis"]
    certificate = {**lock, "pattern": "tls_certificate", "service": "proxy", "score": 82.0, "why": [samples.reason("tls.expiry", "proxy", 60)]}
    found.data["diagnosis"] = [lock, certificate, symptom]
    first = {**found.data["proposals"][0], "undo": "nothing to undo; the client has to repeat its work"}
    second = {**first, "id": "P2", "pattern": "tls_certificate", "service": "proxy", "effect": "shows what is served", "command": "true"}
    found.data["proposals"] = [first, second]
    return [*events[:-2], samples.assessment("tls_check", expired, seconds=0.76), found, events[-1]]


def test_a_second_cause_has_a_next_step_too_and_no_say_in_when_the_first_began() -> None:
    lines = printed(two_causes())
    assert lines[-2] == "THEN  P2 for tls_certificate on proxy: see the report"
    assert "  since   14:02:11Z, 7 min before it was found" in lines
    record = fold(two_causes())
    assert "Then: P2 for tls_certificate on proxy" in markdown.render(record).replace("\\", "")
    assert "Then: P2 for tls_certificate on proxy" in html.render(record)
    assert not any(line.startswith("THEN") for line in printed(samples.incident_events()))


def test_what_needs_no_undo_is_said_once() -> None:
    text = " ".join(line.strip() for line in printed(two_causes()))
    assert "(nothing to undo; the client has to repeat its work)" in text
    record = fold(two_causes())
    assert "undo: nothing" not in (text + markdown.render(record) + html.render(record)).lower()


def many(count: int) -> list[Any]:
    """A run with many long findings."""
    findings = [samples.finding(f"a.check_{number:02}", "backend", "critical", "a long sentence " * 12, kind="fastapi") for number in range(count)]
    gaps = [samples.unknown(f"b.check_{number}", f"service{number}", "a long reason " * 20) for number in range(count)]
    return [samples.started(), samples.evidence(), samples.assessment("r", *findings, *gaps), samples.no_diagnosis(), samples.finished()]


def test_many_findings_stay_on_one_screen() -> None:
    lines = printed(many(40))
    assert len(lines) <= 24
    assert all(len(line) <= WIDTH for line in lines)
    assert any("31 more findings: see the report" in line for line in lines)
    assert any("37 more gaps: see the report" in line for line in lines)


@pytest.mark.parametrize("name", ["unknown", "interrupted", "killed"])
def test_nothing_reads_as_an_all_clear(name: str) -> None:
    text = as_text(board(samples.record_of(name), REPORT))
    assert "NO INCIDENT" not in text
    assert " ok" not in text.splitlines()[0]


def test_where_it_is_kept_is_said() -> None:
    lines = printed(samples.healthy_events(), problem="incident_state_dir /x can't be written; this run is kept in /tmp/y.")
    assert lines[-2].startswith("note ")
    assert "kept in /tmp/y" in lines[-2]


def test_assumptions_are_printed() -> None:
    events = samples.healthy_events()
    events[1] = samples.evidence(discovered=True, assumptions=["app-db is postgresql because it listens on 5432", "app-redis is redis"])
    assert any(line.startswith("assumed: lab1: app-db is postgresql") for line in printed(events))


def test_hostile_text_stays_text() -> None:
    finding = samples.finding("a.b", "db", "critical", "x\x1b[2J\x1b[31m\u202e\nfake line\x07")
    lines = printed([samples.started(), samples.evidence(), samples.assessment("r", finding), samples.no_diagnosis(), samples.finished()])
    assert not any(set(line) & set("\x1b\x07\u202e\n") for line in lines)
    assert not any(line.startswith("fake line") for line in lines)
