# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick health check as one document: which service is healthy, which is not, and of which we don't know. Pure.

Three states: what could not be checked is unknown, and never counted as healthy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, OK, UNKNOWN, Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.shapes import mapping, source_data
from ansible_collections.sre.incident_response.plugins.plugin_utils.text import one_line, plural

HEALTHY = "healthy"
UNHEALTHY = "unhealthy"
# The questions of a quick health check. Any other check is told only when its answer is bad: that Redis, which is down, is not
# loading its data either would count as healthy.
_QUESTION = re.compile(r"^http\.(live|ready|frontend)$|\.container\.state$|^(pg|redis)\.up$|^dep\.reachable$")
_ENDPOINTS = {"http.live": "live", "http.ready": "ready", "http.frontend": "frontend", "dep.reachable": "live", "dep.http_status": "live"}
_DETAIL_LIMIT = 200
_NAMED = 5


@dataclass(frozen=True)
class Seen:
    """What a run knows about the machines: evidence documents by host, and what the inventory declares there."""

    evidence: Mapping[str, Mapping[str, Any]]
    declared: Mapping[str, Mapping[str, Any]]

    @property
    def hosts(self) -> list[str]:
        """Every machine, asked or only declared."""
        return sorted({*self.evidence, *self.declared})

    def services(self, host: str) -> dict[str, dict[str, Any]]:
        """The services of a machine with what is declared or discovered about each."""
        found = {str(name): mapping(spec) for name, spec in self.declared.get(host, {}).items()}
        for name, service in mapping(mapping(self.evidence.get(host)).get("services")).items():
            found[str(name)] = {**mapping(mapping(service).get("spec")), "kind": mapping(service).get("kind")}
        return found

    def endpoint(self, host: str, service: str, name: str) -> dict[str, Any]:
        """What the probe saw at one endpoint; empty when it did not ask."""
        sources = mapping(mapping(mapping(mapping(self.evidence.get(host)).get("services")).get(service)).get("sources"))
        return mapping(mapping(source_data(sources, "http").get("endpoints")).get(name))

    def silence(self, host: str, service: str) -> str:
        """Why there is no answer about a service."""
        document = self.evidence.get(host)
        if document is None:
            return "no evidence was collected from its machine"
        if document.get("reachable") is False:
            return str(document.get("reason") or "its machine can't be reached")
        sources = mapping(mapping(mapping(document.get("services")).get(service)).get("sources"))
        reasons = [str(mapping(source).get("reason")) for source in sources.values() if not mapping(source).get("ok")]
        return "; ".join(reasons) or "no check applies to it"


def document(findings: Iterable[Finding], seen: Seen, now: str) -> dict[str, Any]:
    """Return the health report as data; `now` is ISO-8601 UTC."""
    results = [_result(finding, seen) for finding in sorted(findings, key=lambda item: (item.host, item.service, item.id, item.summary))]
    results = [result for result in results if result["status"] != HEALTHY or _QUESTION.search(result["name"].rpartition(" ")[2])]
    results += _silent_results(seen, {(result["host"], result["service"]) for result in results})
    counts = Counter(result["status"] for result in results)
    return {
        "timestamp": now,
        "overall_status": overall(results),
        "total_checks": len(results),
        "healthy": counts[HEALTHY],
        "unhealthy": counts[UNHEALTHY],
        "unknown": counts[UNKNOWN],
        "services": _services(results, seen),
        "results": results,
    }


