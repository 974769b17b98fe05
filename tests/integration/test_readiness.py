# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logins that monitoring_access creates on real servers, and what preflight says about them and about what is missing.

The servers are this test's own, made from the lab's images: the lab itself stays as it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sre.incident_response.plugins.module_utils.probe import pg_act
from ansible_collections.sre.incident_response.tests.integration.playbooks import STREAMS, Run, environment, run_playbook
from ansible_collections.sre.incident_response.tests.integration.servers import STARTS_WITHIN_S, address, as_root, eventually

pytestmark = [pytest.mark.integration, as_root]

PASSWORDS = {"db": "mon-Pg-1'\"x y", "db_mitigation": "mit-Pg-2", "redis": "mon-Redis-3", "redis_mitigation": "mit-Redis-4"}
# The kernel of a test machine may have nobody who keeps its clock right.
NO_CLOCK = {"preflight_skip": ["ready.*.ntp"]}
APPLY = [{"hosts": "all", "gather_facts": False, "roles": [{"role": "sre.incident_response.monitoring_access"}]}]


class Stack:
    """A PostgreSQL, a Redis with a file for its users, one that may write its configuration, and one that may not."""

    def __init__(self, start: Callable[..., Any], folder: Path) -> None:
        self.folder = folder
        self.as_made = False
        self.db = start("db")
        self.saving = start("redis", ["sh", "-c", "touch /tmp/users.acl && exec redis-server /opt/lab/redis.conf --aclfile /tmp/users.acl"])
        self.rewriting = start("redis", ["sh", "-c", "test -f /tmp/r.conf || cp /opt/lab/redis.conf /tmp/r.conf; exec redis-server /tmp/r.conf"])
        self.plain = start("redis")
        (folder / "access.yml").write_text(yaml.safe_dump(APPLY), encoding="utf-8")
        self.wait()

    def wait(self) -> None:
        """Until all of them answer."""
        limit = time.monotonic() + STARTS_WITHIN_S
        while self.db.exec_run("pg_isready -q -h 127.0.0.1").exit_code or any(
            self.cli(one, "PING") != "PONG" for one in (self.saving, self.rewriting, self.plain)
        ):
            assert time.monotonic() < limit, "the servers did not start"
            time.sleep(0.5)

    def services(self) -> dict[str, dict[str, Any]]:
        """What is declared: the same two users everywhere."""
        users = {"login_user": "ir_monitor", "mitigation_user": "ir_mitigation"}
        db = {"login_password": PASSWORDS["db"], "mitigation_password": PASSWORDS["db_mitigation"]}
        redis = {"login_password": PASSWORDS["redis"], "mitigation_password": PASSWORDS["redis_mitigation"], "cache_prefixes": ["cache:", "odd[1]*"]}
        found = {"db": {"kind": "postgresql", "container": self.db.name, "database": "app_prod", **users, **db}}
        for name in ("saving", "rewriting", "plain"):
            found[name] = {"kind": "redis", "container": getattr(self, name).name, **users, **redis}
        return found

    def inventory(self, changes: dict[str, dict[str, Any] | None] | None = None, **variables: Any) -> Path:
        """An inventory of one machine; ``changes`` replace keys of services, None takes a service away."""
        services = self.services()
        for name, keys in (changes or {}).items():
            if keys is None:
                del services[name]
            else:
                services[name] = {**services.get(name, {}), **keys}
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "incident_services": services, **variables}
        path = self.folder / "inventory.yml"
        path.write_text(yaml.safe_dump({"all": {"hosts": {"box": here}}}), encoding="utf-8")
        return path

    def access(self, *arguments: str, changes: dict[str, dict[str, Any] | None] | None = None, **variables: Any) -> Run:
        """Run the role."""
        line = ["ansible-playbook", "-i", str(self.inventory(changes)), str(self.folder / "access.yml"), "-e", json.dumps(variables), *arguments]
        done = subprocess.run(line, env=environment(), cwd=self.folder, timeout=180, check=False, **STREAMS)
        return Run(done.returncode, done.stdout, self.folder)

    def preflight(self, changes: dict[str, dict[str, Any] | None] | None = None, state_dir: Path | None = None, **variables: Any) -> tuple[Run, dict[str, Any]]:
        """Run the readiness check; its result is that in the state directory when it could be written there."""
        where = state_dir or self.folder / "incidents"
        run = run_playbook("preflight", "-e", json.dumps({**NO_CLOCK, **variables}), state_dir=where, inventory=self.inventory(changes))
        path = where / "preflight.json"
        return run, json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def sql(self, query: str, user: str = "postgres", password: str = "") -> tuple[int, str]:
        """Exit code and output of psql; over TCP for a user with a password."""
        host = ["-h", "127.0.0.1"] if password else []
        done = self.db.exec_run(["psql", "-XAtq", "-U", user, *host, "-d", "app_prod", "-c", query], environment={"PGPASSWORD": password})
        return done.exit_code, done.output.decode().strip()

    @staticmethod
    def cli(server: Any, *words: str, user: str = "", password: str = "") -> str:
        """Answer of a Redis to one command."""
        login = ["--user", user, "--pass", password, "--no-auth-warning"] if user else []
        return str(server.exec_run(["redis-cli", *login, *words]).output.decode().strip())

    def roles(self) -> list[str]:
        """Names of the created roles that exist in PostgreSQL."""
        return self.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'ir\\_%' ORDER BY 1")[1].split()


