# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``assess``: hold the checks of a role against the evidence of this run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment, budget
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import ensure
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

SCOPES = ("host", "run")
OPTIONS = ("trend_min_span_s", "trend_latency_limit_ms")
CHECKS_FILE = "files/checks.yml"
FOR_EVERY_ROLE = {"only": "incident_checks", "skip": "incident_checks_skip", "scope": "incident_scope"}


class ActionModule(ControllerAction):
    """Documented in plugins/modules/assess.py."""

    _VALID_ARGS = frozenset(("role", "checks", "thresholds", "only", "skip", "scope", "options"))
    needs_jmespath = True

    def arguments(self) -> dict[str, Any]:
        """The task's arguments as they are: validating copies every entry deeply, which costs more than all checks together."""
        return dict(self._task.args)

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Assess one host's evidence, which is collected first where it is missing, or that of all hosts of the run."""
        role = str(arguments.get("role") or "")
        if not role:
            raise AnsibleActionFail("sre.incident_response.assess needs role")
        scope = self._setting("scope", role, variables) or "host"
        if scope not in SCOPES:
            raise AnsibleActionFail(f"scope of sre.incident_response.assess is {scope!r}: use {' or '.join(SCOPES)}")
        options = self._options(role, variables)
        thresholds, only, skip = (self._setting(name, role, variables) for name in ("thresholds", "only", "skip"))
        try:
            checks = assessment.chosen_checks(self._checks(role), role, thresholds or {}, only, skip)
        except assessment.CheckError as error:
            raise AnsibleActionFail(str(error)) from error
        workspace = Workspace.current(variables, self._templar.template)
        documents, host = self._documents(scope, checks, workspace, variables)
        findings = assessment.assess(checks, documents, role, host, workspace.path, options, budget.assess_until(workspace, time.time()))
        found = [finding.as_dict() for finding in findings]
        stored = role if host is None else f"{role}@{host}"
        workspace.write_findings(stored, {"role": role, "host": host, "findings": found})
        # Not the findings themselves: Ansible goes through every value of a result several times, which took longer than assessing.
        stored_as = {"role": role, "stored": stored}
        return {"changed": False, "incident_assessment": stored_as, "findings": assessment.short(findings), "msg": assessment.counts(findings)}

    def _setting(self, name: str, role: str, variables: Mapping[str, Any]) -> Any:
        """The argument, else the role's variable ``<role>_<name>``, else the one that counts for every role; None when nobody set it.

        Looked up here and not by a template per argument in every role: those took longer than the checks.
        """
        places = (self._task.args, name), (variables, f"{role}_{name}"), (variables, FOR_EVERY_ROLE.get(name, ""))
        found = (where[key] for where, key in places if where.get(key) is not None)
        return self._templar.template(next(found, None))

    def _options(self, role: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """The argument, else what the role's variables say: ``trend_scan_min_span_s`` for ``trend_min_span_s``."""
        options = self._task.args.get("options")
        if options is None:
            return {name: self._setting(name.partition("_")[2], role, variables) for name in OPTIONS}
        if not isinstance(options, Mapping):
            raise AnsibleActionFail(f"options of sre.incident_response.assess is {options!r}: it must be a dictionary such as {{trend_min_span_s: 3600}}")
        return options

    def _checks(self, role: str) -> Any:
        """The argument, else the path of the file that the task's own role, or this collection's role of that name, keeps its checks in."""
        if self._task.args.get("checks"):
            return self._task.args["checks"]
        if self._task._role is not None:
            return str(Path(self._task._role._role_path) / CHECKS_FILE)
        path = assessment.ROLES / role / CHECKS_FILE
        if not role.isidentifier() or not path.is_file():
            known = ", ".join(sorted(entry.parents[1].name for entry in assessment.ROLES.glob(f"*/{CHECKS_FILE}")))
            raise AnsibleActionFail(f"sre.incident_response.assess needs checks for the role {role!r}, which is none of this collection's ({known})")
        return str(path)

    def _documents(self, scope: str, checks: Any, workspace: Workspace, variables: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
        """Evidence to look at, and the one host to assess (None: all of them)."""
        if scope == "host":
            host = str(variables["inventory_hostname"])
            ensure(self, variables, assessment.sources_of(checks))
            # The other hosts' evidence stays in the picture: what this one's services call may run there.
            return [document for _host, document in workspace.all_evidence()], host
        documents = [document for _host, document in workspace.all_evidence()]
        if not documents:
            raise AnsibleActionFail(
                "no evidence was collected in this run; run sre.incident_response.collect on the machines before, or leave incident_scope alone"
            )
        return documents, None
