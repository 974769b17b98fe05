# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fold the events of a run into its record. Pure: the same events always give the same record.

Events may come from a run that was killed, from an edited file or from a newer version, so nothing in them is taken for granted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.conclusions import conclude
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, OK, ROLES, SEVERITY_ORDER, UNKNOWN, Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import Event, format_time, parse_time
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import (
    Decision,
    Diagnosis,
    Entry,
    Investigation,
    Machine,
    Metrics,
    NotAssessed,
    Proposal,
    Record,
    Run,
    Series,
    Table,
    Why,
)
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import one_line, plural

_MOST_COLUMNS, _MOST_ROWS, _MOST_POINTS = 20, 100, 240
_MILESTONES = ("acknowledged", "mitigated", "resolved")


# -- tolerant reading ----------------------------------------------------------------------------------------------------


def _text(value: object, default: str = "") -> str:
    return default if value is None or isinstance(value, (dict, list)) else one_line(str(value))


def _optional(value: object) -> str | None:
    return _text(value) or None


def _block(value: object) -> str:
    """Keep line breaks: commands are pasted as they are."""
    return value.strip() if isinstance(value, str) else _text(value)


def _texts(value: object) -> list[str]:
    if isinstance(value, (str, int, float)):
        return [text] if (text := _text(value)) else []
    if not isinstance(value, list):
        return []
    return [text for item in value if (text := _sentence(item))]


def _sentence(item: object) -> str:
    """Make one line of an item that is a text or a dictionary with one."""
    if not isinstance(item, Mapping):
        return _text(item)
    for key in ("text", "summary", "reason", "message"):
        if text := _text(item.get(key)):
            lead = _text(item.get("id") or item.get("check") or item.get("service"))
            return f"{lead}: {text}" if lead and lead not in text else text
    return ", ".join(f"{_text(key)} {_text(value)}" for key, value in item.items() if _text(value))


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15 else None


def finding_from(data: Mapping[str, Any]) -> Finding | None:
    """Make a finding of what an event says; None when it has no id. An odd state counts as unknown, never as ok."""
    identity = _text(data.get("id"))
    if not identity:
        return None
    state = _text(data.get("state"))
    severity = _text(data.get("severity"))
    if state not in (OK, FINDING, UNKNOWN):
        state = UNKNOWN
    if state == FINDING and severity not in SEVERITY_ORDER:
        severity = "warning"
    evidence = [{"source": _text(item.get("source")), "text": _block(item.get("text"))} for item in _mappings(data.get("evidence"))]
    target = data.get("target")
    return Finding(
        id=identity,
        state=state,
        severity=severity if state == FINDING else None,
        service=_text(data.get("service")),
        kind=_text(data.get("kind")),
        instance=_text(data.get("instance")),
        host=_text(data.get("host")),
        summary=_text(data.get("summary")) or _text(data.get("question")) or identity,
        question=_text(data.get("question")),
        value=data.get("value"),
        warning=data.get("warning"),
        critical=data.get("critical"),
        unit=_optional(data.get("unit")),
        since=_valid_time(data.get("since")),
        observed_at=_valid_time(data.get("observed_at")),
        role=_text(data.get("role")) if data.get("role") in ROLES else "state",
        check_role=_text(data.get("check_role")),
        evidence=evidence,
        mitigation=_optional(data.get("mitigation")),
        target=dict(target) if isinstance(target, Mapping) else {},
        reason=(_optional(data.get("reason")) or "no reason was given") if state == UNKNOWN else None,
    )


def _valid_time(value: object) -> str | None:
    moment = parse_time(value)
    return format_time(moment) if moment else None


def _why_from(item: object) -> Why | None:
    """Make a reason of a plain sentence or of a finding with its points."""
    if not isinstance(item, Mapping):
        text = _text(item)
        return Why(text) if text else None
    text = _text(item.get("text")) or _text(item.get("summary"))
    severity = _text(item.get("severity"))
    why = Why(text or _text(item.get("id")), _text(item.get("id")), severity if severity in SEVERITY_ORDER else None)
    why.service, why.host = _text(item.get("service")), _text(item.get("host"))
    why.points, why.since, why.evidence = _number(item.get("points")), _valid_time(item.get("since")), _texts(item.get("evidence"))
    return why if why.text else None


