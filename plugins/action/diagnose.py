# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``diagnose``: rank the causes over all findings of this run and name the safest action."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.sre.incident_response.plugins.plugin_utils import outcome, trends
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

ARGUMENTS: dict[str, dict[str, Any]] = {
    "patterns": {"type": "path", "required": True},
    "fail_on": {"type": "str", "default": ""},
    "scope": {"type": "str", "choices": ["host", "run"], "default": "host"},
}


class ActionModule(ControllerAction):
    """Documented in plugins/modules/diagnose.py."""

    argument_spec = ARGUMENTS
    _VALID_ARGS = frozenset(ARGUMENTS)
    needs_jmespath = True

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Diagnose once per run, however many hosts the task runs on."""
        try:
            outcome.check_fail_on(arguments["fail_on"])
            patterns = outcome.load_patterns(Path(arguments["patterns"]))
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from error
        first = self._first_host(variables) if arguments["scope"] == "host" else None
        if first not in (None, variables.get("inventory_hostname")):
            return {"changed": False, "breached": False, "msg": f"diagnosed once for all machines, by the task of {first}"}
        workspace = Workspace.current(variables, self._templar.template)
        findings = outcome.findings_of(workspace.findings())
        documents = [document for _host, document in workspace.all_evidence()]
        if not findings:
            raise AnsibleActionFail("nothing was assessed in this run; run check roles of sre.incident_response before the diagnosis")
        diagnosed = outcome.conclude(findings, documents, patterns)
        problem = trends.remember(documents, workspace.path)
        breached = outcome.breaches(findings, arguments["fail_on"])
        breach = f"incident_fail_on is {arguments['fail_on']}: {breached} findings of that level or above; see the report" if breached else ""
        result = {"changed": False, "incident_diagnosis": diagnosed, "breached": breached > 0, "msg": diagnosed["verdict"], "breach": breach}
        return {**result, "warnings": [problem]} if problem else result

    @staticmethod
    def _first_host(variables: Mapping[str, Any]) -> str | None:
        hosts = variables.get("ansible_play_hosts_all") or variables.get("ansible_play_hosts") or []
        return str(hosts[0]) if hosts else None
