# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranks the patterns that fit the findings of all machines: which one is the cause, and which are only its symptoms. Pure.

The rule, without code per pattern: a gate decides who is a candidate; the strongest finding of each glob gives its points; a
candidate whose gate evidence is accounted for by one that is as deep or deeper counts half and is named its symptom.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .estate import Estate, Node
from .findings import FINDING, SEVERITY_ORDER, UNKNOWN, Finding, clean_text, sort_key
from .patterns import ROOT_KINDS, Pattern

SEVERITY_FACTOR = {"critical": 1.0, "warning": 0.7, "info": 0.4}
LIKELY = 60.0
POSSIBLE = 35.0
EXPLAINS_FROM = 50.0
SYMPTOM_FACTOR = 0.5
# Depth of the patterns that only say what users see.
SURFACE = 1
UNCLASSIFIED = "unclassified_incident"
WHY_LIMIT = 12


@dataclass
class Candidate:
    """A pattern on one root: a service or a machine. ``why`` are the findings that gave or took points, strongest first."""

    pattern: Pattern
    root: Node
    raw: float = 0.0
    used: list[Finding] = field(default_factory=list)
    why: list[tuple[Finding, float]] = field(default_factory=list)
    symptom_of: Candidate | None = None

    @property
    def score(self) -> float:
        """Points, 0 to 100; half for a symptom of something else."""
        return self.raw * (SYMPTOM_FACTOR if self.symptom_of else 1.0)

    @property
    def verdict(self) -> str:
        """How sure the points make us."""
        return "likely" if self.score >= LIKELY else "possible"

    @property
    def rank(self) -> tuple[bool, float, float, int, str, str, str]:
        """Best first: causes before what they explain; then points, the deeper cause, more evidence, and names so that two runs agree.

        Among symptoms the deeper one comes first whatever its points, because it is nearer to the cause.
        """
        ids = {finding.id for finding in self.used}
        points, depth = -round(self.score, 1), -float(self.pattern.depth)
        first, second = (depth, points) if self.symptom_of else (points, depth)
        return (self.symptom_of is not None, first, second, -len(ids), self.pattern.id, self.root.host, self.root.name)


def owner(finding: Finding) -> Node:
    """The service or machine that a finding is about."""
    return Node(finding.service, finding.host, finding.kind) if finding.service and finding.kind != "machine" else Node("", finding.host)


@functools.cache
def _fits(check_id: str, glob: str) -> bool:
    return fnmatchcase(check_id, glob)


class Scope:
    """Findings by whom they are about, so that a root is only held against what concerns it.

    Not what is about another one of its kind, nor what no path of calls connects with it.
    """

    def __init__(self, findings: Iterable[Finding], estate: Estate) -> None:
        self.estate = estate
        self.by_owner: dict[Node, list[Finding]] = {}
        for finding in findings:
            self.by_owner.setdefault(owner(finding), []).append(finding)
        self._about: dict[Node, list[Finding]] = {}

    def about(self, root: Node) -> list[Finding]:
        """What may speak for or against a root."""
        if root not in self._about:
            # In the order of names, because the order of a set is another one in every run.
            nodes = sorted({root, *self.estate.related_to(root)}, key=lambda node: (node.host, node.name))
            kept = [node for node in nodes if node == root or node.kind != root.kind]
            self._about[root] = [finding for node in kept for finding in self.by_owner.get(node, [])]
        return self._about[root]

    def owners(self, globs: Iterable[str]) -> list[Node]:
        """Who has a finding that matches one of the globs."""
        wanted = list(globs)
        return [node for node, own in self.by_owner.items() if any(_fits(finding.id, glob) for finding in own for glob in wanted)]


def matching(glob: str, findings: Iterable[Finding]) -> list[Finding]:
    """The findings whose id matches."""
    return [finding for finding in findings if _fits(finding.id, glob)]


def strongest(glob: str, findings: Iterable[Finding]) -> Finding | None:
    """The gravest finding whose id matches, None without one."""
    hits = matching(glob, findings)
    return max(hits, key=lambda finding: SEVERITY_ORDER.get(finding.severity or "", -1)) if hits else None


def gate_evidence(pattern: Pattern, root: Node, findings: Sequence[Finding]) -> list[Finding] | None:
    """The findings that open the gate, None when it stays closed. A machine is blamed only for what happens on it."""
    if not root.name:
        findings = [finding for finding in findings if finding.host == root.host]
    gate = pattern.gate
    if any(matching(glob, findings) for glob in gate.get("none") or []):
        return None
    used: dict[int, Finding] = {}
    for group in [*([glob] for glob in gate.get("all") or []), *(gate.get("any") or [])]:
        hits = [finding for finding in findings if any(_fits(finding.id, glob) for glob in group)]
        if not hits:
            return None
        used.update((id(finding), finding) for finding in hits)
    return list(used.values())


