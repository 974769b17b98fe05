"""A harness: an inline playbook runs in a real ansible-playbook, and the test looks at the journal and the output.

The collection under test is the one of this checkout, with actions in place of collect, assess and diagnose that return what the
playbook tells them to. So every situation of a run can be produced without a machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINKED = (
    "galaxy.yml",
    "meta",
    "plugins/callback",
    "plugins/doc_fragments",
    "plugins/plugin_utils",
    "plugins/module_utils",
    "plugins/action/event.py",
    "plugins/action/report.py",
    "plugins/modules/event.py",
    "plugins/modules/report.py",
    "playbooks/callback_plugins",
    "playbooks/report.yml",
)
FAKE_ACTION = """
from __future__ import annotations
import time
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        time.sleep(self._task.args.get("sleep", 0))
        result.update(self._task.args.get("returns", {}))
        return result
"""


@dataclass
class Result:
    """A finished run."""

    code: int
    stdout: str
    stderr: str
    folder: Path | None

    @property
    def events(self) -> list[dict[str, Any]]:
        """The journal's lines, decoded; empty when the run kept none."""
        if self.folder is None:
            return []
        segments = sorted((self.folder / "segments").glob("*.jsonl"))
        return [json.loads(line) for segment in segments for line in segment.read_text().splitlines()]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events, in order."""
        return [event["type"].removeprefix("sre.incident_response.").removesuffix(".v1") for event in self.events]

    def data(self, kind: str) -> list[dict[str, Any]]:
        """The data of all events of one kind."""
        return [event["data"] for event, own in zip(self.events, self.kinds, strict=True) if own == kind]

    @property
    def report(self) -> dict[str, Any]:
        """report.json."""
        assert self.folder is not None, self.stdout + self.stderr
        return json.loads((self.folder / "report.json").read_text())

    @property
    def last_line(self) -> str:
        """The last line that was printed."""
        return self.stdout.rstrip("\n").rpartition("\n")[2]


class Harness:
    """Runs playbooks in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.collection = folder / "collections/ansible_collections/sre/incident_response"
        self.state = folder / "incidents"
        for name in LINKED:
            link = self.collection / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(ROOT / name)
        for name in ("collect", "assess", "diagnose"):
            (self.collection / f"plugins/action/{name}.py").write_text(FAKE_ACTION)
        (folder / "inventory").write_text("h1 ansible_connection=local\nh2 ansible_connection=local\n")

    def environment(self, **more: str) -> dict[str, str]:
        """Nothing of the caller's Ansible settings gets in; errors of a callback are fatal."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "SRE_", "INCIDENT_", "AWX_", "JOB_"))}
        return {
            **kept,
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_INVENTORY": str(self.folder / "inventory"),
            "ANSIBLE_GATHERING": "explicit",
            "ANSIBLE_NOCOWS": "1",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "_ANSIBLE_CALLBACK_DISPATCH_ERROR_BEHAVIOR": "error",
            **more,
        }

    def write(self, playbook: str, name: str = "triage.yml") -> Path:
        """Put a playbook next to the collection's own ones."""
        target = self.collection / "playbooks" / name
        target.write_text(textwrap.dedent(playbook))
        return target

    def start(self, playbook: Path | str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start ansible-playbook in a process group of its own."""
        command = [sys.executable, "-m", "ansible", "playbook", str(playbook), *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment(**environment), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )

    def finish(self, process: subprocess.Popen[str]) -> Result:
        """Wait for the end; a run that hangs fails the test."""
        try:
            stdout, stderr = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Result(process.returncode, stdout, stderr, self.newest())

    def run(self, playbook: str, *arguments: str, **environment: str) -> Result:
        """Run an inline playbook of the collection to its end."""
        return self.finish(self.start(self.write(playbook), *arguments, **environment))

    def newest(self) -> Path | None:
        """The folder of the newest run."""
        runs = sorted((self.state / "runs").glob("*")) if self.state.exists() else []
        return runs[-1] if runs else None

    def wait_for_event(self, kind: str) -> Path:
        """Wait until the run has recorded an event of that kind."""
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            folder = self.newest()
            if folder and any(f".{kind}.v1" in segment.read_text() for segment in (folder / "segments").glob("*.jsonl")):
                return folder
            time.sleep(0.05)
        raise AssertionError(f"no event {kind} was recorded")


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """A harness in a temporary folder."""
    return Harness(tmp_path)
