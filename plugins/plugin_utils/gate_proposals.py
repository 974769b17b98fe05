# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the newest triage proposed, read from its journal, and which of it was approved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .journal import Event, iter_run_folders, parse_time, read_folder
from .report.publish import RunNotFoundError, find_run
from .shapes import items, mapping, source_data
from .text import clean, one_line
from .workspace import Workspace

_ID = re.compile(r"P[0-9]{1,3}")
_SHORTEST = 200
# Only the check knows a stop from a kill, which a person in need may have ordered as well.
STOPPED = "docker.stopped_by_operator"


class ApprovalError(ValueError):
    """What was approved can't be done; one sentence with the next step."""


@dataclass(frozen=True)
class Proposal:
    """One proposal of a triage; ``target`` is the identity of what it would change."""

    id: str
    mitigation: str
    pattern: str
    service: str
    host: str
    target: dict[str, Any]
    effect: str
    undo: str
    command: str
    note: str

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Proposal:
        """A proposal of a journal, whose content may have been edited: every text is cleaned."""
        target = {str(key): value for key, value in mapping(data.get("target")).items()}
        place = {name: target.get(name) or data.get(name) for name in ("service", "host")}
        texts = {name: one_line(str(data.get(name) or "")) for name in ("id", "mitigation", "pattern", "effect", "undo", "note")}
        command = clean(str(data.get("command") or "")).strip()
        return cls(**texts, service=one_line(str(place["service"] or "")), host=one_line(str(place["host"] or "")), target=target, command=command)


@dataclass(frozen=True)
class Triage:
    """A run that has a diagnosis: ``run`` is its id, ``at`` when it was diagnosed (epoch of the controller)."""

    run: str
    folder: Path
    at: float
    proposals: tuple[Proposal, ...] = field(default=())

    def evidence(self, host: str) -> dict[str, Any]:
        """The evidence document of a machine, empty without one."""
        return Workspace.open(self.folder).evidence(host) or {}

    def found(self, check: str, service: str, host: str) -> bool:
        """Whether the triage had this finding about a service."""
        documents = Workspace.open(self.folder).findings().values()
        findings = [one for document in documents for one in items(mapping(document).get("findings"))]
        return any((one.get("id"), one.get("state"), one.get("service"), one.get("host")) == (check, "finding", service, host) for one in findings)


def newest_triage(state_dir: Path, incident: str = "") -> Triage | None:
    """The newest triage of a state directory, or that of an incident; None when nothing was diagnosed. ApprovalError for an unknown incident."""
    if incident:
        try:
            folders = [find_run(state_dir, incident)]
        except RunNotFoundError as error:
            raise ApprovalError(f"incident_id is {incident}, but {error}") from error
    else:
        folders = list(iter_run_folders(state_dir))
    for folder in folders:
        diagnoses = [event for event in read_folder(folder).events if event.kind == "diagnosis"]
        if diagnoses:
            return _triage(folder, diagnoses[-1])
    return None


def _triage(folder: Path, event: Event) -> Triage:
    proposals = tuple(Proposal.from_dict(item) for item in items(event.data.get("proposals")))
    return Triage(event.source.rpartition(":")[2], folder, event.recorded.timestamp(), proposals)


def approved(given: object, triage: Triage | None) -> Proposal | None:
    """The one proposal that ``incident_approve`` names; None when it names nothing. ApprovalError for anything but exactly one that exists."""
    if given in (None, "", False, "false", "False", "no"):
        return None
    names = [str(name) for name in given] if isinstance(given, (list, tuple)) else re.split(r"[,\s]+", str(given).strip())
    if len(names) != 1:
        raise ApprovalError(f"incident_approve names {len(names)} proposals ({', '.join(names)[:_SHORTEST]}): approve one, look at what it did, then the next")
    if names[0] in ("True", "true", "yes"):
        raise ApprovalError("incident_approve is true, which is for a role that was given its target; here name a proposal, such as incident_approve=P1")
    if not _ID.fullmatch(names[0]):
        raise ApprovalError(f"incident_approve is {one_line(names[0])[:_SHORTEST]!r}, which is no proposal; it looks like P1")
    if triage is None:
        raise ApprovalError(f"there is no triage that could have proposed {names[0]}; run the playbook triage first, with the same incident_state_dir")
    for proposal in triage.proposals:
        if proposal.id == names[0]:
            return proposal
    known = ", ".join(f"{one.id} ({one.mitigation} of {one.service})" for one in triage.proposals) or "nothing"
    raise ApprovalError(f"the newest triage ({triage.run}) does not propose {names[0]} but {known}; look at its report, then approve one of those")


def identity(proposal: Proposal, triage: Triage) -> dict[str, Any]:
    """The target with what the triage saw of its container: id, start, and when it looked (times by the machine's own clock)."""
    document = triage.evidence(proposal.host)
    service = mapping(mapping(document.get("services")).get(proposal.service))
    container = source_data(mapping(service.get("sources")), "container")
    seen = {
        "container": container.get("name"),
        "container_id": container.get("id"),
        "started_at": container.get("started_at"),
        "stopped_by_operator": triage.found(STOPPED, proposal.service, proposal.host),
        "looked_at": document.get("collected_at"),
    }
    given = {key: value for key, value in proposal.target.items() if value is not None}
    return {**{key: value for key, value in seen.items() if value}, **given}


def seconds_between(first: object, second: object) -> float | None:
    """Seconds from one ISO-8601 time to another, None when one of them is none."""
    begin, end = parse_time(first), parse_time(second)
    return (end - begin).total_seconds() if begin and end else None
