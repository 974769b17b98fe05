# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all actions of this collection have in common: they run on the controller and change nothing on a machine."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from .expressions import MISSING


class ControllerAction(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """An action gives its ``argument_spec``, and ``answer()`` what the task returns."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    argument_spec: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - as Ansible's own attributes
    needs_jmespath = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Answer with checked arguments; AnsibleActionFail for one that is wrong, and when the controller lacks a library."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if self.needs_jmespath and MISSING is not None:
            name = type(self).__module__.rpartition(".")[2]
            raise AnsibleActionFail(f"sre.incident_response.{name} needs the Python package jmespath on the controller ({MISSING}); pip install jmespath")
        return {**result, **self.answer(self.arguments(), task_vars or {})}

    def arguments(self) -> dict[str, Any]:
        """The task's arguments, checked and completed."""
        _validation, arguments = self.validate_argument_spec(argument_spec=self.argument_spec)
        return dict(arguments)

    def answer(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """What the task returns; ``variables`` are those of the task."""
        raise NotImplementedError
