# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of one run on the controller, through which actions and the callback exchange what is too large for variables.

The callback calls :meth:`Workspace.create` in the main process of ``ansible-playbook``; workers are forked from it and find
the folder by :meth:`Workspace.current`. Without the callback ``current`` derives run id and path from the main process (its id
and start time), so that all workers of one run agree without talking to each other.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

ENV_PATH = "SRE_INCIDENT_WORKSPACE"
ENV_OWNER = "SRE_INCIDENT_WORKSPACE_PID"
STATE_DIR_VARIABLE = "incident_state_dir"
DEFAULT_STATE_DIR = "incidents"
LONGEST_FILE_NAME = 150
# A run with its reports takes a few MiB. A disk with less than this is full, and half a report helps nobody.
ROOM = 16 * 1024 * 1024
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Workspace:
    """``path`` is the run's folder; ``problem`` is one sentence when ``incident_state_dir`` could not be used, else None.

    ``announced`` tells that the callback made it: then somebody shows the user what goes wrong.
    """

    path: Path
    run_id: str
    problem: str | None = None
    announced: bool = False

    # -- finding it ------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, state_dir: str | os.PathLike[str] | None = None, run_id: str | None = None) -> Workspace:
        """Make the folder of a new run and announce it to the workers that will be forked from this process.

        Never fails for a state directory that can't be written: a temporary one takes its place and ``problem`` says so.
        """
        workspace = _make(state_dir, run_id or new_run_id())
        os.environ[ENV_PATH] = str(workspace.path)
        os.environ[ENV_OWNER] = str(os.getpid())
        return replace(workspace, announced=True)

    @classmethod
    def current(cls, task_vars: Mapping[str, Any] | None = None, render: Callable[[Any], Any] | None = None) -> Workspace:
        """The folder of the run that this process belongs to.

        ``task_vars`` may hold ``incident_state_dir``, which ``render`` (an action's ``self._templar.template``) renders. It only matters
        when no callback has created the folder.
        """
        announced = os.environ.get(ENV_PATH)
        if announced and os.environ.get(ENV_OWNER) in (str(os.getpid()), str(os.getppid())):
            return replace(cls.open(announced), announced=True)
        state_dir = (task_vars or {}).get(STATE_DIR_VARIABLE)
        if state_dir and render is not None:
            state_dir = render(state_dir)
        return _make(str(state_dir) if state_dir else None, derived_run_id(os.getppid()))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Workspace:
        """The workspace that was made at ``path``, for instance an old one to rebuild its report."""
        folder = Path(path)
        about = _read_json(folder / "workspace.json") or {}
        return cls(folder, str(about.get("run_id") or folder.name), about.get("problem"))

    @property
    def state_dir(self) -> Path:
        """The folder that holds all runs, this one among them."""
        return self.path.parent.parent

    # -- journal and derived files ----------------------------------------------------------------------------------

    @property
    def journal(self) -> Path:
        """The journal of this run: CloudEvents, one per line."""
        return self.path / "segments" / f"{self.run_id}.jsonl"

    def file(self, name: str) -> Path:
        """A derived file such as ``report.html``."""
        return self.path / name

    # -- evidence --------------------------------------------------------------------------------------------------

    def keep(self, document: Mapping[str, Any]) -> str:
        """Store a document under its SHA-256 and return where, relative to the run's folder."""
        text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "replace")
        digest = hashlib.sha256(text).hexdigest()
        stored = self.path / "evidence" / "sha256" / digest[:2] / digest
        if not stored.exists():
            _write(stored, text)
        return f"evidence/sha256/{digest[:2]}/{digest}"

    def write_evidence(self, document: Mapping[str, Any]) -> str:
        """Store an evidence document and make it its host's newest; returns its SHA-256."""
        digest = self.keep(document).rpartition("/")[2]
        _link(self._host_file(str(document["host"])), Path("..") / "sha256" / digest[:2] / digest)
        return digest

    def evidence(self, host: str) -> dict[str, Any] | None:
        """The newest evidence document of an inventory host in this run, or None."""
        return _read_json(self._host_file(host))

    def hosts(self) -> list[str]:
        """Inventory names of the hosts that have evidence in this run, sorted."""
        folder = self.path / "evidence" / "hosts"
        if not folder.is_dir():
            return []
        return sorted(_host_name(entry) for entry in folder.iterdir() if entry.name.endswith(".json"))

    def all_evidence(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """``(host, newest evidence document)`` of every host in this run, by name."""
        for host in self.hosts():
            document = self.evidence(host)
            if document is not None:
                yield host, document

    def _host_file(self, host: str) -> Path:
        return self.path / "evidence" / "hosts" / f"{safe_name(host)}.json"

    # -- findings --------------------------------------------------------------------------------------------------

    def write_findings(self, role: str, document: Any) -> Path:
        """Store what a role's assessment returned."""
        target = self.path / "findings" / f"{safe_name(role)}.json"
        _write(target, json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
        return target

    def stored_findings(self, name: str) -> list[Any]:
        """Findings that :meth:`write_findings` stored under a name; empty when there are none."""
        document = _read_json(self.path / "findings" / f"{safe_name(name)}.json") or {}
        found = document.get("findings")
        return found if isinstance(found, list) else []

    def findings(self) -> dict[str, Any]:
        """``{role: what its assessment returned}`` of this run."""
        folder = self.path / "findings"
        if not folder.is_dir():
            return {}
        documents = {unquote(entry.stem): _read_json(entry) for entry in sorted(folder.glob("*.json"))}
        return {role: document for role, document in documents.items() if document is not None}

    # -- what the controller itself knows ----------------------------------------------------------------------------

    def write_supplement(self, name: str, document: Mapping[str, Any]) -> Path:
        """Store what an action asked from the controller, such as metrics."""
        target = self.path / "supplements" / f"{safe_name(name)}.json"
        _write(target, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
        return target

    def supplements(self) -> list[dict[str, Any]]:
        """All documents of that sort in this run, by name."""
        folder = self.path / "supplements"
        documents = [_read_json(entry) for entry in sorted(folder.glob("*.json"))] if folder.is_dir() else []
        return [document for document in documents if document is not None]


# -- ids -----------------------------------------------------------------------------------------------------------


def new_run_id() -> str:
    """A ULID: 26 characters that sort by time."""
    return _ulid(int(time.time() * 1000), int.from_bytes(os.urandom(10), "big"))


def derived_run_id(pid: int) -> str:
    """The same ULID in every process that asks about the process ``pid``: made from when it started and what it is."""
    started_ms, identity = _process_start(pid)
    random = hashlib.sha256(f"{identity} {pid} {os.uname().nodename}".encode()).digest()[:10]
    return _ulid(started_ms, int.from_bytes(random, "big"))


def _ulid(milliseconds: int, random: int) -> str:
    number = (milliseconds << 80) | random
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def _process_start(pid: int) -> tuple[int, str]:
    """Start of a process as epoch in milliseconds, and a text that differs between two processes that had the same id."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        boot = next(line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return int(boot) * 1000 + int(ticks) * 1000 // os.sysconf("SC_CLK_TCK"), ticks
    except (OSError, StopIteration, IndexError, ValueError):
        # No /proc on macOS and the BSDs; ps is where each of them has it.
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
        started = answer.stdout.strip()
        return int(time.mktime(time.strptime(started, "%a %b %d %H:%M:%S %Y"))) * 1000 if started else 0, started


# -- files ---------------------------------------------------------------------------------------------------------


def safe_name(name: str) -> str:
    """A file name for any inventory or role name: odd characters are quoted, very long names are replaced by their hash."""
    quoted = quote(name, safe="")
    return quoted if len(quoted) <= LONGEST_FILE_NAME else hashlib.sha256(name.encode()).hexdigest()


def _host_name(entry: Path) -> str:
    name = unquote(entry.name[: -len(".json")])
    looks_hashed = len(name) == 64 and set(name) <= set("0123456789abcdef")
    return str((_read_json(entry) or {}).get("host") or name) if looks_hashed else name


def _make(state_dir: str | os.PathLike[str] | None, run_id: str) -> Workspace:
    wanted = Path(state_dir or DEFAULT_STATE_DIR).expanduser().absolute()
    try:
        _require_room(wanted, run_id)
        return _prepare(wanted, run_id, None)
    except OSError as error:
        why = error.strerror or str(error)
    for parent in _replacements():
        try:
            replacement = _temporary_state_dir(parent)
            _require_room(replacement, run_id)
            problem = (
                f"incident_state_dir {wanted} can't be written ({why}); this run is kept in {replacement}. "
                "Set incident_state_dir to a folder that this user may write."
            )
            return _prepare(replacement, run_id, problem)
        except OSError:
            continue
    # Nowhere is room: what little there is may still hold a part.
    return _prepare(wanted, run_id, f"incident_state_dir {wanted} can hardly be written ({why}); free some space there.")


def _require_room(state_dir: Path, run_id: str) -> None:
    """OSError when a new run would not fit. A run that is there already stays where it is, so that all its workers agree."""
    if (state_dir / "runs" / run_id / "workspace.json").exists():
        return
    existing = next(folder for folder in (state_dir, *state_dir.parents) if folder.exists())
    status = os.statvfs(existing)
    blocks = status.f_bfree if os.geteuid() == 0 else status.f_bavail
    # Some file systems do not tell their size.
    if status.f_blocks and blocks * status.f_frsize < ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _replacements() -> Iterator[Path]:
    """Where a run may be kept instead; those in memory are there when the disk is full."""
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir())
    for folder in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - a folder of our own below it, checked as that in /tmp is
        if folder and os.access(folder, os.W_OK):
            yield Path(folder)


def _prepare(state_dir: Path, run_id: str, problem: str | None) -> Workspace:
    """Make the folders; several workers may do so at once, whoever writes last writes the same."""
    folder = state_dir / "runs" / run_id
    for part in ("segments", "evidence/sha256", "evidence/hosts", "findings"):
        (folder / part).mkdir(parents=True, exist_ok=True, mode=0o750)
    about = folder / "workspace.json"
    if not about.exists():
        _write(about, json.dumps({"run_id": run_id, "state_dir": str(state_dir), "problem": problem}).encode())
        _link(state_dir / "latest", Path("runs") / run_id)
    return Workspace(folder, run_id, problem)


def _temporary_state_dir(parent: Path) -> Path:
    """One per user and only his own: a folder that somebody else prepared under that name is not used."""
    folder = parent / f"sre-incident-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink() and os.access(folder, os.W_OK):
        return folder
    return Path(tempfile.mkdtemp(prefix="sre-incident-", dir=parent))


def _write(target: Path, text: bytes) -> None:
    """Write a whole file at once: a reader sees the old one or the new one."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text)
        os.chmod(name, 0o640)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _link(target: Path, points_to: Path) -> None:
    """Make or replace a symbolic link in one step."""
    new = target.with_name(f".link-{os.getpid()}-{target.name}")
    new.unlink(missing_ok=True)
    new.symlink_to(points_to)
    os.replace(new, target)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
