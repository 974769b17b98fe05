# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``gate``: decide whether a mitigation may change its target, and keep the ledger of what was begun and how it ended."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Mapping
from typing import Any

from ansible import constants as C  # noqa: N812 - its usual name
from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible.utils.display import Display
from ansible_collections.sre.incident_response.plugins.plugin_utils import gate, gate_desk, gate_identity, gate_ledger, gate_registry, gate_words, services
from ansible_collections.sre.incident_response.plugins.plugin_utils.gate_ledger import Holder, Ledger, LedgerError
from ansible_collections.sre.incident_response.plugins.plugin_utils.gate_proposals import ApprovalError
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import one_line
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

ARGUMENTS: dict[str, dict[str, Any]] = {
    "stage": {"type": "str", "required": True, "choices": ["plan", "open", "close"]},
    "mitigation": {"type": "str", "default": ""},
    "service": {"type": "str", "default": ""},
    "target": {"type": "dict", "default": {}},
    "seen": {"type": "raw"},
    "options": {"type": "dict", "default": {}},
    "proposal": {"type": "str", "default": ""},
    "run": {"type": "str", "default": ""},
    "resume": {"type": "str", "default": ""},
    "entry": {"type": "str", "default": ""},
    "outcome": {"type": "str", "default": "", "choices": ["", *gate_ledger.CLOSED]},
    "sentence": {"type": "str", "default": ""},
    "evidence": {"type": "list", "elements": "str", "default": []},
}
_ENDS = {
    gate_ledger.VERIFIED: "proven",
    gate_ledger.NOT_PROVEN: "not proven",
    gate_ledger.NOT_APPLIED: "nothing was changed",
    gate_ledger.FAILED: "failed",
}
_PROBLEMS = (ApprovalError, LedgerError, gate_registry.RegistryError)


