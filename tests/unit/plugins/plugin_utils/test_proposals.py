# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proposals: the exact target, a command that can be pasted, and no text of a machine that could become one."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import outcome
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import PLACEHOLDER
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import Finding
from ansible_collections.sre.incident_response.plugins.plugin_utils.proposals import FACTS, MADE_HERE, FactError, fill, made_facts
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import estate_samples as samples
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.estate_samples import document, finding

PATTERNS = samples.all_patterns()
LOCK_ROOT = {
    "container": "app-db",
    "pid": 4711,
    "backend_start": "2026-11-23T14:00:00.123456+00:00",
    "state": "idle in transaction",
    "app": "psql",
}
# One good value for each fact.
GOOD: dict[str, str] = {
    **dict.fromkeys(("container", "machine", "network", "alias", "database", "login_user", "role"), "app-db"),
    **dict.fromkeys(("pid", "min_idle_s", "port"), "4711"),
    **dict.fromkeys(("backend_start", "query_start"), "2026-11-23 14:00:00.123456+00"),
    **dict.fromkeys(("image", "previous_image"), "registry.example:5000/shop@sha256:0123abcd"),
    **dict.fromkeys(("ca_file", "certificate_file", "key_file", "mount"), "/etc/nginx/tls/server.pem"),
    "app": "order worker",
    "client": "172.18.0.5",
    "prefix": "cache:",
    "url": "https://api.example.com/health",
    "server": "shop.example.com",
    "run_options": "--network appnet -p 127.0.0.1:8000:8000",
}


def actions(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """An action and its alternatives."""
    yield rule
    if "otherwise" in rule:
        yield from actions(rule["otherwise"])


COMMANDS = [(pattern.id, text) for pattern in PATTERNS for rule in actions(pattern.first_action) for text in (rule.get("command"), rule["undo"]) if text]


def proposals(*findings: Finding, **changes: Any) -> list[dict[str, Any]]:
    return list(outcome.conclude(findings, [document(**changes)], PATTERNS)["proposals"])


def test_lock_is_proposed_with_the_exact_session() -> None:
    (one, *_rest) = proposals(finding("pg.locks.blocked"), finding("pg.locks.root", target=LOCK_ROOT))
    assert (one["id"], one["mitigation"], one["service"], one["host"]) == ("P1", "terminate_pg_blocker", "db", "web1")
    assert one["target"]["pid"] == 4711
    assert one["command"].startswith('docker exec -u postgres app-db psql -X -U postgres -d postgres -c "SELECT')
    assert "a.pid = 4711 AND a.backend_start = '2026-11-23T14:00:00.123456+00:00'" in one["command"]
    assert "NOT r.rolsuper" in one["command"]
    assert one["undo"].startswith("nothing to undo")


def test_waiting_schema_change_goes_before_the_session_it_waits_for() -> None:
    queue = finding("pg.locks.ddl_queue", target={"container": "app-db", "pid": 77})
    (one, *_rest) = proposals(finding("pg.locks.blocked"), finding("pg.locks.root", target=LOCK_ROOT), queue)
    assert one["mitigation"] == "cancel_pg_query"
    assert "pg_cancel_backend(l.pid) FROM pg_locks l WHERE l.pid = 77 AND NOT l.granted" in one["command"]
    assert "terminate" not in one["command"]


def test_a_client_without_a_name_is_named_by_its_address() -> None:
    """Most scripts do not say what they are called; the command finds their sessions all the same, and nobody else's."""
    leak = finding("pg.conn.leak", target={"container": "app-db", "app": "", "client": "172.18.0.9"})
    (one, *_rest) = proposals(finding("pg.conn.used_pct"), finding("pg.conn.refused"), leak)
    assert "a.application_name = '' AND coalesce(host(a.client_addr), 'local') = '172.18.0.9'" in one["command"]


def test_leaking_client_alone_loses_idle_sessions_and_nothing_is_restarted() -> None:
    leak = finding("pg.conn.leak", target={"container": "app-db", "app": "leaky", "client": "172.18.0.9"})
    (one, *_rest) = proposals(finding("pg.conn.used_pct"), finding("pg.conn.refused"), leak)
    assert one["mitigation"] == "terminate_pg_idle"
    assert "a.application_name = 'leaky'" in one["command"]
    assert "a.state = 'idle'" in one["command"]
    assert "LIMIT (SELECT least(50, (count(*) + 1) / 2) FROM idle)" in one["command"]
    assert "restart" not in one["command"]


def test_sessions_behind_a_lock_are_not_terminated_as_idle() -> None:
    blocked = [finding("pg.conn.used_pct"), finding("pg.conn.refused"), finding("pg.locks.blocked", "warning")]
    result = outcome.conclude(blocked, [document()], PATTERNS)
    exhausted = next(one for one in result["diagnosis"] if one["pattern"] == "db_connections_exhausted")
    assert exhausted["first_action"]["mitigation"] == "report_only"


@pytest.mark.parametrize(
    ("extra", "mitigation"),
    [
        ([], "restart_service"),
        (["backend.container.oom"], "report_only"),
        (["logs.sig.boot_failure"], "report_only"),
        (["backend.loop.blocked"], "report_only"),
    ],
)
def test_backend_is_only_restarted_when_that_can_help(extra: list[str], mitigation: str) -> None:
    found = [finding(check_id) for check_id in ("backend.container.state", "backend.listen", "http.direct", "http.live", *extra)]
    result = outcome.conclude(found, [document()], PATTERNS)
    dead = next(one for one in result["diagnosis"] if one["pattern"] == "backend_unavailable")
    assert dead["first_action"]["mitigation"] == mitigation


def test_declared_prefix_is_unlinked_in_batches_inside_of_the_server() -> None:
    (one, *_rest) = proposals(finding("redis.mem.noeviction_full", target={"prefix": "cache:"}), finding("redis.mem.used_pct"))
    assert one["mitigation"] == "unlink_redis_keys"
    assert "'cache:*' 500" in one["command"]
    for never in ("FLUSH", "KEYS ", "xargs", " DEL "):
        assert never not in one["command"]


def test_without_a_declared_prefix_there_is_no_command() -> None:
    (one, *_rest) = proposals(finding("redis.mem.noeviction_full", target={"prefix": None}), finding("redis.mem.used_pct"))
    assert one["command"] is None
    assert "No exact command: the evidence does not tell prefix." in one["note"]


def test_a_machine_that_nobody_reaches_is_asked_from_the_controller() -> None:
    (one, *_rest) = proposals(finding("host.reachable"))
    assert (one["command"], one["run_on"]) == ("ansible web1 -m ansible.builtin.ping -vvv", "controller")
    (other, *_rest) = proposals(finding("pg.locks.blocked"), finding("pg.locks.root", target=LOCK_ROOT))
    assert other["run_on"] == "machine"


@pytest.mark.parametrize("known", [True, False])
def test_rollback_names_the_image_before_or_how_to_find_it(known: bool) -> None:
    target = {"container": "app-backend", "image": "shop:v2", "previous_image": "shop:v1" if known else None, "run_options": "--network appnet"}
    found = [finding("change.deploy_recent", target=target), finding("change.deploy_correlated"), finding("change.new_error_signature")]
    (one, *_rest) = proposals(*found)
    assert one["mitigation"] == "rollback"
    if known:
        assert one["command"].splitlines()[-1].endswith("--env-file app-backend.env shop:v1")
        assert "docker rename app-backend-before-rollback app-backend" in one["undo"]
    else:
        assert one["command"] is None
        assert "docker image ls" in one["note"]


def test_service_without_a_container_is_reached_by_its_address() -> None:
    specs = {**samples.SPECS, "db": {"kind": "postgresql", "host": "db.example.com", "port": 5432, "login_user": "ir_operator"}}
    target = {**LOCK_ROOT, "container": None}
    (one, *_rest) = proposals(finding("pg.locks.blocked"), finding("pg.locks.root", target=target), specs=specs)
    assert one["command"].startswith("psql -X -h db.example.com -p 5432 -U ir_operator -d postgres -c")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pid", "1; DROP TABLE orders"),
        ("pid", -1),
        ("backend_start", "2026-11-23' OR '1'='1"),
        ("container", "app-db; rm -rf /"),
        ("container", "$(id)"),
        ("container", "-v"),
        ("app", "x' OR pg_terminate_backend(pid) --'"),
        ("app", 'a"; id; "'),
        ("app", "`id`"),
        ("app", "a\nb"),
        ("url", "http://x/$(id)"),
        ("url", "file:///etc/passwd"),
        ("prefix", "*"),
        ("prefix", "cache:' FLUSHALL '"),
        ("mount", "/data; id"),
        ("previous_image", "shop:v1 && id"),
        ("run_options", "--network appnet; id"),
        ("nobody_knows", "x"),
        ("pid", None),
    ],
)
def test_hostile_or_missing_fact_never_gets_into_a_command(name: str, value: Any) -> None:
    for template in (f"tool {{{name}}}", f"tool '{{{name}}}'", f'tool "{{{name}}}"'):
        with pytest.raises(FactError):
            fill(template, {name: value})


