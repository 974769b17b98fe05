# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills can be repeated: what is there already is not done again, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", ["P09", "P13_tls_expired"])
def test_second_time_changes_nothing(playbook: Callable[..., Any], name: str) -> None:
    """Injecting twice and taking back twice: only the first time of each changes something."""
    changed = []
    for state in ("present", "present", "absent", "absent"):
        run = playbook("drill", "-e", f"drill_fault={name}", "-e", f"drill_state={state}")
        assert run.rc == 0, run.output
        changed.append(run.recap["localhost"]["changed"] > 0)
    assert changed == [True, False, True, False]


def test_no_lab(playbook: Callable[..., Any]) -> None:
    """Without a lab the drill says how to get one."""
    run = playbook("drill", "-e", "drill_fault=P09", env={"LAB_PREFIX": "nowhere-"})
    assert run.rc == 2
    assert "nowhere-app-traffic" in run.output
    assert "./run lab up" in run.output


def test_check_mode(playbook: Callable[..., Any]) -> None:
    """In check mode nothing is injected."""
    run = playbook("drill", "-e", "drill_fault=P09", "--check")
    assert run.rc == 0, run.output
    assert run.recap["localhost"]["changed"] == 0
