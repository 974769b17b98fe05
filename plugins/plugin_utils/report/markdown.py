# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.md: the record as Markdown for a ticket or a chat; text from machines can't become markup, a link or an image in it."""

from __future__ import annotations

import re

from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Diagnosis, Record, grouped, run_notice
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.charts import panels
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.tables import heading
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.view import began, next_step, place, reasons, where
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import clean, one_line, plural

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#!|~&@]|(?<=:)/(?=/)")
_TIMELINE_LIMIT = 200


def escaped(text: str) -> str:
    """Return text on one line in which no character has a meaning to Markdown or HTML, nor to a mention or a bare link."""
    return _MARKUP.sub(r"\\\g<0>", one_line(text))


def code(text: str) -> str:
    """Return a code span; the fence is longer than any run of backticks in the text."""
    plain = one_line(text)
    fence = "`" * (max((len(run) for run in re.findall(r"`+", plain)), default=0) + 1)
    pad = " " if plain.startswith("`") or plain.endswith("`") else ""
    # Inside a table even a code span may not hold a bare bar.
    return f"{fence}{pad}{plain.replace('|', chr(92) + '|')}{pad}{fence}"


def block(text: str) -> list[str]:
    """Return a fenced block for something to paste."""
    plain = clean(text)
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", plain)), default=0) + 1)
    return [f"{fence}sh", *plain.splitlines(), fence]


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return a table; cells are Markdown already."""
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]


def render(record: Record) -> str:
    """Return report.md."""
    lines = [f"# {record.verdict.headline}: {escaped(record.verdict.detail)}", ""]
    notice = run_notice(record)
    if notice:
        lines += [f"> **{escaped(notice)}**", ""]
    for section in (_summary, _next, _findings, _services, _gaps, _diagnoses, _investigations, _metrics, _exonerated, _timeline, _about):
        part = section(record)
        if part:
            lines += [*part, ""]
    return "\n".join(lines).rstrip() + "\n"


def _summary(record: Record) -> list[str]:
    lines = []
    if record.diagnosis:
        first = record.diagnosis[0]
        lines.append(f"**{escaped(first.title)}**")
        lines += [f"- {escaped(reason)}" for reason in reasons(record, first, 4)]
    if record.incident.severity:
        because = f", because {escaped(record.incident.severity_reason)}" if record.incident.severity_reason else ""
        lines.append(f"- Suggested severity: {record.incident.severity}{because}")
    if began(record):
        lines.append(f"- Began {escaped(began(record))}")
    return lines


def _next(record: Record) -> list[str]:
    step = next_step(record)
    if step is None:
        return []
    lines = ["## Next step", "", escaped(step.sentence) + (f" ({escaped(step.undo)})" if step.undo else "")]
    if step.command:
        lines += ["", f"Run on {escaped(step.run_on)}:" if step.run_on else "", "", *block(step.command)]
    if step.others:
        lines += ["", f"Then: {'; '.join(escaped(other) for other in step.others)} (in report.html under Proposals)."]
    return lines


def _findings(record: Record) -> list[str]:
    groups = grouped(record.bad)
    if not groups:
        return []
    rows = []
    for group in groups:
        finding = group.finding
        rows.append([str(finding.severity), escaped(where(group, 4)), code(finding.id), escaped(finding.summary), _clock(finding.since)])
    return ["## Findings", "", *table(["severity", "where", "check", "what", "since"], rows)]


def _services(record: Record) -> list[str]:
    rows = [[escaped(service["name"]), escaped(service["kind"]), escaped(service["host"]), service["state"]] for service in record.services]
    return ["## Services", "", *table(["service", "kind", "machine", "state"], rows)] if rows else []


def _gaps(record: Record) -> list[str]:
    rows = [[escaped(place(gap)), escaped(gap.reason), ", ".join(code(check) for check in gap.checks)] for gap in record.not_assessed]
    return ["## Not assessed", "", "These are not fine, they are unknown.", "", *table(["where", "reason", "checks"], rows)] if rows else []


def _diagnoses(record: Record) -> list[str]:
    lines: list[str] = []
    for item in record.diagnosis:
        lines += ["", *_diagnosis(item)]
    return ["## Diagnosis", *lines] if lines else []


def _diagnosis(item: Diagnosis) -> list[str]:
    lines = [f"### {escaped(item.pattern)} on {escaped(item.service)} ({item.verdict}, {item.score:.0f})", ""]
    for why in item.why:
        points = f" ({why.points:+.0f})" if why.points else ""
        lines.append(f"- {code(why.id) + ' ' if why.id else ''}{escaped(why.text)}{points}")
    if item.symptom_of:
        lines.append(f"- Symptom of {escaped(item.symptom_of)}")
    for label, texts in (("Could be mistaken for it", item.confounders), ("Unknown, and could change the ranking", item.unknown), ("Verify with", item.verify)):
        if texts:
            lines.append(f"- {label}: {'; '.join(escaped(text) for text in texts)}")
    if item.escalate:
        lines.append(f"- Escalate: {escaped(item.escalate)}")
    return lines


def _investigations(record: Record) -> list[str]:
    lines: list[str] = []
    for found in record.investigations:
        lines += ["", f"## Investigation: {escaped(found.title)}", "", escaped(found.summary)]
        for one in found.tables:
            lines += ["", f"### {escaped(heading(one))}", ""]
            lines += [escaped(one.note), ""] if one.note else []
            if one.reason:
                lines.append(f"Not known: {escaped(one.reason)}")
            elif not one.rows:
                lines.append("None.")
            else:
                lines += table([escaped(name) for name in one.columns], [[escaped(cell) for cell in row] for row in one.rows])
            lines += ["", f"{plural(one.left_out, 'more row')} left out."] if one.left_out else []
    return lines[1:]


def _metrics(record: Record) -> list[str]:
    lines: list[str] = []
    for panel in panels(record):
        rows = [[escaped(chart.about), escaped(chart.title), escaped(chart.least), escaped(chart.most), escaped(chart.last)] for chart in panel.charts]
        onset = f", errors began {_clock(panel.onset)}" if panel.onset else ""
        lines += ["", f"From {escaped(panel.source)}, {_clock(panel.start)} to {_clock(panel.end)}{onset} (UTC)."]
        lines += ["", *table(["service", "measure", "least", "most", "last"], rows)]
    return ["## Metrics", *lines] if lines else []


def _exonerated(record: Record) -> list[str]:
    return ["## Looked at and fine", "", *(f"- {escaped(text)}" for text in record.exonerated)] if record.exonerated else []


def _timeline(record: Record) -> list[str]:
    entries = record.timeline[-_TIMELINE_LIMIT:]
    rows = []
    for entry in entries:
        rows.append([_clock(entry.time), escaped(entry.kind), escaped(entry.service or entry.host), escaped(entry.text), escaped(entry.actor)])
    left_out = len(record.timeline) - len(entries)
    note = [f"{plural(left_out, 'older entry')} in timeline.jsonl.", ""] if left_out else []
    return ["## Timeline (UTC)", "", *note, *table(["time", "kind", "where", "what", "who"], rows)] if rows else []


def _about(record: Record) -> list[str]:
    run = record.run
    lines = ["## About this run", "", f"- Run {code(run.id or 'unknown')}, {run.status}, started {escaped(run.started or 'at an unknown time')}"]
    if run.redacted:
        lines.append(f"- Taken out before writing: {', '.join(f'{count} x {escaped(kind)}' for kind, count in sorted(run.redacted.items()))}")
    return lines + [f"- {escaped(problem)}" for problem in record.problems]


def _clock(time: str | None) -> str:
    return escaped(time[:19].replace("T", " ")) if time else ""
