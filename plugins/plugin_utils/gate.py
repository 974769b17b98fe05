# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: may this mitigation change this target now? Pure: everything that is known in, one decision with one sentence out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .gate_identity import DONE, OTHER, SAME, Seen
from .gate_ledger import NOT_APPLIED, Entry
from .gate_registry import Mitigation
from .text import one_line, plural

DAY_S = 86400.0
DEFAULT_MAX_AGE_S = 900.0

# What the role has to do next.
PROCEED = "proceed"  # change it
PLAN = "plan"  # nothing: say what would be done
NOTHING = "nothing"  # nothing: it is done already
VERIFY = "verify"  # an earlier run has changed it and did not come to its end: only prove it
REFUSE = "refuse"  # nothing, and fail


@dataclass(frozen=True)
class Request:
    """What is asked for, and everything that decides about it.

    ``approved``: somebody said yes to this very thing. ``evidence_age_s`` is None without a triage: then the role's own fresh look is the
    evidence. ``allowed`` are the services that ``incident_mitigations`` names for this mitigation, None when it does not mention it.
    ``declared_kind`` is the kind of the service in the inventory, "" for one that was only discovered.
    """

    mitigation: Mitigation
    service: str
    host: str
    target: Mapping[str, Any]
    seen: Seen
    now: float
    approved: bool = False
    approve_with: str = ""
    check_mode: bool = False
    evidence_age_s: float | None = None
    max_age_s: float = DEFAULT_MAX_AGE_S
    force_reason: str = ""
    allowed: Sequence[str] | None = None
    declared_kind: str = ""
    stopped_by_operator: bool = False
    entries: Sequence[Entry] = field(default=())
    resumed: Entry | None = None

    @property
    def what(self) -> str:
        """How a sentence names it."""
        return f"{self.mitigation.role} of {self.service} on {self.host}"


@dataclass(frozen=True)
class Decision:
    """What comes next, and the sentence that says why; ``next_step`` is "" when nothing has to be done."""

    verdict: str
    sentence: str
    next_step: str = ""

    @property
    def told(self) -> str:
        """Both as one text."""
        return f"{self.sentence}; {self.next_step}" if self.next_step else self.sentence


def decide(request: Request) -> Decision:
    """The decision about a request; the first rule that says anything counts."""
    for rule in (_somebody_else, _resumed, _settled, _not_approved, _identity, _evidence, _allowed, _stopped, _cool_down):
        decision = rule(request)
        if decision is not None:
            return decision
    if request.check_mode:
        return Decision(PROCEED, f"check mode: {request.what} would act on {request.seen.sentence}; nothing is changed")
    forced = f" without fresh evidence ({one_line(request.force_reason)[:200]})" if _too_old(request) else ""
    return Decision(PROCEED, f"{request.what} goes on{forced}: {request.seen.sentence}")


def _somebody_else(request: Request) -> Decision | None:
    """One mitigation at a time, whoever else responds."""
    for entry in request.entries:
        if entry.open and entry is not request.resumed and entry.holder.alive(entry.began, request.now):
            who = f"{entry.holder.actor} on {entry.holder.controller} (process {entry.holder.pid})"
            since = f"since {request.now - entry.began:.0f} s"
            sentence = f"{who} is at {entry.mitigation} of {entry.service} on {entry.host} {since}, and only one mitigation runs at a time"
            return Decision(REFUSE if request.approved else PLAN, sentence, "wait until it ended, then run this again")
    return None


def _resumed(request: Request) -> Decision | None:
    """A run that ended between its change and its proof is brought to its end first."""
    if request.resumed is None or request.seen.state == SAME:
        return None
    begun = interrupted(request.resumed)
    if request.seen.state == OTHER:
        return Decision(VERIFY, f"{begun}; now {request.seen.sentence}; whether it helped is looked at")
    return Decision(VERIFY, f"{begun}; it was done ({request.seen.sentence}); whether it helped is looked at")


