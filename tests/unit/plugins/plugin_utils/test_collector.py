# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to the machine and back, with an action plugin that only plays one."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.sre.incident_response.plugins.plugin_utils import collector, evidence, services, workspace
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import Collector

SERVICES = {"db": {"kind": "redis", "host": "127.0.0.1", "port": 1, "login_password": "hunter2"}}


@pytest.fixture(autouse=True)
def no_announcement(monkeypatch: pytest.MonkeyPatch) -> None:
    """No callback of another test has announced its workspace."""
    monkeypatch.delenv(workspace.ENV_PATH, raising=False)


class FakeAction:
    """Runs the low level command in a shell of this machine, or answers what a test wants."""

    def __init__(self, transport: str = "local", answer: Any = None, packed: Any = None, **connection: Any) -> None:
        self._connection = SimpleNamespace(**{"transport": transport, "has_pipelining": True, "become": None, **connection})
        self._task = SimpleNamespace(delegate_to=None)
        self._templar = SimpleNamespace(template=lambda value: value)
        self.answer = answer
        self.packed = packed
        self.commands: list[str] = []
        self.packed_arguments: list[dict[str, Any]] = []

    def _low_level_execute_command(self, command: str, in_data: bytes = b"", sudoable: bool = False) -> dict[str, Any]:
        self.commands.append(command)
        if isinstance(self.answer, BaseException):
            raise self.answer
        if callable(self.answer):
            return dict(self.answer())
        if self.answer is not None:
            return dict(self.answer)
        done = subprocess.run(["/bin/sh", "-c", command], input=in_data, capture_output=True, check=False)
        return {"rc": done.returncode, "stdout": done.stdout.decode(), "stderr": done.stderr.decode()}

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self.packed_arguments.append(module_args)
        return dict(self.packed)


def collector_of(action: FakeAction, tmp_path: Path, **variables: Any) -> Collector:
    return Collector(action, {"inventory_hostname": "web1", "incident_state_dir": str(tmp_path), **variables})


def ask(action: FakeAction, tmp_path: Path, **variables: Any) -> dict[str, Any]:
    """One small question."""
    return collector_of(action, tmp_path, **variables).ask(services.check(SERVICES), ["host"], {"sample_s": 0})


def test_a_real_probe_over_a_shell(tmp_path: Path) -> None:
    action = FakeAction()
    document = ask(action, tmp_path)
    assert (document["host"], document["reachable"], document["asked"]) == ("web1", True, ["host"])
    assert document["machine"]["host"]["ok"]
    assert abs(document["clock"]["offset_s"]) < 5
    assert shlex.split(action.commands[0]) == [sys.executable, "-I", "-S", "-"]
    assert "hunter2" not in str(document) + action.commands[0]


def test_a_python_is_found_on_a_remote_machine(tmp_path: Path) -> None:
    """The shell line is run for real; the first Python of PATH is a version manager's shim without a Python."""
    shim = tmp_path / "bin/python3"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'no such version' >&2\nexit 127\n")
    shim.chmod(0o755)
    assert collector_of(FakeAction("ssh"), tmp_path).interpreter() is None
    command = collector.starting(None)
    environment = {"PATH": f"{shim.parent}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", command], input=b"print('found')", env=environment, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"found\n", b"")
    nothing = subprocess.run(["/bin/sh", "-c", command.replace("/usr/bin/python3", "/nowhere")], input=b"", env={"PATH": str(shim.parent)}, check=False)
    assert nothing.returncode == collector.NO_PYTHON


@pytest.mark.parametrize(
    ("variables", "transport", "words"),
    [
        ({"ansible_python_interpreter": "/opt/py/bin/python3"}, "ssh", ["/opt/py/bin/python3"]),
        ({"ansible_python_interpreter": "/usr/bin/env python3"}, "ssh", ["/usr/bin/env", "python3"]),
        ({"ansible_python_interpreter": "auto_silent"}, "local", [sys.executable]),
        ({"ansible_facts": {"discovered_interpreter_python": "/usr/bin/python3.11"}}, "ssh", ["/usr/bin/python3.11"]),
    ],
)
def test_which_python(tmp_path: Path, variables: dict[str, Any], transport: str, words: list[str]) -> None:
    assert collector_of(FakeAction(transport), tmp_path, **variables).interpreter() == words
    assert shlex.split(collector.starting(words)) == [*words, "-I", "-S", "-"]


