# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What single log lines and groups of lines say: formats, tracebacks, signatures, known errors."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import logs_known, logs_record, logs_text, redact
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_group import application_records
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_record import Record
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_stream import Line

T0 = "2026-11-23T14:46:33.825172619Z"


def lines(text: str, stream: int = 2) -> list[Line]:
    """Lines that were written at the same moment."""
    return [Line(T0, stream, line.encode()) for line in text.split("\n")]


def records(*parts: list[Line]) -> list[Record]:
    """Records of an application's log."""
    return list(application_records(iter([line for part in parts for line in part]), lambda _line: None))


# -- JSON --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "level", "message", "path", "status"),
    [
        ({"level": "ERROR", "event": "request failed", "path": "/api/orders/7", "status": 503}, 40, "request failed", "/api/orders/7", 503),
        ({"levelname": "warning", "message": "slow", "url": "http://shop/api/x?y=1", "status_code": "200"}, 30, "slow", "/api/x?y=1", 200),
        ({"severity": "Critical", "msg": "gone"}, 50, "gone", "", None),
        ({"level": 50, "msg": "pino"}, 50, "pino", "", None),
        ({"log.level": "error", "message": "ecs", "http.path": "/a"}, 40, "ecs", "/a", None),
        ({"log": {"level": "error"}, "message": "nested"}, 40, "nested", "", None),
        ({"event": "no level"}, 0, "no level", "", None),
        ({"level": None, "event": {"message": "object"}}, 0, "object", "", None),
        ({"level": ["x"], "status": True, "path": 5}, 0, "", "", None),
    ],
)
def test_json_with_the_keys_that_people_use(document: dict[str, Any], level: int, message: str, path: str, status: int | None) -> None:
    """Key spacing and order do not matter."""
    for separators in ((",", ":"), (", ", ": ")):
        record = logs_record.from_json(T0, json.dumps(document, separators=separators).encode())
        assert record is not None
        assert (record.level, record.message, record.path, record.status) == (level, message, path, status)


@pytest.mark.parametrize("line", [b"{not json", b"[1]", b'{"a":', b"\xff\xfe{", b"{}x"])
def test_lines_that_only_look_like_json(line: bytes) -> None:
    """They are read as plain text."""
    assert logs_record.from_json(T0, line) is None


TRACE = """\
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/starlette/routing.py", line 73, in app
    response = await f(request)
  File "/srv/shop/orders.py", line 42, in order_view
    tier = order["loyalty_tier"]
KeyError: 'loyalty_tier'"""


@pytest.mark.parametrize("key", ["exception", "exc_info", "traceback", "stack", "exc_text"])
def test_tracebacks_in_json(key: str) -> None:
    """As a text under any of the usual keys."""
    record = logs_record.from_json(T0, json.dumps({"level": "error", "event": "failed", key: TRACE}).encode())
    assert record is not None
    assert logs_text.exception_in(record.trace) == ("KeyError", "shop/orders.py:42 order_view", "'loyalty_tier'")


def test_tracebacks_as_structlog_writes_them() -> None:
    """A list of exceptions with frames, the outermost first."""
    frames = [{"filename": "/srv/shop/main.py", "lineno": 3, "name": "run"}, {"filename": "/srv/shop/orders.py", "lineno": 42, "name": "order_view"}]
    exceptions = [{"exc_type": "Other", "exc_value": "", "frames": []}, {"exc_type": "KeyError", "exc_value": "'x'", "frames": frames}]
    record = logs_record.from_json(T0, json.dumps({"level": "error", "event": "failed", "exception": exceptions}).encode())
    assert record is not None
    assert logs_text.exception_in(record.trace)[:2] == ("KeyError", "shop/orders.py:42 order_view")


# -- plain text --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2026-11-23 14:46:33,733 ERROR shop.orders: failed", 40),
        ("ERROR:root:failed", 40),
        ("ERROR:    Exception in ASGI application", 40),
        ("[2026-11-23 14:46:33 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:12)", 50),
        ("2026-11-23 14:46:33 | WARNING | shop:run:3 - slow", 30),
        ('time="2026-11-23T14:46:33Z" level=error msg="failed"', 40),
        ("2026-11-23T14:46:33Z - shop - ERROR - failed", 40),
        ('INFO:     172.18.0.1:5 - "GET /search?q=ERROR HTTP/1.1" 200 OK', 20),
        ("GET /ERROR/x", 0),
        ("no error here", 0),
        ("An error occurred while saving", 0),
        ("", 0),
    ],
)
def test_levels_of_plain_lines(text: str, level: int) -> None:
    """Where logging formats put them, not anywhere in the text."""
    assert logs_record.plain_level(text) == level


