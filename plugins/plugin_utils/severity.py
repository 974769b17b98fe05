# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Suggests SEV1 to SEV4 from what users notice, not from how many alarms there are. Pure.

Where users come in could not be looked at: the worse is assumed, because a wrong SEV3 costs more than a wrong SEV2.
"""

from __future__ import annotations

from collections.abc import Sequence

from .estate import Estate, Node
from .findings import FINDING, UNKNOWN, Finding, clean_text

OUTAGE_PCT = 50.0
MAJOR_PCT = 5.0
# Data is at stake whatever users notice yet.
DATA_AT_RISK = ("pg.checksum", "pg.wraparound")
ENTRY_DOWN = ("http.live", "http.tls_error")
DEGRADED = ("http.latency", "proxy.upstream_latency")
CORE_DOWN = ("pg.up", "db.container.state", "pg.conn.refused", "pg.readonly")
USER_SYMPTOMS = ("http.", "proxy.errlog.", "proxy.upstream_latency")


def suggest(findings: Sequence[Finding], estate: Estate) -> tuple[str | None, str | None]:
    """``(SEV1..SEV4, reason)``, or two times None when there is no warning and no critical finding."""
    bad = [finding for finding in findings if finding.is_bad]
    critical = [finding for finding in bad if finding.severity == "critical"]
    if not bad:
        return None, None
    level, reason = _measured(bad, critical, findings, estate)
    blind = _unseen_entries(findings, estate)
    if blind and critical and level > 1:
        level = max(1, min(level - 1, 2))
        reason = f"{reason}; {blind} could not be looked at, so the worse is assumed"
    return f"SEV{level}", clean_text(reason, 300)


def _measured(bad: Sequence[Finding], critical: Sequence[Finding], findings: Sequence[Finding], estate: Estate) -> tuple[int, str]:
    entries = {service.node for service in estate.entries()}
    at_entry = [finding for finding in critical if Node(finding.service, finding.host, finding.kind) in entries]
    ratio = max((float(finding.value) for finding in findings if _is_ratio(finding)), default=0.0)
    for finding in at_entry:
        if finding.id in ENTRY_DOWN:
            return 1, f"users can't get in: {finding.summary}"
    if ratio >= OUTAGE_PCT:
        return 1, f"{ratio:.0f} % of the requests fail"
    for finding in critical:
        if finding.id in DATA_AT_RISK:
            return 1, f"data is at risk: {finding.summary}"
    if ratio >= MAJOR_PCT:
        return 2, f"{ratio:.0f} % of the requests fail"
    for ids, words in ((DEGRADED, "users wait"), (("http.path_errors",), "a whole route fails"), (CORE_DOWN, "the database can't be used")):
        for finding in critical:
            if finding.id in ids:
                return 2, f"{words}: {finding.summary}"
    return _limited(bad, critical)


def _limited(bad: Sequence[Finding], critical: Sequence[Finding]) -> tuple[int, str]:
    noticed = [finding for finding in bad if finding.id.startswith(USER_SYMPTOMS)]
    if critical:
        first = critical[0]
        return 3, f"{first.service or first.host} is affected, most users are not: {first.summary}"
    if noticed:
        return 3, f"some users may notice: {noticed[0].summary}"
    return 4, f"no effect on users was measured: {bad[0].summary}"


def _is_ratio(finding: Finding) -> bool:
    number = isinstance(finding.value, (int, float)) and not isinstance(finding.value, bool)
    return finding.id == "http.error_ratio" and finding.state == FINDING and finding.is_bad and number


def _unseen_entries(findings: Sequence[Finding], estate: Estate) -> str:
    """Names of the services through which users come in and whose endpoint is unknown; of the machines that hide them when none is known."""
    unseen = []
    entries = estate.entries()
    if not entries:
        return ", ".join(machine.name for machine in estate.machines.values() if not machine.reachable)
    by_service: dict[Node, list[Finding]] = {}
    for finding in findings:
        by_service.setdefault(Node(finding.service, finding.host, finding.kind), []).append(finding)
    for service in entries:
        own = by_service.get(service.node, [])
        live = [finding for finding in own if finding.id == "http.live"]
        if any(finding.state == UNKNOWN for finding in live) or any(finding.id == "service.assessed" for finding in own):
            unseen.append(service.name)
    return ", ".join(unseen)
