# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of investigations on a terminal: 80 columns, worst service first as they come, readable without colour."""

from __future__ import annotations

from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Investigation, Record, Table
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.board import WIDTH, Line
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import one_line, plural, shorten, wrap

GAP = "  "
INDENT = "  "
MOST_ROWS = 12
# The last column is free text: with less room than this it gets lines of its own.
LEAST_TEXT = 36
LEAST_NAME = 12
NARROWEST = 5


def tables(record: Record) -> list[Line]:
    """The lines of all investigations of a record, none when there is none."""
    lines: list[Line] = []
    for investigation in record.investigations:
        lines += _investigation(investigation)
    return lines


def _investigation(investigation: Investigation) -> list[Line]:
    lines = [Line(text, "bright blue") for text in wrap(investigation.summary, WIDTH, INDENT, f"{investigation.title.upper()}  ")]
    for table in investigation.tables:
        lines += [Line(""), *_table(table)]
    return [*lines, Line("")]


def heading(table: Table) -> str:
    """Title and what it is about: "Sessions - db on web1"."""
    about = " on ".join(part for part in (table.service, table.host) if part)
    return f"{table.title} - {about}" if about else table.title


def _table(table: Table) -> list[Line]:
    lines = [Line(shorten(heading(table), WIDTH), "bright yellow")]
    if table.note:
        lines += [Line(text) for text in wrap(table.note, WIDTH, INDENT, INDENT)]
    if table.reason:
        return lines + [Line(text, "yellow") for text in wrap(f"not known: {table.reason}", WIDTH, INDENT * 2, INDENT)]
    if not table.rows:
        return [*lines, Line(f"{INDENT}none")]
    shown = table.rows[:MOST_ROWS]
    lines += [Line(text) for text in grid(table.columns, shown, set(table.numbers))]
    rest = len(table.rows) - len(shown) + table.left_out
    return [*lines, Line(f"{INDENT}and {plural(rest, 'more row')}: see the report")] if rest else lines


def grid(columns: list[str], rows: list[list[str]], numbers: set[int]) -> list[str]:
    """Rows below their heads, no line longer than the board; what is too long is cut, only the last column may go on below."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(columns[place]), *(len(row[place]) for row in cells)) for place in range(len(columns))]
    room = WIDTH - len(INDENT) - len(GAP) * (len(columns) - 1)
    last = len(columns) - 1
    below = sum(widths) > room and last > 0 and last not in numbers and room - sum(widths[:-1]) < LEAST_TEXT
    # A number that is cut says something else; its head and a name that are cut can still be read.
    least = [max([0, *(len(row[place]) for row in cells)]) if place in numbers else LEAST_NAME for place in range(len(columns))]
    fitted = _fitted(widths[:-1] if below else widths, room + (len(GAP) if below else 0), least)
    lines = [_row([*columns[: len(fitted)]], fitted, numbers)]
    for row in cells:
        lines.append(_row(row[: len(fitted)], fitted, numbers))
        if below and row[last] not in ("", "-"):
            lines += [shorten(text, WIDTH) for text in wrap(row[last], WIDTH, INDENT * 3, INDENT * 3)[:2]]
    return lines


def _fitted(widths: list[int], room: int, least: list[int]) -> list[int]:
    """Widths that fit into the room: what is widest gives way first, down to the least that each may have, then below it."""
    fitted = list(widths)
    while sum(fitted) > room:
        givers = [place for place in range(len(fitted)) if fitted[place] > least[place]]
        givers = givers or [place for place in range(len(fitted)) if fitted[place] > NARROWEST]
        if not givers:
            break
        widest = max(givers, key=lambda place: fitted[place])
        fitted[widest] -= 1
    return fitted


def _row(cells: list[str], widths: list[int], numbers: set[int]) -> str:
    parts = []
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = shorten(cell, width)
        parts.append(text.rjust(width) if place in numbers else text.ljust(width))
    return (INDENT + GAP.join(parts)).rstrip()
