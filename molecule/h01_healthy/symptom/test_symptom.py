# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is wrong: the shop answers on every route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("path", ["/", "/health", "/health/ready", "/api/orders/1", "/api/orders?customer=7", "/api/quote", "/api/cart/1"])
def test_route_answers(container: Callable[[str], Any], path: str) -> None:
    """Users get what they ask for."""
    container("app-traffic").check_output("curl -fsS -m 5 -o /dev/null 'http://app-proxy%s'", path)
