# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks ``incident_services`` and says in one sentence each what is wrong; what is right goes on without it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("fastapi", "nginx", "postgresql", "redis", "external")
WEB = ("fastapi", "nginx")
DATABASES = ("postgresql", "redis")
OURS = (*WEB, *DATABASES)
LONGEST_NAME = 100


@dataclass(frozen=True)
class Key:
    """A key of a service: its type in words, and the kinds of service that have it."""

    type: str
    kinds: tuple[str, ...]


KEYS = {
    "kind": Key("text", KINDS),
    "container": Key("text", OURS),
    "url": Key("url", (*WEB, "external")),
    "depends_on": Key("list", KINDS),
    "host": Key("text", OURS),
    "port": Key("port", OURS),
    "health_path": Key("path", WEB),
    "ready_path": Key("path", WEB),
    "frontend_path": Key("path", ("nginx",)),
    "frontend_marker": Key("text", ("nginx",)),
    "ca_file": Key("text", (*WEB, "external")),
    "database": Key("text", ("postgresql",)),
    "login_user": Key("text", DATABASES),
    "login_password": Key("secret", DATABASES),
    "mitigation_user": Key("text", DATABASES),
    "mitigation_password": Key("secret", DATABASES),
    "login_unix_socket": Key("text", ("postgresql",)),
    "cache_prefixes": Key("list", ("redis",)),
}


@dataclass(frozen=True)
class Problem:
    """One sentence about one service (None: about the whole variable)."""

    service: str | None
    sentence: str


@dataclass
class Checked:
    """``services``: what can be probed, by name, with known keys only. None when nothing was declared: then the probe discovers."""

    services: dict[str, dict[str, Any]] | None
    problems: list[Problem] = field(default_factory=list)


def check(declared: Any) -> Checked:
    """Check ``incident_services`` as it stands in the inventory."""
    if declared is None or declared == {} or declared == "":
        return Checked(None)
    if not isinstance(declared, Mapping):
        sentence = f"incident_services is {_shown(declared)}: it must be a dictionary of services, for instance {{backend: {{kind: fastapi, container: app}}}}"
        return Checked({}, [Problem(None, sentence)])
    services: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for name, spec in declared.items():
        good, sentences = _check_service(str(name), spec)
        problems += [Problem(str(name), sentence) for sentence in sentences]
        if good is not None:
            services[str(name)] = good
    return Checked(services, problems)


def _check_service(name: str, spec: Any) -> tuple[dict[str, Any] | None, list[str]]:
    """``(what can be probed or None, sentences)``."""
    if not name or len(name) > LONGEST_NAME:
        return None, [f"incident_services: the name {_shown(name)} must have 1 to {LONGEST_NAME} characters"]
    if not isinstance(spec, Mapping):
        return None, [f"service {name} is {_shown(spec)}: it must be a dictionary such as {{kind: fastapi, container: app}}"]
    kind = spec.get("kind")
    if kind not in KINDS:
        return None, [_kind_problem(name, kind)]
    good: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in spec.items():
        problem = _key_problem(name, str(kind), str(key), value)
        if problem:
            problems.append(problem)
        elif value is not None:
            good[str(key)] = int(value) if KEYS[str(key)].type == "port" else value
    missing = _missing(name, str(kind), good)
    return (None if missing else good), problems + ([missing] if missing else [])


def _kind_problem(name: str, kind: Any) -> str:
    allowed = ", ".join(KINDS)
    if kind is None:
        return f"service {name} has no kind: set it to one of {allowed}"
    close = difflib.get_close_matches(str(kind).lower(), KINDS, n=1)
    return f"service {name}: kind {_shown(kind)} is unknown{_hint(close)}; allowed are {allowed}"


def _key_problem(name: str, kind: str, key: str, value: Any) -> str | None:
    """The sentence about one key, None when it is right."""
    allowed = sorted(known for known, entry in KEYS.items() if kind in entry.kinds)
    if key not in KEYS:
        close = difflib.get_close_matches(key, allowed, n=1)
        return f"service {name}: key {_shown(key)} is unknown and is ignored{_hint(close)}; a {kind} service may have {', '.join(allowed)}"
    if kind not in KEYS[key].kinds:
        return f"service {name}: key {key} has no meaning for kind {kind} and is ignored; it may have {', '.join(allowed)}"
    wanted = None if value is None else _type_problem(KEYS[key].type, value)
    if wanted:
        shown = "given" if KEYS[key].type == "secret" else _shown(value)
        return f"service {name}: {key} is {shown} and is ignored; it must be {wanted}"
    return None


def _type_problem(wanted: str, value: Any) -> str | None:
    """What the value should have been, None when it is that."""
    is_text = isinstance(value, str) and bool(value)
    if wanted == "list":
        right = isinstance(value, (list, tuple)) and all(isinstance(item, str) and item for item in value)
        return None if right else "a list of texts"
    if wanted == "port":
        right = not isinstance(value, bool) and str(value).isdigit() and 0 < int(value) < 65536
        return None if right else "a number from 1 to 65535"
    if wanted == "url":
        return None if is_text and value.startswith(("http://", "https://")) and len(value) > len("https://") else "a URL that starts with http:// or https://"
    if wanted == "path":
        return None if is_text and value.startswith("/") else "a path that starts with /"
    return None if is_text else "a text"


def _missing(name: str, kind: str, spec: Mapping[str, Any]) -> str | None:
    """The sentence about a service that says too little to be found."""
    if kind == "external" and "url" not in spec:
        return f"service {name} has no usable url: an external service needs the URL to probe, for instance https://api.example.com/health"
    if kind in WEB and not {"url", "container", "host"} & spec.keys():
        return f"service {name} has neither url nor container: a {kind} service needs one of them to be found"
    if kind in DATABASES and not {"container", "host", "port", "login_unix_socket"} & spec.keys():
        return f"service {name} has neither container nor host: a {kind} service needs one of them to be found"
    return None


def _hint(close: list[str]) -> str:
    return f" (did you mean {close[0]}?)" if close else ""


def _shown(value: Any) -> str:
    """A value as a sentence shows it, bounded."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
