# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure readers of /proc and cgroup texts; what a kernel does not have is None."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

TCP_ESTABLISHED, TCP_CLOSE_WAIT, TCP_LISTEN = "01", "08", "0A"


@dataclass(frozen=True)
class ProcessStat:
    """One line of /proc/<pid>/stat; ``ticks`` is user and system time in clock ticks, ``rss_pages`` in pages, ``started`` in ticks since boot."""

    pid: int
    comm: str
    state: str
    parent: int
    ticks: int
    rss_pages: int
    threads: int = 1
    started: int = 0


def process_stat(text: str) -> ProcessStat:
    """Parse /proc/<pid>/stat; the command may hold blanks and parentheses."""
    head, _open, rest = text.partition("(")
    comm, _close, tail = rest.rpartition(")")
    fields = tail.split()
    return ProcessStat(int(head), comm, fields[0], int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[21]), int(fields[17]), int(fields[19]))


def key_numbers(text: str) -> dict[str, int]:
    """Lines ``name number [unit]`` or ``name: number [unit]`` (meminfo, vmstat, memory.stat, cpu.stat)."""
    numbers = {}
    for line in text.splitlines():
        parts = line.replace(":", " ").split()
        if len(parts) >= 2 and parts[1].lstrip("-").isdigit():
            numbers[parts[0]] = int(parts[1])
    return numbers


def pressure_avg60(text: str, which: str) -> float | None:
    """``avg60`` of the ``some`` or ``full`` line of a pressure file."""
    for line in text.splitlines():
        parts = line.split()
        if parts and parts[0] == which:
            for part in parts[1:]:
                name, _equals, value = part.partition("=")
                if name == "avg60":
                    return float(value)
    return None


@dataclass(frozen=True)
class TcpSocket:
    """One row of /proc/net/tcp or tcp6; on a listening socket ``rx_queue`` is the accept queue."""

    ip: str
    port: int
    state: str
    rx_queue: int


def tcp_sockets(text: str) -> list[TcpSocket]:
    """Parse /proc/net/tcp or /proc/net/tcp6."""
    sockets = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 5:
            continue
        address, _colon, port = fields[1].partition(":")
        sockets.append(TcpSocket(hex_address(address), int(port, 16), fields[3], int(fields[4].partition(":")[2], 16)))
    return sockets


def hex_address(text: str) -> str:
    """The kernel's hexadecimal address (32-bit words in host order) as text; IPv4 inside IPv6 is shown as IPv4."""
    words = [text[start : start + 8] for start in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", int(word, 16)) for word in words)
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


@dataclass(frozen=True)
class Mount:
    """One line of /proc/mounts."""

    device: str
    path: str
    filesystem: str
    options: tuple[str, ...]


def mounts(text: str) -> list[Mount]:
    """Parse /proc/mounts; blanks in paths are octal escapes there."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 4:
            found.append(Mount(_unescaped(fields[0]), _unescaped(fields[1]), fields[2], tuple(fields[3].split(","))))
    return found


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def cpu_times(text: str) -> list[int]:
    """Ticks of the first line of /proc/stat: user nice system idle iowait irq softirq steal ..."""
    return [int(field) for field in text.split("\n", 1)[0].split()[1:]]


def cpu_shares(first: list[int], second: list[int] | None) -> dict[str, float | None]:
    """``util_pct iowait_pct steal_pct`` between two readings of :func:`cpu_times`; guest time is part of user time."""
    names = ("util_pct", "iowait_pct", "steal_pct")
    if second is None:
        return dict.fromkeys(names)
    deltas = [max(0, after - before) for before, after in zip(first[:8], second[:8])]
    total = sum(deltas)
    if len(deltas) < 8 or total == 0:
        return dict.fromkeys(names)
    idle, iowait, steal = deltas[3], deltas[4], deltas[7]
    return {
        "util_pct": percent(total - idle - iowait, total),
        "iowait_pct": percent(iowait, total),
        "steal_pct": percent(steal, total),
    }


def percent(part: float | None, whole: float | None) -> float | None:
    """Share of ``whole`` in percent with one decimal, None when it makes no sense."""
    if part is None or not whole:
        return None
    return round(100.0 * part / whole, 1)


def netstat_counters(text: str) -> dict[str, int]:
    """/proc/net/netstat: pairs of lines, names and then numbers, as ``{"TcpExt.ListenOverflows": 3}``."""
    counters: dict[str, int] = {}
    lines = text.splitlines()
    for names, numbers in zip(lines[::2], lines[1::2]):
        prefix = names.partition(":")[0]
        for name, number in zip(names.split()[1:], numbers.split()[1:]):
            counters[f"{prefix}.{name}"] = int(number)
    return counters


def space(path: str, statvfs: Any) -> dict[str, Any]:
    """``total free`` in bytes, ``used_pct inodes_used_pct`` of a file system, as ``df`` counts them.

    ``free`` is what an ordinary user may still write. Inodes are None where the file system has no fixed number of them.
    """
    status = statvfs(path)
    used = status.f_blocks - status.f_bfree
    usable = used + status.f_bavail
    return {
        "total": status.f_blocks * status.f_frsize,
        "free": status.f_bavail * status.f_frsize,
        "used_pct": percent(used, usable),
        "inodes_used_pct": percent(status.f_files - status.f_ffree, status.f_files),
    }
