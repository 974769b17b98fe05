# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``health_report``: write what the run's health checks said as JSON and text, and fail when not everything is healthy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.fold import finding_from
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import utc_now
from ansible_collections.sre.incident_response.plugins.plugin_utils.redaction import Redactor
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import health
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.json import dump
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.publish import write_whole
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

_ARGUMENTS = {"output_dir": {"type": "path", "default": "./health-check-results"}, "fail": {"type": "bool", "default": True}}


class ActionModule(ControllerAction):
    """Documented in plugins/modules/health_report.py."""

    argument_spec = _ARGUMENTS
    _VALID_ARGS = frozenset(_ARGUMENTS)

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Write both files, then say in one sentence what is wrong."""
        workspace = Workspace.current(variables, self._templar.template)
        seen = health.Seen(dict(workspace.all_evidence()), self._declared(variables))
        now = utc_now()
        report = Redactor().value(health.document(_findings(workspace), seen, now))
        path = _write(Path(arguments["output_dir"]).absolute(), report, health.stamp(now))
        counts = {key: report[key] for key in ("overall_status", "total_checks", "healthy", "unhealthy", "unknown")}
        result = {"changed": False, "health_file": str(path), **counts}
        sentence = health.failure(report, str(path))
        if sentence and arguments["fail"]:
            result.update(failed=True, incident_gate=True, msg=sentence)
        return result

    def _declared(self, variables: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return what the inventory declares for each machine that was meant to be asked, also for one that gave no evidence.

        Of a run that was limited to some machines only those that gave evidence are known to have been meant.
        """
        limited = variables.get("ansible_limit") or variables.get("incident_hosts")
        hostvars = variables.get("hostvars") or {}
        declared = {}
        for host in [] if limited else variables.get("groups", {}).get("all", []):
            services = hostvars[host].get("incident_services") if host in hostvars else None
            rendered = self._templar.template(services) if services else None
            if isinstance(rendered, Mapping):
                declared[str(host)] = rendered
        return declared


def _findings(workspace: Workspace) -> list[Finding]:
    """Read the findings of all assessments of this run."""
    findings: list[Finding] = []
    for document in workspace.findings().values():
        items = document.get("findings") if isinstance(document, Mapping) else document
        findings += [finding for item in items or [] if isinstance(item, Mapping) and (finding := finding_from(item)) is not None]
    return findings


def _write(folder: Path, report: dict[str, Any], stamp: str) -> Path:
    """Write the JSON and the log; two checks within a second don't overwrite each other."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path, number = folder / f"health-all-services-{stamp}.json", 1
        while path.exists():
            number += 1
            path = folder / f"health-all-services-{stamp}-{number}.json"
        write_whole(path, dump(report))
        write_whole(path.with_suffix(".log"), health.log(report))
    except OSError as error:
        message = f"health_check_output_dir {folder} can't be written ({error.strerror or error}); set it to a folder that this user may write."
        raise AnsibleActionFail(message) from error
    return path
