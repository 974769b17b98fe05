# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Triage writes nothing where it looks: the state of everything is the same before and after."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from ansible_collections.sre.incident_response.tests.integration.playbooks import LAB_INVENTORY, Run, run_playbook
from ansible_collections.sre.incident_response.tests.integration.servers import needs_mounts, psql, run_in, triage_below

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("healthy_lab")]

SERVICES = ("app-proxy", "app-backend", "app-db", "app-redis", "app-ext")
ATTEMPTS = 3
Lab = Callable[[str], Any]


@dataclass(frozen=True)
class Look:
    """One triage: the state of the targets before and after it, by aspect, and the engine's events meanwhile."""

    before: dict[str, Any]
    after: dict[str, Any]
    events: list[dict[str, Any]]
    run: Run


@pytest.fixture(scope="module")
def looks(engine: docker.DockerClient, container: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Look]]:
    """Triages of a lab in which nobody else does anything: as many as it takes until PostgreSQL's own housekeeping kept still, at most three."""
    traffic = container("app-traffic")
    done: list[Look] = []
    traffic.pause()
    try:
        # What was under way when the users were stopped.
        time.sleep(1)
        while len(done) < ATTEMPTS and not any(look.before["postgresql"] == look.after["postgresql"] for look in done):
            done.append(look_once(engine, container, tmp_path_factory.mktemp("look") / "incidents"))
        yield done
    finally:
        traffic.unpause()


def look_once(engine: docker.DockerClient, container: Lab, state_dir: Path) -> Look:
    """Triage once, between two pictures of everything."""
    before, started = picture(engine, container), time.time()
    run = run_playbook("triage", state_dir=state_dir)
    ended, after = time.time(), picture(engine, container)
    assert run.rc == 0, run.output
    names = [container(name).name for name in SERVICES]
    events = list(engine.events(since=started, until=ended, filters={"type": "container", "container": names}, decode=True))
    return Look(before, after, events, run)


def picture(engine: docker.DockerClient, container: Lab) -> dict[str, Any]:
    """The state of all targets, by aspect."""
    return {
        "files": {name: sorted(entry["Path"] for entry in container(name).diff() or [] if not is_server_own(entry["Path"])) for name in SERVICES},
        "containers": {name: described(container(name)) for name in SERVICES},
        "engine": {
            "images": sorted(image.id for image in engine.images.list() if any(tag.startswith("sre-lab/") for tag in image.tags)),
            "volumes": sorted(volume.name for volume in engine.volumes.list() if volume.name.startswith(container("app-db").name.removesuffix("app-db"))),
            "networks": {name: sorted(container(name).attrs["NetworkSettings"]["Networks"]) for name in SERVICES},
        },
        "redis": state_of_redis(container("app-redis")),
        "redis changes": changes_of_redis(container("app-redis")),
        "postgresql": state_of_postgresql(container("app-db")),
    }


def is_server_own(path: str) -> bool:
    """Whether a database writes there by itself all the time."""
    return path.startswith(("/var/lib/postgresql/", "/var/lib/redis/"))


def described(one: Any) -> dict[str, Any]:
    """What the engine says about a container, without what its own health checks change."""
    attributes = {key: value for key, value in one.attrs.items() if key not in ("ExecIDs", "State")}
    state = {key: value for key, value in one.attrs["State"].items() if key != "Health"}
    return {**attributes, "State": state}


def state_of_redis(redis: Any) -> dict[str, Any]:
    """Keys, settings, users, scripts and calls of commands that write; all from one answer, with the keys added again that expired so far."""
    pairs = [line.split(":", 1) for line in run_in(redis, "redis-cli", "info", "everything").splitlines() if ":" in line]
    info = {name: value.strip() for name, value in pairs}
    harmless = ("auth", "client", "command", "config", "dbsize", "get", "hello", "info", "latency", "memory", "ping", "role", "select", "slowlog", "acl")
    calls = {name.removeprefix("cmdstat_"): value.split("calls=")[1].split(",")[0] for name, value in info.items() if name.startswith("cmdstat_")}
    return {
        "keys": int(info.get("db0", "keys=0").removeprefix("keys=").split(",")[0]) + int(info["expired_keys"]),
        "config": run_in(redis, "redis-cli", "config", "get", "*"),
        "users": run_in(redis, "redis-cli", "acl", "list"),
        "scripts": info.get("number_of_cached_scripts"),
        "writes": {name: number for name, number in calls.items() if name.split("|")[0] not in harmless},
        "evicted": info["evicted_keys"],
    }


def changes_of_redis(redis: Any) -> int:
    """Changes of the data since the last save, without keys that expired: Redis counts those too."""
    numbers = dict(re.findall(r"^(rdb_changes_since_last_save|expired_keys):(\d+)", run_in(redis, "redis-cli", "info", "everything"), re.MULTILINE))
    return int(numbers["rdb_changes_since_last_save"]) - int(numbers["expired_keys"])


