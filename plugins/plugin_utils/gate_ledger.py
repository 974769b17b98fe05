# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of all mitigations of a state directory: what was begun by whom, and how it ended.

One file per mitigation in ``<incident_state_dir>/mitigations/``. One that was begun and did not end is the lock: nobody else begins another
one meanwhile. Reading and writing happen under a lock of the operating system that ends with its process, so a run that is killed never
leaves more behind than its entry, which says who that was.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .workspace import _process_start, _write, new_run_id

BEGUN = "begun"
VERIFIED = "verified"
NOT_PROVEN = "not_proven"
NOT_APPLIED = "not_applied"
FAILED = "failed"
CLOSED = (VERIFIED, NOT_PROVEN, NOT_APPLIED, FAILED)
# Waiting for others who read or write the ledger, which takes milliseconds.
PATIENCE_S = 10.0
# Of a holder on another controller nobody here can tell whether it still runs; no mitigation takes this long.
LONGEST_S = 1800.0


class LedgerError(Exception):
    """The ledger can't be used; one sentence with the next step."""


@dataclass(frozen=True)
class Holder:
    """Who began a mitigation: a person, and the process of a run on a controller."""

    actor: str
    controller: str
    pid: int
    started: str
    run: str

    @classmethod
    def of(cls, pid: int, actor: str, run: str) -> Holder:
        """The holder that the run with that main process is."""
        return cls(actor, socket.gethostname(), pid, _process_start(pid)[1], run)

    def alive(self, began: float, now: float) -> bool:
        """Whether that run still goes on, as far as it can be known here."""
        if self.controller != socket.gethostname():
            return now - began < LONGEST_S
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return _process_start(self.pid)[1] == self.started


@dataclass
class Entry:
    """One mitigation. Times are epoch seconds of the controller; ``run`` is the triage that proposed it, "" without one."""

    id: str
    mitigation: str
    service: str
    host: str
    target: dict[str, Any]
    holder: Holder
    began: float
    state: str = BEGUN
    ended: float | None = None
    proposal: str = ""
    run: str = ""
    outcome: str = ""
    forced: str = ""
    evidence: list[str] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """True until somebody said how it ended."""
        return self.state == BEGUN

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Entry:
        """An entry as it was written; KeyError, TypeError or ValueError when it is none."""
        return cls(**{**data, "holder": Holder(**data["holder"]), "target": dict(data["target"]), "began": float(data["began"])})


class Ledger:
    """All entries of a state directory. Use :meth:`locked` around everything that reads in order to write."""

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = state_dir / "mitigations"
        self.clock = clock

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else, on this controller or on another one that shares the folder, changes the ledger meanwhile."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            reason = error.strerror or error
            raise LedgerError(f"{self.folder} can't be written ({reason}); set incident_state_dir to a folder that this user may write") from error
        try:
            self._take(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        limit = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > limit:
                    raise LedgerError(f"somebody else holds {self.folder}/.lock for {PATIENCE_S:g} s; look at who runs ansible-playbook there") from None
                time.sleep(0.05)
            except OSError as error:
                reason = error.strerror or error
                raise LedgerError(f"{self.folder} is on a file system without locks ({reason}); set incident_state_dir to one that has them") from error

    def entries(self) -> list[Entry]:
        """All entries, oldest first; LedgerError for a damaged one, because what is not known must not be taken for nothing."""
        found = []
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []:
            try:
                found.append(Entry.from_dict(json.loads(path.read_text(encoding="utf-8"))))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise LedgerError(f"{path} is damaged ({type(error).__name__}); look at it, then move it away") from error
        return found

    def get(self, identity: str) -> Entry:
        """The entry of that id; LedgerError when there is none."""
        for entry in self.entries():
            if entry.id == identity:
                return entry
        raise LedgerError(f"there is no mitigation {identity} in {self.folder}")

    def begin(self, entry: Entry) -> Entry:
        """Write a new entry, durably: from here on everybody else is told about it."""
        entry.id = entry.id or new_run_id()
        entry.began = self.clock()
        self._save(entry)
        return entry

    def begin_again(self, entry: Entry) -> Entry:
        """Take over what another run had begun; when it was begun stays as it is."""
        self._save(entry)
        return entry

    def close(self, identity: str, state: str, outcome: str, evidence: list[str] | None = None) -> Entry:
        """Say how a mitigation ended."""
        if state not in CLOSED:
            raise LedgerError(f"a mitigation ends as one of {', '.join(CLOSED)}, not as {state}")
        entry = self.get(identity)
        entry.state, entry.outcome, entry.ended = state, outcome, self.clock()
        entry.evidence = [*entry.evidence, *(evidence or [])]
        self._save(entry)
        return entry

    def _save(self, entry: Entry) -> None:
        try:
            _write(self.folder / f"{entry.id}.json", json.dumps(asdict(entry), indent=1).encode())
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise LedgerError(f"{self.folder} can't be written ({error.strerror or error}); make room there or set incident_state_dir") from error

    def open_entry(self) -> Entry | None:
        """The mitigation that was begun and has not ended; the newest, should somebody have copied files around."""
        return next((entry for entry in reversed(self.entries()) if entry.open), None)