def _diagnosis_from(data: Mapping[str, Any]) -> Diagnosis:
    pattern = _text(data.get("pattern"), "unnamed pattern")
    action, reasons = data.get("first_action"), data.get("why")
    return Diagnosis(
        pattern=pattern,
        title=_text(data.get("title")) or pattern,
        family=_text(data.get("family")),
        service=_text(data.get("service")),
        host=_text(data.get("host")),
        score=round(_number(data.get("score")) or 0.0, 1),
        verdict=_text(data.get("verdict")) if data.get("verdict") in ("likely", "possible") else "possible",
        why=[why for item in (reasons if isinstance(reasons, list) else [reasons]) if (why := _why_from(item)) is not None],
        symptom_of=_optional(data.get("symptom_of")),
        first_action=dict(action) if isinstance(action, Mapping) else {},
        verify=_texts(data.get("verify")),
        escalate=_optional(data.get("escalate")),
        confounders=_texts(data.get("confounders")),
        unknown=_texts(data.get("unknown")),
    )


def _proposal_from(data: Mapping[str, Any]) -> Proposal:
    target = data.get("target")
    names = ("id", "mitigation", "effect", "undo", "note", "pattern", "service", "host")
    texts = {name: _text(data.get(name)) for name in names}
    run_on = "controller" if data.get("run_on") == "controller" else "machine"
    return Proposal(**texts, target=dict(target) if isinstance(target, Mapping) else {}, command=_block(data.get("command")), run_on=run_on)


def _table_from(data: Mapping[str, Any]) -> Table:
    """A table whose rows all have as many cells as it has columns, whatever the event says."""
    columns = _texts(data.get("columns"))[:_MOST_COLUMNS]
    given = data.get("rows")
    raw = [row for row in given if isinstance(row, list)] if isinstance(given, list) else []
    rows = [[_text(cell) for cell in [*row, *[""] * len(columns)][: len(columns)]] for row in raw[:_MOST_ROWS]]
    places = data.get("numbers")
    numbers = [place for place in places if isinstance(place, int) and 0 <= place < len(columns)] if isinstance(places, list) else []
    texts = {name: _text(data.get(name)) for name in ("service", "host", "note", "reason")}
    left_out = int(_number(data.get("left_out")) or 0) + max(0, len(raw) - _MOST_ROWS)
    return Table(_text(data.get("title"), "table"), **texts, columns=columns, rows=rows, numbers=numbers, left_out=left_out)


def _series_from(data: Mapping[str, Any]) -> Series:
    names = ("id", "measure", "name", "unit", "service", "host")
    raw = data.get("points")
    pairs = [pair for pair in raw if isinstance(pair, list) and len(pair) == 2] if isinstance(raw, list) else []
    points = [[time, value] for time, value in ((_number(first), _number(second)) for first, second in pairs) if time is not None and value is not None]
    return Series(**{name: _text(data.get(name)) for name in names}, points=sorted(points)[-_MOST_POINTS:])


# -- folding -------------------------------------------------------------------------------------------------------------


@dataclass
class _Folding:
    """What is known while walking through the events."""

    record: Record = field(default_factory=Record)
    assessments: dict[tuple[str, str], list[Finding]] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)
    failed_steps: list[NotAssessed] = field(default_factory=list)
    title: str = ""


def fold(events: Iterable[Event], problems: Sequence[str] = ()) -> Record:
    """Make the record of events in recorded order; never raises, whatever they contain."""
    state = _Folding()
    state.record.problems = [one_line(problem) for problem in problems]
    for event in events:
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(state, event)
        state.record.run.last_event = format_time(event.recorded)
    record = state.record
    record.machines = sorted(state.machines.values(), key=lambda machine: machine.host)
    record.findings = [finding for findings in state.assessments.values() for finding in findings]
    conclude(record, state.failed_steps, state.services, state.title)
    return record


def _enter(state: _Folding, event: Event, text: str, kind: str | None = None, severity: str | None = None, service: str = "") -> None:
    host = _text(event.data.get("host"))
    actor = event.data.get("actor")
    name = _text(actor.get("id")) if isinstance(actor, Mapping) else _text(actor)
    state.record.timeline.append(Entry(format_time(event.time), kind or event.kind, text, host, service, severity, name))


