# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session that does nothing keeps a row locked, and requests wait for it."""

from __future__ import annotations

from collections.abc import Callable


def test_blocker_is_idle_in_transaction(sql: Callable[[str], str]) -> None:
    """It runs nothing, so no list of long queries shows it."""
    assert sql("SELECT state FROM pg_stat_activity WHERE application_name = 'migration-shell'") == "idle in transaction"


def test_requests_wait_for_it(sql: Callable[[str], str]) -> None:
    """The shop's own sessions queue behind it."""
    assert int(sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'app-backend' AND cardinality(pg_blocking_pids(pid)) > 0")) >= 5
