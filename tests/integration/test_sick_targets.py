# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that are full, busy, frozen or broken: triage still answers, in time, and says what it could not see."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import DEFAULT_OPTIONS
from ansible_collections.sre.incident_response.tests.integration.playbooks import run_playbook
from ansible_collections.sre.incident_response.tests.integration.servers import (
    Servers,
    address,
    as_root,
    eventually,
    inventory,
    needs_mounts,
    psql,
    ready_database,
    run_in,
    triage_below,
)

pytestmark = pytest.mark.integration

# What the probe may take, and what a busy machine adds to it.
ANSWERS_WITHIN_S = float(DEFAULT_OPTIONS["budget_s"]) + 10.0


def evidence_of(run: Any) -> dict[str, Any]:
    """The evidence document of the run's only machine."""
    (path,) = (run.state_dir / "latest/evidence/hosts").glob("*.json")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def states(run: Any, service: str) -> dict[str, str]:
    """Severity, or state, of each check of one service."""
    return {finding["id"]: finding["severity"] or finding["state"] for finding in run.report["findings"] if finding["service"] == service}


def summary(run: Any, check: str) -> str:
    """What the one finding of a check says."""
    (finding,) = run.findings(check)
    return f"{finding['summary']} {' '.join(evidence['text'] for evidence in finding['evidence'])}"


# -- PostgreSQL without any slot -----------------------------------------------------------------------------------------------------

LEAK = """
import socket, sys, time
import psycopg
held = []
while True:
    try:
        held.append(psycopg.connect(host=sys.argv[1], user="leaky", password="leaky", dbname="app_prod", connect_timeout=3))
    except psycopg.OperationalError:
        time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def full_database(start: Callable[..., Any]) -> tuple[Any, Any]:
    """A server of which one client holds every slot, those for administrators too, and that client."""
    settings = r"max_connections = 12\nsuperuser_reserved_connections = 2\nmax_wal_senders = 0\n"
    database = start("db", ["sh", "-c", f"printf '{settings}' >> /opt/lab/postgresql.lab.conf && exec sh /opt/lab/entrypoint.sh"])
    ready_database(database)
    psql(database, "CREATE ROLE leaky LOGIN PASSWORD 'leaky'; CREATE ROLE monitor LOGIN PASSWORD 'monitor' IN ROLE pg_monitor")
    client = start("backend", ["-c", LEAK, address(database)], entrypoint="python3")
    eventually(lambda: psql(database, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'leaky'") == "10")
    # The slots for administrators last, and again whenever one is free.
    for _number in range(2):
        database.exec_run(["sh", "-c", "while :; do psql -XqU postgres -c 'SELECT pg_sleep(600)'; sleep 0.05; done"], user="postgres", detach=True)
    eventually(lambda: database.exec_run(["psql", "-XqU", "postgres", "-c", "SELECT 1"], user="postgres")[0] != 0)
    return database, client


@as_root
def test_all_slots_taken_and_nobody_can_log_in(full_database: tuple[Any, Any], triage: Callable[..., Any], tmp_path: Path) -> None:
    """Neither the monitoring role nor an administrator gets a session; the leaking client is named, and no command needs a session."""
    database, client = full_database
    spec = {"kind": "postgresql", "container": database.name, "database": "app_prod", "login_user": "monitor", "login_password": "monitor"}
    run = triage(inventory=inventory(tmp_path, {"db": spec}))
    assert run.rc == 0, run.output
    data = evidence_of(run)["services"]["db"]["sources"]["postgresql"]["data"]
    assert {attempt["sqlstate"] for attempt in data["attempts"]} == {"53300"}
    assert states(run, "db")["pg.conn.refused"] == states(run, "db")["pg.conn.no_admin_slot"] == "critical"
    for name in (client.name, address(client), "leaky"):
        assert name in summary(run, "pg.conn.leak")
    diagnosis = run.report["diagnosis"][0]
    assert (diagnosis["pattern"], diagnosis["service"]) == ("db_connections_exhausted", "db")
    assert client.name in run.output.replace("\n", " ")
    proposal = run.report["proposals"][0]
    assert "psql" not in proposal["command"]
    assert proposal["target"]["client_container"] == client.name
    listed = subprocess.run(["sh", "-c", proposal["command"]], capture_output=True, text=True, timeout=30, check=True)
    assert "postgres: leaky app_prod" in listed.stdout


# -- Redis in every bad mood, and containers at their limits --------------------------------------------------------------------------

# Each key takes a while to load, and Redis looks at its clients in between.
SLOW_LOAD = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"]
FULL_OF_PROCESSES = """
import http.server, subprocess
try:
    while True:
        subprocess.Popen(["sleep", "600"])
except OSError:
    pass
