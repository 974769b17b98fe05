# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Translate what ansible-core tells a callback into events of the journal, and publish the reports when the run ends."""

from __future__ import annotations

DOCUMENTATION = r"""
name: timeline
type: aggregate
short_description: Records a run in an append-only journal, and prints a board and writes reports at its end
version_added: 0.1.0
description:
  - Appends what C(sre.incident_response) actions find, every change that any task makes, and every failure to a journal while the run goes on,
    so that the record of a killed run can still be read.
  - At the end writes C(report.html), C(report.md), C(report.json) and C(timeline.jsonl) and prints a board whose last line is the path of the report.
  - Does nothing in a run without a task of M(sre.incident_response.collect), M(sre.incident_response.assess), M(sre.incident_response.diagnose) or
    M(sre.incident_response.event).
  - The collection's own playbooks load it by themselves, also when they are imported. Other playbooks enable it with C(callbacks_enabled).
  - Who acts is told by the variable C(incident_actor), else by AWX, else by the login of the controller.
  - What C(no_log) hides stays hidden; what looks like a secret is taken out before anything is written.
  - An internal error is one warning; it never stops the run.
author:
  - sre.incident_response contributors (!UNKNOWN)
requirements:
  - Enable it in the configuration, unless a playbook of this collection runs.
extends_documentation_fragment:
  - sre.incident_response.timeline
"""

import atexit
import functools
import gc
import getpass
import os
import platform
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from ansible import constants as C  # noqa: N812  # the name that everybody uses for it
from ansible import context
from ansible.executor.process.worker import WorkerProcess
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as core_version
from ansible.template import Templar
from ansible_collections.sre.incident_response.plugins.plugin_utils.fold import fold
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import Journal, read_folder, utc_now
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Record
from ansible_collections.sre.incident_response.plugins.plugin_utils.recorder import RECORDING_ACTIONS, REPORT_ACTION, Outcome, Recorder
from ansible_collections.sre.incident_response.plugins.plugin_utils.redaction import Redactor
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# How long the start of a worker may take before a signal that fell into it is sent once more.
_ASK_AGAIN_S = 0.05
# The callback may be loaded twice, next to a playbook and by callbacks_enabled: only the first one records.
_active: list[object] = []


def guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """Make sure that no error of ours reaches the run: ansible-core would warn at best, and hang at an AssertionError."""

    @functools.wraps(hook)
    def guard(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        self.busy = True
        try:
            hook(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  # whatever it is, recording must not stop the response
            self.complain(error)
        finally:
            self.busy = False
        self.raise_deferred_signal()

    return guard


class CallbackModule(CallbackBase):
    """The adapter; what is worth recording is decided in recorder.py."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "sre.incident_response.timeline"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.busy = False
        self._playbook = ""
        self._play: Any = None
        self._recorder: Recorder | None = None
        self._workspace: Workspace | None = None
        self._tried = False
        self._ended = False
        self._complained = False
        self._starts: dict[tuple[str, str], tuple[float, str]] = {}
        self._rebuilt: str | None = None
        self._incident: Path | None = None
        self._previous_handlers: dict[int, Any] = {}
        self._deferred: tuple[int, FrameType | None] | None = None
        self._pid = os.getpid()
        if _active:
            self.disabled = True
        else:
            _active.append(self)

    def complain(self, error: Exception) -> None:
        """Warn about the first internal error; the others would say the same."""
        if not self._complained:
            self._complained = True
            self._display.warning(f"The incident timeline is incomplete from here on ({type(error).__name__}: {error}). The run itself goes on.")

    def _tell(self, sentence: str) -> None:
        """Print a warning on one line: Display.warning would break it, and then it can be neither searched for nor pasted."""
        self._display.display(f"[WARNING]: {sentence}", color=C.COLOR_WARN, stderr=True)

    # -- hooks -------------------------------------------------------------------------------------------------------

    @guarded
    def v2_playbook_on_start(self, playbook: Any) -> None:
        # What is loaded by now stays until the end. Frozen, it is neither looked through again nor copied into every worker: a tenth of the run.
        gc.freeze()
        self._playbook = str(getattr(playbook, "_file_name", "") or "")

    @guarded
    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play = play

    @guarded
    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._open_for(task)

    @guarded
    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._open_for(task)

    @guarded
    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if self._recorder is not None:
            self._starts[(host.name, task._uuid)] = (time.monotonic(), utc_now())

    @guarded
    def v2_runner_on_ok(self, result: Any) -> None:
        self._record(result, "ok")

    @guarded
    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._record(result, "failed", bool(ignore_errors))

    @guarded
    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._record(result, "unreachable", bool(result.task_fields.get("ignore_unreachable")))

    @guarded
    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self._recorder is not None and not self._ended:
            self._ended = True
            self._recorder.run_finished({host: stats.summarize(host) for host in sorted(stats.processed)})
            self._publish()
        elif self._recorder is None and self._rebuilt:
            read = read_folder(self._rebuilt)
            self._print_board(fold(read.events, read.problems), Path(self._rebuilt) / "report.html")
        self._leave()

    # -- a run's beginning -------------------------------------------------------------------------------------------

    def _open_for(self, task: Any) -> None:
        """Begin the record in the main process, before the workers that share its folder are forked."""
        if self._tried or _action_of(task) not in RECORDING_ACTIONS:
            return
        self._tried = True
        variables = self._variables()
        redactor = Redactor(_as_list(variables.get("incident_redact") or self.get_option("redact")))
        for problem in redactor.problems:
            self._tell(problem)
        self._workspace = Workspace.create(str(variables.get("incident_state_dir") or self.get_option("state_dir")))
        if self._workspace.problem:
            self._tell(self._workspace.problem)
        recorder = Recorder(Journal(self._workspace.journal, self._workspace.run_id, redactor), self._workspace.stored_findings)
        recorder.run_started(self._context(variables))
        self._recorder = recorder
        self._incident = self._join(str(variables.get("incident_id") or ""), recorder.journal.path)
        atexit.register(self._at_exit)
        for number in _SIGNALS:
            self._previous_handlers[number] = signal.getsignal(number)
            signal.signal(number, self._on_signal)

    def _join(self, incident: str, segment: Path) -> Path | None:
        """Make this run a part of an incident; when that can't be done, it is one sentence and the run is recorded by itself."""
        if not incident or self._workspace is None:
            return None
        from ansible_collections.sre.incident_response.plugins.plugin_utils.report.publish import RunNotFoundError, join

        try:
            return join(self._workspace.state_dir, incident, segment)
        except RunNotFoundError as error:
            self._tell(f"incident_id is {incident}, but {error} This run is recorded by itself.")
        except OSError as error:
            self._tell(f"This run can't be added to incident {incident} ({error.strerror or error}); it is recorded by itself.")
        return None

    def _variables(self) -> dict[str, Any]:
        """Read the variables that options may come from; ansible-core before 2.21 doesn't do it for callbacks."""
        manager = self._play.get_variable_manager()
        hosts = manager._inventory.get_hosts(self._play.hosts) if manager._inventory else []
        everything = manager.get_vars(play=self._play, host=hosts[0] if hosts else None)
        names = ("incident_state_dir", "incident_redact", "incident_actor", "incident_id")
        templar = Templar(loader=self._play.get_loader(), variables=everything)
        values = {name: templar.template(everything[name]) for name in names if everything.get(name)}
        return {**{name: value for name, value in manager.extra_vars.items() if name.startswith(("awx_", "tower_"))}, **values}

    def _context(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        environment = os.environ
        job, server = environment.get("JOB_ID"), environment.get("AWX_HOST")
        return {
            "playbook": os.path.basename(self._playbook),
            "actor": _actor(variables),
            "job": {"id": job, "url": f"{server}/#/jobs/playbook/{job}" if job and server else None, "launch": variables.get("awx_job_launch_type")},
            "check_mode": bool(context.CLIARGS.get("check")),
            "limit": context.CLIARGS.get("subset"),
            "tags": [tag for tag in context.CLIARGS.get("tags") or [] if tag != "all"],
            "skip_tags": list(context.CLIARGS.get("skip_tags") or []),
            "state_dir_problem": self._workspace.problem if self._workspace else None,
            "versions": {"ansible_core": core_version, "collection": _collection_version(), "python": platform.python_version()},
        }

    # -- while it runs -----------------------------------------------------------------------------------------------

    def _record(self, result: Any, status: str, ignored: bool = False) -> None:
        task = result.task
        action = _action_of(task)
        if self._recorder is None or self._ended:
            rebuilt = result.result.get("incident_report") if action == REPORT_ACTION else None
            if isinstance(rebuilt, Mapping):
                self._rebuilt = str(rebuilt.get("folder") or "") or None
            return
        started = self._starts.pop((result.host.name, task._uuid), None)
        outcome = Outcome(
            host=result.host.name,
            task=result.task_name,
            action=action,
            status=status,
            result=result.result,
            role=task._role.get_name() if task._role else None,
            check_mode=bool(task.check_mode),
            ignored=ignored,
            delegated_to=_delegated_to(result),
            started=started[1] if started else None,
            duration_s=round(time.monotonic() - started[0], 3) if started else None,
        )
        for sentence in self._recorder.sentences(outcome):
            self._tell(sentence)
        self._recorder.outcome(outcome)
        triage = self._recorder.triage_of(outcome)
        if triage and self._incident is None:
            # What was done about an incident belongs into its report as well.
            self._incident = self._join(triage, self._recorder.journal.path)

    # -- its end -----------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Note the interruption, then let ansible-core's own handler do its work."""
        if os.getpid() != self._pid:
            # A worker that has not set its own handlers yet: ansible-core's, inherited from the main process, is not made for it.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.busy:
            self._deferred = (number, frame)  # an event is being written: half of it would break the journal
            return
        if _starts_a_worker(frame):
            # ansible-core does not know this worker yet and would leave it running; and what is raised while Python forks is swallowed.
            again = threading.Timer(_ASK_AGAIN_S, os.kill, (self._pid, number))
            again.daemon = True
            again.start()
            return
        self._interrupted(signal.Signals(number).name)
        previous = self._previous_handlers.get(number)
        if callable(previous):
            previous(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def raise_deferred_signal(self) -> None:
        """Handle a signal that arrived while an event was being written."""
        if self._deferred is not None:
            deferred, self._deferred = self._deferred, None
            self._on_signal(*deferred)

    def _interrupted(self, reason: str) -> None:
        if self._recorder is None or self._ended or os.getpid() != self._pid:
            return
        self._ended = True
        try:
            self._recorder.run_interrupted(reason)
        except Exception as error:  # noqa: BLE001  # the process is on its way out; the journal up to here is what counts
            self.complain(error)

    def _at_exit(self) -> None:
        """Reached without v2_playbook_on_stats after Ctrl-C, or after an error that stopped ansible-playbook itself."""
        if os.getpid() != self._pid or self not in _active:
            return
        self._interrupted("an error that stopped ansible-playbook")
        self._publish_guarded()
        self._leave()

    def _leave(self) -> None:
        atexit.unregister(self._at_exit)
        if self in _active:
            _active.remove(self)

    @guarded
    def _publish_guarded(self) -> None:
        self._publish()

    def _publish(self) -> None:
        from ansible_collections.sre.incident_response.plugins.plugin_utils.report.publish import publish

        if self._workspace is not None:
            published = publish(self._workspace.path)
            own = record = published.record
            if self._incident is not None:
                published = publish(self._incident)
                # The incident may have been investigated before: what is printed is what this run looked at.
                published.record.investigations = own.investigations
                # And of a run that changed something, what became of that.
                record = own if own.decisions else published.record
            self._print_board(record, published.html, self._workspace.problem)

    def _print_board(self, record: Record, report: Path, problem: str | None = None) -> None:
        from ansible_collections.sre.incident_response.plugins.plugin_utils.report.board import board

        if record.investigations:
            from ansible_collections.sre.incident_response.plugins.plugin_utils.report.tables import tables

            self._display.display("")
            for line in tables(record):
                self._display.display(line.text, color=line.colour)
        self._display.display("")
        for line in board(record, str(report), problem):
            self._display.display(line.text, color=line.colour)


def _action_of(task: Any) -> str:
    return str(getattr(task, "resolved_action", None) or task.action)


def _starts_a_worker(frame: FrameType | None) -> bool:
    """Tell whether the code that a signal interrupted is about to fork a worker, or has just done it."""
    while frame is not None:
        if frame.f_code is WorkerProcess.start.__code__:
            return True
        frame = frame.f_back
    return False


def _delegated_to(result: Any) -> str | None:
    """Name the host that did the work. A looped task keeps its raw template here, which says nothing."""
    name = result.task.delegate_to
    return name if isinstance(name, str) and "{{" not in name else None


def _as_list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)] if value else []


def _actor(variables: Mapping[str, Any]) -> dict[str, str]:
    """Say who acts: a person as far as it is known, else the schedule that started the job."""
    person = variables.get("incident_actor") or variables.get("awx_user_name") or variables.get("tower_user_name")
    schedule = variables.get("awx_schedule_name") or variables.get("tower_schedule_name")
    if person or not schedule:
        return {"type": "user", "id": str(person or os.environ.get("SUDO_USER") or _login_name())}
    return {"type": "system", "id": str(schedule)}


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container may run as a number without a name


def _collection_version() -> str:
    root = Path(__file__).resolve().parents[2]
    for name, pattern in (("MANIFEST.json", r'"version":\s*"([^"]+)"'), ("galaxy.yml", r"^version:\s*(\S+)")):
        try:
            found = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        except OSError:
            continue
        if found:
            return found.group(1)
    return "unknown"
