# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics: queries are data, answers are untrusted, and what Prometheus does not know is never called fine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment, metrics
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate
from ansible_collections.sre.incident_response.plugins.plugin_utils.supplements import answered
from ansible_collections.sre.incident_response.plugins.plugin_utils.web import WebError, target
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import estate_samples as samples
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.web_server import serving

OWN_QUERIES = samples.ROOT / "roles/metrics_check/files/queries.yml"
SPAN = metrics.Window(samples.NOW - 3600, samples.NOW, 30.0)
SHOP = Estate([samples.document()])
WHERE = target("incident_prometheus_url", "http://127.0.0.1:9090")


def matrix(values: list[Any]) -> dict[str, Any]:
    """An answer of ``query_range`` with one series."""
    return {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}}


def series(*values: float) -> list[list[float]]:
    """One value per five minutes, the last one now."""
    return [[samples.NOW - 300.0 * (len(values) - 1 - position), value] for position, value in enumerate(values)]


def stored(tmp_path: Path, answers: dict[str, Any], labels: dict[str, Any] | None = None, documents: list[dict[str, Any]] | None = None) -> Path:
    """The folder of a run in which these answers, by service and id of the query, were stored."""
    documents = documents or [samples.document()]
    asked = metrics.questions(Estate(documents), metrics.load_queries(OWN_QUERIES), labels or {}, 300)
    given = [answers.get(f"{question.service.name}:{question.query.id}", answers.get("*", [])) for question in asked]
    known = metrics.sources(asked, given, SPAN, labels or {}, "http://prometheus")
    workspace = Workspace.create(tmp_path)
    workspace.write_supplement("metrics", metrics.document(asked, given, SPAN, known, "http://prometheus"))
    return workspace.path


def found(run: Path, documents: list[dict[str, Any]] | None = None) -> dict[tuple[str, str], Any]:
    """Findings of the role by id and service."""
    checks = samples.checks_of("metrics_check")
    return {(one.id, one.service): one for one in assessment.assess(checks, documents or [samples.document()], "metrics_check", None, run)}


# -- queries ----------------------------------------------------------------------------------------------------------------------


def test_own_queries_are_valid_and_have_labels() -> None:
    queries = metrics.load_queries(OWN_QUERIES)
    assert {query.measure for query in queries} == set(metrics.MEASURES)
    assert {"p50", "p95", "p99"} <= {query.name for query in queries}
    assert all("$labels" in query.query for query in queries)


def test_labels_are_texts_that_can_not_leave_their_quotes() -> None:
    labels = metrics.checked_labels({"backend": {"job": 'a"} or vector(1) #', "env": "x\\\n"}})
    asked = metrics.questions(SHOP, metrics.load_queries(OWN_QUERIES), labels, 120)
    text = next(question.text for question in asked if question.service.name == "backend" and question.query.id == "rate.requests")
    assert text.startswith('sum(rate(http_requests_total{job="a\\"} or vector(1) #",env="x\\\\"}[120s]))')
    assert not any("$" in question.text for question in asked)
    assert {question.service.name for question in asked} == {"backend", "proxy", "db", "redis"}


@pytest.mark.parametrize("labels", ["job=x", {"backend": "job"}, {"backend": {}}, {"backend": {"a-b": "x"}}, {"backend": {"job": ["x"]}}, {"b": {"job": None}}])
def test_labels_that_are_none_are_one_sentence(labels: Any) -> None:
    with pytest.raises(metrics.QueryError, match="metrics_check_labels"):
        metrics.checked_labels(labels)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "x"}, "unknown key kind"),
        ({"query": ""}, "has no query"),
        ({"measure": "speed"}, "measure speed is none of"),
        ({"kinds": ["mysql"]}, "kinds must be a list of"),
        ({"id": "A B"}, "its id must look like"),
        ({"query": "x" * 7000}, "longer than"),
    ],
)
def test_query_that_is_wrong_is_one_sentence(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    entry = {"id": "rate.own", "measure": "rate", "name": "rate", "kinds": ["fastapi"], "query": "up", **change}
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump([entry]), encoding="utf-8")
    with pytest.raises(metrics.QueryError, match=sentence):
        metrics.load_queries(path)


@pytest.mark.parametrize("text", ["", "{}", "- 1", "- [", "\x00"])
def test_file_that_is_no_list_of_queries_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "queries.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(metrics.QueryError):
        metrics.load_queries(path)
    with pytest.raises(metrics.QueryError, match="can't be read"):
        metrics.load_queries(tmp_path / "missing.yml")


# -- window -----------------------------------------------------------------------------------------------------------------------


