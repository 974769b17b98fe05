# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``preflight``: hold the readiness checks against the evidence and the controller, and say what is missing for tonight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as core_version
from ansible.utils.display import Display
from ansible_collections.sre.incident_response.plugins.plugin_utils import controller, preflight
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import CheckError
from ansible_collections.sre.incident_response.plugins.plugin_utils.expressions import MISSING
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import utc_now
from ansible_collections.sre.incident_response.plugins.plugin_utils.redaction import Redactor
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.json import dump
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.publish import write_whole
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

ARGUMENTS: dict[str, dict[str, Any]] = {
    "checks": {"type": "path"},
    "webhooks": {"type": "dict", "default": {}, "no_log": True},
    "addresses": {"type": "dict", "default": {}, "no_log": True},
    "timeout_s": {"type": "float", "default": 5.0},
    "fail_below": {"type": "int", "default": 0},
    "thresholds": {"type": "dict", "default": {}},
    "only": {"type": "list", "elements": "str", "default": []},
    "skip": {"type": "list", "elements": "str", "default": []},
}
CHECKS = controller.COLLECTION_ROOT / "roles/preflight/files/readiness.yml"
FILE = "preflight.json"
COLOURS = {"critical": "bright red", "warning": "yellow", "unknown": "yellow", "ok": "green"}


class ActionModule(ActionBase):
    """Documented in plugins/modules/preflight.py."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    _VALID_ARGS = frozenset(ARGUMENTS)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Assess, write the result, print it, and fail when the score is below what is demanded."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if MISSING is not None:
            raise AnsibleActionFail(f"sre.incident_response.preflight needs the Python package jmespath on the controller ({MISSING}); pip install jmespath")
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        if not 0 <= arguments["fail_below"] <= 100:
            raise AnsibleActionFail(f"preflight_fail_below is {arguments['fail_below']}: it must be a share of the questions in percent, from 0 to 100")
        workspace = Workspace.current(task_vars or {}, self._templar.template)
        facts = controller.look(workspace, core_version, arguments["webhooks"], arguments["addresses"], max(0.1, arguments["timeout_s"]))
        questions, findings = _answers(arguments, workspace, facts)
        report = Redactor().value(preflight.document(findings, questions, workspace.run_id, utc_now()))
        path = _write(workspace, dump(report))
        workspace.write_findings(preflight.ROLE, {"role": preflight.ROLE, "host": None, "findings": [finding.as_dict() for finding in findings]})
        _show(report)
        score = report["score"]
        result.update(changed=False, incident_assessment={"role": preflight.ROLE, "stored": preflight.ROLE}, preflight_file=str(path))
        gaps = [{key: gap[key] for key in ("id", "host", "service", "severity")} for gap in report["gaps"]]
        result.update(ready=report["ready"], score=score, gaps=gaps, msg=preflight.headline(report))
        sentence = preflight.failure(report, arguments["fail_below"], str(path))
        if sentence:
            result.update(failed=True, incident_gate=True, msg=sentence)
        return result


def _answers(arguments: dict[str, Any], workspace: Workspace, facts: dict[str, Any]) -> tuple[preflight.Questions, list[Any]]:
    choice = preflight.Choice(arguments["thresholds"], arguments["only"], arguments["skip"])
    documents = [document for _host, document in workspace.all_evidence()]
    try:
        questions = preflight.Questions.read(Path(arguments["checks"] or CHECKS))
        return questions, preflight.answers(questions, documents, facts, workspace.path, choice)
    except CheckError as error:
        raise AnsibleActionFail(str(error)) from error


def _write(workspace: Workspace, text: str) -> Path:
    """Keep the result with its run, and as the newest one of the state directory; returns that of the run."""
    path = workspace.file(FILE)
    try:
        for target in (path, workspace.state_dir / FILE):
            write_whole(target, text)
    except OSError as error:
        raise AnsibleActionFail(f"{error.filename or path} can't be written ({error.strerror or error}); free some space at incident_state_dir") from error
    return path


def _show(report: dict[str, Any]) -> None:
    display = Display()
    display.display("")
    for text, level in preflight.lines(report):
        display.display(text, color=COLOURS.get(str(level)))
    display.display("")
