# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of the machine make of source kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment

CHECKS = Path(__file__).parents[4] / "roles/host_check/files/checks.yml"
KINDS = ("io_error", "container_oom", "oom", "conntrack_full", "hang", "crash", "hardware")


def complaints(*lines: tuple[str, str]) -> dict[str, Any]:
    """The part ``log`` of the source with these lines (kind, text)."""
    counts = {kind: sum(kind == one for one, _text in lines) for kind in KINDS}
    told = [{"time": "2026-11-18T11:21:40.000000Z", "kind": kind, "text": text} for kind, text in lines]
    return {"readable": True, "reason": None, "window_s": 1800.0, "counts": counts, "lines": told}


def findings(data: dict[str, Any], tmp_path: Path, only: str) -> list[tuple[str, str, str | None]]:
    document = {"host": "web1", "reachable": True, "services": {}, "machine": {"kernel": {"ok": True, "ms": 1.0, "data": data}}}
    checks = assessment.chosen_checks(str(CHECKS), "host_check", {}, [only], None)
    return [(one.id, one.state, one.severity) for one in assessment.assess(checks, [document], "host_check", None, tmp_path)]


def test_what_the_checks_make_of_it(tmp_path: Path) -> None:
    log = complaints(("io_error", "EXT4-fs error"), ("container_oom", "Memory cgroup out of memory"), ("oom", "Out of memory"))
    assert findings({"log": log}, tmp_path, "host.kernel.io_errors") == [("host.kernel.io_errors", "finding", "critical")]
    assert findings({"log": log}, tmp_path, "host.kernel.errors") == [("host.kernel.errors", "finding", "warning")]
    quiet = complaints()
    assert findings({"log": quiet}, tmp_path, "host.kernel.*") == [("host.kernel.errors", "ok", None), ("host.kernel.io_errors", "ok", None)]
    blind = {"readable": False, "reason": "the kernel log does not tell it to this user", "counts": None, "lines": []}
    assert findings({"log": blind}, tmp_path, "host.kernel.*") == [("host.kernel.io_errors", "unknown", None)]
    only_a_container = complaints(("container_oom", "Memory cgroup out of memory"))
    assert findings({"log": only_a_container}, tmp_path, "host.kernel.errors") == [("host.kernel.errors", "finding", "info")]


@pytest.mark.parametrize(("await_ms", "util", "severity"), [(600.0, 99.0, "critical"), (600.0, 90.0, "warning"), (600.0, 10.0, None), (5.0, 100.0, None)])
def test_a_disk_is_slow_only_when_it_is_busy_with_it(await_ms: float, util: float, severity: str | None, tmp_path: Path) -> None:
    data = {"disks": [{"device": "vda", "requests_per_s": 1.0, "await_ms": await_ms, "util_pct": util}, {"device": "vdb", "await_ms": None}]}
    assert findings(data, tmp_path, "host.disk.latency") == [("host.disk.latency", "finding" if severity else "ok", severity)]
    assert findings({"disks": []}, tmp_path, "host.disk.latency") == []
