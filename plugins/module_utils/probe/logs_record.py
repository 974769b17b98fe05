# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one log line says: a record, from JSON, plain text, and the logs of nginx, PostgreSQL and Redis."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from .logs_text import CRITICAL, ERROR, INFO, LEVELS, UNKNOWN, WARNING, level_of

LEVEL_KEYS = ("level", "levelname", "severity", "log.level", "lvl", "loglevel")
MESSAGE_KEYS = ("event", "message", "msg", "text", "body")
PATH_KEYS = ("path", "url", "http.path", "request_path", "uri", "request_uri", "endpoint", "route", "url.path")
STATUS_KEYS = ("status", "status_code", "http.status_code", "response_status", "http.response.status_code")
TRACE_KEYS = ("exception", "exc_info", "traceback", "stack", "stack_trace", "exc_text", "error.stack_trace", "stacktrace")
CLASS_KEYS = ("error", "exc_type", "exception_type", "error_type", "error.type", "exc", "exception_class")
ERROR_TEXT_KEYS = ("error_message", "err", "detail", "reason", "cause", "error.message", "exc_message", "component")
SQLSTATE_KEYS = ("sqlstate", "pgcode", "sql_state")

MESSAGE_LIMIT = 4000
# What json.loads calls after it has looked at its options, for each of up to 200,000 lines.
DECODE = json.JSONDecoder().decode


@dataclass
class Record:
    """One record. ``message`` is for people, ``more`` are further texts that only patterns look at; neither holds the request's URL."""

    stamp: str
    level: int
    message: str
    more: str = ""
    trace: str = ""
    error_class: str = ""
    path: str = ""
    status: int | None = None
    sqlstate: str = ""
    url: str = ""
    upstream: str = ""
    kind: str = "plain"


def json_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line is; None when it is none."""
    try:
        document = DECODE(line.decode("utf-8", "replace"))
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def from_json(stamp: str, line: bytes) -> Record | None:
    """Record of a JSON object line; None when it is none."""
    document = json_object(line)
    if document is None:
        return None
    nested = document.get("log")
    if isinstance(nested, dict) and "level" in nested:  # Elastic's layout with nested keys
        document = {**document, "log.level": nested["level"]}
    record = Record(stamp, _level(document), _text(document, MESSAGE_KEYS), kind="json")
    record.path = path_only(_text(document, PATH_KEYS))
    record.status = _status(document)
    if record.level >= WARNING or record.level == UNKNOWN:
        _add_error_fields(record, document)
    return record


def _add_error_fields(record: Record, document: dict[str, Any]) -> None:
    record.trace = _trace(document)
    record.error_class = class_name(_text(document, CLASS_KEYS))
    record.sqlstate = _text(document, SQLSTATE_KEYS)[:5]
    record.more = " ".join(part for part in (_text(document, (key,)) for key in CLASS_KEYS[:1] + ERROR_TEXT_KEYS) if part)[:MESSAGE_LIMIT]
    record.url = _text(document, ("url", "upstream_url", "target", "host"))[:400]
    if record.trace and record.level < ERROR:
        # Without a level a traceback is an error; with one its writer knew better.
        record.level = ERROR if record.level == UNKNOWN else record.level


def _text(document: dict[str, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        value = document.get(key)
        if isinstance(value, str) and value:
            return value[:MESSAGE_LIMIT]
        if isinstance(value, dict) and isinstance(value.get("message"), str):
            return str(value["message"])[:MESSAGE_LIMIT]
    return ""


def _level(document: dict[str, Any]) -> int:
    for key in LEVEL_KEYS:
        if key in document:
            return level_of(document[key])
    return UNKNOWN


def _status(document: dict[str, Any]) -> int | None:
    for key in STATUS_KEYS:
        value = document.get(key)
        if isinstance(value, int) and 100 <= value <= 599:
            return value
        if isinstance(value, str) and len(value) == 3 and value.isdigit():
            return int(value)
    return None


def _trace(document: dict[str, Any]) -> str:
    for key in TRACE_KEYS:
        value = document.get(key)
        if isinstance(value, str) and value:
            return value[-16000:]
        if isinstance(value, list) and value and isinstance(value[-1], dict):
            return rebuilt_trace(value[-1])
        if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
            return "\n".join(value)[-16000:]
    return ""


def rebuilt_trace(part: dict[str, Any]) -> str:
    """A traceback's text from structlog's dictionary form."""
    frames = part.get("frames")
    lines = [
        f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
        for frame in (frames if isinstance(frames, list) else [])[-20:]
        if isinstance(frame, dict)
    ]
    return "\n".join([*lines, f"{part.get('exc_type') or 'Exception'}: {part.get('exc_value') or ''}"])


def path_only(text: str) -> str:
    """The path of a path or URL; "" for anything else."""
    if "://" in text:
        text = "/" + text.partition("://")[2].partition("/")[2]
    return text if text.startswith("/") else ""


def class_name(text: str) -> str:
    """The text when it is the name of an exception class, else ""."""
    return text if re.fullmatch(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w{2,80}", text) else ""


# ---------------------------------------------------------------- plain text

_WORDS = "|".join(sorted(LEVELS, key=len, reverse=True))
# A level near the start, set apart as logging formats do: "ERROR:", "[ERROR]", " ERROR ", "level=error", "| ERROR |".
_LEVEL = re.compile(rf"(?:^|[\[(|<]\s*|level=\"?|\d[\])Z]?\s+-?\s*|[\])]\s+|\s-\s)({_WORDS})(?=[\])>|:\s,\"]|$)", re.I)
_REQUEST = re.compile(r'"(?:[A-Z]{3,8}) (\S+) HTTP/[\d.]+"(?: \[?|\s+)(\d{3})\b')
_STARTS_LIKE_A_RECORD = re.compile(rf"^(?:\[?\d{{4}}[-/]\d\d[-/]\d\d|\{{|\[\w|\d+:[A-Z] |({_WORDS})\s*[:\s\]|-])", re.I)

TRACEBACK = "Traceback (most recent call last)"


def plain_level(text: str) -> int:
    """Level of a plain line; UNKNOWN when it names none where a level stands."""
    match = _LEVEL.search(text, 0, 160)
    return LEVELS[match.group(1).lower()] if match else UNKNOWN


def from_plain(stamp: str, text: str) -> Record:
    """Record of a plain line: Python's logging, uvicorn, gunicorn, logfmt, or anything."""
    record = Record(stamp, plain_level(text), text[:MESSAGE_LIMIT])
    if '" ' in text and " HTTP/" in text:
        request = _REQUEST.search(text)
        if request:
            record.path, record.status = path_only(request.group(1)), int(request.group(2))
            record.message = text[: request.start()].rstrip()
            record.level = record.level or INFO
    return record


