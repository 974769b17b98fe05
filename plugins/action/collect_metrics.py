# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``collect_metrics``: ask a Prometheus about the services of this run, from the controller."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils import budget, metrics, supplements, web
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import ensure
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "queries": {"type": "path", "required": True},
    "labels": {"type": "dict", "default": {}},
    "window_s": {"type": "int", "default": 3600},
    "rate_s": {"type": "int", "default": 300},
    "timeout_s": {"type": "int", "default": 10},
    "scope": {"type": "str", "choices": ["host", "run"], "default": "host"},
}
LEAST_WINDOW_S, LONGEST_TIMEOUT_S = 300, 60


class ActionModule(ControllerAction):
    """Documented in plugins/modules/collect_metrics.py."""

    argument_spec = ARGUMENTS
    _VALID_ARGS = frozenset(ARGUMENTS)
    needs_jmespath = True

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Store what Prometheus says; one that can't be asked, and a mistake in the queries, is an answer with a reason."""
        workspace = Workspace.current(variables, self._templar.template)
        host = str(variables["inventory_hostname"]) if arguments["scope"] == "host" else None
        if host is not None:
            ensure(self, variables, [])
        limit = budget.newest(workspace)
        if limit is not None:
            arguments["timeout_s"] = int(min(arguments["timeout_s"], limit.for_controller_s(time.time())))
        estate = Estate(document for name, document in workspace.all_evidence() if host in (None, name))
        document, problem = self._document(estate, arguments)
        workspace.write_supplement("metrics" if host is None else f"metrics@{host}", document)
        number = len(document["series"])
        message = problem or f"{number} series from {document['from']}"
        return {"changed": False, "incident_metrics": metrics.charted(document), "series": number, "reason": problem, "msg": message}

    @staticmethod
    def _document(estate: Any, arguments: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """What the workspace keeps, and the sentence why there is nothing to keep (empty when there is)."""
        span = metrics.window(estate, time.time(), float(max(LEAST_WINDOW_S, arguments["window_s"])))
        budget_s = float(min(max(1, arguments["timeout_s"]), LONGEST_TIMEOUT_S))
        try:
            labels = metrics.checked_labels(arguments["labels"])
            asked = metrics.questions(estate, metrics.load_queries(Path(arguments["queries"])), labels, arguments["rate_s"])
            where = web.target("incident_prometheus_url", arguments["url"], arguments["headers"])
        except (metrics.QueryError, web.WebError) as error:
            return metrics.document([], [], span, _all_failed(estate, str(error)), "nowhere"), str(error)
        answers = metrics.ask(where, asked, span, budget_s)
        known = metrics.sources(asked, answers, span, labels, where.shown)
        reasons = [answer for answer in answers if isinstance(answer, str)]
        return metrics.document(asked, answers, span, known, where.shown), reasons[0] if len(reasons) == len(answers) and reasons else ""


def _all_failed(estate: Any, reason: str) -> Any:
    known = supplements.Known()
    for service in estate.services:
        for source in supplements.METRICS if service.kind in ("fastapi", "nginx") else ():
            known.put(service.host, service.name, source, supplements.failed(reason))
    return known
