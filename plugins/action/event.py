# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``event``: put a line of a person or a playbook onto the timeline of the run."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import format_time, parse_time, utc_now

_ARGUMENTS = {
    "summary": {"type": "str", "required": True},
    "kind": {"type": "str", "default": "note", "choices": ["note", "decision", "acknowledged", "mitigated", "resolved"]},
    "severity": {"type": "str", "choices": ["info", "warning", "critical"]},
    "service": {"type": "str"},
    "title": {"type": "str"},
    "time": {"type": "str"},
    "data": {"type": "dict"},
}


class ActionModule(ControllerAction):
    """Documented in plugins/modules/event.py."""

    argument_spec = _ARGUMENTS
    _VALID_ARGS = frozenset(_ARGUMENTS)

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Validate and return the event; the timeline callback in the main process writes it."""
        event = {name: value for name, value in arguments.items() if value is not None}
        event["time"] = _moment(event.get("time"))
        event["check_mode"] = bool(self._task.check_mode)
        return {"changed": False, "incident_event": event}


def _moment(given: str | None) -> str:
    if given is None:
        return utc_now()
    moment = parse_time(given)
    if moment is None:
        raise AnsibleActionFail(f"time '{given}' of sre.incident_response.event is no time; write it as 2026-11-23T14:05:00Z")
    return format_time(moment)
