# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of all scenarios share: the fault of the scenario, the report of its triage, and the lab's containers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def scenario() -> str:
    """Name of the scenario that molecule verifies: the id of its fault in small letters, or ``mitigate_`` and a mitigation."""
    return os.environ["MOLECULE_SCENARIO_NAME"]


@pytest.fixture(scope="session")
def fault(scenario: str) -> dict[str, Any]:
    """What the drill role knows about the fault: `expect` is what triage has to find."""
    known = {path.stem.lower(): path for path in (PROJECT / "roles/drill/vars/faults").glob("*.yml")}
    mitigated = yaml.safe_load((PROJECT / "molecule/shared/vars/mitigations.yml").read_text(encoding="utf-8"))
    return yaml.safe_load(known[mitigated.get(scenario, scenario).lower()].read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def report(scenario: str) -> dict[str, Any]:
    """The newest report.json that triage wrote in this scenario."""
    path = PROJECT / ".cache/molecule" / scenario / "incidents/latest/report.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def container() -> Callable[[str], Any]:
    """Function that returns a testinfra host for a container of the lab by its plain name, such as `app-db`."""
    prefix = os.environ.get("LAB_PREFIX", "")
    return lambda name: testinfra.get_host(f"docker://{prefix}{name}")


@pytest.fixture(scope="session")
def sql(container: Callable[[str], Any]) -> Callable[[str], str]:
    """Function that asks the lab's database, as its superuser over the local socket, and returns the bare answer."""
    return lambda query: container("app-db").check_output("psql -XAtq -U postgres -d app_prod -c %s", query)


@pytest.fixture(scope="session")
def machine() -> Any:
    """The machine that carries the lab."""
    return testinfra.get_host("local://")
