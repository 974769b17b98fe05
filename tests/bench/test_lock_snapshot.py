# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long PostgreSQL needs for the snapshot while 200 sessions wait for one row, beside the source document's lock query on the same server.

Both are timed by the server's own clock, in turn. The document's query joins `pg_locks` with itself: it returns tens of thousands of pairs of victims.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from ansible_collections.sre.incident_response.plugins.module_utils.probe import pg_session, postgresql
from ansible_collections.sre.incident_response.tests.integration.lock_stage import PASSWORD, Stage, crowd, start_server
from ansible_collections.sre.incident_response.tests.integration.servers import Servers, address

WAITERS = 200
ROUNDS = 7
LIMIT_S = 0.5
SNAPSHOT = (Path(postgresql.__file__).parent / "pg_snapshot.sql").read_text(encoding="utf-8")
COMMANDS = yaml.safe_load((Path(__file__).parent / "source_commands.yml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Times:
    """Medians in seconds of the snapshot without and with waiters and of the document's query; `rows` of the latter, and who is in the snapshot's roots."""

    idle: float
    waiting: float
    document: float
    rows: int
    roots: list[str]

    def table(self) -> str:
        """What was measured, for people."""
        lines = [
            f"PostgreSQL with {WAITERS} sessions that wait for one row, {ROUNDS} rounds, medians in milliseconds of the server's clock",
            f"  {'snapshot, nobody waits':<48}{self.idle * 1000:8.0f}",
            f"  {f'snapshot, {WAITERS} wait':<48}{self.waiting * 1000:8.0f}   ratio {self.waiting / self.idle:.1f}; root: {', '.join(self.roots)}",
            f"  {f'lock query of the document, {WAITERS} wait':<48}{self.document * 1000:8.0f}   {self.rows} rows",
        ]
        return "\n".join(lines)


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """Function that starts a container of this test's own."""
    servers = Servers()
    yield servers.start
    servers.close()


def timed(session: psycopg.Connection[Any], query: str) -> tuple[float, list[tuple[Any, ...]]]:
    """Seconds between the server's clock before and after the query, and its rows."""
    clock = "SELECT extract(epoch FROM clock_timestamp())::float8"
    before = session.execute(clock).fetchall()[0][0]
    rows = session.execute(query).fetchall()
    return session.execute(clock).fetchall()[0][0] - before, rows


def lock_query_of_the_document() -> str:
    """The statement that the document pastes into psql."""
    command = next(entry["document"] for entry in COMMANDS if entry["question"] == "Who blocks whom?")
    return str(command.split('-c "', 1)[1].rsplit('"', 1)[0]).rstrip(";")


def measure(container: Any) -> Times:
    """Times on a server without and with waiters."""
    settings = " ".join(f"-c {name}={value}" for name, value in pg_session.SETTINGS.items())
    login = {"host": address(container), "user": "monitor", "password": PASSWORD, "dbname": "stage", "options": settings}
    stage = Stage(container)
    try:
        with psycopg.connect(**login, autocommit=True) as session:
            timed(session, SNAPSHOT)
            idle = [timed(session, SNAPSHOT)[0] for _round in range(ROUNDS)]
            crowd(stage, "crowd", WAITERS)
            waiting, document, rows, roots = [], [], 0, []
            for _round in range(ROUNDS):
                took, answer = timed(session, SNAPSHOT)
                waiting.append(took)
                roots = [root["app"] for root in answer[0][0]["locks"]["roots"]]
                took, answer = timed(session, lock_query_of_the_document())
                document.append(took)
                rows = len(answer)
    finally:
        stage.close()
    return Times(statistics.median(idle), statistics.median(waiting), statistics.median(document), rows, roots)


@pytest.mark.bench
def test_two_hundred_waiters_in_under_half_a_second(start: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The one root, in less time than half a second."""
    measured = measure(start_server(start))
    with capsys.disabled():
        print("\n" + measured.table())  # noqa: T201 the table is what people want to see
    assert measured.roots == ["crowd-holder"]
    assert measured.waiting < LIMIT_S, measured.table()
