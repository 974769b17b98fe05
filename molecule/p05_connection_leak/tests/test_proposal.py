# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proposal names the client that leaks."""

from __future__ import annotations

from typing import Any


def test_target_is_the_leaking_client(report: dict[str, Any]) -> None:
    """By its application name: the shop's own sessions come from the same container, and must not go."""
    proposal = report["proposals"][0]
    assert proposal["target"]["app"] == "leaky"
    assert "application_name = 'leaky'" in proposal["command"]
