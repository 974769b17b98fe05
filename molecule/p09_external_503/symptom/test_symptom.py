# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider answers 503, so prices are missing and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def status(container: Callable[[str], Any], path: str) -> str:
    """Status that users get for a path."""
    return container("app-traffic").check_output("curl -s -m 12 -o /dev/null -w '%%{http_code}' 'http://app-proxy%s'", path)


def test_prices_fail(container: Callable[[str], Any]) -> None:
    """The one route that needs the provider."""
    assert status(container, "/api/quote") == "503"


def test_the_rest_works(container: Callable[[str], Any]) -> None:
    """The shop still sells."""
    assert status(container, "/api/orders?customer=7") == "200"
    assert status(container, "/health/ready") == "200"
