# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.json: the contract with other tools, described by docs/report.schema.json; and timeline.jsonl."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Record

SCHEMA = "sre.incident_response/report/1"


def document(record: Record) -> dict[str, Any]:
    """Return report.json as data."""
    return {
        "schema": SCHEMA,
        "verdict": dataclasses.asdict(record.verdict),
        "incident": dataclasses.asdict(record.incident),
        "services": record.services,
        "findings": [finding.as_dict() for finding in record.findings],
        "diagnosis": [dataclasses.asdict(item) for item in record.diagnosis],
        "proposals": [dataclasses.asdict(item) for item in record.proposals],
        "exonerated": record.exonerated,
        "investigations": [dataclasses.asdict(item) for item in record.investigations],
        "metrics": [dataclasses.asdict(item) for item in record.metrics],
        "timeline": [dataclasses.asdict(item) for item in record.timeline],
        "run": _run(record),
    }


def dump(data: dict[str, Any]) -> str:
    """Return data as the text of a JSON file."""
    return json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def render(record: Record) -> str:
    """Return report.json as text."""
    return dump(document(record))


def render_timeline(record: Record) -> str:
    """Return timeline.jsonl: one entry per line, by time."""
    return "".join(json.dumps(dataclasses.asdict(item), ensure_ascii=False, allow_nan=False) + "\n" for item in record.timeline)


def _run(record: Record) -> dict[str, Any]:
    run = record.run
    return {
        "id": run.id,
        "status": run.status,
        "reason": run.reason,
        "started": run.started,
        "finished": run.finished,
        "duration_s": run.duration_s,
        "hosts": run.hosts,
        "machines": [dataclasses.asdict(machine) for machine in record.machines],
        "not_assessed": [dataclasses.asdict(gap) for gap in record.not_assessed],
        "context": run.context,
        "redacted": run.redacted,
        "journal_problems": record.problems,
    }
