# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack of which every text wants to be more than text: nothing is executed, evaluated or rendered, and no control byte gets through."""

from __future__ import annotations

import base64
import contextlib
import html.parser
import importlib
import importlib.util
import json
import os
import pty
import re
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.sre.incident_response.tests.integration.playbooks import PROJECT, command, environment
from ansible_collections.sre.incident_response.tests.integration.servers import Servers, address, eventually, inventory, psql, ready_database, run_in
from ansible_collections.sre.incident_response.tests.lacking import lacking

pytestmark = pytest.mark.integration

SERVER = (Path(__file__).parent / "hostile_server.py").read_text(encoding="utf-8")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# A wait for a lock counts from then on.
WAIT_S = 5.5
# C0 without line feed, DEL, C1, and what changes the order or hides.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
# In a file a tab is an indent; our own templates have none either.
MULTIPLIED = "7 * 6983"
PRODUCT = "48881"
# Turns the page around: the report itself never does.
OWN = "document.dir='rtl'"


def payload(canary: str) -> bytes:
    """Everything at once; whoever executes, evaluates or renders a part of it leaves a trace."""
    # The beginning has some of everything, because much is cut soon.
    parts = [
        f"<script>{OWN}</script>{{{{ {MULTIPLIED} }}}}$(touch {canary})\x1b[31m",
        f"$(touch {canary}) `touch {canary}` ; touch {canary} # | touch {canary} && touch {canary} '\"",
        f"{{{{ {MULTIPLIED} }}}} {{% set x = lookup('ansible.builtin.pipe', 'touch {canary}') %}} {{{{ lookup('pipe', 'touch {canary}') }}}} {{#",
        f'<script>{OWN}</script><img src=x onerror="{OWN}"></pre></style><svg/onload={OWN}><iframe src=javascript:{OWN}></iframe><!-- ]]>',
        f"![x](javascript:{OWN}) [y](javascript:{OWN}) | `` ``` | <a href='javascript:{OWN}'>z</a>",
        "'; DROP TABLE orders; -- %s %n {0} \\x1b[31m \\u001b[31m",
        "\x1b[31mred\x1b[0m\x1b]0;owned\x07\x1b[2J\x1b]8;;http://x\x1b\\link\x9b31m\x08\x08\r\x0b\x0c\x7f\u202e\u2028\u200b",
    ]
    return "\n".join(parts).encode() + b"\x00 \xff\xfe\xc0\xaf\xed\xa0\x80"


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 2):
        return True
    return False


