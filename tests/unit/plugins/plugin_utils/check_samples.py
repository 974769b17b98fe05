# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A check entry for tests."""

from __future__ import annotations

from typing import Any

ENTRY: dict[str, Any] = {
    "id": "pg.conn.used_pct",
    "question": "How full are the connection slots?",
    "kinds": ["postgresql"],
    "needs": ["postgresql"],
    "value": "postgresql.used_pct",
    "unit": "%",
    "warning": 80,
    "critical": 90,
    "role": "cause",
    "message": "{value} % of the slots are in use",
}


def entry(**changes: Any) -> dict[str, Any]:
    """The sample entry with other keys; None takes one away."""
    return {key: value for key, value in {**ENTRY, **changes}.items() if value is not None}
