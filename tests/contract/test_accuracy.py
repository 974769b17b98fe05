# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents say about accuracy was measured: it is written from the committed results and from nothing else."""

from __future__ import annotations

import pytest
from ansible_collections.sre.incident_response.tests.bench.accuracy import page
from ansible_collections.sre.incident_response.tests.bench.accuracy.records import RESULTS, read_results
from ansible_collections.sre.incident_response.tests.contract import project
from ansible_collections.sre.incident_response.tests.lacking import lacking

DOCUMENT, README = project.ROOT / "docs/accuracy.md", project.ROOT / "README.md"
RENEW = "write it anew with: ./run bench accuracy --resume --write"


def readme_part() -> str:
    """What stands between the markers of the README."""
    text = README.read_text(encoding="utf-8")
    assert page.BEGIN in text, "README.md has no place for the accuracy table"
    assert page.END in text, "README.md has no place for the accuracy table"
    return page.BEGIN + text.partition(page.BEGIN)[2].partition(page.END)[0] + page.END


def test_nothing_is_claimed_without_results() -> None:
    """Numbers without a measurement would be invented."""
    if RESULTS.is_file():
        pytest.skip("there are results, and the test below compares them")
    assert not DOCUMENT.exists(), "docs/accuracy.md has nothing to stand on"
    assert not any(character.isdigit() for character in readme_part()), "the README has numbers without results"


def test_documents_agree_with_the_results() -> None:
    """Both are exactly what the results give."""
    if not RESULTS.is_file():
        lacking("nothing was measured yet", "measure with: ./run bench accuracy --write")
    machine, drills, runs = read_results(RESULTS)
    assert DOCUMENT.read_text(encoding="utf-8") == page.document(machine, drills, runs), f"docs/accuracy.md is not what the results say; {RENEW}"
    assert readme_part() == page.readme_block(drills, runs), f"the table of README.md is not what the results say; {RENEW}"