class HostileStack:
    """The containers, and what triage left behind."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.canary = Path(f"/tmp/c-{secrets.token_hex(4)}")
        self.payload = payload(str(self.canary))
        self.servers = servers
        self.folder = folder
        self.state_dir = folder / "incidents"
        self.sessions: list[psycopg.Connection[Any]] = []
        services = self.start()
        self.before = self.changed_files()
        self.output = self.triage(inventory(folder, services))
        self.report_dir = (self.state_dir / "latest").resolve()

    # -- the stack -------------------------------------------------------------------------------------------------------------------

    def start(self) -> dict[str, dict[str, Any]]:
        """Start everything and return the services; they are sick, so that every text is shown."""
        database = self.start_database()
        cache = self.start_cache()
        backend = self.start_server("application")
        proxy = self.start_server("proxy", CERTIFICATE=base64.b64encode(self.certificate()).decode())
        time.sleep(WAIT_S)
        return {
            "proxy": {"kind": "nginx", "container": proxy.name, "url": f"https://{address(proxy)}:8443", "depends_on": ["backend"]},
            "backend": {"kind": "fastapi", "container": backend.name, "url": f"http://{address(backend)}:8000", "depends_on": ["db", "cache", "payments"]},
            "db": {"kind": "postgresql", "container": database.name, "database": "app_prod"},
            "cache": {"kind": "redis", "container": cache.name, "cache_prefixes": ["cache:"]},
            "payments": {"kind": "external", "url": f"http://{address(backend)}:8000/health"},
        }

    def start_server(self, style: str, **variables: str) -> Any:
        encoded = base64.b64encode(self.payload).decode()
        # The engine itself takes only valid UTF-8 without NUL.
        label = self.payload.decode("utf-8", "replace").replace("\0", "")
        names = ("version", "revision", "title", "created", "vendor")
        container = self.servers.start(
            "backend",
            ["-c", SERVER, style],
            entrypoint="python3",
            user="root",
            environment={"PAYLOAD": encoded, "API_URL": "http://u:p@<b>{{ 7*7 }}$(id):80/x", "EVIL": label, **variables},
            labels={**{f"org.opencontainers.image.{name}": label for name in names}, "evil<script>{{ 7*7 }}": label},
            healthcheck={"test": ["CMD-SHELL", 'echo "$PAYLOAD" | base64 -d; exit 1'], "interval": 10**9, "timeout": 3 * 10**9, "retries": 1},
        )
        eventually(lambda: listens(address(container), 8000))
        return container

    def certificate(self) -> bytes:
        """A certificate that names itself in HTML and templates."""
        key, chain = self.folder / "key.pem", self.folder / "chain.pem"
        subject = f"/CN=<script>{{{{ {MULTIPLIED} }}}}/O=$(touch {self.canary.name})<img src=x onerror=y>"
        line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, "-keyout", str(key), "-out", str(chain)]
        subprocess.run(line, check=True, capture_output=True)
        return key.read_bytes() + chain.read_bytes()

    def start_database(self) -> Any:
        """Hostile names wherever PostgreSQL takes any; a session of such a name blocks another one."""
        container = self.servers.start("db")
        ready_database(container)
        role, table = "e<u>{{7*7}}$(id)", f"<img src=x onerror=y>{{{{7*7}}}}`touch {self.canary}`"
        quoted = table.replace('"', '""')
        psql(container, f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'evil'")
        psql(container, f'CREATE TABLE "{quoted}" (id int); INSERT INTO "{quoted}" VALUES (1); GRANT ALL ON "{quoted}" TO "{role}"', "app_prod")
        name = f"<script>y</script>{{{{7*7}}}}$(touch {self.canary})';--"
        login = {"host": address(container), "user": role, "password": "evil", "dbname": "app_prod", "application_name": name, "autocommit": True}
        holder, waiter = (psycopg.connect(**login) for _number in range(2))
        self.sessions += [holder, waiter]
        text = self.payload.decode("utf-8", "replace").replace("\0", "")
        with pytest.raises(psycopg.Error):
            holder.execute(psycopg.sql.SQL("SELECT {}::int").format(psycopg.sql.Literal(text)))
        holder.execute("BEGIN")
        holder.execute(f'UPDATE "{quoted}" SET id = 2 /* {text.replace("*/", "")} */')
        waiter.pgconn.send_query(f'UPDATE "{quoted}" SET id = 3 /* {text.replace("*/", "")} */'.encode())
        return container

    def start_cache(self) -> Any:
        """Hostile keys, client names, errors and slow commands; full, so that it is looked at closely."""
        container = self.servers.start("redis", environment={"PAYLOAD": base64.b64encode(self.payload).decode()})
        eventually(lambda: container.exec_run(["redis-cli", "ping"])[1] == b"PONG\n")
        run_in(container, "redis-cli", "config", "set", "slowlog-log-slower-than", "0")
        keys = 'for n in 1 2 3; do redis-cli -x set "cache:$n$(tr -d "\\0" < /tmp/key)" < /tmp/key; done'
        run_in(container, "sh", "-c", f'echo "$PAYLOAD" | base64 -d > /tmp/key && {keys}')
        run_in(container, "redis-cli", "eval", "for n = 1, 50 do pcall(redis.call, 'set', '<script>{{ 7*7 }}\\27[31m' .. n, 'x') end", "0")
        container.exec_run(["redis-cli", "eval", "return redis.error_reply('<SCRIPT>{{7*7}} $(id)')", "0"])
        run_in(container, "redis-cli", "config", "set", "maxmemory", "1mb")
        return container

    # -- triage ----------------------------------------------------------------------------------------------------------------------

    def triage(self, where: Path) -> bytes:
        """What a terminal gets to see; without Ansible's own colours, so that every control byte is somebody else's."""
        master, terminal = pty.openpty()
        shown = bytearray()

        def read() -> None:
            while True:
                try:
                    part = os.read(master, 65536)
                except OSError:
                    return
                if not part:
                    return
                shown.extend(part)

        reader = threading.Thread(target=read)
        line = command("triage", "-v", state_dir=self.state_dir, inventory=where)
        process = subprocess.Popen(line, env=environment({"TERM": "xterm-256color"}), cwd=PROJECT, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        reader.start()
        try:
            self.rc = process.wait(timeout=180)
        finally:
            process.kill()
            reader.join(timeout=10)
            os.close(master)
        # The terminal itself makes \r\n of every line feed.
        return bytes(shown).replace(b"\r\n", b"\n")

    def changed_files(self) -> dict[str, set[str]]:
        """Paths in each container's own layer, without those that PostgreSQL writes by itself all the time."""
        paths = {container.name: {entry["Path"] for entry in container.diff() or []} for container in self.servers.made}
        return {name: {path for path in changed if not path.startswith("/var/lib/postgresql/")} for name, changed in paths.items()}

    def files(self) -> list[Path]:
        """Everything that the run wrote."""
        return [path for path in self.report_dir.rglob("*") if path.is_file()]

    def text(self, name: str) -> str:
        """One of the reports."""
        return (self.report_dir / name).read_text(encoding="utf-8")

    def close(self) -> None:
        """End the sessions."""
        for session in self.sessions:
            session.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileStack]:
    """The stack after one triage."""
    with Servers() as servers, contextlib.closing(HostileStack(servers, tmp_path_factory.mktemp("hostile"))) as built:
        yield built


