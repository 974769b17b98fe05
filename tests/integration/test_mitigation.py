# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending sessions on a real server: exactly the one that was meant, whoever stands around it, and only once, whoever else responds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import pg_act
from ansible_collections.sre.incident_response.plugins.module_utils.probe.answer import told
from ansible_collections.sre.incident_response.tests.integration.lock_stage import PASSWORD, SCENARIOS, Scenario, Stage, crowd, start_server
from ansible_collections.sre.incident_response.tests.integration.playbooks import PROJECT, STREAMS, Run, command, environment
from ansible_collections.sre.incident_response.tests.integration.servers import eventually, inventory, psql

pytestmark = pytest.mark.integration

MANY = 200
# From then on a wait is a finding.
WAIT_S = 5.5


@pytest.fixture(scope="module")
def server(start: Callable[..., Any]) -> Any:
    """A PostgreSQL of this module's own."""
    return start_server(start)


@pytest.fixture(scope="module")
def one_stage(server: Any) -> Iterator[Stage]:
    """The module's stage."""
    stage = Stage(server)
    yield stage
    stage.close()


@pytest.fixture
def stage(one_stage: Stage) -> Iterator[Stage]:
    """An empty stage, and empty again afterwards."""
    yield one_stage
    one_stage.clear()


@pytest.fixture
def act(server: Any) -> Callable[..., dict[str, Any]]:
    """Function that asks the program on the machine to act on what the values name."""
    services = {"db": {"kind": "postgresql", "container": server.name, "database": "stage"}}

    def do(operation: str, values: dict[str, Any], **spec: Any) -> dict[str, Any]:
        wanted = {"services": {"db": {**services["db"], **spec}}, "service": "db", "operation": operation, "act": True, "options": {"budget_s": 30.0}}
        return told(pg_act.answer, {**wanted, "values": {"min_idle_s": 0, "least_query_s": 0, "least_used_pct": 0, "protected": "", **values}})

    return do


def everybody(stage: Stage) -> dict[int, tuple[str, str]]:
    """Name and start of every session of the stage's actors."""
    rows = stage.ask("SELECT pid, application_name, backend_start::text FROM pg_stat_activity WHERE usename = 'worker'")
    return {pid: (name, start) for pid, name, start in rows}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nobody_but_the_root_can_be_ended(scenario: Scenario, stage: Stage, act: Callable[..., dict[str, Any]]) -> None:
    """Each session in turn is named as the one to end: only the one at the front of the queue is; who waits or only stands by never."""
    scenario.play(stage, scenario.name)
    before = everybody(stage)
    roots = set() if scenario.prepared else stage.pids(scenario.root)
    for pid, (name, start) in before.items():
        if pid not in roots:
            answer = act("terminate_blocker", {"pid": pid, "backend_start": start})
            assert (answer["ok"], answer["done"]) == (True, []), f"{name} was ended: {answer}"
    assert everybody(stage) == before
    for pid in roots:
        answer = act("terminate_blocker", {"pid": pid, "backend_start": before[pid][1]})
        assert (answer["done"], answer["gone"]) == ([pid], True), answer
        assert act("terminate_blocker", {"pid": pid, "backend_start": before[pid][1]})["done"] == []
    assert set(before) - set(everybody(stage)) == roots


