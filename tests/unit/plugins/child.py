# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts a Python of its own for what must not happen in the test's process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.sre.incident_response.plugins.module_utils.probe import context

# The directory that holds ansible_collections. ansible-test imports the collection in its own way, which a new process does not know.
COLLECTIONS = Path(context.__file__).parents[6]


def run_python(program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program that may import the collection, and return what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(COLLECTIONS), *filter(None, sys.path)])}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, **options)
