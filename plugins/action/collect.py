# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``collect``: gather the evidence of one machine into the workspace of the run."""

from __future__ import annotations

from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils import evidence, services
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import Collector, checked_depth, checked_options, checked_sources
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction


class ActionModule(ControllerAction):
    """Documented in plugins/modules/collect.py."""

    _requires_connection = True
    _VALID_ARGS = frozenset(("services", "sources", "depth", "options", "host_root"))

    def arguments(self) -> dict[str, Any]:
        """The task's arguments as they are: each is checked where it is used."""
        return dict(self._task.args)

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Collect, and return a summary of what was found; a machine that can't be reached is a result, not a failure."""
        collector = Collector(self, variables, arguments.get("host_root"))
        checked = services.check(arguments["services"] if "services" in arguments else collector.variable("incident_services"))
        sources, depth = checked_sources(arguments.get("sources")), checked_depth(arguments.get("depth"))
        document = collector.collect(checked, sources, checked_options(arguments.get("options")), depth)
        result: dict[str, Any] = {"changed": False, "incident_evidence": evidence.summary(document, collector.workspace)}
        if not collector.workspace.announced:
            # Nobody else shows it when the timeline callback is not loaded.
            sentences = [collector.workspace.problem, document["reason"], *[problem["sentence"] for problem in document["problems"]]]
            result["warnings"] = [sentence for sentence in sentences if sentence]
        return result
