# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as people give them: understood, or refused in one sentence."""

from __future__ import annotations

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.durations import Moment, UnreadableTimeError, parse_moment, parse_span

NOW = 1795446000.0  # 2026-11-23T15:00:00Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15m", 900),
        ("90s", 90),
        ("3d", 259200),
        ("2w", 1209600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("15 minutes ago", 900),
        ("1 hour ago", 3600),
        ("an hour ago", 3600),
        ("1 Hour, 30 Minutes ago", 5400),
        ("2 hours and 5 min ago", 7500),
        ("  last   hour ", 3600),
        ("past 2 days", 172800),
        ("now", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_moment(text, "since") == Moment(ago_s=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T14:46:33Z",
        "2026-11-23 14:46:33 UTC",
        "2026-11-23T16:46:33+02:00",
        "2026-11-23 16:46:33 +0200",
        "20261123T144633Z",
        "2026-11-23 14:46:33+00:00",
        "@1795445193",
        "1795445193",
    ],
)
def test_times_with_a_zone(text: str) -> None:
    assert parse_moment(text, "since") == Moment(epoch=1795445193.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "which is not understood"),
        ("90", "which is not understood"),
        ("15M", "which is not understood"),  # months to some
        ("m", "which is not understood"),
        ("-15m", "which is not understood"),
        ("yesterday", "which is not understood"),
        ("5 minutes and", "which is not understood"),
        ("1 day 2", "which is not understood"),
        ("3 fortnights ago", "which is not understood"),
        ("{{ 7 * 7 }}", "which is not understood"),
        ("999999999999d", "which is longer than anything remembers"),
        ("2026-11-23T14:46:33", "which has no time zone"),
        ("2026-11-23", "which has no time zone"),
        ("2026-13-01T00:00Z", "which is no time of the calendar"),
    ],
)
def test_what_is_refused_is_named_with_what_is_accepted(text: str, words: str) -> None:
    with pytest.raises(UnreadableTimeError) as caught:
        parse_moment(text, "fetch_logs_since")
    sentence = str(caught.value)
    assert sentence.startswith(f"fetch_logs_since is {text!r}, {words}; ")
    assert "\n" not in sentence


def test_a_span_has_an_end_behind_its_beginning() -> None:
    options = ("since", "until")
    begin, end = parse_span("1h", "2026-11-23T14:30:00Z", NOW, options)
    assert (begin.at(NOW), end.at(NOW) if end else None) == (NOW - 3600, NOW - 1800)
    assert parse_span("1h", " ", NOW, options)[1] is None
    with pytest.raises(UnreadableTimeError, match="until is '2h', which is not after since '1h'"):
        parse_span("1h", "2h", NOW, options)
    for future in ("2026-11-23T15:00:01Z", "0s", "now"):
        with pytest.raises(UnreadableTimeError, match="which is not in the past"):
            parse_span(future, "", NOW, options)


def test_the_probe_resolves_durations_by_its_own_clock() -> None:
    assert parse_moment("15m", "since").request() == {"ago_s": 900.0}
    assert parse_moment("@1795445193", "since").request() == {"epoch": 1795445193.0}
