# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources cgroup and process on recorded machines, cgroup version 1 and 2."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import cgroup, process, procfs
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Context, Service, SourceError
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import (
    CGROUP_V1,
    CGROUP_V2,
    CONTAINER_ID,
    LIMITS,
    MOUNTS_V1,
    MOUNTS_V2,
    PID,
    STOPPED,
    TCP_HEAD,
    FakeDocker,
    context,
    inspect_document,
    stat_line,
    write_tree,
)

SERVICE = Service("backend", "fastapi", {"container": "app", "port": 8000})
MIB = 1024 * 1024
SCOPE = f"sys/fs/cgroup/system.slice/docker-{CONTAINER_ID}.scope"
V1 = "sys/fs/cgroup/{}/docker/" + CONTAINER_ID

TREE_V1 = {
    "proc/mounts": MOUNTS_V1,
    f"proc/{PID}/cgroup": CGROUP_V1,
    f"{V1.format('memory')}/memory.usage_in_bytes": f"{90 * MIB}\n",
    f"{V1.format('memory')}/memory.limit_in_bytes": f"{100 * MIB}\n",
    f"{V1.format('memory')}/memory.stat": f"cache 1\ninactive_file 1\ntotal_inactive_file {10 * MIB}\n",
    f"{V1.format('memory')}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    f"{V1.format('memory')}/cgroup.procs": f"{PID}\n4712\n",
    f"{V1.format('cpu,cpuacct')}/cpuacct.usage": "1000000000\n",
    f"{V1.format('cpu,cpuacct')}/cpu.stat": "nr_periods 100\nnr_throttled 30\nthrottled_time 5\n",
    f"{V1.format('cpu,cpuacct')}/cpu.cfs_quota_us": "50000\n",
    f"{V1.format('cpu,cpuacct')}/cpu.cfs_period_us": "100000\n",
    f"{V1.format('pids')}/pids.current": "8\n",
    f"{V1.format('pids')}/pids.max": "10\n",
}
TREE_V2 = {
    "proc/mounts": MOUNTS_V2,
    f"proc/{PID}/cgroup": CGROUP_V2,
    f"{SCOPE}/memory.current": f"{90 * MIB}\n",
    f"{SCOPE}/memory.max": f"{100 * MIB}\n",
    f"{SCOPE}/memory.stat": f"anon 1\nfile 2\ninactive_file {10 * MIB}\n",
    f"{SCOPE}/memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 2\n",
    f"{SCOPE}/memory.pressure": "some avg10=0.00 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=42.50 avg300=0.00 total=1\n",
    f"{SCOPE}/cpu.stat": "usage_usec 1000000\nuser_usec 1\nsystem_usec 1\nnr_periods 100\nnr_throttled 30\nthrottled_usec 5\n",
    f"{SCOPE}/cpu.max": "50000 100000\n",
    f"{SCOPE}/pids.current": "8\n",
    f"{SCOPE}/pids.max": "10\n",
    f"{SCOPE}/cgroup.procs": f"{PID}\n",
    f"{SCOPE}/nested/cgroup.procs": "4712\n",
}


def on(root: str, document: dict[str, Any] | None = None, service: Service = SERVICE, **options: Any) -> Context:
    return context(root, FakeDocker([document or inspect_document()]), service, **options)


@pytest.mark.parametrize(("tree", "version", "pressure"), [(TREE_V1, 1, None), (TREE_V2, 2, 42.5)], ids=["v1", "v2"])
def test_both_versions_tell_the_same(tmp_path: Path, tree: dict[str, str], version: int, pressure: float | None) -> None:
    data = cgroup.collect(on(write_tree(tmp_path, tree)))
    assert data == {
        "version": version,
        "window_s": 0.0,
        "memory": {"usage": 90 * MIB, "working_set": 80 * MIB, "limit": 100 * MIB, "limit_pct": 80.0, "oom_kill": 2, "growth_per_s": None},
        "cpu": {"usage_pct": None, "quota_cores": 0.5, "quota_pct": None, "throttled_pct": None},
        "pids": {"current": 8, "max": 10, "pct": 80.0},
        "psi": {"memory_full_avg60": pressure},
    }


