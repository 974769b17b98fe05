# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No text of a machine can keep the probe busy: one regular expression that never ends stops every source at once."""
from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

# Each is repeated to some thousand characters, once as it is and once with an end that makes a match fail late.
PIECES = [
    " ", "\t", "\n", "| ", " | ", "+ ", '"', "'", "\\", "a", "A", "a.", "A.b", "_", "0", "1.", "1:", "-", "=", ":", "://", "@", "/", "%", "\x1b[", "\x1b]", ";",
    "password=", "token:", "bearer ", "File ", '  File "', "Error: ", "[", "]", "{", "}", "(", ")", "a b", "\u202e", "0x", "eyJ", "-----BEGIN ", "é",
]
FUNCTIONS = {
    "clean.clean_text": "from {p}.clean import clean_text as function",
    "redact.redact": "from {p}.redact import redact as function",
    "redact.sample": "from {p}.redact import sample as function",
    "logs_text.masked": "from {p}.logs_text import masked as function",
    "logs_text.exception_in": "from {p}.logs_text import exception_in as function",
    "logs_text.route_of": "from {p}.logs_text import route_of as function",
}
PROGRAM = """
import faulthandler, sys, time
faulthandler.dump_traceback_later(20, exit=True)
{imported}
for piece in {pieces!r}:
    for text in (piece * (6000 // len(piece)), "x" + piece * (6000 // len(piece)) + "!"):
        started = time.process_time()
        function(text)
        took = time.process_time() - started
        if took > 2:
            sys.exit(f"{{took:.1f}} s for {{piece!r}}")
"""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_takes_no_endless_time(name: str) -> None:
    """In a process of its own, because nothing else can end it."""
    imported = FUNCTIONS[name].replace("{p}", "ansible_collections.sre.incident_response.plugins.module_utils.probe")
    program = textwrap.dedent(PROGRAM).format(imported=imported, pieces=PIECES)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{name}: {done.stderr}"
