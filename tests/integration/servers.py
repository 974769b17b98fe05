# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of a test's own, made from the lab's images, so that the lab stays as it is; and ways to ask the probe and the playbooks about them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import postgresql
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Context, Machine, Service
from ansible_collections.sre.incident_response.plugins.module_utils.probe.docker import DockerClient
from ansible_collections.sre.incident_response.tests.integration.playbooks import PROJECT, command, environment
from ansible_collections.sre.incident_response.tests.lacking import lacking

IMAGES = {
    "db": "sre-lab/app-db:17",
    "redis": "sre-lab/app-redis:8",
    "backend": "sre-lab/app-backend:v1",
    "proxy": "sre-lab/app-proxy:1",
    "ext": "sre-lab/app-ext:1",
}
STARTS_WITHIN_S = 90.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root on the Docker host, to look through /proc into the container; run the tests as root")


def private_mounts() -> bool:
    """Whether this user may mount something that only a child sees."""
    tried = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]
    return shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or not private_mounts(), reason="needs root and a kernel that lets it mount; run as root outside of a container"
)


class Servers:
    """Starts containers of the lab's images and removes them all at the end."""

    def __init__(self) -> None:
        try:
            self.engine = docker.from_env()
            self.engine.ping()
        except docker.errors.DockerException as error:
            lacking(f"no Docker engine answers: {error}", "start one, or let ./run lab up install it", provided=True)
        self.made: list[Any] = []

    def start(self, kind: str, command: list[str] | None = None, **options: Any) -> Any:
        """A running container; ``options`` are those of the Docker SDK."""
        try:
            self.engine.images.get(IMAGES[kind])
        except docker.errors.ImageNotFound:
            lacking(f"image {IMAGES[kind]} is not built", "start the lab once with: ./run lab up", provided=True)
        self.made.append(self.engine.containers.create(IMAGES[kind], command, **options))
        self.made[-1].start()
        self.made[-1].reload()
        return self.made[-1]

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was started."""
        for container in self.made:
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True, v=True)
        self.engine.close()


def context(kind: str, container: Any, **spec: Any) -> Context:
    """A source's context for a container on this machine."""
    options = {"sample_s": spec.pop("sample_s", 0)}
    resources = {"pg_snapshot.sql": (Path(postgresql.__file__).parent / "pg_snapshot.sql").read_text(encoding="utf-8")}
    service = Service("it", kind, {"container": container.name, **spec})
    return Context(Machine({"it": service}, DockerClient(), options, resources=resources), service, 12.0)


def eventually(look: Callable[[], Any]) -> Any:
    """What ``look`` returns as soon as it is true; a server needs a moment to start."""
    end = time.monotonic() + STARTS_WITHIN_S
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"not within {STARTS_WITHIN_S:g} s"
        time.sleep(0.3)


def run_in(container: Any, *argv: str, user: str = "") -> str:
    """Output of a program in the container."""
    code, output = container.exec_run(list(argv), user=user)
    assert code == 0, output
    return str(output.decode())


def address(container: Any) -> str:
    """Where this machine reaches the container."""
    container.reload()
    return str(next(iter(container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"])


def ready_database(container: Any) -> None:
    """Return when the server takes sessions over TCP, which it does only after its tables are filled."""
    eventually(lambda: container.exec_run(["pg_isready", "--quiet", "--host=127.0.0.1"])[0] == 0)


def psql(container: Any, sql: str, database: str = "postgres") -> str:
    """Answer of the server to its superuser."""
    return run_in(container, "psql", "-XAtqU", "postgres", "-d", database, "-c", sql, user="postgres").strip()


def inventory(folder: Path, services: dict[str, dict[str, Any]]) -> Path:
    """An inventory of this machine with these services."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "incident_services": services}
    path = folder / "inventory.json"
    path.write_text(json.dumps({"all": {"hosts": {"here": here}}}), encoding="utf-8")
    return path


def triage_below(preparation: str, where: Path, state_dir: Path, memory: Path, closing: str = "") -> subprocess.CompletedProcess[str]:
    """Triage in a mount namespace of its own: a shell runs `preparation`, triage and `closing`; `preparation` may start it itself as ``"$@"``.

    What Ansible itself needs on a controller, a folder for temporary files, is `memory`.
    """
    _program, *arguments = command("triage", state_dir=state_dir, inventory=where)
    script = "\n".join(["set -e", preparation, "" if '"$@"' in preparation else '"$@"', closing])
    folders = {"ANSIBLE_HOME": str(memory), "ANSIBLE_LOCAL_TEMP": str(memory), "TMPDIR": str(memory)}
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", sys.executable, "-m", "ansible", "playbook", *arguments],
        env=environment(folders),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