@pytest.mark.parametrize(
    ("tree", "changes"),
    [
        (
            TREE_V1,
            {
                f"{V1.format('memory')}/memory.limit_in_bytes": "9223372036854771712\n",
                f"{V1.format('pids')}/pids.max": "max\n",
                f"{V1.format('cpu,cpuacct')}/cpu.cfs_quota_us": "-1\n",
            },
        ),
        (TREE_V2, {f"{SCOPE}/memory.max": "max\n", f"{SCOPE}/pids.max": "max\n", f"{SCOPE}/cpu.max": "max 100000\n"}),
    ],
    ids=["v1", "v2"],
)
def test_no_limit_is_null(tmp_path: Path, tree: dict[str, str], changes: dict[str, str]) -> None:
    data = cgroup.collect(on(write_tree(tmp_path, {**tree, **changes})))
    assert (data["memory"]["limit"], data["memory"]["limit_pct"]) == (None, None)
    assert data["memory"]["working_set"] == 80 * MIB
    assert data["pids"] == {"current": 8, "max": None, "pct": None}
    assert data["cpu"]["quota_cores"] is None


def test_rates_come_from_two_readings() -> None:
    group = cgroup.Group(2, {"cpu": "/nowhere"})
    first, second = {"usage_ns": 0, "periods": 100, "throttled": 30}, {"usage_ns": 250_000_000, "periods": 110, "throttled": 36}
    unlimited = cgroup.cpu(context(), group, first, second, 0.5)
    assert unlimited == {"usage_pct": 50.0, "quota_cores": None, "quota_pct": None, "throttled_pct": None}


def test_rates_against_a_quota(tmp_path: Path) -> None:
    ctx = on(write_tree(tmp_path, TREE_V2))
    group = cgroup.find(ctx, ctx.container)
    first, second = {"usage_ns": 0, "periods": 100, "throttled": 30}, {"usage_ns": 250_000_000, "periods": 110, "throttled": 36}
    assert cgroup.cpu(ctx, group, first, second, 0.5) == {"usage_pct": 50.0, "quota_cores": 0.5, "quota_pct": 100.0, "throttled_pct": 60.0}
    idle = dict(first)
    assert cgroup.cpu(ctx, group, first, idle, 0.5)["throttled_pct"] == 0.0


def test_two_real_readings_have_a_window(tmp_path: Path) -> None:
    data = cgroup.collect(on(write_tree(tmp_path, TREE_V2), sample_s=0.02))
    assert data["window_s"] >= 0.02
    assert data["cpu"]["usage_pct"] == 0.0


