# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every id of the catalog is a check, or has its line in docs/checks_left_out.md."""

from __future__ import annotations

import fnmatch
import re

from ansible_collections.sre.incident_response.tests.contract import project

LEFT_OUT = (project.ROOT / "docs/checks_left_out.md").read_text(encoding="utf-8")
CATALOG = (project.ROOT / "tests/unit/data/catalog_ids.txt").read_text(encoding="utf-8").split()


def explained() -> list[str]:
    """The ids and globs of the first column."""
    return [name for line in LEFT_OUT.splitlines() if line.startswith("| `") for name in re.findall(r"`([^`]+)`", line.split("|")[1])]


def test_every_id_of_the_catalog_is_accounted_for() -> None:
    missing = [name for name in CATALOG if name not in project.checks() and not any(fnmatch.fnmatch(name, glob) for glob in explained())]
    assert not missing, f"neither a check nor in docs/checks_left_out.md: {', '.join(missing)}"


def test_what_is_explained_is_not_made_under_that_name() -> None:
    made = [name for name in explained() if "*" not in name and name in project.checks() and "disk.space" not in name]
    assert not made, f"docs/checks_left_out.md names {', '.join(made)}, which are checks"
