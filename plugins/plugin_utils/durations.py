# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as people give them: ``15m``, ``15 minutes ago``, ``2026-11-23T14:46:33Z``. What can be read in two ways is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

ACCEPTED = "give a duration such as 15m, 1h30m, 3d or '15 minutes ago', or a time with its zone such as 2026-11-23T14:46:33Z"
LONGEST_S = 100 * 366 * 86400.0

_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400.0),
}
_PART = re.compile(r"(?:([0-9]{1,15}(?:\.[0-9]{1,9})?|an?(?= ))\s?)?([A-Za-z]+)(?:\s?,\s?|\sand\s|\s|(?=[0-9])|$)")
_EPOCH = re.compile(r"@?([0-9]{9,11}(?:\.[0-9]{1,9})?)")
_ISO = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}(?:[Tt ].*)?")


class UnreadableTimeError(ValueError):
    """The text is no time; the message is one sentence that names it and says what is understood."""


@dataclass(frozen=True)
class Moment:
    """A moment: so many seconds ago, or an epoch in seconds. Exactly one of them is None.

    Seconds ago stay as they are until a machine's own clock can tell what they mean.
    """

    ago_s: float | None = None
    epoch: float | None = None

    def at(self, now: float) -> float:
        """Epoch in seconds when it is ``now``."""
        return self.epoch if self.epoch is not None else max(0.0, now - (self.ago_s or 0.0))

    def request(self) -> dict[str, float]:
        """How the probe is told."""
        return {"epoch": self.epoch} if self.epoch is not None else {"ago_s": self.ago_s or 0.0}


def parse_moment(text: str, option: str) -> Moment:
    """The moment that a text names; UnreadableTimeError, whose sentence begins with the ``option``."""
    plain = " ".join(text.split())
    if plain.lower() == "now":
        return Moment(ago_s=0.0)
    if match := _EPOCH.fullmatch(plain):
        return Moment(epoch=float(match.group(1)))
    if _ISO.fullmatch(plain):
        return Moment(epoch=_iso_epoch(plain, text, option))
    seconds = _duration_s(plain)
    if seconds is None:
        raise UnreadableTimeError(f"{option} is {text[:80]!r}, which is not understood; {ACCEPTED}")
    if seconds > LONGEST_S:
        raise UnreadableTimeError(f"{option} is {text[:80]!r}, which is longer than anything remembers; {ACCEPTED}")
    return Moment(ago_s=seconds)


def parse_span(since: str, until: str, now: float, options: tuple[str, str]) -> tuple[Moment, Moment | None]:
    """Both ends of a time span, None for an ``until`` that is empty (open end); UnreadableTimeError when it holds no time."""
    begin = parse_moment(since, options[0])
    end = parse_moment(until, options[1]) if until.strip() else None
    if begin.at(now) >= now:
        raise UnreadableTimeError(f"{options[0]} is {since!r}, which is not in the past; {ACCEPTED}")
    if end is not None and end.at(now) <= begin.at(now):
        raise UnreadableTimeError(f"{options[1]} is {until!r}, which is not after {options[0]} {since!r}; give a later time, or leave it empty for now")
    return begin, end


def _iso_epoch(plain: str, text: str, option: str) -> float:
    joined = re.sub(r"\s?(?:UTC|GMT|[zZ])$", "+00:00", plain)
    joined = re.sub(r"\s([+-][0-9]{2}:?[0-9]{2})$", r"\1", joined)
    try:
        moment = datetime.fromisoformat(joined)
    except ValueError:
        raise UnreadableTimeError(f"{option} is {text[:80]!r}, which is no time of the calendar; {ACCEPTED}") from None
    if moment.tzinfo is None:
        raise UnreadableTimeError(f"{option} is {text[:80]!r}, which has no time zone; put Z behind the time for UTC, or an offset such as +02:00")
    try:
        return max(0.0, moment.timestamp())
    except (OverflowError, ValueError):
        return 0.0


def _duration_s(plain: str) -> float | None:
    """Seconds of a duration, None when the text is none."""
    words = re.sub(r"^(?:the )?(?:last|past) ", "", plain, flags=re.IGNORECASE)
    is_last = words != plain
    words = re.sub(r" ago$", "", words, flags=re.IGNORECASE)
    total, position = 0.0, 0
    while position < len(words):
        match = _PART.match(words, position)
        # "M" is months to some and minutes to others.
        factor = _UNITS.get(match.group(2).lower()) if match and match.group(2) != "M" else None
        if match is None or factor is None or not (match.group(1) or (is_last and match.end() == len(words) and position == 0)):
            return None
        number = match.group(1) or "1"
        total += factor * (1.0 if number in ("a", "an") else float(number))
        position = match.end()
    return total if position else None
