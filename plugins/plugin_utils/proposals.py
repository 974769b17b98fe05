# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns a likely cause into the safest action with its exact target and the command to paste. Pure; nothing is executed here.

A command is our own template with facts put in. Each fact has to match a pattern of its own that admits no character with a meaning
to a shell or to SQL; a fact that does not match leaves the proposal without a command and says why.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from .check_entries import PLACEHOLDER
from .diagnosis import LIKELY, UNCLASSIFIED, Candidate, Scope
from .estate import Estate, Service
from .findings import Finding, clean_text
from .patterns import RUN_ON

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
# What each fact may look like in a command.
FACTS: dict[str, str] = {
    "pid": r"[1-9][0-9]{0,9}",
    "min_idle_s": r"[0-9]{1,6}",
    "backend_start": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,18}(?:Z|[+-][0-9:]{2,6})?",
    "query_start": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,18}(?:Z|[+-][0-9:]{2,6})?",
    "container": _NAME,
    "machine": _NAME,
    "network": _NAME,
    "alias": _NAME,
    "database": _NAME,
    "login_user": _NAME,
    "role": _NAME,
    "app": r"[A-Za-z0-9_.:@/ -]{0,64}",
    "client": r"local|[0-9A-Fa-f.:]{2,45}",
    "prefix": r"[A-Za-z0-9_-]{1,40}:",
    "url": r"https?://[A-Za-z0-9.:\[\]-]{1,200}(?:/[A-Za-z0-9._/-]{0,200})?",
    "server": r"[A-Za-z0-9.-]{1,253}",
    "port": r"[1-9][0-9]{0,4}",
    "image": r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,255}",
    "previous_image": r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,255}",
    "mount": r"/[A-Za-z0-9._/-]{0,200}",
    "ca_file": r"/[A-Za-z0-9._/-]{1,200}",
    "certificate_file": r"/[A-Za-z0-9._/-]{1,200}",
    "key_file": r"/[A-Za-z0-9._/-]{1,200}",
    "run_options": r"(?: ?--?[a-z-]{1,20} [A-Za-z0-9_./:=-]{1,250}){0,40}",
}
# A client that does not say what it is called is a client all the same.
MAY_BE_EMPTY = ("app",)
# Made here of facts that have been checked, so they may hold spaces.
MADE_HERE = ("psql", "redis_cli", "run_options")


class FactError(ValueError):
    """A fact is missing or can't be put into a command safely; the message is one sentence."""


@dataclass(frozen=True)
class Action:
    """The chosen action of a pattern, and what it acts on. ``run_on`` is one of RUN_ON."""

    mitigation: str
    effect: str
    undo: str
    target: dict[str, Any]
    command: str | None
    note: str | None
    run_on: str

    def as_dict(self) -> dict[str, Any]:
        """The form of ``first_action`` in a diagnosis."""
        return {
            "mitigation": self.mitigation,
            "target": self.target,
            "effect": self.effect,
            "undo": self.undo,
            "command": self.command,
            "run_on": self.run_on,
            "note": self.note,
        }


def choose_action(one: Candidate, scope: Scope) -> Action:
    """The action of the candidate's pattern that fits what else was found, with its command filled in."""
    about = scope.about(one.root)
    rule: Mapping[str, Any] = one.pattern.first_action
    while "otherwise" in rule and _any_match(rule.get("unless") or [], about):
        rule = rule["otherwise"]
    source = _source_of(rule, about, one)
    target = target_facts(one, source, scope.estate)
    command, note = None, rule.get("note")
    if rule.get("command"):
        try:
            command = fill(str(rule["command"]), {**target, **made_facts(target)})
        except FactError as error:
            note = f"{note} No exact command: {error}." if note else f"No exact command: {error}."
    undo = str(rule["undo"])
    try:
        undo = fill(undo, {**target, **made_facts(target)})
    except FactError:
        undo = PLACEHOLDER.sub(lambda match: f"<{match.group(1)}>", undo)
    shown = {name: value for name, value in target.items() if value is not None and name != "machine"}
    return Action(str(rule["mitigation"]), str(rule["effect"]), undo, shown, command, note, str(rule.get("run_on", RUN_ON[0])))


def _any_match(globs: Sequence[str], findings: Sequence[Finding]) -> bool:
    return any(fnmatchcase(finding.id, glob) for finding in findings for glob in globs)


