# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which events a task's outcome is worth, and write them. Knows nothing of Ansible's classes, so it is tested without them.

Results come from machines under investigation: only those of this collection's own controller-side actions are believed, each for
the one thing it is there to say. Everything else is recorded as what happened, never as what it claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import Journal
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import one_line

COLLECTION = "sre.incident_response."
GATE_ACTION = f"{COLLECTION}gate"
# action: (key of its result that is believed, kind of the event)
BELIEVED = {
    f"{COLLECTION}collect": ("incident_evidence", "evidence"),
    f"{COLLECTION}assess": ("incident_assessment", "assessment"),
    f"{COLLECTION}preflight": ("incident_assessment", "assessment"),
    f"{COLLECTION}diagnose": ("incident_diagnosis", "diagnosis"),
    f"{COLLECTION}event": ("incident_event", "note"),
    f"{COLLECTION}investigate": ("incident_investigation", "investigation"),
    f"{COLLECTION}collect_metrics": ("incident_metrics", "metrics"),
    GATE_ACTION: ("incident_decision", "gate"),
}
RECORDING_ACTIONS = frozenset(BELIEVED)
# Events about more than the host of their task.
ABOUT_MANY = ("assessment", "diagnosis", "investigation", "metrics")
COLLECT_ACTION = f"{COLLECTION}collect"
REPORT_ACTION = f"{COLLECTION}report"
_MESSAGE_LIMIT = 500


@dataclass(frozen=True)
class Outcome:
    """What became of one task on one host. `status`: ok, failed, unreachable; `action`: its fully qualified name."""

    host: str
    task: str
    action: str
    status: str
    result: Mapping[str, Any]
    role: str | None = None
    check_mode: bool = False
    ignored: bool = False
    delegated_to: str | None = None
    started: str | None = None
    duration_s: float | None = None

    @property
    def own(self) -> bool:
        """True for a task of this collection."""
        return self.action.startswith(COLLECTION)

    @property
    def censored(self) -> bool:
        """True when no_log hides the result; ansible-core then leaves only these keys of it."""
        return bool(self.result.get("_ansible_no_log")) or "censored" in self.result

    @property
    def changed(self) -> bool:
        """True when it changed something; a loop that failed may have changed something before."""
        if self.status == "ok":
            return bool(self.result.get("changed"))
        return any(item.get("changed") and not item.get("failed") for item in self.items() if item is not self.result)

    def items(self) -> Iterator[Mapping[str, Any]]:
        """Yield the result, or those of the loop's items, that may be read."""
        results = self.result.get("results")
        for item in results if isinstance(results, list) else [self.result]:
            if isinstance(item, Mapping) and not item.get("_ansible_no_log") and "censored" not in item:
                yield item