def test_of_two_hundred_and_one_exactly_one_is_ended(stage: Stage, act: Callable[..., dict[str, Any]]) -> None:
    crowd(stage, "crowd", MANY)
    (pid,) = stage.pids("crowd-holder")
    before = everybody(stage)
    assert act("terminate_blocker", {"pid": pid, "backend_start": before[pid][1]})["done"] == [pid]
    assert set(before) - set(everybody(stage)) == {pid}
    eventually(lambda: stage.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'worker'")[0][0] == 0)


@pytest.mark.parametrize(
    "values",
    [
        {"backend_start": "2020-01-01T00:00:00Z"},
        {"backend_start": ""},
        {"min_idle_s": 3600},
        {"protected": "backup,worker"},
        {"pid": 1},
    ],
    ids=lambda values: next(iter(values)),
)
def test_what_does_not_fit_is_left_alone(values: dict[str, Any], stage: Stage, act: Callable[..., dict[str, Any]]) -> None:
    """Another start, none, too short, a protected role, another process."""
    crowd(stage, "crowd")
    (pid,) = stage.pids("crowd-holder")
    before = everybody(stage)
    answer = act("terminate_blocker", {"pid": pid, "backend_start": before[pid][1], **values})
    assert (answer["ok"], answer["done"]) == (True, []), answer
    assert everybody(stage) == before


@pytest.mark.parametrize("way", [{}, {"login_user": "postgres"}, {"login_user": "worker", "login_password": PASSWORD}])
def test_a_superuser_is_never_ended(way: dict[str, str], stage: Stage, server: Any, act: Callable[..., dict[str, Any]]) -> None:
    """Even when a superuser asks."""
    psql(server, "CREATE TABLE IF NOT EXISTS guarded (id int); ALTER TABLE guarded OWNER TO worker", "stage")
    hold = "BEGIN; LOCK TABLE guarded IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)"
    shell = subprocess.Popen(["docker", "exec", "-u", "postgres", server.name, "psql", "-X", "-d", "stage", "-c", hold], stdout=subprocess.DEVNULL)
    query = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE left(query, 25) = 'BEGIN; LOCK TABLE guarded'"
    try:
        ((pid, start),) = eventually(lambda: stage.ask(query))
        stage.waits("waiter", "SELECT count(*) FROM guarded")
        answer = act("terminate_blocker", {"pid": pid, "backend_start": start, "active": "yes"}, **way)
        assert answer.get("done", []) == [], answer
        assert stage.ask(query), "the superuser's session is gone"
    finally:
        psql(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE left(query, 25) = 'BEGIN; LOCK TABLE guarded'")
        shell.wait()


def test_the_declared_login_for_mitigations_is_the_only_one(stage: Stage, server: Any, act: Callable[..., dict[str, Any]]) -> None:
    """It has no more rights than that takes; when it does not exist nobody else's is used instead."""
    exists = "SELECT FROM pg_roles WHERE rolname = 'signaller'"
    psql(server, f"DO $$ BEGIN IF NOT EXISTS ({exists}) THEN CREATE ROLE signaller LOGIN PASSWORD '{PASSWORD}'; END IF; END $$")
    psql(server, "GRANT pg_monitor, pg_signal_backend TO signaller")
    crowd(stage, "crowd")
    (pid,) = stage.pids("crowd-holder")
    values = {"pid": pid, "backend_start": everybody(stage)[pid][1]}
    refused = act("terminate_blocker", values, mitigation_user="nobody_here", mitigation_password=PASSWORD)
    assert refused["ok"] is False
    assert "nobody_here" in refused["reason"]
    assert pid in everybody(stage)
    answer = act("terminate_blocker", values, mitigation_user="signaller", mitigation_password=PASSWORD)
    assert (answer["done"], answer["user"]) == ([pid], "signaller")


def test_only_the_query_that_was_seen_is_cancelled(stage: Stage, act: Callable[..., dict[str, Any]]) -> None:
    """A query that began after the triage looked is another one."""
    crowd(stage, "crowd", 2)
    pid, bystander = sorted(stage.pids("crowd-waiter"))
    start = everybody(stage)[pid][1]
    assert act("cancel_query", {"pid": pid, "backend_start": start, "least_query_s": 3600})["done"] == []
    assert act("cancel_query", {"pid": pid, "backend_start": start, "waiting": "yes"})["done"] == [pid]
    states = dict(stage.ask("SELECT pid, state FROM pg_stat_activity WHERE pid = ANY (%s)", [pid, bystander]))
    assert states[bystander] == "active"
    assert states[pid] != "active"


def test_hostile_names_are_only_names(stage: Stage, act: Callable[..., dict[str, Any]]) -> None:
    """Quotes, backslashes and options in an application's name reach the server as its name and as nothing else."""
    name = "a'; DROP TABLE x; -- \\ -c sre.most=50 {{ 1 }} $$"
    for _number in range(5):
        stage.holds(name)
    stage.holds("bystander")
    ((client,),) = stage.ask("SELECT DISTINCT host(client_addr) FROM pg_stat_activity WHERE application_name = %s", name)
    answer = act("terminate_idle", {"app": name, "client": client, "user": "worker", "most": 50})
    assert (answer["ok"], len(answer["done"])) == (True, 3), answer
    assert len(stage.pids(name)) == 2
    assert len(stage.pids("bystander")) == 1
    assert len(act("terminate_idle", {"app": name, "client": client, "user": "worker", "most": 0})["done"]) == 0


# -- whole playbooks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def proposed(stage: Stage, server: Any, triage: Callable[..., Run], tmp_path: Path) -> dict[str, Any]:
    """A lock queue, what a triage proposes about it, and the inventory."""
    crowd(stage, "crowd", 6)
    time.sleep(WAIT_S)
    where = inventory(tmp_path, {"db": {"kind": "postgresql", "container": server.name, "database": "stage"}})
    run = triage(inventory=where)
    assert run.rc == 0, run.output
    return {"inventory": where, "state_dir": run.state_dir, **run.report["proposals"][0]}


def begun(proposed: dict[str, Any], *arguments: str) -> subprocess.Popen[str]:
    """A responder who approves the proposal."""
    given = ("-e", f"incident_approve={proposed['id']}", *arguments)
    line = command("mitigate", *given, state_dir=proposed["state_dir"], inventory=proposed["inventory"])
    return subprocess.Popen(line, env=environment(), cwd=PROJECT, start_new_session=True, **STREAMS)


def ledger(proposed: dict[str, Any]) -> list[dict[str, Any]]:
    """What the ledger says."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((proposed["state_dir"] / "mitigations").glob("*.json"))]


def test_of_two_responders_one_acts_and_one_is_told(proposed: dict[str, Any], stage: Stage) -> None:
    before = everybody(stage)
    alice, bob = begun(proposed, "-e", "incident_actor=alice"), begun(proposed, "-e", "incident_actor=bob")
    texts = {process: process.communicate(timeout=120)[0] for process in (alice, bob)}
    assert set(before) - set(everybody(stage)) == {proposed["target"]["pid"]}
    (entry,) = ledger(proposed)
    assert entry["state"] == "verified"
    winner, loser, name = (alice, bob, "alice") if entry["holder"]["actor"] == "alice" else (bob, alice, "bob")
    assert winner.returncode == 0, texts[winner]
    told_it = " ".join(texts[loser].split())
    assert f"{name} on" in told_it or "nothing to do: session" in told_it, texts[loser]
    assert "changed=0" in texts[loser]
    assert "changed=1" in texts[winner]


@pytest.mark.parametrize("approve", [True, False])
def test_what_a_killed_run_has_done_is_proven_by_the_next(approve: bool, proposed: dict[str, Any], stage: Stage, playbook: Callable[..., Run]) -> None:
    """Killed between the change and its proof."""
    pid = proposed["target"]["pid"]
    run = begun(proposed, "-e", json.dumps({"terminate_pg_blocker_probes": 50, "incident_actor": "alice"}))
    eventually(lambda: pid not in everybody(stage))
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    (entry,) = ledger(proposed)
    assert entry["state"] == "begun"
    arguments = ("-e", f"incident_approve={proposed['id']}") if approve else ()
    after = everybody(stage)
    done = playbook("mitigate", *arguments, inventory=proposed["inventory"])
    assert done.rc == 0, done.output
    assert "begun by alice in run" in " ".join(done.output.split())
    # Not the report behind "latest": Ansible's workers outlive their main process for a moment, and one may have written last.
    assert "MITIGATED  terminate_pg_blocker of db" in done.output
    assert [one["state"] for one in ledger(proposed)] == ["verified"]
    assert set(after) <= set(everybody(stage)), "somebody else was ended"
    assert sum(counts["changed"] for counts in done.recap.values()) == 0


def test_what_a_killed_run_has_not_done_needs_approval_again(proposed: dict[str, Any], stage: Stage, playbook: Callable[..., Run]) -> None:
    """Killed between the gate and the change: nothing was ended, so nothing is, until somebody says so."""
    (path,) = (proposed["state_dir"] / "runs").iterdir()
    entry = {"id": "01AAAAAAAAAAAAAAAAAAAAAAAA", "mitigation": "terminate_pg_blocker", "service": "db", "host": "localhost", "target": proposed["target"]}
    entry.update(began=time.time() - 5, proposal=proposed["id"], run=path.name)
    entry["host"] = proposed["host"]
    holder = {"actor": "alice", "controller": os.uname().nodename, "pid": 2**22 + 1, "started": "0", "run": "R1"}
    folder = proposed["state_dir"] / "mitigations"
    folder.mkdir(exist_ok=True)
    (folder / f"{entry['id']}.json").write_text(json.dumps({**entry, "holder": holder}), encoding="utf-8")
    before = everybody(stage)
    done = playbook("mitigate", inventory=proposed["inventory"])
    assert done.rc == 0, done.output
    assert everybody(stage) == before
    assert [one["state"] for one in ledger(proposed)] == ["not_applied"]
    again = playbook("mitigate", "-e", f"incident_approve={proposed['id']}", inventory=proposed["inventory"])
    assert again.rc == 0, again.output
    assert set(before) - set(everybody(stage)) == {proposed["target"]["pid"]}


def test_the_inventory_has_the_last_word(proposed: dict[str, Any], stage: Stage, playbook: Callable[..., Run]) -> None:
    before = everybody(stage)
    allowed = json.dumps({"incident_mitigations": {"terminate_pg_blocker": ["another"]}})
    done = playbook("mitigate", "-e", f"incident_approve={proposed['id']}", "-e", allowed, inventory=proposed["inventory"])
    assert done.rc != 0
    assert "incident_mitigations does not allow terminate_pg_blocker for db" in " ".join(done.output.split())
    assert everybody(stage) == before
    assert ledger(proposed) == []


def test_what_only_people_may_do_is_told_with_its_commands(
    stage: Stage, server: Any, triage: Callable[..., Run], playbook: Callable[..., Run], tmp_path: Path
) -> None:
    """A prepared transaction belongs to its owner; approving it changes nothing."""
    next(scenario for scenario in SCENARIOS if scenario.prepared).play(stage, "orphan")
    time.sleep(WAIT_S)
    where = inventory(tmp_path, {"db": {"kind": "postgresql", "container": server.name, "database": "stage"}})
    proposal = triage(inventory=where).report["proposals"][0]
    before = everybody(stage)
    done = playbook("mitigate", "-e", f"incident_approve={proposal['id']}", inventory=where)
    assert done.rc != 0
    assert "which no role carries out" in " ".join(done.output.split())
    assert proposal["command"] in done.output
    assert everybody(stage) == before
    assert stage.ask("SELECT count(*) FROM pg_prepared_xacts") == [(1,)]


@pytest.mark.parametrize(("approve", "ends"), [("false", False), ("true", True)])
def test_a_play_of_ones_own_gives_the_target(approve: str, ends: bool, stage: Stage, server: Any, state_dir: Path, tmp_path: Path) -> None:
    """Without any triage: the role's own look is the evidence, and approval is asked for all the same."""
    crowd(stage, "crowd")
    time.sleep(WAIT_S)
    (pid,) = stage.pids("crowd-holder")
    before = everybody(stage)
    where = inventory(tmp_path, {"db": {"kind": "postgresql", "container": server.name, "database": "stage"}})
    target = {"terminate_pg_blocker_service": "db", "terminate_pg_blocker_target": {"pid": pid, "backend_start": before[pid][1]}}
    play = {"name": "End it", "hosts": "all", "gather_facts": False, "roles": ["sre.incident_response.terminate_pg_blocker"], "vars": target}
    file = tmp_path / "own.yml"
    file.write_text(json.dumps([play]), encoding="utf-8")
    options = json.dumps({"incident_state_dir": str(state_dir), "incident_approve": approve == "true"})
    line = ["ansible-playbook", "-i", str(where), "-e", options, str(file)]
    done = subprocess.run(line, env=environment(), cwd=PROJECT, check=False, timeout=120, **STREAMS)
    assert done.returncode == 0, done.stdout
    assert (f"changed={int(ends)}") in done.stdout
    assert set(before) - set(everybody(stage)) == ({pid} if ends else set())
