# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small evidence documents and findings that several tests build on: one shop on one machine, written by hand."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import Check, load_checks
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.patterns import Pattern, load_patterns

ROOT = Path(__file__).resolve().parents[4]
NOW = 1_795_000_000.0
NOW_TEXT = "2026-11-18T11:06:40Z"

SPECS: dict[str, dict[str, Any]] = {
    "proxy": {"kind": "nginx", "container": "app-proxy", "url": "https://shop.example.com", "depends_on": ["backend"]},
    "backend": {"kind": "fastapi", "container": "app-backend", "url": "http://127.0.0.1:8000", "depends_on": ["db", "redis", "payments"]},
    "db": {"kind": "postgresql", "container": "app-db", "database": "app_prod"},
    "redis": {"kind": "redis", "container": "app-redis", "cache_prefixes": ["cache:"]},
    "payments": {"kind": "external", "url": "https://api.payments.example/health"},
}
# Whose finding it is, by the beginning of its id.
OWNERS = {
    "backend.": "backend",
    "http.direct": "backend",
    "http.ready": "backend",
    "http.": "proxy",
    "proxy.": "proxy",
    "tls.": "proxy",
    "logs.": "backend",
    "change.": "backend",
    "pg.": "db",
    "db.": "db",
    "redis.": "redis",
    "dep.": "payments",
    "dns.resolve_in_container": "backend",
    "docker.": "redis",
    "host.": "",
}


def answered(**data: Any) -> dict[str, Any]:
    """SOURCE that answered."""
    return {"ok": True, "ms": 1.0, "data": data}


def failed(reason: str, kind: str = "timeout") -> dict[str, Any]:
    """SOURCE that could not look."""
    return {"ok": False, "ms": 1.0, "reason": reason, "kind": kind}


def document(
    host: str = "web1",
    specs: Mapping[str, Mapping[str, Any]] | None = None,
    sources: Mapping[str, Mapping[str, Any]] | None = None,
    machine: Mapping[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """An evidence document; ``sources`` are those of services by name."""
    specs = SPECS if specs is None else specs
    sources = sources or {}
    return {
        "schema": "sre.incident_response/evidence/1",
        "host": host,
        "collected_at": NOW_TEXT,
        "reachable": True,
        "reason": None,
        "clock": {"host_epoch": NOW, "offset_s": 0.0, "rtt_s": 0.01},
        "options": {"log_window_s": 900},
        "problems": [],
        "machine": dict(machine or {}),
        "services": {
            name: {"name": name, "kind": spec["kind"], "spec": copy.deepcopy(dict(spec)), "sources": dict(sources.get(name) or {})}
            for name, spec in specs.items()
        },
        **changes,
    }


def finding(check_id: str, severity: str | None = "critical", service: str | None = None, host: str = "web1", **changes: Any) -> Finding:
    """A finding of a known check, owned by the service that usually has it."""
    if service is None:
        service = next(name for prefix, name in OWNERS.items() if check_id.startswith(prefix))
    kind = SPECS[service]["kind"] if service in SPECS else changes.pop("kind", "machine")
    state = changes.pop("state", FINDING)
    return Finding(check_id, state, severity, service=service, kind=kind, host=host, summary=changes.pop("summary", f"{check_id} fired"), **changes)


def all_patterns() -> list[Pattern]:
    """The patterns that the collection brings."""
    return load_patterns(ROOT / "roles/incident_diagnosis/files/patterns")


def checks_of(role: str, thresholds: Mapping[str, Any] | None = None) -> list[Check]:
    """The checks that a role brings."""
    return load_checks(yaml.safe_load((ROOT / "roles" / role / "files/checks.yml").read_text(encoding="utf-8")), role, thresholds)
