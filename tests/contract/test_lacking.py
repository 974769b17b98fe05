# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A skip hides nothing in CI."""

from __future__ import annotations

import pytest
from _pytest.outcomes import Failed, Skipped
from ansible_collections.sre.incident_response.tests.lacking import lacking


@pytest.mark.parametrize(
    ("ci", "provided", "outcome"),
    [("true", True, Failed), ("true", False, Skipped), ("", True, Skipped)],
)
def test_only_ci_must_have_what_is_provided(ci: str, provided: bool, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both say what is missing and how to get it."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no engine; start one"):
        lacking("no engine", "start one", provided)
