# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The estate: one picture of all machines, what several sources tell together, and what could not be looked at."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.checks import Subject, evaluate_all
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate, Node
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import estate_samples as samples
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.estate_samples import answered, document, failed


def node(name: str, host: str = "web1") -> Node:
    return Node(name, host, samples.SPECS[name]["kind"] if name else "machine")


def subject_of(estate: Estate, name: str) -> Subject:
    return next(subject for subject in estate.subjects() if subject.service == name)


def derived(estate: Estate, name: str) -> dict[str, Any]:
    return dict(subject_of(estate, name).document["derived"])


# -- graph ---------------------------------------------------------------------------------------------------------------------


def test_graph_joins_services_of_several_machines() -> None:
    web = document("web1", {name: samples.SPECS[name] for name in ("proxy", "backend", "payments")})
    data = document("data1", {name: samples.SPECS[name] for name in ("db", "redis")})
    estate = Estate([web, data])
    assert {one.name: one.host for one in estate.calls(node("backend"))} == {"db": "data1", "redis": "data1", "payments": "web1"}
    assert {one.name for one in estate.below(node("proxy"))} == {"backend", "db", "redis", "payments"}
    assert [one.name for one in estate.callers(node("db", "data1"))] == ["backend"]
    assert [service.name for service in estate.entries()] == ["proxy"]


def test_dependency_on_the_same_machine_comes_before_one_of_that_name_elsewhere() -> None:
    specs = {"backend": {"kind": "fastapi", "depends_on": ["db"]}, "db": {"kind": "postgresql"}}
    estate = Estate([document("a", specs), document("b", specs)])
    assert [one.host for one in estate.calls(Node("backend", "b", "fastapi"))] == ["b"]
    alone = Estate([document("a", {"backend": specs["backend"]}), document("b", specs), document("c", {"db": specs["db"]})])
    assert sorted(one.host for one in alone.calls(Node("backend", "a", "fastapi"))) == ["b", "c"]


def test_circle_of_calls_does_not_hang() -> None:
    specs = {"a": {"kind": "fastapi", "depends_on": ["b"]}, "b": {"kind": "fastapi", "depends_on": ["a", "nobody"]}}
    estate = Estate([document("h", specs)])
    assert {one.name for one in estate.below(Node("a", "h", "fastapi"))} == {"a", "b"}
    assert "a" in derived(estate, "a")["path"]


@pytest.mark.parametrize(
    ("first", "second", "related"),
    [
        (("proxy", "web1"), ("db", "web1"), True),
        (("db", "web1"), ("proxy", "web1"), True),
        (("db", "web1"), ("redis", "web1"), False),
        (("", "web1"), ("db", "web1"), True),
        (("", "web1"), ("proxy", "web1"), True),
        (("", "web2"), ("db", "web1"), False),
    ],
)
def test_trouble_spreads_along_calls_and_from_machine_to_service(first: tuple[str, str], second: tuple[str, str], related: bool) -> None:
    estate = Estate([document("web1"), document("web2", {})])
    assert estate.related(node(*first), node(*second)) is related


def test_machine_below_a_dependency_is_related_to_its_callers() -> None:
    estate = Estate([document("web1", {"backend": samples.SPECS["backend"]}), document("data1", {"db": samples.SPECS["db"]})])
    assert estate.related(Node("", "data1"), node("backend"))
    assert not estate.related(Node("", "web1"), node("db", "data1"))


# -- documents of any shape ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"host": None},
        {"host": "h", "services": []},
        {"host": "h", "services": {"a": None, "b": {"kind": "mysql"}, "c": {"kind": "redis", "spec": 5, "sources": ["x"]}}},
        {"host": "h", "services": {"c": {"kind": "nginx", "spec": {"depends_on": "text"}, "sources": {"logs": {"ok": True, "data": "text"}}}}},
        {"host": "h", "machine": {"changes": {"ok": True, "data": {"recent": [None, 3, {"what": 5}]}}}, "clock": "x", "problems": ["sentence"]},
        {"host": "h", "services": {"c": {"kind": "fastapi", "sources": {"container": {"ok": True, "data": {"created_at": 5, "networks": {"n": 1}}}}}}},
    ],
)
def test_evidence_of_any_shape_never_raises(broken: dict[str, Any]) -> None:
    estate = Estate([broken])
    for role in ("host_check", "container_check", "log_scan", "proxy_check", "change_scan", "health_check"):
        evaluate_all(samples.checks_of(role), list(estate.subjects()), role)
    assert isinstance(estate.not_assessed(), list)


