# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run: everything that the board and the reports show, as plain dataclasses. Pure, no I/O."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, OK, Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import parse_time

MACHINE = "machine"  # the kind of a finding about a machine and not a service on it
UNCLASSIFIED = "unclassified_incident"  # the pattern of a diagnosis that no pattern fits


@dataclass
class Run:
    """`status` is finished, interrupted or unfinished (killed, or still running); times are ISO-8601 UTC."""

    id: str = ""
    status: str = "unfinished"
    reason: str | None = None
    started: str | None = None
    finished: str | None = None
    last_event: str | None = None
    duration_s: float | None = None
    hosts: list[str] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)
    redacted: dict[str, int] = field(default_factory=dict)


@dataclass
class Machine:
    """A machine that was asked for evidence, and why it gave none.

    `services` are those that it is known to have, by name and kind; `problems` are mistakes in its inventory, by service.
    """

    host: str
    reachable: bool = True
    reason: str | None = None
    duration_s: float | None = None
    discovered: bool = False
    assumptions: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    services: dict[str, str] = field(default_factory=dict)


@dataclass
class NotAssessed:
    """What could not be looked at. `serious`: an all-clear would be wrong without it."""

    host: str
    service: str
    reason: str
    checks: list[str]
    serious: bool


@dataclass
class Why:
    """A finding that spoke for a cause, or against it (`points` below zero)."""

    text: str
    id: str = ""
    severity: str | None = None
    service: str = ""
    host: str = ""
    points: float | None = None
    since: str | None = None
    evidence: list[str] = field(default_factory=list)


@dataclass
class Diagnosis:
    """One ranked cause. `confounders` look like it but are something else; `unknown` are checks whose answer could change the ranking."""

    pattern: str
    title: str
    family: str
    service: str
    host: str
    score: float
    verdict: str
    why: list[Why]
    symptom_of: str | None
    first_action: dict[str, Any]
    verify: list[str]
    escalate: str | None
    confounders: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def classified(self) -> bool:
        """False when it only says that no pattern fits."""
        return self.pattern != UNCLASSIFIED


@dataclass
class Proposal:
    """The safest next action for a cause; `command` is to be pasted as it is, in a shell at `run_on`.

    `run_on` is "machine" (that of `target.host`, else `host`) or "controller" (where Ansible runs).
    """

    id: str
    mitigation: str
    target: dict[str, Any]
    effect: str
    undo: str
    command: str
    note: str = ""
    pattern: str = ""
    service: str = ""
    host: str = ""
    run_on: str = "machine"


@dataclass
class Entry:
    """One line of the timeline. `origin` is journal (we saw it happen) or evidence (a machine says when it began)."""

    time: str
    kind: str
    text: str
    host: str = ""
    service: str = ""
    severity: str | None = None
    actor: str = ""
    origin: str = "journal"


@dataclass
class Table:
    """What a reader of an investigation sees. `numbers` are the positions of the columns that are set to the right.

    `note` is a sentence below the title. `reason` says why there are no rows because nobody could look; without it, no rows means that there
    is nothing. `left_out` rows did not fit.
    """

    title: str
    service: str = ""
    host: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    note: str = ""
    reason: str = ""
    left_out: int = 0


@dataclass
class Investigation:
    """All tables about one topic. `summary` says in one sentence what was looked at."""

    topic: str
    title: str
    summary: str
    tables: list[Table] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)


@dataclass
class Series:
    """What one query to a Prometheus gave: `points` are [epoch, value]."""

    id: str
    measure: str
    name: str
    unit: str
    service: str
    host: str
    points: list[list[float]] = field(default_factory=list)


@dataclass
class Metrics:
    """Metrics around the onset; times are ISO-8601 UTC. `cut`: there were more series than are kept."""

    source: str
    start: str | None
    end: str | None
    onset: str | None
    series: list[Series] = field(default_factory=list)
    cut: bool = False


@dataclass
class Decision:
    """What the gate decided about a mitigation, or how one ended; `verdict` is one word of gate.py or of gate_ledger.py."""

    time: str
    verdict: str
    sentence: str
    mitigation: str = ""
    service: str = ""
    host: str = ""
    proposal: str = ""