def starts_record(text: str) -> bool:
    """Whether the line begins like a record of its own, and not like the rest of the one before."""
    return bool(_STARTS_LIKE_A_RECORD.match(text)) or text.startswith(TRACEBACK)


# ---------------------------------------------------------------- PostgreSQL

_PG = re.compile(r"\b(DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION):  (.*)", re.S)
_PG_CODE = re.compile(r"(?:^|[\s\[(:,])([0-9A-Z][0-9A-Z]{4})(?=[\s\]):,])")
_PG_LEVELS = {"LOG": INFO, "INFO": INFO, "NOTICE": INFO, "WARNING": WARNING, "ERROR": ERROR, "FATAL": CRITICAL, "PANIC": CRITICAL}
# PostgreSQL tells about its own crashes at level LOG.
_PG_CRASH = re.compile(r"was terminated by signal|database system was interrupted|was not properly shut down")
_SQLSTATE = re.compile(r"(?=.*\d)(?:[0-9][0-9A-Z]{4}|F0[0-9A-Z]{3}|HV[0-9A-Z]{3}|P0[0-9A-Z]{3}|XX[0-9A-Z]{3})")


def from_postgresql(stamp: str, text: str) -> Record | None:
    """Record of a line of PostgreSQL's own log; None for the lines that only add to the one before.

    Statements are left out: they hold users' data.
    """
    match = _PG.search(text[:1000])
    if match is None or match.group(1) in ("DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION"):
        return None
    severity, message = match.group(1), match.group(2)
    record = Record(stamp, _PG_LEVELS.get(severity, 10), message.partition("  statement: ")[0][:MESSAGE_LIMIT], kind="postgresql")
    for code in _PG_CODE.findall(text[: match.start()]):
        if _SQLSTATE.fullmatch(code):
            record.sqlstate = code
    if severity == "PANIC":
        record.more = "PANIC:"
    if severity == "LOG" and _PG_CRASH.search(message):
        record.level = ERROR
    return record


# ---------------------------------------------------------------- Redis

_REDIS = re.compile(r"^\d+:[A-Z] \d{1,2} \w{3} \d{4} [\d:.]+ ([.\-*#]) (.*)", re.S)
_REDIS_TROUBLE = re.compile(r"(?i)\berror\b|can't|cannot|couldn't|failed|out of memory|\bOOM\b|crashed|BUG REPORT|MISCONF|no space left|max number of clients")


def from_redis(stamp: str, text: str) -> Record:
    """Record of a line of Redis' own log: it marks warnings with ``#`` and has no level for errors, so the words decide."""
    match = _REDIS.match(text)
    if match is None:
        return Record(stamp, UNKNOWN, text[:MESSAGE_LIMIT], kind="redis")
    level = WARNING if match.group(1) == "#" else INFO
    if _REDIS_TROUBLE.search(match.group(2)):
        level = ERROR
    return Record(stamp, level, match.group(2)[:MESSAGE_LIMIT], kind="redis")


# ---------------------------------------------------------------- nginx' error log

_NGINX_ERROR = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(\w+)\] \d+#\d+: (?:\*\d+ )?(.*)", re.S)
_UPSTREAM = re.compile(r'upstream: "(?:\w+://)?([^/",]+)')
_NGINX_REQUEST = re.compile(r'request: "[A-Z]+ (\S+)')


def from_nginx_error(stamp: str, text: str) -> Record | None:
    """Record of a line of nginx' error log; None for any other line."""
    match = _NGINX_ERROR.match(text)
    if match is None:
        return None
    # What follows "client:" repeats the request, which anybody may have written.
    message, _comma, request = match.group(2).partition(", client: ")
    record = Record(stamp, LEVELS.get(match.group(1), CRITICAL), message[:MESSAGE_LIMIT], kind="nginx")
    upstream = _UPSTREAM.search(request)
    record.upstream = upstream.group(1)[:100] if upstream else ""
    path = _NGINX_REQUEST.search(request)
    record.path = path_only(path.group(1)) if path else ""
    return record