@pytest.mark.parametrize(
    ("text", "path", "status"),
    [
        ('INFO:     172.18.0.1:52034 - "GET /health?x=1 HTTP/1.1" 200 OK', "/health?x=1", 200),
        ('172.18.0.1 - - [23/Nov/2026:14:46:33 +0000] "POST /api/orders HTTP/1.1" 503 12 "-" "curl"', "/api/orders", 503),
    ],
)
def test_requests_in_plain_lines(text: str, path: str, status: int) -> None:
    """uvicorn's and gunicorn's access log; neither is an error by itself."""
    record = logs_record.from_plain(T0, text)
    assert (record.path, record.status, record.level) == (path, status, 20)


def test_a_traceback_belongs_to_the_error_before_it() -> None:
    """One error, not twenty lines."""
    found = records(lines("INFO:     ready\nERROR:    Exception in ASGI application\n" + TRACE + "\nINFO:     next"))
    assert [record.level for record in found] == [20, 40, 20]
    assert found[1].message == "ERROR:    Exception in ASGI application"
    assert logs_text.exception_in(found[1].trace)[0] == "KeyError"


def test_a_traceback_without_a_record_is_an_error_by_itself() -> None:
    """Printed by the interpreter."""
    found = records(lines("starting\n" + TRACE))
    assert [record.level for record in found] == [0, 40]


def test_chained_exceptions_are_one_error() -> None:
    """The last one decides."""
    second = TRACE.replace("KeyError: 'loyalty_tier'", "shop.errors.Broken: no tier")
    chained = f"{TRACE}\n\nDuring handling of the above exception, another exception occurred:\n\n{second}"
    found = records(lines("ERROR:root:failed\n" + chained + "\nINFO:root:next"))
    assert [record.level for record in found] == [40, 20]
    assert logs_text.exception_in(found[0].trace)[0] == "shop.errors.Broken"


def test_messages_of_several_lines_after_an_exception() -> None:
    """As PostgreSQL's and pydantic's are."""
    message = "psycopg.errors.UndefinedColumn: column o.tier does not exist\nLINE 1: SELECT o.tier\n               ^"
    text = TRACE.replace("KeyError: 'loyalty_tier'", message)
    found = records(lines(text + "\n2026-11-23 14:46:34,000 INFO next"))
    assert len(found) == 2
    assert logs_text.exception_in(found[0].trace)[::2] == ("psycopg.errors.UndefinedColumn", "column o.tier does not exist")


def test_two_streams_do_not_mix() -> None:
    """A traceback on stderr is not ended by a request on stdout."""
    error, requests = lines("ERROR:root:failed\n" + TRACE), lines("INFO: a\nINFO: b\nINFO: c\nINFO: d\nINFO: e\nINFO: f\nINFO: g", stream=1)
    mixed = [line for pair in zip(error, requests, strict=True) for line in pair]
    found = records(mixed)
    assert [record.level for record in found].count(40) == 1
    assert logs_text.exception_in(next(record for record in found if record.level == 40).trace)[0] == "KeyError"


def test_a_json_line_ends_a_traceback() -> None:
    """Applications that log JSON still print some tracebacks."""
    found = records(lines(TRACE + '\n{"level":"INFO","event":"next"}'))
    assert [(record.kind, record.level) for record in found] == [("plain", 40), ("json", 20)]


def test_endless_tracebacks_keep_their_end() -> None:
    """A recursion of thousands of frames."""
    deep = "\n".join(f'  File "/srv/a.py", line {number}, in f\n    f()' for number in range(5000))
    end = '  File "/srv/shop/x.py", line 9, in g\n    g()\nRecursionError: maximum recursion depth'
    found = records(lines(f"Traceback (most recent call last):\n{deep}\n{end}"))
    assert len(found[0].trace) < 20000
    assert logs_text.exception_in(found[0].trace)[:2] == ("RecursionError", "shop/x.py:9 g")


