# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Can we respond tonight: what counts as ready, and what is said about the rest."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import controller, preflight
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import CheckError

QUESTIONS = preflight.Questions.read(controller.COLLECTION_ROOT / "roles/preflight/files/readiness.yml")
NOW = "2026-11-23T20:00:00.000Z"
EVERYTHING = preflight.Choice({}, [], [])

RIGHTS = {
    **dict.fromkeys(("superuser", "createrole", "createdb", "replication", "bypassrls", "pg_signal_backend"), False),
    "user": "ir_monitor",
    "pg_monitor": True,
    "reserved_slots": True,
    "reserved_connections": 2,
    "wide_roles": [],
    "other_roles": [],
    "writable_tables": 0,
}
PG = {"user": "ir_monitor", "declared": True, "ok": True, "way": "tcp", "reason": None, "sqlstate": None, "database_ok": True, "rights": RIGHTS}
REDIS = {"user": "ir_monitor", "declared": True, "ok": True, "way": "tcp", "reason": None, "lacks": [], "may": [], "may_reason": None}
FACTS: dict[str, Any] = {
    "state": {"path": "/var/lib/incidents", "problem": None, "free": 10 * 1024**3},
    "core": {"name": "ansible-core", "wanted": ">=2.19.0", "found": "2.19.14", "ok": True},
    "collections": [{"name": "community.docker", "wanted": ">=4.0.0", "found": "4.8.5", "ok": True}],
    "webhooks": [{"name": "chat", "address": "https://chat.example.com", "ok": True, "ms": 12.0, "reason": None}],
    "addresses": [],
    "ntp": {"synchronized": True, "reason": None},
}


def answered(data: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "ms": 1.0, "data": data}


def service(kind: str, spec: dict[str, Any], **sources: dict[str, Any]) -> dict[str, Any]:
    """A service of an evidence document."""
    found = {name: answered(copy.deepcopy(data)) for name, data in sources.items()}
    return {"kind": kind, "spec": {"kind": kind, **spec}, "sources": found}


def evidence() -> dict[str, Any]:
    """A machine on which everything is ready."""
    container = {"status": "running", "name": "app"}
    releases = {"repository": "shop/app", "count": 1, "kept": True, "others": [{"id": "sha256:1", "names": ["shop/app:v1"]}]}
    services = {
        "backend": service("fastapi", {"container": "app"}, container=container, releases=releases),
        "db": service("postgresql", {"container": "app-db", "database": "app_prod"}, container=container, pg_access={"monitor": PG, "mitigation": None}),
        "redis": service("redis", {"container": "app-redis"}, container=container, redis_access={"monitor": REDIS, "mitigation": None}),
    }
    ready = {"docker": {"needed": True, "allowed": True, "version": "27.0", "reason": None}, "ntp": {"synchronized": True, "reason": None}}
    return {
        "schema": "sre.incident_response/evidence/1",
        "host": "web1",
        "collected_at": NOW,
        "reachable": True,
        "unfinished": False,
        "reason": None,
        "clock": {"host_epoch": 1.0, "offset_s": 0.0, "rtt_s": 0.4},
        "problems": [],
        "options": {},
        "machine": {"readiness": answered(ready)},
        "services": {name: {"name": name, **found} for name, found in services.items()},
    }


def report(run: Path, document: dict[str, Any] | None = None, facts: dict[str, Any] | None = None, choice: preflight.Choice = EVERYTHING) -> dict[str, Any]:
    findings = preflight.answers(QUESTIONS, [document or evidence()], facts or FACTS, run, choice)
    return preflight.document(findings, QUESTIONS, "run1", NOW)


def gaps(result: dict[str, Any]) -> dict[str, str]:
    """Gaps by check, as ``severity: answer``."""
    return {gap["id"]: f"{gap['severity'] or gap['state']}: {gap['answer']}" for gap in result["gaps"]}


def test_everything_is_ready(tmp_path: Path) -> None:
    result = report(tmp_path)
    assert gaps(result) == {}
    assert result["ready"]
    assert result["score"] == {"ready": result["score"]["of"], "of": len(result["answers"]), "percent": 100}
    assert preflight.headline(result).startswith("READY FOR TONIGHT  ")
    assert preflight.failure(result, 100, "x.json") is None


def changed(path: str, value: Any) -> dict[str, Any]:
    """The machine with one value of its evidence replaced; ``path`` are keys with dots between them."""
    document = copy.deepcopy(evidence())
    place: Any = document
    *parents, last = path.split("/")
    for key in parents:
        place = place[key]
    place[last] = value
    return document


PG_DATA = "services/db/sources/pg_access/data"
REDIS_DATA = "services/redis/sources/redis_access/data"


