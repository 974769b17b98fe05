# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release that fails on one route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def status(container: Callable[[str], Any], path: str) -> str:
    """Status that users get for a path."""
    return container("app-traffic").check_output("curl -s -m 12 -o /dev/null -w '%%{http_code}' 'http://app-proxy%s'", path)


def test_orders_fail(container: Callable[[str], Any]) -> None:
    """Reading orders fails; prices and health do not."""
    assert status(container, "/api/orders/1") == "500"
    assert status(container, "/api/quote") == "200"
    assert status(container, "/health/ready") == "200"


def test_other_release_runs(machine: Any, container: Callable[[str], Any]) -> None:
    """It is another image, not another setting of the same one."""
    image = machine.check_output("docker inspect -f '{{.Config.Image}}' %s", container("app-backend").backend.name)
    assert image.endswith(":v2")
