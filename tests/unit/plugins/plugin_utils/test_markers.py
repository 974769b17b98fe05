# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy markers: every usual form is read, bad ones are one sentence, and nearness to the onset decides their order."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment, markers
from ansible_collections.sre.incident_response.plugins.plugin_utils.derived import changes
from ansible_collections.sre.incident_response.plugins.plugin_utils.estate import Estate
from ansible_collections.sre.incident_response.plugins.plugin_utils.expressions import iso_time
from ansible_collections.sre.incident_response.plugins.plugin_utils.supplements import supplemented
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import estate_samples as samples
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.estate_samples import answered
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils.web_server import replying, serving

NOW = samples.NOW
HOSTILE = "\x1b[31m<script>\n{{ lookup('pipe', 'id') }}\u202e"


def marker(ago_s: float, service: str = "backend", **more: Any) -> dict[str, Any]:
    """An entry as a pipeline writes it."""
    return {"time": iso_time(NOW - ago_s), "service": service, "version": "1.2", "who": "ci", **more}


def written(tmp_path: Path, text: str) -> Path:
    """A file with that text."""
    path = tmp_path / "markers"
    path.write_text(text, encoding="utf-8")
    return path


def shop(onset_ago_s: float | None = None) -> dict[str, Any]:
    """Evidence of a shop whose backend began to fail so long ago."""
    logs = answered(onset=None if onset_ago_s is None else iso_time(NOW - onset_ago_s))
    return samples.document(sources={"backend": {"logs": logs}}, machine={"changes": answered(recent=[])})


def stored(tmp_path: Path, found: markers.Markers | None, document: dict[str, Any], reason: str = "") -> Path:
    """The folder of a run that has read these markers."""
    workspace = Workspace.create(tmp_path)
    workspace.write_supplement("markers", {"sources": markers.sources(Estate([document]), found, reason, NOW).as_dict()})
    return workspace.path


