# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One client holds nearly all connection slots and uses none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_client_holds_the_slots(sql: Callable[[str], str]) -> None:
    """Its sessions are idle."""
    assert int(sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'leaky' AND state = 'idle'")) > 30


def test_new_sessions_are_refused(container: Callable[[str], Any]) -> None:
    """Only the superuser's reserved slots are left; pg_isready does not notice."""
    database = container("app-db")
    refused = database.run("PGPASSWORD=app-lab-only PGCONNECT_TIMEOUT=3 psql -XAtq -h 127.0.0.1 -U app -d app_prod -c 'SELECT 1'")
    assert "connection slots" in refused.stderr or "too many clients" in refused.stderr
    assert database.run("pg_isready --quiet --host=127.0.0.1").rc == 0
