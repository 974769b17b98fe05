# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`./run` is met before anything else: what is missing or misspelt costs one sentence with a next step, and its sums are right."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.sre.incident_response.tests.contract import project
from ansible_collections.sre.incident_response.tools.front import checks, engine, lab, python_env, steps
from ansible_collections.sre.incident_response.tools.front.console import StopError
from ansible_collections.sre.incident_response.tools.front.steps import Step, Tally, run


def front(*arguments: str, path: str | None = None, cwd: Path = project.ROOT) -> subprocess.CompletedProcess[str]:
    """Run the entry point by its absolute path, without a terminal, without agreeing to any installation."""
    env = {name: value for name, value in os.environ.items() if name != "CI"} | ({"PATH": path} if path else {})
    return subprocess.run([project.ROOT / "run", *arguments], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder with the few commands that any POSIX machine has, and no Python."""
    for command in ("sh", "dirname", "id", "cat"):
        (tmp_path / command).symlink_to(str(shutil.which(command)))
    return tmp_path


def test_help_names_every_step(tmp_path: Path) -> None:
    """Steps can be run alone only by those who learn their names; help works from any directory."""
    done = front("help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for step in ("lint", "unit", "contract", "sanity", "units", "artifact", "integration", "molecule", "drills"):
        assert step in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["dmeo"], "dmeo"),
        (["test", "lints"], "lints"),
        (["lab", "start"], "start"),
        (["demo", "--fast"], "--fast"),
        (["lab", "up", "down"], "up down"),
        (["bench", "sped"], "sped"),
    ],
)
def test_misspelt_word_costs_one_sentence(arguments: list[str], named: str) -> None:
    """The sentence names the word and where the right ones stand; nothing is started."""
    done = front(*arguments)
    assert done.returncode != 0
    assert named in done.stderr
    assert "./run help" in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_missing_python_costs_one_sentence(bare_path: Path) -> None:
    """Without Python there is no traceback to fear, but a shell's 'not found' would not help either."""
    done = front("help", path=str(bare_path))
    assert done.returncode == 1
    assert "no python3" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_old_python_costs_one_sentence(bare_path: Path) -> None:
    """A Python that is too old is named with its version."""
    old = bare_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"; [ "$1" = --version ]\n', encoding="utf-8")
    old.chmod(0o755)
    done = front("help", path=str(bare_path))
    assert done.returncode == 1
    assert "found: Python 3.9.2" in done.stderr


def test_requirements_are_pinned() -> None:
    """Both groups install the same versions everywhere, and the tests' group contains the lab's."""
    lines = python_env.requirements("dev")
    assert set(python_env.requirements("lab")) < set(lines)
    loose = [line for line in lines if "==" not in line.split(";")[0]]
    assert not loose, f"pyproject.toml does not pin {', '.join(loose)}"


def test_tally_reads_like_a_test_runner() -> None:
    """The closing line is read by machines."""
    tally = Tally(passed=3)
    tally.add(Tally(failed=1, failures=["lint ruff"]))
    assert str(tally) == "3 passed, 1 failed"
    tally.add(Tally(skipped=2))
    assert str(tally) == "3 passed, 1 failed, 2 skipped"


def test_step_without_own_tests_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A linter is one test; a failed one shows the end of what it said, without what could steer the terminal."""
    assert run(Step("contract example good", (sys.executable, "-c", "print('fine')"))) == Tally(passed=1)
    code = "print('the reason \\x1b[31m'); raise SystemExit(3)"
    assert run(Step("contract example bad", (sys.executable, "-c", code))) == Tally(failed=1, failures=["contract example bad"])
    said = capsys.readouterr().out
    assert "exit code 3" in said
    assert "the reason [31m" in said


def test_step_with_own_tests_counts_them(tmp_path: Path) -> None:
    """pytest says in a file how many tests passed; without the file the step failed."""
    junit = tmp_path / "result.xml"
    report = '<testsuites><testsuite tests="7" failures="1" errors="1" skipped="2"/></testsuites>'
    write = ("sh", "-c", f"echo '{report}' > '{junit}'; exit 1")
    assert run(Step("contract example junit", write, junit=junit)) == Tally(passed=3, failed=2, skipped=2, failures=["contract example junit"])
    assert run(Step("contract example silent", ("true",), junit=junit)).failed == 1


def test_command_that_is_missing_fails_its_step() -> None:
    """A tool that is not installed must not look like one that found nothing."""
    assert run(Step("contract example missing", ("no-such-command-here",))).failed == 1


def test_dead_engine_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of a process that is no engine is removed; one of a running engine, or of nothing, stays."""
    foreign, own, gone = tmp_path / "foreign.pid", tmp_path / "own.pid", tmp_path / "gone.pid"
    foreign.write_text(str(os.getpid()), encoding="ascii")
    own.write_text(str(os.getpid()), encoding="ascii")
    name = Path(f"/proc/{os.getpid()}/comm").read_text(encoding="utf-8").strip()
    monkeypatch.setattr(engine, "PID_FILES", {"dockerd": foreign, name: own, "containerd": gone})
    engine._forget_dead_engine()
    assert not foreign.exists()
    assert own.exists()


def test_closed_engine_costs_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who may not use the engine learns how to be allowed, and nothing is installed or started."""
    monkeypatch.setattr(engine, "_client", lambda: "docker")
    monkeypatch.setattr(engine, "_problem", lambda: "permission denied while trying to connect")
    with pytest.raises(StopError, match="usermod -aG docker"):
        engine.ensure(yes=False)


def test_addresses_of_the_lab() -> None:
    """What docker prints about ports becomes something that can be clicked."""
    ports = "127.0.0.1:8080->80/tcp, 127.0.0.1:8443->443/tcp, 9000/tcp"
    assert lab.addresses(ports) == ["http://127.0.0.1:8080/", "https://127.0.0.1:8443/"]


def test_every_shell_script_is_checked() -> None:
    """A script without the usual ending is found by its first line."""
    scripts = {project.relative(path) for path in project.committed_files() if (project.text_of(path) or "").startswith(("#!/bin/sh", "#!/usr/bin/env bash"))}
    assert scripts <= set(checks.shell_scripts()), f"shellcheck does not see {', '.join(sorted(scripts - set(checks.shell_scripts())))}"


def test_step_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One hanging step must not keep the others from being run."""
    monkeypatch.setattr(steps, "LIMIT_S", 0.3)
    monkeypatch.setattr(steps, "HEARTBEAT_S", 0.1)
    assert run(Step("contract example hanging", ("sleep", "60"))).failed == 1
    assert "because it hangs" in capsys.readouterr().out
