# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile and enormous data becomes safe and small."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe.clean import SOURCE_LIMIT, bounded, clean_text, cleaned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("two\nlines\tand a tab, Zürich", "two\nlines\tand a tab, Zürich"),
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07rest", "rest"),
        ("bell\x07 back\x08 null\x00 csi\x9b2J", "bell back null csi"),
        ("evil \u202etxt.exe", "evil txt.exe"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("carriage\rreturn", "carriagereturn"),
    ],
)
def test_control_characters_go(text: str, expected: str) -> None:
    assert clean_text(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (1.5, 1.5),
        (True, True),
        (b"\xff\x00abc", "\ufffdabc"),
        ({1: (1, 2), "s": {3}}, {"1": [1, 2], "s": [3]}),
        (OSError("x\x1b[2J"), "x"),
    ],
)
def test_everything_becomes_json(value: Any, expected: Any) -> None:
    assert cleaned(value) == expected
    json.dumps(cleaned(value), allow_nan=False)


def test_an_enormous_answer_is_cut_and_says_so() -> None:
    data = {"lines": ["x" * 5000 for _number in range(3000)], "count": 3000}
    result = bounded(data)
    assert len(json.dumps(result)) <= SOURCE_LIMIT
    assert result["cut"] is True
    assert result["count"] == 3000
    assert result["lines"]


def test_a_usual_answer_is_left_alone() -> None:
    assert bounded({"a": [1, {"b": None}]}) == {"a": [1, {"b": None}]}


def test_endless_nesting_ends() -> None:
    data: dict[str, Any] = {}
    data["self"] = data
    assert json.dumps(bounded(data))