def roots_of(pattern: Pattern, scope: Scope) -> list[Node]:
    """Whom the pattern could blame: those who have evidence for its gate, or are related to somebody who has."""
    owners = scope.owners(pattern.gate_globs)
    if pattern.service == "host":
        nodes = {Node("", node.host) for node in owners}
    elif pattern.service in ROOT_KINDS:
        kind = ROOT_KINDS[pattern.service]
        nodes = {node for found in owners for node in (found, *scope.estate.related_to(found)) if node.kind == kind}
    else:
        nodes = set(owners)
    return sorted(nodes, key=lambda node: (node.host, node.name))


def candidate(pattern: Pattern, root: Node, scope: Scope) -> Candidate | None:
    """The pattern on that root with its points, None when its gate stays closed."""
    relevant = scope.about(root)
    used = gate_evidence(pattern, root, relevant)
    if used is None:
        return None
    result = Candidate(pattern, root, used=used)
    for weights, sign in ((pattern.weights, 1.0), (pattern.against, -1.0)):
        for glob, points in weights.items():
            hit = strongest(glob, relevant)
            if hit is not None:
                result.why.append((hit, sign * points * SEVERITY_FACTOR[hit.severity or "info"]))
    result.raw = min(100.0, sum(points for _finding, points in result.why))
    result.why.sort(key=lambda pair: -abs(pair[1]))
    return result


def accounts_for(deeper: Candidate, other: Candidate, scope: Scope) -> bool:
    """True when one candidate explains every finding that opened the other's gate.

    A pattern that only says that users wait is no cause of its own: one of its findings is enough.
    """
    visible = {id(finding) for finding in scope.about(deeper.root)}
    explained = [id(finding) in visible and any(_fits(finding.id, glob) for glob in deeper.pattern.explains) for finding in other.used]
    on_the_surface = other.pattern.depth <= SURFACE < deeper.pattern.depth and other.pattern.family == "slow"
    return any(explained) if on_the_surface else all(explained)


def is_only_noted(one: Candidate) -> bool:
    """A machine of which nothing is known but that it is busy."""
    return not one.root.name and all(finding.severity == "info" for finding in one.used)


def discount(candidates: Sequence[Candidate]) -> None:
    """A machine that is only noted to be busy gets no points for what a likely cause elsewhere explains: any machine may be busy beside an incident."""
    likely = [one for one in candidates if one.raw >= LIKELY and not is_only_noted(one)]
    globs = {glob for one in likely for glob in one.pattern.explains}
    for one in candidates:
        if is_only_noted(one):
            one.why = [(finding, points) for finding, points in one.why if finding.severity == "info" or not any(_fits(finding.id, glob) for glob in globs)]
            one.raw = min(100.0, sum(points for _finding, points in one.why))


def is_too_weak(deeper: Candidate, other: Candidate) -> bool:
    """A machine that is only noted to be busy explains that users wait, but no grave finding deeper than that."""
    return is_only_noted(deeper) and other.pattern.depth > SURFACE and any(finding.severity == "critical" for finding in other.used)


def explain_away(candidates: Sequence[Candidate], scope: Scope) -> None:
    """Mark each candidate that is only a symptom of one that is as deep or deeper."""
    strong = sorted((one for one in candidates if one.raw >= EXPLAINS_FROM), key=lambda one: -one.raw)
    for other in candidates:
        for deeper in strong:
            if deeper is other or deeper.pattern.depth < other.pattern.depth or is_too_weak(deeper, other) or not accounts_for(deeper, other, scope):
                continue
            if deeper.pattern.depth > other.pattern.depth or not accounts_for(deeper=other, other=deeper, scope=scope):
                other.symptom_of = deeper
                break


def rank(findings: Sequence[Finding], patterns: Sequence[Pattern], estate: Estate) -> list[Candidate]:
    """Candidates that deserve to be shown, best first; one per pattern and evidence."""
    scope = Scope((finding for finding in findings if finding.state == FINDING), estate)
    found = [one for pattern in patterns for root in roots_of(pattern, scope) if (one := candidate(pattern, root, scope)) is not None]
    candidates = _one_per_evidence(found)
    discount(candidates)
    explain_away(candidates, scope)
    return sorted((one for one in candidates if one.raw >= POSSIBLE), key=lambda one: one.rank)


