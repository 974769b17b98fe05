# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``report``: rebuild the reports of a run from its journal."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import run_notice
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.publish import RunNotFoundError, find_run, publish
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import DEFAULT_STATE_DIR

_ARGUMENTS = {"run": {"type": "str", "default": ""}, "state_dir": {"type": "str", "default": ""}}


class ActionModule(ControllerAction):
    """Documented in plugins/modules/report.py."""

    argument_spec = _ARGUMENTS
    _VALID_ARGS = frozenset(_ARGUMENTS)

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Write the reports and return where they are; the timeline callback prints the board at the end of the run."""
        state_dir = arguments["state_dir"] or os.environ.get("INCIDENT_STATE_DIR") or DEFAULT_STATE_DIR
        try:
            folder = find_run(state_dir, arguments["run"])
            published = publish(folder)
        except RunNotFoundError as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            message = f"The reports of run {folder.name} can't be written to {folder}: {error.strerror or error}. Make the folder writable, or copy it."
            raise AnsibleActionFail(message) from error
        record = published.record
        report = {
            "folder": str(folder),
            "report": str(published.html),
            "verdict": f"{record.verdict.headline}  {record.verdict.detail}",
            "notice": run_notice(record),
            "status": record.run.status,
        }
        return {"changed": False, "incident_report": report}
