# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence document on the controller: parsing, clocks, merging, unreachable machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import registry
from ansible_collections.sre.incident_response.plugins.plugin_utils import evidence, services
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace

TOKEN = "0123456789abcdef"
NOTHING = services.Checked({})
GOOD = {"ok": True, "ms": 1.0, "data": {}}
BAD = {"ok": False, "ms": 1.0, "kind": "timeout", "reason": "late"}


def document(asked: list[str] | None = None, **parts: Any) -> dict[str, Any]:
    probe = {
        "schema": evidence.SCHEMA,
        "collected_at": "2026-11-23T10:00:00.000000Z",
        "duration_s": 0.5,
        "discovered": False,
        "assumptions": [],
        "options": {},
        "clock": {"started_epoch": 1000.4, "host_epoch": 1000.6},
        "machine": {},
        "services": {},
    }
    return evidence.completed({**probe, **parts}, "web1", NOTHING, evidence.Call(1000.0, 1001.0), asked)


def service(**sources: Any) -> dict[str, Any]:
    return {"db": {"name": "db", "kind": "postgresql", "spec": {}, "sources": sources}}


def printed(body: str, token: str = TOKEN) -> str:
    return f"<sre-evidence-{token}>{body}</sre-evidence-{token}>"


@pytest.mark.parametrize("noise", ["{}", "Welcome to web1!\n*** authorised use only ***\n{}\nlast login\n", "\x1b[32m{}\x1b[0m"])
def test_banners_around_the_answer_do_no_harm(noise: str) -> None:
    body = json.dumps({"schema": evidence.SCHEMA, "text": "</sre-evidence-other>"})
    assert evidence.parse_answer(noise.replace("{}", printed(body)), TOKEN)["text"] == "</sre-evidence-other>"


@pytest.mark.parametrize(
    ("stdout", "words"),
    [
        ("", "printed no evidence"),
        ("Segmentation fault", "printed no evidence"),
        (printed("{}", "another"), "printed no evidence"),
        (printed('{"schema": "sre')[:40], "was cut off"),
        (printed('{"schema": '), "is damaged"),
        (printed('{"schema": "other/1"}'), "not an evidence document"),
        (printed("[]"), "not an evidence document"),
    ],
)
def test_an_unreadable_answer_is_one_sentence(stdout: str, words: str) -> None:
    with pytest.raises(evidence.UnreadableAnswerError, match=words):
        evidence.parse_answer(stdout, TOKEN)


@pytest.mark.parametrize(
    ("started", "ended", "offset_s", "rtt_s"),
    [
        (1000.4, 1000.6, 0.0, 0.8),
        (1000.9, 1000.95, 0.0, 0.95),
        (1120.4, 1120.6, 119.6, 0.8),
        (880.4, 880.6, -119.6, 0.8),
        (1001.2, 1001.4, 0.4, 0.8),
    ],
)
def test_clocks_differ_by_what_the_way_can_not_explain(started: float, ended: float, offset_s: float, rtt_s: float) -> None:
    """The request was sent at 1000.0 and the answer was there at 1001.0 of the controller's clock."""
    result = evidence.clock({"started_epoch": started, "host_epoch": ended}, evidence.Call(1000.0, 1001.0))
    assert result == {"host_epoch": ended, "offset_s": offset_s, "rtt_s": rtt_s}


def test_without_the_probes_times_the_clock_is_unknown() -> None:
    assert evidence.clock({}, evidence.Call(1000.0, 1001.0)) == {"host_epoch": None, "offset_s": None, "rtt_s": None}


def test_an_unreachable_machine_still_lists_its_services_without_secrets() -> None:
    checked = services.check({"db": {"kind": "redis", "container": "r", "login_password": "hunter2"}, "bad": {"kind": "x"}})
    result = evidence.unreachable("web1", "ssh: connection refused", checked, {"sample_s": 0.25}, evidence.Call(1.0, 3.5))
    assert (result["reachable"], result["reason"], result["duration_s"]) == (False, "ssh: connection refused", 2.5)
    assert result["services"] == {"db": {"name": "db", "kind": "redis", "spec": {"kind": "redis", "container": "r"}, "sources": {}}}
    assert [problem["service"] for problem in result["problems"]] == ["bad"]
    assert set(document()) - {"asked"} == set(result)


def test_merging_keeps_what_was_not_asked_again() -> None:
    older = document(["container", "host"], machine={"host": GOOD}, services=service(container=GOOD, postgresql=GOOD))
    newer = document(["postgresql", "disk"], machine={"disk": BAD}, services=service(postgresql=BAD))
    merged = evidence.merged(older, newer)
    assert merged["machine"] == {"host": GOOD, "disk": BAD}
    assert merged["services"]["db"]["sources"] == {"container": GOOD, "postgresql": BAD}
    assert merged["asked"] == ["container", "disk", "host", "postgresql"]


@pytest.mark.parametrize("older", [None, {"reachable": False}])
def test_merging_with_nothing(older: dict[str, Any] | None) -> None:
    newer = document(["host"])
    assert evidence.merged(older, newer) == newer


@pytest.mark.parametrize(
    ("known", "missing"),
    [
        (None, ["host", "redis"]),
        (document(None), []),
        (document(["host", "disk"]), ["redis"]),
        ({"reachable": False}, []),
    ],
)
def test_only_missing_sources_are_asked_for(known: dict[str, Any] | None, missing: list[str]) -> None:
    assert evidence.missing_sources(known, ["redis", "host"]) == missing


def test_the_summary_counts_and_holds_no_evidence(tmp_path: Path) -> None:
    full = document(None, machine={"host": {**GOOD, "data": {"text": "from the machine"}}}, services=service(container=BAD, redis=GOOD))
    summary = evidence.summary(full, Workspace.open(tmp_path))
    assert (summary["sources_asked"], summary["sources_failed"]) == (3, 1)
    assert summary["services"] == {"db": "postgresql"}
    assert "from the machine" not in str(summary)


def test_sources_are_those_of_the_registry() -> None:
    registered = {source.name for source in [*registry.SERVICE_SOURCES, *registry.MACHINE_SOURCES]}
    assert set(evidence.SOURCES) == registered
