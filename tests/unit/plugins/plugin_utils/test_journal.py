# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: one writer that never tears a line, and a reader that survives whatever it finds."""

from __future__ import annotations

import datetime
import json
import os
import random
import stat
from pathlib import Path

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import journal
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import Journal, iter_run_folders, parse_time, read_folder, read_lines


def written(folder: Path, count: int = 3, run: str = "R1") -> Path:
    """A closed journal with some notes."""
    writer = Journal(folder / "segments" / f"{run}.jsonl", run)
    for number in range(count):
        writer.emit("note", {"summary": f"number {number}"}, severity="warning", sync=number == 0)
    writer.close()
    return writer.path


def test_lines_are_cloudevents(tmp_path: Path) -> None:
    event = json.loads(written(tmp_path, 1).read_text())
    assert event["specversion"] == "1.0"
    assert event["type"] == "sre.incident_response.note.v1"
    assert event["source"] == "urn:sre:run:R1"
    assert event["sequence"] == "00000001"
    assert (event["severitytext"], event["severitynumber"]) == ("WARNING", 13)
    assert event["prevhash"] == "0" * 64
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in event), "CloudEvents allows no other attribute names"
    assert event["data"] == {"summary": "number 0"}


def test_the_file_is_private_and_never_shared(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = written(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(FileExistsError):
        Journal(path, "R1")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written(tmp_path)
    result = read_folder(tmp_path)
    assert result.problems == []
    assert [event.data["summary"] for event in result.events] == ["number 0", "number 1", "number 2"]
    assert [event.severity for event in result.events] == ["warning"] * 3
    assert result.events[0].time.tzinfo is datetime.UTC


def test_a_forked_worker_writes_nothing(tmp_path: Path) -> None:
    writer = Journal(tmp_path / "segments/R1.jsonl", "R1")
    writer.emit("note", {"summary": "main"})
    child = os.fork()
    if child == 0:
        told = writer.emit("note", {"summary": "worker"})
        writer.close()
        os._exit(0 if told is None and not writer.is_open else 1)
    assert os.waitpid(child, 0)[1] == 0
    writer.emit("note", {"summary": "main again"})
    writer.close()
    assert [event.data["summary"] for event in read_folder(tmp_path).events] == ["main", "main again"]


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    writer = Journal(tmp_path / "segments/R1.jsonl", "R1")
    writer.close()
    writer.close()
    assert writer.emit("note", {}) is None
    assert writer.path.read_bytes() == b""


def test_secrets_are_not_written(tmp_path: Path) -> None:
    writer = Journal(tmp_path / "segments/R1.jsonl", "R1")
    writer.emit("note", {"summary": "password=hunter2"}, subject="token=hunter2")
    writer.close()
    assert "hunter2" not in writer.path.read_text()
    assert writer.redactor.removed["secret value"] == 2


def test_a_full_disk_costs_one_line_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Journal(tmp_path / "segments/R1.jsonl", "R1")
    writer.emit("note", {"summary": "before"})
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[: len(data) - 20])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        writer.emit("note", {"summary": "lost"})
    monkeypatch.setattr(os, "write", real)
    writer.emit("note", {"summary": "after"})
    writer.close()
    result = read_folder(tmp_path)
    assert [event.data["summary"] for event in result.events] == ["before", "after"]
    assert len(result.problems) == 1
    assert "line 2 is left out" in result.problems[0]


def test_a_torn_tail_loses_only_itself(tmp_path: Path) -> None:
    content = written(tmp_path).read_bytes()
    for cut in range(len(content)):
        result = read_lines(content[:cut])
        assert len(result.events) == content[:cut].count(b"\n")
        assert len(result.problems) == (0 if cut == 0 or content[cut - 1 : cut] == b"\n" else 1)


@pytest.mark.parametrize("change", ["removed", "changed", "swapped"])
def test_changed_lines_are_noticed(tmp_path: Path, change: str) -> None:
    lines = written(tmp_path).read_bytes().splitlines(keepends=True)
    if change == "removed":
        del lines[1]
    elif change == "changed":
        lines[1] = lines[1].replace(b"number 1", b"number 9")
    else:
        lines[0], lines[1] = lines[1], lines[0]
    assert any("does not follow the line before it" in problem for problem in read_lines(b"".join(lines)).problems)


def test_duplicates_and_disorder_are_sorted_out(tmp_path: Path) -> None:
    written(tmp_path, run="R1")
    written(tmp_path, run="R2")
    segments = tmp_path / "segments"
    (segments / "copy.jsonl").write_bytes(b"".join(reversed((segments / "R2.jsonl").read_bytes().splitlines(keepends=True))))
    events = read_folder(tmp_path).events
    assert len(events) == 6
    assert [event.order for event in events] == sorted(event.order for event in events)


HOSTILE_LINES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"type": "sre.incident_response.note.v1"}',
    b'{"type": "sre.incident_response.note.v2", "id": "x", "source": "s", "recordedtime": "2026-11-23T14:00:00Z", "data": {}}',
    b'{"type": "other.note.v1", "id": "x", "source": "s", "recordedtime": "2026-11-23T14:00:00Z", "data": {}}',
    b'{"type": "sre.incident_response.note.v1", "id": 5, "source": "s", "recordedtime": "2026-11-23T14:00:00Z", "data": {}}',
    b'{"type": "sre.incident_response.note.v1", "id": "x", "source": "s", "recordedtime": "yesterday", "data": {}}',
    b'{"type": "sre.incident_response.note.v1", "id": "x", "source": "s", "recordedtime": "2026-11-23T14:00:00Z", "data": []}',
    b'{"type": "sre.incident_response.note.v1", "id": "x", "source": "s", "recordedtime": "2026-11-23T14:00:00Z", "sequence": 1e400, "data": {"a": NaN}}',
    b"9" * 10_000,
]


