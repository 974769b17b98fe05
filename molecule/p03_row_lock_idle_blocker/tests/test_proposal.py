# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proposal names the one session that has to go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_target_is_the_blocking_session(report: dict[str, Any], sql: Callable[[str], str]) -> None:
    """By its process id and by when it started, because ids are used again."""
    pid = int(sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'migration-shell'"))
    proposal = report["proposals"][0]
    assert proposal["target"]["pid"] == pid
    assert proposal["target"]["backend_start"]
    assert str(pid) in proposal["command"]


def test_session_is_still_there(sql: Callable[[str], str]) -> None:
    """Triage proposes; it ends nothing."""
    assert sql("SELECT state FROM pg_stat_activity WHERE application_name = 'migration-shell'") == "idle in transaction"
