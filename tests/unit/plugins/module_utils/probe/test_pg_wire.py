# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL client: passwords against published vectors, and conversations with a server that plays its part byte by byte."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import pg_wire
from ansible_collections.sre.incident_response.plugins.module_utils.probe.pg_scram import Scram, ScramError, md5_answer, normalized
from ansible_collections.sre.incident_response.plugins.module_utils.probe.pg_wire import PgConnection, PgError
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import exactly, remaining, tcp_server, unix_server

READY = b"Z" + struct.pack("!I", 5) + b"I"
LOGGED_IN = b"R" + struct.pack("!II", 8, 0)


def backend(kind: bytes, body: bytes) -> bytes:
    """A message as the server sends it."""
    return pg_wire.message(kind, body)


def error(sqlstate: str, text: str, severity: str = "FATAL") -> bytes:
    """ErrorResponse with a translated severity, as a server with lc_messages sends it."""
    fields = {"S": "FATAL" if severity == "FATAL" else "FEHLER", "V": severity, "C": sqlstate, "M": text, "F": "proc.c", "L": "1"}
    return backend(b"E", b"".join(name.encode() + value.encode() + b"\0" for name, value in fields.items()) + b"\0")


def row(*values: bytes | None) -> bytes:
    """DataRow in text form."""
    body = struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return backend(b"D", body)


def startup(connection: socket.socket) -> dict[str, str]:
    """Parameters of the client's startup message."""
    (size,) = struct.unpack("!I", exactly(connection, 4))
    parts = exactly(connection, size - 4)[4:].split(b"\0")
    return {name.decode(): value.decode() for name, value in zip(parts[::2], parts[1::2], strict=False) if name}


def frontend(connection: socket.socket) -> tuple[bytes, bytes]:
    """Next message of the client after its startup."""
    head = exactly(connection, 5)
    return head[:1], exactly(connection, struct.unpack("!I", head[1:])[0] - 4)


# -- passwords ---------------------------------------------------------------------------------------------------------------------


