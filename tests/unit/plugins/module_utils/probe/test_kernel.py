# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source kernel: disks and interfaces from two readings, and the kernel's own complaints from recorded lines of /dev/kmsg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.sre.incident_response.plugins.module_utils.probe import cgroup, kernel
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe import machines
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import write_tree

DISKSTATS = """\
   7       0 loop0 100 0 0 10 0 0 0 0 0 10 10
 254       0 vda {reads} 0 2000 {read_ms} {writes} 0 4000 {write_ms} 0 {busy} 900 0 0 0 0 0 0
 254       1 vda1 1 0 0 1 1 0 0 1 0 1 1
"""
DEV = """\
Inter-| Receive | Transmit
 face |bytes
  lo: 9 9 9 9 0 0 0 0 9 9 9 9
 veth1: 9 9 9 9 0 0 0 0 9 9 9 9
  eth0: 1 {packets} 0 {dropped} 0 0 0 0 1 0 0 0
"""
BOOT = 1_795_000_000.0
KMSG = [
    "6,1,1000000,-;Linux version 6.1.0",
    "3,2,900000000,-;blk_update_request: I/O error, dev sdb, sector 2048 op 0x0:(READ)",
    "4,3,910000000,-;EXT4-fs error (device sdb1): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0\x1b[31m",
    "3,4,950000000,-;Memory cgroup out of memory: Killed process 4711 (python3) total-vm:1kB",
    "3,5,960000000,-;Out of memory: Killed process 4712 (java) total-vm:1kB",
    "14,6,970000000,-;I/O error, says a user who wrote into the log",
    "nonsense",
    " SUBSYSTEM=block",
]


def disk_text(reads: int, read_ms: int, writes: int, write_ms: int, busy: int) -> str:
    return DISKSTATS.format(reads=reads, read_ms=read_ms, writes=writes, write_ms=write_ms, busy=busy)


def test_how_long_a_disk_takes() -> None:
    first = kernel.disk_counters(disk_text(100, 1000, 100, 1000, 500))
    second = kernel.disk_counters(disk_text(110, 3000, 130, 9000, 1400))
    assert set(first) == {"vda"}
    assert kernel.disks(first, second, 1.0) == [{"device": "vda", "requests_per_s": 40.0, "await_ms": 250.0, "util_pct": 90.0}]
    few = kernel.disk_counters(disk_text(101, 9000, 100, 1000, 501))
    assert kernel.disks(first, few, 1.0)[0]["await_ms"] is None
    assert kernel.disks(first, None, 0.0)[0] == {"device": "vda", "requests_per_s": None, "await_ms": None, "util_pct": None}


def test_interfaces_that_lead_out_of_the_machine() -> None:
    first, second = (kernel.interface_counters(DEV.format(packets=packets, dropped=dropped)) for packets, dropped in ((0, 0), (190, 10)))
    assert kernel.interfaces(first, second) == [{"name": "eth0", "packets": 190, "errors": 0, "dropped": 10, "lost_pct": 5.0}]
    assert kernel.interfaces(first, kernel.interface_counters(DEV.format(packets=5, dropped=1)))[0]["lost_pct"] is None
    assert kernel.interfaces(first, None) == []


def test_dropped_connections_and_ports(tmp_path: Path) -> None:
    assert kernel.conntrack_drops("entries drop early_drop insert_failed\n00000010 00000002 00000001 000000ff\n00000010 00000000 00000001 00000001\n") == 4
    assert kernel.conntrack_drops("") is None
    root = write_tree(
        tmp_path,
        {"proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n", "proc/net/sockstat": "sockets: used 9\nTCP: inuse 20 orphan 0 tw 14096 alloc 9 mem 1\n"},
    )
    assert kernel.ports(machines.context(root)) == {"used": 14116, "max": 28232, "used_pct": 50.0}
    assert kernel.ports(machines.context(str(tmp_path / "nothing"))) is None


def kernel_log(tmp_path: Path, records: list[str], up_s: float = 1000.0, **options: Any) -> dict[str, Any]:
    root = write_tree(tmp_path, {"dev/kmsg": "\n".join(records) + "\n", "proc/uptime": f"{up_s} 1.0\n"})
    return kernel.log(machines.context(root, now=BOOT + up_s, **options))


def test_what_the_kernel_complains_about(tmp_path: Path) -> None:
    found = kernel_log(tmp_path, KMSG)
    assert found["readable"] is True
    counts = {kind: count for kind, count in found["counts"].items() if count}
    assert counts == {"io_error": 2, "container_oom": 1, "oom": 1}
    assert found["lines"][1]["text"].endswith("lblock 0")
    assert found["lines"][0]["time"] == "2026-11-18T11:21:40.000000Z"


def test_old_complaints_do_not_count(tmp_path: Path) -> None:
    assert sum(kernel_log(tmp_path, KMSG, up_s=5000.0)["counts"].values()) == 0


def test_a_log_that_may_not_be_read_is_a_reason(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"proc/uptime": "10.0 1.0\n"})
    found = kernel.log(machines.context(root))
    assert (found["readable"], found["counts"]) == (False, None)
    assert "does not tell it to this user" in found["reason"]


def test_the_whole_source_on_a_kernel_that_has_nothing(tmp_path: Path) -> None:
    data = kernel.collect(machines.context(str(tmp_path)))
    assert (data["disks"], data["interfaces"], data["conntrack_drops"], data["ports"]) == ([], [], None, None)


def test_memory_that_grows_while_we_look() -> None:
    assert cgroup.growth_per_s({"working_set": 1000}, {"working_set": 1500}, 0.25) == 2000.0
    assert cgroup.growth_per_s({"working_set": 1000}, None, 0.0) is None
