# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about all files: nothing that belongs to one machine, no rule switched off, and sizes that a reader can hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.tests.contract import project

# Of a developer's machine, written so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.~}/])/(?:work|root|home/[a-z]+|Users/[A-Za-z]+)/")
PACKAGE_HOST = re.compile(r"\b(?:registry\.npmjs|files\.pythonhosted|pypi\.(?:python\.)?org|deb\.debian|archive\.ubuntu|security\.debian)\b")
SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bxox[abp]-[0-9]{10}")
LICENSE_LINES = (
    "# Copyright: (c) 2026, sre.incident_response contributors",
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
)
DOCUMENTATION_NAMES = ("DOCUMENTATION", "EXAMPLES", "RETURN")

# The house sizes of docs and style guide are the middle; these are where a file has to be divided.
TASK_FILE_LINES, TASKS_PER_FILE, ROLE_MAIN_LINES = 110, 15, 80
PLUGIN_LINES, FUNCTION_LINES = 500, 60

PYTHON = [path for path in project.committed_files() if path.suffix == ".py"]
PLUGIN_FILES = [path for path in PYTHON if path.is_relative_to(project.ROOT / "plugins")]


def lines_with(expression: re.Pattern[str], files: list[Path]) -> list[str]:
    """Places (file:line) where an expression matches."""
    places = []
    for path in files:
        for match in expression.finditer(project.text_of(path) or ""):
            line = (project.text_of(path) or "").count("\n", 0, match.start()) + 1
            places.append(f"{project.relative(path)}:{line}: {match.group().strip()}")
    return places


def test_no_path_of_a_machine() -> None:
    """A path of one machine works on that machine only."""
    places = lines_with(MACHINE_PATH, project.committed_files())
    assert not places, "paths of one machine:\n" + "\n".join(places)


def test_no_package_host() -> None:
    """Where packages come from is a setting of the machine that installs them."""
    places = lines_with(PACKAGE_HOST, project.committed_files())
    assert not places, "addresses of package indexes:\n" + "\n".join(places[:20])


def test_no_secret() -> None:
    """Unit tests of the redaction need such samples; nothing else does."""
    files = [path for path in project.committed_files() if not path.is_relative_to(project.ROOT / "tests/unit")]
    places = lines_with(SECRET, files)
    assert not places, "secrets:\n" + "\n".join(places)


