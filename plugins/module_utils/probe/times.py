# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as evidence writes them: ISO-8601 UTC with microseconds and ``Z``."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?\s*(Z|[+-]\d\d:?\d\d)?$")


def iso(epoch: float | None) -> str | None:
    """The text for an epoch in seconds."""
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def epoch(text: str | None) -> float | None:
    """Epoch in seconds of an ISO-8601 text (nanoseconds allowed, UTC without a zone); None for anything else and for Docker's zero time."""
    match = _ISO.match(text.strip()) if text else None
    if match is None or match.group(1) == "0001":
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        whole = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    fraction = float("0." + match.group(7)) if match.group(7) else 0.0
    return whole + fraction - _zone_s(match.group(8))


def _zone_s(zone: str | None) -> float:
    if not zone or zone == "Z":
        return 0.0
    seconds = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
    return float(-seconds if zone[0] == "-" else seconds)
