# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``prove_recovery``: look at a service again and again until its checks are fine several times in a row, or the time is over."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment, budget, gate_registry, services
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import Collector
from ansible_collections.sre.incident_response.plugins.plugin_utils.expressions import MISSING
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.recovery import Proof

ARGUMENTS: dict[str, dict[str, Any]] = {
    "mitigation": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "probes": {"type": "int", "default": 3},
    "interval_s": {"type": "float", "default": 3.0},
    "timeout_s": {"type": "float", "default": 60.0},
}


class ActionModule(ActionBase):
    """Documented in plugins/modules/prove_recovery.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False
    _VALID_ARGS = frozenset(ARGUMENTS)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look until it is proven; what can't be proven is no failure of this task: what follows from it is decided by the gate."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if MISSING is not None:
            raise AnsibleActionFail(f"prove_recovery needs the Python package jmespath on the controller ({MISSING}); pip install jmespath")
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        if arguments["probes"] < 1 or arguments["timeout_s"] <= 0 or arguments["interval_s"] < 0:
            raise AnsibleActionFail("sre.incident_response.prove_recovery needs at least 1 probe, a timeout_s above 0, and no interval_s below 0")
        known = gate_registry.load()
        if arguments["mitigation"] not in known:
            raise AnsibleActionFail(f"no role describes the mitigation {arguments['mitigation']!r}; known are {', '.join(known)}")
        looker = Looker(self, task_vars or {}, known[arguments["mitigation"]], arguments["service"])
        proof, began = Proof(arguments["probes"]), time.monotonic()
        while True:
            looker.look(proof)
            spent = time.monotonic() - began
            if proof.complete or spent + arguments["interval_s"] >= arguments["timeout_s"]:
                break
            time.sleep(arguments["interval_s"])
        result.update(changed=False, proven=proof.complete, looks=proof.looks, msg=proof.sentence(time.monotonic() - began))
        return result


class Looker:
    """Fresh looks at one service with the checks that a mitigation is judged by."""

    def __init__(self, action: Any, task_vars: dict[str, Any], mitigation: gate_registry.Mitigation, service: str) -> None:
        self._action, self._vars, self._service = action, task_vars, service
        self._checks = {}
        for role in mitigation.proof_roles:
            thresholds = action._templar.template(task_vars.get(f"{role}_thresholds")) or {}
            path = str(assessment.ROLES / role / "files/checks.yml")
            try:
                self._checks[role] = assessment.chosen_checks(path, role, thresholds, list(mitigation.proof), None)
            except assessment.CheckError as error:
                raise AnsibleActionFail(str(error)) from error
        self._sources = sorted({source for checks in self._checks.values() for source in assessment.sources_of(checks)})
        self._number = 0

    def look(self, proof: Proof) -> None:
        """Take one look and count it."""
        self._number += 1
        collector = FreshCollector(self._action, self._vars, self._number)
        document = collector.collect(services.check(collector.variable("incident_services")), self._sources, {})
        if not document.get("reachable"):
            proof.failed(f"{collector.host} could not be asked: {document.get('reason')}")
            return
        documents = [one for _host, one in collector.workspace.all_evidence()]
        findings: list[Finding] = []
        for role, checks in self._checks.items():
            found = assessment.assess(checks, documents, role, collector.host, collector.workspace.path)
            findings += [one for one in found if one.service == self._service]
        proof.add(findings)


class FreshCollector(Collector):
    """A collector whose every look has its own time: those of one task would share theirs."""

    def __init__(self, action: Any, task_vars: dict[str, Any], number: int) -> None:
        super().__init__(action, task_vars)
        self._number = number

    def budget(self) -> budget.Budget:
        """The time of this look alone."""
        try:
            total_s = budget.seconds(self.variable(budget.VARIABLE))
        except budget.BudgetError as error:
            raise AnsibleActionFail(str(error)) from error
        return budget.begin(self.workspace, f"{self.action._task._uuid}-{self._number}", total_s)