def test_versions_agree() -> None:
    """The changelog's newest release, galaxy.yml and pyproject.toml name the same version."""
    version = project.read(project.ROOT / "galaxy.yml")["version"]
    releases = project.read(project.ROOT / "changelogs/changelog.yaml")["releases"]
    newest = max(releases, key=lambda name: [int(part) for part in name.split(".")])
    assert newest == version, f"galaxy.yml says {version}, the newest release of changelogs/changelog.yaml is {newest}"
    declared = tomllib.loads((project.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert declared == version, f"galaxy.yml says {version}, pyproject.toml says {declared}"


def test_ansible_versions_agree() -> None:
    """What the collection asks for is what the roles say they need."""
    needed = project.read(project.ROOT / "meta/runtime.yml")["requires_ansible"]
    for role in project.roles():
        declared = project.read(role / "meta/main.yml").get("galaxy_info", {}).get("min_ansible_version")
        assert needed.startswith(f">={declared}"), f"{role.name}/meta/main.yml says {declared}, meta/runtime.yml says {needed}"


def test_dependencies_agree() -> None:
    """requirements.yml is galaxy.yml's list for people without the big package."""
    declared = project.read(project.ROOT / "galaxy.yml")["dependencies"]
    listed = {entry["name"]: entry["version"] for entry in project.read(project.ROOT / "requirements.yml")["collections"]}
    assert listed == declared, f"requirements.yml lists {listed}, galaxy.yml {declared}"


def test_no_rule_is_switched_off() -> None:
    """A rule is broken in one place with its reason, or kept."""
    config = project.read(project.ROOT / ".ansible-lint")
    for key in ("skip_list", "warn_list", "mock_modules", "mock_roles"):
        assert not config.get(key), f".ansible-lint has a {key}"
    assert config["profile"] == "production", f".ansible-lint uses the profile {config['profile']}"
    assert config["strict"] is True, ".ansible-lint lets warnings pass"
    ignores = [
        path for path in project.committed_files() if path.name == ".ansible-lint-ignore" or (path.name.startswith("ignore-") and "sanity" in path.parts)
    ]
    filled = [project.relative(path) for path in ignores if path.stat().st_size]
    assert not filled, f"lists of ignored findings: {', '.join(filled)}"


def test_noqa_has_a_reason() -> None:
    """Whoever meets an exception must learn why it is one, behind it or in a comment just above."""
    bare = re.compile(r"#\s*noqa(?::\s*[\w\[\]-]+(?:\s*,\s*[\w\[\]-]+)*)?\s*$")
    comment = re.compile(r"#.*[a-z]{2,} [a-z]{2,}")
    places = []
    for path in [path for path in project.committed_files() if path.suffix in (".py", ".yml")]:
        lines = (project.text_of(path) or "").splitlines()
        for number, line in enumerate(lines):
            if bare.search(line) and not any(comment.search(above) for above in lines[max(number - 2, 0) : number]):
                places.append(f"{project.relative(path)}:{number + 1}: {line.strip()}")
    assert not places, "noqa without a reason:\n" + "\n".join(places)


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=project.relative)
def test_plugin_names_its_license(path: Path) -> None:
    """Plugins run inside of Ansible, whose licence they share."""
    text = path.read_text(encoding="utf-8")
    for line in LICENSE_LINES if text.strip() else ():
        assert line in text.splitlines()[:6], f"{project.relative(path)} has no line: {line}"


@pytest.mark.parametrize("path", project.task_files(), ids=project.relative)
def test_task_file_is_short(path: Path) -> None:
    """A task file is read in one go, main.yml as a table of contents."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    is_main = path.name == "main.yml" and path.parent.name == "tasks"
    limit = ROLE_MAIN_LINES if is_main else TASK_FILE_LINES
    assert lines <= limit, f"{project.relative(path)} has {lines} lines (at most {limit}): divide it"
    tasks = len(list(project.tasks_of(project.read(path))))
    assert tasks <= TASKS_PER_FILE, f"{project.relative(path)} has {tasks} tasks (at most {TASKS_PER_FILE}): divide it"


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=project.relative)
def test_plugin_file_is_short(path: Path) -> None:
    """Code that fits a head; the documentation blocks of a plugin do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = sum(length(node) for node in tree.body if is_documentation(node))
    lines = len(path.read_text(encoding="utf-8").splitlines()) - documented
    assert lines <= PLUGIN_LINES, f"{project.relative(path)} has {lines} lines of code (at most {PLUGIN_LINES}): divide it"


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=project.relative)
def test_functions_fit_on_a_screen(path: Path) -> None:
    """A function that has to be scrolled does more than one thing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    long = [f"{node.name} ({length(node)} lines)" for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and length(node) > FUNCTION_LINES]
    assert not long, f"{project.relative(path)}: {', '.join(long)}: at most {FUNCTION_LINES} lines"


def length(node: Any) -> int:
    """Lines of a piece of code."""
    return int(node.end_lineno) - int(node.lineno) + 1


def is_documentation(node: ast.stmt) -> bool:
    """Whether it is one of the documentation blocks of a plugin."""
    return isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id in DOCUMENTATION_NAMES for target in node.targets)


def test_generated_documentation_is_current() -> None:
    """Pages that are made from the data must be made anew when the data changes."""
    done = subprocess.run([sys.executable, "tools/generate_docs.py", "--check"], cwd=project.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run tools/generate_docs.py and commit what it writes:\n{done.stdout}{done.stderr}"


def test_commands_of_the_readme_exist() -> None:
    """The README is the first thing that is typed."""
    text = project.text_of(project.ROOT / "README.md") or ""
    help_text = subprocess.run(["./run", "help"], cwd=project.ROOT, capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"\./run ([a-z]+)", text))
    assert {"demo", "test"} <= commands, "README.md does not name ./run demo and ./run test"
    unknown = [command for command in commands if f"./run {command}" not in help_text]
    assert not unknown, f"README.md names ./run {', '.join(unknown)}, which ./run help does not know"
    named = set(re.findall(r"\bplaybooks/(\w+)\.yml", text)) | set(re.findall(rf"ansible-playbook {re.escape(project.COLLECTION)}\.(\w+)", text))
    assert named, "README.md names no playbook"
    missing = sorted(named - {path.stem for path in project.playbooks()})
    assert not missing, f"README.md names the playbook {', '.join(missing)}, which does not exist"


def test_links_between_documents_lead_somewhere() -> None:
    """A link to a file of the repository must find it."""
    broken = []
    for path in [path for path in project.committed_files() if path.suffix == ".md" and path.name != "CHANGELOG.md"]:
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", path.read_text(encoding="utf-8")):
            if not (path.parent / target).exists():
                broken.append(f"{project.relative(path)}: {target}")
    assert not broken, "links that lead nowhere:\n" + "\n".join(broken)