# -- what could not be looked at -----------------------------------------------------------------------------------------------


def test_unreachable_machine_is_critical_and_its_services_are_unknown() -> None:
    estate = Estate([document("web1", reachable=False, reason="connection timed out"), document("web2", {})])
    found = evaluate_all(samples.checks_of("host_check"), list(estate.subjects()), "host_check")
    reachable = {one.host: (one.state, one.severity, one.summary) for one in found if one.id == "host.reachable"}
    assert reachable["web1"] == ("finding", "critical", "the machine could not be reached: connection timed out")
    assert reachable["web2"][0] == "ok"
    found = evaluate_all(samples.checks_of("pg_connection_check"), list(estate.subjects()), "pg_connection_check")
    assert {(one.id, one.service, one.state) for one in found} == {("service.assessed", "db", "unknown"), ("service.assessed", "backend", "unknown")}
    assert estate.not_assessed() == ["machine web1 could not be reached: connection timed out"]


def test_problem_of_the_inventory_is_unknown_with_its_sentence() -> None:
    sentence = "kind of service db is 'postgres': use postgresql"
    estate = Estate([document("web1", {}, problems=[{"service": "db", "sentence": sentence}])])
    found = [one for one in evaluate_all(samples.checks_of("host_check"), list(estate.subjects())) if one.id == "inventory.service"]
    assert [(one.state, one.reason) for one in found] == [("unknown", sentence)]
    assert estate.not_assessed() == [sentence]


@pytest.mark.parametrize(("kind", "counted"), [("permission", True), ("timeout", True), ("auth", True), ("unsupported", False), ("absent", False)])
def test_only_what_could_be_looked_at_is_missed(kind: str, counted: bool) -> None:
    estate = Estate([document("web1", sources={"db": {"postgresql": failed("no way in", kind)}})])
    assert estate.not_assessed() == (["postgresql of db on web1: no way in"] if counted else [])


def test_sources_with_the_same_reason_are_one_sentence() -> None:
    reason = failed("the Docker socket may not be read", "permission")
    estate = Estate([document("web1", sources={"db": {"container": reason, "cgroup": reason}})])
    assert estate.not_assessed() == ["container, cgroup of db on web1: the Docker socket may not be read"]


@pytest.mark.parametrize(
    ("spec", "source", "absent"),
    [
        ({"kind": "redis"}, "container", True),
        ({"kind": "redis", "container": "r"}, "container", False),
        ({"kind": "nginx", "url": "http://x"}, "tls", True),
        ({"kind": "nginx", "url": "https://x"}, "tls", False),
        ({"kind": "fastapi", "container": "c"}, "dns", True),
        ({"kind": "fastapi"}, "http", True),
    ],
)
def test_sources_that_a_service_never_has_are_not_missed(spec: dict[str, Any], source: str, absent: bool) -> None:
    subject = subject_of(Estate([document("h", {"s": spec})]), "s")
    assert (source in subject.absent) is absent


# -- derived facts -------------------------------------------------------------------------------------------------------------


def endpoints(**named: dict[str, Any]) -> dict[str, Any]:
    return {"http": answered(endpoints={name: {"url": "u", **value} for name, value in named.items()})}


GOOD = {"ok": True, "error_kind": None}
BAD = {"ok": False, "error_kind": "protocol", "status": 502}


