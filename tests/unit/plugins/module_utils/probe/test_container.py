# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source container: state, and what the events say about who stopped it and how often it died."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import container
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Container, Service, SourceError
from ansible_collections.sre.incident_response.plugins.module_utils.probe.times import epoch
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import (
    STOPPED,
    FakeDocker,
    context,
    event,
    inspect_document,
)

SERVICE = Service("backend", "fastapi", {"container": "app", "url": "http://127.0.0.1:8000"})
NOW = epoch("2026-11-23T10:31:00Z") or 0.0
DIED = NOW - 60


def collected(document: dict[str, Any], events: list[dict[str, Any]] | None = None, service: Service = SERVICE) -> dict[str, Any]:
    docker = FakeDocker([document], events)
    docker.documents["/images/sha256:abc/json"] = {"Created": "2026-11-22T08:00:00Z"}
    return container.collect(context(docker=docker, service=service, now=NOW))


def test_a_running_container() -> None:
    data = collected(
        inspect_document(
            Config={"Labels": {"org.opencontainers.image.version": "v2", "org.opencontainers.image.revision": "abc"}, "Env": ["A=1"], "Image": "shop/app:2"},
            HostConfig={"Memory": 1024, "RestartPolicy": {"Name": "always"}, "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}}},
            NetworkSettings={
                "Ports": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18000"}], "9/udp": None},
                "Networks": {"appnet": {"IPAddress": "172.18.0.9", "Aliases": ["app"]}},
            },
            Health={"Status": "unhealthy", "FailingStreak": 3, "Log": [{"Output": "old"}, {"Output": "curl: (7)"}]},
            Mounts=[{"Type": "bind", "Source": "/srv/x", "Destination": "/x", "RW": False, "Mode": ""}],
        )
    )
    assert set(container.FIELDS) <= set(data)
    assert (data["name"], data["status"], data["running"], data["exit_code"], data["restart_policy"]) == ("app", "running", True, None, "always")
    assert (data["version"], data["revision"], data["log_driver"], data["log_max_size"]) == ("v2", "abc", "json-file", "10m")
    assert (data["age_s"], data["up_s"], data["down_s"]) == (1859.9, 1858.5, None)
    assert data["created_at"] == "2026-11-23T10:00:00.123457Z"
    assert data["image_created_at"] == "2026-11-22T08:00:00.000000Z"
    assert (data["health"], data["health_failing_streak"], data["health_output"]) == ("unhealthy", 3, "curl: (7)")
    assert data["networks"] == {"appnet": {"ip": "172.18.0.9", "aliases": ["app"]}}
    assert data["mounts"] == [{"type": "bind", "source": "/srv/x", "destination": "/x", "rw": False}]
    assert data["ports"][0] == {"port": 8000, "protocol": "tcp", "host_ip": "127.0.0.1", "host_port": 18000}
    assert data["memory_limit"] == 1024
    assert data["stopped_by_operator"] is False


def test_a_container_that_does_not_exist_is_an_answer() -> None:
    docker = FakeDocker([inspect_document("app-backend"), inspect_document("app-redis"), inspect_document("elsewhere")])
    data = container.collect(context(docker=docker, service=Service("db", "redis", {"container": "app-rediss"}), now=NOW))
    assert set(container.FIELDS) <= set(data)
    assert (data["status"], data["running"], data["name"]) == ("missing", False, "app-rediss")
    assert data["similar"] == ["app-redis"]


def test_an_engine_that_can_not_be_asked_is_no_missing_container() -> None:
    refused = SourceError("absent", "there is no Docker socket")
    with pytest.raises(SourceError, match="no Docker socket"):
        container.collect(context(docker=FakeDocker(refused=refused), service=SERVICE))


def actions(*steps: tuple[float, str, dict[str, str]]) -> list[dict[str, Any]]:
    return [event(DIED + offset, action, **attributes) for offset, action, attributes in steps]


STOP = actions((-0.1, "kill", {"signal": "15"}), (0, "die", {"exitCode": "143"}), (0.1, "stop", {}))
STOP_THE_HARD_WAY = actions((-10, "kill", {"signal": "15"}), (-0.1, "kill", {"signal": "9"}), (0, "die", {"exitCode": "137"}), (0.1, "stop", {}))
KILL = actions((-0.1, "kill", {"signal": "9"}), (0, "die", {"exitCode": "137"}))
CRASH = actions((0, "die", {"exitCode": "1"}))
OOM = actions((-0.1, "oom", {}), (0, "die", {"exitCode": "137"}))
RELOADED_LONG_BEFORE = actions((-300, "kill", {"signal": "1"}), (0, "die", {"exitCode": "139"}))
OTHER_CONTAINER = [event(DIED, "die", container_id="0" * 64), event(DIED - 0.1, "kill", container_id="0" * 64, signal="9")]


@pytest.mark.parametrize(
    ("events", "policy", "expected"),
    [
        (STOP, "no", True),
        (STOP_THE_HARD_WAY, "no", True),
        (KILL, "no", True),
        (CRASH, "no", False),
        (OOM, "no", False),
        (RELOADED_LONG_BEFORE, "no", False),
        (OTHER_CONTAINER, "no", None),
        ([], "no", None),
        # The engine's memory of events is short; but it would have started this one again by itself.
        ([], "unless-stopped", True),
    ],
)
def test_who_stopped_it(events: list[dict[str, Any]], policy: str, expected: bool | None) -> None:
    data = collected(inspect_document(**STOPPED, ExitCode=137, HostConfig={"RestartPolicy": {"Name": policy}}), events)
    assert data["stopped_by_operator"] is expected
    assert (data["exit_code"], data["down_s"]) == (137, 60.0)


CRASH_LOOP = [step for offset in (0, 20, 40) for step in actions((offset, "die", {"exitCode": "1"}), (offset + 1, "start", {}))]


@pytest.mark.parametrize(
    ("changes", "events", "expected"),
    [
        ({}, [], 0),
        ({"RestartCount": 3}, CRASH_LOOP, 3),
        ({**STOPPED, "Status": "restarting", "RestartCount": 3}, [*CRASH_LOOP, event(DIED + 55, "die", exitCode="1")], 4),
        # Died and stays dead: that is no restart.
        (STOPPED, CRASH, 0),
        ({}, [*STOP, *actions((0.2, "start", {}), (0.3, "restart", {}))], 0),
        ({}, [event(NOW - 3600, "die", exitCode="1")], 0),
        # Events are gone: a policy's restart still shows in the count and the start time.
        ({"RestartCount": 2, "StartedAt": "2026-11-23T10:29:00Z"}, [], 1),
        ({"RestartCount": 2}, [], 0),
    ],
)
def test_restarts_follow_deaths_that_nobody_ordered(changes: dict[str, Any], events: list[dict[str, Any]], expected: int) -> None:
    assert collected(inspect_document(**changes), events)["restarts_15m"] == expected


@pytest.mark.parametrize(
    ("changes", "events", "count", "recent"),
    [
        ({}, [], 0, False),
        ({}, OOM, 1, True),
        ({**STOPPED, "OOMKilled": True}, [], 0, True),
        # The flag stays after an automatic restart: without a recent end it says nothing.
        ({"OOMKilled": True, "FinishedAt": "2026-11-20T00:00:00Z"}, [], 0, False),
        ({}, [event(NOW - 7200, "oom")], 0, False),
    ],
)
def test_an_oom_kill_has_a_time(changes: dict[str, Any], events: list[dict[str, Any]], count: int, recent: bool) -> None:
    data = collected(inspect_document(**changes), events)
    assert (data["oom_events_30m"], data["oom_recent"]) == (count, recent)


@pytest.mark.parametrize(
    ("spec", "document", "port"),
    [
        ({"port": 9999}, {}, 9999),
        ({"url": "http://127.0.0.1:18000"}, {"NetworkSettings": {"Ports": {"8080/tcp": [{"HostIp": "", "HostPort": "18000"}]}}}, 8080),
        ({"url": "https://shop"}, {"NetworkSettings": {"Ports": {"8443/tcp": [{"HostIp": "", "HostPort": "443"}]}}}, 8443),
        ({}, {"Config": {"ExposedPorts": {"5000/tcp": {}, "53/udp": {}}}}, 5000),
        ({}, {"Config": {"ExposedPorts": {"5000/tcp": {}, "8000/tcp": {}}}}, 8000),
        ({}, {}, 8000),
        ({"url": "http://[broken"}, {}, 8000),
    ],
)
def test_the_port_inside_the_container(spec: dict[str, Any], document: dict[str, Any], port: int) -> None:
    assert container.service_port(Service("backend", "fastapi", spec), Container(inspect_document(**document))) == port


def test_the_environment_shows_only_as_a_hash() -> None:
    data = collected(inspect_document(Config={"Env": ["DATABASE_URL=postgresql://app:hunter2@db/x"]}))
    assert "hunter2" not in str(data)
    assert data["env_hash"] == container.env_hash(["DATABASE_URL=postgresql://app:hunter2@db/x"])
    assert data["env_hash"] != container.env_hash(["DATABASE_URL=postgresql://app:other@db/x"])
