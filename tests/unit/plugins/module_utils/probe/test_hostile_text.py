# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No text of a machine can keep the probe busy: one regular expression that never ends stops every source at once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import context

PACKAGE = "ansible_collections.sre.incident_response.plugins.module_utils.probe"
MODULES = sorted(path.stem for path in Path(context.__file__).parent.glob("*.py") if "re.compile(" in path.read_text(encoding="utf-8"))
# Each is repeated to some thousand characters, once as it is and once with an end that makes a match fail late.
PIECES = [
    " ",
    "\t",
    "\n",
    "| ",
    " | ",
    "+ ",
    '"',
    "'",
    '\\"',
    "a",
    "A",
    "a.",
    "A.b",
    "_",
    "0",
    "1.",
    "1:",
    "-",
    "=",
    ":",
    "://",
    "@",
    "/",
    "%",
    "\x1b[",
    "\x1b]",
    ";",
    "password=",
    "token",
    "token:",
    "bearer ",
    "File ",
    '  File "',
    "Error: ",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "a b",
    "a,",
    "\u202e",
    "0x",
    "eyJ",
    "-----BEGIN ",
    "é",
    'a="b" ',
    "1 2 ",
    "2026-11-23 ",
    "HTTP/1.1 ",
    "upstream: ",
    "connect() failed ",
]
LONGEST = 3000
PROGRAM = """
import faulthandler, importlib, re, sys, time
faulthandler.dump_traceback_later(50, exit=True)

def patterns(value):
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from patterns(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from patterns(item)

found = [pattern for value in vars(importlib.import_module("{module}")).values() for pattern in patterns(value)]
for pattern in found:
    for piece in {pieces!r}:
        for text in (piece * ({longest} // len(piece)), "x" + piece * ({longest} // len(piece)) + "!"):
            subject = text.encode() if isinstance(pattern.pattern, bytes) else text
            started = time.process_time()
            sum(1 for _match in pattern.finditer(subject))
            took = time.process_time() - started
            if took > 0.5:
                sys.exit(f"{{took:.1f}} s for {{piece!r}} and {{pattern.pattern!r}}")
print(len(found))
"""


@pytest.mark.parametrize("module", MODULES)
def test_no_pattern_takes_endless_time(module: str) -> None:
    """In a process of its own, because nothing else can end it."""
    program = textwrap.dedent(PROGRAM).format(module=f"{PACKAGE}.{module}", pieces=PIECES, longest=LONGEST)
    # ansible-test imports the collection in its own way, which a new process does not know.
    environment = os.environ | {"PYTHONPATH": str(Path(context.__file__).parents[6])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=90, check=False, env=environment)
    assert done.returncode == 0, f"{module}: {done.stderr}"
    assert int(done.stdout) > 0