def _on_started(state: _Folding, event: Event) -> None:
    """A folder may hold several runs; the report is about the newest one, the timeline about all of them."""
    context = event.data.get("context")
    run = Run(id=_text(event.data.get("run")) or event.source.rpartition(":")[2], started=format_time(event.time))
    run.context = dict(context) if isinstance(context, Mapping) else {}
    state.record.run = run
    actor = run.context.get("actor")
    playbook = _text(run.context.get("playbook"), "a playbook")
    mode = " in check mode" if run.context.get("check_mode") is True else ""
    entry = Entry(run.started or "", "run", f"{playbook} started{mode}")
    entry.actor = _text(actor.get("id")) if isinstance(actor, Mapping) else ""
    state.record.timeline.append(entry)


def _on_evidence(state: _Folding, event: Event) -> None:
    data = event.data
    host = _text(data.get("host"))
    if not host:
        return
    reachable = data.get("reachable") is not False
    services = data.get("services")
    machine = Machine(
        host=host,
        reachable=reachable,
        reason=None if reachable else _text(data.get("reason")) or "it can't be reached",
        duration_s=_number(data.get("duration_s")),
        discovered=data.get("discovered") is True,
        assumptions=_texts(data.get("assumptions")),
        problems=[(_text(item.get("service")), _text(item.get("sentence"))) for item in _mappings(data.get("problems")) if _text(item.get("sentence"))],
        services={_text(name): _text(kind) for name, kind in services.items() if _text(name)} if isinstance(services, Mapping) else {},
    )
    state.machines[host] = machine
    if reachable:
        took = f" in {machine.duration_s:.1f} s" if machine.duration_s is not None else ""
        _enter(state, event, f"collected evidence of {host}{took}")
    else:
        _enter(state, event, f"{host} gave no evidence: {machine.reason}", severity="critical")


def _on_assessment(state: _Folding, event: Event) -> None:
    role = _text(event.data.get("role"), "an assessment")
    findings = [finding for item in _mappings(event.data.get("findings")) if (finding := finding_from(item)) is not None]
    for finding in findings:
        finding.check_role = finding.check_role or role
    state.assessments[(role, _text(event.data.get("task_host")))] = findings
    counts = {severity: sum(1 for finding in findings if finding.severity == severity) for severity in ("critical", "warning")}
    unknown = sum(1 for finding in findings if finding.state == UNKNOWN)
    parts = [f"{count} {severity}" for severity, count in counts.items() if count] + ([f"{unknown} unknown"] if unknown else [])
    if parts:
        worst = next((severity for severity, count in counts.items() if count), None)
        _enter(state, event, f"{role}: {', '.join(parts)} of {plural(len(findings), 'check')}", severity=worst)


def _on_diagnosis(state: _Folding, event: Event) -> None:
    data, record = event.data, state.record
    record.diagnosed = True
    record.diagnosis = [_diagnosis_from(item) for item in _mappings(data.get("diagnosis"))]
    record.proposals = [_proposal_from(item) for item in _mappings(data.get("proposals"))]
    record.exonerated = _texts(data.get("exonerated"))
    severity = _text(data.get("severity")).upper()
    record.incident.severity = severity if re.fullmatch(r"SEV[1-4]", severity) else None
    record.incident.severity_reason = _optional(data.get("severity_reason"))
    state.services = [_service_from(item) for item in _mappings(data.get("services")) if _text(item.get("name"))]
    if record.diagnosis:
        record.incident.detected = record.incident.detected or format_time(event.time)
        first = record.diagnosis[0]
        _enter(state, event, f"diagnosis: {first.pattern} on {first.service} ({first.verdict}, {first.score:.0f})", severity="critical", service=first.service)
    else:
        _enter(state, event, "diagnosis: no pattern matches")