def _source_of(rule: Mapping[str, Any], about: Sequence[Finding], one: Candidate) -> Finding | None:
    """The finding whose target says what to act on: the first id of ``from`` that was found; the root's own one is preferred."""
    for glob in rule.get("from") or []:
        hits = [finding for finding in about if fnmatchcase(finding.id, glob)]
        own = [finding for finding in hits if finding.service == one.root.name and finding.host == one.root.host]
        if hits:
            return (own or hits)[0]
    return None


def target_facts(one: Candidate, source: Finding | None, estate: Estate) -> dict[str, Any]:
    """Identity of what the action would touch: the finding's own target on top of what the inventory says about the service."""
    name = source.service if source and source.service else one.root.name
    host = source.host if source else one.root.host
    service = estate.service(name, host) if name else None
    facts: dict[str, Any] = {"host": host, "machine": host}
    if service is not None:
        facts.update(_service_facts(service))
    for key, value in (source.target if source else {}).items():
        if value is not None:
            facts[key] = value
    return facts


def _service_facts(service: Service) -> dict[str, Any]:
    spec = service.spec
    facts: dict[str, Any] = {"service": service.name, "container": spec.get("container")}
    if service.kind == "postgresql":
        facts.update(database=spec.get("database") or "postgres", login_user=spec.get("login_user") or "postgres")
    if service.kind in ("postgresql", "redis"):
        facts.update(server=spec.get("host"), port=spec.get("port"))
    if service.kind in ("fastapi", "nginx", "external") and spec.get("url"):
        facts["url"] = spec["url"]
    if service.kind in ("nginx", "external"):
        facts.update(_address_of(str(spec.get("url") or "")))
    return facts


def _address_of(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        return {"server": parts.hostname, "port": parts.port or {"https": 443, "http": 80}.get(parts.scheme)}
    except ValueError:
        return {}


def made_facts(target: Mapping[str, Any]) -> dict[str, str]:
    """Beginnings of commands: how to reach this database or this Redis from a shell on its machine."""
    made: dict[str, str] = {}
    templates = {
        "psql": ("docker exec -u postgres {container} psql -X -U {login_user} -d postgres", "psql -X -h {server} -p {port} -U {login_user} -d postgres"),
        "redis_cli": ("docker exec -e REDISCLI_AUTH {container} redis-cli -e", "redis-cli -e -h {server} -p {port}"),
    }
    for name, ways in templates.items():
        for template in ways:
            try:
                made[name] = fill(template, target)
                break
            except FactError:
                continue
    return made


def fill(template: str, facts: Mapping[str, Any]) -> str:
    """The template with its ``{name}`` places filled in one pass; raises FactError for a fact that is missing or not safe."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        value = facts.get(name)
        if value is None or (value == "" and name not in MAY_BE_EMPTY):
            raise FactError(f"the evidence does not tell {name}")
        text = str(value)
        if name in MADE_HERE and (name not in FACTS or re.fullmatch(FACTS[name], text)):
            return text
        if name not in FACTS or not re.fullmatch(FACTS[name], text):
            raise FactError(f"{name} is {clean_text(text, 60)}, which can't be put into a command safely")
        # Inside quotes of the template the text stays as it is, elsewhere quoting it changes nothing or adds quotes for a space.
        return text if _inside_quotes(template[: match.start()]) else shlex.quote(text)

    return PLACEHOLDER.sub(replace, template)


def _inside_quotes(before: str) -> bool:
    """True when that much of a command ends inside single or double quotes."""
    quote = ""
    for character in before:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return bool(quote)


def propose(ranked: Sequence[Candidate], actions: Sequence[Action]) -> list[dict[str, Any]]:
    """One proposal for each likely cause that is not a symptom of another; the best one when none is likely."""
    chosen = [(one, action) for one, action in zip(ranked, actions, strict=True) if one.score >= LIKELY and not one.symptom_of]
    if not chosen and ranked and ranked[0].pattern.id != UNCLASSIFIED:
        chosen = [(ranked[0], actions[0])]
    return [
        {
            "id": f"P{number}",
            "pattern": one.pattern.id,
            "service": one.root.name or one.root.host,
            "host": one.root.host,
            **action.as_dict(),
        }
        for number, (one, action) in enumerate(chosen, start=1)
    ]
