# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins the files of the probe into one program that a Python reads from standard input.

The program holds every file as text and imports them from memory under their usual names, so that a source imports the same way
whether it comes by this road, packed by Ansible, or from a checkout. On the controller itself, for the Python that Ansible runs on,
the files are there already: then the program only says where.
"""

from __future__ import annotations

import json
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
import json
from importlib.machinery import ModuleSpec


class MemoryImporter:
    """Imports the probe's modules from their texts; a package has none."""

    def __init__(self, modules):
        self.modules = modules

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=not self.modules[name]) if name in self.modules else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        content = self.modules[module.__name__]
        if content:
            exec(compile(content, module.__name__.rpartition(".")[2] + ".py", "exec"), module.__dict__)


def start(main, modules, request):
    sys.meta_path.insert(0, MemoryImporter(modules))
    __import__(main)
    sys.modules[main].main(request)


'''

_LOADER_IN_PLACE = """\
import json
import sys
import types


def start(main, folder, request):
    name = ""
    for part in main.split(".")[:-1]:
        name = name + "." + part if name else part
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []
    sys.modules[name].__path__ = [folder]
    __import__(main)
    sys.modules[main].main(request)


"""


def build(request: dict[str, Any], in_place: bool = False, entry: str = "runner") -> bytes:
    """The whole program for a request, ASCII only; whatever the request holds is data in it and never code.

    ``in_place`` only when this very Python will run it, as this user: it saves a third of the probe's start. ``entry`` is the file whose
    ``main`` answers.
    """
    loader, modules = (_LOADER_IN_PLACE, str(PROBE_FOLDER)) if in_place else (_LOADER, dict(_modules()))
    arguments = (json.dumps(part) for part in (f"{PACKAGE}.{entry}", modules, request))
    return f"{loader}start({', '.join(f'json.loads({argument!r})' for argument in arguments)})\n".encode("ascii")


def resources() -> dict[str, str]:
    """The files of the probe that are no Python, by name: sources ask for them with ``ctx.resource``."""
    return {entry.name: entry.read_text(encoding="utf-8") for entry in sorted(PROBE_FOLDER.iterdir()) if entry.suffix == ".sql"}


def _modules() -> Iterator[tuple[str, str]]:
    """``(module name, text)`` of all modules, and of their parent packages with nothing."""
    parents = PACKAGE.split(".")
    for length in range(1, len(parents) + 1):
        yield ".".join(parents[:length]), ""
    for path in sorted(PROBE_FOLDER.glob("*.py")):
        if path.name != "__init__.py":
            yield f"{PACKAGE}.{path.stem}", path.read_text(encoding="utf-8")
