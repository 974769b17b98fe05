# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick health check: an exit code for machines and files that are valid whatever is down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration


def written(folder: Path) -> tuple[dict[str, Any], str]:
    """The newest JSON document and the newest text in the output directory."""
    documents, texts = sorted(folder.rglob("*.json")), sorted(folder.rglob("*.log"))
    assert documents, list(folder.rglob("*"))
    assert texts, list(folder.rglob("*"))
    return json.loads(documents[-1].read_text(encoding="utf-8")), texts[-1].read_text(encoding="utf-8")


def test_healthy(playbook: Callable[..., Any], healthy_lab: None, tmp_path: Path) -> None:
    """Everything answers: exit 0, and both files say so for every service."""
    run = playbook("health_check", "-e", f"health_check_output_dir={tmp_path / 'health'}")
    assert run.rc == 0, run.output
    document, text = written(tmp_path / "health")
    for name in ("proxy", "backend", "db", "redis"):
        assert name in json.dumps(document)
        assert name in text


@pytest.mark.parametrize(("name", "service"), [("app-redis", "redis"), ("app-backend", "backend")])
def test_service_down(
    playbook: Callable[..., Any],
    container: Callable[[str], Any],
    drill: Callable[[str, str], None],
    healthy_lab: None,
    tmp_path: Path,
    name: str,
    service: str,
) -> None:
    """A stopped service: exit code other than 0, no traceback, and files that are valid and name it."""
    container(name).stop(timeout=1)
    try:
        run = playbook("health_check", "-e", f"health_check_output_dir={tmp_path / 'health'}")
    finally:
        container(name).start()
        drill("H01", "absent")
    assert run.rc != 0
    assert "Traceback" not in run.output
    document, text = written(tmp_path / "health")
    assert service in json.dumps(document)
    assert service in text