def test_exception_groups() -> None:
    """With their margins of bars."""
    text = """\
  + Exception Group Traceback (most recent call last):
  |   File "/srv/shop/main.py", line 5, in run
  |     await group()
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)"""
    assert logs_text.exception_in(text)[:2] == ("ExceptionGroup", "shop/main.py:5 run")


# -- servers -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level", "message", "sqlstate"),
    [
        ("2026-11-23 14:46:33.400 UTC [8] 00000 LOG:  database system is ready", 20, "database system is ready", "00000"),
        ("2026-11-23 14:46:33.400 UTC [9] 53300 app@app_prod app=x FATAL:  sorry, too many clients already", 50, "sorry, too many clients already", "53300"),
        ("2026-11-23 14:46:33.400 UTC [9] app@app_prod ERROR:  deadlock detected", 40, "deadlock detected", ""),
        ("2026-11-23 14:46:33.400 UTC [9] LOG:  duration: 812.1 ms  statement: SELECT 'secret'", 20, "duration: 812.1 ms", ""),
        ("2026-11-23 14:46:33.400 UTC [1] PANIC:  could not write to file", 50, "could not write to file", ""),
    ],
)
def test_postgresql(text: str, level: int, message: str, sqlstate: str) -> None:
    """Any prefix; the error code when the prefix has it."""
    record = logs_record.from_postgresql(T0, text)
    assert record is not None
    assert (record.level, record.message, record.sqlstate) == (level, message, sqlstate)


@pytest.mark.parametrize("text", ["... STATEMENT:  SELECT 'secret'", "... DETAIL:  Key (email)=(a@b.c) already exists.", "\tcontinued", "initdb: done"])
def test_postgresql_lines_with_users_data_are_left_out(text: str) -> None:
    """They add nothing to the count of errors."""
    assert logs_record.from_postgresql(T0, text) is None


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("6:M 23 Nov 2026 14:45:37.054 * Ready to accept connections tcp", 20),
        ("6:C 23 Nov 2026 14:45:37.050 # WARNING Memory overcommit must be enabled!", 30),
        ("6:M 23 Nov 2026 14:45:37.050 # Can't save in background: fork: Cannot allocate memory", 40),
        ("6:M 23 Nov 2026 14:45:37.050 # Failed opening the temp RDB file for saving: No space left on device", 40),
        ("=== REDIS BUG REPORT START: Cut & paste starting from here ===", 0),
    ],
)
def test_redis(text: str, level: int) -> None:
    """It has no level for errors: the words decide."""
    assert logs_record.from_redis(T0, text).level == level


def test_nginx_error_log() -> None:
    """The request in it is a user's text and stays out of the message."""
    record = logs_record.from_nginx_error(
        T0,
        "2026/11/23 14:45:38 [error] 29#29: *1 connect() failed (111: Connection refused) while connecting to upstream, client: 172.18.0.1, "
        'server: localhost, request: "GET /api/x?no+live+upstreams HTTP/1.1", upstream: "http://172.18.0.5:8000/api/x", host: "localhost:8443"',
    )
    assert record is not None
    assert (record.level, record.upstream, record.path) == (40, "172.18.0.5:8000", "/api/x?no+live+upstreams")
    assert record.message == "connect() failed (111: Connection refused) while connecting to upstream"


# -- signatures --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 4711 failed after 2.5 s", "order 12 failed after 10.25 s"),
        ("no such key 'cart:77'", "no such key 'cart:9'"),
        ("request 17f68e4194d80a52984ae09e1ea6b33e failed", "request 39c73cf1a60fb1f44d1566f59526df48 failed"),
        ("id 5f0c1c1e-0000-4000-8000-5f0c1c1e0000", "id 6a0c1c1e-1111-4000-8000-5f0c1c1e0001"),
    ],
)
def test_lines_about_the_same_thing_become_equal(one: str, other: str) -> None:
    """Whatever differs from request to request is masked."""
    assert logs_text.masked(one) == logs_text.masked(other)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/orders/408?x=1", "/api/orders"),
        ("/api/orders", "/api/orders"),
        ("/", "/"),
        ("/index.html", "/index.html"),
        ("/users/123/posts", "/users/:id"),
        ("/assets/index-1HBwsWHN.js", "/assets/*.js"),
        ("/5f0c1c1e-0000-4000-8000-5f0c1c1e0000", "/:id"),
        ("/api/v2/x", "/api/v2"),
        ("/a%20b/<script>", "/:id/:id"),
        ("/" + "x" * 500, "/:id"),
    ],
)
def test_routes(path: str, route: str) -> None:
    """First two segments, identifiers masked."""
    assert logs_text.route_of(path) == route