http.server.ThreadingHTTPServer = http.server.HTTPServer
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"status": "ok"}')
http.server.HTTPServer(("", 8000), Answer).serve_forever()
"""


class SickMachine:
    """One machine on which everything is broken in another way; triage looked at it once."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.stack = ExitStack()
        self.servers = servers
        services = {
            "full": self.redis_without_a_free_client(),
            "busy": self.redis_with_an_endless_script(),
            "loading": self.redis_that_loads(),
            "frozen": self.redis_that_is_stopped(),
            "paused": self.redis_that_is_paused(),
            "readonly": self.redis_with_a_read_only_root(),
            "diskfull": self.redis_on_a_full_disk(),
            "crowded": self.application_without_a_free_process(),
        }
        started = time.monotonic()
        self.run = run_playbook("triage", state_dir=folder / "incidents", inventory=inventory(folder, services))
        self.took = time.monotonic() - started

    def start_redis(self, *arguments: str, **options: Any) -> Any:
        container = self.servers.start("redis", ["redis-server", "/opt/lab/redis.conf", *arguments] if arguments else None, **options)
        eventually(lambda: container.exec_run(["redis-cli", "ping"])[1] == b"PONG\n")
        return container

    @staticmethod
    def spec(container: Any) -> dict[str, Any]:
        return {"kind": "redis", "container": container.name}

    def redis_without_a_free_client(self) -> dict[str, Any]:
        container = self.start_redis("--maxclients", "3")
        for _number in range(3):
            self.stack.enter_context(socket.create_connection((address(container), 6379), 5))
        return self.spec(container)

    def redis_with_an_endless_script(self) -> dict[str, Any]:
        container = self.start_redis("--busy-reply-threshold", "100", nano_cpus=300_000_000)
        container.exec_run(["redis-cli", "eval", "while true do end", "0"], detach=True)
        eventually(lambda: b"BUSY" in container.exec_run(["redis-cli", "-t", "5", "ping"])[1])
        return self.spec(container)

    def redis_that_loads(self) -> dict[str, Any]:
        container = self.start_redis(*SLOW_LOAD)
        run_in(container, "redis-cli", "eval", "for i = 1, 20000 do redis.call('set', 'key:' .. i, string.rep('x', 100)) end", "0")
        run_in(container, "redis-cli", "save")
        container.restart(timeout=5)
        eventually(lambda: b"LOADING" in container.exec_run(["redis-cli", "-t", "5", "ping"])[1])
        return self.spec(container)

    def redis_that_is_stopped(self) -> dict[str, Any]:
        container = self.start_redis()
        container.kill("SIGSTOP")
        return self.spec(container)

    def redis_that_is_paused(self) -> dict[str, Any]:
        container = self.start_redis()
        container.pause()
        return self.spec(container)

    def redis_with_a_read_only_root(self) -> dict[str, Any]:
        return self.spec(self.start_redis(read_only=True))

    def redis_on_a_full_disk(self) -> dict[str, Any]:
        container = self.start_redis("--save", "3600 1", "--dir", "/full", tmpfs={"/full": "size=1m,mode=1777"})
        run_in(container, "sh", "-c", "head -c 2000000 /dev/zero > /full/filler || true")
        run_in(container, "redis-cli", "set", "a", "1")
        container.exec_run(["redis-cli", "bgsave"])
        eventually(lambda: "rdb_last_bgsave_status:err" in run_in(container, "redis-cli", "info", "persistence"))
        return self.spec(container)

    def application_without_a_free_process(self) -> dict[str, Any]:
        container = self.servers.start("backend", ["-c", FULL_OF_PROCESSES], entrypoint="python3", pids_limit=20)
        url = f"http://{address(container)}:8000"
        eventually(lambda: subprocess.run(["curl", "-fsS", "-m", "2", "-o", "/dev/null", url], capture_output=True, check=False).returncode == 0)
        return {"kind": "fastapi", "container": container.name, "url": url}


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SickMachine]:
    """The machine, and what triage said about it."""
    with Servers() as servers:
        machine = SickMachine(servers, tmp_path_factory.mktemp("sick"))
        with machine.stack:
            yield machine


def test_triage_of_a_sick_machine_ends_in_time(sick: SickMachine) -> None:
    """Eight broken targets cost no more than the slowest of them."""
    assert sick.run.rc == 0, sick.run.output
    assert "Traceback" not in sick.run.output
    assert evidence_of(sick.run)["duration_s"] < ANSWERS_WITHIN_S
    assert sick.run.report["diagnosis"]


@as_root
def test_redis_at_maxclients_names_who_holds_the_connections(sick: SickMachine) -> None:
    """From the kernel's table, because Redis has no slot left for anybody."""
    assert states(sick.run, "full")["redis.clients.used_pct"] == "critical"
    assert "by address" in summary(sick.run, "redis.clients.used_pct")


