# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins the files of the probe into one program that a Python reads from standard input.

The program holds every file as text and imports them from memory under their usual names, so that a source imports the same way
whether it comes by this road, packed by Ansible, or from a checkout. For exactly the Python that Ansible itself runs on, the files
travel compiled, because that Python has them compiled already: it saves a third of the probe's start.
"""

from __future__ import annotations

import base64
import importlib.machinery
import json
import marshal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROBE_FOLDER = Path(__file__).resolve().parent.parent / "module_utils" / "probe"
PACKAGE = "ansible_collections.sre.incident_response.plugins.module_utils.probe"

# Runs on the managed machine, before anything else is there: syntax of any Python 3, and of Python 2 as far as the refusal.
_LOADER = '''\
import sys
if sys.version_info < (3, 8):
    sys.stderr.write("the probe needs Python 3.8 or newer, this is " + sys.version.split()[0] + "\\n")
    sys.exit(3)
import base64
import json
import marshal
from importlib.machinery import ModuleSpec


class MemoryImporter:
    """Imports the probe's modules from their texts or compiled code; a package has none."""

    def __init__(self, modules, compiled):
        self.modules = modules
        self.compiled = compiled

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=not self.modules[name]) if name in self.modules else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        content = self.modules[module.__name__]
        file_name = module.__name__.rpartition(".")[2] + ".py"
        if not content:
            return
        code = marshal.loads(base64.b64decode(content)) if self.compiled else compile(content, file_name, "exec")
        exec(code, module.__dict__)


def start(main, modules, request, compiled):
    sys.meta_path.insert(0, MemoryImporter(modules, compiled))
    __import__(main)
    sys.modules[main].main(request)


'''


def build(request: dict[str, Any], compiled: bool = False, entry: str = "runner") -> bytes:
    """The whole program for a request, ASCII only; whatever the request holds is data in it and never code.

    ``compiled`` only when the Python that will run it is the very one that runs now. ``entry`` is the file whose ``main`` answers.
    """
    arguments = (json.dumps(part) for part in (f"{PACKAGE}.{entry}", dict(_modules(compiled)), request, compiled))
    return f"{_LOADER}start({', '.join(f'json.loads({argument!r})' for argument in arguments)})\n".encode("ascii")


def resources() -> dict[str, str]:
    """The files of the probe that are no Python, by name: sources ask for them with ``ctx.resource``."""
    return {entry.name: entry.read_text(encoding="utf-8") for entry in sorted(PROBE_FOLDER.iterdir()) if entry.suffix == ".sql"}


def _modules(compiled: bool) -> Iterator[tuple[str, str]]:
    """``(module name, text or code)`` of all modules, and of their parent packages with nothing."""
    parents = PACKAGE.split(".")
    for length in range(1, len(parents) + 1):
        yield ".".join(parents[:length]), ""
    for path in sorted(PROBE_FOLDER.glob("*.py")):
        if path.name != "__init__.py":
            name = f"{PACKAGE}.{path.stem}"
            yield name, _code(name, path) if compiled else path.read_text(encoding="utf-8")


def _code(name: str, path: Path) -> str:
    """The file compiled; Python keeps that beside the file and only compiles again what has changed."""
    code = importlib.machinery.SourceFileLoader(name, str(path)).get_code(name)
    return base64.b64encode(marshal.dumps(code)).decode("ascii")
