# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``investigate``: show the evidence of this run about one topic as tables."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate
from ansible_collections.sre.incident_response.plugins.plugin_utils.investigation import application, database, network, redis
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

TOPICS = {"application": application.investigate, "database": database.investigate, "redis": redis.investigate, "network": network.investigate}
ARGUMENTS: dict[str, dict[str, Any]] = {"topic": {"type": "str", "required": True, "choices": sorted(TOPICS)}}


class ActionModule(ControllerAction):
    """Documented in plugins/modules/investigate.py."""

    argument_spec = ARGUMENTS
    _VALID_ARGS = frozenset(ARGUMENTS)
    needs_jmespath = True

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Make the tables; that there is no service of that kind is a result, not a failure."""
        workspace = Workspace.current(variables, self._templar.template)
        documents = [document for _host, document in workspace.all_evidence()]
        if not documents:
            raise AnsibleActionFail("no evidence was collected in this run; run sre.incident_response.collect with depth: deep on the machines before")
        found = TOPICS[arguments["topic"]](Estate(documents))
        return {"changed": False, "incident_investigation": found.as_dict(), "msg": found.summary, "tables": len(found.tables)}
