# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who knows one role knows all of them: same files, options declared once and completely, and a name that keeps its promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.tests.contract import project

SKELETON = ("README.md", "meta/main.yml", "meta/argument_specs.yml", "defaults/main.yml", "tasks/main.yml")
# What a task of a reading role may call: the steps of reading, and what only chooses or validates them.
# An included file lies in the same role, so that it is looked at too.
OWN_READING = ("collect", "collect_metrics", "collect_markers", "assess")
READING = frozenset(("ansible.builtin.include_tasks", "ansible.builtin.import_tasks", *(f"{project.COLLECTION}.{action}" for action in OWN_READING)))
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "path": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "raw": (object,),
    "bytes": (str, int),
}
TEXT_TYPES = ("str", "path", "raw")

every_role = pytest.mark.parametrize("role", project.roles(), ids=lambda role: role.name)


def entry_points(role: Path) -> dict[str, Any]:
    """Argument specs of a role by entry point."""
    return project.read(role / "meta/argument_specs.yml").get("argument_specs") or {"main": {}}


def defaults(role: Path) -> dict[str, Any]:
    """Default values of a role."""
    return project.read(role / "defaults/main.yml")


def is_template(value: Any) -> bool:
    """Whether Ansible would evaluate it."""
    return isinstance(value, str) and "{{" in value


@every_role
def test_role_has_the_skeleton(role: Path) -> None:
    """A missing README also fails the import by Galaxy."""
    missing = [name for name in SKELETON if not (role / name).is_file()]
    assert not missing, f"{project.relative(role)} has no {', '.join(missing)}: every role has the same files"


@every_role
def test_readme_says_what_comes_out(role: Path) -> None:
    """A README that only repeats the name helps nobody."""
    path = role / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert text.startswith("# "), f"{role.name}/README.md does not begin with a title"
    assert f"{project.COLLECTION}.{role.name}" in text, f"{role.name}/README.md has no example that names {project.COLLECTION}.{role.name}"


@every_role
def test_options_are_declared_and_have_defaults(role: Path) -> None:
    """An option without a default must be required, and a default must belong to an option."""
    options = entry_points(role)["main"].get("options") or {}
    with_default = {name for name, option in options.items() if not option.get("required")}
    undeclared = sorted(set(defaults(role)) - set(options))
    assert not undeclared, f"{role.name}/defaults/main.yml sets {', '.join(undeclared)}, which meta/argument_specs.yml does not declare"
    without = sorted(with_default - set(defaults(role)))
    assert not without, f"{role.name}/meta/argument_specs.yml declares {', '.join(without)} as optional, but defaults/main.yml has no value"


@every_role
def test_default_values_agree(role: Path) -> None:
    """The documentation shows the spec's default and the run uses the other one: they must be the same."""
    options = entry_points(role)["main"].get("options") or {}
    for name, value in defaults(role).items():
        option = options[name]
        if is_template(value) and option["type"] not in TEXT_TYPES:
            assert "default" not in option, f"{role.name}: {name} is computed and of type {option['type']}: describe the default, a spec can't hold a template"
        else:
            assert option.get("default") == value, f"{role.name}: default of {name} is {value!r} in defaults, but {option.get('default')!r} in the spec"


@every_role
def test_options_are_typed_and_described(role: Path) -> None:
    """An option without a type is a text to Ansible, and numbers in it are not checked."""
    for entry_point, spec in entry_points(role).items():
        assert spec.get("short_description"), f"{role.name}: entry point {entry_point} has no short_description"
        assert spec.get("description"), f"{role.name}: entry point {entry_point} has no description"
        for name, option in (spec.get("options") or {}).items():
            assert option.get("type") in PYTHON_TYPES, f"{role.name}: {name} has no known type"
            assert option.get("description"), f"{role.name}: {name} has no description"
            if option["type"] == "list":
                assert option.get("elements"), f"{role.name}: {name} is a list of what? say elements"
            value = option.get("default")
            if value is not None and not is_template(value):
                fits = isinstance(value, PYTHON_TYPES[option["type"]]) and not (isinstance(value, bool) and option["type"] in ("int", "float"))
                assert fits, f"{role.name}: default {value!r} of {name} is no {option['type']}"
            if option.get("choices") and value is not None:
                assert value in option["choices"], f"{role.name}: default {value!r} of {name} is none of its choices"


@every_role
def test_variables_carry_the_name_of_the_role(role: Path) -> None:
    """Variables are global in Ansible: the prefix is all that keeps roles apart."""
    public = [name for name in defaults(role) if not name.startswith(f"{role.name}_")]
    assert not public, f"{role.name}/defaults/main.yml sets {', '.join(public)} without the prefix {role.name}_"
    settings = role / "vars/main.yml"
    internal = [name for name in (project.read(settings) if settings.is_file() else {}) if not name.startswith(f"__{role.name}_")]
    assert not internal, f"{role.name}/vars/main.yml sets {', '.join(internal)} without the prefix __{role.name}_"


@pytest.mark.parametrize("role", project.read_only_roles(), ids=lambda role: role.name)
def test_reading_role_only_reads(role: Path) -> None:
    """Collecting and assessing are the only actions: whatever else a role did could change something."""
    found = set()
    for path in sorted(role.glob("tasks/**/*.yml")):
        for task in project.tasks_of(project.read(path)):
            module = project.module_of(task)
            assert module is None or module in READING, (
                f"{project.relative(path)}: a role that only reads calls {module}; only the actions that collect and assess are allowed"
            )
            found.add(module)
    assert f"{project.COLLECTION}.assess" in found, f"{role.name} assesses nothing"


@pytest.mark.parametrize("path", project.task_files(), ids=project.relative)
def test_tasks_from_has_no_extension(path: Path) -> None:
    """Ansible compares the entry point literally: with an extension the argument validation is silently left out."""
    for task in project.tasks_of(project.read(path)):
        arguments = task.get(project.module_of(task) or "")
        entry = str((arguments or {}).get("tasks_from", "")) if isinstance(arguments, dict) else ""
        assert not entry.endswith((".yml", ".yaml")), f"{project.relative(path)}: write tasks_from: {Path(entry).stem}"


@pytest.mark.parametrize("path", project.task_files(), ids=project.relative)
def test_tasks_keep_the_house_rules(path: Path) -> None:
    """What the linters can't tell: hidden failures and rewritten inputs."""
    public = {name for role in project.roles() for name in defaults(role)}
    for task in project.tasks_of(project.read(path)):
        assert "ignore_errors" not in task, f"{project.relative(path)}: '{task.get('name')}' ignores errors; say with failed_when which failure is expected"
        rewritten = public & set(task.get("ansible.builtin.set_fact") or {})
        assert not rewritten, f"{project.relative(path)}: '{task.get('name')}' rewrites the input {', '.join(sorted(rewritten))}"