def findings_of(run: Path, document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Findings about markers by id and service, the last of each."""
    found = assessment.assess(samples.checks_of("change_scan"), [document], "change_scan", None, run)
    return {(one.id, one.service): one for one in found if one.id.startswith("change.marker")}


def test_json_lines_and_lists_say_the_same(tmp_path: Path) -> None:
    entries = [marker(600), marker(60, version=3)]
    texts = ["\n".join(map(json.dumps, entries)) + "\n\n", json.dumps(entries), "- {time: 2026-11-18T10:56:40Z, service: backend, version: '1.2', who: ci}\n"]
    for text in texts:
        found = markers.from_file(written(tmp_path, text), NOW)
        assert found.problems == []
        assert markers.Marker(NOW - 600, "backend", "1.2", "ci") in found.markers
    assert markers.from_file(written(tmp_path, ""), NOW) == markers.Markers()
    assert [one.time for one in markers.from_file(written(tmp_path, texts[0]), NOW).markers] == [NOW - 60, NOW - 600]


@pytest.mark.parametrize("time", [NOW - 60, (NOW - 60) * 1000, "2026-11-18T11:05:40Z", "2026-11-18T12:05:40+01:00", "2026-11-18 11:05:40"])
def test_times_of_every_usual_form(time: Any) -> None:
    assert [one.time for one in markers.collected([("entry 1", {"time": time})], NOW).markers] == [NOW - 60]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("x", "entry 1 is x and not a marker"),
        (None, "entry 1 is no JSON object"),
        ({"service": "backend"}, "entry 1 has no time"),
        ({"time": "soon"}, "entry 1 has the time soon, which is none"),
        ({"time": [1]}, "entry 1 has the time 1, which is none"),
        ({"time": -5}, "entry 1 has the time -5, which is none"),
        ({"time": float("nan")}, "entry 1 has the time nan, which is none"),
        ({"time": NOW + 3600}, "entry 1 lies in the future (2026-11-18T12:06:40Z)"),
        ({"time": 10**400}, f"entry 1 has the time 1{'0' * 76}..., which is none"),
        ({"time": True}, "entry 1 has the time yes, which is none"),
    ],
)
def test_entry_that_is_no_marker_is_one_sentence_and_the_others_count(entry: Any, problem: str) -> None:
    found = markers.collected([("entry 1", entry), ("entry 2", marker(60))], NOW)
    assert found.problems == [problem]
    assert len(found.markers) == 1


def test_old_and_too_many_markers_are_left_out() -> None:
    entries = [("x", marker(8 * 86400)), *(("x", marker(number)) for number in range(300))]
    found = markers.collected(entries, NOW)
    assert (len(found.markers), found.problems) == (markers.MARKER_LIMIT, [])
    assert found.markers[0].time == NOW


@pytest.mark.parametrize("text", ["backend: 1.2", "- [", "hello", "!!python/object/apply:os.system [id]", "\x00", "[" * 3000])
def test_file_that_holds_no_markers_is_one_sentence(text: str, tmp_path: Path) -> None:
    with pytest.raises(markers.MarkerError, match="neither JSON lines nor a YAML list") as error:
        markers.from_file(written(tmp_path, text), NOW)
    assert str(error.value).isprintable()


def test_places_that_are_no_file_are_one_sentence(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, tmp_path / "missing", fifo, Path("/dev/zero")):
        with pytest.raises(markers.MarkerError, match="is no file"):
            markers.from_file(path, NOW)


def test_long_files_are_read_from_their_end_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markers, "LINES_LIMIT", 1000)
    monkeypatch.setattr(markers, "DOCUMENT_LIMIT", 1000)
    lines = "\n".join(json.dumps(marker(1000 - number)) for number in range(100))
    found = markers.from_file(written(tmp_path, lines), NOW)
    assert found.problems == []
    assert found.markers[0].time == NOW - 901
    with pytest.raises(markers.MarkerError, match="more than 1 MB"):
        markers.from_file(written(tmp_path, json.dumps([marker(1)] * 100)), NOW)


def test_address_answers_with_a_list_or_an_object() -> None:
    for body in ([marker(60)], {"markers": [marker(60)]}):
        with serving(replying(json.dumps(body).encode())) as seen:
            assert len(markers.from_url(seen.url, {"X-Token": "t"}, 5, NOW).markers) == 1
            assert {name.lower(): value for name, value in seen.headers[0].items()}["x-token"] == "t"
    with serving(replying(b'{"status": "ok"}')) as seen, pytest.raises(markers.MarkerError, match="no list of deploy markers"):
        markers.from_url(seen.url, {}, 5, NOW)
    with pytest.raises(markers.MarkerError, match="incident_deploy_markers_url is no address"):
        markers.from_url("deploys", {}, 5, NOW)


def test_nearest_to_the_onset_comes_first(tmp_path: Path) -> None:
    document = shop(onset_ago_s=900)
    document["machine"]["changes"] = answered(
        recent=[{"time": iso_time(NOW - 950), "age_s": 950, "kind": "config", "what": "backend: x", "service": "backend"}]
    )
    found = markers.collected([("x", marker(age)) for age in (30, 1000, 7200)], NOW)
    run = stored(tmp_path, found, document)
    estate = Estate(supplemented([document], ["markers"], run, {}))
    ranked = changes(estate, next(service for service in estate.services if service.name == "backend"))
    assert [(change["kind"], change["onset_after_s"], change["correlated"]) for change in ranked] == [
        ("config", 50, True),
        ("marker", 100, True),
        ("marker", -870, False),
        ("marker", 6300, False),
    ]


def test_marker_before_the_onset_is_a_lead_and_one_on_a_healthy_system_is_none(tmp_path: Path) -> None:
    found = markers.collected([("x", marker(1000))], NOW)
    broken, fine = shop(onset_ago_s=900), shop()
    lead = findings_of(stored(tmp_path / "a", found, broken), broken)["change.marker", "backend"]
    assert (lead.severity, lead.summary) == ("warning", "backend: version 1.2 was deployed by ci 16.7 min ago")
    assert lead.evidence[0]["text"] == "errors began 100 s later"
    assert findings_of(stored(tmp_path / "b", found, fine), fine)["change.marker", "backend"].severity == "info"


def test_marker_of_an_unknown_service_is_told_once(tmp_path: Path) -> None:
    document = shop()
    found = markers.collected([("x", marker(60, "billing")), ("x", marker(60, "app-db")), ("x", {"time": NOW - 60})], NOW)
    findings = findings_of(stored(tmp_path, found, document), document)
    assert findings["change.marker", "db"].severity == "info"
    assert findings["change.marker", "backend"].state == "ok"
    assert findings["change.marker_other", ""].severity == "info"


def test_what_can_not_be_read_is_unknown_once_and_bad_entries_are_told(tmp_path: Path) -> None:
    document = shop()
    findings = findings_of(stored(tmp_path / "a", None, document, "incident_deploy_markers_file x is no file"), document)
    assert {key: one.state for key, one in findings.items()} == {("change.marker_other", ""): "unknown", ("change.marker_unusable", ""): "unknown"}
    some = markers.collected([("line 1", None), ("line 2", {})], NOW)
    told = findings_of(stored(tmp_path / "b", some, document), document)["change.marker_unusable", ""]
    assert (told.severity, told.summary) == ("info", "2 deploy markers can't be used; the first: line 1 is no JSON object")


def test_without_markers_nothing_is_asked(tmp_path: Path) -> None:
    assert findings_of(Workspace.create(tmp_path).path, shop()) == {}


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    document = shop(onset_ago_s=900)
    hostile = {"service": "backend", "version": HOSTILE + "x" * 5000, "who": HOSTILE, "kind": "deploy", "previous_image": "evil"}
    found = markers.collected([("x", marker(1000, **hostile)), ("x", marker(1000, who={"a": HOSTILE}))], NOW)
    run = stored(tmp_path, found, document)
    one = findings_of(run, document)["change.marker", "backend"]
    assert one.summary.isprintable()
    assert len(one.summary) <= 200
    estate = Estate(supplemented([document], ["markers"], run, {}))
    assert {change["kind"] for change in changes(estate, estate.services[1])} == {"marker"}
