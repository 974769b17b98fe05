# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The board: what a run prints at its end. 80 columns, worst first, readable without colour; its last line is the report's path."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Group, Record, grouped, run_notice
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.view import began, gap_checks, gaps_by_place, next_step, place, reasons, where
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import clean, one_line, plural, shorten, wrap

WIDTH = 80
_LABEL = 10  # columns of the first word of a line
_FINDING_LINES = 9
_WHY_LINES = 4
_OTHERS = 3
_OTHER_LINES = 2
_GAPS = 3
_HEALTHY = 12
_COLOURS = {
    "incident": "bright red",
    "unclassified": "bright red",
    "warnings": "yellow",
    "healthy": "green",
    "incomplete": "yellow",
    "assessed": "green",
    "nothing": "yellow",
    "mitigated": "green",
    "mitigation": "yellow",
}
_SEVERITY_COLOURS = {"critical": "bright red", "warning": "yellow", "info": None}


@dataclass(frozen=True)
class Line:
    """One line to print; `colour` is a colour name of Ansible's display, None for plain."""

    text: str
    colour: str | None = None


def board(record: Record, report: str, problem: str | None = None) -> list[Line]:
    """Return the lines of the board; `report` is the path of report.html, `problem` one sentence about where it is kept."""
    colour = _COLOURS.get(record.verdict.code)
    lines: list[Line] = []
    notice = run_notice(record)
    if notice:
        lines += [Line(text, "bright red") for text in wrap(notice, WIDTH, "  ")]
    verdict = f"{record.verdict.headline}  {record.verdict.detail}"
    lines += [Line(text, colour) for text in ([verdict] if len(verdict) <= WIDTH else wrap(record.verdict.detail, WIDTH, "  ", f"{record.verdict.headline}  "))]
    lines += _diagnosis(record)
    lines += _findings(record)
    lines += _gaps_and_health(record)
    lines += _next(record)
    if problem:
        lines += [Line(text, "yellow") for text in _labelled("note", problem)]
    return [*lines, Line(clean(report))]


def as_text(lines: list[Line]) -> str:
    """Return the board as plain text."""
    return "\n".join(line.text for line in lines) + "\n"


def _labelled(label: str, text: str) -> list[str]:
    return wrap(one_line(text), WIDTH, " " * _LABEL, f"{label:<{_LABEL}}")


def _diagnosis(record: Record) -> list[Line]:
    if not record.diagnosis:
        return []
    lines: list[str] = []
    for reason in reasons(record, record.diagnosis[0], 1):
        lines += _labelled("  why", shorten(reason, (WIDTH - 2 * _LABEL) * _WHY_LINES))
    since = began(record)
    if since:
        lines += _labelled("  since", since)
    return [Line(text) for text in [*lines, *_others(record)]]


def _others(record: Record) -> list[str]:
    """Name the other causes, as many as fit into two lines; each is told whole or only counted."""
    clauses = [
        f"{other.pattern} on {other.service} ({other.verdict}, {other.score:.0f}{', symptom of ' + other.symptom_of if other.symptom_of else ''})"
        for other in record.diagnosis[1:]
    ]
    for shown in range(min(len(clauses), _OTHERS), 0, -1):
        rest = len(clauses) - shown
        lines = _labelled("  also", "; ".join(clauses[:shown]) + (f"; {rest} more in the report" if rest else ""))
        if len(lines) <= _OTHER_LINES or shown == 1:
            return lines
    return []


def _findings(record: Record) -> list[Line]:
    groups = [group for group in grouped(record.bad) if group.finding.severity != "info"]
    notes = sum(1 for finding in record.bad if finding.severity == "info")
    if not groups:
        return []
    width = min(max(len(where(group)) for group in groups), 18)
    texts = [_finding(group, width) for group in groups]
    if sum(len(lines) for lines in texts) > _FINDING_LINES:
        # More findings in one line each say more than few at length.
        texts = [[shorten(" ".join([lines[0], *(line.strip() for line in lines[1:])]), WIDTH)] for lines in texts]
    shown = texts[:_FINDING_LINES]
    lines = [Line("")]
    for group, finding_lines in zip(groups, shown, strict=False):
        lines += [Line(text, None if number else _SEVERITY_COLOURS[str(group.finding.severity)]) for number, text in enumerate(finding_lines)]
    rest = [plural(len(groups) - len(shown), "more finding")] if len(groups) > len(shown) else []
    rest += [f"{notes} for information"] if notes else []
    return [*lines, Line(f"{'':<{_LABEL}}and {', '.join(rest)}: see the report")] if rest else lines


def _finding(group: Group, width: int) -> list[str]:
    finding = group.finding
    lead = f"{str(finding.severity).upper():<{_LABEL}}{shorten(where(group), width):<{width}}  "
    lines = wrap(finding.summary, WIDTH, " " * len(lead), f"{lead}{finding.id}  ")
    return lines if len(lines) <= 2 else [lines[0], shorten(f"{lines[1]} {lines[2].strip()}", WIDTH)]


def _gaps_and_health(record: Record) -> list[Line]:
    lines: list[str] = []
    gaps = gaps_by_place(record)
    for number, gap in enumerate(gaps[:_GAPS]):
        checks = f" ({gap_checks(gap, 2)})" if gap.checks and gap.service else ""
        lead = "  " if number else "not assessed: "
        lines += wrap(shorten(f"{place(gap)}{checks}: {gap.reason}", WIDTH * 2 - len(lead) - 8), WIDTH, "    ", lead)
    assumed = [f"{machine.host}: {text}" for machine in record.machines for text in machine.assumptions]
    if len(gaps) > _GAPS:
        lines.append(f"  and {plural(len(gaps) - _GAPS, 'more gap')}: see the report")
    healthy = [text for text in (_named("", record.healthy_services()), _named("machine ", record.healthy_machines())) if text]
    if healthy:
        lines += wrap("; ".join(healthy), WIDTH, "    ", "healthy: ")
    if assumed:
        more = f" (and {len(assumed) - 1} more, in the report)" if len(assumed) > 1 else ""
        lines += wrap(shorten(assumed[0], WIDTH) + more, WIDTH, "    ", "assumed: ")
    return [Line(""), *(Line(text) for text in lines)] if lines else []


def _named(lead: str, names: list[str]) -> str:
    """List names, each once: "db, redis", "machine web1, web2 and 30 more"; "" without any."""
    once = list(dict.fromkeys(names))
    more = f" and {len(once) - _HEALTHY} more" if len(once) > _HEALTHY else ""
    return f"{lead}{', '.join(once[:_HEALTHY])}{more}" if once else ""


def _next(record: Record) -> list[Line]:
    step = next_step(record)
    if step is None:
        return [Line("")]
    undo = f" ({step.undo})" if step.undo else ""
    run_it = f" Run on {step.run_on}:" if step.command and step.run_on else ""
    lines = [Line(""), *(Line(text, "bright blue") for text in wrap(f"{step.sentence}{undo}.{run_it}".replace("..", "."), WIDTH, "      ", "NEXT  "))]
    # Not wrapped: it is there to be pasted.
    lines += [Line(text) for text in clean(step.command).splitlines() if text.strip()]
    others = [f"{'; '.join(step.others)}: see the report"] if step.others else []
    return [*lines, *(Line(text, "bright blue") for other in others for text in wrap(other, WIDTH, "      ", "THEN  "))]