def state_of_postgresql(database: Any) -> dict[str, Any]:
    """Transaction ids given out, rows written, and a fingerprint of what defines the server."""
    catalogs = ("pg_class", "pg_proc", "pg_roles", "pg_database", "pg_db_role_setting", "pg_extension", "pg_namespace")
    # Statistics of tables are kept in pg_class: they are not what defines it.
    numbers = "- 'relpages' - 'reltuples' - 'relallvisible' - 'relallfrozen' - 'relfrozenxid' - 'relminmxid' - 'datfrozenxid' - 'datminmxid'"
    fingerprint = "SELECT md5(string_agg((to_jsonb(c) {numbers})::text, ' ' ORDER BY (to_jsonb(c) {numbers})::text)) FROM {catalog} c"
    return {
        "next transaction": psql(database, "SELECT pg_snapshot_xmax(pg_current_snapshot())", "app_prod"),
        "rows written": psql(database, "SELECT sum(tup_inserted), sum(tup_updated), sum(tup_deleted), sum(temp_files) FROM pg_stat_database", "app_prod"),
        "settings": psql(database, "SELECT md5(string_agg(name || '=' || setting, ' ' ORDER BY name)) FROM pg_settings", "app_prod"),
        **{catalog: psql(database, fingerprint.format(numbers=numbers, catalog=catalog), "app_prod") for catalog in catalogs},
    }


@pytest.mark.parametrize("aspect", ["files", "containers", "engine", "redis"])
def test_nothing_is_changed(aspect: str, looks: list[Look]) -> None:
    """Files in containers, containers themselves, what else the engine keeps, and Redis: the same each time."""
    for look in looks:
        assert look.after[aspect] == look.before[aspect]


def test_nothing_is_written_to_redis(looks: list[Look]) -> None:
    """By its own count of changes."""
    for look in looks:
        assert look.after["redis changes"] <= look.before["redis changes"]


def test_nothing_is_written_to_postgresql(looks: list[Look]) -> None:
    """No transaction that writes, no row, no catalog, no setting. Autovacuum may write meanwhile; what triage itself wrote would show every time."""
    pairs = [(look.before["postgresql"], look.after["postgresql"]) for look in looks]
    assert any(before == after for before, after in pairs), pairs


def test_the_pictures_show_something(looks: list[Look]) -> None:
    """Otherwise two of them would always be equal."""
    state = looks[0].before
    assert int(state["redis"]["keys"]) >= 0
    assert len(state["redis"]["config"]) > 1000
    assert int(state["postgresql"]["next transaction"]) > 0
    assert len(set(state["postgresql"].values())) == len(state["postgresql"])
    assert {service["kind"] for service in looks[0].run.report["services"]} == {"nginx", "fastapi", "postgresql", "redis", "external"}


def test_nothing_is_started_in_a_container(looks: list[Look], container: Lab) -> None:
    """The only processes that the engine started in them are their own health checks, and at most psql where the socket could not be reached."""
    checks = {container(name).id: " ".join(container(name).attrs["Config"]["Healthcheck"]["Test"][1:]) for name in SERVICES}
    for look in looks:
        for event in look.events:
            action, _colon, line = str(event["Action"]).partition(": ")
            assert action in ("exec_create", "exec_start", "exec_die", "exec_detach", "health_status"), event
            if action in ("exec_create", "exec_start"):
                assert line.strip() == checks[event["Actor"]["ID"]] or line.startswith("psql "), event


def test_no_module_is_copied_to_the_machine(triage: Callable[..., Any], tmp_path: Path) -> None:
    """Ansible's remote temporary directory is never even made."""
    remote_tmp = tmp_path / "remote_tmp"
    run = triage("-e", f"ansible_remote_tmp={remote_tmp}", env={"ANSIBLE_REMOTE_TMP": str(remote_tmp)})
    assert run.rc == 0, run.output
    assert not remote_tmp.exists()


@needs_mounts
def test_no_file_on_the_machine(tmp_path: Path, memory: Path) -> None:
    """Triage sees the machine's root through a layer that collects every write: at the end nothing is in it."""
    box, state_dir, written = tmp_path / "box", tmp_path / "incidents", tmp_path / "incidents/written"
    for folder in (box, state_dir):
        folder.mkdir()
    preparation = [
        f"mount -t tmpfs none {box}",
        f"mkdir {box}/upper {box}/work {box}/root",
        f"mount -t overlay overlay -o lowerdir=/,upperdir={box}/upper,workdir={box}/work {box}/root",
        f"for folder in proc sys dev run; do mount --rbind /$folder {box}/root/$folder; done",
        f"mount --bind {state_dir} {box}/root{state_dir}",
        # That the layer does collect writes is shown by one of our own.
        f"chroot {box}/root touch {tmp_path}/canary",
        f'chroot {box}/root "$@"',
    ]
    done = triage_below("\n".join(preparation), LAB_INVENTORY, state_dir, memory, f"find {box}/upper ! -type d > {written}")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((state_dir / "latest/report.json").read_text(encoding="utf-8"))
    assert {service["kind"] for service in report["services"]} == {"nginx", "fastapi", "postgresql", "redis", "external"}
    # Ansible itself names every controller by libuuid, which may keep a counter in a file.
    paths = {line.removeprefix(f"{box}/upper") for line in written.read_text(encoding="utf-8").splitlines() if not line.endswith("/libuuid/clock.txt")}
    assert paths == {f"{tmp_path}/canary"}
