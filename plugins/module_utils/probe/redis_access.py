# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep source ``redis_access``: do the declared logins of Redis work, and what may they do?

Redis decides about rights when a command is put into a transaction, not when the transaction runs. So every command is queued between
MULTI and DISCARD and none of them is ever executed.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Tuple

from .context import Context, Service, SourceError
from .pg_access import PURPOSES, service_for
from .reach import container_of, down_reason, named, network_failure
from .redact import sample
from .redis import ANSWER_S, RESERVE_S, addresses, log_in
from .resp import ProtocolError, RespConnection, RespError, classify

Command = Tuple[str, ...]

# What the sources redis and redis_detail send, with a key where they name one.
READS: list[Command] = [
    ("INFO", "everything"),
    ("ROLE",),
    ("SLOWLOG", "GET", "1"),
    ("LATENCY", "LATEST"),
    ("CLIENT", "LIST"),
    ("SELECT", "0"),
    ("SCAN", "0", "COUNT", "1"),
    ("TYPE", "{key}"),
    ("MEMORY", "USAGE", "{key}"),
    ("PTTL", "{key}"),
]
# What whoever only looks has no use for: one command for each thing that could do harm.
WRITES: list[Command] = [("UNLINK", "{key}"), ("SET", "{key}", "")]
ADMIN: list[Command] = [("CONFIG", "GET", "maxmemory"), ("ACL", "USERS")]
SCRIPTS: list[Command] = [("EVAL", "return 1", "0")]
WITH_SUBCOMMAND = ("SLOWLOG", "LATENCY", "CLIENT", "MEMORY", "CONFIG", "ACL", "SCRIPT")


def collect(ctx: Context) -> dict[str, Any]:
    """``{monitor: ACCESS, mitigation: ACCESS or null}``.

    ACCESS is ``{user declared ok way reason lacks [command] may [command] may_reason}``: ``lacks`` are commands that its work needs and
    Redis refuses, ``may`` those that it has no use for and is allowed, both null when Redis could not be asked.
    """
    service = ctx.owner
    not_running = down_reason(container_of(ctx, service))
    answers: dict[str, Any] = {}
    for purpose, prefix in PURPOSES.items():
        user, password = service.spec.get(f"{prefix}_user"), service.spec.get(f"{prefix}_password")
        if purpose == "mitigation" and not user:
            answers[purpose] = None
            continue
        answer: dict[str, Any] = {"user": user or "default", "declared": bool(user or password), "ok": False, "way": None, "reason": not_running}
        answer.update(lacks=None, may=None, may_reason=None)
        if not not_running:
            ask_anywhere(ctx, service_for(service, prefix), purpose, answer)
        answers[purpose] = answer
    return answers


def ask_anywhere(ctx: Context, service: Service, purpose: str, answer: dict[str, Any]) -> None:
    """Fill ``answer`` at the first address where Redis answers."""
    limit = time.monotonic() + min(ANSWER_S, float(ctx.options["db_timeout_s"]))

    def remaining() -> float:
        return max(0.05, min(limit - time.monotonic(), ctx.remaining() - RESERVE_S))

    reasons: list[str] = []
    for way, address in addresses(ctx, service, container_of(ctx, service)):
        try:
            connection = RespConnection(address, remaining)
            try:
                answer["way"] = way
                ask(service, purpose, connection, answer)
            finally:
                connection.close()
            return
        except (OSError, ProtocolError) as error:
            reasons.append(sample(network_failure(error, named(address))[1]))
    answer["reason"] = reasons[0] if reasons else "there was no address to ask Redis at"


def ask(service: Service, purpose: str, connection: RespConnection, answer: dict[str, Any]) -> None:
    """Log in, then queue what the user needs and what it should not be allowed."""
    try:
        log_in(service, connection)
    except SourceError as error:
        answer["reason"] = error.reason
        return
    pong = connection.call(("PING",))[0]
    if classify(pong) == "noauth":
        answer["reason"] = f"Redis wants a login ({sample(str(pong))}) and service {service.name} declares none that works"
        return
    answer["ok"] = True
    prefixes = [str(prefix) for prefix in service.spec.get("cache_prefixes") or []]
    needed, useless = wanted(purpose, prefixes)
    rights = queued(connection, needed + useless)
    if rights is None:
        answer["may_reason"] = f"user {answer['user']} may not use MULTI, with which its rights can be told without using them"
        return
    answer["lacks"] = [shown(command) for command, allowed in zip(needed, rights) if not allowed]
    answer["may"] = [shown(command) for command, allowed in zip(useless, rights[len(needed) :]) if allowed]


def wanted(purpose: str, prefixes: list[str]) -> tuple[list[Command], list[Command]]:
    """The commands that a purpose needs, and those that it has no use for. The key of each is one that nobody has."""
    unused = f"sre-preflight-{secrets.token_hex(16)}"
    if purpose == "monitor":
        return with_key(READS, unused), with_key(WRITES + ADMIN + SCRIPTS, unused)
    own = [command for prefix in prefixes for command in with_key([("TYPE", "{key}"), ("UNLINK", "{key}")], prefix + unused)]
    return [("SCAN", "0", "COUNT", "1"), ("SCRIPT", "KILL"), *own], with_key(WRITES + ADMIN, unused)


def with_key(commands: list[Command], key: str) -> list[Command]:
    """The commands with this key in its place."""
    return [tuple(key if argument == "{key}" else argument for argument in command) for command in commands]


def shown(command: Command) -> str:
    """How a sentence names a command; of a key only that it lies outside the prefixes matters, so it is left out."""
    return " ".join(command[:2] if command[0] in WITH_SUBCOMMAND else command[:1])


def queued(connection: RespConnection, commands: list[Command]) -> list[bool] | None:
    """Whether the user may send each of the commands, none of which is executed; None when it may not open a transaction."""
    # Nothing else may be sent before the answer is there: without the transaction the commands would run.
    if connection.call(("MULTI",))[0] != "OK":
        return None
    answers = [connection.call(command)[0] for command in commands]
    connection.call(("DISCARD",))
    return [not refused(answer) for answer in answers]


def refused(answer: Any) -> bool:
    """True for an answer that means no right. A write that only a replica or a full memory refuses would be allowed."""
    return isinstance(answer, RespError) and (answer.code == "NOPERM" or "unknown command" in answer.lower())
