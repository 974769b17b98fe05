# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has it helped? Pure: what the checks of several looks say about a service, and when that is proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .findings import FINDING, OK, UNKNOWN, Finding
from .text import plural


@dataclass
class Proof:
    """Looks at a service, of which ``needed`` in a row have to be good."""

    needed: int
    good: int = 0
    looks: int = 0
    reasons: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """True when it is proven."""
        return self.good >= self.needed

    def add(self, findings: Sequence[Finding]) -> None:
        """Count one look; a bad one sets everything back."""
        self.looks += 1
        self.reasons = against(findings)
        self.good = 0 if self.reasons else self.good + 1

    def failed(self, reason: str) -> None:
        """Count a look that could not be taken: what is not known proves nothing."""
        self.looks += 1
        self.reasons, self.good = [reason], 0

    def sentence(self, seconds: float) -> str:
        """What came out, for the reader of the report."""
        if self.complete:
            return f"{plural(self.good, 'look')} in a row found everything fine, over {seconds:.0f} s"
        why = "; ".join(self.reasons[:3]) or f"only {self.good} of {self.needed} good ones in a row"
        return f"after {plural(self.looks, 'look')} in {seconds:.0f} s: {why}"


def against(findings: Sequence[Finding]) -> list[str]:
    """Why a look proves nothing, one sentence each; empty when everything that was checked is fine, and something was."""
    reasons = [f"{one.id}: {one.summary}" for one in findings if one.state == FINDING and one.severity in ("warning", "critical")]
    reasons += [f"{one.id} is not known: {one.reason}" for one in findings if one.state == UNKNOWN]
    if not reasons and not any(one.state == OK for one in findings):
        reasons.append("no check says anything about it")
    return reasons
