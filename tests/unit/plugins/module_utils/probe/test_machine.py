# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of the machine on a recorded /proc, and the volume of a database."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import disk, engine, host, procfs, volume
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Service, SourceError
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import (
    CGROUP_V1,
    CONTAINER_ID,
    MOUNTS_V1,
    PID,
    STOPPED,
    FakeDocker,
    context,
    event,
    inspect_document,
    stat_line,
    write_tree,
)

MACHINE = {
    "proc/stat": "cpu  1000 0 500 8000 100 0 50 50 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 1\nctxt 1\nbtime 1795443111\n",
    "proc/loadavg": "3.00 2.00 1.00 2/296 12345\n",
    "proc/uptime": "2242.10 4000.00\n",
    "proc/meminfo": "MemTotal:        1000 kB\nMemFree:          10 kB\nMemAvailable:    250 kB\nSwapTotal:       200 kB\nSwapFree:         50 kB\n",
    "proc/vmstat": "nr_free_pages 1\noom_kill 3\n",
    "proc/net/netstat": "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 7\nIpExt: InOctets\nIpExt: 5\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=12.34 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.50 avg300=0.00 total=0\n",
    "proc/sys/fs/file-nr": "700\t0\t1000\n",
    "proc/sys/kernel/pid_max": "32768\n",
    "proc/sys/kernel/threads-max": "592\n",
    "proc/sys/kernel/hostname": "web1\n",
    "proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
    "proc/1/stat": stat_line(1, "systemd", rss_pages=10),
    f"proc/{PID}/stat": stat_line(PID, "gunicorn", rss_pages=2000),
    f"proc/{PID}/cgroup": CGROUP_V1,
}


def test_the_machine_in_numbers(tmp_path: Path) -> None:
    data = host.collect(context(write_tree(tmp_path, MACHINE), FakeDocker([inspect_document("app-backend")])))
    assert (data["hostname"], data["kernel"], data["cores"], data["uptime_s"]) == ("web1", "6.1.0-13-amd64", 2, 2242.1)
    assert data["boot_time"] == "2026-11-23T14:11:51.000000Z"
    assert (data["load"], data["load_per_core"]) == ([3.0, 2.0, 1.0], 1.5)
    assert data["memory"] == {"total": 1024000, "available": 256000, "available_pct": 25.0, "swap_total": 204800, "swap_used_pct": 75.0}
    # The kernel of this machine counts no pressure of I/O.
    assert data["psi"] == {"cpu_some_avg60": 12.34, "memory_full_avg60": 0.5, "io_full_avg60": None}
    assert data["fd"] == {"used": 700, "max": 1000, "used_pct": 70.0}
    assert data["threads"] == {"used": 296, "max": 592, "used_pct": 50.0}
    assert data["conntrack"] is None
    assert (data["oom_kill_total"], data["oom_kill_delta"], data["listen_overflow_per_s"]) == (3, None, None)
    assert [(entry["comm"], entry["container"]) for entry in data["top"]] == [("gunicorn", "app-backend"), ("systemd", None)]
    assert data["top"][0]["rss"] == 2000 * os.sysconf("SC_PAGE_SIZE")


def test_rates_need_two_readings(tmp_path: Path) -> None:
    data = host.collect(context(write_tree(tmp_path, MACHINE), sample_s=0.02))
    assert (data["oom_kill_delta"], data["listen_overflow_per_s"]) == (0, 0.0)
    assert data["cpu"] == {"util_pct": None, "iowait_pct": None, "steal_pct": None}


def test_processes_that_stay_stuck_behind_a_device_are_counted() -> None:
    def stats(**states: str) -> dict[int, procfs.ProcessStat]:
        return {int(name[1:]): procfs.process_stat(stat_line(int(name[1:]), "nfsd", state)) for name, state in states.items()}

    first = stats(p1="D", p2="D", p3="S", p4="D")
    # The second one has got what it waited for, the fourth has ended.
    assert host.blocked(first, stats(p1="D", p2="S", p3="D")) == {"processes": 1, "comms": {"nfsd": 1}}
    assert host.blocked(first, None) == {"processes": 3, "comms": {"nfsd": 3}}


