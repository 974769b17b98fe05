# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make text that comes from machines safe to show: no control characters, no terminal escapes, no invisible reordering."""

from __future__ import annotations

import re

_ESCAPE_SEQUENCES = re.compile(
    r"""
      (?:\x1b\[|\x9b) [0-?]* [ -/]* [@-~]                                                # CSI: colours, cursor moves
    | (?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]) [^\x07\x1b\x80-\x9f]* (?:\x07|\x1b\\|\x9c)    # OSC, DCS, APC: titles, links
    | \x1b [ -/]* [0-~]                                                                  # two-character escapes
    """,
    re.VERBOSE,
)
_LINE_ENDS = re.compile("\r\n|\r|\x85|\u2028|\u2029")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"  # bidirectional controls, zero-width, annotations
    "\U000e0000-\U000e007f]"  # tag characters
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"\s+")

ELLIPSIS = "..."


def clean(text: str) -> str:
    """Return the text without terminal escapes, control and invisible characters; line feeds and tabs stay.

    A lone surrogate, which no UTF-8 file can hold, becomes U+FFFD.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPE_SEQUENCES.sub("", text)
    text = _LINE_ENDS.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    return _SURROGATES.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return cleaned text on a single line: every run of white space becomes one space."""
    return _SPACES.sub(" ", clean(text)).strip()


def shorten(text: str, width: int) -> str:
    """Cut the text to `width` characters, ending in "..." when something was cut."""
    if len(text) <= width:
        return text
    return text[: max(0, width - len(ELLIPSIS))].rstrip() + ELLIPSIS[: max(0, width)]


def wrap(text: str, width: int, indent: str = "", lead: str = "") -> list[str]:
    """Break one line of text into lines of at most `width` characters.

    The first line begins with `lead`, the others with `indent`. A word that is longer than a line is cut, so no line is ever longer.
    """
    lines: list[str] = []
    start = current = lead
    for whole_word in text.split():
        word = whole_word
        gap = " " if current != start else ""
        if len(current) + len(gap) + len(word) > width:
            if current != start:
                lines.append(current)
                start, current, gap = indent, indent, ""
            while len(current) + len(word) > width:
                room = max(1, width - len(current))
                lines.append(current + word[:room])
                word, start, current = word[room:], indent, indent
        current += gap + word
    return [*lines, current.rstrip()] if current != start or not lines else lines


def plural(count: int, noun: str) -> str:
    """Return "1 check", "2 checks", "2 queries"."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{count} {noun[:-1]}ies"
    return f"{count} {noun}s"
