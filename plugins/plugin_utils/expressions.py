# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JMESPath as the check data uses it: the language, a few functions of our own, and how times and sizes are read and written."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

try:
    import jmespath
    from jmespath import exceptions as jmespath_errors
    from jmespath import functions as jmespath_functions
except ImportError as error:
    # ansible-core does not bring it; the actions say in one sentence how to get it.
    MISSING: ImportError | None = error
else:
    MISSING = None

from .findings import clean_text, value_text


class ExpressionError(ValueError):
    """An expression is no JMESPath, or does not fit the document; the message is short and safe to print."""


def _percent(part: Any, whole: Any) -> float | None:
    return None if not are_numbers(part, whole) or whole == 0 else 100.0 * part / whole


def _minus(first: Any, second: Any) -> float | None:
    return first - second if are_numbers(first, second) else None


def _divide(first: Any, second: Any) -> float | None:
    return None if not are_numbers(first, second) or second == 0 else first / second


def _matches(text: Any, pattern: Any) -> bool | None:
    return None if not isinstance(text, str) else re.search(str(pattern), text[:4000]) is not None


def _age(now: Any, time: Any) -> float | None:
    then = epoch(time)
    return now - then if are_numbers(now) and then is not None else None


def _either(value: Any, default: Any) -> Any:
    return default if value is None else value


def _round(number: Any, digits: Any) -> float | None:
    return round(number, int(digits)) if are_numbers(number, digits) else None


def _count(items: Any) -> int | None:
    return len(items) if isinstance(items, (list, dict, str)) else None


def _pairs(mapping: Any) -> list[list[Any]] | None:
    return [[name, mapping[name]] for name in sorted(mapping)] if isinstance(mapping, dict) else None


def _size(number: Any) -> str | None:
    return size_text(number) if are_numbers(number) else None


def _duration(seconds: Any) -> str | None:
    return duration_text(seconds) if are_numbers(seconds) else None


def are_numbers(*values: Any) -> bool:
    """True when every value is a number (a boolean is none)."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def epoch(text: Any) -> float | None:
    """Seconds since 1970 of an ISO-8601 time (UTC when it names no zone); numbers pass through, anything else is None."""
    if are_numbers(text):
        return float(text)
    if not isinstance(text, str) or not text:
        return None
    # Docker writes nanoseconds, PostgreSQL "+00": both are more or less than Python's parser takes.
    match = re.match(r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d(?::?\d\d)?)?$", text.strip())
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z") else zone if ":" in zone else f"{zone[:3]}:{zone[3:] or '00'}"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset}")
    except ValueError:
        return None
    return moment.timestamp() + float(fraction or 0)


def iso_time(value: Any) -> str | None:
    """An ISO-8601 UTC string of a time given as such a string or as an epoch; None when it is neither."""
    seconds = epoch(value)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return None


def size_text(number: float) -> str:
    """Bytes for people: 1.5 GB (powers of 1024)."""
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(amount) < 1024 or unit == "TB":
            return f"{value_text(round(amount, 1))} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")


def duration_text(seconds: float) -> str:
    """Seconds for people: 45 s, 12 min, 3.5 h, 2 d."""
    amount = abs(float(seconds))
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if amount < limit:
            return f"{value_text(round(seconds / divisor, 1) if divisor > 1 or amount < 10 else round(seconds))} {unit}"
    return f"{value_text(round(seconds / 86400, 1))} d"


# What checks have beyond JMESPath's own functions. ``null`` in gives ``null`` out, so that a missing value stays unknown.
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "age": _age,
    "count": _count,
    "divide": _divide,
    "duration": _duration,
    "either": _either,
    "epoch": epoch,
    "matches": _matches,
    "minus": _minus,
    "pairs": _pairs,
    "percent": _percent,
    "round": _round,
    "size": _size,
}


@functools.cache
def _options() -> Any:
    """Our functions as the library wants them: methods of a class of its own, each with a signature that takes anything."""
    base = jmespath_functions.Functions
    functions = type(base)("Functions", (base,), {f"_func_{name}": _as_method(function) for name, function in FUNCTIONS.items()})
    return jmespath.Options(custom_functions=functions())


def _as_method(function: Callable[..., Any]) -> Any:
    def method(self: Any, *arguments: Any) -> Any:
        del self
        return function(*arguments)

    anything: list[dict[str, list[str]]] = [{"types": []} for _parameter in inspect.signature(function).parameters]
    return jmespath_functions.signature(*anything)(method)


@functools.cache
def compile_expression(text: Any) -> Any:
    """A compiled expression; raises ExpressionError when the text is none, or calls a function that does not exist."""
    if not isinstance(text, str):
        raise ExpressionError(f"must be a JMESPath text, not {value_text(text)}")
    try:
        compiled = jmespath.compile(text)
    except (jmespath_errors.JMESPathError, ValueError) as error:
        raise ExpressionError(f"is no JMESPath: {clean_text(error, 120)}") from error
    bare = re.sub(r"'[^']*'|`[^`]*`", "", text)
    trap = re.search(r"!\s*[a-z_]+\.", bare)
    if trap:
        # JMESPath reads !a.b as (!a).b, which is always null.
        raise ExpressionError(f"needs parentheses after the exclamation mark: !({trap.group(0)[1:]}...)")
    for function in re.findall(r"([a-z_]+)\(", bare):
        if function not in _options().custom_functions.FUNCTION_TABLE:
            raise ExpressionError(f"calls {function}(), which does not exist")
    return compiled


def search(compiled: Any, document: Mapping[str, Any]) -> Any:
    """The expression's value in the document; raises ExpressionError when it does not fit, whatever the machine sent."""
    try:
        return compiled.search(document, options=_options())
    except (jmespath_errors.JMESPathError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, re.error) as error:
        raise ExpressionError(clean_text(error, 100)) from error


def is_true(answer: Any) -> bool:
    """JMESPath's truth: null, false and everything empty are false, 0 is true."""
    return answer is not None and answer is not False and answer != "" and answer != [] and answer != {}