@pytest.mark.parametrize(
    ("path", "value", "check", "told"),
    [
        ("services/db/sources/container/data/status", "missing", "ready.container.exists", "critical: there is no container app-db"),
        ("services/backend/sources/releases/data/count", 0, "ready.release.previous", "warning: no other image of shop/app"),
        ("services/backend/sources/releases/data/kept", False, "ready.release.kept", "warning: the image that app runs on"),
        (
            f"{PG_DATA}/monitor",
            {**PG, "ok": False, "reason": "wrong password", "rights": None},
            "ready.pg.login",
            "critical: PostgreSQL does not let ir_monitor in: wr",
        ),
        (
            f"{PG_DATA}/monitor",
            {**PG, "database_ok": False},
            "ready.pg.database",
            "warning: ir_monitor gets into the server, but not into the database app_prod",
        ),
        (f"{PG_DATA}/monitor/rights/pg_monitor", False, "ready.pg.rights", "critical: ir_monitor is no member of pg_monitor"),
        (f"{PG_DATA}/monitor/rights/superuser", True, "ready.pg.narrow", "warning: ir_monitor is a superuser"),
        (f"{PG_DATA}/monitor/rights/pg_signal_backend", True, "ready.pg.narrow", "warning: ir_monitor may end sessions of others"),
        (f"{PG_DATA}/monitor/rights/writable_tables", 7, "ready.pg.narrow", "warning: ir_monitor may write to tables (7)"),
        (f"{PG_DATA}/monitor/rights/wide_roles", ["pg_read_all_data"], "ready.pg.narrow", "warning: ir_monitor is a member of pg_read_all_data"),
        (
            f"{PG_DATA}/mitigation",
            {**PG, "user": "ir_mit"},
            "ready.pg.mitigation",
            "critical: ir_mit could end no session: it is no member of pg_signal_backend",
        ),
        (
            f"{PG_DATA}/mitigation",
            {**PG, "user": "ir_mit", "ok": False, "reason": "no way", "rights": None},
            "ready.pg.mitigation",
            "critical: ir_mit could end no",
        ),
        (
            f"{REDIS_DATA}/monitor",
            {**REDIS, "ok": False, "reason": "WRONGPASS", "lacks": None, "may": None},
            "ready.redis.login",
            "critical: Redis does not let",
        ),
        (f"{REDIS_DATA}/monitor/lacks", ["LATENCY LATEST"], "ready.redis.rights", "critical: Redis refuses ir_monitor LATENCY LATEST"),
        (f"{REDIS_DATA}/monitor/may", ["SET", "EVAL"], "ready.redis.narrow", "warning: user ir_monitor may also send SET, EVAL"),
        (f"{REDIS_DATA}/monitor", {**REDIS, "lacks": None, "may": None, "may_reason": "no MULTI"}, "ready.redis.rights", "unknown: no MULTI"),
        (f"{REDIS_DATA}/mitigation", {**REDIS, "lacks": ["UNLINK"]}, "ready.redis.mitigation", "critical: Redis refuses ir_monitor UNLINK"),
        (f"{REDIS_DATA}/mitigation", {**REDIS, "may": ["UNLINK"]}, "ready.redis.mitigation_narrow", "warning: outside of the declared prefixes"),
        ("machine/readiness/data/docker", {"needed": True, "allowed": False, "reason": "permission denied"}, "ready.docker", "critical: permission denied"),
        ("machine/readiness/data/ntp/synchronized", False, "ready.clock.ntp", "warning: the kernel says that nothing keeps"),
        ("machine/readiness/data/ntp", {"synchronized": None, "reason": "no answer"}, "ready.clock.ntp", "unknown: no answer"),
        ("clock/offset_s", -75.5, "ready.clock.offset", "critical: the clock differs from the controller's by 75.5 s"),
        ("problems", [{"service": "x", "sentence": "service x has no kind"}], "ready.inventory", "warning: service x has no kind"),
        ("services/db/sources/pg_access", {"ok": False, "kind": "permission", "reason": "not allowed"}, "ready.pg.login", "unknown: pg_access: not allowed"),
    ],
)
def test_gap(tmp_path: Path, path: str, value: Any, check: str, told: str) -> None:
    """Each gap is told with what to do about it, and keeps the score below 100."""
    result = report(tmp_path, changed(path, value))
    assert gaps(result)[check].startswith(told)
    assert not result["ready"]
    assert result["score"]["percent"] < 100
    assert all(gap["fix"] for gap in result["gaps"])
    assert preflight.failure(result, 100, "x.json") is not None
    assert preflight.failure(result, 0, "x.json") is None


