# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.json, report.md and report.html: valid, self-contained, and safe whatever a machine said."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import os
import re
from pathlib import Path

import jsonschema
import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.fold import fold
from ansible_collections.sre.incident_response.plugins.plugin_utils.journal import Journal
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import html as html_report
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import json as json_report
from ansible_collections.sre.incident_response.plugins.plugin_utils.report import markdown
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.publish import RunNotFoundError, find_run, join, publish, write_whole
from ansible_collections.sre.incident_response.plugins.plugin_utils.report.view import limits
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import record_samples as samples

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/report.schema.json").read_text(encoding="utf-8"))
VOID = {"meta", "img", "br", "link", "input"}


class Page(html.parser.HTMLParser):
    """Collects what a browser would see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [value for own_tag, own_name, value in self.attributes if (own_tag, own_name) == (tag, name)]


def sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("name", samples.RUNS)
def test_json_keeps_its_contract(name: str) -> None:
    document = json.loads(json_report.render(samples.record_of(name)))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)


def test_timeline_lines_are_json() -> None:
    record = samples.record_of("incident")
    lines = json_report.render_timeline(record).splitlines()
    assert [json.loads(line)["text"] for line in lines] == [entry.text for entry in record.timeline]


@pytest.mark.parametrize("name", samples.RUNS)
def test_html_is_well_formed_and_refers_to_nothing_outside(name: str) -> None:
    page = Page(html_report.render(samples.record_of(name)))
    assert page.open == []
    assert not {"img", "link", "iframe", "object", "base", "form"} & set(page.tags)
    assert page.values("script", "src") == []
    assert all(value.startswith("#") for value in page.values("a", "href"))
    assert not [attribute for attribute in page.attributes if attribute[1].startswith("on") or attribute[1] == "style"]


def test_html_allows_exactly_its_own_style_and_script() -> None:
    page = Page(html_report.render(samples.record_of("incident")))
    assert page.tags.count("style") == page.tags.count("script") == 1
    policy = next(value for value in page.values("meta", "content") if "default-src" in value)
    assert "default-src 'none'" in policy
    assert f"style-src '{sha256(''.join(page.texts['style']))}'" in policy
    assert f"script-src '{sha256(''.join(page.texts['script']))}'" in policy
    assert "unsafe" not in policy


def test_html_escapes_hostile_text() -> None:
    text = html_report.render(samples.record_of("incident"))
    page = Page(text)
    assert "<img" not in text
    assert "{{ 7*7 }}" in text, "text of machines is never a template"
    assert any(samples.HOSTILE in part for part in page.texts["pre"])


def test_html_says_verdict_why_and_next_step_first() -> None:
    text = html_report.render(samples.record_of("incident"))
    header = text[text.index("<header") : text.index("</header>")]
    for wanted in ("INCIDENT", "suggested SEV2", "db_lock_contention on db", "pid 4242", "ends session 4242", "SELECT pg_terminate_backend(4242)"):
        assert wanted in header


@pytest.mark.parametrize(("name", "sentence"), [("interrupted", "INTERRUPTED by SIGTERM"), ("killed", "DID NOT FINISH")])
def test_reports_say_that_the_run_did_not_end(name: str, sentence: str) -> None:
    record = samples.record_of(name)
    assert sentence in html_report.render(record)
    assert sentence in markdown.render(record)


@pytest.mark.parametrize(
    ("severity", "value", "thresholds", "text"),
    [
        ("critical", 95.0, (80, 90), "warning 80, critical 90"),
        ("critical", 19.0, (60, 300), ""),
        ("warning", 85.0, (80, 90), "warning 80, critical 90"),
        ("critical", 2.0, (14, 3), "warning 14, critical 3"),
        ("critical", 20.0, (14, 3), ""),
        ("critical", 1.0, (1, None), ""),
        ("warning", 5, (1, None), "warning 1"),
        ("info", 5, (10, 20), "warning 10, critical 20"),
        ("critical", "exited", (None, None), ""),
    ],
)
def test_thresholds_are_told_where_they_decided(severity: str, value: object, thresholds: tuple[object, object], text: str) -> None:
    warning, critical = thresholds
    made = samples.finding("a.b", "db", severity, value=value, warning=warning, critical=critical)
    (found,) = fold([samples.started(), samples.assessment("r", made), samples.finished()]).findings
    assert limits(found) == text


def test_markdown_says_why_that_severity() -> None:
    assert "- Suggested severity: SEV2, because one core route is slow\n" in markdown.render(samples.record_of("incident"))


def test_html_of_a_healthy_run_says_its_counts_once() -> None:
    page = html_report.render(samples.record_of("healthy"))
    assert page.partition("<body>")[2].count("4 services, 4 checks ok") == 1


def test_html_links_only_web_addresses() -> None:
    for url, linked in (("https://awx.example/#/jobs/playbook/42", True), ("javascript:alert(1)", False)):
        events = samples.healthy_events()
        events[0].data["context"]["job"] = {"id": "42", "url": url}
        page = Page(html_report.render(fold(events)))
        assert (url in page.values("a", "href")) is linked


def test_matrix_shows_the_worst_and_never_hides_the_unknown() -> None:
    columns, rows = html_report.matrix(samples.record_of("incident"))
    assert columns == ["health", "host", "pg lock", "proxy", "redis health", "tls"]
    states = {row.name: [cell.state for cell in row.cells] for row in rows}
    assert states["db"] == ["none", "none", "critical", "none", "none", "none"]
    assert states["proxy"] == ["ok", "none", "none", "warning", "none", "unknown"]
    assert states["lab1"] == ["none", "unknown", "none", "none", "none", "none"]
    assert [row.state for row in rows] == ["critical", "critical", "warning", "unknown", "ok"]


def test_markdown_escapes_hostile_text() -> None:
    text = markdown.render(samples.record_of("incident"))
    assert "<img" not in text.replace("\\<img", "")
    assert samples.COMMAND in text
    record = samples.record_of("healthy")
    record.exonerated = ["``` | [a](http://x) ![b](c) <b> @here **x** #1 \n# title"]
    line = next(line for line in markdown.render(record).splitlines() if "title" in line)
    bare = re.sub(r"\\.", "", line)
    assert not set("`|[]<>@*#!") & set(bare), line
    assert "://" not in line


@pytest.mark.parametrize(("text", "span"), [("a.b", "`a.b`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a|b", "`a\\|b`"), ("a\nb", "`a b`")])
def test_markdown_code(text: str, span: str) -> None:
    assert markdown.code(text) == span


def test_an_investigation_is_in_every_report() -> None:
    record = samples.record_of("investigated")
    page, text = html_report.render(record), markdown.render(record)
    for report in (page, text):
        assert "Investigation: PostgreSQL" in report
        assert "db on lab1" in report
        assert "extension pg" in report
        assert "3 more rows" in report
        assert "<img" not in report.replace("\\<img", "")
    assert Page(page).tags.count("svg") == 2
    assert [name for tag, name, _value in Page(page).attributes if tag in ("svg", "line", "polyline") and name == "style"] == []
    assert "prometheus.example:9090" in page
    document = json_report.document(record)
    assert document["investigations"][0]["tables"][0]["rows"][1] == ["4243", "idle", ""]
    assert document["metrics"][0]["series"][0]["points"][-1][1] == 19.0


def test_a_run_is_added_to_an_incident(tmp_path: Path) -> None:
    """The report of the incident then has both: the diagnosis of its first run, and what the second one saw."""
    for name, events in (("01A", samples.incident_events()), ("01B", samples.investigated_events())):
        journal = Journal(tmp_path / "runs" / name / "segments" / f"{name}.jsonl", name)
        if name == "01B":
            assert join(tmp_path, "01A", journal.path) == tmp_path / "runs/01A"
        for event in events:
            journal.emit(event.kind, event.data)
        journal.close()
    record = publish(tmp_path / "runs/01A").record
    assert record.diagnosis[0].pattern == "db_lock_contention"
    assert [found.topic for found in record.investigations] == ["database"]
    assert record.problems == []
    with pytest.raises(RunNotFoundError, match="Run 'no such' is not in"):
        join(tmp_path, "no such", journal.path)


def test_publish_writes_all_reports(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "segments/R1.jsonl", "R1")
    for event in samples.incident_events():
        journal.emit(event.kind, event.data)
    journal.close()
    published = publish(tmp_path)
    assert published.html == tmp_path / "report.html"
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["report.html", "report.json", "report.md", "timeline.jsonl"]
    assert json.loads((tmp_path / "report.json").read_text())["diagnosis"][0]["pattern"] == "db_lock_contention"
    first = (tmp_path / "report.html").read_bytes()
    publish(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == first, "the same journal always gives the same report"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.md"
    write_whole(target, "old")

    def broken(_source: str, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_runs_are_found_by_id_by_folder_and_by_age(tmp_path: Path) -> None:
    for name in ("01A", "01B"):
        Journal(tmp_path / "runs" / name / "segments" / f"{name}.jsonl", name).close()
    assert find_run(tmp_path).name == "01B"
    assert find_run(tmp_path, "01A").name == "01A"
    assert find_run(tmp_path / "elsewhere", str(tmp_path / "runs/01A")).name == "01A"
    with pytest.raises(RunNotFoundError, match=r"Run '01C' is not in .*; it has 01B, 01A\."):
        find_run(tmp_path, "01C")
    with pytest.raises(RunNotFoundError, match="No run is recorded in"):
        find_run(tmp_path / "elsewhere")
