# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gets the probe onto a machine and its answer back: one remote call that writes nothing there.

Whatever goes wrong on the way ends in an evidence document that says so; only a mistake in the task itself raises.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.sre.incident_response.plugins.module_utils.probe.clean import clean_text
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import DEEP_OPTIONS, DEFAULT_OPTIONS
from ansible_collections.sre.incident_response.plugins.plugin_utils import budget as budgets
from ansible_collections.sre.incident_response.plugins.plugin_utils import evidence, probe_program, services
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

PACKED_PROBE = "sre.incident_response.probe"
# Connecting, starting Python and coming back, on top of the probe's own budget.
WAY_S = 40
# A machine that had so much time and said nothing counts as one that can't be reached; with less we only know that we did not wait.
PATIENCE_S = 20.0
NO_PYTHON = 127
# Isolated and without site: faster, and nothing of the user's environment can change what runs.
PYTHON_OPTIONS = "-I -S -"
# First what PATH says, then where it is when PATH is bare; older enterprise systems have the newer ones only by version.
USUAL_PYTHONS = ("python3", "/usr/bin/python3", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9", "python3.8")
# Tries each, because a version manager's shim may be there without a Python behind it.
FIND_PYTHON = f"""\
for python in {" ".join(USUAL_PYTHONS)}; do
  "$python" -I -S -c "import sys; sys.exit(sys.version_info < (3, 8))" </dev/null >/dev/null 2>&1 && exec "$python" {PYTHON_OPTIONS}
done
exit {NO_PYTHON}"""


class CallTimeoutError(Exception):
    """The machine did not answer in time."""


def ensure(action: Any, task_vars: Mapping[str, Any], sources: Iterable[str]) -> dict[str, Any]:
    """The evidence of the task's host in this run with at least these sources; collects what nobody asked for yet.

    ``action`` is the running action plugin (an ActionBase). A machine that can't be reached gives a document that says so.
    """
    collector = Collector(action, task_vars)
    document = collector.workspace.evidence(collector.host)
    missing = evidence.missing_sources(document, sources)
    if missing or document is None:
        declared = collector.variable("incident_services")
        return collector.collect(services.check(declared), missing, {})
    return document


def checked_options(given: Any) -> dict[str, float]:
    """The ``options`` of the task as numbers; AnsibleActionFail for a key or value that is none."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise AnsibleActionFail(f"options of sre.incident_response.collect is {given!r}: it must be a dictionary such as {{sample_s: 0.25}}")
    numbers = {}
    for key, value in given.items():
        if key not in DEFAULT_OPTIONS:
            raise AnsibleActionFail(f"option {key!r} of sre.incident_response.collect is unknown; allowed are {', '.join(DEFAULT_OPTIONS)}")
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if not 0 <= number < 1e9:
            raise AnsibleActionFail(f"option {key} of sre.incident_response.collect is {value!r}: it must be a number, 0 or more")
        numbers[str(key)] = number if isinstance(DEFAULT_OPTIONS[key], float) else int(number)
    return numbers


def checked_depth(given: Any) -> str:
    """The ``depth`` of the task, "" for the usual one; AnsibleActionFail for one that does not exist."""
    if given in (None, "", "triage"):
        return ""
    if given != "deep":
        raise AnsibleActionFail(f"depth of sre.incident_response.collect is {given!r}: use triage or deep")
    return "deep"


def checked_sources(given: Any) -> list[str] | None:
    """The ``sources`` of the task, None for all; AnsibleActionFail for one that does not exist."""
    if given is None or given == []:
        return None
    names = [str(name) for name in given] if isinstance(given, (list, tuple)) else [str(given)]
    for name in names:
        if name not in evidence.SOURCES:
            raise AnsibleActionFail(f"source {name!r} of sre.incident_response.collect is unknown; allowed are {', '.join(evidence.SOURCES)}")
    return names


class Collector:
    """One call to the machine of a task."""

    def __init__(self, action: Any, task_vars: Mapping[str, Any], host_root: Any = None) -> None:
        """``host_root``: path of a recorded tree on the machine; None means that of the variable ``incident_host_root``, empty the machine itself."""
        self.action = action
        self.task_vars = task_vars
        self.host = str(task_vars["inventory_hostname"])
        self.workspace = Workspace.current(task_vars, action._templar.template)
        self.host_root = str((self.variable("incident_host_root") if host_root is None else host_root) or "")

    def variable(self, name: str) -> Any:
        """A variable of the host, rendered."""
        value = self.task_vars.get(name)
        return None if value is None else self.action._templar.template(value)

    def collect(self, checked: services.Checked, sources: list[str] | None, options: Mapping[str, float], depth: str = "") -> dict[str, Any]:
        """Ask the machine, merge the answer into what this run knows about it, and return that."""
        document = self.ask(checked, sources, options, depth)
        if sources is not None:
            document = evidence.merged(self.workspace.evidence(self.host), document)
        self.workspace.write_evidence(document)
        return document

    def budget(self) -> budgets.Budget:
        """The time that all machines of this task have together; AnsibleActionFail for an option that is no time."""
        try:
            total_s = budgets.seconds(self.variable(budgets.VARIABLE))
        except budgets.BudgetError as error:
            raise AnsibleActionFail(str(error)) from error
        return budgets.begin(self.workspace, str(getattr(self.action._task, "_uuid", "")), total_s)

    def ask(self, checked: services.Checked, sources: list[str] | None, options: Mapping[str, float], depth: str = "") -> dict[str, Any]:
        """The evidence document of one call; never raises for anything that the machine or the way to it does."""
        budget, sent = self.budget(), time.time()
        effective = {**(DEEP_OPTIONS if depth else DEFAULT_OPTIONS), **options}
        left_s = budget.turn_s(sent, len(self.task_vars.get("ansible_play_hosts") or ()), int(self.task_vars.get("ansible_forks") or 1))
        if not left_s:
            reason = f"it was not asked any more, because {budget.words} was over; raise it, or look at fewer machines with --limit"
            return evidence.unreachable(self.host, reason, checked, effective, evidence.Call(sent, sent), unfinished=True)
        # The probe itself shall end in time with what it has: half an answer is better than none.
        effective["budget_s"] = min(float(effective["budget_s"]), max(1.0, left_s - budgets.LEAST_CALL_S))
        limit_s = min(effective["budget_s"] + WAY_S, left_s)
        request = {
            "services": checked.services,
            "sources": sources,
            "depth": depth,
            "options": {**options, "budget_s": effective["budget_s"]},
            "resources": probe_program.resources(),
            "host_root": self.host_root,
            "token": secrets.token_hex(8),
        }
        late = limit_s < PATIENCE_S
        before = children()
        try:
            with time_limit(limit_s):
                answer = self._over_stdin(request) if self._takes_stdin() else self._packed(request)
        except CallTimeoutError as error:
            end_processes(children() - before)
            reason = f"{error}; {budget.words} ended" if left_s < effective["budget_s"] + WAY_S else str(error)
            return evidence.unreachable(self.host, reason, checked, effective, evidence.Call(sent, time.time()), unfinished=late)
        except evidence.UnreadableAnswerError as error:
            reason = str(error)
        except (AnsibleError, OSError, UnicodeError) as error:
            # "Failed to connect to the host via ssh: ..." and its like: what ssh itself says is enough.
            reason = f"{re.split('(?:via|over) ssh: ', one_sentence(error), maxsplit=1)[-1]} (connection {self._transport()})"
        else:
            return evidence.completed(answer, self.host, checked, evidence.Call(sent, time.time()), sources)
        return evidence.unreachable(self.host, reason, checked, effective, evidence.Call(sent, time.time()))

    # -- two ways ----------------------------------------------------------------------------------------------------

    def _takes_stdin(self) -> bool:
        connection = self.action._connection
        become = connection.become
        return bool(connection.has_pipelining) and (become is None or bool(become.pipelining))

    def _over_stdin(self, request: dict[str, Any]) -> dict[str, Any]:
        """Feed the joined program to the machine's Python."""
        interpreter = self.interpreter()
        result = self.action._low_level_execute_command(starting(interpreter), in_data=self._program(interpreter, request), sudoable=True)
        try:
            return evidence.parse_answer(str(result["stdout"]), request["token"])
        except evidence.UnreadableAnswerError as error:
            if self.action._connection.become is not None and "tty" in str(result["stderr"]):
                # sudo's requiretty: only the way without standard input gets a terminal.
                return self._packed(request)
            raise evidence.UnreadableAnswerError(explained(str(error), result)) from None

    def _program(self, interpreter: list[str] | None, request: dict[str, Any], entry: str = "runner") -> bytes:
        """What that Python is fed with; Ansible's own one on the controller finds the files where Ansible itself has them."""
        here = interpreter == [sys.executable] and self._transport() == "local" and self.action._connection.become is None
        return probe_program.build(request, here, entry)

    def _packed(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the same code as an ordinary module, for connections that can't take standard input."""
        arguments = {"request": json.dumps(request)}
        result = self.action._execute_module(module_name=PACKED_PROBE, module_args=arguments, task_vars=dict(self.task_vars))
        document = result.get("evidence")
        if isinstance(document, dict) and document.get("schema") == evidence.SCHEMA:
            return document
        complaint = one_sentence(result.get("module_stderr") or result.get("msg") or "no message")
        raise evidence.UnreadableAnswerError(f"the packed probe gave no evidence: {complaint}")

    # -- the machine's Python ----------------------------------------------------------------------------------------

    def interpreter(self) -> list[str] | None:
        """The words that start the machine's Python, None when it has to be looked for there."""
        configured = self._configured_interpreter()
        if configured:
            # A checkout may lie in a folder with a space in its name; what somebody wrote by hand may have options behind it.
            return [configured] if configured == sys.executable else shlex.split(configured)
        return [sys.executable] if self._transport() == "local" else None

    def _configured_interpreter(self) -> str | None:
        """``ansible_python_interpreter`` where it names one, or what Ansible has discovered on this host before."""
        delegated = self.action._task.delegate_to
        variables = (self.task_vars.get("ansible_delegated_vars") or {}).get(delegated, {}) if delegated else self.task_vars
        value = variables.get("ansible_python_interpreter")
        rendered = str(self.action._templar.template(value)).strip() if value else ""
        if rendered and not rendered.startswith("auto"):
            return rendered
        discovered = (variables.get("ansible_facts") or {}).get("discovered_interpreter_python")
        return str(discovered) if discovered else None

    def _transport(self) -> str:
        return str(self.action._connection.transport).rpartition(".")[2]


def starting(interpreter: list[str] | None) -> str:
    """The shell command that runs a Python with a program on standard input."""
    if interpreter is None:
        return f"/bin/sh -c {shlex.quote(FIND_PYTHON)}"
    return f"{' '.join(shlex.quote(word) for word in interpreter)} {PYTHON_OPTIONS}"


def explained(problem: str, result: Mapping[str, Any]) -> str:
    """The problem with what the machine said about it and the next step."""
    complaint = one_sentence(result.get("stderr") or result.get("stdout") or "")
    if result.get("rc") == NO_PYTHON:
        return f"no Python 3.8 or newer was found there{f' ({complaint})' if complaint else ''}; install python3 or set ansible_python_interpreter"
    if str(result.get("stderr")).lstrip().startswith("Timeout ("):
        return "the probe was stuck in a computation and ended itself; leave out one source after the other with sources, and report which one it was"
    if complaint:
        return f"{problem} (exit code {result.get('rc')}): {complaint}"
    return f"{problem} (exit code {result.get('rc')}, nothing else printed); check ansible_python_interpreter"


def one_sentence(text: object) -> str:
    """The last line of an error or of a traceback, which is the one that says what happened."""
    lines = [line.strip() for line in clean_text(str(text)).splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def children() -> set[int]:
    """Ids of the processes that this one has started and that still run; empty where the kernel does not list them."""
    try:
        return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text(encoding="ascii").split()}
    except (OSError, ValueError):
        return set()


def end_processes(pids: Iterable[int]) -> None:
    """End what a call that was given up has left behind, such as an ssh that still waits."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """CallTimeoutError after ``seconds``. A ``timeout:`` of the task itself, which uses the same signal, takes precedence."""
    if threading.current_thread() is not threading.main_thread() or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise CallTimeoutError(f"no answer within {seconds:.3g} s; look at the machine's load and the way to it, or raise budget_s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