@pytest.mark.parametrize(
    ("service", "check", "words"),
    [
        ("busy", "redis.reply.busy", "BUSY"),
        ("loading", "redis.reply.loading", "loading"),
        ("frozen", "redis.up", "no answer"),
        ("paused", "redis.up", "paused"),
        ("diskfull", "redis.reply.misconf", "save failed"),
    ],
)
def test_each_mood_of_redis_has_its_own_name(sick: SickMachine, service: str, check: str, words: str) -> None:
    """What it still says, or that it says nothing, is a finding of its own; what needs an answer is unknown, never ok."""
    assert states(sick.run, service)[check] == "critical"
    (finding,) = [one for one in sick.run.findings(check) if one["service"] == service]
    assert words in finding["summary"]
    if service in ("busy", "frozen", "paused"):
        assert "ok" not in {states(sick.run, service).get(name) for name in ("redis.mem.used_pct", "redis.mem.noeviction_full", "redis.evictions")}


def test_a_full_volume_is_measured(sick: SickMachine) -> None:
    """Without writing anything there."""
    data = evidence_of(sick.run)["services"]["diskfull"]["sources"]["volume"]
    assert data["ok"], data
    assert data["data"]["used_pct"] > 99


def test_a_read_only_root_hides_nothing(sick: SickMachine) -> None:
    """Nothing is ever written into a container, so nothing is missing."""
    found = states(sick.run, "readonly")
    assert found["redis.up"] == found["redis.mem.noeviction_full"] == "ok"
    assert "unknown" not in found.values(), found


@as_root
def test_a_container_without_a_free_process_is_looked_into_from_outside(sick: SickMachine) -> None:
    """Nothing can be started in it any more."""
    assert states(sick.run, "crowded")["backend.pids"] == "critical"


# -- the engine, the disk and the root of the machine itself --------------------------------------------------------------------------


@pytest.fixture
def silent_engine(tmp_path: Path) -> Iterator[Path]:
    """A socket that accepts every connection and never says a word, as a hung engine does."""
    path = tmp_path / "engine.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(200)
    kept: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                kept.append(listener.accept()[0])
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield path
    listener.close()
    for connection in kept:
        connection.close()


def test_an_engine_that_hangs_costs_its_own_time_limit_and_nothing_else(
    silent_engine: Path, triage: Callable[..., Any], start: Callable[..., Any], tmp_path: Path
) -> None:
    """What can be asked without the engine is answered; everything else says why it is not."""
    cache = start("redis")
    eventually(lambda: cache.exec_run(["redis-cli", "ping"])[1] == b"PONG\n")
    services = {
        "cache": {"kind": "redis", "container": cache.name, "host": address(cache), "port": 6379},
        "shop": {"kind": "fastapi", "container": "shop", "url": "http://127.0.0.1:9"},
    }
    run = triage(inventory=inventory(tmp_path, services), env={"DOCKER_HOST": f"unix://{silent_engine}"})
    assert run.rc == 0, run.output
    assert evidence_of(run)["duration_s"] < ANSWERS_WITHIN_S
    assert states(run, "cache")["redis.up"] == "ok"
    assert states(run, "shop")["http.live"] == "critical"
    assert [finding["severity"] for finding in run.findings("docker.engine")] == ["critical"]
    unseen = [entry["reason"] for entry in run.report["run"]["not_assessed"] if entry["service"] == "shop"]
    assert any("did not answer" in reason for reason in unseen), unseen


@needs_mounts
def test_a_full_disk_of_the_machine(start: Callable[..., Any], tmp_path: Path, memory: Path) -> None:
    """The disk that holds the state directory has no byte left: the run is kept elsewhere and says so."""
    cache = start("redis")
    full = tmp_path / "full"
    full.mkdir()
    where = inventory(tmp_path, {"cache": {"kind": "redis", "container": cache.name}})
    done = triage_below(f"mount -t tmpfs -o size=1m none {full}\nhead -c 2000000 /dev/zero > {full}/filler || true", where, full / "incidents", memory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No space left on device" in done.stdout + done.stderr
    report = Path(done.stdout.strip().splitlines()[-1])
    assert report.is_file()
    findings = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))["findings"]
    assert [finding["id"] for finding in findings if finding["id"] == "redis.up" and finding["state"] == "ok"]


@needs_mounts
def test_a_read_only_root_of_the_machine(start: Callable[..., Any], tmp_path: Path, memory: Path) -> None:
    """Nothing on the machine can be written but the folder for the report: triage misses nothing, so it writes nothing else."""
    cache = start("redis")
    state_dir = tmp_path / "incidents"
    state_dir.mkdir()
    where = inventory(tmp_path, {"cache": {"kind": "redis", "container": cache.name}})
    keep = f"mount --bind {state_dir} {state_dir}"
    lock = "for mount in $(findmnt --noheadings --raw --output TARGET --types ext4,xfs,btrfs,overlay,tmpfs); do case $mount in"
    lock += f' /dev*|{state_dir}) ;; *) mount -o remount,bind,ro "$mount" ;; esac; done'
    done = triage_below(f"{keep}\n{lock}\n! touch {tmp_path}/canary 2>/dev/null", where, state_dir, memory)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((state_dir / "latest/report.json").read_text(encoding="utf-8"))
    assert [finding["id"] for finding in report["findings"] if finding["id"] == "redis.up" and finding["state"] == "ok"]
    assert not [entry for entry in report["run"]["not_assessed"] if entry["serious"]]
