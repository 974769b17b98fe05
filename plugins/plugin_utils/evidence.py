# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence document of one machine, as the controller completes and merges it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .services import Checked
from .workspace import Workspace

SCHEMA = "sre.incident_response/evidence/1"
SECRET_KEYS = ("login_password", "mitigation_password")
# What the probe's registry holds; tests/unit compares the two.
SOURCES = (
    "container",
    "cgroup",
    "process",
    "volume",
    "http",
    "tls",
    "logs",
    "postgresql",
    "redis",
    "dns",
    "host",
    "disk",
    "docker",
    "changes",
    "kernel",
    "processes",
    "connections",
    "pg_detail",
    "redis_detail",
    "pg_access",
    "redis_access",
    "releases",
    "readiness",
)


class UnreadableAnswerError(Exception):
    """What a machine printed holds no evidence document; the text says why in one sentence."""


@dataclass(frozen=True)
class Call:
    """When the controller sent the request and had the answer, in epoch seconds of its own clock."""

    sent: float
    received: float


def parse_answer(stdout: str, token: str) -> dict[str, Any]:
    """The document between the marks that carry the request's token; banners and shell noise around them are ignored."""
    mark = f"sre-evidence-{token}"
    _before, opened, rest = stdout.partition(f"<{mark}>")
    text, closed, _after = rest.rpartition(f"</{mark}>")
    if not opened:
        raise UnreadableAnswerError("the probe printed no evidence")
    if not closed:
        raise UnreadableAnswerError("the probe's answer was cut off")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UnreadableAnswerError(f"the probe's answer is damaged: {error}") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UnreadableAnswerError("the probe's answer is not an evidence document of this version")
    return document


def completed(document: dict[str, Any], host: str, checked: Checked, call: Call, asked: list[str] | None) -> dict[str, Any]:
    """The probe's document with what only the controller knows; ``asked`` are the sources of the request, None for all."""
    return {
        **document,
        "asked": asked,
        "host": host,
        "reachable": True,
        "unfinished": False,
        "reason": None,
        "clock": clock(document.get("clock") or {}, call),
        "problems": problems(checked),
    }


def unreachable(host: str, reason: str, checked: Checked, options: Mapping[str, Any], call: Call, unfinished: bool = False) -> dict[str, Any]:
    """The document of a machine that could not be asked: its declared services without a single source.

    ``unfinished``: only because the run's time was over, so nothing is known about the machine itself.
    """
    return {
        "schema": SCHEMA,
        "host": host,
        "collected_at": datetime.fromtimestamp(call.received, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "duration_s": round(call.received - call.sent, 3),
        "reachable": False,
        "unfinished": unfinished,
        "reason": reason,
        "clock": {"host_epoch": None, "offset_s": None, "rtt_s": None},
        "discovered": False,
        "assumptions": [],
        "options": dict(options),
        "problems": problems(checked),
        "machine": {},
        "services": {
            name: {"name": name, "kind": spec["kind"], "spec": {key: value for key, value in spec.items() if key not in SECRET_KEYS}, "sources": {}}
            for name, spec in (checked.services or {}).items()
        },
    }


def clock(probe: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """``offset_s``: how far the machine's clock is at least ahead of (or, negative, behind) the controller's; 0 when they may agree.

    The probe started after the request was sent, and ended before its answer was there: that gives two limits, ``rtt_s`` apart. Their
    middle would be wrong by seconds on a busy machine, because nearly all of the way is connecting and starting Python.
    """
    started, ended = probe.get("started_epoch"), probe.get("host_epoch")
    if not isinstance(started, (int, float)) or not isinstance(ended, (int, float)):
        return {"host_epoch": None, "offset_s": None, "rtt_s": None}
    least, most = ended - call.received, started - call.sent
    offset_s = max(0.0, least) + min(0.0, most)
    return {"host_epoch": ended, "offset_s": round(offset_s, 3), "rtt_s": round(max(0.0, most - least), 3)}


def problems(checked: Checked) -> list[dict[str, Any]]:
    """What is wrong with the inventory, as the document holds it."""
    return [{"service": problem.service, "sentence": problem.sentence} for problem in checked.problems]


def merged(older: dict[str, Any] | None, newer: dict[str, Any]) -> dict[str, Any]:
    """Both documents of one host as one: the newer one with those sources of the older one that it was not asked for."""
    if older is None or not older.get("reachable") or not newer.get("reachable"):
        return newer
    services = {}
    for name, service in (newer.get("services") or {}).items():
        before = (older.get("services") or {}).get(name) or {}
        services[name] = {**service, "sources": {**(before.get("sources") or {}), **service["sources"]}}
    return {
        **newer,
        "asked": None if older.get("asked") is None or newer.get("asked") is None else sorted({*older["asked"], *newer["asked"]}),
        "machine": {**(older.get("machine") or {}), **newer["machine"]},
        "services": services,
    }


def missing_sources(document: Mapping[str, Any] | None, wanted: Iterable[str]) -> list[str]:
    """Which of the wanted sources this host was not asked for yet in this run; one that can't be reached is not tried again."""
    if document is None:
        return sorted(set(wanted))
    asked = document.get("asked")
    return [] if asked is None or not document.get("reachable") else sorted(set(wanted) - set(asked))


def summary(document: Mapping[str, Any], workspace: Workspace) -> dict[str, Any]:
    """The small result that a task returns: names, counts and reasons, no text of the services."""
    sources = [
        source
        for group in [document.get("machine") or {}, *[service["sources"] for service in (document.get("services") or {}).values()]]
        for source in group.values()
    ]
    return {
        "host": document["host"],
        "workspace": str(workspace.path),
        "collected_at": document["collected_at"],
        "duration_s": document["duration_s"],
        "reachable": document["reachable"],
        "reason": document["reason"],
        "clock": document["clock"],
        "discovered": document["discovered"],
        "assumptions": document["assumptions"],
        "problems": document["problems"],
        "services": {name: service["kind"] for name, service in (document.get("services") or {}).items()},
        "sources_asked": len(sources),
        "sources_failed": sum(not source["ok"] for source in sources),
    }
