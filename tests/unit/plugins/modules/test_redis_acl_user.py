# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of Redis: what is wanted, what is there, and nobody else's user is ever touched."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.modules import redis_acl_user as module

HASH = hashlib.sha256(b"pw").hexdigest()
WANTED = {"name": "ir", "password": "pw", "rules": ["+ping", "+client|list", "~cache:*"], "state": "present", "marker": "sre", "persist": "auto"}
COMMANDS = "-@all +ping +client|list"
# Replies to ACL GETUSER: Redis 7 and newer give patterns as one text with signs, 6.2 as lists without.
NEW = ["flags", ["on"], "passwords", [HASH], "commands", COMMANDS, "keys", "~cache:*", "channels", "&sre", "selectors", []]
OLD = ["flags", ["on"], "passwords", [HASH], "commands", COMMANDS, "keys", ["cache:*"], "channels", ["sre"]]


class FakeServer(module.Server):
    """Answers from a dictionary of users and notes what it was told."""

    def __init__(self, users: dict[str, Any], aclfile: str = "") -> None:
        self.users = users
        self.aclfile = aclfile
        self.told: list[tuple[str, ...]] = []

    def ask(self, what: str, *command: str) -> Any:
        if command[:2] == ("ACL", "GETUSER"):
            return self.users.get(command[2])
        if command[:3] == ("CONFIG", "GET", "aclfile"):
            return ["aclfile", self.aclfile]
        self.told.append(command)
        if command[:2] == ("ACL", "SETUSER"):
            self.users[command[2]] = NEW
        if command[:2] == ("ACL", "DELUSER"):
            self.users.pop(command[2])
        return "OK"


@pytest.mark.parametrize("reply", [NEW, OLD])
def test_the_same_user_is_recognised(reply: list[Any]) -> None:
    assert module.described(reply) == module.wanted(WANTED)


@pytest.mark.parametrize("reply", [NEW, OLD])
def test_nothing_to_do(reply: list[Any]) -> None:
    server = FakeServer({"ir": reply})
    assert module.apply(server, WANTED, check_mode=False)["changed"] is False
    assert server.told == []


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (1, ["off"]),
        (1, ["on", "nopass"]),
        (3, [HASH, "another"]),
        (5, f"{COMMANDS} +flushall"),
        (5, "-@all +ping"),
        (7, "~*"),
        (9, "&sre &news"),
        (11, [["commands", "+@all"]]),
    ],
)
def test_what_somebody_changed_is_taken_back(position: int, value: Any) -> None:
    """Any more or any fewer rights, and another password."""
    reply = [*NEW[:position], value, *NEW[position + 1 :]]
    server = FakeServer({"ir": reply})
    assert module.apply(server, WANTED, check_mode=False)["changed"] is True
    assert server.told == [("ACL", "SETUSER", "ir", "reset", "on", ">pw", "resetchannels", "&sre", "-@all", "+ping", "+client|list", "~cache:*")]


def test_made_and_removed() -> None:
    server = FakeServer({})
    made = module.apply(server, WANTED, check_mode=False)
    assert (made["changed"], made["before"], made["persisted"]) == (True, None, False)
    assert "aclfile" in made["persisted_reason"]
    removed = module.apply(server, {**WANTED, "state": "absent"}, check_mode=False)
    assert (removed["changed"], removed["after"], server.users) == (True, None, {})
    assert module.apply(server, {**WANTED, "state": "absent"}, check_mode=False)["changed"] is False


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_changes_nothing(state: str) -> None:
    server = FakeServer({} if state == "present" else {"ir": NEW}, aclfile="/etc/redis/users.acl")
    result = module.apply(server, {**WANTED, "state": state}, check_mode=True)
    assert (result["changed"], result["persisted"], server.told) == (True, None, [])


def test_password_is_in_no_result() -> None:
    result = module.apply(FakeServer({}), WANTED, check_mode=False)
    assert HASH not in str(result)
    assert "'pw'" not in str(result)


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_foreign_user_is_left_alone(state: str) -> None:
    server = FakeServer({"ir": [*NEW[:9], "&*", *NEW[10:]]})
    with pytest.raises(module.AclError, match="was not made by this module"):
        module.apply(server, {**WANTED, "state": state}, check_mode=False)
    assert server.told == []


def test_list_is_saved_where_there_is_a_file() -> None:
    """Also when nothing changed, because an earlier run may have failed there."""
    server = FakeServer({"ir": NEW}, aclfile="/etc/redis/users.acl")
    result = module.apply(server, WANTED, check_mode=False)
    assert (result["changed"], result["persisted"], server.told) == (False, True, [("ACL", "SAVE")])


@pytest.mark.parametrize(("persist", "told"), [("config", [("CONFIG", "REWRITE")]), ("never", [])])
def test_other_ways_to_persist(persist: str, told: list[tuple[str, ...]]) -> None:
    server = FakeServer({"ir": NEW})
    assert module.apply(server, {**WANTED, "persist": persist}, check_mode=False)["persisted"] is bool(told)
    assert server.told == told


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "default"}, "choose another name"),
        ({"name": "a b"}, "no space"),
        ({"marker": ""}, "at least one character"),
        ({"rules": ["+@all"]}, "neither one command nor keys"),
        ({"rules": ["allkeys"]}, "neither one command nor keys"),
        ({"rules": ["-ping"]}, "neither one command nor keys"),
        ({"rules": ["~a b"]}, "neither one command nor keys"),
        ({"rules": [">other"]}, "neither one command nor keys"),
        ({"rules": ["nopass"]}, "neither one command nor keys"),
    ],
)
def test_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(module.AclError, match=reason):
        module.checked({**WANTED, **change})


def test_documented_options_are_the_real_ones() -> None:
    """The argument spec and the documentation are two lists of the same."""
    import yaml

    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert set(documented) == set(module.arguments())
    for name, spec in module.arguments().items():
        assert (documented[name]["type"], documented[name].get("default")) == (spec["type"], [] if name == "rules" else spec.get("default"))