@pytest.mark.parametrize(
    ("proxy", "backend", "expected"),
    [
        (GOOD, GOOD, False),
        (BAD, GOOD, True),
        (BAD, BAD, False),
        ({"ok": False, "error_kind": "tls"}, GOOD, False),
        ({"ok": False, "error_kind": "dns"}, GOOD, False),
        (BAD, None, None),
        (None, GOOD, None),
    ],
)
def test_only_the_proxy_fails(proxy: dict[str, Any] | None, backend: dict[str, Any] | None, expected: bool | None) -> None:
    sources = {"proxy": endpoints(live=proxy) if proxy else {}, "backend": endpoints(direct=backend) if backend else {}}
    assert derived(Estate([document(sources=sources)]), "proxy")["proxy_only"] is expected


@pytest.mark.parametrize(
    ("seen", "stale"),
    [(["172.18.0.9:8000"], True), (["172.18.0.5:8000"], False), (["http://172.18.0.9:8000/api", "172.18.0.5:8000"], False), ([], False), (["backend"], False)],
)
def test_address_that_the_backend_no_longer_has(seen: list[str], stale: bool) -> None:
    sources = {
        "proxy": {"logs": answered(errlog={"connect_refused": {"count": 1, "upstreams": seen}})},
        "backend": {"container": answered(networks={"appnet": {"ip": "172.18.0.5"}})},
    }
    fact = derived(Estate([document(sources=sources)]), "proxy")["upstream_ip_stale"]
    assert (fact["stale"], fact["current"]) == (stale, ["172.18.0.5"])


@pytest.mark.parametrize(
    ("newest", "live", "stale", "wrong"),
    [
        (["172.18.0.5:8000"], GOOD, False, None),
        (["172.18.0.5:8000"], BAD, False, False),
        # Another tenant answers at the address that the backend had.
        (["172.18.0.9:8000"], BAD, True, False),
        (["172.18.0.5:8001"], BAD, False, True),
        (["172.18.0.7:6379"], BAD, True, True),
        # One of two servers is right: neither is the whole trouble.
        (["172.18.0.5:8000", "172.18.0.9:9000"], BAD, False, False),
        # The port is published on the machine, whose own address is no neighbour of the containers'.
        (["10.1.2.3:18000"], BAD, False, False),
        (["unix:/run/app.sock"], BAD, False, None),
        ([], BAD, False, None),
    ],
)
def test_newest_requests_tell_where_the_proxy_goes(newest: list[str], live: dict[str, Any], stale: bool, wrong: bool | None) -> None:
    container = answered(networks={"appnet": {"ip": "172.18.0.5"}}, port=8000, ports=[{"port": 8000, "host_port": 18000}])
    sources = {
        "proxy": {"logs": answered(access={"newest_upstreams": newest}, errlog={"connect_refused": {"count": 0}}), **endpoints(live=live)},
        "backend": {"container": container, **endpoints(direct=GOOD)},
    }
    facts = derived(Estate([document(sources=sources)]), "proxy")
    assert facts["upstream_ip_stale"]["stale"] is stale
    assert (facts["upstream_port"] or {"wrong": None})["wrong"] is wrong


@pytest.mark.parametrize(
    ("newest", "others"),
    [
        (["172.18.0.5:8000"], []),
        (["172.18.0.9:9000"], ["redis"]),
        # One of two servers is right.
        (["172.18.0.5:8000", "172.18.0.9:9000"], []),
        # The backend's port: redis has the address that the backend had.
        (["172.18.0.9:8000"], []),
        # Nobody that is known.
        (["172.18.0.77:9000"], []),
        (["unix:/run/app.sock"], None),
        ([], None),
    ],
)
def test_requests_passed_on_to_another_service_are_seen_even_when_it_answers(newest: list[str], others: list[str] | None) -> None:
    sources = {
        "proxy": {"logs": answered(access={"newest_upstreams": newest}), **endpoints(live=GOOD)},
        "backend": {"container": answered(networks={"appnet": {"ip": "172.18.0.5"}}, port=8000)},
        "redis": {"container": answered(networks={"appnet": {"ip": "172.18.0.9"}})},
    }
    fact = derived(Estate([document(sources=sources)]), "proxy")["upstream_other"]
    assert (fact and fact["others"]) == others


