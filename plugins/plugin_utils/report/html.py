# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.html: one file without any reference to the outside. A policy inside it lets run only the style and the script it came with."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, UNKNOWN
from ansible_collections.sre.incident_response.plugins.plugin_utils.record import Record, age, grouped, run_notice
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.charts import panels
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.tables import heading
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.view import began, limits, machines_line, next_step, place, reasons, run_on, where
from jinja2.bccache import Bucket

_TEMPLATES = Path(__file__).parent / "templates"
# Only web addresses become links: a job's URL comes from the environment, but may still be anything.
_LINK_SCHEMES = ("https://", "http://")
_STATE_ORDER = ("critical", "warning", "info", "unknown", "ok")


@dataclass(frozen=True)
class Cell:
    """One cell of the health matrix; `state` is one of _STATE_ORDER or "none" (no check applies), `text` says it in words."""

    state: str
    text: str


@dataclass(frozen=True)
class Row:
    """One service or machine of the health matrix, with one cell per check role."""

    name: str
    kind: str
    host: str
    state: str
    cells: list[Cell]


def render(record: Record) -> str:
    """Return report.html."""
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        bytecode_cache=_compiled_templates(),
        autoescape=True,  # always: the suffix .j2 would defeat select_autoescape
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    columns, rows = matrix(record)
    worst = [f"{where(group)}: {group.finding.summary}" for group in grouped(record.bad)[:3] if group.finding.severity != "info"]
    job = record.run.context.get("job")
    job_url = str(job.get("url") or "") if isinstance(job, dict) else ""
    return environment.get_template("report.html.j2").render(
        record=record,
        notice=run_notice(record),
        first=record.diagnosis[0] if record.diagnosis else None,
        reasons=reasons(record, record.diagnosis[0], 3) if record.diagnosis else [],
        worst=worst,
        began=began(record),
        looked_at=machines_line(record),
        step=next_step(record),
        findings=grouped(finding for finding in record.bad if finding.severity != "info"),
        notes=grouped(finding for finding in record.bad if finding.severity == "info"),
        columns=columns,
        rows=rows,
        heading=heading,
        panels=panels(record),
        limits=limits,
        place=place,
        run_on=run_on,
        where=where,
        age=age,
        context=_context(record),
        job_url=job_url if job_url.startswith(_LINK_SCHEMES) else "",
        # Our own files, which the policy names by their hashes; nothing else in the page is exempt from escaping.
        style=markupsafe.Markup(style),  # noqa: S704
        script=markupsafe.Markup(script),  # noqa: S704
        policy=policy(style, script),
    )


class _CompiledTemplates(jinja2.FileSystemBytecodeCache):
    """jinja2's own cache, in a temporary folder that only this user may write. A full one must not cost the report."""

    def dump_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().dump_bytecode(bucket)


def _compiled_templates() -> jinja2.BytecodeCache | None:
    """Return a cache of compiled templates; None where there is no safe folder for one."""
    try:
        return _CompiledTemplates()
    except (OSError, RuntimeError):
        return None


def policy(style: str, script: str) -> str:
    """Return the content security policy that allows exactly this style and this script."""
    parts = {
        "default-src": "'none'",
        "style-src": f"'{_hash(style)}'",
        "script-src": f"'{_hash(script)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def matrix(record: Record) -> tuple[list[str], list[Row]]:
    """Return the check roles that answered, and a row per service and machine: the state of each is that of its worst check."""
    roles = sorted({finding.check_role for finding in record.findings if finding.check_role})
    found: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for service in record.services:
        found[(service["name"], service["kind"], service["host"])] = {}
    for finding in record.findings:
        name, kind = (finding.host, "machine") if finding.kind == "machine" or not finding.service else (finding.service, finding.kind)
        state = {FINDING: finding.severity or "warning", UNKNOWN: UNKNOWN}.get(finding.state, "ok")
        found.setdefault((name, kind, finding.host), {}).setdefault(finding.check_role, []).append(state)
    rows = [_row(key, states, roles) for key, states in found.items()]
    return [column_name(role) for role in roles], sorted(rows, key=lambda row: (_STATE_ORDER.index(row.state), row.kind == "machine", row.name, row.host))


def _row(key: tuple[str, str, str], states: dict[str, list[str]], roles: list[str]) -> Row:
    name, kind, host = key
    cells = [_cell(states.get(role, [])) for role in roles]
    # What is only for information is no reason to look at a service.
    everything = ["ok" if state == "info" else state for role_states in states.values() for state in role_states]
    return Row(name, kind, host, _worst(everything) if everything else UNKNOWN, cells)


def _cell(states: list[str]) -> Cell:
    if not states:
        return Cell("none", "no check applies")
    counts = {state: states.count(state) for state in _STATE_ORDER}
    return Cell(_worst(states), ", ".join(f"{count} {state}" for state, count in counts.items() if count))


def _worst(states: list[str]) -> str:
    """Return the gravest state; one check that is fine doesn't make up for one that could not be made."""
    return min(states, key=_STATE_ORDER.index)


def column_name(role: str) -> str:
    """Return a short name for a check role: "pg_lock_scan" is "pg lock"."""
    return role.removesuffix("_check").removesuffix("_scan").replace("_", " ")


def _context(record: Record) -> list[tuple[str, str]]:
    """Return what is known about how the run was started, as pairs for a list."""
    context: dict[str, Any] = record.run.context
    actor, versions = context.get("actor"), context.get("versions")
    pairs = [
        ("Playbook", context.get("playbook")),
        ("Started by", actor.get("id") if isinstance(actor, dict) else None),
        ("Limit", context.get("limit")),
        ("Check mode", "yes: nothing was changed" if context.get("check_mode") is True else None),
        ("Machines", ", ".join(record.run.hosts)),
        ("Duration", f"{record.run.duration_s:.1f} s" if record.run.duration_s is not None else None),
        ("Versions", ", ".join(f"{name.replace('_', '-')} {version}" for name, version in versions.items()) if isinstance(versions, dict) else None),
        ("Taken out", ", ".join(f"{count} x {kind}" for kind, count in sorted(record.run.redacted.items()))),
    ]
    return [(name, str(value)) for name, value in pairs if value]
