# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes what a source returned safe and small enough for the evidence document.

Text of machines is hostile: control characters, terminal sequences and direction marks go, and nothing may be so large that it
hides the rest.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without newline and tab, DEL, C1
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"  # direction marks, invisible characters, line separators
    "\U000e0000-\U000e007f]"  # tag characters
)
_TERMINAL = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor moves
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\\\|\x9c)?"  # titles, links
    "|\x1b[ -/]*[0-~]"
)

SOURCE_LIMIT = 768 * 1024
# (longest text, most entries of a list or dictionary): the first pair with which the source fits into SOURCE_LIMIT
_TIGHTENING = ((16384, 5000), (4096, 1000), (1024, 200), (256, 50), (64, 10))
DEEPEST = 24


def clean_text(text: str) -> str:
    """Text without control characters other than newline and tab, and without lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    text = _CONTROL.sub("", _TERMINAL.sub("", text))
    return text.encode("utf-8", "replace").decode("utf-8")


def cleaned(value: Any, longest: int = _TIGHTENING[0][0], most: int = _TIGHTENING[0][1], depth: int = 0) -> Any:
    """A copy of ``value`` that JSON can hold: clean texts, no NaN, bounded lengths; whatever is no JSON type becomes text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value[: longest * 4]).decode("utf-8", "replace")
    if isinstance(value, str):
        return clean_text(value[: longest * 4])[:longest]
    if depth >= DEEPEST:
        return None
    if isinstance(value, dict):
        pairs = list(value.items())[:most]
        return {clean_text(str(key))[:256]: cleaned(item, longest, most, depth + 1) for key, item in pairs}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [cleaned(item, longest, most, depth + 1) for item in list(value)[:most]]
    return clean_text(str(value))[:longest]


def bounded(data: dict[str, Any], limit: int = SOURCE_LIMIT) -> dict[str, Any]:
    """A source's data, cleaned and cut until its JSON has at most ``limit`` bytes; ``cut`` is set when something had to go."""
    for longest, most in _TIGHTENING:
        result: dict[str, Any] = cleaned(data, longest, most)
        if len(json.dumps(result)) <= limit:
            if (longest, most) != _TIGHTENING[0]:
                result["cut"] = True
            return result
    return {"cut": True}