def overall(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the worst state; nothing checked is unknown."""
    states = {result["status"] for result in results}
    if UNHEALTHY in states:
        return UNHEALTHY
    return UNKNOWN if UNKNOWN in states or not states else HEALTHY


def _state(finding: Finding) -> str:
    """A warning is not healthy: the checks of a quick health check ask only whether something works."""
    if finding.state == OK or (finding.state == FINDING and finding.severity == "info"):
        return HEALTHY
    return UNHEALTHY if finding.state == FINDING else UNKNOWN


def _result(finding: Finding, seen: Seen) -> dict[str, Any]:
    detail = one_line(finding.reason if finding.state == UNKNOWN and finding.reason else finding.summary)
    endpoint = seen.endpoint(finding.host, finding.service, _ENDPOINTS[finding.id]) if finding.id in _ENDPOINTS else {}
    spec = seen.services(finding.host).get(finding.service, {})
    result = {"name": f"{finding.service or finding.host} {finding.id}", "service": finding.service, "host": finding.host, "status": _state(finding)}
    if endpoint.get("ok") is False:
        result["status"] = UNHEALTHY  # a check may leave a time-out to another one; here it counts
    if finding.id in _ENDPOINTS:
        return {**result, **_http(endpoint, spec), "detail": detail[:_DETAIL_LIMIT]}
    return {**result, "container": spec.get("container"), "detail": detail[:_DETAIL_LIMIT]}


def _http(endpoint: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """URL, status code (null without an answer, so that the document stays valid) and time of an endpoint."""
    code, took = endpoint.get("status"), endpoint.get("median_ms")
    return {
        "url": endpoint.get("url") or spec.get("url"),
        "http_code": code if isinstance(code, int) and code > 0 else None,
        "response_time_ms": round(took, 1) if isinstance(took, (int, float)) else None,
    }


def _silent_results(seen: Seen, answered: set[tuple[str, str]]) -> list[dict[str, Any]]:
    """Declared services, and machines without services, about which no check said anything."""
    results = []
    for host in seen.hosts:
        services = seen.services(host)
        for name, spec in sorted(services.items()):
            if (host, name) not in answered:
                detail = one_line(seen.silence(host, name))[:_DETAIL_LIMIT]
                results.append({"name": name, "service": name, "host": host, "status": UNKNOWN, "container": spec.get("container"), "detail": detail})
        if not services and not any(known == host for known, _name in answered):
            detail = one_line(seen.silence(host, ""))[:_DETAIL_LIMIT]
            results.append({"name": f"machine {host}", "service": "", "host": host, "status": UNKNOWN, "container": None, "detail": detail})
    return results


def _services(results: Sequence[Mapping[str, Any]], seen: Seen) -> dict[str, dict[str, Any]]:
    """State of each service; a name that several machines use gets the machine's name behind it."""
    names = Counter(name for host in seen.hosts for name in seen.services(host))
    services = {}
    for host in seen.hosts:
        for name, spec in sorted(seen.services(host).items()):
            own = [result for result in results if result["host"] == host and result["service"] == name]
            key = name if names[name] == 1 else f"{name}@{host}"
            shown = {field: spec[field] for field in ("url", "container") if spec.get(field)}
            services[key] = {"host": host, "kind": spec.get("kind"), **shown, "status": overall(own)}
    return services


def log(report: Mapping[str, Any]) -> str:
    """Return the report as text for people."""
    lines = [f"Health check of all services, {report['timestamp']}", ""]
    for result in report["results"]:
        facts = []
        if "http_code" in result:
            facts.append(f"HTTP {result['http_code'] or 'no answer'}")
            if result["response_time_ms"] is not None:
                facts.append(f"{result['response_time_ms']:.0f} ms")
            facts.append("" if str(result["url"]) in result["detail"] else str(result["url"] or ""))
        facts.append(str(result["detail"]))
        lines.append(f"{result['status']:<10} {result['host']}  {result['name']}: {', '.join(fact for fact in facts if fact)}")
    counts = f"{report['total_checks']} checks: {report['healthy']} healthy, {report['unhealthy']} unhealthy, {report['unknown']} unknown"
    return "\n".join([*lines, "", counts, f"Overall: {report['overall_status'].upper()}"]) + "\n"


def failure(report: Mapping[str, Any], path: str) -> str | None:
    """Return one sentence when the services are not all known to be healthy, else None."""
    if report["overall_status"] == HEALTHY:
        return None
    if not report["healthy"] and not report["unhealthy"]:
        first = next((f": {result['name']}: {result['detail']}" for result in report["results"]), ": no machine was asked")
        return f"Nothing could be checked{first}; see {path}"
    parts = []
    for state in (UNHEALTHY, UNKNOWN):
        names = [result["name"] for result in report["results"] if result["status"] == state]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            parts.append(f"{len(names)} {state} ({', '.join(names[:_NAMED])}{more})")
    return f"Of {plural(report['total_checks'], 'health check')}, {' and '.join(parts)}; see {path}"


def stamp(now: str) -> str:
    """Return the part of the file name that tells the time: 20261123T140911Z."""
    return f"{now[:19].replace('-', '').replace(':', '')}Z"