@dataclass(frozen=True)
class Element:
    """A start tag."""

    tag: str
    attributes: dict[str, str]


class Page(html.parser.HTMLParser):
    """All elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep every element."""
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def foreign(self) -> list[Element]:
        """Elements and attributes that the report's own template never has."""
        never = {"img", "iframe", "object", "embed", "link", "base", "form", "u", "i"}
        scripts = [element for element in self.elements if element.tag == "script"]
        handlers = [element for element in self.elements if any(name.startswith("on") for name in element.attributes)]
        links = [element for element in self.elements if element.attributes.get("href", "").strip().lower().startswith("javascript:")]
        return [element for element in self.elements if element.tag in never] + scripts[1:] + handlers + links


def test_the_run_ends_well_and_sees_the_hostile_texts(stack: HostileStack) -> None:
    """Otherwise this would show nothing."""
    assert stack.rc == 0, stack.output.decode("utf-8", "replace")
    report = json.loads(stack.text("report.json"))
    findings = [finding for finding in report["findings"] if finding["state"] == "finding"]
    marked = {finding["service"] for finding in findings if MULTIPLIED in json.dumps(finding) or "7*7" in json.dumps(finding)}
    assert marked >= {"proxy", "backend", "db"}, [(finding["id"], finding["service"], finding["summary"]) for finding in findings]
    assert "pg.locks.root" in {finding["id"] for finding in findings}
    unfit = [finding["reason"] for finding in report["findings"] if "does not fit the evidence" in str(finding["reason"])]
    assert unfit == []


def test_nothing_is_executed(stack: HostileStack) -> None:
    """Neither on the controller nor in a container: the file that every payload wants to make is nowhere, and no other file is new."""
    assert not stack.canary.exists()
    assert stack.changed_files() == stack.before
    assert not [path for paths in stack.before.values() for path in paths if stack.canary.name in path]