def _service_from(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": _text(item.get("name")), "kind": _text(item.get("kind")), "host": _text(item.get("host")), "state": _text(item.get("state"))}


def _on_action(state: _Folding, event: Event) -> None:
    data = event.data
    where = _text(data.get("delegated_to")) or _text(data.get("host"))
    text = _text(data.get("summary")) or f"changed on {where}: {_text(data.get('task'), 'a task')}"
    _enter(state, event, text)


def _on_step(state: _Folding, event: Event) -> None:
    data = event.data
    host, status, task = _text(data.get("host")), _text(data.get("status"), "failed"), _text(data.get("task"), "a task")
    message = "its output is hidden by no_log" if data.get("censored") is True else _text(data.get("msg"))
    ignored = data.get("ignored") is True
    sentence = f"{status}{' (ignored)' if ignored else ''} on {host}: {task}"
    _enter(state, event, f"{sentence}: {message}" if message else sentence, severity=None if ignored else "warning")
    if status == "unreachable":
        known = state.machines.setdefault(host, Machine(host))
        known.reachable, known.reason = False, message or "it can't be reached"
    elif data.get("own") is True and not data.get("gate"):
        state.failed_steps.append(NotAssessed(host, "", f"{task} failed: {message}", [], True))


def _on_note(state: _Folding, event: Event) -> None:
    kind = _text(event.data.get("kind"), "note")
    if kind in _MILESTONES:
        setattr(state.record.incident, kind, format_time(event.time))
    if title := _text(event.data.get("title")):
        state.title = title
    _enter(state, event, _text(event.data.get("summary"), "note"), kind=kind, severity=event.severity, service=_text(event.data.get("service")))


def _on_gate(state: _Folding, event: Event) -> None:
    """What was decided about a mitigation, or how it ended; one that is proven mitigates the incident."""
    data = event.data
    names = ("verdict", "sentence", "mitigation", "service", "proposal")
    found = Decision(format_time(event.time), **{name: _text(data.get(name)) for name in names}, host=_text(data.get("target_host")))
    state.record.decisions.append(found)
    if found.verdict == "verified":
        state.record.incident.mitigated = found.time
    bad = found.verdict in ("refuse", "not_proven", "failed")
    _enter(state, event, f"gate: {found.sentence}", kind="gate", severity="warning" if bad else None, service=found.service)


def _on_investigation(state: _Folding, event: Event) -> None:
    """A topic that was looked at again replaces what an earlier look saw."""
    data = event.data
    topic = _text(data.get("topic"), "unnamed topic")
    tables = [_table_from(item) for item in _mappings(data.get("tables"))]
    found = Investigation(topic, _text(data.get("title")) or topic, _text(data.get("summary")), tables)
    state.record.investigations = [*(known for known in state.record.investigations if known.topic != topic), found]
    _enter(state, event, f"investigated {topic}: {found.summary}")


def _on_metrics(state: _Folding, event: Event) -> None:
    data = event.data
    series = [made for item in _mappings(data.get("series")) if (made := _series_from(item)).points]
    times = {name: _valid_time(data.get(name)) for name in ("start", "end", "onset")}
    found = Metrics(_text(data.get("from"), "Prometheus"), **times, series=series, cut=data.get("cut") is True)
    # Asked for each host alone, every host has its own answer; what is about the same services replaces what was known of them.
    about = {(one.service, one.host) for one in series}
    kept = [known for known in state.record.metrics if not about & {(one.service, one.host) for one in known.series}]
    state.record.metrics = [*kept, found] if series else kept


def _on_interrupted(state: _Folding, event: Event) -> None:
    run = state.record.run
    run.status, run.reason = "interrupted", _text(event.data.get("reason"), "a signal")
    run.finished = format_time(event.time)
    _enter(state, event, f"interrupted by {run.reason}", kind="run", severity="warning")


def _on_finished(state: _Folding, event: Event) -> None:
    run = state.record.run
    run.status, run.reason = "finished", None
    run.finished = format_time(event.time)
    hosts = event.data.get("hosts")
    run.hosts = sorted(_text(host) for host in hosts) if isinstance(hosts, (Mapping, list)) else []
    redacted = event.data.get("redacted")
    if isinstance(redacted, Mapping):
        run.redacted = {_text(kind): int(count) for kind, value in redacted.items() if (count := _number(value)) is not None}
    _enter(state, event, "finished", kind="run")


_HANDLERS = {
    "run.started": _on_started,
    "evidence": _on_evidence,
    "assessment": _on_assessment,
    "diagnosis": _on_diagnosis,
    "action": _on_action,
    "step": _on_step,
    "note": _on_note,
    "gate": _on_gate,
    "investigation": _on_investigation,
    "metrics": _on_metrics,
    "run.interrupted": _on_interrupted,
    "run.finished": _on_finished,
}
