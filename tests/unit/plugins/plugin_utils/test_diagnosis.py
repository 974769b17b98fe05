# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Diagnosis: the right cause first, symptoms named as such, nothing on a healthy system, and never a guess without facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sre.incident_response.plugins.plugin_utils import outcome
from ansible_collections.sre.incident_response.plugins.plugin_utils.diagnosis import LIKELY, POSSIBLE, UNCLASSIFIED, Candidate, diagnose
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import OK, UNKNOWN, Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.patterns import PatternError, load_patterns, parse_pattern
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import estate_samples as samples
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.estate_samples import document, failed, finding

FAULTS: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parents[2] / "data/faults.yml").read_text(encoding="utf-8"))["faults"]
INCIDENTS = {name: fault for name, fault in FAULTS.items() if fault["top"]}
HEALTHY = {name: fault for name, fault in FAULTS.items() if not fault["top"]}
PATTERNS = samples.all_patterns()


def findings_of(fault: dict[str, Any], without: str = "") -> list[Finding]:
    """What a perfect collector finds for a fault."""
    return [finding(check_id, severity) for check_id, severity in fault["findings"].items() if check_id != without]


def ranked(findings: list[Finding], estate: Estate | None = None) -> list[Candidate]:
    return diagnose(findings, PATTERNS, estate or Estate([document()]))