def test_containers_without_a_common_network_are_named() -> None:
    sources = {
        "backend": {"container": answered(networks={"front": {"ip": "1"}}, running=True)},
        "db": {"container": answered(networks={"back": {"ip": "2"}}, running=True)},
        "redis": {"container": answered(networks={"front": {"ip": "3"}}, running=True)},
    }
    assert derived(Estate([document(sources=sources)]), "backend")["networks_shared"] == {"apart": ["db"], "own": ["front"]}


def stack(age_s: float, others_age_s: float = 86400.0, onset_after_s: float | None = None, signatures: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Sources of a stack whose backend was created ``age_s`` ago."""

    def created(age: float, name: str) -> dict[str, Any]:
        return answered(
            name=name,
            id=f"{name}-id",
            created_at=samples.NOW - age,
            age_s=age,
            running=True,
            networks={"appnet": {"ip": "172.18.0.5", "aliases": [name, "backend-id"]}},
            ports=[{"port": 8000, "host_ip": "127.0.0.1", "host_port": 8000}, {"port": 9000, "host_port": None}],
            restart_policy="unless-stopped",
            memory_limit=268435456,
            image="shop:v2",
        )

    onset = None if onset_after_s is None else samples.NOW - age_s + onset_after_s
    return {
        "proxy": {"container": created(others_age_s, "app-proxy")},
        "db": {"container": created(others_age_s, "app-db")},
        "backend": {"container": created(age_s, "backend"), "logs": answered(onset=onset, signatures=signatures or [], errors={"window": 10})},
    }


@pytest.mark.parametrize(
    ("age_s", "others_age_s", "onset_after_s", "kind", "correlated"),
    [
        (120, 121, None, "first", False),
        (120, 121, 5, "first", False),
        (120, 86400, None, "recreate", False),
        (120, 86400, 5, "recreate", True),
        (120, 86400, -20, "recreate", True),
        (120, 86400, -300, "recreate", False),
        (7200, 86400, 3600, "recreate", False),
    ],
    ids=["first start", "errors from the first start", "no errors", "errors after it", "clocks differ a little", "reaction to the errors", "hours later"],
)
def test_deploy_and_errors_are_compared_by_signed_time(age_s: float, others_age_s: float, onset_after_s: float | None, kind: str, correlated: bool) -> None:
    fact = derived(Estate([document(sources=stack(age_s, others_age_s, onset_after_s))]), "backend")["deploy"]
    assert (fact["kind"], fact["correlated"], fact["age_s"]) == (kind, correlated, age_s)
    assert fact["onset_after_s"] == onset_after_s


def created(kind: str, previous_image: str | None) -> dict[str, Any]:
    """What the machine says about the creation of the backend's container."""
    change = {"time": samples.NOW - 60, "age_s": 60, "what": "backend: container app-backend was created", "service": "backend"}
    return {"changes": answered(recent=[{**change, "kind": kind, "previous_image": previous_image}])}


def test_engine_that_remembers_the_image_before_makes_it_a_release() -> None:
    fact = derived(Estate([document(sources=stack(60, 60), machine=created("deploy", "shop:v1"))]), "backend")["deploy"]
    assert (fact["kind"], fact["previous_image"]) == ("release", "shop:v1")


@pytest.mark.parametrize(("kind", "previous", "same"), [("recreate", "shop:v2", True), ("recreate", None, False), ("deploy", "shop:v1", False)])
def test_same_image_is_only_told_by_somebody_who_saw_the_predecessor(kind: str, previous: str | None, same: bool) -> None:
    fact = derived(Estate([document(sources=stack(60, 3600), machine=created(kind, previous))]), "backend")["deploy"]
    assert fact["same_image"] is same


@pytest.mark.parametrize(("kind", "previous", "expected"), [("recreate", "shop:v2", "recreate"), ("recreate", None, "first"), ("deploy", None, "first")])
def test_container_that_nobody_saw_a_predecessor_of_is_the_first(kind: str, previous: str | None, expected: str) -> None:
    fact = derived(Estate([document(sources=stack(60, 60), machine=created(kind, previous))]), "backend")["deploy"]
    assert fact["kind"] == expected


def test_earlier_run_that_saw_another_image_makes_it_a_release() -> None:
    previous = {node("backend"): {"kind": "release", "previous_image": "shop:v1", "previous_image_id": "sha256:1", "previous_version": "1"}}
    fact = derived(Estate([document(sources=stack(60, 60))], previous), "backend")["deploy"]
    assert (fact["kind"], fact["previous_image"], fact["previous_version"]) == ("release", "shop:v1", "1")


def test_engine_knows_the_predecessor_better_than_an_earlier_run() -> None:
    previous = {node("backend"): {"kind": "release", "previous_image": "shop:v1", "previous_image_id": "sha256:1", "previous_version": "1"}}
    again = derived(Estate([document(sources=stack(60, 60), machine=created("recreate", "shop:v2"))], previous), "backend")["deploy"]
    assert (again["kind"], again["same_image"], again["previous_image"]) == ("recreate", True, None)
    released = derived(Estate([document(sources=stack(60, 60), machine=created("deploy", "shop:v1"))], previous), "backend")["deploy"]
    assert (released["kind"], released["previous_image_id"]) == ("release", "sha256:1")


def test_container_can_be_made_again_in_the_same_place() -> None:
    fact = derived(Estate([document(sources=stack(60))]), "backend")["deploy"]
    assert fact["run_options"] == "--network appnet -p 127.0.0.1:8000:8000 --restart unless-stopped --memory 268435456"


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("KeyError at shop/orders.py:total", True),
        ("ZeroDivisionError: division by zero", True),
        ("AttributeError at shop/cart.py:add", True),
        ("OperationalError: connection to server at app-db failed: FATAL: sorry, too many clients already", False),
        ("LockNotAvailable: canceling statement due to lock timeout", False),
        ("OutOfMemoryError: command not allowed when used memory > 'maxmemory'", False),
        ("HTTPStatusError: Server error '503 Service Unavailable' for url 'http://app-ext:9000/quote'", False),
        ("PoolTimeout: couldn't get a connection after 2.00 sec", False),
        ("ConnectError: [Errno -2] Name or service not known", False),
        ("Worker (pid:7) was sent SIGABRT!", False),
        ("Application startup failed. Exiting.", False),
    ],
)
def test_new_errors_of_other_parts_are_no_bug_of_the_service(text: str, own: bool) -> None:
    signature = {"signature": text, "count": 9, "new": True, "sample": text, "first": None, "last": None, "where": None}
    old = {**signature, "signature": "ValueError at shop/old.py:f", "sample": "", "new": False}
    sources = {"backend": {"logs": answered(signatures=[signature, old])}}
    assert bool(derived(Estate([document(sources=sources)]), "backend")["new_bugs"]) is own


