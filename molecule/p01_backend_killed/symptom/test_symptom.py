# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend is dead and stays dead."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def test_backend_does_not_run(machine: Any, container: Callable[[str], Any]) -> None:
    """It was killed, not out of memory, and nothing will start it again."""
    about = json.loads(machine.check_output("docker inspect %s", container("app-backend").backend.name))[0]
    assert about["State"]["Status"] == "exited"
    assert about["State"]["ExitCode"] == 137
    assert about["State"]["OOMKilled"] is False
    assert about["HostConfig"]["RestartPolicy"]["Name"] == "no"


def test_users_see_an_error_page(container: Callable[[str], Any]) -> None:
    """The proxy answers for it, with 502."""
    answer = container("app-traffic").check_output("curl -s -m 12 -o /dev/null -w '%{http_code}' http://app-proxy/health")
    assert answer == "502"
