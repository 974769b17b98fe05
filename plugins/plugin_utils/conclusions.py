# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from everything that a run recorded: gaps, the state of each service, and the one line that is read first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, OK, SEVERITY_ORDER, UNKNOWN, Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Entry, NotAssessed, Record, Verdict, seconds_between
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import plural

# A cause is read before what it brings about.
_ROLE_ORDER = {"cause": 0, "change": 1, "state": 2, "symptom": 3}
_STATE_ORDER = {"critical": 0, "warning": 1, "unknown": 2, "ok": 3}
# Not knowing one of these is not knowing whether the service works.
_VITAL = re.compile(r"(^|\.)(up|assessed|reachable)$|\.container\.state$|^http\.(live|ready|direct)$")
# How an assessment words "the source answered, but this kernel or version does not have the number".
_NOT_TOLD = "does not tell it"


def conclude(record: Record, failed_steps: Sequence[NotAssessed], services: Sequence[Mapping[str, Any]], title: str) -> None:
    """Complete a record whose machines, findings, diagnosis and timeline are filled in.

    `failed_steps` are tasks of this collection that failed, `services` what the diagnosis knew about, `title` what a person called it.
    """
    run = record.run
    record.findings.sort(key=_finding_order)
    record.not_assessed = _not_assessed(record, failed_steps)
    record.services = _services(services, record)
    # The controller's own play counts as a host for Ansible; it is no machine that was looked at.
    run.hosts = [machine.host for machine in record.machines] or run.hosts
    run.duration_s = seconds_between(run.started, run.finished or run.last_event)
    record.timeline = sorted(record.timeline + _entries_of_evidence(record.bad), key=lambda entry: entry.time)
    _complete_incident(record, title)
    record.verdict = _verdict(record)


def _finding_order(finding: Finding) -> tuple[int, int, int, str, str, str, str]:
    """Worst first, a cause before its symptoms, what began earlier before what began later; then the unknown, then what is fine."""
    state = {FINDING: 0, UNKNOWN: 1, OK: 2}[finding.state]
    severity = -SEVERITY_ORDER.get(finding.severity or "", -1)
    return (state, severity, _ROLE_ORDER[finding.role], finding.since or "9999", finding.service, finding.id, finding.host)


def _not_assessed(record: Record, failed_steps: Sequence[NotAssessed]) -> list[NotAssessed]:
    """Gaps, serious ones first: machines that can't be reached once each, mistakes in the inventory, unknown checks, failed tasks."""
    unreachable = {}
    for machine in record.machines:
        if not machine.reachable:
            unreachable[machine.host] = NotAssessed(machine.host, "", machine.reason or "it can't be reached", [], True)
    answered = {(finding.host, finding.service, finding.check_role) for finding in record.findings if finding.state != UNKNOWN}
    groups: dict[tuple[str, str, str], NotAssessed] = {}
    for finding in record.findings:
        if finding.state != UNKNOWN:
            continue
        reason = finding.reason or "no reason was given"
        # The machine is named once; repeating its reason for every service would bury the other gaps.
        fresh = NotAssessed(finding.host, finding.service, reason, [], False)
        gap = unreachable.get(finding.host) or groups.setdefault((finding.host, finding.service, reason), fresh)
        if finding.id not in gap.checks:
            gap.checks.append(finding.id)
        blind = (finding.host, finding.service, finding.check_role) not in answered
        gap.serious = gap.serious or blind or bool(_VITAL.search(finding.id)) or _NOT_TOLD not in reason
    mistakes = [NotAssessed(machine.host, service, sentence, [], True) for machine in record.machines for service, sentence in machine.problems]
    silent = _without_checks(record) if record.diagnosed else []
    gaps = [*unreachable.values(), *mistakes, *silent, *groups.values(), *failed_steps]
    return sorted(gaps, key=lambda gap: (not gap.serious, gap.host, gap.service, gap.reason))


def _without_checks(record: Record) -> list[NotAssessed]:
    """Services of machines that answered about which no check said anything; only a whole triage means to check every service."""
    checked = {(finding.host, finding.service) for finding in record.findings}
    return [
        NotAssessed(machine.host, name, "no check was made on it", [], True)
        for machine in record.machines
        for name in machine.services
        if machine.reachable and (machine.host, name) not in checked
    ]


def _services(given: Sequence[Mapping[str, Any]], record: Record) -> list[dict[str, Any]]:
    """State of every service by its findings: critical, warning, unknown or ok. What was not looked at is unknown, never ok."""
    found: dict[tuple[str, str], dict[str, Any]] = {(item["name"], item["host"]): dict(item) for item in given}
    for machine in record.machines:
        for name, kind in machine.services.items():
            found.setdefault((name, machine.host), {"name": name, "kind": kind, "host": machine.host, "state": ""})
    for finding in record.findings:
        if finding.kind != "machine" and finding.service:
            key = (finding.service, finding.host)
            found.setdefault(key, {"name": finding.service, "kind": finding.kind, "host": finding.host, "state": ""})
    for (name, host), service in found.items():
        service["state"] = _state_of(name, host, record)
    return sorted(found.values(), key=lambda service: (_STATE_ORDER[service["state"]], service["name"], service["host"]))


