# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks, patterns and faults refer to each other by name only: a misspelt name would just never match."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import entry_problems
from ansible_collections.sre.incident_response.plugins.plugin_utils.patterns import pattern_problems
from ansible_collections.sre.incident_response.tests.bench.accuracy.scores import alternatives
from ansible_collections.sre.incident_response.tests.contract import project

SERVICES = ("proxy", "backend", "db", "redis", "ext", "machine")
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


@pytest.mark.parametrize("name", project.patterns())
def test_ansible_itself_is_run_where_it_is_installed(name: str) -> None:
    """A command of Ansible is for the controller; one for an engine, a database or a file is for the machine that has it."""
    for action in actions_of(project.patterns()[name]):
        if "command" in action:
            run_on = "controller" if action["command"].startswith("ansible") else "machine"
            assert action.get("run_on", "machine") == run_on, f"patterns/{name}.yml: {action['command']!r} is to be run on the {run_on}"


def tops_of(expect: dict[str, Any]) -> list[str]:
    """The patterns that may come first; none when nothing is wrong."""
    top = expect["top"]
    return top if isinstance(top, list) else [] if top is None else [top]


@pytest.mark.parametrize("name", project.faults())
def test_fault_says_everything_that_is_read(name: str) -> None:
    """The drill, the scenarios and the accuracy bench read the same data: a key that is misspelt would just be missing."""
    fault = project.faults()[name]
    keys = {"id", "title", "expect", "mitigation", "safe_actions", "trap", "dirty", "last_s", "parameters", "variants"}
    assert set(fault) == keys, f"fault {name} has keys too few or too many: {sorted(set(fault) ^ keys)}"
    expected = {"top", "also", "service", "findings"}
    assert set(fault["expect"]) == expected, f"expect of fault {name} has keys too few or too many: {sorted(set(fault['expect']) ^ expected)}"
    assert set(fault["dirty"]) <= {"proxy", "backend", "db", "redis", "ext"}, f"fault {name} makes an unknown container dirty: {fault['dirty']}"
    assert fault["last_s"] >= 0


@pytest.mark.parametrize("name", project.faults())
def test_fault_says_where_the_cause_lies(name: str) -> None:
    """An incident lies somewhere and has an answer; a healthy state has neither cause nor action."""
    fault = project.faults()[name]
    expect = fault["expect"]
    if not tops_of(expect):
        assert expect["service"] is None, f"fault {name} names a service although nothing is wrong"
        assert fault["safe_actions"] == [], f"fault {name} allows an action although nothing is wrong"
        assert "critical" not in expect["findings"].values(), f"fault {name} expects a critical finding although nothing is wrong"
        return
    places = expect["service"] if isinstance(expect["service"], list) else [expect["service"]]
    assert places, f"fault {name} lies nowhere"
    assert set(places) <= set(SERVICES), f"fault {name} lies in {expect['service']}, which is none of {', '.join(SERVICES)}"
    assert expect["findings"], f"fault {name} is an incident without findings"
    known = {action["mitigation"] for pattern in project.patterns().values() for action in actions_of(pattern)}
    known |= {check.entry.get("mitigation") for check, _role in project.checks().values()}
    unknown = sorted(set(fault["safe_actions"]) - known)
    assert not unknown, f"fault {name} allows {', '.join(unknown)}, which nothing proposes"


@pytest.mark.parametrize("name", project.faults())
def test_fault_has_three_variants(name: str) -> None:
    """The accuracy bench injects each of them, so each has to be another one and to name parameters that exist."""
    fault = project.faults()[name]
    variants = fault["variants"]
    assert len(variants) == 3, f"fault {name} has {len(variants)} variants instead of 3"
    for variant in variants:
        unknown = sorted(set(variant) - set(fault["parameters"]))
        assert not unknown, f"a variant of fault {name} sets {', '.join(unknown)}, which is no parameter of it"
    injected = [{**fault["parameters"], **variant} for variant in variants]
    same = [variant for number, variant in enumerate(injected) if variant in injected[:number]]
    assert not same, f"fault {name} has the same variant twice: {same}"


@pytest.mark.parametrize("name", project.faults())
def test_parameters_of_a_fault_are_used(name: str) -> None:
    """A parameter that no task reads varies nothing. What takes a fault back must not need to know how it was injected."""
    folder = project.ROOT / "roles/drill/tasks/faults" / name
    inject, revert = ((folder / file).read_text(encoding="utf-8") for file in ("inject.yml", "revert.yml"))
    shared = (project.ROOT / "roles/drill/vars/main.yml").read_text(encoding="utf-8")
    # A combined fault is injected by the tasks of others.
    included = "".join((folder.parent / other / "inject.yml").read_text(encoding="utf-8") for other in re.findall(r"faults/(\w+)/inject\.yml", inject))
    read = inject + included + shared
    unused = [parameter for parameter in project.faults()[name]["parameters"] if f"__drill_parameters.{parameter}" not in read]
    assert not unused, f"fault {name}: no task reads {', '.join(unused)}"
    assert "__drill_parameters" not in revert, f"{name}/revert.yml reads parameters, which are not given when a fault is taken back"


@pytest.mark.parametrize("name", project.faults())
def test_fault_expects_what_triage_can_find(name: str) -> None:
    """What a drill expects must exist, or the scenario could never pass."""
    expect = project.faults()[name]["expect"]
    for pattern in [*tops_of(expect), *expect["also"]]:
        assert pattern in project.patterns(), f"fault {name} expects the unknown pattern {pattern}"
    for check_id, severity in ((check, severity) for checks, severity in expect["findings"].items() for check in alternatives(checks)):
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


def test_every_scenario_has_a_fault() -> None:
    """The molecule scenario of a fault has its id in small letters. Faults without one are run by the accuracy bench alone."""
    scenarios = {path.parent.name for path in (project.ROOT / "molecule").glob("*/molecule.yml")} - {"default"}
    mitigated = project.read(project.ROOT / "molecule/shared/vars/mitigations.yml")
    faults = {name.lower() for name in project.faults()}
    assert scenarios - set(mitigated), "no fault has a scenario"
    assert scenarios - set(mitigated) <= faults, f"without fault: {sorted(scenarios - set(mitigated) - faults)}"
    assert set(mitigated.values()) <= set(project.faults()), (
        f"molecule/shared/vars/mitigations.yml names {sorted(set(mitigated.values()) - set(project.faults()))}"
    )


def test_every_mitigation_has_a_scenario() -> None:
    """What changes something is shown on a fault: broken, proposed, refused without approval, done, proven, and not done twice."""
    roles = {path.parents[1].name for path in (project.ROOT / "roles").glob("*/files/mitigation.yml")}
    scenarios = {path.parent.name for path in (project.ROOT / "molecule").glob("mitigate_*/molecule.yml")}
    mitigated = project.read(project.ROOT / "molecule/shared/vars/mitigations.yml")
    assert roles, "no role describes a mitigation"
    assert {f"mitigate_{role}" for role in roles} == scenarios == set(mitigated)


def test_no_orphaned_fault_tasks() -> None:
    """Task files that no fault names are never run."""
    folders = {path.name for path in (project.ROOT / "roles/drill/tasks/faults").iterdir() if path.is_dir()}
    assert folders <= set(project.faults()), f"no fault is called {sorted(folders - set(project.faults()))}"
