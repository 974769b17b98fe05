# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The joined program: it starts on old Pythons, from standard input, leaves nothing behind, and cannot be subverted by its request."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import evidence, probe_program
from ansible_collections.sre.incident_response.tests.lacking import lacking

TOKEN = "feedfacefeedface"
OPTIONS = {"sample_s": 0}


def python(version: str) -> str | None:
    """A Python of that version that really starts; a version manager's shim may not."""
    candidates = [shutil.which(f"python{version}"), *sorted(str(path) for path in Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def run(request: dict[str, Any], interpreter: str = sys.executable, **process: Any) -> subprocess.CompletedProcess[bytes]:
    program = probe_program.build({"token": TOKEN, "options": OPTIONS, "resources": probe_program.resources(), **request})
    return subprocess.run([interpreter, "-I", "-S", "-"], input=program, capture_output=True, timeout=60, check=False, **process)


def answer(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr.decode()
    return evidence.parse_answer(done.stdout.decode("ascii"), TOKEN)


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.12", "3.13"])
def test_runs_on_every_supported_python(version: str) -> None:
    interpreter = python(version)
    if interpreter is None:
        lacking(f"there is no Python {version}", "put one into the PATH")
    document = answer(run({"services": {}, "sources": ["host", "disk", "changes"]}, interpreter))
    assert {name: source["ok"] for name, source in document["machine"].items()} == {"host": True, "disk": True, "changes": True}
    assert document["machine"]["host"]["data"]["cores"] >= 1


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_an_older_python_is_refused_in_one_sentence(version: str) -> None:
    interpreter = python(version)
    if interpreter is None:
        lacking(f"there is no Python {version}", "put one into the PATH")
    program = probe_program.build({"token": TOKEN, "services": {}})
    done = subprocess.run([interpreter, "-"], input=program, capture_output=True, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stderr.decode().startswith(f"the probe needs Python 3.8 or newer, this is {version}.")


def test_in_place_it_is_the_same_program() -> None:
    request = {"token": TOKEN, "services": {}, "sources": ["host"], "options": OPTIONS}
    done = subprocess.run([sys.executable, "-I", "-S", "-"], input=probe_program.build(request, in_place=True), capture_output=True, timeout=60, check=False)
    assert answer(done)["machine"]["host"]["ok"]


def test_every_module_is_imported_under_its_usual_name() -> None:
    """Tracebacks and dataclasses name the same modules as when Ansible packs them."""
    program = probe_program.build({"token": TOKEN, "services": {}, "sources": ["host"]}).decode("ascii")
    program = program.replace("__import__(main)", "__import__(main); print([n for n in sys.modules if n.startswith('ansible_collections')]); sys.exit()")
    done = subprocess.run([sys.executable, "-I", "-S", "-"], input=program.encode(), capture_output=True, timeout=60, check=False)
    assert f"'{probe_program.PACKAGE}.runner'" in done.stdout.decode()
    assert f"'{probe_program.PACKAGE}.registry'" in done.stdout.decode()


def test_leaves_nothing_on_the_machine(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "TMPDIR": str(home), "PATH": os.environ["PATH"]}
    before = {path: path.stat().st_mtime_ns for path in probe_program.PROBE_FOLDER.iterdir()}
    answer(run({"services": {}, "sources": None}, env=environment, cwd=home))
    assert list(home.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in probe_program.PROBE_FOLDER.iterdir()} == before


HOSTILE = ["'''\nimport os\nos._exit(9)\n'''", "\\'); raise SystemExit(9) #", "\x00\u202e\ud800", "{{ 7 * 7 }}", "</sre-evidence-" + TOKEN + ">"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_request_is_data(text: str) -> None:
    services = {text: {"kind": "external", "url": f"http://127.0.0.1:1/{text}"}}
    document = answer(run({"services": services, "sources": ["host"]}))
    assert len(document["services"]) == 1
    assert document["machine"]["host"]["ok"]


def test_a_secret_is_only_on_standard_input(tmp_path: Path) -> None:
    """Neither the command line nor the answer shows it."""
    spy = tmp_path / "spy"
    spy.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/argv"\nexec "{sys.executable}" "$@"\n')
    spy.chmod(0o755)
    done = run({"services": {"r": {"kind": "redis", "host": "127.0.0.1", "port": 1, "login_password": "hunter2"}}, "sources": ["redis"]}, str(spy))
    answer(done)
    assert "hunter2" not in (tmp_path / "argv").read_text()
    assert b"hunter2" not in done.stdout + done.stderr


def test_a_hanging_thread_does_not_keep_the_process() -> None:
    """The answer is printed and the process gone although a source still waits."""
    program = probe_program.build({"token": TOKEN, "services": {}, "sources": ["host"], "options": {"budget_s": 0.5, "sample_s": 0}}).decode()
    hang = "import os, time; os.listdir = lambda path: time.sleep(60)\n"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-I", "-S", "-"], input=(hang + program).encode(), capture_output=True, timeout=60, check=False)
    assert time.monotonic() - started < 10
    assert answer(done)["machine"]["host"]["kind"] == "unfinished"


def test_an_endless_computation_does_not_live_on() -> None:
    """A regular expression that never ends keeps all other threads from running, the one that watches the budget too."""
    program = probe_program.build({"token": TOKEN, "services": {}, "sources": ["host"], "options": {"budget_s": 0.5, "sample_s": 0}}).decode()
    program = program.replace("LAST_RESORT_S = 5.0", "LAST_RESORT_S = 0.5")
    endless = "import os, re; os.listdir = lambda path: re.match('(a*)*$', 'a' * 64 + 'b')\n"
    done = subprocess.run([sys.executable, "-I", "-S", "-"], input=(endless + program).encode(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("Timeout (")


def test_resources_travel_with_the_request() -> None:
    assert "select" in probe_program.resources()["pg_snapshot.sql"].lower()
    assert json.dumps(probe_program.resources())
