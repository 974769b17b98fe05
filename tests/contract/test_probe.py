# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a managed machine starts on an old Python that has nothing installed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sre.incident_response.tests.contract import project

OLDEST = (3, 8)
OWN = "ansible_collections.sre.incident_response.plugins.module_utils"
# Newer than the oldest Python, although it parses there: names of the standard library that came later, by module.
LATER = {
    "argparse": {"BooleanOptionalAction"},
    "contextlib": {"aclosing", "chdir"},
    "datetime": {"UTC"},
    "functools": {"cache"},
    "itertools": {"batched", "pairwise"},
    "math": {"lcm", "nextafter", "ulp"},
    "typing": {"Annotated", "Concatenate", "NotRequired", "ParamSpec", "Self", "TypeAlias", "TypeGuard", "assert_never"},
}
LATER_MODULES = {"graphlib", "tomllib", "zoneinfo"}
LATER_METHODS = {"removeprefix", "removesuffix", "is_relative_to", "hardlink_to", "bit_count"}

FILES = sorted((project.ROOT / "plugins/module_utils").rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=project.relative)


def parsed(path: Path) -> ast.Module:
    """Syntax tree, as the oldest Python would read it."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=OLDEST)


def imports(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """(module, names) of every absolute import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module), [alias.name for alias in node.names]


@every_file
def test_syntax_is_old_enough(path: Path) -> None:
    """One newer construct anywhere, and the whole probe does not start."""
    tree = parsed(path)
    newer = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.With) and parenthesized(node, path)]
    assert not newer, f"{project.relative(path)}: parenthesized with statement in line {newer}, which Python 3.8 can't read"
    matches = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Match)]
    assert not matches, f"{project.relative(path)}: match statement in line {matches}, which Python 3.8 can't read"


def parenthesized(node: ast.With, path: Path) -> bool:
    """Whether several context managers share a pair of parentheses, which the feature version does not refuse."""
    if len(node.items) < 2:
        return False
    line = path.read_text(encoding="utf-8").splitlines()[node.lineno - 1]
    return line.strip().startswith("with (") and line.rstrip().endswith("(")


@every_file
def test_imports_only_the_standard_library(path: Path) -> None:
    """Nothing may have to be installed on a managed machine."""
    for module, _names in imports(parsed(path)):
        known = module.split(".")[0] in sys.stdlib_module_names or module.startswith((OWN, "ansible.module_utils"))
        assert known, f"{project.relative(path)} imports {module}, which is not in the standard library"
        assert module.split(".")[0] not in LATER_MODULES, f"{project.relative(path)} imports {module}, which Python 3.8 does not have"


@every_file
def test_uses_no_later_names(path: Path) -> None:
    """Names that came after the oldest Python parse well and fail when they are reached."""
    tree = parsed(path)
    for module, names in imports(tree):
        later = LATER.get(module, set()) & set(names)
        assert not later, f"{project.relative(path)} imports {', '.join(sorted(later))} from {module}, which Python 3.8 does not have"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            later_name = node.attr in LATER_METHODS or (isinstance(node.value, ast.Name) and node.attr in LATER.get(node.value.id, set()))
            assert not later_name, f"{project.relative(path)}:{node.lineno} uses .{node.attr}, which Python 3.8 does not have"


@every_file
def test_annotations_are_never_evaluated(path: Path) -> None:
    """With postponed evaluation newer annotations do no harm on an old Python."""
    tree = parsed(path)
    if not any(isinstance(node, ast.FunctionDef | ast.AnnAssign | ast.ClassDef) for node in ast.walk(tree)):
        return
    postponed = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" and node.names[0].name == "annotations" for node in tree.body)
    assert postponed, f"{project.relative(path)} does not begin with: from __future__ import annotations"