def interrupted(entry: Entry) -> str:
    """How a sentence begins about a mitigation whose run ended before it said how it went."""
    return f"{entry.mitigation} of {entry.service} on {entry.host}, begun by {entry.holder.actor} in run {entry.holder.run}, did not come to its end"


def _settled(request: Request) -> Decision | None:
    if request.seen.state == DONE:
        return Decision(NOTHING, f"nothing to do: {request.seen.sentence}")
    return None


def _not_approved(request: Request) -> Decision | None:
    if request.approved:
        return None
    would = "would act on" if request.seen.state == SAME else "would be refused:"
    sentence = f"not approved, nothing is changed: {request.what} {would} {request.seen.sentence}"
    return Decision(PLAN, sentence, f"to do it add -e incident_approve={request.approve_with}" if request.approve_with else "")


def _identity(request: Request) -> Decision | None:
    return Decision(REFUSE, f"refused: {request.seen.sentence}") if request.seen.state == OTHER else None


def _too_old(request: Request) -> bool:
    return request.evidence_age_s is not None and request.evidence_age_s > request.max_age_s


def _evidence(request: Request) -> Decision | None:
    """What was true a quarter of an hour ago may have been mended by somebody else since."""
    if not _too_old(request) or request.force_reason.strip():
        return None
    age = f"{(request.evidence_age_s or 0) / 60:.0f} min"
    sentence = f"refused: the triage behind it is {age} old (incident_evidence_max_age is {request.max_age_s:g} s)"
    return Decision(REFUSE, sentence, "run triage again and approve its proposal, or go without with -e incident_force_reason=<why>")


def _allowed(request: Request) -> Decision | None:
    """The inventory says what may be changed; what nobody declared is never changed."""
    role, service = request.mitigation.role, request.service
    if request.allowed is not None:
        if service in request.allowed:
            return None
        sentence = f"refused: incident_mitigations does not allow {role} for {service}"
        return Decision(REFUSE, sentence, f"add {service} to incident_mitigations.{role}, or do it by hand")
    if not request.declared_kind:
        sentence = f"refused: service {service} is not declared for {request.host}, it was only discovered"
        return Decision(REFUSE, sentence, "declare it in incident_services, or do it by hand")
    if request.declared_kind in request.mitigation.kinds:
        return None
    sentence = f"refused: {role} is not for a {request.declared_kind} service unless the inventory says so"
    return Decision(REFUSE, sentence, f"add {service} to incident_mitigations.{role}, or do it by hand")


def _stopped(request: Request) -> Decision | None:
    """Somebody who stopped a service had a reason."""
    if not request.stopped_by_operator or request.mitigation.stopped or request.force_reason.strip():
        return None
    sentence = f"refused: somebody has stopped {request.service} on purpose"
    return Decision(REFUSE, sentence, "ask who, then run this again with -e incident_force_reason=<what they said>")


def _cool_down(request: Request) -> Decision | None:
    """A service that needs a second restart within minutes does not need a restart."""
    rule = request.mitigation
    if not rule.limited:
        return None
    same = [entry for entry in request.entries if _counts(entry, request)]
    newest = max((entry.began for entry in same), default=None)
    if newest is not None and rule.cool_down_s and request.now - newest < rule.cool_down_s:
        ago = request.now - newest
        sentence = f"refused: {request.service} was started or restarted {ago:.0f} s ago, and {rule.cool_down_s} s have to lie between two times"
        return Decision(REFUSE, sentence, "it did not help, so look for the cause: run triage again")
    today = [entry for entry in same if request.now - entry.began < DAY_S]
    if rule.per_day and len(today) >= rule.per_day:
        sentence = f"refused: {request.service} was started or restarted {plural(len(today), 'time')} within a day, which is the most"
        return Decision(REFUSE, sentence, "a restart only hides the cause by now: escalate")
    return None


def _counts(entry: Entry, request: Request) -> bool:
    """Whether an earlier mitigation counts against another one of the service: every start does, unless nothing was changed in the end."""
    own = (entry.service, entry.host) == (request.service, request.host)
    return own and entry.mitigation in ("restart_service", "start_service") and entry.state != NOT_APPLIED and entry is not request.resumed
