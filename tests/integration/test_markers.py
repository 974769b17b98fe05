# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Triage with deploy markers from a file, without any lab: what is usable is told, what is not costs one sentence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def marked(triage: Callable[..., Any], tmp_path: Path) -> Callable[[str], Any]:
    """Function that triages one machine with an external service, with a marker file of that content."""
    inventory, path = tmp_path / "shop.yml", tmp_path / "markers.jsonl"
    services = {"payments": {"kind": "external", "url": "http://127.0.0.1:9/"}}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"web1": {"ansible_connection": "local", "incident_services": services}}}}), encoding="utf-8")

    def run(content: str) -> Any:
        path.write_text(content, encoding="utf-8")
        done = triage("-e", json.dumps({"incident_deploy_markers_file": str(path)}), inventory=inventory)
        assert done.rc == 0, done.output
        assert "Traceback" not in done.output
        return done

    return run


def test_markers_reach_the_report_as_texts(marked: Callable[[str], Any]) -> None:
    """A marker before a failure is a lead; its text is neither evaluated nor rendered."""
    hostile = "{{ 7 * 191 }}<script>\x1b[31m"
    entries = [{"time": time.time() - 300, "service": "payments", "version": hostile, "who": "ci"}, {"time": "soon"}]
    run = marked("\n".join(map(json.dumps, entries)))
    found = {finding["id"]: finding for finding in run.findings() if finding["id"].startswith("change.marker")}
    assert found["change.marker"]["severity"] == "warning"
    assert "{{ 7 * 191 }}" in found["change.marker"]["summary"]
    assert "1 deploy markers can't be used; the first: line 2 has the time soon, which is none" in found["change.marker_unusable"]["summary"]
    html = (run.state_dir / "latest/report.html").read_text(encoding="utf-8")
    assert "{{ 7 * 191 }}&lt;script&gt;" in html
    assert "\x1b[31m" not in run.output + html


def test_file_without_markers_is_one_sentence(marked: Callable[[str], Any]) -> None:
    """Triage goes on; the report says what could not be looked at."""
    run = marked("not a list")
    gaps = [gap["reason"] for gap in run.report["run"]["not_assessed"] if "markers" in gap["reason"]]
    assert len(gaps) == 1
    assert "is neither JSON lines nor a YAML list" in gaps[0]
