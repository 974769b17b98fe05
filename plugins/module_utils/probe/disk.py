# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``disk`` of a machine: how full its real file systems are."""

from __future__ import annotations

import threading
from typing import Any

from . import procfs
from .context import Context

LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "jfs", "reiserfs", "vfat", "bcachefs"}
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "9p", "virtiofs"}
# A dead network mount blocks whoever touches it; the healthy answer within a millisecond.
ONE_MOUNT_S = 2.0


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``disk``: ``mounts``, one per device."""
    try:
        fstab = ctx.read(ctx.path("etc", "fstab"))
    except OSError:
        fstab = ""
    chosen = worth_measuring(procfs.mounts(ctx.read(ctx.path("proc", "mounts"))))
    measured: dict[str, dict[str, Any]] = {}
    threads = []
    for mount in chosen:
        thread = threading.Thread(target=_measure, args=(ctx, mount, measured), daemon=True)
        thread.start()
        threads.append(thread)
    limit_s = ctx.remaining(at_most=ONE_MOUNT_S)
    for thread in threads:
        thread.join(limit_s)
    return {"mounts": [one(mount, measured.get(mount.path), fstab) for mount in chosen]}


def worth_measuring(mounted: list[procfs.Mount]) -> list[procfs.Mount]:
    """Real file systems, the first mount of each device; what is mounted over is what counts."""
    latest = {mount.path: mount for mount in mounted}
    chosen: dict[str, procfs.Mount] = {}
    for mount in sorted(latest.values(), key=lambda mount: len(mount.path)):
        is_root = mount.path == "/"
        if (mount.filesystem in LOCAL or mount.filesystem in NETWORK or is_root) and (mount.device not in chosen):
            chosen[mount.device] = mount
    return list(chosen.values())


def _measure(ctx: Context, mount: procfs.Mount, measured: dict[str, dict[str, Any]]) -> None:
    try:
        measured[mount.path] = dict(procfs.space(mount.path, ctx.statvfs), error=None)
    except OSError as error:
        measured[mount.path] = {"error": error.strerror or str(error)}


def one(mount: procfs.Mount, sizes: dict[str, Any] | None, fstab: str) -> dict[str, Any]:
    """One entry of ``mounts``."""
    unknown: dict[str, Any] = {"total": None, "free": None, "used_pct": None, "inodes_used_pct": None}
    late = {"error": f"did not answer within {ONE_MOUNT_S:g} s; look at its server"}
    return {
        "mount": mount.path,
        "device": mount.device,
        "filesystem": mount.filesystem,
        "readonly": unexpectedly_readonly(mount, fstab),
        **unknown,
        **(late if sizes is None else sizes),
    }


def unexpectedly_readonly(mount: procfs.Mount, fstab: str) -> bool:
    """Read-only although fstab wants it writable, or because the kernel was told to remount it so after errors."""
    if "ro" not in mount.options:
        return False
    if "errors=remount-ro" in mount.options:
        return True
    for line in fstab.splitlines():
        fields = line.split("#")[0].split()
        if len(fields) >= 4 and fields[1] == mount.path:
            return "ro" not in fields[3].split(",")
    return False
