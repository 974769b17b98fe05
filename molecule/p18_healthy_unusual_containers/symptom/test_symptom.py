# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Odd, but nobody suffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_leftovers_are_there(machine: Any, container: Callable[[str], Any]) -> None:
    """Two containers that ended as they should."""
    for name in ("app-migrate", "app-backend-old"):
        state = machine.check_output("docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' %s", container(name).backend.name)
        assert state == "exited 0"


def test_redis_has_no_limit(container: Callable[[str], Any]) -> None:
    """It uses little, so that is no problem."""
    assert container("app-redis").check_output("redis-cli CONFIG GET maxmemory").split() == ["maxmemory", "0"]
