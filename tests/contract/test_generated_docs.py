# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is documented about checks, patterns and options is written from the data, so it can't be older than the data."""

from __future__ import annotations

import subprocess
import sys

from ansible_collections.sre.incident_response.tests.contract import project


def test_generated_documentation_is_up_to_date() -> None:
    """The tool names the files and says how to renew them."""
    command = [sys.executable, str(project.ROOT / "tools/generate_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_check_and_pattern_is_documented() -> None:
    """An empty page would be up to date as well."""
    checks = (project.ROOT / "docs/checks.md").read_text(encoding="utf-8")
    missing = [check_id for check_id in project.checks() if f"`{check_id}`" not in checks]
    patterns = (project.ROOT / "docs/patterns.md").read_text(encoding="utf-8")
    missing += [name for name in project.patterns() if f"## {name}\n" not in patterns]
    assert not missing, f"not documented: {', '.join(missing)}"