def concluded(findings: list[Finding], documents: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return outcome.conclude(findings, documents or [document()], PATTERNS)


# -- the catalog of faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INCIDENTS)
def test_cause_of_every_fault_comes_first(name: str) -> None:
    fault = INCIDENTS[name]
    answers = [fault["top"], *fault.get("also", [])]
    causes = [one for one in ranked(findings_of(fault)) if not one.symptom_of]
    assert causes[0].pattern.id in answers
    assert causes[0].score >= LIKELY
    if "combined" in name:
        assert {one.pattern.id for one in causes[:2]} == set(answers), "two causes that do not explain each other are both told"


@pytest.mark.parametrize("name", INCIDENTS)
def test_symptoms_come_after_causes_and_the_deeper_one_first(name: str) -> None:
    """Of two symptoms the deeper one is nearer to the cause, so it says more whatever its points."""
    found = ranked(findings_of(INCIDENTS[name]))
    symptoms = [one for one in found if one.symptom_of]
    assert found[len(found) - len(symptoms) :] == symptoms
    depths = [one.pattern.depth for one in symptoms]
    assert depths == sorted(depths, reverse=True)


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_but_unusual_state_is_no_incident(name: str) -> None:
    result = concluded(findings_of(HEALTHY[name]))
    assert result["diagnosis"] == []
    assert result["proposals"] == []
    assert (result["severity"], result["verdict"]) == (None, "no incident found")


def test_diagnosis_survives_the_loss_of_any_one_finding() -> None:
    cases = [(fault, lost) for fault in INCIDENTS.values() for lost in fault["findings"]]
    right = 0
    for fault, lost in cases:
        order = ranked(findings_of(fault, without=lost))
        right += bool(order) and order[0].pattern.id in (fault["top"], *fault.get("also", []))
    # 137 of 151 is what the reference rules reach; the missing ones lost the only evidence of their cause.
    assert right / len(cases) >= 0.9, f"{right} of {len(cases)}"


def test_order_does_not_depend_on_the_order_of_findings() -> None:
    findings = findings_of(INCIDENTS["P05_connection_leak"])
    first = [(one.pattern.id, one.score) for one in ranked(findings)]
    assert [(one.pattern.id, one.score) for one in ranked(findings[::-1])] == first


# -- rules -----------------------------------------------------------------------------------------------------------------------


def test_symptoms_are_named_and_count_half() -> None:
    order = ranked([finding("pg.locks.blocked"), finding("pg.locks.root"), finding("http.latency"), finding("proxy.errlog.timed_out")])
    slow = next(one for one in order if one.pattern.id == "slow_responses")
    assert slow.symptom_of is not None
    assert slow.symptom_of.pattern.id == "db_lock_contention"
    assert slow.score == slow.raw / 2


def test_many_equal_findings_weigh_as_one() -> None:
    one = ranked([finding("dep.http_status")])[0]
    many = ranked([finding("dep.http_status") for _number in range(500)])[0]
    assert many.score == one.score


def test_strongest_finding_of_a_glob_counts() -> None:
    mixed = ranked([finding("dep.http_status", "info"), finding("dep.http_status", "critical")])[0]
    assert mixed.score == ranked([finding("dep.http_status", "critical")])[0].score


def test_harmless_deploy_near_a_real_fault_does_not_win() -> None:
    order = ranked(findings_of(INCIDENTS["P12_harmless_deploy_real_lock"]))
    assert order[0].pattern.id == "db_lock_contention"
    assert "deploy_regression" not in [one.pattern.id for one in order]


def test_ok_and_unknown_findings_give_no_points() -> None:
    silent = [finding("pg.locks.blocked", None, state=OK), finding("tls.expiry", None, state=UNKNOWN)]
    assert ranked(silent) == []


def test_critical_symptom_without_a_pattern_is_unclassified() -> None:
    result = concluded([finding("http.frontend", summary="https://shop.example.com: status 500")])
    assert [one["pattern"] for one in result["diagnosis"]] == [UNCLASSIFIED]
    assert result["diagnosis"][0]["why"][0]["id"] == "http.frontend"
    assert result["diagnosis"][0]["first_action"]["mitigation"] == "report_only"
    assert result["proposals"] == []
    assert result["verdict"].startswith("unclassified: https://shop.example.com: status 500")


def test_warning_without_a_pattern_is_told_and_not_hidden() -> None:
    result = concluded([finding("redis.slowlog", "warning")])
    assert [(one["pattern"], one["verdict"]) for one in result["diagnosis"]] == [(UNCLASSIFIED, "possible")]
    assert result["severity"] == "SEV4"


def test_facts_and_guess_are_apart() -> None:
    root = finding("pg.locks.root", summary="session 4711 blocks 3 sessions", evidence=[{"source": "postgresql", "text": "its last statement: UPDATE"}])
    (top, *_rest) = concluded([finding("pg.locks.blocked"), root])["diagnosis"]
    assert (top["pattern"], top["service"], top["host"], top["verdict"]) == ("db_lock_contention", "db", "web1", "likely")
    fact = next(one for one in top["why"] if one["id"] == "pg.locks.root")
    assert (fact["text"], fact["evidence"], fact["points"]) == ("session 4711 blocks 3 sessions", ["its last statement: UPDATE"], 25.0)


def test_unknown_checks_that_would_change_the_points_are_listed() -> None:
    unknown = finding("pg.locks.root", None, state=UNKNOWN, reason="timeout")
    (top, *_rest) = concluded([finding("pg.locks.blocked"), finding("pg.conn.idle_in_xact"), unknown])["diagnosis"]
    assert top["unknown"] == ["pg.locks.root"]


# -- scope -----------------------------------------------------------------------------------------------------------------------

TWO_BACKENDS = {
    **samples.SPECS,
    "proxy": {**samples.SPECS["proxy"], "depends_on": ["backend", "admin"]},
    "admin": {"kind": "fastapi", "container": "app-admin", "url": "http://127.0.0.1:8001", "depends_on": ["db"]},
}


def test_findings_of_another_service_of_the_same_kind_do_not_count() -> None:
    dead = [finding("backend.container.state", service="admin", kind="fastapi"), finding("backend.listen", service="admin", kind="fastapi")]
    warm = finding("backend.mem.limit_pct", "warning", service="backend")
    order = ranked([*dead, warm], Estate([document(specs=TWO_BACKENDS)]))
    assert (order[0].pattern.id, order[0].root.name) == ("backend_unavailable", "admin")
    assert not [one for one in order if one.pattern.id == "backend_unavailable" and one.root.name == "backend"]


def test_symptom_that_several_roots_share_is_told_once() -> None:
    order = ranked([finding("http.latency", service="proxy"), finding("proxy.upstream_latency", service="proxy")], Estate([document(specs=TWO_BACKENDS)]))
    assert [one.pattern.id for one in order] == ["slow_responses"]


def test_busy_machine_explains_slow_users_but_no_stuck_worker() -> None:
    busy = [finding("host.psi.cpu", "info"), finding("host.cpu.util", "info"), finding("host.load", "info"), finding("http.latency", "critical")]
    assert {one.pattern.id: one.symptom_of.pattern.id for one in ranked(busy) if one.symptom_of} == {"slow_responses": "host_saturated"}
    stuck = [finding("backend.loop.blocked", "critical"), finding("http.live", "critical"), finding("backend.accept_queue", "warning")]
    assert ranked([*busy, *stuck])[0].pattern.id == "backend_workers_blocked"
    # A cause elsewhere that explains why users wait leaves the machine with nothing but being busy.
    locked = [finding("pg.locks.blocked", "critical"), finding("pg.locks.root", "critical")]
    assert [one.pattern.id for one in ranked([*busy, *locked]) if not one.symptom_of] == ["db_lock_contention"]
    # Where the machine itself says that something is wrong, it comes first.
    starved = [finding("host.psi.memory", "critical"), finding("host.mem.available", "critical")]
    assert ranked([*busy, *stuck, *starved])[0].pattern.id == "host_saturated"


def test_same_image_is_never_rolled_back() -> None:
    deployed = [finding("change.deploy_recent", "critical"), finding("change.deploy_correlated", "critical"), finding("change.new_error_signature", "critical")]
    assert ranked(deployed)[0].pattern.id == "deploy_regression"
    made_again = [finding(check_id, "warning") for check_id in ("change.deploy_recent", "change.deploy_correlated", "change.recreated")]
    again = [*made_again, finding("change.new_error_signature", "critical")]
    assert [(one.pattern.id, one.score >= 75) for one in ranked(again)] == [("config_regression", True)]
    assert concluded(again)["proposals"][0]["mitigation"] == "restore_config"
    crashing = [finding("logs.sig.boot_failure", "critical"), finding("backend.container.restarts", "critical")]
    assert ranked([*again, *crashing])[0].pattern.id == "boot_failure"


def test_users_who_wait_are_a_symptom_of_whatever_explains_a_part_of_it() -> None:
    waiting = [finding("http.latency", "critical"), finding("proxy.upstream_latency", "critical"), finding("http.5xx.504", "critical")]
    nameless = [finding("dns.resolve_in_container", "critical"), finding("logs.sig.dns", "critical")]
    order = ranked([*waiting, finding("http.slow_health", "critical"), *nameless])
    assert [(one.pattern.id, one.symptom_of.pattern.id if one.symptom_of else None) for one in order] == [
        ("dns_failure", None),
        ("slow_responses", "dns_failure"),
    ]


def test_dependency_that_is_only_slow_is_told_before_the_waiting_users() -> None:
    waiting = [finding("http.latency", "critical"), finding("proxy.upstream_latency", "critical"), finding("host.cpu.util", "info")]
    order = ranked([*waiting, finding("dep.latency", "warning")])
    assert (order[0].pattern.id, order[1].symptom_of and order[1].symptom_of.pattern.id) == ("external_dependency", "external_dependency")


def test_full_disk_explains_only_what_depends_on_its_machine() -> None:
    documents = [
        document("web1", {name: samples.SPECS[name] for name in ("proxy", "backend")}),
        document("data1", {"db": samples.SPECS["db"]}),
        document("cache1", {"redis": samples.SPECS["redis"]}),
    ]
    findings = [
        finding("host.disk.space", host="data1"),
        finding("pg.up", host="data1"),
        finding("db.container.state", host="data1"),
        finding("redis.up", host="cache1"),
        finding("redis.container.state", host="cache1"),
    ]
    order = {one.pattern.id: one for one in ranked(findings, Estate(documents))}
    assert order["db_down"].symptom_of is order["disk_full"]
    assert order["disk_full"].root.host == "data1"
    assert order["redis_unavailable"].symptom_of is None


def test_machine_is_not_blamed_for_another_ones_findings() -> None:
    documents = [document("web1", {"backend": samples.SPECS["backend"]}), document("data1", {"db": samples.SPECS["db"]})]
    order = ranked([finding("backend.proc.fds", host="web1"), finding("backend.pids", host="web1")], Estate(documents))
    assert {one.root.host for one in order if one.pattern.id == "limits_exhausted"} == {"web1"}


def test_dependency_of_another_backend_is_not_the_cause_here() -> None:
    specs = {
        "a": {"kind": "fastapi", "depends_on": ["mail"]},
        "b": {"kind": "fastapi", "depends_on": ["payments"]},
        "mail": {"kind": "external", "url": "https://mail.example"},
        "payments": samples.SPECS["payments"],
    }
    findings = [finding("dep.http_status"), finding("logs.sig.ext_timeout", service="a", kind="fastapi")]
    (top, *_rest) = ranked(findings, Estate([document(specs=specs)]))
    assert top.root.name == "payments"
    assert [one.id for one, _points in top.why] == ["dep.http_status"]


# -- verdict and the rest of the contract ----------------------------------------------------------------------------------------


def test_what_was_not_looked_at_is_no_all_clear() -> None:
    documents = [document("web1", sources={"db": {"postgresql": failed("no way in", "auth")}})]
    result = concluded([finding("http.live", None, state=OK)], documents)
    assert result["verdict"] == "no incident found in what could be assessed; not assessed: postgresql of db on web1: no way in"
    assert result["diagnosis"] == []


def test_services_have_the_state_of_their_worst_finding() -> None:
    findings = [
        finding("pg.up"),
        finding("redis.frag", "warning"),
        finding("redis.up", None, state=OK),
        finding("http.live", None, state=OK),
        finding("dep.reachable", None, state=UNKNOWN, reason="timeout"),
    ]
    states = {one["name"]: one["state"] for one in concluded(findings)["services"]}
    assert states == {"proxy": "ok", "backend": "unknown", "db": "critical", "redis": "warning", "payments": "unknown"}


def test_exonerated_is_only_what_was_looked_at_completely() -> None:
    findings = [
        finding("pg.up", None, state=OK),
        finding("redis.up", None, state=OK),
        finding("redis.mem.used_pct", None, state=UNKNOWN, reason="redis: no answer"),
        finding("http.live", None, state=OK),
        finding("host.load", "info"),
    ]
    assert concluded(findings)["exonerated"] == ["proxy on web1", "db on web1", "machine web1"]


@pytest.mark.parametrize(("fail_on", "count"), [("", 0), ("warning", 2), ("critical", 1)])
def test_level_that_fails_the_play(fail_on: str, count: int) -> None:
    assert outcome.breaches([finding("pg.up"), finding("redis.frag", "warning"), finding("host.load", "info")], fail_on) == count


def test_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match=r"incident_fail_on is 'fatal': use critical, warning, or nothing"):
        outcome.check_fail_on("fatal")


