# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded tree that stands in for the machine itself, for faults that can't be made on a kernel which others share.

The tree holds files of ``/proc`` and ``/etc`` below its root. Below ``later/`` are the files that have changed when counters are read a
second time. ``recorded.json`` holds what no file tells: ``{"statvfs": {mount: {f_frsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree}},
"clock_offset_s": seconds by which the machine's clock is ahead}``.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from .context import SourceError

# Who reads the machine itself. Containers and services are never recorded: they are asked where they run.
SOURCES = ("host", "disk")
LATER = "later"
INDEX = "recorded.json"


@dataclass(frozen=True)
class Recording:
    """A tree; ``sizes`` are the numbers of statvfs by mount point, ``clock_offset_s`` seconds."""

    root: str
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    clock_offset_s: float = 0.0

    def path(self, parts: list[str], second_reading: bool) -> str:
        """Where the file lies for this reading."""
        changed = os.path.join(self.root, LATER, *parts)
        return changed if second_reading and os.path.isfile(changed) else os.path.join(self.root, *parts)

    def statvfs(self, mount: str) -> Any:
        """What ``os.statvfs`` said about the mount point; OSError when it is not in the recording."""
        if mount not in self.sizes:
            raise OSError(errno.ENOENT, f"{INDEX} of the recorded tree has no sizes of it")
        return SimpleNamespace(**self.sizes[mount])


def read(root: str) -> Recording:
    """The tree at ``root``; SourceError ``absent`` when there is none."""
    try:
        with open(os.path.join(root, INDEX), encoding="utf-8") as handle:
            index = json.load(handle)
        return Recording(root, dict(index.get("statvfs") or {}), float(index.get("clock_offset_s") or 0.0))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise SourceError("absent", f"host_root is {root}, where no recorded tree can be read ({error}); correct incident_host_root or leave it out") from None
