# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuild a run's reports from its journal and put them into its folder, each file in one step."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.sre.incident_response.plugins.plugin_utils.fold import fold
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import iter_run_folders, read_folder
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Record
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import html, json, markdown

_NAMED_IN_ERROR = 5


class RunNotFoundError(Exception):
    """No such run; the message is one sentence that says what exists."""


@dataclass(frozen=True)
class Published:
    """What was written: the record it was made of, and the path of report.html."""

    record: Record
    html: Path


def publish(folder: str | os.PathLike[str]) -> Published:
    """Write report.json, report.md, report.html and timeline.jsonl of a run's folder; raises OSError when they can't be written."""
    target = Path(folder).absolute()
    read = read_folder(target)
    record = fold(read.events, read.problems)
    write_whole(target / "report.json", json.render(record))
    write_whole(target / "timeline.jsonl", json.render_timeline(record))
    write_whole(target / "report.md", markdown.render(record))
    write_whole(target / "report.html", html.render(record))
    return Published(record, target / "report.html")


def join(state_dir: str | os.PathLike[str], incident: str, segment: Path) -> Path:
    """Make a run's journal a segment of an incident as well, and return the incident's folder.

    ``incident`` is the id or folder of an incident, or of the run that it began with. Both folders hold the same file, so whoever writes into
    the journal writes into both, and several runs may belong to one incident at the same time. Raises RunNotFoundError with a sentence when
    there is no such folder, OSError when it can't be written.
    """
    folder = find_run(state_dir, incident)
    target = folder / "segments" / segment.name
    if not target.exists():
        os.link(segment, target)
    return folder


def write_whole(target: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new one, never half of it.

    Nobody waits for the disk: only the journal must survive a crash of the machine, all of this is made from it again.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
            stream.write(text)
        os.chmod(name, 0o640)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def find_run(state_dir: str | os.PathLike[str], run: str = "") -> Path:
    """Return the folder of a run, given its id, its folder or nothing (the newest); raises RunNotFoundError with a sentence."""
    root = Path(state_dir).expanduser().absolute()
    if run:
        named = Path(run).expanduser()
        candidates = [root / "runs" / run, root / run, named.absolute()] if "/" not in run else [named.absolute(), root / run]
        for candidate in candidates:
            if any((candidate / "segments").glob("*.jsonl")):
                return candidate
    known = [folder.name for folder in iter_run_folders(root)]
    if not run and known:
        return root / "runs" / known[0]
    if not known:
        raise RunNotFoundError(f"No run is recorded in {root}: run a triage first, or set incident_state_dir to where its runs are kept.")
    more = f" and {len(known) - _NAMED_IN_ERROR} older ones" if len(known) > _NAMED_IN_ERROR else ""
    raise RunNotFoundError(f"Run '{run}' is not in {root}; it has {', '.join(known[:_NAMED_IN_ERROR])}{more}.")
