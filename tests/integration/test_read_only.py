# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Triage writes nothing where it looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("healthy_lab")]

SERVICES = ["app-proxy", "app-backend", "app-db", "app-redis", "app-ext"]


def paths_changed(engine: Any, name: str) -> set[str]:
    """Paths in the container's own layer that differ from its image."""
    return {entry["Path"] for entry in engine.containers.get(name).diff() or []}


def started(engine: Any) -> dict[str, tuple[str, str, int]]:
    """What a restart or recreation of a container would change."""
    containers = {name: engine.containers.get(name).attrs for name in SERVICES}
    return {name: (about["Id"], about["State"]["StartedAt"], about["RestartCount"]) for name, about in containers.items()}


def test_no_file_in_a_container(triage: Callable[..., Any], engine: Any) -> None:
    """The containers' file systems are the same before and after, and none was restarted."""
    before = {name: paths_changed(engine, name) for name in SERVICES}, started(engine)
    assert triage().rc == 0
    assert ({name: paths_changed(engine, name) for name in SERVICES}, started(engine)) == before


def test_no_file_on_the_machine(triage: Callable[..., Any], tmp_path: Path) -> None:
    """Ansible's remote temporary directory is never even made: nothing is copied to the machine."""
    remote_tmp = tmp_path / "remote_tmp"
    run = triage("-e", f"ansible_remote_tmp={remote_tmp}", env={"ANSIBLE_REMOTE_TMP": str(remote_tmp)})
    assert run.rc == 0, run.output
    assert not remote_tmp.exists()


def test_no_write_to_redis(triage: Callable[..., Any], engine: Any) -> None:
    """Redis saw no writing command from us: the counters of all commands that could write stand still while the traffic does."""
    redis, traffic = engine.containers.get("app-redis"), engine.containers.get("app-traffic")
    traffic.pause()
    try:
        before = writes_to_redis(redis)
        assert triage().rc == 0
        assert writes_to_redis(redis) == before
    finally:
        traffic.unpause()


def writes_to_redis(redis: Any) -> dict[str, str]:
    """Calls so far of every Redis command that is neither known to only read nor to belong to a connection."""
    harmless = {"get", "info", "ping", "hello", "auth", "select", "client", "slowlog", "latency", "command", "dbsize", "memory", "role", "config"}
    answer = redis.exec_run(["redis-cli", "INFO", "commandstats"])
    assert answer.exit_code == 0, answer.output
    lines = [line for line in answer.output.decode().splitlines() if line.startswith("cmdstat_")]
    calls = {line.split(":")[0].removeprefix("cmdstat_"): line.split("calls=")[1].split(",")[0] for line in lines}
    return {name: number for name, number in calls.items() if name.split("|")[0] not in harmless}


def test_no_write_to_postgresql(triage: Callable[..., Any], engine: Any) -> None:
    """No row of the application's tables was written or locked by us, and no transaction that assigns an id was begun."""
    database, traffic = engine.containers.get("app-db"), engine.containers.get("app-traffic")
    traffic.pause()
    try:
        before = sql(database, "SELECT pg_snapshot_xmax(pg_current_snapshot())")
        assert triage().rc == 0
        assert sql(database, "SELECT pg_snapshot_xmax(pg_current_snapshot())") == before
    finally:
        traffic.unpause()


def sql(database: Any, query: str) -> str:
    """Answer of one query, as the server's superuser over its local socket."""
    answer = database.exec_run(["psql", "-XAtq", "-U", "postgres", "-d", "app_prod", "-c", query])
    assert answer.exit_code == 0, answer.output
    return answer.output.decode().strip()
