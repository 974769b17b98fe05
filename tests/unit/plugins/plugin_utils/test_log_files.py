# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the probe's answer to the files: whole tracebacks, no secrets, no control characters, and a summary that is always valid."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_stream import Line
from ansible_collections.sre.incident_response.plugins.plugin_utils import log_files
from ansible_collections.sre.incident_response.plugins.plugin_utils.evidence import UnreadableAnswerError
from ansible_collections.sre.incident_response.plugins.plugin_utils.log_entries import LONGEST_ENTRY, entries
from ansible_collections.sre.incident_response.plugins.plugin_utils.log_fetcher import LogFetcher, ServiceLog, between_marks, parse_answer

STAMP = "2026-11-23T14:46:33.000000000Z"
SPAN = {"since": "2026-11-23T14:45:00Z", "until": None, "now": "2026-11-23T15:00:00Z"}
TRACEBACK = [
    "Traceback (most recent call last):",
    *[f'  File "/srv/shop/layer{number}.py", line {number}, in call' for number in range(200)],
    "ConnectionError: gone",
]


def log_of(*texts: str | bytes, kind: str = "fastapi", service: str = "backend", **header: Any) -> ServiceLog:
    """A service's log as the probe packs it."""
    lines = [text if isinstance(text, bytes) else text.encode() for text in texts]
    packed = b"".join(b"2" + STAMP.encode() + b" " + line + b"\n" for line in lines)
    about = {"container": "app", "container_status": "running", "container_restarts": 2, "container_started_at": STAMP, "truncated": None, **header}
    block = base64.b64encode(zlib.compress(packed)).decode()
    return ServiceLog({"service": service, "kind": kind, "error": None, "lines": len(lines), "blocks": 1, **about}, [block])


def save(log: ServiceLog, folder: Path, redact: bool = True, tail: int = 0, text: str = "", custom: tuple[str, ...] = ()) -> log_files.Saved:
    wanted = log_files.Wanted(folder, "20261123T150000Z", "web1", "15 minutes ago", "", tail, text)
    return log_files.save(log, SPAN, wanted, log_files.LineCleaner(redact, list(custom)))


def written(saved: log_files.Saved, key: str) -> list[str]:
    return Path(saved.summary["files"][key]).read_text(encoding="utf-8").splitlines()


def test_files_are_those_of_the_script(tmp_path: Path) -> None:
    """Names and keys are what people's tools look for."""
    saved = save(log_of("ERROR: boom 17", "INFO: fine", "ERROR: boom 18"), tmp_path, text="BOOM")
    names = sorted(path.name for path in tmp_path.iterdir())
    stamp = "20261123T150000Z"
    assert names == [f"backend-errors-{stamp}.log", f"backend-filtered-{stamp}.log", f"backend-raw-{stamp}.log", f"backend-summary-{stamp}.json"]
    summary = json.loads((tmp_path / f"backend-summary-{stamp}.json").read_text(encoding="utf-8"))
    assert summary == saved.summary
    expected = {
        "service": "backend", "container": "app", "timestamp": stamp, "since": "15 minutes ago", "status": "collected", "container_status": "running",
        "container_restarts": 2, "container_started_at": STAMP, "total_log_lines": 3, "error_lines": 2, "filter_pattern": "BOOM", "filter_matches": 2,
        "truncated": False, "top_error_patterns": [{"pattern": "ERROR: boom N", "count": 2}],
    }  # fmt: skip
    assert {key: summary[key] for key in expected} == expected
    assert written(saved, "filtered_log") == ["ERROR: boom 17", "ERROR: boom 18"]


def test_two_fetches_within_a_second_do_not_overwrite_each_other(tmp_path: Path) -> None:
    paths = [save(log_of(f"line {number}"), tmp_path).summary["files"]["raw_log"] for number in range(2)]
    assert [Path(path).read_text(encoding="utf-8") for path in paths] == ["line 0\n", "line 1\n"]


def test_a_traceback_is_whole_and_counts_once(tmp_path: Path) -> None:
    """Two hundred frames, more than the probe keeps; what follows is another message."""
    saved = save(log_of("INFO: before", "ERROR: Exception in ASGI application", *TRACEBACK, "INFO: after"), tmp_path)
    assert written(saved, "error_log") == ["ERROR: Exception in ASGI application", *TRACEBACK]
    assert (saved.summary["errors"], saved.summary["error_lines"], saved.summary["total_log_lines"]) == (1, 203, 205)
    assert saved.summary["top_error_patterns"] == [{"pattern": "ConnectionError at shop/layer199.py:call", "count": 1}]
    assert saved.last_errors == [(STAMP, "ERROR: Exception in ASGI application: ConnectionError: gone")]


