# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Redis' INFO says, in numbers and shares."""

from __future__ import annotations

from typing import Any

# Long per-command tables; nothing in a triage reads them.
LEFT_OUT = ("cmdstat_", "latency_percentiles_")
# Memory counts as full a little below the limit: the next large write is refused already.
FULL_SHARE = 0.98


def number(text: str) -> Any:
    """The text as int or float when it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parse_info(text: str) -> dict[str, Any]:
    """All keys of an INFO reply; numbers as numbers, ``a=1,b=2`` as a dictionary."""
    info: dict[str, Any] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if not colon or line.startswith("#") or key.startswith(LEFT_OUT):
            continue
        info[key] = fields(value) if "=" in value and not key.endswith(("_human", "executable", "config_file")) else number(value)
    return info


def fields(value: str) -> dict[str, Any]:
    """``keys=12,expires=3`` as a dictionary."""
    return {name: number(part) for name, equals, part in (pair.partition("=") for pair in value.split(",")) if equals}


def error_counts(info: dict[str, Any]) -> dict[str, int]:
    """``{OOM: 12}``: error replies by code since the server started (6.2+)."""
    prefix = "errorstat_"
    return {key[len(prefix) :]: int(value.get("count", 0)) for key, value in info.items() if key.startswith(prefix) and isinstance(value, dict)}


def deltas(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    """What grew between two counters; a name that appeared in between started at 0."""
    return {name: max(0, count - first.get(name, 0)) for name, count in second.items()}


def keyspace(info: dict[str, Any]) -> tuple[int, int]:
    """(keys, keys with a time to live) over all databases."""
    databases = [value for key, value in info.items() if key.startswith("db") and key[2:].isdigit() and isinstance(value, dict)]
    return sum(int(entry.get("keys", 0)) for entry in databases), sum(int(entry.get("expires", 0)) for entry in databases)


def percent(part: Any, whole: Any) -> float | None:
    """Share in percent, None without a whole."""
    if not isinstance(part, (int, float)) or not isinstance(whole, (int, float)) or whole <= 0:
        return None
    return round(100.0 * part / whole, 1)


def memory_facts(info: dict[str, Any], oom_growing: bool) -> dict[str, Any]:
    """``used_pct`` (null without a limit) and ``noeviction_full``: writes are refused, or are about to be."""
    limit = info.get("maxmemory") or 0
    # Replication and AOF buffers do not count against the limit.
    used = max(0, (info.get("used_memory") or 0) - (info.get("mem_not_counted_for_evict") or 0))
    policy = str(info.get("maxmemory_policy") or "")
    _keys, expires = keyspace(info)
    # volatile-* may only drop keys with a time to live: without any it refuses writes like noeviction.
    keeps_everything = policy == "noeviction" or (policy.startswith("volatile-") and expires == 0)
    full = bool(limit) and keeps_everything and used >= limit * FULL_SHARE
    return {"used_pct": percent(used, limit), "noeviction_full": full or (oom_growing and keeps_everything)}
