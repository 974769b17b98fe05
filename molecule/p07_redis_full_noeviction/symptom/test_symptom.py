# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis answers, and refuses to store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_writes_are_refused(container: Callable[[str], Any]) -> None:
    """PING still says PONG."""
    redis = container("app-redis")
    assert redis.check_output("redis-cli PING") == "PONG"
    assert "OOM" in redis.run("redis-cli -e SET drill:symptom 1").stderr