def test_a_traceback_within_json_gives_its_exception(tmp_path: Path) -> None:
    """The script found `nConnectionError` in it."""
    line = json.dumps({"level": "error", "event": "failed", "path": "/x", "exception": "\n".join(TRACEBACK)})
    saved = save(log_of(line, json.dumps({"level": "info", "event": "error rate is 0"})), tmp_path)
    assert written(saved, "error_log") == [line]
    assert saved.summary["top_error_patterns"][0]["pattern"] == "ConnectionError at shop/layer199.py:call"


@pytest.mark.parametrize(
    ("kind", "texts", "errors"),
    [
        ("postgresql", ["2026-11-23 14:46:33.000 UTC [7] ERROR:  deadlock detected", "DETAIL:  a", "\tand b", "2026-11-23 14:46:33.000 UTC [7] LOG:  ok"], 3),
        ("redis", ["1:M 23 Nov 2026 14:46:33.000 # Can't save in background: fork: out of memory", "1:M 23 Nov 2026 14:46:33.000 * Ready"], 1),
        ("nginx", [f'10.0.0.1 - - [23/Nov/2026:14:46:33 +0000] "GET /x HTTP/1.1" {status} 1 "-" "-"' for status in (502, 200)], 1),
        ("nginx", ["2026/11/23 14:46:33 [error] 7#7: *1 connect() failed, client: 10.0.0.1", "2026/11/23 14:46:33 [notice] 7#7: started"], 1),
        ("fastapi", ["plain words without a level: ValueError", "no errors at all"], 1),
        ("", ["level=error msg=x", "level=info msg=error"], 1),
    ],
)  # fmt: skip
def test_each_server_says_error_in_its_own_way(tmp_path: Path, kind: str, texts: list[str], errors: int) -> None:
    saved = save(log_of(*texts, kind=kind), tmp_path)
    assert written(saved, "error_log") == texts[:errors]


def test_streams_do_not_tear_each_others_tracebacks() -> None:
    """A request that is logged between two frames belongs to the other stream."""
    lines = [Line(STAMP, 2, TRACEBACK[0].encode()), Line(STAMP, 1, b"INFO: request"), Line(STAMP, 2, TRACEBACK[1].encode()), Line(STAMP, 2, b"KeyError: 'x'")]
    found = [entry.lines for entry in entries(lines, "fastapi") if entry.is_error]
    assert found == [[TRACEBACK[0], TRACEBACK[1], "KeyError: 'x'"]]


def test_an_entry_does_not_grow_for_ever() -> None:
    lines = (Line(STAMP, 1, b" indented") for _number in range(2 * LONGEST_ENTRY))
    assert max(len(entry.lines) for entry in entries(lines, "fastapi")) == LONGEST_ENTRY


def test_secrets_are_taken_out_of_every_file(tmp_path: Path) -> None:
    key = ["-----BEGIN RSA " + "PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED", "", "MIIEpAIBAAKCAQEA7", "c2VjcmV0", "-----END RSA " + "PRIVATE KEY-----"]
    texts = ["ERROR: login with password=hunter2 failed", "ERROR: postgresql://app:hunter2@db/app refused", *key, "INFO: Bluebird flies"]
    saved = save(log_of(*texts), tmp_path, text="error", custom=("Bluebird",))
    everything = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    assert not [secret for secret in ("hunter2", "MIIEpAIBAAKCAQEA7", "c2VjcmV0", "Bluebird", "ENCRYPTED") if secret in everything]
    assert written(saved, "raw_log")[-1] == "INFO: [redacted] flies"
    assert saved.summary["redacted"]["secret value"] == 1
    assert "hunter2" in "\n".join(written(save(log_of(*texts), tmp_path, redact=False), "raw_log"))


@pytest.mark.parametrize("redact", [True, False])
def test_hostile_lines_stay_lines(tmp_path: Path, redact: bool) -> None:
    """Nothing in a line moves the cursor, makes a second line, or breaks the JSON."""
    hostile = b'ERROR: \x1b[2J\x1b]0;title\x07\x00\xff{{ 7*7 }} "quotes" \r\xe2\x80\xa8INFO: forged\x9b31m'
    saved = save(log_of(hostile, b"x" * 1_000_000), tmp_path, redact=redact, text='"quotes" [')
    lines = written(saved, "raw_log")
    assert len(lines) == 2
    assert lines[0].startswith('ERROR: \ufffd{{ 7*7 }} "quotes" ')
    assert all(character.isprintable() for character in lines[0])
    assert saved.summary["filter_pattern"] == '"quotes" ['
    assert all(text.isprintable() for text in log_files.told(saved))


@pytest.mark.parametrize(("text", "matches"), [("[1", 1), ('"A"', 1), ("a", 3), ("regex:a+$", 1), ("{{ x }}", 0), ("", None)])
def test_filters_are_literal_unless_they_say_otherwise(tmp_path: Path, text: str, matches: int | None) -> None:
    saved = save(log_of("one [1] A b", 'two "a" b', "three aa"), tmp_path, text=text)
    assert saved.summary["filter_matches"] == matches
    assert ("filtered_log" in saved.summary["files"]) == bool(text)