class Recorder:
    """Writes a run's events into its journal."""

    def __init__(self, journal: Journal, stored: Callable[[str], list[Any]] | None = None) -> None:
        """``stored`` gives the findings that an assessment left in the workspace under a name."""
        self.journal = journal
        self._stored = stored

    def run_started(self, context: Mapping[str, Any]) -> None:
        """Record who started what."""
        self.journal.emit("run.started", {"run": self.journal.run_id, "context": dict(context)}, sync=True)

    def run_finished(self, hosts: Mapping[str, Any]) -> None:
        """Record the end and how many secrets were taken out, and close the journal."""
        self.journal.emit("run.finished", {"hosts": dict(hosts), "redacted": dict(self.journal.redactor.removed)}, sync=True)
        self.journal.close()

    def run_interrupted(self, reason: str) -> None:
        """Record that the run was stopped, and close the journal."""
        self.journal.emit("run.interrupted", {"reason": reason}, sync=True)
        self.journal.close()

    def outcome(self, outcome: Outcome) -> None:
        """Record what a finished task is worth: what our actions say, every change, every failure."""
        # An action that failed because of what it found did its work; one that just failed left a gap.
        told = self._believed(outcome) or (outcome.own and outcome.result.get("incident_gate") is True)
        if outcome.status != "ok":
            self._step(outcome, told)
        if outcome.changed and not outcome.check_mode:
            self._action(outcome)

    def sentences(self, outcome: Outcome) -> list[str]:
        """Return what the user has to be told at once: a machine that gave no evidence, and mistakes in its inventory."""
        told: list[str] = []
        if outcome.action != COLLECT_ACTION or outcome.censored:
            return told
        for item in outcome.items():
            evidence = item.get("incident_evidence")
            if not isinstance(evidence, Mapping):
                continue
            if evidence.get("reachable") is False:
                told.append(f"{outcome.host} gave no evidence: {evidence.get('reason') or 'no reason was given'}")
            problems = evidence.get("problems")
            for problem in problems if isinstance(problems, list) else []:
                if isinstance(problem, Mapping) and problem.get("sentence"):
                    told.append(f"{outcome.host}: {problem['sentence']}")
        return [one_line(self.journal.redactor.text(sentence)) for sentence in told]

    def triage_of(self, outcome: Outcome) -> str:
        """The run whose proposal a decision of the gate is about, "" for anything else."""
        decision = outcome.result.get("incident_decision") if outcome.action == GATE_ACTION and not outcome.censored else None
        return str(decision.get("run") or "") if isinstance(decision, Mapping) else ""

    def _believed(self, outcome: Outcome) -> bool:
        if outcome.action not in BELIEVED or outcome.censored:
            return False
        key, kind = BELIEVED[outcome.action]
        said = [item[key] for item in outcome.items() if isinstance(item.get(key), Mapping)]
        for data in said:
            # Whose result it is comes from Ansible, not from the result: one machine can't speak for another.
            names = {"task_host": outcome.host} if kind in ABOUT_MANY else {"host": outcome.host}
            if kind == "assessment" and self._stored is not None and isinstance(data.get("stored"), str):
                data = {"role": data.get("role"), "findings": self._stored(data["stored"])}  # the same, in full
            severity = data.get("severity") if kind == "note" else None
            happened = data.get("time") if kind == "note" else None
            # Evidence and assessments can be made again, and come by the dozen: waiting for the disk each time would cost more than assessing.
            durable = kind not in ("evidence", "assessment", "investigation", "metrics")
            self.journal.emit(kind, {**data, **names}, severity=severity, happened=happened, subject=self._subject(outcome), sync=durable)
        return bool(said)

    def _action(self, outcome: Outcome) -> None:
        data = {**self._about(outcome), "started": outcome.started, "duration_s": outcome.duration_s, "status": outcome.status}
        self.journal.emit("action", data, subject=self._subject(outcome), sync=True)

    def _step(self, outcome: Outcome, told: bool) -> None:
        message = "" if outcome.censored else _message(outcome)
        data = {**self._about(outcome), "status": outcome.status, "ignored": outcome.ignored, "own": outcome.own, "gate": told, "msg": message}
        if outcome.censored:
            data["censored"] = True
        self.journal.emit("step", data, subject=self._subject(outcome), severity="warning", sync=True)

    def _subject(self, outcome: Outcome) -> str:
        return f"{self.journal.run_id}/{outcome.host}"

    @staticmethod
    def _about(outcome: Outcome) -> dict[str, Any]:
        return {
            "host": outcome.host,
            "delegated_to": outcome.delegated_to,
            # A task's name may be made of values that no_log is there to hide.
            "task": outcome.action if outcome.censored else outcome.task,
            "role": outcome.role,
            "action": outcome.action,
        }


def _message(outcome: Outcome) -> str:
    messages = [str(item["msg"]) for item in outcome.items() if item.get("msg") and (item.get("failed") or item is outcome.result or item.get("unreachable"))]
    return "; ".join(dict.fromkeys(messages))[:_MESSAGE_LIMIT] or str(outcome.result.get("msg") or "")[:_MESSAGE_LIMIT]
