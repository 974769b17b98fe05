# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks, patterns and faults refer to each other by name only: a misspelt name would just never match."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.checks import entry_problems
from ansible_collections.sre.incident_response.plugins.plugin_utils.patterns import pattern_problems
from ansible_collections.sre.incident_response.tests.contract import project

SEVERITIES = ("info", "warning", "critical")


@pytest.mark.parametrize("role", project.read_only_roles(), ids=lambda role: role.name)
def test_checks_of_a_role_are_valid(role: Path) -> None:
    """A reading role is its checks."""
    entries = project.check_entries(role)
    assert entries, f"{role.name}/files/checks.yml has no list of checks"
    problems = [problem for entry in entries for problem in entry_problems(entry)]
    assert not problems, "\n".join([f"{role.name}/files/checks.yml:", *problems])


def test_check_ids_are_unique_over_all_roles() -> None:
    """A finding names its check and nothing else: two checks with one id can't be told apart."""
    written = Counter(check_id for role in project.roles() for check_id in ids_of(role))
    twice = sorted(check_id for check_id, number in written.items() if number > 1)
    assert not twice, f"these check ids are defined more than once: {', '.join(twice)}"
    assert len(written) > 50, "the roles define hardly any checks; is the data still read from the right place?"


def ids_of(role: Path) -> set[str]:
    """Ids of a role's checks."""
    return {check_id for check_id, (_check, owner) in project.checks().items() if owner == role.name} | {
        str(entry["id"]) for entry in project.check_entries(role) if "{target}" not in str(entry["id"])
    }


def actions_of(pattern: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The first action of a pattern and what stands behind it for the case that it does not fit."""
    action = pattern.get("first_action")
    while action:
        yield action
        action = action.get("otherwise")


def globs_of(pattern: dict[str, Any]) -> Iterator[str]:
    """Every glob over check ids that a pattern contains."""
    gate = pattern.get("gate") or {}
    for group in (gate.get("all") or [], gate.get("none") or [], *(gate.get("any") or [])):
        yield from [group] if isinstance(group, str) else group
    for key in ("weights", "against", "explains", "verify"):
        yield from pattern.get(key) or []
    for action in actions_of(pattern):
        yield from [*(action.get("from") or []), *(action.get("unless") or [])]


def known_check(glob: str) -> bool:
    """Whether at least one check matches."""
    return any(fnmatch.fnmatchcase(check_id, glob) for check_id in project.checks())


@pytest.mark.parametrize("name", project.patterns())
def test_pattern_is_valid(name: str) -> None:
    """One file, one pattern, found by its name."""
    pattern = project.patterns()[name]
    problems = pattern_problems(pattern)
    assert not problems, "\n".join([f"patterns/{name}.yml:", *problems])
    assert pattern["id"] == name, f"patterns/{name}.yml contains the pattern {pattern['id']}"


@pytest.mark.parametrize("name", project.patterns())
def test_pattern_refers_to_findings_that_exist(name: str) -> None:
    """A glob over an unknown id is dead, wherever it stands."""
    globs = list(globs_of(project.patterns()[name]))
    assert globs, f"patterns/{name}.yml looks at no finding"
    dead = sorted({glob for glob in globs if not known_check(glob)})
    assert not dead, f"patterns/{name}.yml: no check can ever have the id {', '.join(dead)}"


@pytest.mark.parametrize("name", project.patterns())
def test_pattern_proposes_a_known_mitigation(name: str) -> None:
    """Checks and patterns call a mitigation by the same name."""
    known = {check.entry.get("mitigation") for check, _role in project.checks().values()}
    proposed = [action["mitigation"] for action in actions_of(project.patterns()[name])]
    assert proposed, f"patterns/{name}.yml proposes nothing"
    unknown = sorted(set(proposed) - known)
    assert not unknown, f"patterns/{name}.yml proposes {', '.join(unknown)}, which no check names"


@pytest.mark.parametrize("name", project.faults())
def test_fault_expects_what_triage_can_find(name: str) -> None:
    """What a drill expects must exist, or the scenario could never pass."""
    expect = project.faults()[name]["expect"]
    for pattern in [expect["top"], *(expect.get("also") or [])]:
        assert pattern is None or pattern in project.patterns(), f"fault {name} expects the unknown pattern {pattern}"
    for check_id, severity in (expect.get("findings") or {}).items():
        assert known_check(check_id), f"fault {name} expects a finding of the unknown check {check_id}"
        assert severity in SEVERITIES, f"fault {name} expects {check_id} with the unknown severity {severity}"


@pytest.mark.parametrize("name", project.faults())
def test_fault_can_be_injected_and_taken_back(name: str) -> None:
    """A fault that stays would spoil the next drill."""
    assert project.faults()[name]["id"] == name, f"vars/faults/{name}.yml describes {project.faults()[name]['id']}"
    for file in ("inject.yml", "revert.yml"):
        path = project.ROOT / "roles/drill/tasks/faults" / name / file
        assert path.is_file(), f"fault {name} has no {project.relative(path)}"
        assert project.read(path), f"{project.relative(path)} does nothing"


def test_every_fault_has_a_scenario() -> None:
    """The molecule scenario of a fault has its id in small letters."""
    scenarios = {path.parent.name for path in (project.ROOT / "molecule").glob("*/molecule.yml")} - {"default"}
    faults = {name.lower() for name in project.faults()}
    assert scenarios == faults, f"without scenario: {sorted(faults - scenarios)}; without fault: {sorted(scenarios - faults)}"


def test_no_orphaned_fault_tasks() -> None:
    """Task files that no fault names are never run."""
    folders = {path.name for path in (project.ROOT / "roles/drill/tasks/faults").iterdir() if path.is_dir()}
    assert folders <= set(project.faults()), f"no fault is called {sorted(folders - set(project.faults()))}"