def test_hostile_fact_leaves_the_proposal_without_a_command_and_says_so() -> None:
    leak = finding("pg.conn.leak", target={"container": "app-db", "app": "x'; DROP TABLE orders --", "client": "172.18.0.9"})
    (one, *_rest) = proposals(finding("pg.conn.used_pct"), finding("pg.conn.refused"), leak)
    assert one["command"] is None
    assert "can't be put into a command safely" in one["note"]


@pytest.mark.parametrize(("pattern", "template"), COMMANDS)
def test_every_command_of_a_pattern_can_be_filled_and_parsed_by_a_shell(pattern: str, template: str) -> None:
    filled = fill(template, {**GOOD, **made_facts(GOOD)})
    assert not PLACEHOLDER.search(filled)
    # A text such as "nothing to undo; a cache fills again" is for people.
    if re.match(r"^(?:nothing|the client|repeat|put|no )", filled):
        return
    done = subprocess.run(["sh", "-n", "-c", filled], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{pattern}: {done.stderr}"
    assert shlex.split(filled, comments=True)


@pytest.mark.parametrize(("pattern", "template"), COMMANDS)
def test_commands_use_only_known_facts_and_nothing_dangerous(pattern: str, template: str) -> None:
    for name in PLACEHOLDER.findall(template):
        assert name in FACTS or name in MADE_HERE, f"{pattern} uses {{{name}}}, for which no form is known"
    for never in ("system prune", "FLUSHALL", "FLUSHDB", "kill -9", "KEYS ", "ansible-playbook", "rm -rf", "down -v"):
        assert never not in template, f"{pattern} would run {never}"


def test_facts_with_spaces_only_stand_in_quotes() -> None:
    for pattern, template in COMMANDS:
        for match in PLACEHOLDER.finditer(template):
            if match.group(1) in ("app", "backend_start", "query_start"):
                before = template[: match.start()]
                assert before.count("'") % 2 or before.count('"') % 2, f"{pattern}: {{{match.group(1)}}} stands outside of quotes"


@pytest.mark.parametrize("name", FACTS)
def test_form_of_every_fact_takes_a_good_value(name: str) -> None:
    assert re.fullmatch(FACTS[name], GOOD[name])