@pytest.mark.parametrize(
    ("part", "value", "check", "told"),
    [
        ("state", {**FACTS["state"], "problem": "incident_state_dir /x can't be written"}, "ready.state.writable", "critical: incident_state_dir /x"),
        ("state", {**FACTS["state"], "free": 150_000_000}, "ready.state.space", "critical: "),
        ("state", {**FACTS["state"], "free": None}, "ready.state.space", "unknown: "),
        ("core", {**FACTS["core"], "found": "2.16.1", "ok": False}, "ready.versions.core", "critical: ansible-core is 2.16.1, and >=2.19.0 is needed"),
        (
            "collections",
            [{"name": "a.b", "wanted": ">=4", "found": None, "ok": False}],
            "ready.versions.collections",
            "critical: collection a.b is not installed",
        ),
        (
            "webhooks",
            [{"name": "chat", "address": "https://c", "ok": False, "reason": "refused"}],
            "ready.webhook",
            "critical: webhook chat at https://c: refused",
        ),
        ("addresses", [{"name": "Prometheus", "address": "http://p", "ok": False, "reason": "late"}], "ready.address", "warning: Prometheus at http://p: late"),
        ("ntp", {"synchronized": False, "reason": None}, "ready.controller.ntp", "warning: the kernel says that nothing keeps"),
    ],
)
def test_gap_of_the_controller(tmp_path: Path, part: str, value: Any, check: str, told: str) -> None:
    result = report(tmp_path, facts={**FACTS, part: value})
    assert list(gaps(result)) == [check]
    assert gaps(result)[check].startswith(told)
    assert result["gaps"][0]["host"] == "controller"


def test_a_missing_container_is_one_gap(tmp_path: Path) -> None:
    """What its releases are is no question then."""
    document = changed("services/backend/sources/container/data", {"status": "missing", "similar": ["app1", "app2"]})
    document["services"]["backend"]["sources"]["releases"]["data"] = {"repository": None, "current": None, "others": [], "count": 0, "kept": False}
    result = report(tmp_path, document)
    assert list(gaps(result)) == ["ready.container.exists"]
    assert "similar names: app1, app2" in "\n".join(text for text, _level in preflight.lines(result))


def test_advice_is_no_gap(tmp_path: Path) -> None:
    """It is told, and takes nothing away."""
    result = report(tmp_path, changed(f"{PG_DATA}/monitor/rights/reserved_connections", 0))
    assert [entry["id"] for entry in result["advice"]] == ["ready.pg.reserved"]
    assert result["ready"]


def test_an_unreachable_machine_counts_as_all_that_was_not_asked(tmp_path: Path) -> None:
    """Else the score would be better the more machines are down."""
    down = {**evidence(), "reachable": False, "reason": "no route to host", "machine": {}}
    for name in down["services"]:
        down["services"][name]["sources"] = {}
    result = report(tmp_path, down)
    assert set(gaps(result)) == {"service.assessed"}
    assert result["score"]["of"] >= report(tmp_path)["score"]["of"]
    assert {answer["host"] for answer in result["answers"] if answer["ready"]} == {"controller", "web1"}
    assert [answer["id"] for answer in result["answers"] if answer["ready"] and answer["host"] == "web1"] == ["ready.inventory"]
    assert all("ansible_host" in gap["fix"] for gap in result["gaps"])


def test_nothing_asked_is_not_ready(tmp_path: Path) -> None:
    """An empty choice is no all-clear."""
    result = report(tmp_path, choice=preflight.Choice({}, ["ready.redis.mitigation"], []))
    assert result["score"] == {"ready": 0, "of": 0, "percent": 0}
    assert not result["ready"]
    assert preflight.headline(result) == "NOT READY  nothing could be asked"
    assert preflight.failure(result, 1, "x.json") == "NOT READY  nothing could be asked, below preflight_fail_below (1 %): nothing was asked; see x.json"


def test_choice(tmp_path: Path) -> None:
    """Thresholds, only and skip work over both parts, and a name that is no check is refused."""
    facts = {**FACTS, "state": {**FACTS["state"], "free": 150_000_000}}
    assert report(tmp_path, facts=facts, choice=preflight.Choice({"ready.state.space": {"critical": 1, "warning": 2}}, [], []))["ready"]
    assert report(tmp_path, facts=facts, choice=preflight.Choice({}, [], ["ready.state.*"]))["ready"]
    assert {answer["id"] for answer in report(tmp_path, choice=preflight.Choice({}, ["ready.pg.*"], []))["answers"]} >= {"ready.pg.login", "ready.pg.narrow"}
    with pytest.raises(CheckError, match=r"ready\.nonsense"):
        report(tmp_path, choice=preflight.Choice({"ready.nonsense": {"warning": 1}}, [], []))


def test_text_of_machines_is_harmless(tmp_path: Path) -> None:
    """A server's error message is printed as one plain line."""
    evil = {**PG, "ok": False, "reason": "\x1b[31mred\nsecond {{ line }}\u202e", "rights": None}
    text = [line for line, _level in preflight.lines(report(tmp_path, changed(f"{PG_DATA}/monitor", evil)))]
    assert not any("\x1b" in line or "\n" in line or "\u202e" in line for line in text)
    assert all(len(line) <= preflight.WIDTH for line in text)
