# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action ``pg_session``: look at single sessions of a PostgreSQL server and, when told to, cancel or end exactly those."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.sre.incident_response.plugins.module_utils.probe.pg_act import OPERATIONS
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import parse_time
from ansible_collections.sre.incident_response.plugins.plugin_utils.remote_call import RemoteCall, RemoteCallError
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import one_line, plural

ARGUMENTS: dict[str, dict[str, Any]] = {
    "service": {"type": "str", "required": True},
    "operation": {"type": "str", "required": True, "choices": sorted(OPERATIONS)},
    "act": {"type": "bool", "default": False},
    "target": {"type": "dict", "required": True},
    "options": {"type": "dict", "default": {}},
}
_DONE = {"terminate_blocker": "ended", "cancel_query": "cancelled", "terminate_idle": "ended"}
_MOST_PID = 2**31 - 1


class ActionModule(ActionBase):
    """Documented in plugins/modules/pg_session.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False
    _VALID_ARGS = frozenset(ARGUMENTS)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look; in check mode never more than that."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        call = RemoteCall(self, task_vars or {})
        operation = arguments["operation"]
        problem = None if operation == "terminate_idle" else wrong_identity(arguments["target"])
        if problem:
            return {**result, "failed": True, "msg": problem}
        act = arguments["act"] and not self._task.check_mode
        protected = call.variable("incident_protected_roles") or []
        request = {"service": arguments["service"], "operation": operation, "act": act, "values": values(arguments["target"], arguments["options"], protected)}
        try:
            answer = call.call("pg_act", request)
        except RemoteCallError as error:
            return {**result, "failed": True, "msg": f"PostgreSQL of {arguments['service']}: {error}"}
        done = [int(pid) for pid in answer.get("done") or []]
        result.update(changed=bool(done) or bool(arguments["act"] and self._task.check_mode), seen=answer.get("seen") or {}, done=done, gone=answer.get("gone"))
        result.update(reached_by=answer.get("reached_by"), msg=_message(operation, act, done, answer))
        if arguments["act"]:
            result["diff"] = _diff(operation, arguments["target"], answer)
        if done and not answer.get("gone"):
            result.update(failed=True, msg=f"{result['msg']}, but the server still shows it after 5 s; look at it with pg_stat_activity")
        return result


def wrong_identity(target: Mapping[str, Any]) -> str | None:
    """Why a target names no session, None when it does. Process id 0 is a prepared transaction, which has no session to end."""
    pid = str(target.get("pid", ""))
    if pid == "0":
        return "process id 0 is a prepared transaction and no session: its owner has to commit it or roll it back, by COMMIT PREPARED or ROLLBACK PREPARED"
    if not re.fullmatch(r"[1-9][0-9]{0,9}", pid) or int(pid) > _MOST_PID:
        return f"pid is {one_line(pid)[:60]!r}, which is no process id of a session; take the one of the proposal"
    start = target.get("backend_start")
    if start is not None and parse_time(start) is None:
        return f"backend_start is {one_line(str(start))[:60]!r}, which is no time; take the one of the proposal"
    return None


def values(target: Mapping[str, Any], options: Mapping[str, Any], protected: Any) -> dict[str, str]:
    """What the statements are given; a flag is yes or nothing."""
    flags = {name: "yes" if options.get(name) else "" for name in ("active", "waiting")}
    numbers = {name: f"{float(options.get(name) or 0):.3f}" for name in ("min_idle_s", "least_query_s", "least_used_pct")}
    most = str(max(0, int(options.get("most") or 0)))
    texts = {name: "" if target.get(name) is None else str(target[name]) for name in ("pid", "backend_start", "app", "client")}
    user = "" if target.get("role") is None else str(target["role"])
    names = [str(name) for name in protected] if isinstance(protected, (list, tuple)) else [str(protected)]
    return {**texts, **flags, **numbers, "most": most, "user": user, "protected": ",".join(names)}


def _diff(operation: str, target: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, str]:
    """What ``--diff`` shows: the target as it is, and what becomes of it."""
    name = f"{operation} {', '.join(f'{key} {one_line(str(target[key]))}' for key in ('pid', 'backend_start', 'app', 'client') if target.get(key) is not None)}"
    seen = answer.get("seen") or {}
    before = "".join(f"{key}: {one_line(str(value))}\n" for key, value in seen.items()) if isinstance(seen, Mapping) else ""
    return {"before_header": name, "after_header": name, "before": before, "after": f"{_DONE[operation]}\n" if before else ""}


def _message(operation: str, act: bool, done: list[int], answer: Mapping[str, Any]) -> str:
    if not act:
        return "looked at it, changed nothing" if answer.get("seen") else "it is gone"
    if not done:
        return "nothing fitted any more, so nothing was done"
    return f"{_DONE[operation]} {plural(len(done), 'session')} ({', '.join(str(pid) for pid in done[:10])})"
