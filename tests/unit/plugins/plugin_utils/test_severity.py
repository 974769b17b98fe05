# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Severity: what users notice decides, and not having looked is no reason to be calm."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import OK, UNKNOWN, Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.severity import suggest
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import estate_samples as samples
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.estate_samples import document, finding

LIVE = finding("http.live", None, state=OK)
BLIND = finding("http.live", None, state=UNKNOWN, reason="timeout")
INTERNAL_ONLY = {name: samples.SPECS[name] for name in ("backend", "db", "redis", "payments")}


def ratio(percent: float, severity: str = "critical") -> Finding:
    return finding("http.error_ratio", severity, value=percent)


@pytest.mark.parametrize(
    ("findings", "level", "reason"),
    [
        ([LIVE], None, None),
        ([LIVE, finding("host.load", "info")], None, None),
        ([finding("http.live", summary="3 of 3 probes fail")], "SEV1", "users can't get in: 3 of 3 probes fail"),
        ([finding("http.tls_error"), finding("tls.expiry")], "SEV1", "users can't get in"),
        ([LIVE, ratio(61.4)], "SEV1", "61 % of the requests fail"),
        ([LIVE, finding("pg.checksum")], "SEV1", "data is at risk"),
        ([LIVE, ratio(5.5)], "SEV2", "6 % of the requests fail"),
        ([LIVE, finding("http.latency")], "SEV2", "users wait"),
        ([LIVE, finding("http.path_errors")], "SEV2", "a whole route fails"),
        ([LIVE, finding("pg.up")], "SEV2", "the database can't be used"),
        ([LIVE, finding("dep.http_status")], "SEV3", "payments is affected, most users are not"),
        ([LIVE, finding("redis.mem.used_pct")], "SEV3", "redis is affected"),
        ([LIVE, finding("http.latency", "warning")], "SEV3", "some users may notice"),
        ([LIVE, finding("tls.expiry", "warning")], "SEV4", "no effect on users was measured"),
        ([LIVE, finding("http.live", service="backend")], "SEV3", "backend is affected"),
        ([BLIND, finding("dep.http_status")], "SEV2", "proxy could not be looked at, so the worse is assumed"),
        ([BLIND, finding("pg.up")], "SEV1", "so the worse is assumed"),
        ([BLIND, finding("tls.expiry", "warning")], "SEV4", "no effect on users"),
    ],
)
def test_severity_follows_from_what_users_notice(findings: list[Finding], level: str | None, reason: str | None) -> None:
    suggested, why = suggest(findings, Estate([document()]))
    assert suggested == level
    assert why is None if reason is None else reason in str(why)


def test_backend_is_the_entry_where_there_is_no_proxy() -> None:
    assert suggest([finding("http.live", service="backend")], Estate([document(specs=INTERNAL_ONLY)]))[0] == "SEV1"


def test_unreachable_machine_of_the_entry_counts_as_blind() -> None:
    unseen = finding("service.assessed", None, service="proxy", state=UNKNOWN, reason="unreachable")
    level, why = suggest([finding("host.reachable"), unseen], Estate([document()]))
    assert level == "SEV2"
    assert "proxy could not be looked at" in str(why)


@pytest.mark.parametrize("value", [None, "many", True, float("inf")])
def test_odd_ratio_never_raises(value: Any) -> None:
    assert suggest([LIVE, finding("http.error_ratio", value=value)], Estate([document()]))[0] in ("SEV1", "SEV3")
