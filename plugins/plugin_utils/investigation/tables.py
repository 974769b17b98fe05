# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables that an investigation shows, and how values become their cells. Pure.

Whatever a machine said becomes plain text here: one line, cleaned, of bounded length. Nothing in a cell is ever more than text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..estate import Estate, Service
from ..expressions import are_numbers, duration_text, size_text
from ..findings import clean_text, number_text
from ..record import Table
from ..shapes import mapping
from ..text import one_line, plural

MOST_ROWS = 50
LONGEST_CELL = 300
UNKNOWN = "-"


@dataclass(frozen=True)
class Column:
    """How one column is filled: ``key`` of the row, or a function of the row; ``number`` is set to the right."""

    name: str
    value: str | Callable[[Mapping[str, Any]], Any]
    shown: Callable[[Any], str] | None = None
    number: bool = False


# -- cells --------------------------------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """Any value as one clean line, a dash when it is unknown."""
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if are_numbers(value):
        return number_text(float(value)) if isinstance(value, float) else str(value)
    if isinstance(value, (list, tuple)):
        return text(", ".join(text(item) for item in value[:8]))
    if isinstance(value, dict):
        return text(", ".join(f"{text(key)} {text(item)}" for key, item in list(value.items())[:8]))
    return one_line(clean_text(value, LONGEST_CELL)) or UNKNOWN


def size(value: Any) -> str:
    """Bytes as people read them."""
    return size_text(float(value)) if are_numbers(value) else UNKNOWN


def seconds(value: Any) -> str:
    """A duration as people read it."""
    return duration_text(float(value)) if are_numbers(value) else UNKNOWN


def milliseconds(value: Any) -> str:
    """Milliseconds with a unit."""
    return f"{number_text(round(float(value), 1))} ms" if are_numbers(value) else UNKNOWN


def percent(value: Any) -> str:
    """A share with its sign."""
    return f"{number_text(round(float(value), 1))} %" if are_numbers(value) else UNKNOWN


def clock(value: Any) -> str:
    """The time of day of an ISO-8601 time, in UTC."""
    words = str(value or "")
    return f"{words[5:10]} {words[11:19]}" if len(words) >= 19 and words[10] in "T " else UNKNOWN


# -- tables -------------------------------------------------------------------------------------------------------------------------------


def table(title: str, service: Service | None, rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], **more: Any) -> Table:
    """A table of dictionaries; what does not fit is counted."""
    known = [row for row in rows if isinstance(row, Mapping)]
    made = Table(
        title=title,
        service=text(service.name) if service else "",
        host=text(service.host) if service else "",
        columns=[column.name for column in columns],
        rows=[[_cell(column, row) for column in columns] for row in known[:MOST_ROWS]],
        numbers=[position for position, column in enumerate(columns) if column.number],
        left_out=max(0, len(known) - MOST_ROWS),
    )
    for key, value in more.items():
        setattr(made, key, value)
    return made


def facts(title: str, service: Service | None, pairs: Iterable[tuple[str, str]], **more: Any) -> Table:
    """A table of names and values; unknown ones are left out."""
    rows = [{"name": name, "value": value} for name, value in pairs if value != UNKNOWN]
    return table(title, service, rows, [Column("what", "name"), Column("value", "value")], **more)


def missing(title: str, service: Service, source: str) -> Table | None:
    """The table that says why a source could not be asked; None when it answered."""
    answer = mapping(service.sources.get(source))
    if answer.get("ok"):
        return None
    reason = answer.get("reason") or f"source {source} was not asked"
    return Table(title=title, service=text(service.name), host=text(service.host), reason=text(reason))


def _cell(column: Column, row: Mapping[str, Any]) -> str:
    value = column.value(row) if callable(column.value) else row.get(column.value)
    return text(value if column.shown is None else column.shown(value))


def named(estate: Estate, kinds: Sequence[str]) -> list[Service]:
    """The services of some kinds, by name and machine."""
    return sorted((service for service in estate.services if service.kind in kinds), key=lambda service: (service.name, service.host))


def looked_at(estate: Estate, services: Sequence[Service], what: str) -> str:
    """Say what was looked at: "2 databases on 1 machine", or that there is none."""
    unreachable = [machine.name for machine in estate.machines.values() if not machine.reachable]
    gone = f"; {', '.join(text(name) for name in unreachable[:5])} could not be reached" if unreachable else ""
    if not services:
        machines = [machine.name for machine in estate.machines.values() if machine.reachable]
        where = f" on {', '.join(text(name) for name in machines[:5])}" if machines else ""
        return f"no {what} is known{where}: there is nothing to look at{gone}"
    hosts = len({service.host for service in services})
    names = ", ".join(dict.fromkeys(text(service.name) for service in services))
    return f"{plural(len(services), what)} on {plural(hosts, 'machine')}: {names}{gone}"
