# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from machines: nothing in it may drive a terminal or hide."""

from __future__ import annotations

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import clean, one_line, plural, shorten, wrap


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("plain", "plain"),
        ("two\nlines\tand tab", "two\nlines\tand tab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[H", ""),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bc reset", " reset"),
        ("unfinished \x1b[", "unfinished "),
        ("a\x00b\x08c\x7fd\x85e", "abcd\ne"),
        ("windows\r\nline\rold mac", "windows\nline\nold mac"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("zero\u200bwidth\ufeff\u2066x\u2069", "zerowidthx"),
        ("tag\U000e0041", "tag"),
        ("\ud800lone", "\ufffdlone"),
        ("Grüße 日本 🙂", "Grüße 日本 🙂"),
    ],
)
def test_clean(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


def test_one_line() -> None:
    assert one_line("  a\n b\t\x1b[1mc  ") == "a b c"


@pytest.mark.parametrize(("width", "short"), [(5, "abcde"), (4, "a..."), (3, "..."), (0, "")])
def test_shorten(width: int, short: str) -> None:
    assert shorten("abcde", width) == short


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["NEXT"]),
        ("short", ["NEXT  short"]),
        ("one two three", ["NEXT  one", "      two", "      three"]),
        ("abcdefghijklmnop", ["NEXT  abcdef", "      ghijkl", "      mnop"]),
    ],
)
def test_wrap_keeps_the_width(text: str, lines: list[str]) -> None:
    assert wrap(text, 12, "      ", "NEXT  ") == lines


@pytest.mark.parametrize("width", range(1, 30))
def test_wrap_loses_nothing(width: int) -> None:
    text = "a fairly long sentence with averyveryverylongwordthatfitsnowhere in it"
    lines = wrap(text, width)
    assert all(len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(("count", "noun", "text"), [(1, "check", "1 check"), (2, "check", "2 checks"), (0, "query", "0 queries"), (3, "day", "3 days")])
def test_plural(count: int, noun: str, text: str) -> None:
    assert plural(count, noun) == text
