# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate does around its decision: which run is meant, what was left behind by one that was killed, and what goes into the ledger."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import gate, gate_ledger, gate_proposals
from .gate import Decision, Request
from .gate_ledger import Entry, Holder, Ledger
from .gate_proposals import ApprovalError, Proposal, Triage
from .gate_registry import Mitigation


@dataclass(frozen=True)
class Plan:
    """What a run is about to do. ``proposal`` is None when nothing was approved; ``resumed`` is what an earlier run left behind."""

    triage: Triage | None
    proposal: Proposal | None = None
    resumed: Entry | None = None

    def as_dict(self) -> dict[str, Any]:
        """What the role on the target's machine needs; empty when there is nothing to do."""
        if self.resumed is not None:
            one = self.resumed
            common = {"role": one.mitigation, "service": one.service, "host": one.host, "target": one.target, "proposal": one.proposal, "run": one.run}
            age_s = round(time.time() - one.began, 1)
            return {**common, "pattern": str(one.target.get("pattern") or ""), "resume": one.id, "age_s": age_s}
        if self.proposal is None or self.triage is None:
            return {}
        target = {**gate_proposals.identity(self.proposal, self.triage), "pattern": self.proposal.pattern}
        common = {"role": self.proposal.mitigation, "service": self.proposal.service, "host": self.proposal.host, "target": target, "resume": ""}
        age_s = round(time.time() - self.triage.at, 1)
        return {**common, "proposal": self.proposal.id, "run": self.triage.run, "pattern": self.proposal.pattern, "age_s": age_s}


def plan(state_dir: Path, approve: object, incident: str, known: Mapping[str, Mitigation], hosts: list[str]) -> Plan:
    """What shall be done; ApprovalError or LedgerError, each one sentence, when that is not possible."""
    left = abandoned(Ledger(state_dir))
    if left is not None:
        if left.mitigation not in known:
            file = f"{state_dir}/mitigations/{left.id}.json"
            raise ApprovalError(f"{gate.interrupted(left)}, and no role of that name is here; look at {file}, then move it away")
        return Plan(None, None, left)
    triage = gate_proposals.newest_triage(state_dir, incident)
    proposal = gate_proposals.approved(approve, triage)
    if proposal is not None and proposal.host not in hosts:
        raise ApprovalError(f"{proposal.id} is about {proposal.host}, which is not here; use the inventory of the triage, and no --limit that leaves it out")
    return Plan(triage, proposal)


def abandoned(ledger: Ledger) -> Entry | None:
    """A mitigation that was begun by a run that does not exist any more."""
    entry = ledger.open_entry()
    return entry if entry is not None and not entry.holder.alive(entry.began, ledger.clock()) else None


def enter(ledger: Ledger, request: Request, holder: Holder, proposal: str, run: str, resume: str) -> tuple[Decision, Entry | None]:
    """Decide and, when it goes on, write that down in the same moment: of two who come at once only one is let through."""
    with ledger.locked():
        entries = ledger.entries()
        resumed = next((entry for entry in entries if entry.id == resume and entry.open), None)
        request = replace(request, entries=entries, resumed=resumed, now=ledger.clock())
        decision = gate.decide(request)
        if request.check_mode:
            return decision, None
        if decision.verdict == gate.VERIFY and resumed is not None:
            resumed.holder = holder
            return decision, ledger.begin_again(resumed)
        if resumed is not None:
            ledger.close(resumed.id, gate_ledger.NOT_APPLIED, f"{gate.interrupted(resumed)}; nothing had been changed yet: {request.seen.sentence}")
        if decision.verdict != gate.PROCEED:
            return decision, None
        forced = request.force_reason.strip()
        fresh = Entry("", request.mitigation.role, request.service, request.host, dict(request.target), holder, 0.0, proposal=proposal, run=run, forced=forced)
        return decision, ledger.begin(fresh)


def is_newest(state_dir: Path, run: str, incident: str) -> bool:
    """Whether that triage is the one whose proposals can be approved: P1 of another one is another P1."""
    triage = gate_proposals.newest_triage(state_dir, incident)
    return triage is not None and triage.run == run


def evidence_age_s(state_dir: Path, run: str, incident: str) -> float | None:
    """How old the triage is that a target comes from; None when it comes from none."""
    if not run:
        return None
    triage = gate_proposals.newest_triage(state_dir, incident or run)
    return time.time() - triage.at if triage else None
