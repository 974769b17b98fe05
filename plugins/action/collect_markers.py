# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``collect_markers``: read what a deploy pipeline wrote down, from a file or an address, on the controller."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.sre.incident_response.plugins.plugin_utils import markers
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import ensure
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

ARGUMENTS: dict[str, dict[str, Any]] = {
    "file": {"type": "str", "default": ""},
    "url": {"type": "str", "default": ""},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "timeout_s": {"type": "int", "default": 5},
    "scope": {"type": "str", "choices": ["host", "run"], "default": "host"},
}
LONGEST_TIMEOUT_S = 60


class ActionModule(ControllerAction):
    """Documented in plugins/modules/collect_markers.py."""

    argument_spec = ARGUMENTS
    _VALID_ARGS = frozenset(ARGUMENTS)

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Store the markers; a file or an address that gives none is an answer with a reason."""
        if not arguments["file"] and not arguments["url"]:
            raise AnsibleActionFail("sre.incident_response.collect_markers needs file or url")
        workspace = Workspace.current(variables, self._templar.template)
        host = str(variables["inventory_hostname"]) if arguments["scope"] == "host" else None
        if host is not None:
            ensure(self, variables, [])
        now = time.time()
        found, reason = _read(arguments, now)
        known = markers.sources(Estate(document for _name, document in workspace.all_evidence()), found, reason, now, host)
        workspace.write_supplement("markers" if host is None else f"markers@{host}", {"sources": known.as_dict()})
        number = len(found.markers) if found else 0
        return {"changed": False, "markers": number, "reason": reason, "msg": reason or f"{number} deploy markers of the last week"}


def _read(arguments: dict[str, Any], now: float) -> tuple[markers.Markers | None, str]:
    """The markers of both places (None when none could be read), and the first reason why one of them could not."""
    together, reasons, answered = markers.Markers(), [], False
    timeout_s = float(min(max(1, arguments["timeout_s"]), LONGEST_TIMEOUT_S))
    for place in ("file", "url"):
        if not arguments[place]:
            continue
        try:
            if place == "file":
                found = markers.from_file(Path(arguments["file"]).expanduser(), now)
            else:
                found = markers.from_url(arguments["url"], arguments["headers"], timeout_s, now)
        except markers.MarkerError as error:
            reasons.append(str(error))
            together.problems.append(str(error))
            continue
        answered = True
        together.markers += found.markers
        together.problems += found.problems
    return (together if answered else None), next(iter(reasons), "")