def test_without_docker_processes_keep_the_short_id(tmp_path: Path) -> None:
    refused = FakeDocker(refused=SourceError("permission", "no"))
    data = host.collect(context(write_tree(tmp_path, MACHINE), refused))
    assert data["top"][0]["container"] == CONTAINER_ID[:12]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ([1080, 0, 500, 8010, 105, 0, 50, 55, 0, 0], {"util_pct": 85.0, "iowait_pct": 5.0, "steal_pct": 5.0}),
        ([1000, 0, 500, 8000, 100, 0, 50, 50, 0, 0], {"util_pct": None, "iowait_pct": None, "steal_pct": None}),
        (None, {"util_pct": None, "iowait_pct": None, "steal_pct": None}),
    ],
)
def test_cpu_shares(second: list[int] | None, expected: dict[str, Any]) -> None:
    assert procfs.cpu_shares([1000, 0, 500, 8000, 100, 0, 50, 50, 0, 0], second) == expected


# -- disk ------------------------------------------------------------------------------------------------------------

MOUNTED = """\
/dev/sda1 / ext4 rw,relatime,errors=remount-ro 0 0
proc /proc proc rw 0 0
tmpfs /run tmpfs rw 0 0
/dev/sdb1 /srv/my\\040data xfs rw 0 0
/dev/sda1 /var/lib/docker/bind ext4 rw 0 0
overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0
/dev/loop1 /snap/core squashfs ro 0 0
server:/export /mnt/nfs nfs4 rw 0 0
"""


def test_real_file_systems_once_each() -> None:
    chosen = disk.worth_measuring(procfs.mounts(MOUNTED))
    assert [mount.path for mount in chosen] == ["/", "/mnt/nfs", "/srv/my data"]


def test_a_root_that_is_no_disk_counts_too() -> None:
    assert [mount.path for mount in disk.worth_measuring(procfs.mounts("overlay / overlay rw 0 0\n"))] == ["/"]


@pytest.mark.parametrize(
    ("options", "fstab", "expected"),
    [
        ("rw,relatime", "", False),
        ("ro,relatime,errors=remount-ro", "", True),
        ("ro,relatime", "UUID=1 / ext4 defaults 0 1  # root\n", True),
        ("ro,relatime", "UUID=1 / ext4 ro 0 1\n", False),
        ("ro,relatime", "", False),
    ],
)
def test_read_only_is_only_wrong_where_it_was_not_wanted(options: str, fstab: str, expected: bool) -> None:
    mount = procfs.Mount("/dev/sda1", "/", "ext4", tuple(options.split(",")))
    assert disk.unexpectedly_readonly(mount, fstab) is expected


def test_a_mount_that_hangs_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path, {"proc/mounts": MOUNTED})

    def statvfs(path: str) -> Any:
        if "nfs" in path:
            time.sleep(5)
        if "data" in path:
            raise OSError(5, "Input/output error")
        return SimpleNamespace(f_blocks=100, f_bfree=20, f_bavail=10, f_frsize=4096, f_files=0, f_ffree=0)

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(disk, "ONE_MOUNT_S", 0.2)
    mounts = {entry["mount"]: entry for entry in disk.collect(context(root))["mounts"]}
    # As df counts: 80 of 90 usable blocks; a file system without a fixed number of inodes has no share of them.
    assert (mounts["/"]["total"], mounts["/"]["free"], mounts["/"]["used_pct"], mounts["/"]["inodes_used_pct"]) == (409600, 40960, 88.9, None)
    assert (mounts["/mnt/nfs"]["used_pct"], mounts["/mnt/nfs"]["error"]) == (None, "did not answer within 0.2 s; look at its server")
    assert mounts["/srv/my data"]["error"] == "Input/output error"


# -- docker engine ---------------------------------------------------------------------------------------------------


