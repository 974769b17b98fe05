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
from ansible_collections.sre.incident_response.tests.contract import project

SEVERITIES = ("info", "warning", "critical")


@pytest.mark.parametrize("role", project.read_only_roles(), ids=lambda role: role.name)
def test_checks_of_a_role_are_valid(role: Path) -> None:
    """A reading role is its checks."""
    entries = project.check_entries(role)
    assert entries, f"{role.name}/vars/main.yml has no list __{role.name}_checks"
    problems = [problem for entry in entries for problem in entry_problems(entry)]
    assert not problems, "\n".join([f"{role.name}/vars/main.yml:", *problems])


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


def globs_of(pattern: dict[str, Any]) -> Iterator[str]:
    """Every glob over check ids that a pattern contains."""
    gate = pattern.get("gate") or {}
    yield from gate.get("all") or []
    yield from gate.get("none") or []
    for group in gate.get("any") or []:
        yield from group if isinstance(group, list) else [group]
    yield from pattern.get("weights") or {}
    yield from pattern.get("against") or {}


def known_check(glob: str) -> bool:
    """Whether at least one check matches."""
    return any(fnmatch.fnmatchcase(check_id, glob) for check_id in project.checks())


@pytest.mark.parametrize("name", project.patterns())
def test_pattern_has_the_name_of_its_file(name: str) -> None:
    """One file, one pattern, found by its name."""
    assert project.patterns()[name]["id"] == name, f"patterns/{name}.yml contains the pattern {project.patterns()[name]['id']}"


@pytest.mark.parametrize("name", project.patterns())
def test_pattern_asks_for_findings_that_exist(name: str) -> None:
    """A weight or gate over an unknown id is dead."""
    dead = sorted({glob for glob in globs_of(project.patterns()[name]) if not known_check(glob)})
    assert not dead, f"patterns/{name}.yml: no check can ever have the id {', '.join(dead)}"


@pytest.mark.parametrize("name", project.patterns())
def test_pattern_ends_with_a_next_step(name: str) -> None:
    """A diagnosis without something to do leaves the reader alone at night."""
    pattern = project.patterns()[name]
    for key in ("title", "family", "first_action", "verify", "escalate"):
        assert pattern.get(key), f"patterns/{name}.yml says no {key}"


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
