# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proposal drops what may be dropped, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_target_is_the_declared_cache(report: dict[str, Any]) -> None:
    """Only the prefix that the inventory declares as cache; carts are not."""
    first = report["proposals"][0]
    assert "cache:" in str(first["target"])
    assert "cart" not in str(first)
    assert "FLUSH" not in first["command"].upper()


def test_nothing_was_dropped(container: Callable[[str], Any]) -> None:
    """Triage proposes; the filler is still there."""
    assert container("app-redis").check_output("redis-cli EXISTS cache:drill:0") == "1"
