# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source changes: releases, restarts, configuration, packages and reboots, newest first."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import changes, times
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Service
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import (
    FakeDocker,
    context,
    event,
    inspect_document,
    write_tree,
)

NOW = times.epoch("2026-11-23T11:00:00Z") or 0.0
CREATED = times.epoch("2026-11-23T10:00:00Z") or 0.0
BACKEND = Service("backend", "fastapi", {"container": "app"})


def recent(
    root: str, document: dict[str, Any], events: list[dict[str, Any]] | None = None, built: str = "2026-01-01T00:00:00Z", **options: Any
) -> list[dict[str, Any]]:
    docker = FakeDocker([document], events)
    docker.documents["/images/sha256:abc/json"] = docker.documents["/images/abc123/json"] = {"Id": "sha256:abc", "Created": built}
    return changes.collect(context(root, docker, services=[BACKEND], now=NOW, **options))["recent"]


def machine(tmp_path: Path, **files: str) -> str:
    return write_tree(tmp_path, {"proc/stat": "cpu 1\nbtime 1700000000\n", **files})


LONG_AGO = "2026-01-01T00:00:00Z"


def predecessor(image: str, created: float | None = None) -> list[dict[str, Any]]:
    """Events of an earlier container of the same name; without ``created`` the engine has forgotten its creation."""
    steps = [(created, "create")] if created else []
    return [event(when, action, container_id="0" * 64, image=image) for when, action in [*steps, (CREATED - 1, "destroy")]]


@pytest.mark.parametrize(
    ("events", "built", "kind", "words"),
    [
        (predecessor("shop/app:0"), LONG_AGO, "deploy", "was replaced, image shop/app:0 by shop/app:1"),
        (predecessor("shop/app:1"), LONG_AGO, "recreate", "created again from the same image shop/app:1"),
        (predecessor("abc123"), LONG_AGO, "recreate", "created again from the same image shop/app:1"),
        # The tag was moved: built after the predecessor was created from it.
        (predecessor("shop/app:1", CREATED - 3600), "2026-11-23T09:50:00Z", "deploy", "was replaced, image shop/app:1 by sha256:abc"),
        (predecessor("shop/app:1"), "2026-11-23T09:50:00Z", "recreate", "created again from the same image shop/app:1"),
        (predecessor("shop/app:1", CREATED - 60), "2026-11-23T09:50:00Z", "recreate", "created again from the same image shop/app:1"),
        ([], "2026-11-23T09:50:00Z", "deploy", "was created from shop/app:1"),
        ([], LONG_AGO, "recreate", "was created from shop/app:1"),
    ],
)
def test_a_deploy_brings_another_image(tmp_path: Path, events: list[dict[str, Any]], built: str, kind: str, words: str) -> None:
    (change,) = recent(machine(tmp_path), inspect_document(), events, built)
    assert (change["kind"], change["service"]) == (kind, "backend")
    assert words in change["what"]
    assert change["previous_image"] == (events[-1]["Actor"]["Attributes"]["image"] if events else None)
    assert (change["time"], change["age_s"]) == ("2026-11-23T10:00:00.123457Z", 3599.9)


def test_a_restart_is_no_deploy(tmp_path: Path) -> None:
    document = inspect_document(Created="2026-10-01T00:00:00Z", StartedAt="2026-11-23T10:50:00Z")
    (change,) = recent(machine(tmp_path), document)
    assert (change["kind"], change["age_s"]) == ("restart", 600.0)


def test_mounted_configuration_that_changed_is_one_change(tmp_path: Path) -> None:
    root = machine(tmp_path, **{"srv/tls/server.pem": "x", "srv/tls/server.key": "x", "srv/tls/old.pem": "x", "srv/tls/notes.txt": "x"})
    for name, age in (("server.pem", 100), ("server.key", 100), ("old.pem", 90000), ("notes.txt", 10)):
        os.utime(tmp_path / "srv/tls" / name, (NOW - age, NOW - age))
    document = inspect_document(
        Created="2026-10-01T00:00:00Z", StartedAt="2026-10-01T00:00:01Z", Mounts=[{"Type": "bind", "Source": "/srv/tls", "Destination": "/etc/nginx/tls"}]
    )
    (change,) = recent(root, document)
    assert (change["kind"], change["source"], change["age_s"]) == ("config", "/srv/tls", 100.0)
    assert change["what"] == "backend: /etc/nginx/tls/server.key, /etc/nginx/tls/server.pem changed"


def test_a_single_mounted_file_counts_whatever_its_name(tmp_path: Path) -> None:
    root = machine(tmp_path, **{"srv/settings": "x"})
    os.utime(tmp_path / "srv/settings", (NOW - 5, NOW - 5))
    document = inspect_document(
        Created="2026-10-01T00:00:00Z", StartedAt="2026-10-01T00:00:01Z", Mounts=[{"Type": "bind", "Source": "/srv/settings", "Destination": "/app/settings"}]
    )
    assert [change["what"] for change in recent(root, document)] == ["backend: /app/settings changed"]


def test_a_mount_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_path: str, _kind: str) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(changes, "configuration_files", denied)
    docker = FakeDocker([inspect_document(Mounts=[{"Type": "volume", "Source": "/srv/x", "Destination": "/x"}])])
    data = changes.collect(context(machine(tmp_path), docker, services=[BACKEND], now=NOW))
    assert data["unreadable"] == ["/srv/x, mounted into app, may not be read; use become"]


def test_packages_of_one_minute_are_one_change(tmp_path: Path) -> None:
    local = time.strftime("%Y-%m-%d %H:%M", time.localtime(NOW - 600))
    names = [f"lib{number}" for number in range(7)]
    lines = [f"{local}:0{number} upgrade {name}:amd64 1.0 1.1\n" for number, name in enumerate(names)]
    log = "".join(lines) + f"{local}:09 status installed lib0:amd64 1.1\n"
    root = machine(tmp_path, **{"var/log/dpkg.log": log})
    found = [change for change in recent(root, inspect_document()) if change["kind"] == "package"]
    assert len(found) == 1
    assert found[0]["what"].startswith("7 packages: upgrade lib0 1.0 -> 1.1, upgrade lib1")
    assert found[0]["what"].endswith("and 2 more")
    assert found[0]["source"] == "/var/log/dpkg.log"


def test_lines_of_dnf() -> None:
    assert changes.package_lines("2026-11-23T09:59:00+0100 SUBDEBUG Upgrade: nginx-1.2-3.x86_64\n") == [(NOW - 7260, "upgrade nginx-1.2-3.x86_64")]


def test_a_reboot_and_the_order(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"proc/stat": f"cpu 1\nbtime {int(NOW - 30)}\n"})
    kinds = [change["kind"] for change in recent(root, inspect_document())]
    assert kinds == ["reboot", "recreate"]


def test_what_is_older_than_the_window_is_no_news(tmp_path: Path) -> None:
    assert recent(machine(tmp_path), inspect_document(), change_window_s=60) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T10:00:00Z", 1795428000.0),
        ("2026-11-23T10:00:00.123456789Z", 1795428000.123457),
        ("2026-11-23T11:00:00+01:00", 1795428000.0),
        ("2026-11-23T09:00:00-0100", 1795428000.0),
        ("2026-11-23 10:00:00", 1795428000.0),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-45T10:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_times(text: str | None, expected: float | None) -> None:
    assert times.epoch(text) == (None if expected is None else pytest.approx(expected, abs=1e-6))
    assert times.iso(expected) is None or times.epoch(times.iso(expected)) == pytest.approx(expected, abs=1e-6)
