# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner: every source gets its answer or a reason, and none can stop the others."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import registry, runner
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Context, Machine, Service, SourceError
from ansible_collections.sre.incident_response.plugins.module_utils.probe.registry import Source
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import FakeDocker

APP = Service("app", "fastapi", {"kind": "fastapi", "container": "app"})


def jobs_of(sources: list[Source], service: Service | None = None) -> list[runner.Job]:
    return [runner.Job(source, service) for source in sources]


def run(sources: list[Source], threads: int = 8, **options: Any) -> list[dict[str, Any]]:
    """Results of the sources, asked by a pool."""
    machine = Machine({}, FakeDocker(), {"budget_s": 5.0, **options})
    jobs = jobs_of(sources)
    runner.Pool(machine, jobs, threads).run()
    return [job.result or {} for job in jobs]


def answers(value: Any) -> Callable[[Context], dict[str, Any]]:
    return lambda _ctx: {"value": value}


def hangs(_ctx: Context) -> dict[str, Any]:
    threading.Event().wait(30)
    return {}


def refuses(_ctx: Context) -> dict[str, Any]:
    raise SourceError("permission", "permission denied on \x1b[31m/x; use become")


def breaks(_ctx: Context) -> dict[str, Any]:
    return {"value": {}["nowhere"]}


def test_answers_and_failures_stand_side_by_side() -> None:
    good, refused, broken = run([Source("good", answers(1)), Source("refused", refuses), Source("broken", breaks)])
    assert (good["ok"], good["data"]) == (True, {"value": 1})
    assert good["ms"] >= 0
    assert (refused["ok"], refused["kind"], refused["reason"]) == (False, "permission", "permission denied on /x; use become")
    assert (broken["ok"], broken["kind"]) == (False, "error")
    assert "broken of the machine failed: KeyError: 'nowhere'" in broken["reason"]


def test_a_hanging_source_is_given_up_at_its_own_limit() -> None:
    started = time.monotonic()
    hung, good = run([Source("hung", hangs, limit_s=0.2), Source("good", answers(1))])
    assert time.monotonic() - started < 2
    assert (hung["ok"], hung["kind"], hung["reason"]) == (False, "timeout", "hung of the machine did not answer within 0.2 s")
    assert good["ok"]


def test_hanging_sources_do_not_keep_others_from_their_turn() -> None:
    """With one thread the hanging source's place is given to the next."""
    results = run([Source("hung", hangs, limit_s=0.1), Source("next", answers(2)), Source("last", answers(3))], threads=1)
    assert [result["ok"] for result in results] == [False, True, True]


def test_what_has_not_answered_when_the_budget_ends_is_unfinished() -> None:
    running, never_asked = run([Source("running", hangs, limit_s=9), Source("waiting", answers(1))], threads=1, budget_s=0.3)
    assert (running["kind"], never_asked["kind"]) == ("unfinished", "unfinished")
    assert "running of the machine had not answered when the probe's time of 0.3 s ended" in running["reason"]
    assert "waiting of the machine was not asked" in never_asked["reason"]


def test_a_late_answer_does_not_replace_the_verdict() -> None:
    release = threading.Event()

    def late(_ctx: Context) -> dict[str, Any]:
        release.wait(5)
        return {"late": True}

    (result,) = run([Source("late", late, limit_s=0.1)])
    release.set()
    time.sleep(0.1)
    assert result["kind"] == "timeout"


def test_all_sources_run_at_the_same_time() -> None:
    def slow(_ctx: Context) -> dict[str, Any]:
        time.sleep(0.2)
        return {}

    started = time.monotonic()
    results = run([Source(str(number), slow) for number in range(8)])
    assert all(result["ok"] for result in results)
    assert time.monotonic() - started < 1.0


def test_a_machine_without_a_free_thread_is_still_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert [result["ok"] for result in run([Source("one", answers(1)), Source("refused", refuses), Source("two", answers(2))])] == [True, False, True]


@pytest.mark.parametrize(
    ("service", "sources", "expected"),
    [
        (Service("x", "external", {"url": "http://h/"}), ["container", "host"], {("machine", "host")}),
        (Service("db", "postgresql", {"host": "db.example"}), ["container", "volume"], set()),
        (Service("db", "postgresql", {"container": "app-db"}), ["container", "volume"], {("db", "container"), ("db", "volume")}),
        (Service("web", "fastapi", {"container": "app"}), ["volume", "cgroup"], {("web", "cgroup")}),
    ],
)
def test_only_sources_that_fit_a_service_are_asked(service: Service, sources: list[str], expected: set[tuple[str, str]]) -> None:
    jobs = runner.wanted_jobs({service.name: service}, sources)
    assert {(job.service.name if job.service else "machine", job.source.name) for job in jobs} == expected


def test_the_document_has_every_part_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MACHINE_SOURCES", [Source("host", answers("m"))])
    monkeypatch.setattr(runner, "SERVICE_SOURCES", [Source("container", answers("s"), ("redis",))])
    spec = {"kind": "redis", "container": "app-redis", "login_password": "hunter2", "url": "redis://u:hunter2@h/"}
    document = runner.collect({"services": {"cache": spec}, "sources": None, "options": {"sample_s": 0}})
    assert "hunter2" not in json.dumps(document)
    assert document["schema"] == "sre.incident_response/evidence/1"
    assert document["discovered"] is False
    assert document["machine"]["host"]["data"] == {"value": "m"}
    assert document["services"]["cache"]["sources"]["container"]["data"] == {"value": "s"}
    assert document["services"]["cache"]["spec"] == {"kind": "redis", "container": "app-redis", "url": "redis://h/"}
    assert document["options"]["sample_s"] == 0
    assert document["options"]["log_window_s"] == 900
    assert document["clock"]["host_epoch"] >= document["clock"]["started_epoch"]


def test_a_container_is_asked_about_once() -> None:
    docker = FakeDocker()
    machine = Machine({"app": APP}, docker)
    for _number in range(3):
        with pytest.raises(SourceError, match="there is no container app"):
            _container = Context(machine, APP).container
    assert docker.asked == ["inspect app"]


def test_names_of_sources_are_unique() -> None:
    names = [source.name for source in registry.SERVICE_SOURCES]
    machine_names = [source.name for source in registry.MACHINE_SOURCES]
    assert len(names) == len(set(names))
    assert len(machine_names) == len(set(machine_names))
