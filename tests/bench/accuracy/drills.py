# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drills and what their data (roles/drill/vars/faults) expects triage to say."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[3]
FAULTS = PROJECT / "roles/drill/vars/faults"
# How the data names a place in the lab, by the kind that the report gives it. Whatever is no service is a machine.
PLACES = {"nginx": "proxy", "fastapi": "backend", "postgresql": "db", "redis": "redis", "external": "ext"}
MACHINE = "machine"

Cause = frozenset[str]


@dataclass(frozen=True)
class Drill:
    """A fault with its right answers.

    ``causes`` and ``services`` hold one set for each thing that is wrong; every name in a set is equally right for it. Both are empty
    for a healthy state. ``first`` are the patterns that may come first.
    """

    id: str
    title: str
    causes: tuple[Cause, ...]
    first: Cause
    services: tuple[Cause, ...]
    findings: Mapping[str, str] = field(default_factory=dict)
    safe_actions: Cause = frozenset()
    variants: tuple[Mapping[str, Any], ...] = ({},)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong in it."""
        return not self.causes


def parse(data: Mapping[str, Any]) -> Drill:
    """A drill from its data."""
    expect = data["expect"]
    top, also = names(expect["top"]), names(expect.get("also"))
    causes = causes_of(top, also)
    return Drill(
        id=data["id"],
        title=data["title"],
        causes=causes,
        first=frozenset(top),
        services=services_of(names(expect.get("service")), causes),
        findings=dict(expect.get("findings") or {}),
        safe_actions=frozenset(names(data.get("safe_actions"))),
        variants=tuple(data.get("variants") or [{}]),
    )


def names(value: Any) -> list[str]:
    """One name, several or none, as a list."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def causes_of(top: Sequence[str], also: Sequence[str]) -> tuple[Cause, ...]:
    """The true causes. Several names in ``top`` are several causes when ``also`` asks for one of them too, else several names of one cause."""
    if not top:
        return ()
    if set(top) & set(also):
        return tuple(frozenset([name]) for name in dict.fromkeys([*top, *also]))
    return (frozenset(top), *(frozenset([name]) for name in also))


def services_of(services: Sequence[str], causes: Sequence[Cause]) -> tuple[Cause, ...]:
    """Where the causes lie. Several services are several places when there are several causes, else several names of one place."""
    if not services:
        return ()
    return tuple(frozenset([name]) for name in services) if len(causes) > 1 else (frozenset(services),)


def load(only: Sequence[str] = ()) -> list[Drill]:
    """All drills by id, or those that match a list of ids, short ids (P03) or globs; ValueError names what matches nothing."""
    known = [parse(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in sorted(FAULTS.glob("*.yml"))]
    unmatched = [wanted for wanted in only if not any(matches(drill.id, wanted) for drill in known)]
    if unmatched:
        raise ValueError(f"there is no drill {', '.join(unmatched)}; there are {', '.join(drill.id for drill in known)}")
    return [drill for drill in known if not only or any(matches(drill.id, wanted) for wanted in only)]


def matches(drill_id: str, wanted: str) -> bool:
    """Whether a drill is meant by its id, by the part of it before the first underscore, or by a glob, in any case."""
    name, wanted = drill_id.lower(), wanted.lower()
    return wanted in (name, name.partition("_")[0]) or fnmatch.fnmatchcase(name, wanted)
