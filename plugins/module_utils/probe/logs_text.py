# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small facts about log texts: levels, masked messages, routes, exceptions in tracebacks."""

from __future__ import annotations

import functools
import re

DEBUG, INFO, WARNING, ERROR, CRITICAL = 10, 20, 30, 40, 50
UNKNOWN = 0

LEVELS = {
    "trace": DEBUG,
    "debug": DEBUG,
    "verbose": DEBUG,
    "info": INFO,
    "information": INFO,
    "informational": INFO,
    "notice": INFO,
    "log": INFO,
    "success": INFO,
    "warn": WARNING,
    "warning": WARNING,
    "error": ERROR,
    "err": ERROR,
    "severe": ERROR,
    "exception": ERROR,
    "critical": CRITICAL,
    "crit": CRITICAL,
    "fatal": CRITICAL,
    "alert": CRITICAL,
    "emerg": CRITICAL,
    "emergency": CRITICAL,
    "panic": CRITICAL,
}
LEVEL_NAMES = {DEBUG: "debug", INFO: "info", WARNING: "warning", ERROR: "error", CRITICAL: "critical", UNKNOWN: "unknown"}

_TERMINAL = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")

_QUOTED = re.compile(r"'[^']{1,200}'|\"[^\"]{1,200}\"")
_IDENTIFIER = re.compile(r"\b(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|0x[0-9a-fA-F]+|(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,})\b")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")

_FRAME = re.compile(r'^[ \t|+]*File "([^"\n]{1,500})", line (\d+), in (\S{1,200})', re.M)
# "psycopg.errors.UndefinedColumn: column ..." or "KeyError: 'tier'"; a class alone on its line too.
_EXCEPTION_LINE = re.compile(r"^(?:[ \t]*\|[ \t]?)?((?:[A-Za-z_]\w{0,80}\.){0,12}[A-Z]\w{0,80})(?::|[ \t]*$)", re.M)
_LIBRARY = ("site-packages", "dist-packages", "/lib/python", "<frozen", "<string>")


def without_colours(line: bytes) -> bytes:
    """The line without terminal sequences."""
    return _TERMINAL.sub(b"", line) if b"\x1b" in line else line


def level_of(value: object) -> int:
    """The level behind a log field: a name in any case, or one of the numbers of Python, bunyan and pino."""
    if isinstance(value, str):
        return LEVELS.get(value.strip().lower(), UNKNOWN)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return min(CRITICAL, int(value) // 10 * 10) if 10 <= value <= 60 else UNKNOWN
    return UNKNOWN


@functools.lru_cache(maxsize=512)
def masked(message: str, length: int = 160) -> str:
    """The message with quoted texts, identifiers and numbers replaced, so that lines about the same thing become equal."""
    text = message[:400]
    text = _QUOTED.sub("'…'", text)
    text = _IDENTIFIER.sub("#", text)
    text = _NUMBER.sub("N", text)
    return " ".join(text.split())[:length]


def route_of(path: str) -> str:
    """First two segments of a path without query, identifiers and file names masked: ``/api/orders/408?x=1`` is ``/api/orders``."""
    bare = path.partition("?")[0].partition("#")[0]
    segments = [segment for segment in bare.split("/") if segment][:2]
    return "/" + "/".join(_segment(segment) for segment in segments)


def _segment(segment: str) -> str:
    if segment.isalpha() and len(segment) < 40:
        return segment
    name, dot, suffix = segment.rpartition(".")
    if dot and name and suffix.isalnum() and len(suffix) <= 5:
        return segment if name.isalpha() else f"*.{suffix}"
    if len(segment) >= 32 or segment.isdigit() or _IDENTIFIER.fullmatch(segment) or sum(character.isdigit() for character in segment) >= 4:
        return ":id"
    return segment if re.fullmatch(r"[\w.~-]+", segment) else ":id"


def exception_in(trace: str) -> tuple[str | None, str | None, str]:
    """(class, ``file:line function``, message) of the exception that a traceback ends with.

    The place is the last frame in the application's own code: a frame deep in a library would be the same for many different bugs.
    """
    frames = _FRAME.findall(trace)
    own = [frame for frame in frames if not any(part in frame[0] for part in _LIBRARY)]
    place = (own or frames)[-1] if frames else None
    where = f"{short_path(place[0])}:{place[1]} {place[2]}" if place else None
    after_frames = trace[trace.rfind('File "') :] if frames else trace
    kinds = list(_EXCEPTION_LINE.finditer(after_frames))
    if not kinds:
        return None, where, ""
    last = kinds[0] if frames else kinds[-1]
    message = after_frames[last.end() :].strip().split("\n", 1)[0].strip()
    return last.group(1), where, message


def short_path(path: str) -> str:
    """The last two parts of a file's path."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
