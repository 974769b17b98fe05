# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The readiness checks are complete, and the logins that the collection creates have exactly the rights that it uses."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import redis_access
from ansible_collections.sre.incident_response.plugins.modules import redis_acl_user
from ansible_collections.sre.incident_response.plugins.plugin_utils.check_entries import entry_problems
from ansible_collections.sre.incident_response.plugins.plugin_utils.evidence import SOURCES
from ansible_collections.sre.incident_response.tests.contract import project

ENTRIES: list[dict[str, Any]] = project.read(project.ROOT / "roles/preflight/files/readiness.yml")
ACCESS: dict[str, Any] = project.read(project.ROOT / "roles/monitoring_access/vars/main.yml")
PAGE = (project.ROOT / "docs/readiness.md").read_text(encoding="utf-8")
# Commands of Redis that the probe's sources send besides those that redis_access asks about.
SENT = re.compile(r'\(\(\s*"([A-Z]{3,})"|, \("([A-Z]{3,})"|= \("([A-Z]{3,})"')


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.get("id")))
def test_entry_is_complete(entry: dict[str, Any]) -> None:
    """A gap without a word about what to do helps nobody."""
    assert not entry_problems(entry)
    assert entry["id"].startswith("ready.")
    assert entry.get("fix"), f"{entry['id']} has no fix"
    assert entry.get("ok"), f"{entry['id']} does not say what a good answer is"
    assert f"`{entry['id']}`" in PAGE, f"docs/readiness.md does not name {entry['id']}"


def test_ids_are_not_those_of_triage() -> None:
    """A triage must not take a missing right for an incident."""
    assert not {entry["id"] for entry in ENTRIES} & set(project.checks())


def test_the_playbook_collects_what_the_checks_need() -> None:
    """A source that nobody asked is a gap for everybody."""
    play = project.read(project.ROOT / "playbooks/preflight.yml")[0]
    collected = set(play["tasks"][0]["sre.incident_response.collect"]["sources"])
    needed = {need for entry in ENTRIES for need in entry["needs"]} & set(SOURCES)
    assert collected == needed


def test_redis_monitor_has_the_rights_that_are_used() -> None:
    """No more and no fewer than what the sources send; PING, MULTI and DISCARD belong to the questions about the rights."""
    asked = {"|".join(command[:2]) if command[0] in redis_access.WITH_SUBCOMMAND else command[0] for command in redis_access.READS}
    granted = {rule.removeprefix("+").upper() for rule in ACCESS["__monitoring_access_redis_reads"]}
    assert granted == asked | {"PING", "MULTI", "DISCARD"}


@pytest.mark.parametrize("source", ["redis", "redis_detail"])
def test_every_command_of_the_probe_is_asked_about(source: str) -> None:
    """Who adds a command to a source has to add it to the rights."""
    text = (project.ROOT / f"plugins/module_utils/probe/{source}.py").read_text(encoding="utf-8")
    known = {command[0] for command in redis_access.READS} | {"PING", "AUTH"}
    sent = {name for match in SENT.finditer(text) for name in match.groups() if name}
    assert sent, f"{source} sends nothing that this test recognises"
    assert sent <= known, f"{source} sends {', '.join(sorted(sent - known))}, which monitoring_access does not grant"


def test_rules_are_ones_that_the_module_takes() -> None:
    for rule in ACCESS["__monitoring_access_redis_reads"]:
        assert redis_acl_user.RULE.match(rule), rule


def test_monitor_can_execute_nothing_that_it_queues() -> None:
    """EXEC would turn the question about rights into the deed."""
    assert not {"+exec", "+eval", "+set", "+unlink", "+del", "+config", "+flushall"} & set(ACCESS["__monitoring_access_redis_reads"])
