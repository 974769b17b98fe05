# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workspace: every process of one run finds the same folder, whatever its hosts are called."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import workspace
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace
from ansible_collections.sre.incident_response.tests.unit.plugins.child import run_python

ODD_NAMES = ["web1", "localhost,", "../../etc/passwd", ".", "ü/ä", "a b", "x" * 400, "con:1"]


@pytest.fixture(autouse=True)
def no_announcement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing announced before, and what a test announces is forgotten after it."""
    for name in (workspace.ENV_PATH, workspace.ENV_OWNER):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def evidence(host: str, **parts: object) -> dict[str, object]:
    return {"host": host, **parts}


def test_the_newest_evidence_of_every_host_is_found(tmp_path: Path) -> None:
    space = Workspace.create(tmp_path)
    for host in ODD_NAMES:
        space.write_evidence(evidence(host, round=1))
        space.write_evidence(evidence(host, round=2))
    assert space.hosts() == sorted(ODD_NAMES)
    assert {host: document["round"] for host, document in space.all_evidence()} == dict.fromkeys(ODD_NAMES, 2)
    assert space.evidence("elsewhere") is None
    inside = {path.resolve() for path in tmp_path.rglob("*")}
    assert all(path.is_relative_to(tmp_path.resolve()) for path in inside)


def test_evidence_is_addressed_by_its_content(tmp_path: Path) -> None:
    space = Workspace.create(tmp_path)
    digest = space.write_evidence(evidence("web1"))
    stored = space.path / "evidence/sha256" / digest[:2] / digest
    assert stored.is_file()
    assert (space.path / "evidence/hosts/web1.json").resolve() == stored.resolve()
    assert stored.stat().st_mode & 0o007 == 0
    assert space.write_evidence(evidence("web1")) == digest


def test_findings_by_role(tmp_path: Path) -> None:
    space = Workspace.create(tmp_path)
    space.write_findings("sre.incident_response.pg_lock_scan", {"findings": [1]})
    assert space.findings() == {"sre.incident_response.pg_lock_scan": {"findings": [1]}}


def test_latest_follows_the_newest_run(tmp_path: Path) -> None:
    Workspace.create(tmp_path)
    newest = Workspace.create(tmp_path)
    assert (tmp_path / "latest").resolve() == newest.path.resolve()
    assert newest.journal == newest.path / "segments" / f"{newest.run_id}.jsonl"


WORKER = textwrap.dedent("""
    import os
    from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace
    if {announce}:
        Workspace.create({state!r}, "RUN")
    children = []
    for _number in range(3):
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, str(Workspace.current({{"incident_state_dir": {state!r}}}).path).encode())
            os._exit(0)
        os.close(write)
        children.append(read)
    print(*[os.read(child, 9999).decode() for child in children], sep="\\n")
""")


@pytest.mark.parametrize("announce", [True, False], ids=["with the callback", "without it"])
def test_forked_workers_agree(tmp_path: Path, announce: bool) -> None:
    runs = [run_python(WORKER.format(announce=announce, state=str(tmp_path)), cwd=tmp_path) for _number in range(2)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    folders = [set(run.stdout.split()) for run in runs]
    assert [len(found) for found in folders] == [1, 1]
    assert (folders[0] == folders[1]) is announce
    assert (folders[0] == {str(tmp_path / "runs/RUN")}) is announce


def test_an_outer_run_is_not_taken_for_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A playbook that starts ansible-playbook hands its environment down."""
    monkeypatch.setenv(workspace.ENV_PATH, str(tmp_path / "outer"))
    monkeypatch.setenv(workspace.ENV_OWNER, "1")
    assert Workspace.current({"incident_state_dir": str(tmp_path / "inner")}).path.parent == tmp_path / "inner/runs"


def test_the_variable_is_rendered(tmp_path: Path) -> None:
    space = Workspace.current({"incident_state_dir": "{{ here }}"}, lambda text: str(text).replace("{{ here }}", str(tmp_path / "there")))
    assert space.path.parent == tmp_path / "there/runs"


def test_a_state_directory_that_can_not_be_written_costs_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(workspace.tempfile, "gettempdir", lambda: str(tmp_path))
    space = Workspace.create(tmp_path / "file/incidents")
    assert space.problem is not None
    assert str(tmp_path / "file/incidents") in space.problem
    assert "Set incident_state_dir to a folder that this user may write" in space.problem
    assert space.path.is_relative_to(tmp_path / f"sre-incident-{os.getuid()}")
    assert Workspace.current().problem == space.problem
    space.write_evidence(evidence("web1"))
    assert space.hosts() == ["web1"]


def test_a_full_disk_is_as_good_as_no_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full, roomy = tmp_path / "full", tmp_path / "roomy"
    full.mkdir()
    roomy.mkdir()
    real = os.statvfs

    def statvfs(path: str) -> Any:
        return SimpleNamespace(f_blocks=1000, f_bfree=3, f_bavail=3, f_frsize=4096) if str(path).startswith(str(full)) else real(path)

    monkeypatch.setattr(workspace.os, "statvfs", statvfs)
    monkeypatch.setattr(workspace.tempfile, "gettempdir", lambda: str(full))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(roomy))
    space = Workspace.create(full / "incidents")
    assert space.path.is_relative_to(roomy)
    assert "No space left on device" in str(space.problem)
    assert Workspace.current().path == space.path
    # Nowhere is room: a part of a report is better than none.
    monkeypatch.setattr(workspace, "ROOM", 2**60)
    space = Workspace.create(roomy / "incidents")
    assert space.path.is_relative_to(roomy / "incidents")
    assert "free some space" in str(space.problem)


def test_a_folder_that_somebody_prepared_in_tmp_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace.tempfile, "gettempdir", lambda: str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"sre-incident-{os.getuid()}").symlink_to(elsewhere)
    Workspace.create("/proc/nowhere")
    assert list(elsewhere.iterdir()) == []


def test_run_ids_sort_by_time() -> None:
    ids = [workspace._ulid(milliseconds, 7) for milliseconds in (1, 2**20, 2**40, 2**47)]
    assert ids == sorted(ids)
    assert {len(one) for one in ids} == {26}
    assert workspace.new_run_id() != workspace.new_run_id()
    assert workspace.derived_run_id(os.getpid()) == workspace.derived_run_id(os.getpid())