# -- known errors ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[CRITICAL] WORKER TIMEOUT (pid:12)", ["worker_timeout"]),
        ("Worker (pid:7) was sent SIGKILL! Perhaps out of memory?", ["worker_sigkill"]),
        ("WARNING:  Exceeded concurrency limit.", ["concurrency_limit"]),
        ("OSError: [Errno 24] Too many open files", ["too_many_files"]),
        ("sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out", ["pool_timeout"]),
        ("PoolTimeout couldn't get a connection after 2.00 sec", ["pool_timeout"]),
        ('connection failed: connection to server at "172.18.0.2", port 5432 failed: FATAL:  sorry, too many clients already', ["db_too_many"]),
        ('connection to server at "app-db" (172.18.0.2), port 5432 failed: Connection refused', ["db_refused"]),
        ('connection to server at "172.18.0.2", port 5432 failed: FATAL:  role "app" is not permitted to log in', ["db_auth"]),
        ('connection to server at "172.18.0.2", port 5432 failed: FATAL:  role "app" does not exist', ["db_auth"]),
        ('FATAL:  pg_hba.conf rejects connection for host "172.18.0.5", user "app", database "shop", no encryption', ["db_auth"]),
        ('FATAL:  LDAP authentication failed for user "app"', ["db_auth"]),
        ('connection to server at "172.18.0.2", port 5432 failed: FATAL:  password authentication failed for user "app"', ["db_auth"]),
        ("FATAL:  the database system is starting up", ["db_refused"]),
        ("psycopg.errors.ReadOnlySqlTransaction: cannot execute UPDATE in a read-only transaction", ["db_readonly"]),
        ("deadlock detected", ["deadlock"]),
        ("OutOfMemoryError: command not allowed when used memory > 'maxmemory'.", ["redis_oom"]),
        ("redis.exceptions.ResponseError: OOM command not allowed when used memory > 'maxmemory'", ["redis_oom"]),
        ("redis.exceptions.AuthenticationError: Authentication required.", ["redis_auth"]),
        ("WRONGPASS invalid username-password pair or user is disabled.", ["redis_auth"]),
        ("ConnectionError: Error 111 connecting to app-redis:6379. Connection refused.", ["redis_error"]),
        ("MISCONF Redis is configured to save RDB snapshots", ["redis_error"]),
        ("httpx.ReadTimeout", ["ext_timeout"]),
        ("HTTPStatusError: Server error '503 Service Unavailable' for url 'http://app-ext:9000/quote'", ["ext_error"]),
        ("httpx.ConnectError: [Errno -2] Name or service not known", ["dns"]),
        ("ConnectionError: Error -3 connecting to app-redis:6379. Temporary failure in name resolution.", ["dns", "redis_error"]),
        ('could not translate host name "app-db" to address: Name or service not known', ["dns"]),
        ("Application startup failed. Exiting.", ["boot_failure"]),
        ("Exception in ASGI application", ["unhandled_exception"]),
        ("jwt.exceptions.ExpiredSignatureError: Signature has expired", ["token_expired"]),
        ("could not extend file: No space left on device", ["disk_full"]),
        ("PANIC:  could not write", ["panic"]),
        ("server process (PID 77) was terminated by signal 9: Killed", ["crash"]),
        ("everything is fine", []),
        ("user searched for readonly books", []),
    ],
)
def test_known_errors_by_their_texts(text: str, names: list[str]) -> None:
    """The narrower class wins over the wider one."""
    assert list(logs_known.names_in(text, "", False, False)) == names


@pytest.mark.parametrize(("sqlstate", "name"), sorted(logs_known.NAME_OF_SQLSTATE.items()))
def test_known_errors_by_their_code(sqlstate: str, name: str) -> None:
    """Texts are translated, codes are not."""
    assert logs_known.names_in("FEHLER: irgendetwas", sqlstate, False, False) == (name,)


