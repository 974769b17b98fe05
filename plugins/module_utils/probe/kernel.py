# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``kernel`` of a machine: how long its disks take, what its network loses, and what the kernel itself has complained about.

Counters come from /proc, twice; complaints from /dev/kmsg, which is read without waiting and from the oldest record on. Reading it needs
CAP_SYSLOG where ``kernel.dmesg_restrict`` is set: without it ``log`` has a reason and no lines.
"""

from __future__ import annotations

import errno
import os
import re
import time
from typing import Any

from . import procfs
from .context import Context
from .redact import sample
from .times import iso

KMSG = "dev/kmsg"
MOST_RECORDS = 50000
RECORD_BYTES = 8192
MOST_LINES = 20
# With fewer requests between the readings a mean says nothing.
LEAST_REQUESTS = 20
# Partitions, loop devices and RAM disks are parts of something else, or none.
_WHOLE_DISK = re.compile(r"(?:sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+|dm-\d+|md\d+)$")
# Of loopback and of containers: what is sent to a container that is paused or gone is dropped there, and says nothing about the network.
_INNER = re.compile(r"lo$|veth|br-|docker|virbr|cni|cali|flannel|ifb|dummy|tun|tap")
# What a line is about: the first that fits.
KINDS = (
    (
        "io_error",
        re.compile(
            r"I/O error|Buffer I/O error|critical (?:medium|target) error|EXT[234]-fs error|XFS .*(?:Corruption|metadata I/O|shutting down)"
            r"|BTRFS (?:error|critical)|Remounting filesystem read-only|nvme.*(?:timeout|reset)|ata\d.*(?:failed command|exception Emask)",
            re.IGNORECASE,
        ),
    ),
    ("container_oom", re.compile(r"Memory cgroup out of memory", re.IGNORECASE)),
    ("oom", re.compile(r"Out of memory: Kill(?:ed)? process|invoked oom-killer.*global_oom", re.IGNORECASE)),
    ("conntrack_full", re.compile(r"nf_conntrack: .*table full", re.IGNORECASE)),
    ("hang", re.compile(r"blocked for more than \d+ seconds|soft lockup|rcu.*(?:stall|detected stalls)|hard LOCKUP", re.IGNORECASE)),
    ("crash", re.compile(r"segfault at|general protection fault|kernel BUG at|Oops:|traps: ", re.IGNORECASE)),
    ("hardware", re.compile(r"\bMCE\b|Machine check|Hardware Error|EDAC .*(?:CE|UE)\b|thermal.*throttl", re.IGNORECASE)),
)


def collect(ctx: Context) -> dict[str, Any]:
    """Data of source ``kernel``; what this kernel does not have is None."""
    first, second, elapsed_s = ctx.sample(lambda: counters(ctx))
    return {
        "window_s": round(elapsed_s, 3),
        "disks": disks(first["disks"], second["disks"] if second else None, elapsed_s),
        "interfaces": interfaces(first["interfaces"], second["interfaces"] if second else None),
        "conntrack_drops": _grown(first["conntrack_drops"], second["conntrack_drops"] if second else None),
        "ports": ports(ctx),
        "log": log(ctx),
    }


def counters(ctx: Context) -> dict[str, Any]:
    """What is read twice."""
    return {
        "disks": disk_counters(_text(ctx, "proc", "diskstats")),
        "interfaces": interface_counters(_text(ctx, "proc", "net", "dev")),
        "conntrack_drops": conntrack_drops(_text(ctx, "proc", "net", "stat", "nf_conntrack")),
    }


# -- disks --------------------------------------------------------------------------------------------------------------------------


def disk_counters(text: str) -> dict[str, tuple[int, int, int]]:
    """``{device: (requests done, ms that they took together, ms in which any was under way)}`` of /proc/diskstats."""
    found = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 13 and _WHOLE_DISK.match(fields[2]):
            found[fields[2]] = (int(fields[3]) + int(fields[7]), int(fields[6]) + int(fields[10]), int(fields[12]))
    return found


def disks(first: dict[str, tuple[int, int, int]], second: dict[str, tuple[int, int, int]] | None, elapsed_s: float) -> list[dict[str, Any]]:
    """``[{device requests_per_s await_ms util_pct}]``, the busiest first; ``await_ms`` is None when too few requests ended to tell."""
    rows = []
    for device, before in first.items():
        after = (second or {}).get(device)
        if after is None or elapsed_s <= 0:
            rows.append({"device": device, "requests_per_s": None, "await_ms": None, "util_pct": None})
            continue
        done, took, busy = (max(0, last - earlier) for last, earlier in zip(after, before))
        rows.append(
            {
                "device": device,
                "requests_per_s": round(done / elapsed_s, 1),
                "await_ms": round(took / done, 1) if done >= LEAST_REQUESTS else None,
                "util_pct": min(100.0, round(busy / elapsed_s / 10, 1)),
            }
        )
    return sorted(rows, key=lambda row: (-(row["util_pct"] or 0.0), row["device"]))


# -- network ------------------------------------------------------------------------------------------------------------------------


def interface_counters(text: str) -> dict[str, dict[str, int]]:
    """Packets, errors and drops of every interface that leads out of the machine, as /proc/net/dev counts them."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _colon, rest = line.partition(":")
        fields = rest.split()
        if not _INNER.match(name.strip()) and len(fields) >= 12:
            numbers = [int(field) for field in fields]
            found[name.strip()] = {"packets": numbers[1] + numbers[9], "errors": numbers[2] + numbers[10], "dropped": numbers[3] + numbers[11]}
    return found