def test_window_begins_before_the_onset_and_is_bounded() -> None:
    def with_onset(age_s: float) -> Estate:
        onset = metrics.iso_time(samples.NOW - age_s)
        return Estate([samples.document(sources={"backend": {"logs": answered({"onset": onset})}})])

    assert metrics.window(SHOP, samples.NOW, 3600).start == samples.NOW - 3600
    early = metrics.window(with_onset(7200), samples.NOW, 3600)
    assert (early.start, early.onset) == (samples.NOW - 9000, samples.NOW - 7200)
    assert (early.end - early.start) / early.step <= metrics.POINTS
    assert metrics.window(with_onset(86400), samples.NOW, 3600).start == samples.NOW - 6 * 3600
    assert metrics.window(with_onset(-100), samples.NOW, 3600).onset is None


# -- answers ----------------------------------------------------------------------------------------------------------------------


def test_only_finite_numbers_are_taken() -> None:
    values = [[1, "1.5"], [2, "NaN"], [3, "+Inf"], ["4", "4"], [5, 5], [6], "x", [7, "7\x1b[31m"], [8, "1e400"], [9, "2"], None, [float("nan"), "1"]]
    assert metrics.points_in(matrix(values), WHERE) == [[1.0, 1.5], [9.0, 2.0]]
    assert len(metrics.points_in(matrix([[second, "1"] for second in range(5000)]), WHERE)) == 2 * metrics.POINTS


@pytest.mark.parametrize(
    "answer", [[], "x", {}, {"status": "success"}, {"status": "error", "error": "\x1b[31mno\n"}, {"status": "success", "data": {"result": {}}}]
)
def test_answer_of_another_shape_is_a_reason(answer: Any) -> None:
    with pytest.raises(WebError) as error:
        metrics.points_in(answer, WHERE)
    assert str(error.value).isprintable()


def test_more_than_one_series_is_a_mistake_in_the_query() -> None:
    answer = matrix([[1, "1"]])
    answer["data"]["result"] *= 3
    with pytest.raises(WebError, match="3 series; sum it up"):
        metrics.points_in(answer, WHERE)
    assert metrics.points_in({"status": "success", "data": {"result": []}}, WHERE) == []
    assert metrics.points_in({"status": "success", "data": {"result": ["x"]}}, WHERE) == []


def test_all_queries_are_asked_at_once_with_the_window() -> None:
    def answer(handler: Any) -> None:
        body = json.dumps(matrix([[samples.NOW, "7"]])).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    asked = metrics.questions(SHOP, metrics.load_queries(OWN_QUERIES), {}, 300)
    with serving(answer) as seen:
        answers = metrics.ask(target("incident_prometheus_url", f"{seen.url}/prom/", {"X-Scope-OrgID": "shop"}), asked, SPAN, 5)
    assert answers == [[[samples.NOW, 7.0]]] * len(asked)
    parameters = parse_qs(urlsplit(seen.paths[0]).query)
    assert urlsplit(seen.paths[0]).path == "/prom/api/v1/query_range"
    assert (float(parameters["start"][0]), float(parameters["end"][0]), parameters["step"]) == (SPAN.start, SPAN.end, ["30"])
    assert {{name.lower(): value for name, value in headers.items()}["x-scope-orgid"] for headers in seen.headers} == {"shop"}


def test_summary_compares_now_with_what_was_before_the_onset() -> None:
    told = metrics.summary(series(1, 1, 1, 1, 9, 8), metrics.Window(samples.NOW - 3600, samples.NOW, 30.0, samples.NOW - 400))
    assert (told["before"], told["now"], told["times"], told["peak"], told["points"]) == (1, 8, 8, 9, 6)
    ended = metrics.summary([[samples.NOW - 1000, 3.0]], SPAN)
    assert (ended["now"], ended["times"], ended["points"]) == (None, None, 1)
    assert metrics.summary([], SPAN)["points"] == 0


# -- checks -----------------------------------------------------------------------------------------------------------------------


def test_checks_find_what_prometheus_measured(tmp_path: Path) -> None:
    hour = [1.0] * 12
    answers = {
        "backend:errors.ratio": series(*[0.1] * 12, 12.5),
        "backend:latency.p50": series(*hour, 80),
        "backend:latency.p95": series(*[100.0] * 12, 4000),
        "backend:rate.requests": series(*[2.0] * 12, 9),
        "backend:saturation.files": series(*hour, 30),
        "db:saturation.connections": series(*hour, 97),
    }
    findings = found(stored(tmp_path, answers))
    assert {key: one.severity for key, one in findings.items()} == {
        ("metrics.error_ratio", "backend"): "critical",
        ("metrics.latency", "backend"): "critical",
        ("metrics.rate", "backend"): "warning",
        ("metrics.saturation", "backend"): None,
        ("metrics.saturation", "db"): "critical",
    }
    assert findings["metrics.error_ratio", "backend"].summary == "12.5 % of the requests fail, before it were 0.1 %"
    assert findings["metrics.saturation", "db"].summary == "97 % of connection slots are used"