class ActionModule(ActionBase):
    """Documented in plugins/modules/gate.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    _VALID_ARGS = frozenset(ARGUMENTS)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do one stage; what is refused fails the task with one sentence that says what to do next."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        self._vars = task_vars or {}
        self._workspace = Workspace.current(self._vars, self._templar.template)
        result.update(changed=False)
        try:
            known = gate_registry.load()
            stage = {"plan": self._plan, "open": self._open, "close": self._close}[arguments["stage"]]
            return {**result, **stage(arguments, known)}
        except _PROBLEMS as error:
            return {**result, **self._refused(arguments, str(error))}

    def _variable(self, name: str, default: Any = None) -> Any:
        """A variable of the host, rendered."""
        value = self._vars.get(name)
        return default if value is None else self._templar.template(value)

    # -- what shall be done ------------------------------------------------------------------------------------------

    def _plan(self, _arguments: Mapping[str, Any], known: Mapping[str, gate_registry.Mitigation]) -> dict[str, Any]:
        approve = self._variable("incident_approve")
        plan = gate_desk.plan(self._workspace.state_dir, approve, str(self._variable("incident_id") or ""), known, self._hosts())
        if plan.resumed is not None:
            sentence = f"{gate.interrupted(plan.resumed)}; that is finished first"
            Display().display(f"\n{one_line(sentence)}\n", color=C.COLOR_WARN)
            return self._told(sentence, gate.VERIFY, plan.as_dict())
        if plan.proposal is None:
            age_s = time.time() - plan.triage.at if plan.triage else 0.0
            text = gate_words.as_text(gate_words.plan(plan.triage, known, age_s))
            Display().display(f"\n{text}\n")
            number = len(plan.triage.proposals) if plan.triage else 0
            return {**self._told(f"nothing was approved, so nothing is changed; {number} proposed", gate.PLAN, {}), "plan_text": text}
        one = plan.proposal
        text = gate_words.as_text(gate_words.sheet(one, known.get(one.mitigation)))
        Display().display(f"\n{text}\n")
        if one.mitigation not in known:
            raise ApprovalError(f"{one.id} is {one.mitigation} of {one.service}, which no role carries out; the commands above do it by hand on {one.host}")
        told = self._told(f"{one.id} was approved: {one.mitigation} of {one.service}", "approved", plan.as_dict())
        return {**told, "plan_text": text}

    def _hosts(self) -> list[str]:
        """The machines that the next play can reach: those of the inventory, within --limit."""
        limit = self._vars.get("ansible_limit")
        if not limit:
            return [*(str(name) for name in self._vars.get("groups", {}).get("all", [])), "localhost"]
        lookup = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        return [str(name) for name in lookup.run([str(limit)], variables=self._vars)]

    def _told(self, sentence: str, verdict: str, about: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a stage, with the event that the journal gets of it."""
        event = {"sentence": one_line(sentence), "verdict": verdict, "mitigation": about.get("role", ""), "service": about.get("service", "")}
        event.update(target_host=about.get("host", ""), proposal=about.get("proposal", ""), run=about.get("run", ""), check_mode=bool(self._task.check_mode))
        return {"plan": dict(about), "verdict": verdict, "msg": one_line(sentence), "incident_decision": {**event, "actor": self._actor()}}

    def _refused(self, arguments: Mapping[str, Any], sentence: str) -> dict[str, Any]:
        about = {"role": arguments["mitigation"], "service": arguments["service"], "proposal": arguments["proposal"], "run": arguments["run"]}
        return {**self._told(sentence, gate.REFUSE, about), "failed": True}

    def _actor(self) -> str:
        named = [self._variable(name) for name in ("incident_actor", "awx_user_name", "tower_user_name")]
        try:
            return str(next((name for name in named if name), None) or os.environ.get("SUDO_USER") or getpass.getuser())
        except (KeyError, OSError):
            return f"user {os.getuid()}"

    # -- may it be done ----------------------------------------------------------------------------------------------

    def _open(self, arguments: Mapping[str, Any], known: Mapping[str, gate_registry.Mitigation]) -> dict[str, Any]:
        if arguments["mitigation"] not in known:
            raise ApprovalError(f"no role describes the mitigation {arguments['mitigation']!r}; known are {', '.join(known)}")
        request = self._request(arguments, known[arguments["mitigation"]])
        holder = Holder.of(os.getppid(), self._actor(), self._workspace.run_id)
        ledger = Ledger(self._workspace.state_dir)
        decision, entry = gate_desk.enter(ledger, request, holder, arguments["proposal"], arguments["run"], arguments["resume"])
        about = {"role": request.mitigation.role, "service": request.service, "host": request.host}
        about.update(proposal=arguments["proposal"], run=arguments["run"])
        result = self._told(decision.told, decision.verdict, about)
        result.update(proceed=decision.verdict == gate.PROCEED, verify=decision.verdict in (gate.PROCEED, gate.VERIFY), entry=entry.id if entry else "")
        if decision.verdict in (gate.PROCEED, gate.PLAN):
            after = f"{request.mitigation.effect}\nundo: {request.mitigation.undo}\n"
            result["diff"] = {"before_header": request.what, "after_header": request.what, "before": f"{request.seen.sentence}\n", "after": after}
        if decision.verdict == gate.REFUSE:
            result["failed"] = True
        return result

    def _request(self, arguments: Mapping[str, Any], mitigation: gate_registry.Mitigation) -> gate.Request:
        service, target = arguments["service"], arguments["target"]
        options = {**arguments["options"], "protected": self._variable("incident_protected_roles") or []}
        spec = (services.check(self._variable("incident_services")).services or {}).get(service) or {}
        incident = str(self._variable("incident_id") or "")
        return gate.Request(
            mitigation=mitigation,
            service=service,
            host=str(self._vars["inventory_hostname"]),
            target=target,
            seen=gate_identity.classify(mitigation.identity, target, arguments["seen"], options),
            now=time.time(),
            approved=self._approved(arguments["proposal"]) and self._meant(arguments, incident),
            approve_with=arguments["proposal"] or "true",
            check_mode=bool(self._task.check_mode),
            evidence_age_s=gate_desk.evidence_age_s(self._workspace.state_dir, arguments["run"], incident),
            max_age_s=self._seconds("incident_evidence_max_age", gate.DEFAULT_MAX_AGE_S),
            force_reason=str(self._variable("incident_force_reason") or ""),
            allowed=self._allowed(mitigation.role),
            declared_kind=str(spec.get("kind") or ""),
            stopped_by_operator=bool(arguments["options"].get("stopped_by_operator")),
        )

    def _approved(self, proposal: str) -> bool:
        """Whether the approval names this proposal, or says yes to the target that a role was given by itself."""
        given = self._variable("incident_approve")
        if proposal:
            return str(given) == proposal or given == [proposal]
        try:
            return bool(boolean(given))
        except TypeError:
            return False

    def _meant(self, arguments: Mapping[str, Any], incident: str) -> bool:
        """Whether the approval can be about what a killed run had begun: its proposal may be of an older triage than the one that was approved from."""
        return not arguments["resume"] or gate_desk.is_newest(self._workspace.state_dir, arguments["run"], incident)

    def _allowed(self, role: str) -> list[str] | None:
        allowed = self._variable("incident_mitigations")
        if allowed is None:
            return None
        if not isinstance(allowed, Mapping):
            raise ApprovalError("incident_mitigations must be a dictionary of lists, such as {restart_service: [backend]}")
        names = allowed.get(role)
        return None if names is None else [str(name) for name in names] if isinstance(names, (list, tuple)) else [str(names)]

    def _seconds(self, name: str, default: float) -> float:
        value = self._variable(name, default)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if not 0 < number < float("inf"):
            raise ApprovalError(f"{name} is {value!r}: it must be a number of seconds above 0, such as {default:g}")
        return number

    # -- how it ended ------------------------------------------------------------------------------------------------

    def _close(self, arguments: Mapping[str, Any], known: Mapping[str, gate_registry.Mitigation]) -> dict[str, Any]:
        state, sentence = arguments["outcome"], one_line(arguments["sentence"])
        if not arguments["entry"] and self._task.check_mode:
            return {**self._told(sentence, state, {}), "failed": state != gate_ledger.VERIFIED}
        if not arguments["entry"]:
            raise AnsibleActionFail("sre.incident_response.gate needs entry, the id that the stage open returned, to close it")
        ledger = Ledger(self._workspace.state_dir)
        with ledger.locked():
            entry = ledger.close(arguments["entry"], state, sentence, arguments["evidence"])
        about = {"role": entry.mitigation, "service": entry.service, "host": entry.host, "proposal": entry.proposal, "run": entry.run}
        told = f"{entry.mitigation} of {entry.service}: {_ENDS[state]}: {sentence}"
        if state in (gate_ledger.NOT_PROVEN, gate_ledger.FAILED):
            undo = known[entry.mitigation].undo if entry.mitigation in known else "not known"
            told += f"; undo: {undo}; next: run triage again"
        result = self._told(told, state, about)
        result["incident_decision"]["evidence"] = entry.evidence
        if state != gate_ledger.VERIFIED:
            result["failed"] = True
        return result