def _state_of(name: str, host: str, record: Record) -> str:
    own = [finding for finding in record.findings if finding.service == name and finding.host == host and finding.kind != "machine"]
    for severity in ("critical", "warning"):
        if any(finding.severity == severity for finding in own):
            return severity
    # A task that failed on the controller left out checks of every machine.
    machines = {machine.host for machine in record.machines}
    gaps = [gap for gap in record.not_assessed if gap.serious and (gap.host == host or gap.host not in machines) and gap.service in ("", name)]
    return UNKNOWN if gaps or not any(finding.state == OK for finding in own) else OK


def _entries_of_evidence(findings: Iterable[Finding]) -> list[Entry]:
    entries = []
    for finding in findings:
        if finding.since:
            kind = "change" if finding.role == "change" else "began"
            # A change of a file begins with the name of its service, which the entry names anyway.
            text = finding.summary.removeprefix(f"{finding.service}: ")
            entries.append(Entry(finding.since, kind, text, finding.host, finding.service, finding.severity, origin="evidence"))
    return entries


def _complete_incident(record: Record, title: str) -> None:
    incident = record.incident
    incident.id = record.run.id
    critical = [finding.since for finding in record.bad if finding.severity == "critical" and finding.since and finding.role != "change"]
    incident.started = min(critical) if critical else None
    if record.diagnosis:
        first = record.diagnosis[0]
        incident.title = title or (first.title if not first.classified else None) or f"{first.title} ({first.service})"
        incident.status = "resolved" if incident.resolved else "mitigated" if incident.mitigated else "open"
    else:
        incident.title = title or "No incident found"
        incident.status = "none"


def _verdict(record: Record) -> Verdict:
    """Choose the first line. It must never read as an all-clear when something that matters was not looked at."""
    critical = sum(1 for finding in record.bad if finding.severity == "critical")
    suggested = f"  suggested {record.incident.severity}" if record.incident.severity else ""
    warnings = sum(1 for finding in record.bad if finding.severity == "warning")
    first = next((item for item in record.diagnosis if item.classified), None)
    if first:
        return Verdict("incident", "INCIDENT", f"{first.pattern} on {first.service} ({first.verdict}, {first.score:.0f}){suggested}")
    if not record.diagnosed and not record.complete:
        return _verdict_so_far(record, critical)
    if record.decisions and not record.diagnosed:
        return _verdict_of_mitigation(record)
    if not record.findings and not record.machines:
        return Verdict("nothing", "NOTHING ASSESSED", "no machine was looked at")
    if critical and record.diagnosed:
        return Verdict("unclassified", "UNCLASSIFIED INCIDENT", f"{plural(critical, 'critical finding')}, no known pattern explains them{suggested}")
    if critical:
        return Verdict("unclassified", "CRITICAL FINDINGS", f"{critical}, not diagnosed: run triage for the cause")
    if warnings and record.diagnosis:
        gaps = f"; {_gaps(record)}" if record.count(UNKNOWN) else ""
        return Verdict("warnings", "WARNINGS ONLY", f"{plural(warnings, 'warning')}, no known pattern explains them{suggested}{gaps}")
    answered = len(record.findings) - record.count(UNKNOWN)
    if record.investigations and not record.findings and not any(gap.serious for gap in record.not_assessed):
        return Verdict("nothing", "NOTHING ASSESSED", record.investigations[-1].summary)
    if any(gap.serious for gap in record.not_assessed) or not answered:
        return Verdict("incomplete", "NOT FULLY ASSESSED", f"nothing critical where we could look; {_gaps(record)}")
    if record.diagnosed:
        return Verdict("healthy", "NO INCIDENT FOUND", _counts(record))
    return Verdict("assessed", "NOTHING CRITICAL FOUND", _counts(record))


def _verdict_of_mitigation(record: Record) -> Verdict:
    """A run that was there to change something says what became of that."""
    last = record.decisions[-1]
    heads = {"verified": "MITIGATED", "nothing": "NOTHING TO DO", "refuse": "REFUSED", "not_proven": "NOT PROVEN", "failed": "FAILED"}
    head = heads.get(last.verdict, "NOTHING CHANGED")
    record.incident.title = f"{last.mitigation} of {last.service}" if last.mitigation else "Mitigation"
    return Verdict("mitigated" if last.verdict in ("verified", "nothing") else "mitigation", head, last.sentence)


def _verdict_so_far(record: Record, critical: int) -> Verdict:
    """Without its diagnosis an interrupted run has no verdict to offer, only what it had seen."""
    record.incident.title, record.incident.status = "No verdict", "unknown"
    if not record.findings:
        return Verdict("nothing", "NO VERDICT", "the run ended before any check was made")
    gaps = f", {_gaps(record)}" if record.count(UNKNOWN) else ""
    return Verdict("incomplete", "NO VERDICT", f"the run ended before its diagnosis; {plural(critical, 'critical finding')} so far{gaps}")


def _gaps(record: Record) -> str:
    unreachable = sum(1 for machine in record.machines if not machine.reachable)
    parts = [f"{plural(unreachable, 'machine')} unreachable"] if unreachable else []
    parts += [f"{plural(record.count(UNKNOWN), 'check')} unknown"] if record.count(UNKNOWN) or not unreachable else []
    return ", ".join(parts)


def _counts(record: Record) -> str:
    warnings = sum(1 for finding in record.bad if finding.severity == "warning")
    services = len({(service["name"], service["host"]) for service in record.services})
    parts = [plural(len(record.run.hosts), "machine"), plural(services, "service")]
    parts += [plural(warnings, "warning")] if warnings else []
    return ", ".join([*parts, f"{plural(record.count(OK), 'check')} ok", f"{record.count(UNKNOWN)} unknown"])
