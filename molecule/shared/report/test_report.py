# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What triage has to report, whatever the fault: read from the fault's own data file."""

from __future__ import annotations

from typing import Any

import pytest

RANK = {"info": 1, "warning": 2, "critical": 3}


def alarms(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Findings that somebody would have to act on."""
    return [(f["id"], f["severity"], f["summary"]) for f in report["findings"] if f["state"] == "finding" and f["severity"] != "info"]


def test_cause_comes_first(report: dict[str, Any], fault: dict[str, Any]) -> None:
    """The best ranked pattern is the fault's own; with nothing wrong there is no diagnosis at all."""
    ranking = [(entry["pattern"], entry["score"], entry["verdict"]) for entry in report["diagnosis"]]
    if fault["expect"]["top"] is None:
        assert ranking == []
    else:
        top = fault["expect"]["top"]
        assert ranking, "no diagnosis"
        assert ranking[0][0] in (top if isinstance(top, list) else [top]), ranking
        assert ranking[0][2] == "likely", ranking
        assert set(fault["expect"]["also"]) <= {entry[0] for entry in ranking[:3]}, ranking


def test_expected_findings_are_there(report: dict[str, Any], fault: dict[str, Any]) -> None:
    """Every finding that the fault's data names is reported, at least as severe as it says."""
    strongest: dict[str, int] = {}
    for finding in report["findings"]:
        if finding["state"] == "finding":
            strongest[finding["id"]] = max(strongest.get(finding["id"], 0), RANK[finding["severity"]])
    too_weak = {
        check: f"expected {severity}, found {next((name for name, rank in RANK.items() if rank == strongest.get(check)), 'nothing')}"
        for check, severity in fault["expect"]["findings"].items()
        if strongest.get(check, 0) < RANK[severity]
    }
    assert too_weak == {}


def test_nothing_alarms_when_nothing_is_wrong(report: dict[str, Any], fault: dict[str, Any]) -> None:
    """Without a fault no finding is a warning or critical, and nothing was left out."""
    if fault["expect"]["top"] is not None:
        pytest.skip("this scenario has a fault")
    assert alarms(report) == []
    assert [entry for entry in report["run"]["not_assessed"] if entry["serious"]] == []
    assert [finding["id"] for finding in report["findings"] if finding["state"] == "ok"], "nothing was assessed at all"


def test_first_action_is_proposed(report: dict[str, Any], fault: dict[str, Any]) -> None:
    """The first cause comes with an action: what it does, how to undo it, and on exactly which target."""
    if fault["expect"]["top"] is None:
        assert report["proposals"] == []
        return
    assert report["diagnosis"][0]["first_action"]
    assert report["proposals"], "no proposal"
    assert report["proposals"][0]["mitigation"] in [*fault["safe_actions"], "report_only"]
    for proposal in report["proposals"]:
        assert {"id", "mitigation", "target", "effect", "undo", "command"} <= set(proposal)
        assert proposal["effect"]
        assert proposal["target"], f"{proposal['mitigation']} does not say on what"


def test_every_service_is_listed(report: dict[str, Any]) -> None:
    """The five services of the lab are in the report, also those that are down."""
    assert {service["kind"] for service in report["services"]} == {"nginx", "fastapi", "postgresql", "redis", "external"}