@pytest.mark.parametrize(
    ("document", "tree", "kind", "words"),
    [
        (inspect_document(**STOPPED), TREE_V2, "absent", "container app is exited: it has no process"),
        (inspect_document(), {"proc/mounts": MOUNTS_V2}, "absent", "is not visible here"),
        (inspect_document(), {"proc/mounts": "", f"proc/{PID}/cgroup": CGROUP_V2}, "unsupported", "no control group of container app is mounted"),
    ],
)
def test_why_there_is_nothing_to_measure(tmp_path: Path, document: dict[str, Any], tree: dict[str, str], kind: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        cgroup.collect(on(write_tree(tmp_path, tree), document))
    assert caught.value.kind == kind


# -- process ---------------------------------------------------------------------------------------------------------

TCP = (
    TCP_HEAD
    + """\
   0: 00000000:1F40 00000000:0000 0A 00000000:00000005 00:00000000 00000000     0        0 1 1
   1: 0B00007F:A1B2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 090012AC:1F40 010012AC:C001 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 090012AC:1F40 010012AC:C002 08 00000001:00000000 00:00000000 00000000     0        0 4 1
"""
)
TCP6 = TCP_HEAD + "   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000002 00:00000000 00000000 0 0 5 1\n"


def processes(**extra: str) -> dict[str, str]:
    return {
        **TREE_V1,
        f"proc/{PID}/stat": stat_line(PID, "docker-init"),
        "proc/4712/stat": stat_line(4712, "gunicorn: (w) x", "T", PID),
        f"proc/{PID}/net/tcp": TCP,
        f"proc/{PID}/net/tcp6": TCP6,
        f"proc/{PID}/limits": LIMITS,
        "proc/4712/limits": LIMITS,
        f"proc/{PID}/fd/0": "",
        **{f"proc/4712/fd/{number}": "" for number in range(18)},
        **extra,
    }


def test_processes_of_a_container(tmp_path: Path) -> None:
    data = process.collect(on(write_tree(tmp_path, processes())))
    assert (data["count"], data["states"]) == (2, {"R": 0, "S": 1, "D": 0, "T": 1, "Z": 0})
    # The init has one child, which is the application.
    assert (data["main_pid"], data["main_state"]) == (4712, "T")
    assert data["comms"] == {"docker-init": 1, "gunicorn: (w) x": 1}
    assert data["listeners"] == [
        {"ip": "0.0.0.0", "port": 8000, "accept_queue": 5},
        {"ip": "127.0.0.11", "port": 41394, "accept_queue": 0},
        {"ip": "::", "port": 8080, "accept_queue": 2},
    ]
    assert (data["listening"], data["accept_queue_max"], data["close_wait"]) == (True, 5, 1)
    assert data["fds"] == {"worst_pct": 90.0, "worst_pid": 4712, "worst_open": 18, "worst_limit": 20}
    assert data["busiest_pct"] is None


def test_nobody_listens_on_the_service_port(tmp_path: Path) -> None:
    data = process.collect(on(write_tree(tmp_path, processes()), service=Service("backend", "fastapi", {"container": "app", "port": 9000})))
    assert data["listening"] is False


def test_on_the_host_network_only_the_service_port_counts(tmp_path: Path) -> None:
    data = process.collect(on(write_tree(tmp_path, processes()), inspect_document(HostConfig={"NetworkMode": "host"})))
    assert [entry["port"] for entry in data["listeners"]] == [8000]


def test_without_root_the_rest_is_still_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = on(write_tree(tmp_path, processes()))
    read = ctx.read
    listdir = os.listdir

    def denied_read(path: str, limit: int = 1) -> str:
        if "/net/" in path:
            raise PermissionError(13, "Permission denied")
        return read(path)

    def denied_list(path: str) -> list[str]:
        if path.endswith("/fd"):
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(ctx, "read", denied_read)
    monkeypatch.setattr(os, "listdir", denied_list)
    data = process.collect(ctx)
    assert (data["count"], data["listeners"], data["listening"], data["fds"]) == (2, None, None, None)
    assert "use become" in data["listeners_reason"]
    assert "use become" in data["fds_reason"]


def test_busiest_process_between_two_readings() -> None:
    hertz = os.sysconf("SC_CLK_TCK")
    first = {pid: procfs.process_stat(stat_line(pid, "w", ticks=0)) for pid in (1, 2)}
    second = {1: procfs.process_stat(stat_line(1, "w", ticks=hertz // 10)), 2: procfs.process_stat(stat_line(2, "w", ticks=hertz // 2))}
    assert process.busiest(first, second, 0.5) == {"busiest_pct": 100.0, "busiest_pid": 2}


def test_processes_that_all_ended_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no process of container app is visible"):
        process.collect(on(write_tree(tmp_path, TREE_V1)))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("00000000000000000000000001000000", "::1"),
        ("0000000000000000FFFF0000090012AC", "172.18.0.9"),
    ],
)
def test_addresses_of_the_kernel(text: str, address: str) -> None:
    assert procfs.hex_address(text) == address
