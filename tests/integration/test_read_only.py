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


def paths_changed(container: Callable[[str], Any], name: str) -> set[str]:
    """Paths in the container's own layer that differ from its image."""
    return {entry["Path"] for entry in container(name).diff() or []}


def started(container: Callable[[str], Any]) -> dict[str, tuple[str, str, int]]:
    """What a restart or recreation of a container would change."""
    attributes = {name: container(name).attrs for name in SERVICES}
    return {name: (about["Id"], about["State"]["StartedAt"], about["RestartCount"]) for name, about in attributes.items()}


def test_no_file_in_a_container(triage: Callable[..., Any], container: Callable[[str], Any]) -> None:
    """The containers' file systems are the same before and after, and none was restarted."""
    before = {name: paths_changed(container, name) for name in SERVICES}, started(container)
    assert triage().rc == 0
    assert ({name: paths_changed(container, name) for name in SERVICES}, started(container)) == before


def test_no_file_on_the_machine(triage: Callable[..., Any], tmp_path: Path) -> None:
    """Ansible's remote temporary directory is never even made: nothing is copied to the machine."""
    remote_tmp = tmp_path / "remote_tmp"
    run = triage("-e", f"ansible_remote_tmp={remote_tmp}", env={"ANSIBLE_REMOTE_TMP": str(remote_tmp)})
    assert run.rc == 0, run.output
    assert not remote_tmp.exists()


def test_no_write_to_redis(triage: Callable[..., Any], container: Callable[[str], Any]) -> None:
    """Redis saw no writing command from us: the counters of all commands that could write stand still while the traffic does."""
    redis, traffic = container("app-redis"), container("app-traffic")
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


def test_no_write_to_postgresql(triage: Callable[..., Any], container: Callable[[str], Any]) -> None:
    """Triage begins no transaction that writes: those, and only those, are given an id."""
    database, traffic = container("app-db"), container("app-traffic")
    traffic.pause()
    try:
        # Autovacuum or a request that was on its way may write meanwhile. What triage itself wrote would show every time.
        assert any(transactions_during(triage, database) == 0 for _attempt in range(3))
    finally:
        traffic.unpause()


def transactions_during(triage: Callable[..., Any], database: Any) -> int:
    """How many transaction ids were given out while triage ran."""
    before = int(sql(database, "SELECT pg_snapshot_xmax(pg_current_snapshot())"))
    assert triage().rc == 0
    return int(sql(database, "SELECT pg_snapshot_xmax(pg_current_snapshot())")) - before


def sql(database: Any, query: str) -> str:
    """Answer of one query, as the server's superuser over its local socket."""
    answer = database.exec_run(["psql", "-XAtq", "-U", "postgres", "-d", "app_prod", "-c", query])
    assert answer.exit_code == 0, answer.output
    return answer.output.decode().strip()