def test_what_was_always_slow_and_what_nobody_asks_for_is_no_finding(tmp_path: Path) -> None:
    answers = {
        "backend:latency.p95": series(*[4000.0] * 13),
        "backend:errors.ratio": series(*[0.0] * 12, 50),
        "backend:rate.requests": series(*[0.01] * 13),
    }
    findings = found(stored(tmp_path, answers))
    assert {one.state for one in findings.values()} == {"ok"}
    assert ("metrics.rate", "backend") not in findings


def test_series_that_ended_is_unknown_and_not_ok(tmp_path: Path) -> None:
    findings = found(stored(tmp_path, {"backend:errors.ratio": [[samples.NOW - 1800, 0.0]]}))
    assert {key: one.state for key, one in findings.items()} == {("metrics.error_ratio", "backend"): "unknown"}


def test_prometheus_that_is_down_makes_every_check_unknown_with_its_reason(tmp_path: Path) -> None:
    findings = found(stored(tmp_path, {"*": "http://prometheus can't be asked: refused"}))
    assert len(findings) == 8
    assert {one.state for one in findings.values()} == {"unknown"}
    assert all("can't be asked: refused" in (one.reason or "") for one in findings.values())


def test_service_without_series_is_left_out_unless_its_labels_are_declared(tmp_path: Path) -> None:
    some = {"backend:rate.requests": series(*[1.0] * 13)}
    assert {service for _id, service in found(stored(tmp_path / "a", some))} == {"backend"}
    declared = found(stored(tmp_path / "b", some, {"db": {"job": "pg"}}))
    assert declared["metrics.saturation", "db"].state == "unknown"
    assert 'job="pg"' in (declared["metrics.saturation", "db"].reason or "")


def test_no_series_at_all_is_no_all_clear(tmp_path: Path) -> None:
    findings = found(stored(tmp_path, {}))
    assert {one.state for one in findings.values()} == {"unknown"}
    assert "set metrics_check_labels" in (findings["metrics.saturation", "db"].reason or "")


def test_part_that_could_not_be_asked_does_not_hide_the_other(tmp_path: Path) -> None:
    run = stored(tmp_path, {"redis:saturation.memory": series(99), "redis:saturation.clients": "answered 422: too many samples"})
    findings = assessment.assess(samples.checks_of("metrics_check"), [samples.document()], "metrics_check", None, run)
    assert [(one.service, one.state, one.severity) for one in findings] == [("redis", "finding", "critical"), ("redis", "unknown", None)]


def test_machine_that_can_not_be_reached_is_still_measured(tmp_path: Path) -> None:
    gone = samples.document(reachable=False, reason="no route to host")
    findings = found(stored(tmp_path, {"backend:errors.ratio": series(*[0.0] * 12, 100)}, documents=[gone]), [gone])
    assert findings["metrics.error_ratio", "backend"].severity == "critical"


def test_a_short_peak_is_not_lost_in_the_chart() -> None:
    points = [[float(number), 100.0 if number == 77 else 1.0] for number in range(240)]
    shown = metrics.thinned(points)
    assert len(shown) <= metrics.CHARTED_POINTS
    assert [77.0, 100.0] in shown
    assert shown[-1] == points[-1]
    assert shown == sorted(shown)
    assert metrics.thinned(points[:5]) == points[:5]


def test_the_journal_gets_errors_and_latency_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CHARTED_SERIES", 1)
    one = {"host": "web1", "service": "backend", "id": "x", "name": "p95", "unit": "ms", "query": "secret", "points": [[1.0, 2.0]]}
    kept = {"from": "http://p", "start": None, "end": None, "onset": None, "cut": False, "series": [{**one, "measure": "rate"}, {**one, "measure": "latency"}]}
    shown = metrics.charted(kept)
    assert [series["measure"] for series in shown["series"]] == ["latency"]
    assert shown["cut"] is True
    assert "query" not in shown["series"][0]


def test_series_are_kept_for_charts_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "SERIES_LIMIT", 2)
    run = stored(tmp_path, {"*": series(1, 2)})
    kept = json.loads((run / "supplements/metrics.json").read_text(encoding="utf-8"))
    assert kept["cut"] is True
    assert len(kept["series"]) == 2
    assert kept["series"][0]["points"] == series(1, 2)
