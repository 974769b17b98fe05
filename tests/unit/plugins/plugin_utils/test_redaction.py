# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: taken out in every form in which they show up in logs, commands and evidence; harmless text stays as it is."""

from __future__ import annotations

import json
import random
import time

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils.redaction import MAX_TEXT, Redactor, is_secret_key

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\ndef==\n-----END RSA PRIVATE KEY-----"

SECRETS = [
    ("postgres://app:s3cr/et@db:5432/app", "postgres://app:[redacted]@db:5432/app"),
    ("postgresql+asyncpg://app:p@ss@db/x", "postgresql+asyncpg://app:[redacted]@db/x"),
    ("redis://:pw@cache/0", "redis://:[redacted]@cache/0"),
    ("GET https://user:pw@shop.example/x", "GET https://user:[redacted]@shop.example/x"),
    ("https://abcdefghijklmnopqrstuv@git.example/x", "https://[redacted]@git.example/x"),
    ("host=db user=app password=hunter2 dbname=x", "host=db user=app password=[redacted] dbname=x"),
    ("PGPASSWORD=hunter2 psql", "PGPASSWORD=[redacted] psql"),
    ('password="abc def", next', 'password="[redacted]", next'),
    ('password="cut off in the middle', 'password="[redacted]'),
    ('{"password": "a\\"b c", "k": 1}', '{"password": "[redacted]", "k": 1}'),
    (r"{\"password\": \"hun\", \"x\": 1}", r"{\"password\": \"[redacted]\", \"x\": 1}"),
    ("{'secret_key': 'abc'}", "{'secret_key': '[redacted]'}"),
    ("aws_secret_access_key = abc/def+gh", "aws_secret_access_key = [redacted]"),
    ("X-Api-Key: zzz", "X-Api-Key: [redacted]"),
    ("redis_pass: abc", "redis_pass: [redacted]"),
    ("session_id=abc", "session_id=[redacted]"),
    ("invalid token: abc123", "invalid token: [redacted]"),
    ("Authorization: Bearer abc", "Authorization: [redacted]"),
    ('{"authorization": "Basic dXNlcjpwYXNz"}', '{"authorization": "[redacted]"}'),
    ("sent Bearer abcdef123456", "sent Bearer [redacted]"),
    ("Cookie: a=b; sid=xyz", "Cookie: [redacted]"),
    ('{"set-cookie": "x=y; Path=/"}', '{"set-cookie": "[redacted]"}'),
    (f"jwt {JWT} end", "jwt [redacted] end"),
    ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
    ("AIza" + "a" * 35, "[redacted]"),
    ("ghp_" + "a" * 36, "[redacted]"),
    ("xoxb-1234567890-abc", "[redacted]"),
    ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/services/[redacted]"),
    ("ALTER ROLE app PASSWORD 'it''s'", "ALTER ROLE app PASSWORD '[redacted]'"),
    ("redis-cli -h x -a pw ping", "redis-cli -h x -a [redacted] ping"),
    ("mysql --password hunter", "mysql --password [redacted]"),
    ("curl -s -u me:pw https://x", "curl -s -u me:[redacted] https://x"),
    (f"{KEY} tail", "[redacted] tail"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEcut", "[redacted]"),
]
HARMLESS = [
    "http://host:8080/path?email=a@b",
    "basic authentication failed",
    "bearer authentication failed",
    'password authentication failed for user "app"',
    "max_tokens=500",
    "token_expired: 5",
    "pass=3 fail=1",
    "primary key=5",
    "keyspace=1",
    "proxy_pass: http://backend:8000",
    "login_password: null",
    "AUTH (redacted)",
    "12:30:45 INFO 127.0.0.1:54321 - GET /health",
    "sha256:0123456789abcdef0123456789abcdef",
]


@pytest.mark.parametrize(("raw", "redacted"), SECRETS)
def test_secret(raw: str, redacted: str) -> None:
    redactor = Redactor()
    assert redactor.text(raw) == redacted
    assert sum(redactor.removed.values()) == 1


@pytest.mark.parametrize(("raw", "redacted"), SECRETS)
def test_redacting_twice_changes_and_counts_nothing(raw: str, redacted: str) -> None:
    redactor = Redactor()
    assert redactor.text(redacted) == redacted
    assert not redactor.removed


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless(text: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == text
    assert not redactor.removed


@pytest.mark.parametrize("raw", [raw for raw, _redacted in SECRETS])
def test_a_json_document_inside_a_text_stays_valid(raw: str) -> None:
    inner = json.dumps({"message": raw, "password": raw, "after": "kept"})
    outer = json.dumps({"log": inner})
    for document in (inner, outer):
        cleaned = json.loads(Redactor().text(document))
        inside = json.loads(cleaned["log"]) if "log" in cleaned else cleaned
        assert inside["password"] == "[redacted]"
        assert inside["after"] == "kept"


def test_values_are_redacted_by_their_key() -> None:
    redactor = Redactor()
    value = {"login_password": 1234, "tokens": 5, "password": ["a", {"x": "b"}], "api_key": None, "ok": True, "nested": {"DB_PASSWORD": "x"}, "secret": ""}
    assert redactor.value(value) == {
        "login_password": "[redacted]",
        "tokens": 5,
        "password": ["[redacted]", {"x": "[redacted]"}],
        "api_key": None,
        "ok": True,
        "nested": {"DB_PASSWORD": "[redacted]"},
        "secret": "",
    }
    assert redactor.removed["secret value"] == 4


@pytest.mark.parametrize(
    ("key", "secret"),
    [("password", True), ("X-Auth-Token", True), ("login_password", True), ("token_expired", False), ("pid", False), ("keys", False)],
)
def test_secret_key(key: str, secret: bool) -> None:
    assert is_secret_key(key) is secret


def test_own_secrets() -> None:
    redactor = Redactor(["Bluebird", "regex:card [0-9]{4}"])
    assert redactor.text("project Bluebird, card 1234") == "project [redacted], [redacted]"
    assert redactor.removed["incident_redact"] == 2
    assert redactor.problems == []


def test_own_secrets_that_can_not_be_used_are_named() -> None:
    redactor = Redactor(["regex:(abc", "ab"])
    assert len(redactor.problems) == 2
    assert "is not a regular expression" in redactor.problems[0]
    assert redactor.text("ab") == "ab"


def test_every_value_becomes_json() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd \x1b[31mthing"

    value = {1: float("nan"), "set": {"a"}, "odd": Odd(), "bytes": b"x", "a\x00": 1, "a": 2}
    cleaned = Redactor().value(value)
    assert json.loads(json.dumps(cleaned, allow_nan=False)) == cleaned
    assert cleaned["odd"] == "odd thing"
    assert cleaned["a"] == 1
    assert cleaned["a'"] == 2


def test_depth_is_bounded() -> None:
    deep: list[object] = []
    for _level in range(5000):
        deep = [deep]
    assert "nested too deeply" in json.dumps(Redactor().value(deep))


def test_long_text_is_cut_after_redacting() -> None:
    text = "x" * (MAX_TEXT - 10) + " password=hunter2-and-more"
    cleaned = Redactor().text(text)
    assert "hunter2" not in cleaned
    assert cleaned.endswith("more characters cut]")


@pytest.mark.parametrize(
    "part",
    ['"', 'password="', "://", "-----BEGIN PRIVATE KEY-----", "a", "secret", "\x9d", "cookie: ", "a:", "token= ", "a-", "\\", "eyJaaaaaa.", "x://y:"],
)
def test_hostile_text_takes_no_long_time(part: str) -> None:
    text = part * (100_000 // len(part))
    before = time.process_time()
    Redactor().text(text)
    assert time.process_time() - before < 2


def test_random_text_never_fails() -> None:
    source = random.Random(7)  # reproducible noise, no cryptography
    parts = [raw for raw, _redacted in SECRETS] + ['"', "\\", "\x1b", "\n", "=", ":", "\ud800"]
    for _round in range(1500):
        text = "".join(source.choice(parts)[: source.randint(0, 40)] for _part in range(8))
        Redactor().text(text).encode()