def test_an_import_error_right_after_the_start_is_a_failure_to_boot() -> None:
    """Later it is a bug in one route."""
    known = logs_known.KnownErrors(boot_until="2026-11-23T14:47:00Z")
    trace = "Traceback (most recent call last):\n  File \"/srv/a.py\", line 1, in <module>\nModuleNotFoundError: No module named 'x'"
    for stamp in (T0, "2026-11-23T15:00:00.000000000Z"):
        known.add(Record(stamp, 40, "", trace=trace), "ModuleNotFoundError", "No module named 'x'", True)
    found = known.result()
    assert (found["boot_failure"]["count"], found["unhandled_exception"]["count"]) == (1, 2)
    assert found["boot_failure"]["first"] == T0


def test_the_host_of_a_failing_call_is_the_evidence() -> None:
    """From the field, else from the words; never with credentials."""
    known = logs_known.KnownErrors("")
    for text, url in (("ConnectTimeout", "https://api.payments.example/v1"), ("Read timed out. https://u:p@api.payments.example/x", ""), ("ReadTimeout", "")):
        known.add(Record(T0, 40, text, url=url), "", "", True)
    assert known.result()["ext_timeout"]["hosts"] == {"api.payments.example": 2}


def test_what_was_only_in_the_baseline_has_count_0() -> None:
    """And is still told apart from what never was."""
    known = logs_known.KnownErrors("")
    known.add(Record(T0, 40, "deadlock detected"), "", "", False)
    entry = known.result()["deadlock"]
    assert (entry["count"], entry["baseline"], entry["first"], entry["sample"]) == (0, 1, None, None)
    assert set(known.result()) == set(logs_known.PATTERNS)


@pytest.mark.parametrize("name", sorted(logs_known.PATTERNS))
def test_known_errors_are_found_quickly_in_hostile_text(name: str) -> None:
    """They are compiled late, so the test of all patterns does not see them."""
    pieces = ("a", " ", "1 ", "connection to server at ", "request to ", "[Errno ", "cannot execute A ", "Exception on x [A", "configuration file ", "Error -")
    for piece in pieces:
        for text in (piece * (3000 // len(piece)), piece * (3000 // len(piece)) + "!"):
            started = time.process_time()
            re.search(logs_known.PATTERNS[name], text)
            assert time.process_time() - started < 0.5, piece


# -- redaction ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgresql://app:hunter2@app-db/x", "postgresql://app:[masked]@app-db/x"),
        ("redis://:hunter2@cache:6379/0", "redis://:[masked]@cache:6379/0"),
        ("Authorization: Bearer hunter2hunter2", "Authorization: Bearer [masked]"),
        ('{"password": "hunter2", "user": "a"}', '{"password": [masked], "user": "a"}'),
        ("login?user=a&token=hunter2&x=1", "login?user=a&token=[masked]&x=1"),
        ("X-Api-Key: hunter2", "X-Api-Key: [masked]"),
        ("client_secret='hunter2 with blanks'", "client_secret=[masked]"),
        ('password="hunter2 that never ends', "password=[masked]"),
        ("key eyJhbGciOiJIUzI1NiJ9.hunter2hunter2.sig", "key [masked]"),
        ("AKIAABCDEFGHIJKLMNOP", "[masked]"),
        ("-----BEGIN RSA PRIVATE KEY----- hunter2", "[masked]"),
        ('password authentication failed for user "app"', 'password authentication failed for user "app"'),
        ("token is not yet valid", "token is not yet valid"),
    ],
)
def test_secrets_do_not_leave_the_machine(text: str, kept: str) -> None:
    """What is no secret stays readable."""
    assert redact.sample(text) == kept
    assert "hunter2" not in redact.sample(text)


def test_samples_are_one_harmless_line() -> None:
    """No terminal sequence, no control character, bounded."""
    text = redact.sample("a\x1b[2J\x1b]0;title\x07b\x00c\n\n  d\u202ee {{ 7*7 }} <script>" + "x" * 1000)
    assert text.startswith("abc de {{ 7*7 }} <script>xxx")
    assert len(text) == 300
    assert text.endswith("…")
