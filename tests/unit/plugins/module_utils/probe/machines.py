# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded machines for the tests of the probe: trees of /proc and /sys, and a Docker engine that answers from dictionaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Context, Machine, Service, SourceError
from ansible_collections.sre.incident_response.plugins.module_utils.probe.docker import DockerError

CONTAINER_ID = "6f3e" * 16
PID = 4711

# From a Debian 12 host with cgroup version 1 and the cgroupfs driver.
MOUNTS_V1 = """\
/dev/vda / ext4 rw,relatime,errors=remount-ro 0 0
memory /sys/fs/cgroup/memory cgroup rw,nosuid,nodev,noexec,relatime,memory 0 0
cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
pids /sys/fs/cgroup/pids cgroup rw,nosuid,nodev,noexec,relatime,pids 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid,nodev,noexec,relatime 0 0
"""
CGROUP_V1 = f"""\
9:name=systemd:/docker/{CONTAINER_ID}
8:pids:/docker/{CONTAINER_ID}
4:memory:/docker/{CONTAINER_ID}
2:cpu,cpuacct:/docker/{CONTAINER_ID}
0::/
"""
# From a Debian 13 host with cgroup version 2 and the systemd driver.
MOUNTS_V2 = """\
/dev/sda1 / ext4 rw,relatime 0 0
cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0
"""
CGROUP_V2 = f"0::/system.slice/docker-{CONTAINER_ID}.scope\n"
TCP_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max processes             63420                63420                processes
Max open files            20                   4096                 files
"""


def write_tree(root: Path, files: dict[str, str]) -> str:
    """Write ``{path: text}`` below ``root`` and return it for Context."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(root)


def stat_line(pid: int, comm: str, state: str = "S", parent: int = 1, ticks: int = 100, rss_pages: int = 1000) -> str:
    """A line of /proc/<pid>/stat."""
    return f"{pid} ({comm}) {state} {parent} 1 1 0 -1 4194560 100 0 0 0 {ticks} 0 0 0 20 0 1 0 5000 1000000 {rss_pages} 18446744073709551615 1 1 0 0\n"


def inspect_document(name: str = "app", **changes: Any) -> dict[str, Any]:
    """What ``docker inspect`` says about a healthy container; ``changes`` replace State keys (capitalised) or whole parts."""
    state = {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": PID,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "2026-11-23T10:00:01.5Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    }
    document: dict[str, Any] = {
        "Id": CONTAINER_ID,
        "Name": f"/{name}",
        "Created": "2026-11-23T10:00:00.123456789Z",
        "Image": "sha256:abc",
        "RestartCount": 0,
        "Path": "sh",
        "Args": [],
        "Mounts": [],
        "Config": {"Image": f"shop/{name}:1", "Env": [], "Labels": {}, "ExposedPorts": {}, "Hostname": name},
        "HostConfig": {"RestartPolicy": {"Name": "no"}, "LogConfig": {"Type": "json-file", "Config": {}}, "Memory": 0, "PortBindings": {}},
        "NetworkSettings": {"Ports": {}, "Networks": {"appnet": {"IPAddress": "172.18.0.9", "Aliases": [name]}}},
    }
    for key, value in changes.items():
        if key in state:
            state[key] = value
        elif isinstance(document.get(key), dict):
            document[key] = {**document[key], **value}
        else:
            document[key] = value
    document["State"] = {**state, **({"Health": changes["Health"]} if "Health" in changes else {})}
    return document


STOPPED: dict[str, Any] = {"Status": "exited", "Running": False, "Pid": 0, "FinishedAt": "2026-11-23T10:30:00Z"}


def event(epoch: float, action: str, name: str = "app", container_id: str = CONTAINER_ID, **attributes: str) -> dict[str, Any]:
    """An event as the engine writes it."""
    return {"Action": action, "timeNano": int(epoch * 1e9), "Actor": {"ID": container_id, "Attributes": {"name": name, **attributes}}}


class FakeDocker:
    """Answers from documents; ``refused`` is raised for every question."""

    def __init__(self, inspects: list[dict[str, Any]] | None = None, events: list[dict[str, Any]] | None = None, refused: SourceError | None = None) -> None:
        self.inspects = inspects or []
        self.recorded_events = events or []
        self.refused = refused
        self.asked: list[str] = []
        self.documents: dict[str, Any] = {}
        self.ping_ms = 1.0

    def version(self) -> str:
        if self.refused:
            raise self.refused
        return "1.41"

    def inspect(self, container: str) -> dict[str, Any]:
        self.version()
        self.asked.append(f"inspect {container}")
        for document in self.inspects:
            if container in (document["Name"].lstrip("/"), document["Id"]):
                return document
        raise DockerError("absent", f"there is no container {container} on this machine", 404)

    def get_json(self, path: str, query: dict[str, Any] | None = None, timeout_s: float | None = None) -> Any:
        self.version()
        self.asked.append(path)
        if path == "/containers/json":
            return [
                {"Id": document["Id"], "Names": [document["Name"]], "Image": document["Config"]["Image"], "State": document["State"]["Status"]}
                for document in self.inspects
            ]
        if path in self.documents:
            return self.documents[path]
        raise DockerError("absent", f"no such thing: {path}", 404)

    def events(self, since: float, until: float, filters: dict[str, list[str]] | None = None) -> list[dict[str, Any]]:
        self.version()
        return self.recorded_events


def context(
    root: str = "",
    docker: FakeDocker | None = None,
    service: Service | None = None,
    services: list[Service] | None = None,
    now: float | None = None,
    **options: Any,
) -> Context:
    """A source's context on a recorded machine; one reading of counters unless ``sample_s`` is given."""
    known = {one.name: one for one in (services or ([service] if service else []))}
    machine = Machine(known, docker or FakeDocker(), {"sample_s": 0, **options}, root)
    if now is not None:
        machine.now = now
    return Context(machine, service)
