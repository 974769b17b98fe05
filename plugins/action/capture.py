# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``capture``: save on the controller what a change of a service would destroy."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sre.incident_response.plugins.plugin_utils import services
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import Collector
from ansible_collections.sre.incident_response.plugins.plugin_utils.redaction import Redactor
from ansible_collections.sre.incident_response.plugins.plugin_utils.remote_call import RemoteCall, RemoteCallError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "service": {"type": "str", "required": True},
    "tail": {"type": "int", "default": 1000},
}
SCHEMA = "sre.incident_response/capture/1"
# Snapshots of the service's own kind and what is counted outside of the container.
SOURCES = ["container", "cgroup", "process", "postgresql", "redis", "host"]


class ActionModule(ActionBase):
    """Documented in plugins/modules/capture.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False
    _VALID_ARGS = frozenset(ARGUMENTS)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Save everything content-addressed in the folder of the run and return where; fails when it can't be had or kept."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        call = RemoteCall(self, task_vars or {})
        declared = call.declared()
        result.update(changed=False, evidence=[])
        try:
            document = Collector(self, task_vars or {}).collect(services.check(call.variable("incident_services")), SOURCES, {})
            if not document.get("reachable"):
                return {**result, "failed": True, "msg": f"evidence of {call.host} could not be saved: {document.get('reason')}"}
            result["evidence"].append(call.workspace.keep(document))
            if (declared.get(arguments["service"]) or {}).get("container"):
                answer = call.call("capture", {"service": arguments["service"], "tail": arguments["tail"]})
                kept = {**Redactor().value(answer), "schema": SCHEMA, "host": call.host, "service": arguments["service"]}
                result["evidence"].append(call.workspace.keep(kept))
        except RemoteCallError as error:
            return {**result, "failed": True, "msg": f"evidence of {arguments['service']} could not be saved: {error}"}
        except OSError as error:
            sentence = f"evidence can't be kept in {call.workspace.path} ({error.strerror or error}); make room there or set incident_state_dir"
            return {**result, "failed": True, "msg": sentence}
        result["msg"] = f"saved {', '.join(result['evidence'])}"
        return result