@pytest.mark.parametrize(
    ("access", "bug"),
    [
        ({"requests": 900, "by_status": {"200": 700, "500": 200}}, True),
        # The container is down: users see that, and not what a job wrote before.
        ({"requests": 900, "by_status": {"200": 700, "502": 200}}, False),
        ({"requests": 900, "by_status": {"200": 900}}, False),
        ({"requests": 0, "by_status": {}}, True),
        (None, True),
    ],
)
def test_new_errors_are_a_bug_only_when_a_request_met_it(access: dict[str, Any] | None, bug: bool) -> None:
    signature = {"signature": "KeyError at shop/jobs.py:retry", "count": 9, "new": True, "sample": "", "first": None, "last": None, "where": None}
    sources = {"backend": {"logs": answered(signatures=[signature])}, "proxy": {"logs": answered(access=access)} if access else {}}
    assert bool(derived(Estate([document(sources=sources)]), "backend")["new_bugs"]) is bug


def test_changes_are_sorted_to_their_services() -> None:
    recent = [
        {"time": samples.NOW - 30, "age_s": 30, "kind": "config", "what": "proxy: /etc/nginx/tls/server.pem changed", "service": "proxy"},
        {"time": samples.NOW - 90000, "age_s": 90000, "kind": "config", "what": "proxy: /etc/nginx/nginx.conf changed", "service": "proxy"},
        {"time": samples.NOW - 30, "age_s": 30, "kind": "restart", "what": "db: container app-db was started again", "service": "db"},
    ]
    sources = stack(120, 86400)
    estate = Estate([document(sources=sources, machine={"changes": answered(recent=recent)})])
    found = [(one["kind"], one["certificate"], one["after_creation"]) for one in derived(estate, "proxy")["changes"]]
    assert found == [("config", True, True), ("config", False, False)]
    assert [one["kind"] for one in derived(estate, "db")["changes"]] == ["restart"]


