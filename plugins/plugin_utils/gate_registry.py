# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which role carries out a proposed mitigation: each such role describes itself in its ``files/mitigation.yml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
DESCRIPTION = "files/mitigation.yml"
IDENTITIES = ("session", "query", "sessions", "container")


class RegistryError(ValueError):
    """A description is wrong; one sentence."""


@dataclass(frozen=True)
class Mitigation:
    """What the gate has to know about a mitigation.

    ``identity`` is how its target is told from another one, ``kinds`` are the kinds of service that it may change without being named in
    ``incident_mitigations``, ``proof`` the checks that have to be fine afterwards and ``proof_roles`` the roles that make them.
    """

    role: str
    identity: str
    kinds: tuple[str, ...]
    needs: tuple[str, ...]
    effect: str
    undo: str
    proof: tuple[str, ...]
    proof_roles: tuple[str, ...]
    stopped: bool = False
    cool_down_s: int = 0
    per_day: int = 0

    @property
    def limited(self) -> bool:
        """Whether it may only be done so often."""
        return self.cool_down_s > 0 or self.per_day > 0


def parse(role: str, data: Any) -> Mitigation:
    """The description of a role; RegistryError when it is none."""
    if not isinstance(data, Mapping):
        raise RegistryError(f"{role}/{DESCRIPTION} must be a dictionary")
    known = {one.name for one in fields(Mitigation)} - {"role"}
    unknown = sorted(set(data) - known)
    missing = sorted({"identity", "kinds", "needs", "effect", "undo", "proof", "proof_roles"} - set(data))
    if unknown or missing:
        raise RegistryError(f"{role}/{DESCRIPTION}: {f'unknown keys {unknown}' if unknown else f'missing keys {missing}'}")
    if data["identity"] not in IDENTITIES:
        raise RegistryError(f"{role}/{DESCRIPTION}: identity {data['identity']!r} is none of {', '.join(IDENTITIES)}")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return Mitigation(role=role, **values)


def load(folder: Path = ROLES) -> dict[str, Mitigation]:
    """``{mitigation id: description}``; the id of a mitigation is the name of its role."""
    found = {}
    for path in sorted(folder.glob(f"*/{DESCRIPTION}")):
        role = path.parents[1].name
        try:
            found[role] = parse(role, yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError) as error:
            raise RegistryError(f"{role}/{DESCRIPTION} can't be read: {error}") from error
    return found
