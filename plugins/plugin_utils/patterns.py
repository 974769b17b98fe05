# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns are data: what an incident looks like, how sure that makes us, and the safest thing to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .findings import clean_text, value_text

# The kind of service that a pattern blames. "host" is a machine; the others blame whoever owns the evidence of the gate.
ROOT_KINDS = {"backend": "fastapi", "db": "postgresql", "redis": "redis", "proxy": "nginx", "external": "external"}
ROOTS = (*ROOT_KINDS, "host", "docker", "network", "change", "owner")

KEYS = {
    "id": str,
    "title": str,
    "family": str,
    "service": str,
    "depth": int,
    "gate": dict,
    "weights": dict,
    "against": dict,
    "explains": list,
    "first_action": dict,
    "verify": list,
    "escalate": str,
    "confounders": list,
}
OPTIONAL = frozenset(("against", "explains", "confounders"))
GATE_KEYS = ("all", "any", "none")
ACTION_KEYS = frozenset(("mitigation", "from", "effect", "undo", "command", "run_on", "note", "unless", "otherwise"))
ACTION_REQUIRED = ("mitigation", "effect", "undo")
# Where the command of an action is run: a shell on the machine that it acts on, or one where Ansible runs.
RUN_ON = ("machine", "controller")


class PatternError(ValueError):
    """A pattern file is wrong; the message is one sentence for the person who wrote it."""


@dataclass(frozen=True)
class Pattern:
    """One incident pattern. Globs match finding ids; ``weights`` and ``against`` are points at critical severity."""

    id: str
    title: str
    family: str
    service: str
    depth: int
    gate: Mapping[str, Any]
    weights: Mapping[str, float]
    first_action: Mapping[str, Any]
    verify: tuple[str, ...]
    escalate: str
    against: Mapping[str, float] = field(default_factory=dict)
    explains: tuple[str, ...] = ()
    confounders: tuple[str, ...] = ()

    @property
    def gate_globs(self) -> list[str]:
        """Every glob whose finding opens the gate."""
        return [*(self.gate.get("all") or []), *(glob for group in self.gate.get("any") or [] for glob in group)]

    @property
    def globs(self) -> list[str]:
        """Every glob of the pattern, each once."""
        parts = [*self.gate_globs, *(self.gate.get("none") or []), *self.weights, *self.against, *self.explains, *self.verify]
        return list(dict.fromkeys(parts))


def pattern_problems(data: Any) -> list[str]:
    """What is wrong with one pattern, as sentences; empty when nothing is."""
    if not isinstance(data, Mapping):
        return [f"a pattern must be a dictionary, not {value_text(data)}"]
    found = [f"unknown key {key}" for key in data if key not in KEYS]
    found += [f"{key} is missing" for key in KEYS if key not in data and key not in OPTIONAL]
    found += [f"{key} must be a {kind.__name__}" for key, kind in KEYS.items() if key in data and not isinstance(data[key], kind)]
    if not found:
        found = [*_gate_problems(data["gate"]), *_number_problems(data), *action_problems(data["first_action"])]
        if data["service"] not in ROOTS:
            found.append(f"service {data['service']} is none of {', '.join(ROOTS)}")
    return [f"pattern {clean_text(data.get('id', '(without id)'), 60)}: {problem}" for problem in found]


def _gate_problems(gate: Mapping[str, Any]) -> Iterable[str]:
    for key, value in gate.items():
        if key not in GATE_KEYS:
            yield f"gate has the unknown key {key}"
        elif not isinstance(value, list) or any(not isinstance(entry, list if key == "any" else str) for entry in value):
            yield f"gate.{key} must be a list of {'lists of ' if key == 'any' else ''}finding ids"
    if not gate.get("all") and not gate.get("any"):
        yield "gate needs all or any, else it would always be open"


def _number_problems(data: Mapping[str, Any]) -> Iterable[str]:
    for key in ("weights", "against"):
        for glob, points in (data.get(key) or {}).items():
            if isinstance(points, bool) or not isinstance(points, (int, float)) or not 0 < points <= 100:
                yield f"{key}.{glob} must be a number from 1 to 100, not {value_text(points)}"


def action_problems(action: Any, place: str = "first_action") -> Iterable[str]:
    """What is wrong with an action or one of its alternatives."""
    if not isinstance(action, Mapping):
        yield f"{place} must be a dictionary"
        return
    for key in action:
        if key not in ACTION_KEYS:
            yield f"{place} has the unknown key {key}"
    for key in ACTION_REQUIRED:
        if not isinstance(action.get(key), str):
            yield f"{place}.{key} must be a text"
    if "run_on" in action and action["run_on"] not in RUN_ON:
        yield f"{place}.run_on must be {' or '.join(RUN_ON)}, not {value_text(action['run_on'])}"
    if "run_on" in action and "command" not in action:
        yield f"{place}.run_on says where a command is run, but there is no command"
    for key in ("from", "unless"):
        if not isinstance(action.get(key, []), list):
            yield f"{place}.{key} must be a list of finding ids"
    if ("unless" in action) != ("otherwise" in action):
        yield f"{place} needs both unless and otherwise, or neither"
    if "otherwise" in action:
        yield from action_problems(action["otherwise"], f"{place}.otherwise")


def parse_pattern(data: Any) -> Pattern:
    """A validated pattern; raises PatternError with the first problem."""
    problems = pattern_problems(data)
    if problems:
        raise PatternError(problems[0])
    return Pattern(
        id=data["id"],
        title=data["title"],
        family=data["family"],
        service=data["service"],
        depth=data["depth"],
        gate=data["gate"],
        weights=data["weights"],
        first_action=data["first_action"],
        verify=tuple(data["verify"]),
        escalate=data["escalate"],
        against=data.get("against") or {},
        explains=tuple(data.get("explains") or ()),
        confounders=tuple(data.get("confounders") or ()),
    )


def load_patterns(folder: Path) -> list[Pattern]:
    """All patterns of a folder, one file each, by id; raises PatternError for one that is wrong."""
    patterns = []
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(folder.glob("*.yml")):
        try:
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - both are safe loaders
        except (OSError, yaml.YAMLError) as error:
            raise PatternError(f"{path.name} can't be read: {clean_text(error)}") from error
        pattern = parse_pattern(data)
        if pattern.id != path.stem:
            raise PatternError(f"{path.name} holds the pattern {pattern.id}; the file must be named after it")
        patterns.append(pattern)
    if not patterns:
        raise PatternError(f"there is no pattern file in {folder}")
    return patterns
