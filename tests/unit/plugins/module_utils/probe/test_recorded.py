# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded tree stands in for the machine itself, and only for that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import runner

# The healthy machine that drills change.
HOST = Path(__file__).resolve().parents[5] / "roles" / "drill" / "files" / "host"


def collected(root: Path | str, **request: Any) -> dict[str, Any]:
    """The evidence of a machine without services that is read from a tree."""
    options = {"sample_s": 0.05, "budget_s": 5}
    return runner.collect({"services": {}, "sources": ["host", "disk", "changes"], "options": options, "host_root": str(root), **request})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(HOST, tmp_path / "host"))


def test_the_machine_is_read_from_the_tree_and_the_report_says_so() -> None:
    document = collected(HOST)
    host, disk = document["machine"]["host"]["data"], document["machine"]["disk"]["data"]
    assert (host["hostname"], host["cores"], host["psi"]["io_full_avg60"], host["conntrack"]["max"]) == ("shop1", 2, 0.18, 262144)
    assert {mount["mount"]: mount["used_pct"] for mount in disk["mounts"]} == {"/": 43.8, "/srv": 30.0, "/var/log": 36.3, "/var/lib/docker": 39.0}
    assert document["machine"]["disk"]["recorded"]
    assert any(str(HOST) in sentence for sentence in document["assumptions"])


def test_counters_are_compared_with_what_lies_below_later() -> None:
    host = collected(HOST)["machine"]["host"]["data"]
    assert host["cpu"] == {"util_pct": 16.0, "iowait_pct": 0.0, "steal_pct": 0.0}
    assert {entry["comm"] for entry in host["top"] if entry["cpu_pct"]} == {"gunicorn"}


def test_other_sources_look_at_the_real_machine() -> None:
    real, recorded = collected(""), collected(HOST)
    changes = [[change["time"] for change in document["machine"]["changes"]["data"]["recent"]] for document in (real, recorded)]
    assert changes[0] == changes[1]
    assert recorded["machine"]["host"]["data"]["boot_time"] != real["machine"]["host"]["data"]["boot_time"]


@pytest.mark.parametrize("offset_s", [142, -95.5])
def test_a_recorded_clock_is_ahead_or_behind(tree: Path, offset_s: float) -> None:
    index = json.loads((tree / "recorded.json").read_text())
    (tree / "recorded.json").write_text(json.dumps({**index, "clock_offset_s": offset_s}))
    difference = collected(tree)["clock"]["host_epoch"] - collected("")["clock"]["host_epoch"]
    assert abs(difference - offset_s) < 5


@pytest.mark.parametrize("content", [None, "no JSON", "[]", '{"clock_offset_s": "soon"}'])
def test_a_tree_that_is_none_is_a_reason_and_no_machine(tree: Path, content: str | None) -> None:
    index = tree / "recorded.json"
    index.unlink() if content is None else index.write_text(content)
    document = collected(tree)
    for name in ("host", "disk"):
        assert document["machine"][name]["kind"] == "absent"
        assert "correct incident_host_root" in document["machine"][name]["reason"]
    assert document["machine"]["changes"]["ok"]


def test_a_mount_without_recorded_sizes_is_not_measured_on_the_real_disk(tree: Path) -> None:
    (tree / "proc" / "mounts").write_text("/dev/vdz /tmp ext4 rw 0 0\n")
    (mount,) = collected(tree)["machine"]["disk"]["data"]["mounts"]
    assert (mount["total"], mount["mount"]) == (None, "/tmp")
    assert "recorded.json" in mount["error"]