def test_the_engine_and_its_dead() -> None:
    now = 1795443111.0
    events = [event(now - 60, "die"), event(now - 60, "start"), event(now - 3600, "die")]
    docker = FakeDocker([inspect_document("app"), inspect_document("old", **STOPPED)], events)
    docker.documents.update({"/version": {"Version": "28.0.1"}, "/info": {"DockerRootDir": "/var/lib/docker"}})
    data = engine.collect(context(docker=docker, now=now))
    assert data == {
        "up": True,
        "error": None,
        "version": "28.0.1",
        "api_version": "1.41",
        "ping_ms": 1.0,
        "root_dir": "/var/lib/docker",
        "deaths_15m": 1,
        "containers": [{"name": "app", "image": "shop/app:1", "status": "running"}, {"name": "old", "image": "shop/old:1", "status": "exited"}],
    }


@pytest.mark.parametrize("kind", ["timeout", "refused"])
def test_an_engine_that_does_not_answer_is_down_where_containers_are_declared(kind: str) -> None:
    silent = FakeDocker(refused=SourceError(kind, "the Docker engine did not answer"))
    data = engine.collect(context(docker=silent, service=Service("db", "postgresql", {"container": "app"})))
    assert (data["up"], data["error"], data["ping_ms"]) == (False, "the Docker engine did not answer", None)
    with pytest.raises(SourceError):
        engine.collect(context(docker=silent, service=Service("payments", "external", {"url": "http://x"})))


def test_an_engine_that_we_may_not_ask_is_not_down() -> None:
    refused = FakeDocker(refused=SourceError("permission", "permission denied"))
    with pytest.raises(SourceError):
        engine.collect(context(docker=refused, service=Service("db", "postgresql", {"container": "app"})))


# -- volume ----------------------------------------------------------------------------------------------------------

DB = Service("db", "postgresql", {"container": "app"})
DATA = "/var/lib/postgresql/data"


def mounted(source: Path, destination: str = DATA) -> dict[str, Any]:
    return {"Mounts": [{"Type": "volume", "Source": str(source), "Destination": destination, "RW": True}]}


def test_the_folder_in_which_the_server_works_is_measured(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/mounts": MOUNTS_V1,
            f"proc/{PID}/cgroup": CGROUP_V1,
            f"proc/{PID}/stat": stat_line(PID, "postgres"),
            f"proc/{PID}/root/srv/pg/PG_VERSION": "17",
            f"proc/{PID}/mounts": "overlay / overlay rw 0 0\n/dev/sdb1 /srv ext4 rw 0 0\n",
            f"sys/fs/cgroup/memory/docker/{CONTAINER_ID}/cgroup.procs": f"{PID}\n",
        },
    )
    (tmp_path / f"proc/{PID}/cwd").symlink_to("/srv/pg")
    data = volume.collect(context(root, FakeDocker([inspect_document()]), DB))
    assert (data["path"], data["filesystem"]) == ("/srv/pg", "ext4")
    assert 0 <= data["used_pct"] <= 100
    assert data["total"] > data["free"] > 0


def test_a_stopped_database_is_measured_where_its_volume_lies(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    document = inspect_document(**STOPPED, **mounted(Path("/volume")))
    data = volume.collect(context(str(tmp_path), FakeDocker([document]), DB))
    assert (data["path"], data["filesystem"]) == (DATA, None)
    assert data["total"] > 0


def test_a_folder_told_by_the_environment_inside_a_mount(tmp_path: Path) -> None:
    (tmp_path / "volume/17/main").mkdir(parents=True)
    document = inspect_document(**STOPPED, **mounted(Path("/volume"), "/var/lib/postgresql"), Config={"Env": ["PGDATA=/var/lib/postgresql/17/main"]})
    data = volume.collect(context(str(tmp_path), FakeDocker([document]), DB))
    assert data["path"] == "/var/lib/postgresql/17/main"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (PermissionError(13, "Permission denied"), "permission", "can only be measured by root; use become"),
        (FileNotFoundError(2, "No such file"), "absent", "is not reachable from this machine while the container is exited"),
    ],
)
def test_why_a_volume_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, kind: str, words: str) -> None:
    def statvfs(_path: str) -> Any:
        raise error

    monkeypatch.setattr(os, "statvfs", statvfs)
    document = inspect_document(**STOPPED, **mounted(Path("/volume")))
    with pytest.raises(SourceError, match=words) as caught:
        volume.collect(context(str(tmp_path), FakeDocker([document]), DB))
    assert caught.value.kind == kind
