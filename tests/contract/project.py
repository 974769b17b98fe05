# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository as data: what the contract tests read."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible.playbook.block import Block
from ansible.playbook.task import Task
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import Check, load_checks

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "sre.incident_response"
READ_ONLY_ENDINGS = ("_check", "_scan")
# Keys of a task that are not its module.
TASK_KEYWORDS = frozenset(Task.fattributes) | frozenset(Block.fattributes) | {"local_action"}


def read(path: Path) -> Any:
    """Content of a YAML file; an empty one and a missing one (which the test of the skeleton reports) are an empty dictionary."""
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    return {} if content is None else content


def relative(path: Path) -> str:
    """How a message names a file."""
    return str(path.relative_to(ROOT))


@functools.cache
def committed_files() -> list[Path]:
    """Files that git has, or would take: everything that a stranger gets."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in sorted(listed) if name and (ROOT / name).is_file()]


def text_of(path: Path) -> str | None:
    """Text of a file, None when there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError):
        return None


def roles() -> list[Path]:
    """Every role of the collection."""
    return sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())


def read_only_roles() -> list[Path]:
    """The roles whose names promise that they change nothing."""
    return [path for path in roles() if path.name.endswith(READ_ONLY_ENDINGS)]


def playbooks() -> list[Path]:
    """Every playbook of the collection."""
    return sorted(path for path in (ROOT / "playbooks").iterdir() if path.is_file())


def task_files() -> list[Path]:
    """Every file with tasks."""
    return sorted((ROOT / "roles").glob("*/tasks/**/*.yml"))


def tasks_of(tasks: Any) -> Iterator[dict[str, Any]]:
    """Tasks of a file, with those inside of blocks."""
    for task in tasks or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_of(task.get(part))


def module_of(task: dict[str, Any]) -> str | None:
    """The module of a task; None for a block."""
    modules = [key for key in task if key not in TASK_KEYWORDS and not key.startswith("with_")]
    return modules[0] if modules else None


def check_entries(role: Path) -> list[dict[str, Any]]:
    """The check entries of a role, empty when it has none."""
    return read(role / "files" / "checks.yml") or []


@functools.cache
def checks() -> dict[str, tuple[Check, str]]:
    """Every check of the collection by the ids that its findings can have, with the role that it belongs to."""
    return {check_id: (check, role.name) for role in roles() for check in load_checks(check_entries(role), role.name) for check_id in check.ids}


@functools.cache
def patterns() -> dict[str, dict[str, Any]]:
    """The incident patterns by the names of their files."""
    return {path.stem: read(path) for path in sorted((ROOT / "roles" / "incident_diagnosis" / "files" / "patterns").glob("*.yml"))}


@functools.cache
def faults() -> dict[str, dict[str, Any]]:
    """The faults of the drill role by the names of their files."""
    return {path.stem: read(path) for path in sorted((ROOT / "roles" / "drill" / "vars" / "faults").glob("*.yml"))}
