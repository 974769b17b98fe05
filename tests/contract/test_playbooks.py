# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks are lists of roles, and they start by path and by name, from anywhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.tests.contract import project

NAME = re.compile(r"^[a-z][a-z0-9_]*\.yml$")
# What a playbook may do beside naming roles: steps of this collection.
ALLOWED = ("ansible.builtin.include_role", "ansible.builtin.import_role", f"{project.COLLECTION}.")
SHIM = project.ROOT / "playbooks/callback_plugins/sre_incident_timeline.py"

every_playbook = pytest.mark.parametrize("playbook", project.playbooks(), ids=lambda path: path.stem)


def syntax_check(playbook: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What ansible-playbook says about a playbook without running it."""
    env = os.environ | {"ANSIBLE_HOME": str(project.ROOT / ".ansible"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"}
    command = ["ansible-playbook", "--syntax-check", "-i", "localhost,", playbook]
    return subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@every_playbook
def test_name_can_be_addressed(playbook: Path) -> None:
    """A playbook with a hyphen in its name can't be run by its full name."""
    assert NAME.match(playbook.name), f"playbooks/{playbook.name}: only small letters, digits and underscores, and .yml"


@every_playbook
def test_starts_by_path_and_by_name(playbook: Path, tmp_path: Path) -> None:
    """Both ways work in a directory that knows nothing of the checkout."""
    for address in (str(playbook), f"{project.COLLECTION}.{playbook.stem}"):
        done = syntax_check(address, tmp_path)
        assert done.returncode == 0, f"ansible-playbook --syntax-check {address}:\n{done.stdout}"


@every_playbook
def test_has_no_logic(playbook: Path) -> None:
    """Logic in a playbook can be neither reused nor tested."""
    for play in project.read(playbook):
        assert play.get("name"), f"playbooks/{playbook.name}: a play without a name"
        if "ansible.builtin.import_playbook" in play:
            continue
        assert play.get("gather_facts") is False, f"playbooks/{playbook.name}: '{play['name']}' must say gather_facts: false"
        assert not play.get("pre_tasks"), f"playbooks/{playbook.name}: '{play['name']}' has pre_tasks; put them into a role"
        assert not play.get("post_tasks"), f"playbooks/{playbook.name}: '{play['name']}' has post_tasks; put them into a role"
        for task in project.tasks_of(play.get("tasks")):
            assert is_step(task), f"playbooks/{playbook.name}: '{task.get('name')}' calls {project.module_of(task)}; put it into a role"


def is_step(task: dict[str, Any]) -> bool:
    """Whether a task is a step of this collection, or only holds some."""
    module = project.module_of(task)
    return module is None or module.startswith(ALLOWED)


def test_shim_loads_the_timeline() -> None:
    """Playbooks load the callback beside them without any configuration; it must be the collection's own."""
    loaded = runpy.run_path(str(SHIM))["CallbackModule"]
    origins = [parent.__module__ for parent in loaded.__mro__]
    assert f"ansible_collections.{project.COLLECTION}.plugins.callback.timeline" in origins, f"the shim loads {', '.join(origins)}"
    assert loaded.CALLBACK_NEEDS_ENABLED is False, "the shim would need configuration to be loaded"


def test_triage_makes_the_checks_of_every_role() -> None:
    """A check role that triage forgets is a wrong green."""
    named: set[str] = set()
    for play in project.read(project.ROOT / "playbooks/triage.yml"):
        for task in project.tasks_of(play.get("tasks") or []):
            named.update(task.get("loop") or [])
            module = project.module_of(task)
            if module == "ansible.builtin.import_role":
                named.add(task[module]["name"].rpartition(".")[2])
    forgotten = {role.name for role in project.roles() if (role / "files/checks.yml").is_file()} - named
    assert not forgotten, f"playbooks/triage.yml does not name {', '.join(sorted(forgotten))}"
