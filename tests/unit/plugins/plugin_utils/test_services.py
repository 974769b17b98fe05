# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong inventory costs one sentence each; what is right goes on."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import services

GOOD: dict[str, Any] = {
    "proxy": {"kind": "nginx", "container": "app-proxy", "url": "https://shop.example.com", "depends_on": ["backend"], "frontend_marker": 'id="root"'},
    "backend": {"kind": "fastapi", "container": "app-backend", "url": "http://127.0.0.1:8000", "depends_on": ["db"], "ready_path": "/ready"},
    "db": {"kind": "postgresql", "host": "db.example.com", "port": 5432, "database": "app_prod", "login_user": "ir", "login_password": "s"},
    "redis": {"kind": "redis", "container": "app-redis", "cache_prefixes": ["cache:"]},
    "payments": {"kind": "external", "url": "https://api.example/health"},
}


def sentences(declared: Any) -> list[str]:
    return [problem.sentence for problem in services.check(declared).problems]


def test_a_right_inventory_has_no_problem() -> None:
    checked = services.check(GOOD)
    assert checked.services == GOOD
    assert checked.problems == []


@pytest.mark.parametrize("declared", [None, {}, ""])
def test_nothing_declared_means_discover(declared: Any) -> None:
    assert services.check(declared) == services.Checked(None, [])


@pytest.mark.parametrize(
    ("spec", "words", "kept"),
    [
        ({"kind": "postgres"}, "kind 'postgres' is unknown (did you mean postgresql?); allowed are fastapi, nginx, postgresql, redis, external", False),
        ({"kind": "mainframe"}, "kind 'mainframe' is unknown; allowed are", False),
        ({"container": "app-db"}, "service x has no kind: set it to one of fastapi", False),
        ({"kind": "redis", "host": "r", "contaner": "y"}, "key 'contaner' is unknown and is ignored (did you mean container?); a redis service may have", True),
        ({"kind": "redis", "container": "r", "database": "y"}, "key database has no meaning for kind redis and is ignored; it may have", True),
        ({"kind": "redis", "container": "r", "port": "many"}, "port is 'many' and is ignored; it must be a number from 1 to 65535", True),
        ({"kind": "redis", "container": "r", "depends_on": "db"}, "depends_on is 'db' and is ignored; it must be a list of texts", True),
        ({"kind": "redis", "container": "r", "login_password": 5}, "login_password is given and is ignored; it must be a text", True),
        ({"kind": "fastapi", "container": "r", "health_path": "health"}, "health_path is 'health' and is ignored; it must be a path that starts with /", True),
        ({"kind": "fastapi", "url": "127.0.0.1:8000"}, "url is '127.0.0.1:8000' and is ignored; it must be a URL that starts with http:// or https://", False),
        ({"kind": "external"}, "has no usable url: an external service needs the URL to probe", False),
        ({"kind": "nginx", "depends_on": []}, "has neither url nor container: a nginx service needs one of them", False),
        ({"kind": "postgresql", "database": "x"}, "has neither container nor host", False),
        (["fastapi"], "service x is ['fastapi']: it must be a dictionary", False),
        (None, "service x is None: it must be a dictionary", False),
    ],
)
def test_each_mistake_is_one_sentence_with_service_value_and_next_step(spec: Any, words: str, kept: bool) -> None:
    checked = services.check({**GOOD, "x": spec})
    assert any(words in problem.sentence for problem in checked.problems)
    assert {problem.service for problem in checked.problems} == {"x"}
    assert checked.services is not None
    assert ("x" in checked.services) is kept
    assert set(GOOD) <= set(checked.services)


def test_an_ignored_key_does_not_reach_the_probe() -> None:
    checked = services.check({"r": {"kind": "redis", "container": "r", "contaner": "y", "port": "6380"}})
    assert checked.services == {"r": {"kind": "redis", "container": "r", "port": 6380}}


def test_something_that_is_no_dictionary_at_all() -> None:
    checked = services.check(["proxy", "backend"])
    assert checked.services == {}
    assert sentences(["proxy"])[0].startswith("incident_services is ['proxy']: it must be a dictionary of services")


def test_a_password_is_never_shown() -> None:
    assert not any("hunter2" in sentence for sentence in sentences({"r": {"kind": "redis", "container": "r", "login_password": ["hunter2"]}}))


def test_kinds_are_those_of_the_probe() -> None:
    from ansible_collections.sre.incident_response.plugins.module_utils.probe import context

    assert services.KINDS == context.KINDS
