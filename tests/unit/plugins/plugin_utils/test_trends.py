# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trends: a line through what earlier runs measured, and silence where there is no line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment, outcome, trends
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import estate_samples as samples
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.estate_samples import answered

HOUR = 3600.0
STARTED = "2026-11-01T00:00:00Z"


def measured(ago_h: float, conn: float = 10, mem: float = 10, fds: float = 10, disk: float = 10, p95: float = 100, started: str = STARTED) -> dict[str, Any]:
    """The evidence of a run so many hours ago, in percent and milliseconds."""
    container = {"container": answered(started_at=started)}
    cgroup, process = answered(memory={"working_set": mem * 1000, "limit": 100_000}), answered(fds={"worst_pct": fds})
    sources = {
        "db": {**container, "postgresql": answered(snapshot={"connections": {"used_pct": conn}})},
        "backend": {**container, "cgroup": cgroup, "process": process},
        "proxy": {**container, "logs": answered(access={"p95_ms": p95})},
    }
    machine = {"disk": answered(mounts=[{"mount": "/", "used_pct": disk}, {"mount": "/iso", "used_pct": 100, "readonly": True}])}
    at = datetime.fromtimestamp(samples.NOW - ago_h * HOUR, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return samples.document(sources=sources, machine=machine, collected_at=at)


def after(tmp_path: Path, earlier: list[dict[str, Any]]) -> Path:
    """The folder of a run that comes after the remembered earlier ones."""
    for document in earlier:
        assert trends.remember([document], Workspace.create(tmp_path).path) is None
    return Workspace.create(tmp_path).path


def found(run: Path, now: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Findings of the role by id."""
    return {one.id: one for one in assessment.assess(samples.checks_of("trend_scan"), [now], "trend_scan", None, run, options)}


@pytest.mark.parametrize("earlier", [0, 1])
def test_fewer_than_three_points_are_no_trend_and_no_noise(earlier: int, tmp_path: Path) -> None:
    run = after(tmp_path, [measured(5.0 - number, conn=10 + number * 30) for number in range(earlier)])
    assert found(run, measured(0, conn=90)) == {}


def test_points_that_are_too_near_are_no_trend(tmp_path: Path) -> None:
    run = after(tmp_path, [measured(0.2, conn=10), measured(0.1, conn=40)])
    assert set(found(run, measured(0, conn=70))) == {"backend.mem.growth"}
    assert found(run, measured(0, conn=70), trend_min_span_s="600")["trend.conn"].severity == "critical"


def test_flat_resources_are_fine(tmp_path: Path) -> None:
    findings = found(after(tmp_path, [measured(3), measured(2), measured(1)]), measured(0))
    assert {one.state for one in findings.values()} == {"ok"}
    assert set(findings) == {"trend.conn", "trend.mem", "trend.fds", "trend.disk", "trend.latency", "backend.mem.growth"}


@pytest.mark.parametrize(
    ("steps", "severity"),
    [
        ((50, 60, 70, 80), "critical"),
        ((52, 55, 58, 61), "warning"),  # near, but not yet high
        ((10, 20, 30, 40), None),  # warming up after a start looks like that
        ((80, 79, 80, 79), None),
    ],
)
def test_a_leak_is_seen_within_minutes(steps: tuple[int, ...], severity: str | None, tmp_path: Path) -> None:
    points = [measured((3 - number) / 12, mem=value) for number, value in enumerate(steps)]
    findings = found(after(tmp_path, points[:-1]), points[-1])
    assert findings["backend.mem.growth"].severity == severity
    assert "trend.mem" not in findings


@pytest.mark.parametrize(
    ("name", "steps", "check", "severity", "hours"),
    [
        ("conn", (40, 50, 60, 70), "trend.conn", "critical", 3),
        ("conn", (40, 43, 46, 49), "trend.conn", "warning", 17),
        ("mem", (20, 40, 60, 80), "trend.mem", "critical", 1),
        ("fds", (10, 14, 18, 22), "trend.fds", "warning", 19.5),
        ("disk", (90, 92, 94, 96), "trend.disk", "critical", 2),
        ("p95", (1000, 2000, 3000, 4000), "trend.latency", "warning", 1),
    ],
)
def test_hours_to_the_limit(name: str, steps: tuple[int, ...], check: str, severity: str, hours: float, tmp_path: Path) -> None:
    points = [measured(3 - number, **{name: value}) for number, value in enumerate(steps)]
    findings = found(after(tmp_path, points[:-1]), points[-1])
    assert (findings[check].severity, findings[check].value) == (severity, pytest.approx(hours, abs=0.05))
    assert {one.state for other, one in findings.items() if other not in (check, "backend.mem.growth")} == {"ok"}


@pytest.mark.parametrize(
    "steps",
    [
        (30, 70, 20, 60),  # up and down
        (10, 11, 10, 12),  # noise
        (80, 60, 40, 20),  # getting better
        (40, 41, 42, 43),  # so slow that nobody can tell from three hours
    ],
)
def test_what_is_no_rise_is_fine(steps: tuple[int, ...], tmp_path: Path) -> None:
    points = [measured(3 - number, conn=value) for number, value in enumerate(steps)]
    assert found(after(tmp_path, points[:-1]), points[-1])["trend.conn"].state == "ok"


def test_memory_begins_anew_with_the_container(tmp_path: Path) -> None:
    earlier = [measured(3, mem=30), measured(2, mem=50), measured(1, mem=70)]
    run = after(tmp_path, earlier)
    assert found(run, measured(0, mem=90))["trend.mem"].severity == "critical"
    assert "trend.mem" not in found(run, measured(0, mem=90, started="2026-11-18T11:00:00Z"))


def test_runs_that_are_rare_are_still_a_trend(tmp_path: Path) -> None:
    points = [measured(days * 24, disk=value) for days, value in ((30, 0), (9, 40), (6, 60), (3, 80))]
    run = after(tmp_path, points)
    assert found(run, measured(0, disk=99))["trend.disk"].severity is not None
    known = trends.trends([measured(0, disk=99)], run, trends.Settings())["web1"][""]["trend_disk"]["data"]["mounts"]
    assert [(mount["mount"], mount["points"]) for mount in known] == [("/", 4)]


def test_trend_opens_a_pattern_about_its_owner(tmp_path: Path) -> None:
    points = [measured(3 - number, fds=value) for number, value in enumerate((20, 40, 60, 80))]
    findings = list(found(after(tmp_path, points[:-1]), points[-1]).values())
    first = outcome.conclude(findings, [points[-1]], samples.all_patterns())["diagnosis"][0]
    assert (first["pattern"], first["service"], first["verdict"]) == ("resource_running_out", "backend", "likely")


def test_run_is_remembered_once_and_does_not_count_twice(tmp_path: Path) -> None:
    run = after(tmp_path, [measured(2), measured(1)])
    assert trends.remember([measured(0)], run) is None
    assert len(trends.history_file(run).read_text(encoding="utf-8").splitlines()) == 3
    assert {point.time for point in trends.remembered(run)} == {samples.NOW - 2 * HOUR, samples.NOW - HOUR}


def test_evidence_without_numbers_leaves_no_line(tmp_path: Path) -> None:
    run = Workspace.create(tmp_path).path
    assert trends.remember([samples.document()], run) is None
    assert not trends.history_file(run).exists()


def test_history_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trends, "FILE_LIMIT", 4000)
    run = after(tmp_path, [measured(100 - number) for number in range(60)])
    path = trends.history_file(run)
    assert path.stat().st_size <= 4400
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["points"][0][0] == samples.NOW - 41 * HOUR


def test_torn_and_hostile_lines_are_left_out(tmp_path: Path) -> None:
    run = after(tmp_path, [measured(2)])
    path = trends.history_file(run)
    good = json.loads(path.read_text(encoding="utf-8"))
    rows: list[Any] = [[1], "x", None, [True, "h", "s", "conn", "", 1, None], [1, 2, "s", "conn", "", 1, None], [1, "h", "s", "conn", "", "9", None]]
    lines = ["[" * 50_000, "\x00\xff", "[]", json.dumps({**good, "points": rows, "run": "x"}), json.dumps({**good, "schema": "other"}), '{"schema": "sre.inci']
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines), encoding="utf-8")
    assert trends.remember([measured(1)], Workspace.create(tmp_path).path) is None
    assert {point.time for point in trends.remembered(run.with_name("later"))} == {samples.NOW - 2 * HOUR, samples.NOW - HOUR}


def test_history_that_can_not_be_read_is_unknown_and_not_written_is_told(tmp_path: Path) -> None:
    run = Workspace.create(tmp_path).path
    trends.history_file(run).mkdir()
    findings = found(run, measured(0))
    assert {one.state for one in findings.values()} == {"unknown"}
    assert "history.jsonl" in (findings["trend.conn"].reason or "")
    assert "can't be written" in (trends.remember([measured(0)], run) or "")


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), "90", True, None, [90]])
def test_numbers_that_are_none_are_no_points(value: Any, tmp_path: Path) -> None:
    document = measured(0, conn=value, fds=value, disk=value, p95=value)
    document["services"]["backend"]["sources"]["cgroup"] = answered(memory={"working_set": value, "limit": value})
    assert trends.points_of([document]) == []
    assert found(after(tmp_path, [measured(2), measured(1)]), document) == {}


def test_names_from_machines_are_cleaned_before_they_are_kept(tmp_path: Path) -> None:
    document = measured(0)
    document["machine"]["disk"] = answered(
        mounts=[{"mount": "/a\x1b[31m\n{{ 7*7 }}" + "x" * 500, "used_pct": 5}, {"mount": None, "used_pct": 5}, {"mount": "/b", "used_pct": "5"}]
    )
    points = [point for point in trends.points_of([document]) if point.measure == "disk"]
    assert len(points) == 1
    assert points[0].part.isprintable()
    assert len(points[0].part) <= trends.NAME_LIMIT
