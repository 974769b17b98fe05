# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proposal goes back to an image that is really there."""

from __future__ import annotations

from typing import Any


def test_target_is_the_previous_image(report: dict[str, Any], machine: Any) -> None:
    """The release before, not the one that fails."""
    first = report["proposals"][0]
    assert first["target"]["container"].endswith("app-backend")
    assert machine.run("docker image inspect sre-lab/app-backend:v1").rc == 0