def test_scram_matches_the_vector_of_rfc_7677(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange of the RFC has a user name, which PostgreSQL does not: it is put in for the comparison."""
    scram = Scram("pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    monkeypatch.setattr(scram, "_bare", "n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert scram.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    server_first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    final = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert scram.final(server_first) == final
    scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize(
    ("server_first", "complaint"),
    [
        (b"r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
        (b"r=mine,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
        (b"r=mine+,i=4096", "lacks"),
        (b"r=mine+,s=!!,i=4096", "lacks"),
        (b"r=mine+,s=QQ==,i=99999999", "99999999 SCRAM iterations"),
        (b"", "nonce"),
    ],
)
def test_scram_refuses_a_server_that_does_not_play_by_the_rules(server_first: bytes, complaint: str) -> None:
    """Among them one that would keep the probe computing for minutes."""
    with pytest.raises(ScramError, match=complaint):
        Scram("secret", nonce="mine").final(server_first)


def test_scram_refuses_a_server_that_does_not_know_the_password() -> None:
    """A man in the middle can't make up the server's signature."""
    scram = Scram("secret", nonce="mine")
    scram.final(b"r=mine+,s=QQ==,i=4096")
    with pytest.raises(ScramError, match="does not know the password"):
        scram.verify(b"v=AAAA")


def test_md5_answer_is_what_the_protocol_defines() -> None:
    """Computed with md5sum from the definition in the protocol's documentation."""
    assert md5_answer("app", "secret", b"\x01\x02\x03\x04") == b"md5" + b"911f527656472583a006e7727877b33e"


def test_passwords_are_normalised_like_saslprep() -> None:
    """The same letter in two encodings is the same password."""
    assert normalized("pa\u0308ss") == normalized("p\u00e4ss") == "p\u00e4ss".encode()


# -- conversations -----------------------------------------------------------------------------------------------------------------


def test_logs_in_over_a_unix_socket_and_reads_rows(tmp_path: Path) -> None:
    """Settings travel as startup options; NULL stays apart from an empty text."""
    seen: dict[str, str] = {}

    def server(connection: socket.socket) -> None:
        seen.update(startup(connection))
        connection.sendall(LOGGED_IN + backend(b"S", b"server_version\x0017.2\0") + backend(b"K", struct.pack("!II", 4711, 1)) + READY)
        kind, body = frontend(connection)
        seen["query"] = (kind + body).decode()
        answer = backend(b"T", b"\0\0") + row(b"a", None) + row(b"", b"b") + backend(b"C", b"SELECT 2\0") + READY
        for start in range(0, len(answer), 7):  # in small pieces, as a slow network delivers them
            connection.sendall(answer[start : start + 7])
        seen["end"] = frontend(connection)[0].decode()

    with unix_server(f"{tmp_path}/.s.PGSQL.5432", server) as path:
        with PgConnection(path, "app", "app_prod", remaining(), settings={"jit": "off", "lock_timeout": "500ms"}) as connection:
            assert connection.backend_pid == 4711
            assert connection.parameters == {"server_version": "17.2"}
            assert connection.query("SELECT 1") == [[b"a", None], [b"", b"b"]]
        time.sleep(0.05)
    assert seen["options"] == "-c jit=off -c lock_timeout=500ms"
    assert (seen["user"], seen["database"], seen["application_name"]) == ("app", "app_prod", "ir_triage")
    assert (seen["query"], seen["end"]) == ("QSELECT 1\0", "X")


def test_asks_for_tls_first_and_goes_on_without(tmp_path: Path) -> None:
    """Over TCP, as libpq's default does."""

    def server(connection: socket.socket) -> None:
        assert exactly(connection, 8) == struct.pack("!II", 8, 80877103)
        connection.sendall(b"N")
        startup(connection)
        connection.sendall(LOGGED_IN + READY)

    with tcp_server(server) as port:
        assert PgConnection(("127.0.0.1", port), "app", "db", remaining()).tls is False


def test_reads_the_words_of_a_server_that_is_full() -> None:
    """A full server may answer already the question for TLS with an error; it is asked again to hear why."""

    def first(connection: socket.socket) -> None:
        exactly(connection, 8)
        connection.sendall(b"E")

    def second(connection: socket.socket) -> None:
        startup(connection)
        connection.sendall(error("53300", "sorry, too many clients already"))

    with tcp_server(first, second) as port, pytest.raises(PgError, match="too many clients") as caught:
        PgConnection(("127.0.0.1", port), "app", "db", remaining())
    assert (caught.value.sqlstate, caught.value.severity) == ("53300", "FATAL")


@pytest.mark.parametrize(
    ("request_body", "answer"),
    [
        (struct.pack("!I", 3), b"secret\0"),
        (struct.pack("!I", 5) + b"\x01\x02\x03\x04", b"md5911f527656472583a006e7727877b33e\0"),
    ],
    ids=["cleartext", "md5"],
)
def test_answers_password_requests(request_body: bytes, answer: bytes, tmp_path: Path) -> None:
    """Each in the form that the server asks for."""
    got: list[bytes] = []

    def server(connection: socket.socket) -> None:
        startup(connection)
        connection.sendall(backend(b"R", request_body))
        got.append(frontend(connection)[1])
        connection.sendall(LOGGED_IN + READY)

    with unix_server(f"{tmp_path}/s", server) as path:
        PgConnection(path, "app", "db", remaining(), password="secret").close()
    assert got == [answer]


def test_a_password_that_is_not_declared_is_an_error_of_its_own(tmp_path: Path) -> None:
    """It must not look like a wrong one."""

    def server(connection: socket.socket) -> None:
        startup(connection)
        connection.sendall(backend(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"))
        connection.recv(1)

    with unix_server(f"{tmp_path}/s", server) as path, pytest.raises(PgError, match="none is declared") as caught:
        PgConnection(path, "app", "db", remaining())
    assert caught.value.sqlstate == "28P01"


def test_a_login_that_needs_more_than_we_can_is_said_so(tmp_path: Path) -> None:
    """GSSAPI, for instance."""

    def server(connection: socket.socket) -> None:
        startup(connection)
        connection.sendall(backend(b"R", struct.pack("!I", 7)))
        connection.recv(1)

    with unix_server(f"{tmp_path}/s", server) as path, pytest.raises(PgError, match="authentication method 7"):
        PgConnection(path, "app", "db", remaining(), password="secret")


def test_an_error_of_a_statement_leaves_the_session_usable(tmp_path: Path) -> None:
    """The next statement gets its own answer."""

    def server(connection: socket.socket) -> None:
        startup(connection)
        connection.sendall(LOGGED_IN + READY)
        frontend(connection)
        connection.sendall(error("57014", "canceling statement due to statement timeout", "ERROR") + READY)
        frontend(connection)
        connection.sendall(row(b"1") + READY)

    with unix_server(f"{tmp_path}/s", server) as path, PgConnection(path, "app", "db", remaining()) as connection:
        with pytest.raises(PgError, match="57014"):
            connection.query("SELECT slow()")
        assert connection.query("SELECT 1") == [[b"1"]]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", PgError),
        (b"N\x7f\xff\xff\xff\xff", PgError),
        (b"", ConnectionResetError),
        (b"N" + LOGGED_IN[:4], ConnectionResetError),
    ],
    ids=["another protocol", "impossible length", "closes at once", "closes in the middle"],
)
def test_what_is_no_postgresql_is_an_error_and_no_hang(answer: bytes, expected: type[Exception]) -> None:
    """Whatever listens on the port."""

    def server(connection: socket.socket) -> None:
        exactly(connection, 8)
        connection.sendall(answer)

    with tcp_server(server) as port, pytest.raises(expected):
        PgConnection(("127.0.0.1", port), "app", "db", remaining())


def test_a_frozen_server_costs_no_more_than_the_limit() -> None:
    """The kernel accepts the connection of a stopped process."""
    with tcp_server(lambda _connection: time.sleep(5)) as port:
        started = time.monotonic()
        with pytest.raises(socket.timeout):
            PgConnection(("127.0.0.1", port), "app", "db", remaining(0.1))
        assert time.monotonic() - started < 1
