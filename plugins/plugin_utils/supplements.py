# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller itself knows about services beside the machines' evidence: metrics, deploy markers, trends.

It joins the evidence as further sources of a service or machine, so that checks look at it like at any other. A service that the
controller knows nothing about does not have the source; a check that needs it does not apply there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .shapes import mapping
from .trends import Settings, trends
from .workspace import Workspace

# Name of the source: the sources of the probe that it is made of.
METRICS = ("metric_errors", "metric_latency", "metric_rate", "metric_saturation")
MARKERS = "markers"
TRENDS: dict[str, tuple[str, ...]] = {
    "trend_conn": ("postgresql", "container"),
    "trend_mem": ("cgroup", "container"),
    "trend_growth": ("cgroup", "container"),
    "trend_fds": ("process", "container"),
    "trend_latency": ("logs", "container"),
    "trend_disk": ("disk",),
}
SUPPLEMENTS: dict[str, tuple[str, ...]] = {**dict.fromkeys((*METRICS, MARKERS), ()), **TRENDS}


class Known:
    """Sources by host and service; the service "" is the machine."""

    def __init__(self) -> None:
        self.sources: dict[str, dict[str, dict[str, Any]]] = {}

    def put(self, host: str, service: str, source: str, answer: Mapping[str, Any]) -> None:
        """Set one source."""
        self.sources.setdefault(host, {}).setdefault(service, {})[source] = dict(answer)

    def add(self, other: Any) -> None:
        """Take over what is written in the form of :meth:`as_dict`."""
        for host, services in mapping(other).items():
            for service, sources in mapping(services).items():
                for name, answer in mapping(sources).items():
                    if name in SUPPLEMENTS and isinstance(answer, dict):
                        self.put(host, service, name, answer)

    def as_dict(self) -> dict[str, Any]:
        """``{host: {service: {source: SOURCE}}}``."""
        return self.sources


def answered(data: Mapping[str, Any]) -> dict[str, Any]:
    """SOURCE that could look."""
    return {"ok": True, "ms": 0.0, "data": dict(data)}


def failed(reason: str, kind: str = "error") -> dict[str, Any]:
    """SOURCE that could not."""
    return {"ok": False, "ms": 0.0, "reason": reason, "kind": kind}


def supplemented(documents: Sequence[Mapping[str, Any]], wanted: Iterable[str], run: Path, options: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The documents with those of the wanted sources that the controller has; they themselves are not changed."""
    names = set(wanted) & set(SUPPLEMENTS)
    if not names:
        return list(documents)
    known = Known()
    if names & {*METRICS, MARKERS}:
        for stored in Workspace.open(run).supplements():
            known.add(stored.get("sources"))
    if names & set(TRENDS):
        known.add(trends(documents, run, Settings.of(options)))
    return [_with_sources(document, known.sources.get(str(document.get("host")), {})) for document in documents]


def _with_sources(document: Mapping[str, Any], known: Mapping[str, dict[str, Any]]) -> Mapping[str, Any]:
    if not known:
        return document
    services = {name: copy.copy(mapping(service)) for name, service in mapping(document.get("services")).items()}
    for name, service in services.items():
        service["sources"] = {**mapping(service.get("sources")), **known.get(name, {})}
    return {**document, "services": services, "machine": {**mapping(document.get("machine")), **known.get("", {})}}
