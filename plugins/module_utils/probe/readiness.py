# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep source ``readiness`` of a machine: may we ask its Docker engine, and does somebody keep its clock right?"""

from __future__ import annotations

import os
import platform
import struct
from typing import Any

from .context import Context, SourceError

# The kernel's struct timex begins with: modes (unsigned int), offset, freq, maxerror, esterror (long), status (int).
TIMEX_HEAD = "@Illlli"
# Larger than the struct on any machine.
TIMEX_ROOM = 512
STATUS_UNSYNCHRONIZED = 0x40


def collect(ctx: Context) -> dict[str, Any]:
    """``{user python docker {needed allowed version kind reason} ntp {synchronized reason}}``; ``user`` is the numeric id of whoever asks."""
    return {"user": os.geteuid(), "python": platform.python_version(), "docker": docker(ctx), "ntp": ntp()}


def docker(ctx: Context) -> dict[str, Any]:
    """Whether this user may ask the engine; ``allowed`` is also false when no engine answers, ``kind`` says which."""
    needed = any(service.container_name for service in ctx.services.values())
    try:
        version = str(ctx.docker.get_json("/version").get("Version") or "")
    except SourceError as error:
        return {"needed": needed, "allowed": False, "version": None, "kind": error.kind, "reason": error.reason}
    return {"needed": needed, "allowed": True, "version": version, "kind": None, "reason": None}


def ntp() -> dict[str, Any]:
    """What the kernel knows: a time daemon that works tells it to the kernel. ``synchronized`` is null when the kernel can't be asked."""
    try:
        # Not at the top: a Python may lack it, and every other source would be lost with this one.
        import ctypes

        # All zero means: change nothing, only tell.
        state = ctypes.create_string_buffer(TIMEX_ROOM)
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(state)
    except (ImportError, OSError, AttributeError) as error:
        return {"synchronized": None, "reason": f"this Python can't ask the kernel for the state of its clock: {error}"}
    if answer < 0:
        return {"synchronized": None, "reason": f"the kernel does not tell the state of its clock: {os.strerror(ctypes.get_errno())}"}
    status = struct.unpack_from(TIMEX_HEAD, state.raw)[-1]
    return {"synchronized": not status & STATUS_UNSYNCHRONIZED, "reason": None}
