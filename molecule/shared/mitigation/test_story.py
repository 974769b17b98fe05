# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of every mitigation, one step after the other on a broken lab: proposed, shown, refused, done, proven, not done twice."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.tests.integration.playbooks import PROJECT, Run, run_playbook

# What the tests of a lab can't wait for: a person has a minute, they don't.
OPTIONS = {"mitigate_terminate_pg_idle": {"terminate_pg_idle_min_idle_s": 3}}


@pytest.fixture(scope="session")
def state_dir(scenario: str) -> Path:
    """Where the triage of this scenario keeps its runs."""
    return PROJECT / ".cache/molecule" / scenario / "incidents"


@pytest.fixture(scope="session")
def triage(state_dir: Path) -> dict[str, Any]:
    """The report of the triage, whatever ran since."""
    return json.loads(_of_triage(state_dir).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def proposal(triage: dict[str, Any]) -> dict[str, Any]:
    """What the triage proposes first."""
    return triage["proposals"][0]


@pytest.fixture(scope="session")
def mitigate(scenario: str, state_dir: Path) -> Callable[..., Run]:
    """Function that runs the playbook mitigate with some arguments."""
    options = json.dumps(OPTIONS.get(scenario, {}))
    return lambda *arguments: run_playbook("mitigate", "-e", options, *arguments, state_dir=state_dir)


@pytest.fixture
def world(container: Callable[[str], Any], sql: Callable[[str], str], proposal: dict[str, Any]) -> Callable[[], Any]:
    """Function that tells what the mitigation would change: sessions by id and start, or when containers were started."""

    def containers() -> dict[str, str]:
        names = [container(f"app-{name}").backend.name for name in ("proxy", "backend", "db", "redis")]
        lines = subprocess.run(["docker", "inspect", "--format", "{{.Name}} {{.State.StartedAt}}", *names], stdout=subprocess.PIPE, text=True, check=True)
        return dict(line.split() for line in lines.stdout.splitlines())

    def sessions() -> set[str]:
        # Pools come and go by themselves; whom the fault has put there does not.
        query = "SELECT pid, backend_start FROM pg_stat_activity WHERE application_name NOT IN ('app-backend', 'psql', 'ir_triage', '')"
        return set(sql(query).splitlines())

    return sessions if proposal["mitigation"].endswith(("pg_blocker", "pg_idle")) else containers


def test_triage_proposes_it(scenario: str, proposal: dict[str, Any]) -> None:
    assert f"mitigate_{proposal['mitigation']}" == scenario


def test_without_approval_it_only_says_what_it_would_do(mitigate: Callable[..., Run], world: Callable[[], Any], proposal: dict[str, Any]) -> None:
    before = world()
    run = mitigate()
    assert run.rc == 0, run.output
    assert sum(counts["changed"] for counts in run.recap.values()) == 0
    assert f"add -e incident_approve={proposal['id']}" in run.output
    assert proposal["command"].splitlines()[0] in run.output
    assert world() == before


def test_what_was_never_proposed_is_refused(mitigate: Callable[..., Run], world: Callable[[], Any]) -> None:
    before = world()
    run = mitigate("-e", "incident_approve=P99")
    assert run.rc != 0
    assert "does not propose P99" in run.output
    assert "REFUSED" in run.output
    assert world() == before


def test_what_is_too_old_is_refused(mitigate: Callable[..., Run], world: Callable[[], Any], proposal: dict[str, Any]) -> None:
    before = world()
    run = mitigate("-e", f"incident_approve={proposal['id']}", "-e", "incident_evidence_max_age=0.1")
    assert run.rc != 0
    assert "run triage again" in run.output
    assert world() == before


def test_check_mode_shows_the_target_and_changes_nothing(mitigate: Callable[..., Run], world: Callable[[], Any], proposal: dict[str, Any]) -> None:
    before = world()
    run = mitigate("-e", f"incident_approve={proposal['id']}", "--check", "--diff")
    assert run.rc == 0, run.output
    target = proposal["target"]
    name = str(target["container"] if proposal["mitigation"].endswith("service") else target.get("pid") or target["app"])
    assert name in run.output
    assert "would act on" in run.report["verdict"]["detail"]
    assert "--- before" in run.output
    assert world() == before


@pytest.fixture(scope="session")
def frozen_leak(scenario: str, container: Callable[[str], Any]) -> Iterator[None]:
    """The client of the connection leak takes every slot that becomes free, which nothing mends but ending it; one that hangs keeps what it has.

    It hangs until the end of the story.
    """
    # The bracket keeps pkill from finding the shell that starts it.
    leaks = scenario == "mitigate_terminate_pg_idle"
    if leaks:
        container("app-backend").check_output("pkill -STOP -f '[d]rill leak'")
    yield
    if leaks:
        container("app-backend").check_output("pkill -CONT -f '[d]rill leak'")


@pytest.mark.usefixtures("frozen_leak")
def test_approved_it_mends_the_service_and_proves_it(mitigate: Callable[..., Run], world: Callable[[], Any], proposal: dict[str, Any], state_dir: Path) -> None:
    before = world()
    run = mitigate("-e", f"incident_approve={proposal['id']}")
    assert run.rc == 0, run.output
    assert run.report["verdict"]["headline"] == "MITIGATED"
    assert run.report["incident"]["mitigated"]
    assert sum(counts["changed"] for counts in run.recap.values()) == 1
    after = world()
    mitigation = proposal["mitigation"]
    if mitigation == "terminate_pg_blocker":
        assert before - after == {line for line in before if line.startswith(f"{proposal['target']['pid']}|")}
    elif mitigation == "terminate_pg_idle":
        assert 0 < len(before - after) <= (len(before) + 1) // 2
    elif mitigation == "cancel_pg_query":
        assert before == after, "a container was started again, although only a query was to be cancelled"
    else:
        assert {name for name in after if after[name] != before[name]} == {f"/{proposal['target']['container']}"}
    (entry,) = [json.loads(path.read_text(encoding="utf-8")) for path in (state_dir / "mitigations").glob("*.json")]
    assert entry["state"] == "verified"
    kept = [state_dir / "runs" / entry["holder"]["run"] / name for name in entry["evidence"]]
    assert kept
    assert all(path.stat().st_size > 100 for path in kept)


def test_the_report_of_the_triage_tells_it(state_dir: Path) -> None:
    report = json.loads(_of_triage(state_dir).read_text(encoding="utf-8"))
    assert report["incident"]["status"] == "mitigated"
    assert [entry for entry in report["timeline"] if entry["kind"] == "gate" and "proven" in entry["text"]]


def _of_triage(state_dir: Path) -> Path:
    """The report of the run that has the proposals."""
    return [path for path in sorted(state_dir.glob("runs/*/report.json")) if json.loads(path.read_text(encoding="utf-8"))["proposals"]][-1]


def test_a_second_run_changes_nothing(mitigate: Callable[..., Run], world: Callable[[], Any], proposal: dict[str, Any]) -> None:
    before = world()
    run = mitigate("-e", f"incident_approve={proposal['id']}")
    assert run.rc == 0, run.output
    assert sum(counts["changed"] for counts in run.recap.values()) == 0
    assert run.report["verdict"]["headline"] == "NOTHING TO DO"
    assert world() == before


def test_a_new_triage_does_not_find_it_any_more(state_dir: Path, triage: dict[str, Any], proposal: dict[str, Any]) -> None:
    """Logs keep their errors for a quarter of an hour; what the mitigation acted on is fine."""
    run = run_playbook("triage", state_dir=state_dir.with_name("afterwards"))
    assert run.rc == 0, run.output
    again = [one for one in run.report["proposals"] if one["mitigation"] == proposal["mitigation"] and one["service"] == proposal["service"]]
    assert not again, again
    states = {service["name"]: service["state"] for service in run.report["services"]}
    assert proposal["target"].get("service", proposal["service"]) in states