def interfaces(first: dict[str, dict[str, int]], second: dict[str, dict[str, int]] | None) -> list[dict[str, Any]]:
    """``[{name packets errors dropped lost_pct}]`` between the readings, what lost most first; shares are None below 100 packets."""
    rows = []
    for name, before in first.items():
        after = (second or {}).get(name)
        if after is None:
            continue
        grown = {key: max(0, after[key] - before[key]) for key in before}
        lost = grown["errors"] + grown["dropped"]
        rows.append({"name": sample(name, 20), **grown, "lost_pct": procfs.percent(lost, grown["packets"] + lost) if grown["packets"] + lost >= 100 else None})
    return sorted(rows, key=lambda row: (-(row["lost_pct"] or 0.0), row["name"]))


def conntrack_drops(text: str) -> int | None:
    """Connections that were not let in because the table was full, over all CPUs; None on a machine that tracks none."""
    lines = text.splitlines()
    if len(lines) < 2:
        return None
    names = lines[0].split()
    places = [names.index(name) for name in ("drop", "early_drop") if name in names]
    return sum(int(fields[place], 16) for fields in (line.split() for line in lines[1:]) for place in places if place < len(fields))


def ports(ctx: Context) -> dict[str, Any] | None:
    """TCP sockets of the machine itself against the ports for outgoing connections; containers have tables of their own."""
    limits = _text(ctx, "proc", "sys", "net", "ipv4", "ip_local_port_range").split()
    used = sockets_in_use(_text(ctx, "proc", "net", "sockstat"))
    if len(limits) != 2 or used is None:
        return None
    most = max(1, int(limits[1]) - int(limits[0]) + 1)
    return {"used": used, "max": most, "used_pct": procfs.percent(used, most)}


def sockets_in_use(text: str) -> int | None:
    """TCP sockets that are open or wait for their end (``inuse`` and ``tw``)."""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["TCP:"]:
            numbers = dict(zip(words[1::2], words[2::2]))
            return int(numbers.get("inuse", 0)) + int(numbers.get("tw", 0))
    return None


# -- the kernel's own log --------------------------------------------------------------------------------------------------------------


def log(ctx: Context) -> dict[str, Any]:
    """``readable reason window_s counts {kind: n} lines [{time kind text}]`` of the last ``event_window_s``."""
    window_s = float(ctx.options["event_window_s"])
    empty = {"readable": False, "window_s": window_s, "counts": None, "lines": []}
    try:
        up_s = float(ctx.read(ctx.path("proc", "uptime")).split()[0])
        records = read_records(ctx.path(KMSG), time.monotonic() + ctx.remaining(at_most=2.0))
    except OSError as error:
        return dict(empty, reason=f"the kernel log does not tell it to this user ({error.strerror or error}); use become, or allow CAP_SYSLOG")
    booted = ctx.now - up_s
    told = [entry for entry in (complaint(record, booted) for record in records) if entry is not None and entry["epoch"] >= ctx.now - window_s]
    counts = {kind: sum(entry["kind"] == kind for entry in told) for kind, _pattern in KINDS}
    lines = [{"time": iso(entry["epoch"]), "kind": entry["kind"], "text": entry["text"]} for entry in told[-MOST_LINES:]]
    return {"readable": True, "reason": None, "window_s": window_s, "counts": counts, "lines": lines}


def read_records(path: str, deadline: float) -> list[str]:
    """The records of /dev/kmsg that are there now; OSError without the right to read it. A plain file gives its lines."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    records: list[str] = []
    try:
        while len(records) < MOST_RECORDS and time.monotonic() < deadline:
            try:
                data = os.read(descriptor, RECORD_BYTES)
            except OSError as error:
                if error.errno == errno.EPIPE:  # overwritten meanwhile: the next read goes on behind the gap
                    continue
                if error.errno == errno.EAGAIN:
                    break
                raise
            if not data:
                break
            records += data.decode("utf-8", "replace").splitlines()
    finally:
        os.close(descriptor)
    return records


def complaint(record: str, booted: float) -> dict[str, Any] | None:
    """``{epoch kind text}`` of ``priority,number,microseconds since boot,flags;text``; None for a line that is none.

    What a user wrote into the log (facility other than the kernel's) may say anything, so it does not count.
    """
    head, semicolon, text = record.partition(";")
    fields = head.split(",")
    if not semicolon or len(fields) < 3 or not (fields[0].isdigit() and fields[2].isdigit()) or int(fields[0]) >= 8:
        return None
    for kind, pattern in KINDS:
        if pattern.search(text[:1000]):
            return {"epoch": booted + int(fields[2]) / 1e6, "kind": kind, "text": sample(text, 200)}
    return None


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _text(ctx: Context, *parts: Any) -> str:
    """Text of a file that not every kernel has; empty without it."""
    try:
        return ctx.read(ctx.path(*parts))
    except OSError:
        return ""