def _one_per_evidence(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Several roots can share all of a gate's evidence (two backends behind one slow proxy): the best one stands for them."""
    best: dict[tuple[str, frozenset[int]], Candidate] = {}
    for one in candidates:
        key = (one.pattern.id, frozenset(id(finding) for finding in one.used))
        if key not in best or one.rank < best[key].rank:
            best[key] = one
    return list(best.values())


def diagnose(findings: Sequence[Finding], patterns: Sequence[Pattern], estate: Estate) -> list[Candidate]:
    """The ranking, or one unclassified candidate when something is wrong that no pattern makes likely or possible."""
    bad = sorted((finding for finding in findings if finding.is_bad), key=sort_key)
    if not bad:
        return []
    ranked = rank(findings, patterns, estate)
    critical = [finding for finding in bad if finding.severity == "critical"]
    if any(one.score >= POSSIBLE for one in ranked):
        return ranked
    return [unclassified(critical or bad), *ranked]


def unclassified(bad: Sequence[Finding]) -> Candidate:
    """What is left to say when nothing fits: the findings themselves, and to escalate early."""
    grave = bad[0].severity == "critical"
    pattern = Pattern(
        id=UNCLASSIFIED,
        title="Incident that no known pattern explains" if grave else "Warnings that no known pattern explains",
        family="unclassified",
        service="host",
        depth=0,
        gate={"any": [sorted({finding.id for finding in bad})]},
        weights={},
        first_action={
            "mitigation": "report_only",
            "effect": "look at the findings, the deepest first, and change one thing at a time",
            "undo": "nothing to undo",
        },
        verify=tuple(sorted({finding.id for finding in bad})),
        escalate="owner of the affected service at once: no runbook fits" if grave else "owner of the affected service, in working hours",
    )
    return Candidate(pattern, owner(bad[0]), used=list(bad), why=[(finding, 0.0) for finding in bad])


def entry(one: Candidate, unknown: Scope, first_action: Any) -> dict[str, Any]:
    """A candidate in the form of the contract: facts in ``why``, the guess in ``pattern`` and ``score``.

    ``unknown`` holds the checks that could not be made; those that would change the points are listed.
    """
    globs = [*one.pattern.weights, *one.pattern.against]
    return {
        "pattern": one.pattern.id,
        "title": one.pattern.title,
        "family": one.pattern.family,
        "service": one.root.name or one.root.host,
        "host": one.root.host,
        "score": round(one.score, 1),
        "verdict": one.verdict,
        "why": [_fact(finding, points) for finding, points in one.why[:WHY_LIMIT]],
        "symptom_of": one.symptom_of.pattern.id if one.symptom_of else None,
        "first_action": first_action,
        "verify": list(one.pattern.verify),
        "escalate": one.pattern.escalate,
        "confounders": list(one.pattern.confounders),
        "unknown": sorted({finding.id for finding in unknown.about(one.root) if any(_fits(finding.id, glob) for glob in globs)}),
    }


def _fact(finding: Finding, points: float) -> dict[str, Any]:
    return {
        "id": finding.id,
        "severity": finding.severity,
        "service": finding.service,
        "host": finding.host,
        "text": clean_text(finding.summary),
        "evidence": [clean_text(item.get("text", "")) for item in finding.evidence[:3]],
        "since": finding.since,
        "points": round(points, 1),
    }


def exonerated(everything: Scope) -> list[str]:
    """Services and machines at which everything could be looked at and nothing is wrong."""
    estate = everything.estate
    clear = []
    for node in [*(service.node for service in estate.services), *(machine.node for machine in estate.machines.values())]:
        own = everything.by_owner.get(node, [])
        silent = own and not any(finding.is_bad for finding in own)
        if silent and not any(finding.state == UNKNOWN and "does not tell it" not in (finding.reason or "") for finding in own):
            clear.append(f"{node.name} on {node.host}" if node.name else f"machine {node.host}")
    return clear


def service_states(everything: Scope) -> list[dict[str, Any]]:
    """``services`` of the contract: critical, warning, unknown or ok, by the service's own findings."""
    states = []
    for service in everything.estate.services:
        own = everything.by_owner.get(service.node, [])
        bad = [finding.severity for finding in own if finding.is_bad]
        state = "critical" if "critical" in bad else "warning" if bad else "ok"
        if not bad and (not any(finding.state == "ok" for finding in own) or any(finding.id == "service.assessed" for finding in own)):
            state = "unknown"
        states.append({"name": service.name, "kind": service.kind, "host": service.host, "state": state})
    return states


def verdict(ranked: Sequence[Candidate], estate: Estate) -> str:
    """The one sentence: what is likely wrong, or that nothing was found in what could be looked at."""
    if ranked:
        first = ranked[0]
        where = first.root.name or f"machine {first.root.host}"
        if first.pattern.id == UNCLASSIFIED:
            return clean_text(f"unclassified: {first.used[0].summary}; no known pattern explains it", 300)
        return clean_text(f"{first.verdict}: {first.pattern.title} ({first.pattern.id} on {where}, {first.score:.0f} of 100)", 300)
    missing = estate.not_assessed()
    if not estate.machines:
        return "nothing was assessed"
    if not missing:
        return "no incident found"
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return clean_text(f"no incident found in what could be assessed; not assessed: {'; '.join(missing[:3])}{more}", 500)
