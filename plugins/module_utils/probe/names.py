# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names to addresses with a time limit: the C library's resolver has none."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any


class NameFailedError(OSError):
    """A name that did not resolve; ``timed_out`` when the resolver did not answer in time."""

    def __init__(self, text: str, timed_out: bool = False) -> None:
        super().__init__(text)
        self.strerror = text
        self.timed_out = timed_out


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address already."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def resolve(host: str, timeout_s: float) -> list[str]:
    """Addresses of ``host`` as this machine's resolver gives them, in its order; NameFailedError when there are none in time."""
    host = host.strip("[]")
    if is_address(host):
        return [host]
    outcome: dict[str, Any] = {}

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            outcome["addresses"] = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except (OSError, UnicodeError) as error:
            outcome["error"] = getattr(error, "strerror", None) or str(error)

    # The thread may stay behind in a dead resolver; it is a daemon and ends with the probe.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if "addresses" in outcome:
        return list(outcome["addresses"])
    if "error" in outcome:
        raise NameFailedError(f"{host} does not resolve: {outcome['error']}")
    raise NameFailedError(f"the resolver did not answer for {host} within {timeout_s:.1f} s", timed_out=True)
