# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets in the network of another process: Docker's nameserver 127.0.0.11 exists only inside the container."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from .context import SourceError

CLONE_NEWNET = 0x40000000


def enter_network(descriptor: int) -> None:
    """Move the calling thread, and only it, into the network namespace behind an open file; OSError when that is not allowed."""
    if hasattr(os, "setns"):  # Python 3.12
        os.setns(descriptor, CLONE_NEWNET)
        return
    try:
        import ctypes
    except ImportError:
        raise SourceError("unsupported", "this machine's Python has no ctypes, so a container's network can't be entered; use Python 3.12 or newer") from None
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sockets_in(namespace: str, families: list[int], timeout_s: float) -> list[socket.socket]:
    """UDP sockets that live in the network namespace ``namespace`` (``/proc/<pid>/ns/net``), one per entry of ``families``.

    A socket stays in the network in which it was made. So a short-lived thread enters the namespace and makes them; nothing else of the
    probe is ever in there. SourceError ``permission`` without the right to enter.
    """
    outcome: dict[str, Any] = {}

    def make() -> None:
        try:
            descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                enter_network(descriptor)
            finally:
                os.close(descriptor)
            outcome["sockets"] = [socket.socket(family, socket.SOCK_DGRAM) for family in families]
        except (OSError, SourceError) as error:
            outcome["error"] = error

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    thread.join(timeout_s)
    error = outcome.get("error")
    if isinstance(error, PermissionError):
        raise SourceError("permission", "entering the container's network needs root; use become to resolve names as the container does")
    if isinstance(error, SourceError):
        raise error
    if error is not None:
        raise SourceError("error", f"the container's network {namespace} can't be entered: {error.strerror or error}")
    if "sockets" not in outcome:
        raise SourceError("timeout", f"entering the container's network {namespace} took longer than {timeout_s:.1f} s")
    return list(outcome["sockets"])
