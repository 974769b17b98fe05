# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving the logs of the real lab: what a person asks for is there, and what can't be had is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration


def summaries(folder: Path) -> dict[str, dict[str, Any]]:
    """Every summary in the folder by service."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob("*-summary-*.json")]
    return {summary["service"]: summary for summary in found}


def options(folder: Path, **given: Any) -> tuple[str, str]:
    """Arguments that set the role's options."""
    return "-e", json.dumps({f"fetch_logs_{name}": value for name, value in {"output_dir": str(folder), **given}.items()})


def test_every_service(playbook: Callable[..., Any], tmp_path: Path) -> None:
    """All services with a container, over a human time span, and what one filter finds in them."""
    run = playbook("fetch_logs", *options(tmp_path / "logs", since="15 minutes ago", filter='"GET'))
    assert run.rc == 0, run.output
    found = summaries(tmp_path / "logs")
    assert sorted(found) == ["backend", "db", "proxy", "redis"]
    assert {summary["status"] for summary in found.values()} == {"collected"}
    for service, summary in found.items():
        lines = Path(summary["files"]["raw_log"]).read_text(encoding="utf-8").splitlines()
        assert (len(lines), summary["truncated"]) == (summary["total_log_lines"], False)
        assert len(Path(summary["files"]["filtered_log"]).read_text(encoding="utf-8").splitlines()) == summary["filter_matches"]
        assert f"{service} on lab (app-" in run.output
    # The traffic never stops.
    assert found["proxy"]["total_log_lines"] > 0
    assert not (tmp_path / "incidents").exists()


def test_a_missing_container(playbook: Callable[..., Any], tmp_path: Path) -> None:
    """One named service that is not there: the other one is saved, and the run fails in one sentence that names what there is."""
    run = playbook("fetch_logs", *options(tmp_path / "logs", service="backnd,backend", tail=5))
    assert run.rc == 2, run.output
    found = summaries(tmp_path / "logs")
    assert (found["backnd"]["status"], found["backend"]["status"]) == ("error", "collected")
    assert found["backend"]["total_log_lines"] <= 5
    assert "there is neither a service nor a container backnd on this machine; services with a container are backend, db, proxy, redis" in run.output
    assert "app-backend" in found["backnd"]["error"]
    assert "Traceback" not in run.output


def test_a_time_that_is_none(playbook: Callable[..., Any], tmp_path: Path) -> None:
    """Refused before anything is asked."""
    run = playbook("fetch_logs", *options(tmp_path / "logs", since="yesterday"))
    assert run.rc == 2
    assert "fetch_logs_since is 'yesterday', which is not understood; give a duration such as 15m" in run.output
    assert not (tmp_path / "logs").exists()
