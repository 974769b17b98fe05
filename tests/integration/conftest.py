# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's playbooks as a user would, against the real lab, and reads what they left behind."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from ansible_collections.sre.incident_response.tests.integration.playbooks import LAB_INVENTORY, PROJECT, STREAMS, Run, command, environment, run_playbook
from ansible_collections.sre.incident_response.tests.integration.servers import Servers


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker that selects the tests which need the lab."""
    config.addinivalue_line("markers", "integration: needs the running lab and its Docker engine")


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state directory of this test's own."""
    return tmp_path / "incidents"


@pytest.fixture
def playbook(state_dir: Path) -> Callable[..., Run]:
    """Function that runs one of the collection's playbooks with more arguments, by default on the lab."""
    return lambda name, *arguments, **options: run_playbook(name, *arguments, state_dir=options.pop("state_dir", state_dir), **options)


@pytest.fixture
def triage(playbook: Callable[..., Run]) -> Callable[..., Run]:
    """Function that runs triage with more arguments, by default on the lab."""
    return lambda *arguments, **options: playbook("triage", *arguments, **options)


@pytest.fixture
def start_triage(state_dir: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Function that starts triage and returns at once; what still runs at the end of the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, inventory: str | Path = LAB_INVENTORY) -> subprocess.Popen[str]:
        line = command("triage", *arguments, state_dir=state_dir, inventory=inventory)
        started.append(subprocess.Popen(line, env=environment(), cwd=PROJECT, **STREAMS))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Any]]:
    """Function that starts a container of a test's own from one of the lab's images; it is removed at the end of the module."""
    servers = Servers()
    yield servers.start
    servers.close()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder that is on no disk."""
    folder = Path(tempfile.mkdtemp(prefix="sre-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    """The Docker engine that carries the lab."""
    return docker.from_env()


@pytest.fixture(scope="session")
def container(engine: docker.DockerClient) -> Callable[[str], Any]:
    """Function that returns a container of the lab as it is now, by its plain name such as `app-db`; LAB_PREFIX chooses the lab."""
    prefix = os.environ.get("LAB_PREFIX", "")
    return lambda name: engine.containers.get(f"{prefix}{name}")


@pytest.fixture(scope="session")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], None]:
    """Function that brings a fault into a state (`present` or `absent`) and returns when the lab shows it."""
    state_dir = tmp_path_factory.mktemp("drill") / "incidents"

    def play(name: str, state: str) -> None:
        done = run_playbook("drill", "-e", f"drill_fault={name}", "-e", f"drill_state={state}", state_dir=state_dir)
        assert done.rc == 0, done.output

    return play


@pytest.fixture
def fault(drill: Callable[[str, str], None]) -> Iterator[Callable[[str], None]]:
    """Function that injects a fault into the lab; the fault is taken back after the test."""
    injected: list[str] = []

    def inject(name: str) -> None:
        injected.append(name)
        drill(name, "present")

    yield inject
    for name in injected:
        drill(name, "absent")


@pytest.fixture(scope="module")
def healthy_lab(drill: Callable[[str, str], None]) -> None:
    """A lab without a fault, and without the traces that an earlier one left in the logs."""
    drill("H01", "present")


@pytest.fixture(scope="session")
def lab_variables() -> dict[str, Any]:
    """The variables file of the lab's inventory that declares `incident_services`, with its templates as they are."""
    for path in sorted(LAB_INVENTORY.glob("*_vars/**/*.yml")):
        variables = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "incident_services" in variables:
            return variables
    pytest.fail(f"{LAB_INVENTORY} declares no incident_services")


@pytest.fixture
def inventory_with(tmp_path: Path, lab_variables: dict[str, Any]) -> Callable[..., Path]:
    """Function that writes the lab's inventory with keys of services changed, or taken away with None, or with more hosts."""

    def write(changes: dict[str, dict[str, Any]] | None = None, hosts: dict[str, dict[str, Any]] | None = None) -> Path:
        variables = copy.deepcopy(lab_variables)
        for name, keys in (changes or {}).items():
            service = {**variables["incident_services"].get(name, {}), **keys}
            variables["incident_services"][name] = {key: value for key, value in service.items() if value is not None}
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **variables}
        path = tmp_path / "inventory.yml"
        path.write_text(yaml.safe_dump({"all": {"hosts": {"lab": here, **(hosts or {})}}}), encoding="utf-8")
        return path

    return write
