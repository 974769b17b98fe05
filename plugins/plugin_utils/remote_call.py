# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one of the programs beside the probe (``pg_act``, ``capture``) on the machine of a task: one remote call that writes nothing there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.sre.incident_response.plugins.plugin_utils import services
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import (
    PACKED_PROBE,
    WAY_S,
    CallTimeoutError,
    Collector,
    children,
    end_processes,
    explained,
    one_sentence,
    starting,
    time_limit,
)
from ansible_collections.sre.incident_response.plugins.plugin_utils.evidence import UnreadableAnswerError

BUDGET_S = 30.0


class RemoteCallError(Exception):
    """The machine did not do what it was asked; one sentence."""


class RemoteCall(Collector):
    """The way of the collector, for an answer of another program than the probe."""

    def declared(self) -> dict[str, dict[str, Any]]:
        """The services that the inventory declares for this machine; a change never acts on what was only discovered."""
        return services.check(self.variable("incident_services")).services or {}

    def call(self, entry: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a program to a request; RemoteCallError when there is none, or when it says that it could not."""
        request = {**wanted, "services": self.declared(), "options": {"budget_s": BUDGET_S}, "token": secrets.token_hex(8), "entry": entry}
        before = children()
        try:
            with time_limit(BUDGET_S + WAY_S):
                answer = self._answer_over_stdin(request) if self._takes_stdin() else self._answer_packed(request)
        except CallTimeoutError as error:
            end_processes(children() - before)
            raise RemoteCallError(f"{self.host}: {error}") from error
        except (AnsibleError, UnreadableAnswerError, OSError, UnicodeError) as error:
            raise RemoteCallError(f"{self.host} could not be asked: {one_sentence(error)}") from error
        if answer.get("ok") is not True:
            raise RemoteCallError(one_sentence(answer.get("reason") or "no reason was given"))
        return answer

    def _answer_over_stdin(self, request: dict[str, Any]) -> dict[str, Any]:
        interpreter = self.interpreter()
        program = self._program(interpreter, request, str(request["entry"]))
        result = self.action._low_level_execute_command(starting(interpreter), in_data=program, sudoable=True)
        answer = between_marks(str(result["stdout"]), str(request["token"]))
        if answer is not None:
            return answer
        if self.action._connection.become is not None and "tty" in str(result["stderr"]):
            return self._answer_packed(request)
        raise UnreadableAnswerError(explained("the program gave no answer", result))

    def _answer_packed(self, request: dict[str, Any]) -> dict[str, Any]:
        arguments = {"request": json.dumps(request)}
        result = self.action._execute_module(module_name=PACKED_PROBE, module_args=arguments, task_vars=dict(self.task_vars))
        if isinstance(result.get("answer"), dict):
            return dict(result["answer"])
        raise UnreadableAnswerError(f"the packed program gave no answer: {one_sentence(result.get('module_stderr') or result.get('msg') or 'no message')}")


def between_marks(stdout: str, token: str) -> dict[str, Any] | None:
    """The answer between the marks that carry the request's token; None when it is not complete."""
    mark = f"sre-answer-{token}"
    _before, opened, rest = stdout.partition(f"<{mark}>")
    text, closed, _after = rest.rpartition(f"</{mark}>")
    if not opened or not closed:
        return None
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