@pytest.fixture(scope="module")
def stack(start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The servers without any user of ours."""
    return Stack(start, tmp_path_factory.mktemp("readiness"))


@pytest.fixture
def users(stack: Stack) -> Stack:
    """The servers with the users as the role makes them; a test that changes them says so with ``as_made``."""
    if not stack.as_made:
        done = stack.access()
        assert done.rc == 0, done.output
        stack.as_made = True
    return stack


def gaps(result: dict[str, Any]) -> dict[tuple[str, str], str]:
    """``{(check, service or host): answer}``."""
    return {(gap["id"], gap["service"] or gap["host"]): gap["answer"] for gap in result["gaps"]}


def test_made_kept_and_taken_away(stack: Stack) -> None:
    """Check mode says what would be done, the second run finds nothing to do, and the removal leaves nothing."""
    stack.access(monitoring_access_state="absent")
    planned = stack.access("--check")
    assert planned.rc == 0, planned.output
    assert planned.recap["box"]["changed"] > 0
    assert stack.roles() == []
    made = stack.access("-vvv")
    assert made.rc == 0, made.output
    assert stack.roles() == ["ir_mitigation", "ir_monitor"]
    assert not [name for name, password in PASSWORDS.items() if password in made.output]
    assert stack.access().recap["box"]["changed"] == 0
    assert stack.access("--check").recap["box"]["changed"] == 0
    removed = stack.access(monitoring_access_state="absent")
    assert removed.rc == 0, removed.output
    assert stack.roles() == []
    assert all("ir_" not in stack.cli(server, "ACL", "LIST") for server in (stack.saving, stack.rewriting, stack.plain))
    assert stack.access(monitoring_access_state="absent").recap["box"]["changed"] == 0
    stack.as_made = False


def test_created_logins_are_ready(users: Stack) -> None:
    """Everything that the role makes is enough, and not too much."""
    run, result = users.preflight()
    assert run.rc == 0, run.output
    assert gaps(result) == {}
    answered = {(answer["id"], answer["service"]) for answer in result["answers"]}
    assert {("ready.pg.narrow", "db"), ("ready.pg.mitigation_narrow", "db"), ("ready.redis.narrow", "plain"), ("ready.redis.mitigation", "saving")} <= answered
    assert result["ready"] is True
    everything = "".join(path.read_text(encoding="utf-8", errors="replace") for path in users.folder.glob("incidents/**/*") if path.is_file())
    assert not [name for name, password in PASSWORDS.items() if password in everything + run.output]


def test_triage_sees_everything_with_the_monitor(users: Stack) -> None:
    """What the probe looks at is there with this login, over TCP and not over the superuser's socket."""
    run = run_playbook("triage", state_dir=users.folder / "triage", inventory=users.inventory())
    assert run.rc == 0, run.output
    hidden = [gap for gap in run.gaps() if gap["service"] in ("db", "saving", "rewriting", "plain")]
    assert hidden == []
    evidence = json.loads((run.state_dir / "latest/evidence/hosts/box.json").read_text(encoding="utf-8"))
    postgresql = evidence["services"]["db"]["sources"]["postgresql"]["data"]
    assert (postgresql["reached_by"], postgresql["snapshot"]["server"]["user"]) == ("tcp", "ir_monitor")
    assert postgresql["snapshot"]["privileges"]["limited"] is False
    assert evidence["services"]["plain"]["sources"]["redis"]["data"]["slowlog"] is not None


def test_rights_in_postgresql(users: Stack) -> None:
    """The monitor reads no table and ends nobody; the mitigation ends sessions of others, and none of a superuser."""
    assert users.sql("SELECT count(*) FROM orders", "ir_monitor", PASSWORDS["db"])[0] != 0
    ended = """WITH chosen AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE usename = '{}' AND query LIKE 'SELECT pg_sleep%')
               SELECT count(*) FROM chosen WHERE pg_terminate_backend(pid)"""
    sleeper = ["psql", "-XAtq", "-U", "{}", "-d", "app_prod", "-c", "SELECT pg_sleep(60)"]
    for user in ("app", "postgres"):
        users.db.exec_run([word.format(user) for word in sleeper], detach=True)
    limit = time.monotonic() + 10
    while users.sql("SELECT count(DISTINCT usename) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")[1] != "2":
        assert time.monotonic() < limit
        time.sleep(0.1)
    refused = users.sql(ended.format("app"), "ir_monitor", PASSWORDS["db"])
    assert "permission denied to terminate process" in refused[1]
    assert users.sql(ended.format("app"), "ir_mitigation", PASSWORDS["db_mitigation"]) == (0, "1")
    assert "permission denied to terminate process" in users.sql(ended.format("postgres"), "ir_mitigation", PASSWORDS["db_mitigation"])[1]
    assert users.sql(ended.format("postgres")) == (0, "1")


def test_mitigation_login_is_enough_for_a_mitigation(users: Stack) -> None:
    """What ends a blocker does so with the created login, and with no other one."""
    holder = "(echo 'BEGIN; LOCK TABLE orders;'; sleep 60) | psql -XAtq -U app -d app_prod"
    users.db.exec_run(["sh", "-c", holder], detach=True)
    eventually(lambda: users.sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")[1] == "1")
    users.db.exec_run(["psql", "-XAtq", "-U", "app", "-d", "app_prod", "-c", "SELECT count(*) FROM orders"], detach=True)
    eventually(lambda: users.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[1] == "1")
    pid, started = users.sql("SELECT pid, backend_start FROM pg_stat_activity WHERE state = 'idle in transaction'")[1].split("|")
    values = {"pid": pid, "backend_start": started, "min_idle_s": 0, "protected": ""}
    request = {"services": users.services(), "service": "db", "operation": "terminate_blocker", "act": True, "values": values, "options": {}}
    answer = pg_act.answer(request)
    assert (answer["reached_by"], answer["user"], answer["done"], answer["gone"]) == ("tcp", "ir_mitigation", [int(pid)], True)


def test_rights_in_redis(users: Stack) -> None:
    """Keys below a declared prefix can be dropped, taken literally; every other key, and every value, is out of reach."""
    for key in ("cache:1", "odd[1]*x", "odd1", "cart:1"):
        assert users.cli(users.plain, "SET", key, "value") == "OK"
    mitigation = {"user": "ir_mitigation", "password": PASSWORDS["redis_mitigation"]}
    monitor = {"user": "ir_monitor", "password": PASSWORDS["redis"]}
    assert users.cli(users.plain, "UNLINK", "cache:1", **mitigation) == "1"
    assert users.cli(users.plain, "UNLINK", "odd[1]*x", **mitigation) == "1"
    for key in ("odd1", "cart:1"):
        assert "NOPERM" in users.cli(users.plain, "UNLINK", key, **mitigation)
        assert "NOPERM" in users.cli(users.plain, "EVAL", "return redis.call('UNLINK', KEYS[1])", "1", key, **mitigation)
    assert "NOPERM" in users.cli(users.plain, "GET", "cart:1", **monitor)
    assert users.cli(users.plain, "TYPE", "cart:1", **monitor) == "string"
    users.cli(users.plain, "DEL", "odd1", "cart:1")


def test_what_somebody_added_is_told_and_taken_back(users: Stack) -> None:
    """Preflight finds the extra rights, the role takes them away."""
    users.as_made = False
    users.sql("GRANT pg_read_all_data TO ir_monitor; GRANT UPDATE ON orders TO ir_monitor; ALTER ROLE ir_mitigation CREATEROLE")
    users.cli(users.plain, "ACL", "SETUSER", "ir_monitor", "+set", "+config|get")
    users.cli(users.plain, "ACL", "SETUSER", "ir_mitigation", "~*")
    _run, result = users.preflight()
    found = gaps(result)
    assert found[("ready.pg.narrow", "db")] == "ir_monitor is a member of pg_read_all_data, may write to tables (1)"
    assert found[("ready.pg.mitigation_narrow", "db")] == "ir_mitigation may create roles"
    assert found[("ready.redis.narrow", "plain")] == "user ir_monitor may also send SET, CONFIG GET"
    assert found[("ready.redis.mitigation_narrow", "plain")].endswith("user ir_mitigation may send UNLINK")
    users.sql("REVOKE UPDATE ON orders FROM ir_monitor")
    assert users.access().recap["box"]["changed"] > 0
    users.as_made = True
    assert gaps(users.preflight()[1]) == {}


def test_wrong_password_and_missing_user(users: Stack) -> None:
    """The local socket of this PostgreSQL lets everybody in: only the login over TCP tells the truth."""
    wrong = {"login_password": "wrong"}
    run, result = users.preflight({"db": {**wrong, "mitigation_user": "nobody_here"}, "plain": wrong, "saving": {"mitigation_user": "nobody_here"}})
    found = gaps(result)
    assert "password authentication failed" in found[("ready.pg.login", "db")]
    assert "nobody_here could end no session" in found[("ready.pg.mitigation", "db")]
    assert "WRONGPASS" in found[("ready.redis.login", "plain")]
    assert "nobody_here" in found[("ready.redis.mitigation", "saving")]
    assert "monitoring_access" in run.output
    assert ("ready.redis.login", "saving") not in found


def test_nothing_declared_is_too_much(users: Stack) -> None:
    """Without a login of its own the probe is a superuser, and Redis' default user may do everything."""
    nobody = dict.fromkeys(("login_user", "login_password", "mitigation_user", "mitigation_password"))
    _run, result = users.preflight({"db": nobody, "plain": nobody})
    assert gaps(result)[("ready.pg.narrow", "db")] == "postgres is a superuser"
    assert "UNLINK, SET, CONFIG GET, ACL USERS, EVAL" in gaps(result)[("ready.redis.narrow", "plain")]


def test_missing_container_and_image(users: Stack) -> None:
    """A wrong name is told with similar ones; an image without a sister is nothing to go back to."""
    names = {"backend": {"kind": "fastapi", "container": users.db.name}, "gone": {"kind": "redis", "container": f"{users.plain.name}x"}}
    _run, result = users.preflight(names)
    by_check = {(gap["id"], gap["service"]): gap for gap in result["gaps"]}
    assert users.plain.name in str(by_check[("ready.container.exists", "gone")]["evidence"])
    assert "sre-lab/app-db" in by_check[("ready.release.previous", "backend")]["answer"]


def test_unwritable_state_and_refused_webhook(users: Stack, tmp_path: Path) -> None:
    """Both are told, nothing of the webhook's secret is, and CI can stop there."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    hooks = {"chat": "http://127.0.0.1:1/services/T0K3N-secret"}
    run, _result = users.preflight(state_dir=tmp_path / "file/incidents", preflight_webhooks=hooks, preflight_fail_below=100)
    assert run.rc == 2, run.output
    assert "can't be written" in run.output
    assert "webhook chat at http://127.0.0.1:1: nobody listens there" in run.output
    assert "T0K3N" not in run.output
    assert "below preflight_fail_below (100 %)" in run.output
    run, result = users.preflight(preflight_webhooks=hooks, preflight_fail_below=50)
    assert run.rc == 0, run.output
    assert list(gaps(result)) == [("ready.webhook", "controller")]


def test_servers_without_a_container(users: Stack) -> None:
    """Reached by address, with the administrators' passwords: as on a plain host, or a managed database."""
    users.sql("ALTER ROLE postgres PASSWORD 'adm-Pg-5'")
    users.cli(users.plain, "CONFIG", "SET", "requirepass", "adm-Redis-6")
    named = {"container": None, "login_user": "ir_away", "mitigation_user": None}
    changes: dict[str, dict[str, Any] | None] = {**dict.fromkeys(("db", "saving", "rewriting", "plain"))}
    changes["away"] = {**users.services()["db"], **named, "host": address(users.db)}
    changes["cache"] = {**users.services()["plain"], **named, "host": address(users.plain)}
    admins = {"monitoring_access_pg_admin_password": "adm-Pg-5", "monitoring_access_redis_admin_password": "adm-Redis-6"}
    try:
        made = users.access("-vvv", changes=changes, **admins)
        again = users.access(changes=changes, **admins)
        _run, result = users.preflight(changes)
        removed = users.access(changes=changes, monitoring_access_state="absent", **admins)
    finally:
        users.cli(users.plain, "CONFIG", "SET", "requirepass", "", user="default", password="adm-Redis-6")
        users.sql("ALTER ROLE postgres PASSWORD NULL")
    assert (made.rc, again.rc, removed.rc) == (0, 0, 0), made.output + again.output + removed.output
    assert (made.recap["box"]["changed"] > 0, again.recap["box"]["changed"]) == (True, 0)
    # Given on the command line, as here, they are in the -vvv output's list of arguments; what is meant is the output of tasks.
    assert "adm-Redis-6" not in made.output.partition("PLAY [")[2]
    assert "adm-Pg-5" not in made.output.partition("PLAY [")[2]
    assert gaps(result) == {}
    assert {answer["service"] for answer in result["answers"] if answer["id"].endswith(".login")} == {"away", "cache"}
    assert "ir_away" not in users.roles()


@pytest.mark.parametrize("state", ["present", "absent"])
def test_somebody_elses_user_is_left_alone(users: Stack, state: str) -> None:
    """Neither the application's own role nor a user of Redis that was made by hand."""
    run = users.access(changes={"db": {"login_user": "app", "login_password": "x"}}, monitoring_access_state=state)
    assert run.rc == 2
    assert "was not made by monitoring_access" in run.output.replace("\n        ", " ")
    assert users.sql("SELECT 1", "app", "app-lab-only") == (0, "1")
    users.cli(users.plain, "ACL", "SETUSER", "shop", "on", ">shop", "+get", "~*")
    run = users.access(changes={"db": None, "plain": {"login_user": "shop", "login_password": "x"}}, monitoring_access_state=state)
    assert run.rc == 2
    assert "was not made by this module" in run.output
    assert "NOPERM" in users.cli(users.plain, "SET", "a", "1", user="shop", password="shop")
    users.cli(users.plain, "ACL", "DELUSER", "shop")


def test_redis_users_survive_a_restart_where_they_can(users: Stack) -> None:
    """With an aclfile by themselves, in the configuration when asked to, else not, which the role says."""
    users.as_made = False
    only = dict.fromkeys(("db", "saving", "plain"))
    assert users.access(changes=only, monitoring_access_redis_persist="config").rc == 0
    told = users.access(changes={"db": None})
    assert told.output.replace("\n        ", " ").count("Redis has no aclfile") == 4
    refused = users.access(changes=dict.fromkeys(("db", "saving", "rewriting")), monitoring_access_redis_persist="config")
    assert refused.rc == 2
    assert "refused CONFIG REWRITE" in refused.output
    for server in (users.saving, users.rewriting, users.plain):
        server.restart(timeout=2)
    users.wait()
    monitor = {"user": "ir_monitor", "password": PASSWORDS["redis"]}
    answers = [users.cli(server, "PING", **monitor).splitlines()[-1] for server in (users.saving, users.rewriting)]
    assert answers == ["PONG", "PONG"]
    assert "ir_monitor" not in users.cli(users.plain, "ACL", "LIST")
    assert ("ready.redis.login", "plain") in gaps(users.preflight()[1])


def test_stopped_server_is_said(users: Stack) -> None:
    """The role stops with a sentence, and preflight knows it as a login that does not work."""
    users.plain.stop(timeout=1)
    try:
        run = users.access(changes={"db": None})
        _run, result = users.preflight()
    finally:
        users.plain.start()
        users.wait()
    assert run.rc == 2
    assert "does not run on box" in run.output
    assert "is exited" in gaps(result)[("ready.redis.login", "plain")]