def test_own_python_in_a_folder_with_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/my shop/.venv/bin/python")
    found = collector_of(FakeAction("local"), tmp_path, ansible_python_interpreter="/my shop/.venv/bin/python").interpreter()
    assert found == ["/my shop/.venv/bin/python"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (AnsibleConnectionFailure("Failed to connect to the host via ssh: port 22: Connection refused"), "port 22: Connection refused (connection ssh)"),
        ({"rc": 127, "stdout": "", "stderr": ""}, "no Python 3.8 or newer was found there; install python3 or set ansible_python_interpreter"),
        ({"rc": 3, "stdout": "", "stderr": "the probe needs Python 3.8 or newer, this is 3.6.8\n"}, "this is 3.6.8"),
        ({"rc": 1, "stdout": "motd", "stderr": "Traceback (most recent call last):\n  x\nMemoryError\n"}, "printed no evidence (exit code 1): MemoryError"),
        ({"rc": 1, "stdout": "", "stderr": "Timeout (0:00:25)!\nThread 0x1 (most recent call first):\n  File x\n"}, "the probe was stuck in a computation"),
        ({"rc": 0, "stdout": "", "stderr": ""}, "nothing else printed); check ansible_python_interpreter"),
        ({"rc": 1, "stdout": "", "stderr": "\x1b[31mbroken\x1b[0m\u202e"}, "(exit code 1): broken"),
    ],
)
def test_a_machine_that_gives_no_evidence_is_evidence(tmp_path: Path, answer: Any, words: str) -> None:
    document = ask(FakeAction("ssh", answer), tmp_path)
    assert document["reachable"] is False
    assert words in document["reason"]
    assert "\n" not in document["reason"]
    assert list(document["services"]) == ["db"]


def test_a_machine_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "WAY_S", 0.2)
    action = FakeAction("ssh", lambda: time.sleep(30) or {})
    started = time.monotonic()
    document = collector_of(action, tmp_path).ask(services.check({}), ["host"], {"budget_s": 0.1})
    assert time.monotonic() - started < 5
    assert (document["reachable"], document["reason"].partition(";")[0]) == (False, "no answer within 0.3 s")


EVIDENCE = {"schema": evidence.SCHEMA, "collected_at": "2026-11-23T10:00:00.000000Z", "duration_s": 0.1, "clock": {}, "machine": {}, "services": {}}


@pytest.mark.parametrize("connection", [{"has_pipelining": False}, {"become": SimpleNamespace(pipelining=False)}])
def test_connections_without_standard_input_get_the_packed_module(tmp_path: Path, connection: dict[str, Any]) -> None:
    action = FakeAction("odd", packed={"evidence": EVIDENCE}, **connection)
    document = ask(action, tmp_path)
    assert document["reachable"] is True
    assert action.commands == []
    assert list(action.packed_arguments[0]) == ["request"]


def test_a_sudo_that_wants_a_terminal_gets_the_packed_module(tmp_path: Path) -> None:
    answer = {"rc": 1, "stdout": "", "stderr": "sudo: sorry, you must have a tty to run sudo"}
    action = FakeAction("ssh", answer, {"evidence": EVIDENCE}, become=SimpleNamespace(pipelining=True))
    assert ask(action, tmp_path)["reachable"] is True


def test_a_packed_module_that_fails(tmp_path: Path) -> None:
    action = FakeAction("odd", packed={"failed": True, "msg": "MODULE FAILURE", "module_stderr": "x\nNo space left on device\n"}, has_pipelining=False)
    document = ask(action, tmp_path)
    assert (document["reachable"], document["reason"]) == (False, "the packed probe gave no evidence: No space left on device")


def test_ensure_collects_only_what_is_missing(tmp_path: Path) -> None:
    action = FakeAction()
    variables = {"inventory_hostname": "web1", "incident_state_dir": str(tmp_path), "incident_services": SERVICES}
    first = collector.ensure(action, variables, ["disk"])
    assert (list(first["machine"]), len(action.commands)) == (["disk"], 1)
    again = collector.ensure(action, variables, ["disk"])
    assert (again, len(action.commands)) == (first, 1)
    both = collector.ensure(action, variables, ["disk", "host"])
    assert (set(both["machine"]), both["asked"], len(action.commands)) == ({"disk", "host"}, ["disk", "host"], 2)
    assert both["machine"]["disk"] == first["machine"]["disk"]


def test_ensure_tries_an_unreachable_machine_once(tmp_path: Path) -> None:
    action = FakeAction("ssh", AnsibleConnectionFailure("no route"))
    variables = {"inventory_hostname": "web1", "incident_state_dir": str(tmp_path), "incident_services": SERVICES}
    assert collector.ensure(action, variables, ["host"])["reachable"] is False
    assert collector.ensure(action, variables, ["disk"])["reachable"] is False
    assert len(action.commands) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sampel_s": 1}, "option 'sampel_s' of sre.incident_response.collect is unknown; allowed are log_window_s"),
        ({"sample_s": "soon"}, "option sample_s of sre.incident_response.collect is 'soon': it must be a number"),
        ({"sample_s": -1}, "must be a number, 0 or more"),
        ({"sample_s": float("nan")}, "must be a number, 0 or more"),
        ("fast", "must be a dictionary"),
    ],
)
def test_a_mistake_in_the_task_fails_it(given: Any, words: str) -> None:
    with pytest.raises(AnsibleActionFail, match=words):
        collector.checked_options(given)


def test_options_become_numbers() -> None:
    assert collector.checked_options({"log_window_s": "600", "sample_s": "0.5", "budget_s": 30}) == {"log_window_s": 600, "sample_s": 0.5, "budget_s": 30.0}
    assert collector.checked_options(None) == {}


def test_sources_of_the_task() -> None:
    assert collector.checked_sources(None) is None
    assert collector.checked_sources(["host", "redis"]) == ["host", "redis"]
    with pytest.raises(AnsibleActionFail, match=r"source 'hots' of sre\.incident_response\.collect is unknown; allowed are container"):
        collector.checked_sources(["hots"])
