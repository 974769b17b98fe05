# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a plan is shown: what each proposal would do to what, how to approve it, and how to do it by hand when Ansible itself is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .gate_proposals import Proposal, Triage
from .gate_registry import Mitigation
from .text import clean, one_line, wrap

WIDTH = 80
_LABEL = 10
# Of the target these say nothing to a reader: they are shown by other words, or only tell when somebody looked.
_NOT_SHOWN = ("host", "service", "looked_at")


def plan(triage: Triage | None, known: Mapping[str, Mitigation], age_s: float) -> list[str]:
    """The lines of a plan: all proposals of the triage, none of which was approved."""
    if triage is None:
        return ["nothing was triaged yet: run the playbook triage first, with the same incident_state_dir"]
    lines = [f"PLAN  triage {triage.run}, {age_s / 60:.0f} min old; nothing is changed"]
    if not triage.proposals:
        return [*lines, "it proposes nothing"]
    for proposal in triage.proposals:
        lines += ["", *sheet(proposal, known.get(proposal.mitigation))]
    return lines


def sheet(proposal: Proposal, mitigation: Mitigation | None) -> list[str]:
    """What a person needs to know about one proposal, the break-glass commands included."""
    lines = [f"{proposal.id}  {proposal.mitigation} of {proposal.service} on {proposal.host}"]
    lines += _labelled("target", target_words(proposal.target))
    lines += _labelled("effect", mitigation.effect if mitigation else proposal.effect)
    lines += _labelled("undo", mitigation.undo if mitigation else proposal.undo)
    lines += _labelled("approve", f"add -e incident_approve={proposal.id}" if mitigation else "no role carries this out: do it by hand")
    return lines + by_hand(proposal)


def by_hand(proposal: Proposal) -> list[str]:
    """The commands to paste on the machine, and their undo."""
    if not proposal.command:
        return _labelled("by hand", proposal.note or "there is no command for it")
    head = f"  by hand on {proposal.host} (undo: {one_line(proposal.undo)}):"
    return [*wrap(head.strip(), WIDTH, "    ", "  "), *(f"    {line}" for line in clean(proposal.command).splitlines())]


def target_words(target: Mapping[str, Any]) -> str:
    """The identity of a target on one line."""
    shown = {key: value for key, value in target.items() if key not in _NOT_SHOWN and value is not None}
    return ", ".join(f"{one_line(str(key))} {one_line(str(value))[:80]}" for key, value in shown.items()) or "not told"


def _labelled(label: str, text: str) -> list[str]:
    return wrap(one_line(text), WIDTH, " " * (_LABEL + 2), f"  {label:<{_LABEL}}") if text else []


def as_text(lines: Iterable[str]) -> str:
    """The lines as one text."""
    return "\n".join(lines)