@dataclass
class Incident:
    """Times are ISO-8601 UTC; `started` is the first sign in the evidence, `detected` when this run named the cause."""

    id: str = ""
    title: str = ""
    severity: str | None = None
    severity_reason: str | None = None
    status: str = "unknown"
    started: str | None = None
    detected: str | None = None
    acknowledged: str | None = None
    mitigated: str | None = None
    resolved: str | None = None


@dataclass
class Verdict:
    """`headline` is the word that is read first, `detail` the rest of the line. Only the code healthy is an all-clear.

    `code`: incident, unclassified, warnings, healthy, incomplete, assessed (not diagnosed), nothing (not looked at), mitigated (done and
    proven, or nothing to do), mitigation (any other end of a mitigation).
    """

    code: str
    headline: str
    detail: str


@dataclass
class Record:
    """Everything a report shows."""

    run: Run = field(default_factory=Run)
    incident: Incident = field(default_factory=Incident)
    verdict: Verdict = field(default_factory=lambda: Verdict("nothing", "NOTHING ASSESSED", ""))
    services: list[dict[str, Any]] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    diagnosed: bool = False
    diagnosis: list[Diagnosis] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    exonerated: list[str] = field(default_factory=list)
    not_assessed: list[NotAssessed] = field(default_factory=list)
    timeline: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    investigations: list[Investigation] = field(default_factory=list)
    metrics: list[Metrics] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def bad(self) -> list[Finding]:
        """The findings of state finding, in the order in which they are shown."""
        return [finding for finding in self.findings if finding.state == FINDING]

    @property
    def complete(self) -> bool:
        """True when the run came to its end."""
        return self.run.status == "finished"

    def count(self, state: str) -> int:
        """How many checks have that state."""
        return sum(1 for finding in self.findings if finding.state == state)

    def healthy_services(self) -> list[str]:
        """Names of the services that were looked at and are fine."""
        return [service["name"] for service in self.services if service["state"] == OK]

    def healthy_machines(self) -> list[str]:
        """Names of the machines that were looked at themselves, whatever runs on them, and are fine; none that a diagnosis blames."""
        own = [finding for finding in self.findings if finding.kind == MACHINE]
        looked_at = {finding.host for finding in own if finding.state == OK}
        bad = {finding.host for finding in own if finding.state == FINDING and finding.severity != "info"}
        bad |= {item.host for item in self.diagnosis if item.service == item.host}
        hidden = {gap.host for gap in self.not_assessed if gap.serious and gap.service in ("", gap.host)}
        machines = {machine.host for machine in self.machines}
        if hidden - machines:
            # A task that failed on the controller left out checks of every machine.
            return []
        return [machine.host for machine in self.machines if machine.reachable and machine.host in looked_at - bad - hidden]


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Seconds from one ISO-8601 time to another, None when one of them is unknown."""
    first, last = parse_time(start), parse_time(end)
    return round((last - first).total_seconds(), 3) if first and last else None


def run_notice(record: Record) -> str | None:
    """Say that the run did not come to its end; None when it did."""
    run = record.run
    if run.status == "interrupted":
        return f"INTERRUPTED by {run.reason} at {_clock(run.finished)}: what follows is incomplete"
    if run.status == "unfinished":
        return f"DID NOT FINISH: the run was killed or is still running; its last event is of {_clock(run.last_event)}"
    return None


def _clock(time: str | None) -> str:
    moment = parse_time(time)
    return moment.strftime("%H:%M:%SZ") if moment else "an unknown time"


@dataclass
class Group:
    """One finding that several machines share."""

    finding: Finding
    hosts: list[str]


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """Merge findings that say the same about several machines, in the order of the first of each."""
    groups: dict[tuple[str, str | None, str, str], Group] = {}
    for finding in findings:
        name = "" if finding.kind == "machine" else finding.service
        key = (finding.id, finding.severity, name, finding.summary)
        group = groups.setdefault(key, Group(finding, []))
        if finding.host not in group.hosts:
            group.hosts.append(finding.host)
    return list(groups.values())


def age(since: str | None, now: str | None) -> str:
    """Say how long before `now` (both ISO-8601) something began, "" when unknown: "45 s", "12 min", "3 h", "2 days"."""
    seconds = seconds_between(since, now)
    if seconds is None or seconds < 0:
        return ""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{datetime.timedelta(seconds=seconds).days} days"