def test_a_filter_that_is_no_expression_is_refused() -> None:
    with pytest.raises(log_files.BadFilterError, match=r"fetch_logs_filter is 'regex:\[', which is no regular expression"):
        log_files.filter_pattern("regex:[")


def test_a_missing_container_leaves_a_valid_summary(tmp_path: Path) -> None:
    log = ServiceLog({"service": "../../backend", "kind": "", "container": None, "error": 'no container "x"'}, [])
    saved = save(log, tmp_path / "logs", text="x")
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["_.._backend-summary-20261123T150000Z.json"]
    summary = json.loads(next((tmp_path / "logs").iterdir()).read_text(encoding="utf-8"))
    assert (summary["status"], summary["error"], summary["total_log_lines"], summary["truncated"]) == ("error", 'no container "x"', None, None)
    assert log_files.told(saved) == ['../../backend on web1: nothing saved, no container "x"']


@pytest.mark.parametrize(("header", "tail", "truncated"), [({}, 0, False), ({"truncated": "bytes"}, 0, True), ({"truncated": "tail"}, 2, True), ({}, 1, True)])
def test_what_is_missing_is_said(tmp_path: Path, header: dict[str, Any], tail: int, truncated: bool) -> None:
    saved = save(log_of("one", "two", **header), tmp_path, tail=tail)
    assert saved.summary["truncated"] is truncated
    assert bool(saved.summary["truncated_reason"]) is truncated
    assert written(saved, "raw_log") == (["two"] if tail == 1 else ["one", "two"])


HEADER = json.dumps({"schema": "sre.incident_response/logs/1", "services": 1, "now": STAMP})
SERVICE = json.dumps({"service": "db", "kind": "redis", "error": None, "blocks": 1})


def test_an_answer_is_found_between_its_marks() -> None:
    answer = parse_answer(between_marks(f"motd\n<sre-logs-1>\n{HEADER}\n{SERVICE}\nAAAA\n</sre-logs-1>\nbye", "1") or "")
    assert [(log.header["service"], log.blocks) for log in answer.services] == [("db", ["AAAA"])]
    assert between_marks(f"<sre-logs-1>\n{HEADER}\n", "1") is None
    assert between_marks(f"<sre-logs-1>\n{HEADER}\n</sre-logs-1>", "2") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", HEADER, f"{HEADER}\n{SERVICE}\n", f"{HEADER}\nnull", HEADER.replace("logs/1", "logs/2")])
def test_a_damaged_answer_is_one_sentence(text: str) -> None:
    with pytest.raises(UnreadableAnswerError, match="the probe's answer"):
        parse_answer(text)


@pytest.mark.parametrize("block", ["%", "AAAA", base64.b64encode(zlib.compress(b"0" * 50_000_000)).decode()])
def test_a_damaged_block_is_one_sentence(block: str) -> None:
    """The last one would unpack to more memory than a log may take."""
    with pytest.raises(UnreadableAnswerError, match="the probe's answer is damaged"):
        list(ServiceLog({}, [block]).lines())


REQUEST = {"services": {}, "names": [], "since": {"ago_s": 60.0}, "until": None, "tail": 0, "max_bytes": 1000}


def fetcher_of(pipelining: bool, command: Any = None, module: Any = None) -> LogFetcher:
    """A fetcher whose machine answers a shell command, or an ordinary module, with what a test wants."""
    connection = SimpleNamespace(transport="ssh", has_pipelining=pipelining, become=None)
    action = SimpleNamespace(_connection=connection, _task=SimpleNamespace(delegate_to=None), _low_level_execute_command=command, _execute_module=module)
    return LogFetcher(action, {"inventory_hostname": "web1"})


def test_a_connection_without_standard_input_gets_the_packed_probe() -> None:
    """With the same request, and the entry that answers it."""
    asked: list[dict[str, Any]] = []

    def module(module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        assert (module_name, task_vars) == ("sre.incident_response.probe", {"inventory_hostname": "web1"})
        asked.append(json.loads(module_args["request"]))
        return {"logs": f"{HEADER}\n{SERVICE}\nAAAA"}

    answer = fetcher_of(False, module=module).fetch(REQUEST)
    assert [log.header["service"] for log in answer.services] == ["db"]
    assert {key: asked[0][key] for key in (*REQUEST, "entry")} == {**REQUEST, "entry": "fetch"}
    with pytest.raises(UnreadableAnswerError, match="the packed probe handed over no logs: MemoryError"):
        fetcher_of(False, module=lambda **_given: {"module_stderr": "Traceback\nMemoryError\n"}).fetch(REQUEST)


def test_a_machine_that_hands_over_nothing_is_one_sentence() -> None:
    with pytest.raises(UnreadableAnswerError, match=r"no Python 3\.8 or newer was found there; install python3"):
        fetcher_of(True, lambda *_words, **_given: {"rc": 127, "stdout": "", "stderr": ""}).fetch(REQUEST)
