# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mistake costs one clear sentence: object, value, next step. No traceback, and everything else is still reported."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.tests.lacking import lacking

pytestmark = pytest.mark.integration

NOBODY = 65534
EVERYTHING = {"nginx", "fastapi", "postgresql", "redis", "external"}


def sentences_with(run: Any, *words: str) -> list[str]:
    """Lines of the output that contain all the words."""
    # A terminal's width may break a sentence; ansible indents what follows.
    lines = [line.strip() for line in run.output.splitlines()]
    return [line for line in lines if all(word in line for word in words)]


def assert_reported_without(run: Any, *missing_kinds: str) -> None:
    """No traceback, exit code 0, and every service but those of the mistake was really assessed."""
    assert "Traceback" not in run.output
    assert run.rc == 0, run.output
    assessed = {finding["kind"] for finding in run.report["findings"] if finding["state"] in ("ok", "finding")}
    assert assessed >= EVERYTHING - set(missing_kinds)


def test_unknown_fault(playbook: Callable[..., Any]) -> None:
    """An unknown fault fails with the list of the known ones."""
    run = playbook("drill", "-e", "drill_fault=P99")
    assert run.rc == 2
    assert "Traceback" not in run.output
    sentence = " ".join(sentences_with(run, "P99"))
    assert "P03_row_lock_idle_blocker" in sentence
    assert "P01_backend_killed" in sentence


def test_misspelt_kind(triage: Callable[..., Any], inventory_with: Callable[..., Path]) -> None:
    """A kind that does not exist is named with its service and the kinds there are."""
    run = triage(inventory=inventory_with({"redis": {"kind": "reddis"}}))
    assert_reported_without(run, "redis")
    assert sentences_with(run, "reddis", "postgresql", "redis"), run.output


def test_unknown_key(triage: Callable[..., Any], inventory_with: Callable[..., Path]) -> None:
    """A key that does not exist is named with its service."""
    run = triage(inventory=inventory_with({"redis": {"contaner": "app-redis"}}))
    assert_reported_without(run, "redis")
    assert sentences_with(run, "contaner", "redis"), run.output


def test_missing_container(triage: Callable[..., Any], inventory_with: Callable[..., Path]) -> None:
    """A container that does not exist is a critical finding of its service, by its name."""
    run = triage(inventory=inventory_with({"redis": {"container": "app-nowhere"}}))
    assert_reported_without(run, "redis")
    missing = [finding for finding in run.findings() if finding["service"] == "redis" and finding["severity"] == "critical"]
    assert any("app-nowhere" in finding["summary"] for finding in missing), missing


def test_unreachable_machine(triage: Callable[..., Any], inventory_with: Callable[..., Path]) -> None:
    """A machine that does not answer is a finding; the others are triaged, and the report appears."""
    elsewhere = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}
    run = triage(inventory=inventory_with(hosts={"elsewhere": elsewhere}))
    assert_reported_without(run)
    assert any("elsewhere" in str(entry) for entry in run.report["run"]["not_assessed"])
    assert [finding for finding in run.report["findings"] if finding["host"] == "elsewhere" and finding["state"] != "ok"]


def test_wrong_database_password(triage: Callable[..., Any], inventory_with: Callable[..., Path], container: Callable[[str], Any]) -> None:
    """A refused login names the user; nothing else suffers, and the password is written nowhere."""
    networks = container("app-db").attrs["NetworkSettings"]["Networks"]
    address = next(iter(networks.values()))["IPAddress"]
    login = {"container": None, "host": address, "port": 5432, "login_user": "app", "login_password": "surely-not-this-one"}
    run = triage(inventory=inventory_with({"db": login}))
    assert_reported_without(run, "postgresql")
    refused = [finding for finding in run.report["findings"] if finding["service"] == "db" and finding["state"] != "ok"]
    assert any("password" in f"{finding['summary']} {finding['reason']}" for finding in refused), refused
    written = [path for path in run.state_dir.rglob("*") if path.is_file() and not path.is_symlink()]
    assert written
    assert not [path for path in written if "surely-not-this-one" in path.read_text(encoding="utf-8", errors="replace")]


def test_no_docker_permission(tmp_path: Path) -> None:
    """A user who may not talk to the Docker engine is told so; what needs no engine is assessed."""
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        lacking("only root with setpriv can become a user without Docker permission", "run the tests as root, with util-linux installed")
    if subprocess.run([*drop, sys.executable, "-c", ""], check=False).returncode != 0:
        lacking(f"{sys.executable} can't be run by other users", "keep the project in a folder that they may enter")
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    project = Path(__file__).resolve().parents[2]
    state_dir = home / "incidents"
    line = [*drop, "ansible-playbook", "sre.incident_response.triage", "-i", str(project / "inventories/lab"), "-e", f"incident_state_dir={state_dir}"]
    lab = {name: value for name, value in os.environ.items() if name.startswith("LAB_")}
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(home), "ANSIBLE_NOCOLOR": "1", "LANG": "C.UTF-8", **lab}
    done = subprocess.run(line, env=environment, cwd=home, capture_output=True, text=True, timeout=180, check=False)
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    assert done.returncode == 0, output
    assert re.search(r"(?i)permission", output), output
    assert "docker" in output.lower()
    assert (state_dir / "latest/report.json").is_file()


def test_unwritable_state_dir(triage: Callable[..., Any]) -> None:
    """A state directory that can't be written is named; the report goes to another place, which is printed."""
    run = triage(state_dir=Path("/proc/incidents"))
    assert "Traceback" not in run.output
    assert run.rc == 0, run.output
    assert sentences_with(run, "/proc/incidents", "incident_state_dir"), run.output
    printed = re.findall(r"(/\S+/report\.(?:html|md|json))", run.output)
    assert printed, run.output
    assert Path(printed[-1]).is_file()
