# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assessment: a role alone collects what its checks look at, and a removed container is remembered from earlier runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment, history
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Node
from ansible_collections.sre.incident_response.plugins.plugin_utils.evidence import SOURCES
from ansible_collections.sre.incident_response.plugins.plugin_utils.supplements import SUPPLEMENTS
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import estate_samples as samples
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.estate_samples import answered, document, finding

ROLES = sorted(path.name for path in (samples.ROOT / "roles").iterdir() if path.name.endswith(("_check", "_scan")))
BACKEND = Node("backend", "web1", "fastapi")


@pytest.mark.parametrize(
    ("role", "sources"),
    [
        ("pg_lock_scan", ["postgresql"]),
        ("redis_memory_check", ["cgroup", "redis"]),
        ("tls_check", ["tls"]),
        ("host_check", ["host", "kernel"]),
        ("disk_check", ["container", "disk", "volume"]),
        ("change_scan", ["changes", "container", "http", "logs"]),
    ],
)
def test_role_alone_collects_what_its_checks_look_at(role: str, sources: list[str]) -> None:
    assert assessment.sources_of(samples.checks_of(role)) == sources


@pytest.mark.parametrize("role", ROLES)
def test_needs_of_every_check_are_sources_that_exist(role: str) -> None:
    for check in samples.checks_of(role):
        for need in check.entry["needs"]:
            assert str(need).removeprefix("machine.") in (*SOURCES, *SUPPLEMENTS, "clock"), f"{check.raw_id} needs {need}"


@pytest.mark.parametrize("role", ROLES)
def test_every_role_can_be_asked_about_an_empty_estate(role: str, tmp_path: Path) -> None:
    checks = assessment.chosen_checks([dict(check.entry) for check in samples.checks_of(role)], role, {}, [], [])
    assert all(one.state != "finding" for one in assessment.assess(checks, [document()], role, None, tmp_path))


def test_one_host_is_assessed_alone_with_the_others_in_the_picture(tmp_path: Path) -> None:
    checks = samples.checks_of("host_check")
    found = assessment.assess(checks, [document("web1"), document("web2")], "host_check", "web2", tmp_path)
    assert {one.host for one in found} == {"web2"}


def test_short_list_leaves_out_what_is_fine() -> None:
    findings = [finding("pg.up"), finding("host.load", "info"), finding("redis.up", None, state="ok"), finding("http.live", None, state="unknown")]
    assert [one["id"] for one in assessment.short(findings)] == ["pg.up", "http.live"]
    assert assessment.counts(findings) == "1 critical, 1 info, 1 unknown, 1 ok"
    assert assessment.counts([]) == "none of 0 checks applies"


# -- history -------------------------------------------------------------------------------------------------------------------


def container(identity: str, image_id: str, age_s: float = 60.0) -> dict[str, Any]:
    data = {"id": identity, "image": f"shop:{image_id}", "image_id": image_id, "version": image_id, "age_s": age_s}
    return document(sources={"backend": {"container": answered(**data)}})


def remember(runs: Path, run: str, content: Any) -> None:
    folder = runs / run / "evidence" / "hosts"
    folder.mkdir(parents=True)
    (folder / "web1.json").write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def previous(runs: Path, now: dict[str, Any]) -> dict[Node, dict[str, Any]]:
    return history.previous_releases([now], runs / "05")


def test_newest_earlier_container_tells_what_was_there_before(tmp_path: Path) -> None:
    remember(tmp_path, "01", container("a", "v0"))
    remember(tmp_path, "02", container("b", "v1"))
    remember(tmp_path, "03", container("c", "v2"))
    remember(tmp_path, "09", container("z", "v9"))
    found = previous(tmp_path, container("c", "v2"))
    assert found == {BACKEND: {"kind": "release", "previous_image": "shop:v1", "previous_image_id": "v1", "previous_version": "v1"}}


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (container("a", "v1"), container("b", "v1"), "recreate"),
        (container("a", "v1"), container("b", "v2"), "release"),
        (container("a", "v1"), container("a", "v1"), None),
        (container("a", "v1"), container("b", "v2", age_s=100_000), None),
        (document(), container("b", "v2"), None),
        ("{", container("b", "v2"), None),
        ("[]", container("b", "v2"), None),
    ],
    ids=["same image", "another image", "same container", "old container", "unknown before", "damaged file", "odd file"],
)
def test_predecessor_makes_the_kind_of_deploy(tmp_path: Path, before: Any, now: dict[str, Any], kind: str | None) -> None:
    remember(tmp_path, "01", before)
    assert previous(tmp_path, now).get(BACKEND, {}).get("kind") == kind


def test_no_earlier_run_is_no_history(tmp_path: Path) -> None:
    assert previous(tmp_path / "nowhere", container("a", "v1")) == {}