@pytest.mark.parametrize(
    ("recent", "probes", "by_path", "expected"),
    [
        ({"requests": 900, "errors_5xx": 0}, {"live": {"ok": True}}, [], False),
        ({"requests": 900, "errors_5xx": 2}, {"live": {"ok": True}}, [], False),
        ({"requests": 900, "errors_5xx": 40}, {"live": {"ok": True}}, [], True),
        ({"requests": 900, "errors_5xx": 0}, {"ready": {"ok": False}}, [], True),
        # What the service itself calls an error counts where nobody else sees its requests.
        ({"requests": 900, "errors_5xx": 0}, {"live": {"ok": True}}, [{"path": "/pay", "errors": 9, "total": 10}], False),
        # Nobody asks, or nobody writes down who asks: then it can't be told.
        ({"requests": 0, "errors_5xx": 0}, {"live": {"ok": True}}, [], None),
        (None, {}, [], None),
        ({"requests": "many", "errors_5xx": "few"}, {}, [{"errors": None}, "nonsense"], None),
    ],
)
def test_errors_are_felt_when_a_request_or_a_probe_fails_above(recent: Any, probes: dict[str, Any], by_path: list[Any], expected: bool | None) -> None:
    sources = {
        "proxy": {"logs": answered(access={"recent": recent}), "http": answered(endpoints=probes)},
        "backend": {"logs": answered(by_path=by_path)},
    }
    felt = {subject.service: subject.document["derived"]["felt"] for subject in Estate([document(sources=sources)]).subjects() if subject.service}
    # Whoever calls the backend can't be asked about what only its own log tells; what it calls is judged by everybody above.
    assert (felt["backend"], felt["db"], felt["redis"]) == (expected, expected, expected)


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ({"requests": 40, "p95_ms": 2500.0}, True),
        ({"requests": 40, "p95_ms": 150.0}, False),
        ({"requests": 400, "p95_ms": 150.0, "recent": {"requests": 12, "p95_ms": 6000.0}}, True),
        # A handful of requests is no route that users wait for.
        ({"requests": 6, "p95_ms": 9000.0, "recent": {"requests": 3, "p95_ms": 9000.0}}, None),
        ({"requests": None, "p95_ms": "slow", "recent": "nonsense"}, None),
    ],
)
def test_users_wait_for_a_service_when_a_route_above_it_is_slow(route: dict[str, Any], expected: bool | None) -> None:
    sources = {"proxy": {"logs": answered(access={"routes": [{"route": "/api", **route}]})}}
    waited = {subject.service: subject.document["derived"]["waited_for"] for subject in Estate([document(sources=sources)]).subjects() if subject.service}
    assert (waited["proxy"], waited["backend"], waited["db"]) == (expected, expected, expected)


@pytest.mark.parametrize(
    ("errors", "spell", "age_s", "good", "expected"),
    [
        (16, 1200, 70, 800, False),  # a restart: hundreds of good ones since
        (16, 1200, 20, 800, True),  # too early to say
        (3, 1200, 70, 50, True),  # at that rate none would have failed since anyway
        (11, 4000, 69, 860, True),  # a few in every minute: the next may come
        (11, 800, 69, 860, False),  # the same few in one minute of as busy a shop
        (500, 1200, 50, 8, True),  # hardly anybody came since
        (16, 1200, None, None, True),
    ],
)
def test_errors_that_stopped_are_not_felt_any_more(errors: int, spell: int, age_s: float | None, good: int | None, expected: bool) -> None:
    access = {"recent": {"requests": 4000, "errors_5xx": errors, "spell": spell}, "last_error_age_s": age_s, "good_since_error": good}
    sources = {"proxy": {"logs": answered(access=access), **endpoints(live=GOOD)}}
    assert derived(Estate([document(sources=sources)]), "backend")["felt"] is expected
