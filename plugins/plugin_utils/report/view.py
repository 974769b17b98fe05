# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the board and the reports choose to say, so that they say the same. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Diagnosis, Group, NotAssessed, Proposal, Record, age
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import one_line, plural


@dataclass(frozen=True)
class NextStep:
    """What to do next: a sentence, and the command to paste into a shell on `run_on` when there is one.

    `undo` says how to take it back; `others` name what is proposed for causes that have nothing to do with this one.
    """

    sentence: str
    command: str = ""
    run_on: str = ""
    undo: str = ""
    others: tuple[str, ...] = ()


def next_step(record: Record) -> NextStep | None:
    """Choose the one next step; None when there is nothing to do."""
    if record.diagnosis:
        return _step_of_diagnosis(record)
    if record.verdict.code == "unclassified":
        return NextStep("work through the critical findings, worst first")
    if not record.complete and not record.diagnosed:
        return NextStep("run it again: this record ends before its diagnosis")
    serious = [gap for gap in record.not_assessed if gap.serious]
    if serious:
        return NextStep(f"remove the first gap, then run it again: {place(serious[0])}: {serious[0].reason}")
    if record.verdict.code == "nothing" and not record.investigations:
        return NextStep("check that the inventory has hosts and that the play's hosts pattern matches them")
    return None


def _step_of_diagnosis(record: Record) -> NextStep:
    first = record.diagnosis[0]
    usable = [proposal for proposal in record.proposals if proposal.effect or proposal.command]
    if usable:
        proposal, *rest = usable
        note = f" - {proposal.note}" if proposal.note and not proposal.command else ""
        others = tuple(f"{other.id} for {other.pattern} on {other.service}" for other in rest if other.pattern)
        return NextStep((proposal.effect or proposal.mitigation) + note, proposal.command, run_on(proposal), undo_of(proposal), others)
    advice = [str(first.first_action[key]) for key in ("effect", "note") if first.first_action.get(key)]
    if first.escalate:
        advice.append(f"Escalate: {first.escalate}")
    return NextStep(" - ".join(advice) or f"no safe action is known for {first.pattern}; work through its evidence")


def run_on(proposal: Proposal) -> str:
    """Name where the command of a proposal is run: "web1", "the controller (where Ansible runs)"; "" when nobody knows."""
    if proposal.run_on == "controller":
        return "the controller (where Ansible runs)"
    return one_line(str(proposal.target.get("host") or proposal.host))


def undo_of(proposal: Proposal) -> str:
    """Say how to take an action back: "undo: docker stop app-db", "nothing to undo"; "" when nobody knows."""
    return proposal.undo if not proposal.undo or proposal.undo.startswith("nothing") else f"undo: {proposal.undo}"


def explaining(record: Record, diagnosis: Diagnosis) -> list[Finding]:
    """Findings that speak for the diagnosis: causes first, then those of its own service, then the worst."""
    named = {(why.id, why.service, why.host) for why in diagnosis.why if (why.points or 0) >= 0}
    chosen = [finding for finding in record.bad if (finding.id, finding.service, finding.host) in named]
    return sorted(chosen, key=lambda finding: (finding.role != "cause", finding.service != diagnosis.service, finding.severity != "critical"))


def reasons(record: Record, diagnosis: Diagnosis, limit: int) -> list[str]:
    """Sentences that say why: what the deciding findings saw, else the reasons of the diagnosis as they are."""
    seen = dict.fromkeys(finding.summary for finding in explaining(record, diagnosis))
    return list(seen or dict.fromkeys(why.text for why in diagnosis.why))[:limit]


def place(gap: NotAssessed) -> str:
    """Name what could not be looked at: "db on web1", "machine web1"."""
    return f"{gap.service} on {gap.host}" if gap.service and gap.service != gap.host else f"machine {gap.host}"


def gaps_by_place(record: Record) -> list[NotAssessed]:
    """Return one gap per service or machine, with the reason that came first: on a board each place is worth one line."""
    places: dict[tuple[str, str], NotAssessed] = {}
    for gap in record.not_assessed:
        known = places.setdefault((gap.host, gap.service), NotAssessed(gap.host, gap.service, gap.reason, [], gap.serious))
        known.checks += [check for check in gap.checks if check not in known.checks]
    return list(places.values())


def gap_checks(gap: NotAssessed, limit: int = 3) -> str:
    """Name the checks of a gap: "pg.up, pg.locks.root and 4 more"."""
    shown = ", ".join(gap.checks[:limit])
    return f"{shown} and {len(gap.checks) - limit} more" if len(gap.checks) > limit else shown


def where(group: Group, limit: int = 2) -> str:
    """Name the service, or the machines, that a finding is about: "db", "web1, web2 +3"."""
    if group.finding.kind != "machine" and group.finding.service and len(group.hosts) == 1:
        return group.finding.service
    hosts = ", ".join(group.hosts[:limit]) + (f" +{len(group.hosts) - limit}" if len(group.hosts) > limit else "")
    if group.finding.kind == "machine" or not group.finding.service:
        return hosts
    return f"{group.finding.service} ({hosts})"


def limits(finding: Finding) -> str:
    """Name the thresholds of a finding: "warning 80, critical 90"; "" without any, and when it is not its number that makes it this grave.

    A session that is idle for 19 s is critical when others wait for it: beside "critical 300" that would read as a mistake.
    """
    numbers = {name: number for name, number in (("warning", finding.warning), ("critical", finding.critical)) if number is not None}
    if finding.is_bad and (finding.severity not in numbers or _missed(finding)):
        return ""
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def _missed(finding: Finding) -> bool:
    """Whether the value is on the good side of the threshold of its severity; from which side it is reached, only both thresholds tell."""
    if not all(isinstance(number, (int, float)) for number in (finding.value, finding.warning, finding.critical)):
        return False
    reached = finding.critical if finding.severity == "critical" else finding.warning
    if finding.warning < finding.critical:
        return bool(finding.value < reached)
    return bool(finding.warning > finding.critical and finding.value > reached)


def began(record: Record) -> str:
    """Say when the incident began: "14:02:11Z, 7 min before it was found"; "" when no evidence tells."""
    started = _first_sign(record)
    if not started:
        return ""
    before = age(started, record.incident.detected or record.run.last_event)
    day = started[:10] if started[:10] != (record.run.started or "")[:10] else ""
    return f"{day} {started[11:19]}Z".strip() + (f", {before} before it was found" if before else "")


def _first_sign(record: Record) -> str | None:
    """Find when the first cause began; another cause beside it, such as a certificate that expired yesterday, has a time of its own."""
    if not record.diagnosis:
        return record.incident.started
    of_it = [finding for finding in explaining(record, record.diagnosis[0]) if finding.since and finding.role != "change" and finding.severity == "critical"]
    return min((str(finding.since) for finding in of_it), default=record.incident.started)


def machines_line(record: Record) -> str:
    """Sum up where this looked: "1 machine, 5 services, 74 checks ok, 2 unknown"."""
    return ", ".join(
        (
            plural(len(record.run.hosts), "machine"),
            plural(len(record.services), "service"),
            f"{plural(record.count('ok'), 'check')} ok",
            f"{record.count('unknown')} unknown",
        )
    )
