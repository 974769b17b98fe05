# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check found: the finding, and how text from machines is made harmless before it gets into one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .text import one_line, shorten

OK = "ok"
FINDING = "finding"
UNKNOWN = "unknown"

SEVERITIES = ("info", "warning", "critical")
SEVERITY_ORDER = {name: position for position, name in enumerate(SEVERITIES)}
ROLES = ("cause", "symptom", "state", "change")

TEXT_LIMIT = 200


def clean_text(value: object, limit: int = TEXT_LIMIT) -> str:
    """One line of at most ``limit`` characters without escape sequences, control and invisible characters."""
    return shorten(one_line(str(value)[: limit * 8]), limit)


def number_text(value: float) -> str:
    """A number as people write it: no decimals from 100 up, one from 10 up, else two, and no trailing zeros."""
    if isinstance(value, int):
        # Not formatted as a float: there are integers that none can hold.
        return clean_text(value, 80)
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0") if abs(value) >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


# Nobody reads the fractions of a second in a sentence; exact times are in the fields.
_FRACTION = re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d+Z")


def value_text(value: Any, limit: int = 80) -> str:
    """A JSON value for use inside a sentence."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number_text(value)
    if isinstance(value, (list, tuple)):
        return clean_text(", ".join(value_text(item, limit) for item in value[:10]) or "none", limit)
    if isinstance(value, Mapping):
        return clean_text(", ".join(f"{key} {value_text(item, limit)}" for key, item in list(value.items())[:10]) or "none", limit)
    # The space in front belongs to the sentence that the text is put into.
    return " " * str(value).startswith(" ") + clean_text(_FRACTION.sub(r"\1 \2Z", str(value)[: limit * 8]), limit)


@dataclass
class Finding:
    """One answer of one check about one service or machine; the contract in docs/architecture.md.

    ``severity`` is set only in state ``finding``; ``reason`` only in state ``unknown``.
    """

    id: str
    state: str
    severity: str | None = None
    service: str = ""
    kind: str = ""
    instance: str = ""
    host: str = ""
    summary: str = ""
    question: str = ""
    value: Any = None
    warning: Any = None
    critical: Any = None
    unit: str | None = None
    since: str | None = None
    observed_at: str | None = None
    role: str = "state"
    check_role: str = ""
    evidence: list[dict[str, str]] = field(default_factory=list)
    mitigation: str | None = None
    target: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The finding with every key of the contract."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """A finding from its contract form; keys it does not know are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})

    @property
    def is_bad(self) -> bool:
        """True for a warning or a critical finding."""
        return self.state == FINDING and self.severity in ("warning", "critical")


def worst(severities: Iterable[str | None]) -> str | None:
    """The gravest of some severities, None when there is none."""
    known = [severity for severity in severities if severity in SEVERITY_ORDER]
    return max(known, key=SEVERITY_ORDER.__getitem__) if known else None


def sort_key(finding: Finding) -> tuple[int, int, str, str, str]:
    """Worst first; after the findings come the unknowns and then what is fine."""
    state = {FINDING: 0, UNKNOWN: 1, OK: 2}.get(finding.state, 3)
    return (state, -SEVERITY_ORDER.get(finding.severity or "", -1), finding.id, finding.host, finding.service)
