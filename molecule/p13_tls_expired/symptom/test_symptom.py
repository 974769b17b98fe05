# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients refuse the certificate that the proxy serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_handshake_fails_for_the_date_alone(container: Callable[[str], Any]) -> None:
    """The authority is trusted and the name is right."""
    answer = container("app-proxy").run("curl -sS -m 5 -o /dev/null --cacert /etc/nginx/tls/ca.pem https://localhost/")
    assert answer.rc == 60
    assert "expired" in answer.stderr
