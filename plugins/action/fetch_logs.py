# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``fetch_logs``: save the logs of a machine's services on the controller."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display
from ansible_collections.sre.incident_response.plugins.plugin_utils import durations, log_files, services
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import CallTimeoutError, one_sentence
from ansible_collections.sre.incident_response.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.sre.incident_response.plugins.plugin_utils.evidence import UnreadableAnswerError
from ansible_collections.sre.incident_response.plugins.plugin_utils.log_fetcher import Answer, LogFetcher, ServiceLog

_ARGUMENTS = {
    "service": {"type": "list", "elements": "str", "default": []},
    "since": {"type": "str", "default": "15m"},
    "until": {"type": "str", "default": ""},
    "output_dir": {"type": "path", "default": "./incident-logs"},
    "filter": {"type": "str", "default": ""},
    "tail": {"type": "int", "default": 0},
    "max_bytes": {"type": "bytes", "default": "64M"},
    "redact": {"type": "bool", "default": True},
    "services": {"type": "dict"},
}
_SMALLEST_BYTES = 1000


class ActionModule(ControllerAction):
    """Documented in plugins/modules/fetch_logs.py."""

    _requires_connection = True
    argument_spec = _ARGUMENTS
    _VALID_ARGS = frozenset(_ARGUMENTS)

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Save everything that can be had, tell about it, and only then fail for what is missing."""
        fetcher = LogFetcher(self, variables)
        since, until = _checked(arguments)
        declared = services.check(arguments["services"] if arguments["services"] is not None else fetcher.variable("incident_services"))
        names = self._names_here(fetcher, arguments["service"], declared.services)
        result: dict[str, Any] = {"changed": False, "skipped_services": sorted(set(arguments["service"]) - set(names))}
        if arguments["service"] and not names:
            return {**result, "logs": []}
        answer, unreachable = self._answer(fetcher, _request(declared.services, names, since, until, arguments))
        saved = self._save(answer, fetcher, arguments)
        display = Display()
        for line in (line for one in saved for line in log_files.told(one)):
            display.display(line)
        sentence = _failure(answer, saved, bool(names))
        if unreachable:
            return {**result, "unreachable": True, "msg": unreachable}
        if sentence:
            # Without the summaries, which Ansible would print behind the sentence as one endless line; they are in the files.
            return {**result, "failed": True, "msg": sentence}
        return {**result, "logs": [one.summary for one in saved]}

    def _names_here(self, fetcher: LogFetcher, names: list[str], declared: Mapping[str, Any] | None) -> list[str]:
        """The named services that this machine answers for: its own, and those that no machine of the play declares."""
        if declared is None:
            return names
        variables = fetcher.task_vars
        elsewhere: set[str] = set()
        for host in variables.get("ansible_play_hosts_all") or []:
            found = variables["hostvars"][host].get("incident_services") if host != fetcher.host else None
            rendered = self._templar.template(found) if found else None
            elsewhere |= set(rendered) if isinstance(rendered, Mapping) else set()
        return [name for name in names if name in declared or name not in elsewhere]

    def _answer(self, fetcher: LogFetcher, request: dict[str, Any]) -> tuple[Answer, str | None]:
        """``(answer, why the machine can't be reached or None)``; an answer that could not be had says so for every service."""
        unreachable = None
        try:
            return fetcher.fetch(request), None
        except AnsibleConnectionFailure as error:
            unreachable = problem = f"{fetcher.host} can't be reached: {one_sentence(error)}"
        except (AnsibleError, CallTimeoutError, UnreadableAnswerError, OSError, UnicodeError) as error:
            problem = f"the logs of {fetcher.host} can't be had: {one_sentence(error)}"
        spec = request["services"] or {}
        names = request["names"] or [name for name, one in spec.items() if one.get("container")]
        logs = [ServiceLog({"service": name, "kind": "", "container": spec.get(name, {}).get("container"), "error": problem}, []) for name in names]
        return Answer({"assumptions": [problem]}, logs), unreachable

    def _save(self, answer: Answer, fetcher: LogFetcher, arguments: dict[str, Any]) -> list[log_files.Saved]:
        """Write the files of all services."""
        folder = Path(arguments["output_dir"]).absolute()
        if len(fetcher.task_vars.get("ansible_play_hosts_all") or []) > 1:
            folder /= log_files.safe_name(fetcher.host)
        stamp = datetime.now(tz=UTC).strftime("%Y%m%dT%H%M%SZ")
        custom = fetcher.variable("incident_redact") or []
        custom = [str(entry) for entry in custom] if isinstance(custom, (list, tuple)) else [str(custom)]
        wanted = log_files.Wanted(folder, stamp, fetcher.host, arguments["since"], arguments["until"], arguments["tail"], arguments["filter"])
        saved = []
        for log in answer.services:
            try:
                saved.append(log_files.save(log, answer.header, wanted, log_files.LineCleaner(arguments["redact"], custom)))
            except OSError as error:
                sentence = f"fetch_logs_output_dir {folder} can't be written ({error.strerror or error}); set it to a folder that this user may write"
                raise AnsibleActionFail(sentence) from error
            except UnreadableAnswerError as error:
                raise AnsibleActionFail(f"the log of {log.header['service']} on {fetcher.host} can't be read: {error}; fetch it again") from error
        return saved


def _checked(arguments: dict[str, Any]) -> tuple[durations.Moment, durations.Moment | None]:
    """The time span; AnsibleActionFail for an option that means nothing."""
    if arguments["tail"] < 0:
        raise AnsibleActionFail(f"fetch_logs_tail is {arguments['tail']}: it must be a number of lines, or 0 for all of them")
    if arguments["max_bytes"] < _SMALLEST_BYTES:
        raise AnsibleActionFail(f"fetch_logs_max_bytes is {arguments['max_bytes']}: it must be at least {_SMALLEST_BYTES}, for instance 64M")
    try:
        log_files.filter_pattern(arguments["filter"])
        return durations.parse_span(arguments["since"], arguments["until"], time.time(), ("fetch_logs_since", "fetch_logs_until"))
    except (durations.UnreadableTimeError, log_files.BadFilterError) as error:
        raise AnsibleActionFail(str(error)) from error


def _request(
    declared: Mapping[str, Mapping[str, Any]] | None, names: list[str], since: durations.Moment, until: durations.Moment | None, arguments: dict[str, Any]
) -> dict[str, Any]:
    """What the probe is asked; of the services it only needs to know what they are, and no password."""
    slim = None if declared is None else {name: {key: spec[key] for key in ("kind", "container") if key in spec} for name, spec in declared.items()}
    return {
        "services": slim,
        "names": names,
        "since": since.request(),
        "until": until.request() if until else None,
        "tail": arguments["tail"],
        "max_bytes": arguments["max_bytes"],
    }


def _failure(answer: Answer, saved: list[log_files.Saved], named: bool) -> str | None:
    """Why the task fails: a named service without a log, or none at all. None when everything is well."""
    missing = [one.summary["error"] for one in saved if one.summary["status"] == "error"]
    if missing and (named or len(missing) == len(saved)):
        return "; ".join(dict.fromkeys(missing))
    if not saved:
        reasons = [str(sentence) for sentence in answer.header.get("assumptions") or []]
        return f"there is no service with a container: {'; '.join(reasons) or 'name one with fetch_logs_service, or declare incident_services'}"
    return None