def test_nothing_is_evaluated(stack: HostileStack) -> None:
    """Templates stay what they are, in every file and on the terminal."""
    for path in stack.files():
        assert PRODUCT not in path.read_text(encoding="utf-8"), path
    assert PRODUCT.encode() not in stack.output
    assert f"{{{{ {MULTIPLIED} }}}}" in stack.text("report.json")


def test_no_control_byte_reaches_the_terminal(stack: HostileStack) -> None:
    """Line feeds are all that is left."""
    text = stack.output.decode("utf-8")
    assert CONTROL.findall(text) == []


def test_no_control_byte_reaches_a_file(stack: HostileStack) -> None:
    """Not even escaped inside JSON."""
    files = stack.files()
    assert {path.name for path in files} >= {"report.json", "report.md", "report.html", "timeline.jsonl"}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert CONTROL.findall(text) == [], path
        if path.suffix == ".html" or path.suffix == ".md":
            continue
        for line in text.splitlines() if path.suffix == ".jsonl" else [text]:
            assert CONTROL.findall("".join(strings(json.loads(line)))) == [], path


def strings(value: Any) -> Iterator[str]:
    """All texts of a JSON document, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def test_the_page_has_no_foreign_element(stack: HostileStack) -> None:
    """As the standard library reads it; that it would notice is shown by a page without escaping."""
    assert Page(f"<p>{stack.payload.decode('utf-8', 'replace')}</p>").foreign()
    assert Page(stack.text("report.html")).foreign() == []


def test_the_markdown_has_no_foreign_element(stack: HostileStack) -> None:
    """As a reader renders it that lets HTML through."""
    if importlib.util.find_spec("markdown_it") is None:
        lacking("the Python package markdown-it-py is not installed", "pip install markdown-it-py", provided=True)
    markdown_it = importlib.import_module("markdown_it")
    reader = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table")
    assert Page(reader.render(stack.payload.decode("utf-8", "replace").replace("\0", ""))).foreign()
    assert Page(reader.render(stack.text("report.md"))).foreign() == []


def test_a_browser_runs_nothing_of_it(stack: HostileStack, tmp_path: Path) -> None:
    """The document that a real browser makes of the page; it is asked first about a page without escaping."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        lacking("there is no Chromium", "on Debian: apt-get install chromium", provided=True)
    unescaped = tmp_path / "unescaped.html"
    unescaped.write_text(f"<p>{stack.payload.decode('utf-8', 'replace')}</p>", encoding="utf-8")
    assert "dir" in Page(document_of(browser, unescaped, tmp_path)).elements[0].attributes
    page = document_of(browser, stack.report_dir / "report.html", tmp_path)
    root = Page(page).elements[0]
    assert root.tag == "html"
    assert "dir" not in root.attributes
    assert Page(page).foreign() == []


def document_of(browser: str, page: Path, folder: Path) -> str:
    """The page's document after its scripts ran."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}"]
    return subprocess.run([browser, *options, "--dump-dom", page.as_uri()], capture_output=True, timeout=90, check=True).stdout.decode("utf-8", "replace")


def test_a_mebibyte_in_a_line_is_cut(stack: HostileStack) -> None:
    """A report stays readable whatever somebody logs."""
    assert (stack.report_dir / "report.html").stat().st_size < 2 * 1024 * 1024
    longest = max(len(text) for text in strings(json.loads(stack.text("report.json"))))
    assert longest < 5000


def test_hostile_names_are_never_put_into_a_command(stack: HostileStack) -> None:
    """A session is named by process id and start alone; a fact with other characters leaves a proposal without a command."""
    for proposal in json.loads(stack.text("report.json"))["proposals"]:
        command_text = proposal["command"] or ""
        assert not [part for part in (stack.canary.name, "7*7", "<script>", MULTIPLIED) if part in command_text], proposal
