# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four investigations on the real lab: tables on the terminal and in the reports, alone, limited, discovered, and into an incident."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.integration

TABLES = {
    "application": {"Endpoints", "Requests by route", "Errors by signature", "Processes", "Connections"},
    "database": {"Server", "Connections by client", "Sessions", "Statements that cost most", "Tables", "Indexes"},
    "redis": {"Server", "Keys by prefix", "Largest keys", "Commands", "Slow log", "Clients"},
    "network": {"The way to each endpoint", "Certificates", "Names", "Containers", "Connections", "File systems"},
}


def tables_of(run: Any) -> dict[str, list[dict[str, Any]]]:
    """The tables of the report by title."""
    found: dict[str, list[dict[str, Any]]] = {}
    for investigation in run.report["investigations"]:
        for table in investigation["tables"]:
            found.setdefault(table["title"], []).append(table)
    return found


@pytest.mark.parametrize("topic", TABLES)
def test_each_topic_shows_its_tables(playbook: Callable[..., Any], topic: str) -> None:
    """With real content, and the same in all three reports."""
    run = playbook(f"investigate_{topic}")
    assert run.rc == 0, run.output
    assert "Traceback" not in run.output
    found = tables_of(run)
    assert TABLES[topic] <= set(found)
    assert not [table for tables in found.values() for table in tables if table["reason"]]
    folder = run.state_dir / "latest"
    for name in TABLES[topic]:
        assert name in run.output
        assert name in (folder / "report.html").read_text(encoding="utf-8")
        assert name in (folder / "report.md").read_text(encoding="utf-8")
    assert all(counts["changed"] == 0 for counts in run.recap.values())


def test_the_tables_have_what_the_lab_has(playbook: Callable[..., Any]) -> None:
    """Spot checks against what everybody knows about the lab."""
    found = tables_of(playbook("investigate_database"))
    assert any("orders" in row[0] for row in found["Tables"][0]["rows"])
    assert any("orders" in row[-1] for row in found["Statements that cost most"][0]["rows"])
    found = tables_of(playbook("investigate_redis"))
    assert {row[0] for row in found["Keys by prefix"][0]["rows"]} & {"cart:", "cache:"}
    found = tables_of(playbook("investigate_application"))
    backend = next(table for table in found["Processes"] if table["service"] == "backend")
    assert any("gunicorn" in row[-1] for row in backend["rows"])
    assert any(row[0].startswith("/api/orders") for table in found["Requests by route"] for row in table["rows"])


@pytest.mark.parametrize("topic", TABLES)
def test_a_machine_without_such_a_service(playbook: Callable[..., Any], tmp_path: Path, topic: str) -> None:
    """Exit code 0, and one sentence that says so."""
    inventory = tmp_path / "empty.yml"
    other = {"cache": {"kind": "redis", "host": "127.0.0.1", "port": 1}} if topic != "redis" else {"db": {"kind": "postgresql", "host": "127.0.0.1", "port": 1}}
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "incident_services": {} if topic == "network" else other}
    if topic == "network":
        here["incident_services"] = {"cache": {"kind": "nonsense"}}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"web1": here}}}), encoding="utf-8")
    run = playbook(f"investigate_{topic}", "--limit", "web1", inventory=inventory)
    assert run.rc == 0, run.output
    assert "there is nothing to look at" in " ".join(run.output.split())


def test_discovered_services_can_be_investigated(playbook: Callable[..., Any], tmp_path: Path) -> None:
    """Without a word in the inventory."""
    inventory = tmp_path / "bare.yml"
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"web1": here}}}), encoding="utf-8")
    run = playbook("investigate_redis", inventory=inventory)
    assert run.rc == 0, run.output
    assert "Keys by prefix" in tables_of(run)


def test_an_investigation_becomes_part_of_the_incident(triage: Callable[..., Any], playbook: Callable[..., Any]) -> None:
    """The report of the triage then has its tables, and is the one that is named last."""
    first = triage()
    folder = (first.state_dir / "latest").resolve()
    run = playbook("investigate_redis", "-e", f"incident_id={folder.name}", state_dir=first.state_dir)
    assert run.rc == 0, run.output
    assert run.output.strip().splitlines()[-1] == str(folder / "report.html")
    assert "Keys by prefix" in (folder / "report.html").read_text(encoding="utf-8")
    assert len(list((folder / "segments").glob("*.jsonl"))) == 2
    wrong = playbook("investigate_redis", "-e", "incident_id=nothing", state_dir=first.state_dir)
    assert wrong.rc == 0, wrong.output
    assert "incident_id is nothing, but Run 'nothing' is not in" in wrong.output