@pytest.mark.parametrize("stored", [{}, {"x": None}, {"x": {"findings": [None, 3, {"id": "a"}]}}, {"x": []}])
def test_damaged_findings_are_left_out(stored: dict[str, Any]) -> None:
    assert outcome.findings_of(stored) == []


# -- pattern files ---------------------------------------------------------------------------------------------------------------


def pattern_data(**changes: Any) -> dict[str, Any]:
    data = {
        "id": "x",
        "title": "X",
        "family": "slow",
        "service": "db",
        "depth": 3,
        "gate": {"all": ["pg.up"]},
        "weights": {"pg.up": 40},
        "first_action": {"mitigation": "report_only", "effect": "none", "undo": "none"},
        "verify": ["pg.up"],
        "escalate": "DBA",
    }
    return {key: value for key, value in {**data, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"wieghts": {}}, "unknown key wieghts"),
        ({"title": None}, "title is missing"),
        ({"depth": "deep"}, "depth must be a int"),
        ({"service": "mysql"}, "service mysql is none of"),
        ({"gate": {}}, "gate needs all or any"),
        ({"gate": {"any": ["pg.up"]}}, "gate.any must be a list of lists of finding ids"),
        ({"gate": {"al": ["pg.up"]}}, "gate has the unknown key al"),
        ({"weights": {"pg.up": 0}}, r"weights.pg.up must be a number from 1 to 100"),
        ({"first_action": {"effect": "x", "undo": "y"}}, "first_action.mitigation must be a text"),
        ({"first_action": {"mitigation": "m", "effect": "x", "undo": "y", "unless": ["a"]}}, "needs both unless and otherwise"),
        ({"first_action": {"mitigation": "m", "effect": "x", "undo": "y", "runbook": "z"}}, "unknown key runbook"),
        (
            {"first_action": {"mitigation": "m", "effect": "x", "undo": "y", "command": "id", "run_on": "db1"}},
            "first_action.run_on must be machine or controller, not db1",
        ),
        ({"first_action": {"mitigation": "m", "effect": "x", "undo": "y", "run_on": "controller"}}, "there is no command"),
    ],
)
def test_wrong_pattern_is_one_clear_sentence(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(PatternError, match=f"pattern x: .*{problem}"):
        parse_pattern(pattern_data(**changes))


def test_pattern_file_has_the_name_of_its_pattern(tmp_path: Path) -> None:
    with pytest.raises(PatternError, match="there is no pattern file"):
        load_patterns(tmp_path)
    (tmp_path / "y.yml").write_text(yaml.safe_dump(pattern_data()), encoding="utf-8")
    with pytest.raises(PatternError, match=r"y\.yml holds the pattern x"):
        load_patterns(tmp_path)
    (tmp_path / "y.yml").write_text("{", encoding="utf-8")
    with pytest.raises(PatternError, match=r"y\.yml can't be read"):
        load_patterns(tmp_path)


def test_scores_are_never_above_100_and_what_is_shown_is_at_least_possible() -> None:
    for fault in INCIDENTS.values():
        for one in ranked(findings_of(fault)):
            assert 0 < one.score <= 100
            assert one.raw >= POSSIBLE