@pytest.mark.parametrize("line", HOSTILE_LINES)
def test_a_hostile_line_is_survived(tmp_path: Path, line: bytes) -> None:
    content = written(tmp_path, 1).read_bytes()
    result = read_lines(line + b"\n" + content + line + b"\n")
    assert any(event.data.get("summary") == "number 0" for event in result.events)


def test_random_damage_is_survived(tmp_path: Path) -> None:
    source = random.Random(3)  # reproducible noise, no cryptography
    lines = written(tmp_path, 5).read_bytes().splitlines(keepends=True)
    for _round in range(3000):
        line = bytearray(source.choice(lines))
        for _change in range(source.randint(1, 6)):
            line[source.randrange(len(line))] = source.randrange(256)
        result = read_lines(bytes(line))
        assert all(event.time.tzinfo is not None and isinstance(event.data, dict) for event in result.events)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-23T14:05:00Z", "2026-11-23T14:05:00.000Z"),
        ("2026-11-23T15:05:00+01:00", "2026-11-23T14:05:00.000Z"),
        ("2026-11-23T14:05:00.123456", "2026-11-23T14:05:00.123Z"),
        ("2026-11-23", "2026-11-23T00:00:00.000Z"),
        ("0001-01-01T00:00:00+14:00", None),
        ("14:05", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_parse_time(text: object, iso: str | None) -> None:
    moment = parse_time(text)
    assert (journal.format_time(moment) if moment else None) == iso


def test_newest_runs_come_first(tmp_path: Path) -> None:
    for name in ("01A", "01C", "01B"):
        written(tmp_path / "runs" / name, run=name)
    (tmp_path / "runs" / "01D" / "segments").mkdir(parents=True)
    assert [folder.name for folder in iter_run_folders(tmp_path)] == ["01C", "01B", "01A"]
    assert list(iter_run_folders(tmp_path / "missing")) == []
