# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``postgresql``: one snapshot of the server, whatever way still leads to it.

The ladder: the declared login over TCP, the local unix socket (that of a container is seen through ``/proc/<pid>/root``, so nothing is
started in it), ``psql`` inside the container, and at last the process titles. Every attempt is recorded.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

from .context import Container, Context, Service, SourceError
from .events import containers_by_address
from .pg_session import MAINTENANCE_DATABASE, SETTINGS, Login, Session, normalized, rates
from .pg_titles import process_titles
from .pg_wire import PgError
from .reach import container_of, down_reason, is_local, named, network_failure, socket_below, tcp_addresses
from .redact import sample

PORT = 5432
SOCKET_DIRECTORIES = ("run/postgresql", "tmp", "var/run/postgresql")
# Starting a process in a container that is nearly out of memory can get its main process killed.
MOST_MEMORY_PCT_FOR_EXEC = 85.0
# The runner gives up on a source at its limit: stop a little earlier, with an answer.
RESERVE_S = 0.3

# Which failure tells most about the server, best first: a server that answers "too many clients" is not one that is down.
CLASSES = ("too_many", "starting", "locked", "auth", "refused", "timeout", "other")
CLASS_OF_SQLSTATE = {"53300": "too_many", "57P03": "starting", "55P03": "locked", "28P01": "auth", "28000": "auth"}


class Failure:
    """Why one rung of the ladder did not hold: ``kind`` is one of CLASSES, or ``looking`` when the obstacle is ours."""

    def __init__(self, kind: str, reason: str, sqlstate: str = "") -> None:
        self.kind = kind
        self.reason = reason
        self.sqlstate = sqlstate


def collect(ctx: Context) -> dict[str, Any]:
    """Data of the source as docs/architecture.md describes it."""
    service = ctx.owner
    container = container_of(ctx, service)
    data: dict[str, Any] = {
        "up": False,
        "reached_by": None,
        "attempts": [],
        "login_refused": None,
        "connect_ms": None,
        "error": None,
        "degraded": [],
        "database": None,
        "snapshot": None,
        "snapshot_reason": None,
        "rates": None,
        "process_titles": None,
    }
    not_running = down_reason(container)
    if not_running:
        data["error"] = {"sqlstate": None, "message": not_running, "class": "timeout" if container and container.paused else "refused"}
        data["snapshot_reason"] = not_running
        return data

    failures = climb(ctx, service, container, data)
    if data["up"]:
        name_clients(ctx, data["snapshot"]["connections"].get("by_client") or [])
        return data
    worst = most_telling(failures)
    if worst.kind in ("auth", "looking"):
        # The server may be fine: our lack of a way in must not look like a database that is down.
        raise SourceError("auth" if worst.kind == "auth" else "permission", data["login_refused"] or worst.reason)
    if container or is_local(service.spec):
        data["process_titles"] = process_titles(ctx, container.id if container else None)
        name_clients(ctx, (data["process_titles"] or {}).get("by_client") or [])
    data["error"] = {"sqlstate": worst.sqlstate or None, "message": worst.reason, "class": worst.kind if worst.kind in CLASSES else "other"}
    data["snapshot_reason"] = worst.reason
    return data


def name_clients(ctx: Context, rows: list[dict[str, Any]]) -> None:
    """Add ``container`` to each row: the name of the container on this machine that the session comes from, else None."""
    remote = any(row.get("client") not in (None, "local") for row in rows)
    owners = containers_by_address(ctx.machine) if remote else {}
    for row in rows:
        row["container"] = owners.get(str(row.get("client")))


def climb(ctx: Context, service: Service, container: Container | None, data: dict[str, Any]) -> list[Failure]:
    """Try one login after the other until one answers, and fill ``data``; returns what went wrong on the way."""
    failures: list[Failure] = []
    full_for: set[str] = set()
    for login in logins(ctx, service, container):
        if login.way == "exec" and login.user in full_for:
            # psql would be told the same over the same socket, and a server in trouble needs no more processes.
            continue
        started = time.monotonic()
        failure = try_login(ctx, login, container, data)
        record(data, login, failure)
        if failure is None:
            data.update(up=True, reached_by=login.way)
            data["connect_ms"] = data["connect_ms"] or round((time.monotonic() - started) * 1000, 1)
            return failures
        failures.append(failure)
        if failure.kind == "too_many" and login.way == "socket":
            full_for.add(login.user)
        if failure.kind == "auth" and login.user == service.spec.get("login_user") and not data["login_refused"]:
            data["login_refused"] = (
                f"PostgreSQL refused user {login.user}{f' ({failure.sqlstate})' if failure.sqlstate else ''}; check login_password of service {service.name}"
            )
        if failure.kind == "starting":
            break
    return failures


def record(data: dict[str, Any], login: Login, failure: Failure | None) -> None:
    """Keep the attempt for the report."""
    data["attempts"].append(
        {
            "way": login.way,
            "user": login.user,
            "ok": failure is None,
            "reason": failure.reason if failure else None,
            "sqlstate": (failure.sqlstate or None) if failure else None,
        }
    )


def logins(ctx: Context, service: Service, container: Container | None) -> list[Login]:
    """The rungs of the ladder, first the declared one."""
    spec = service.spec
    port = int(spec.get("port") or PORT)
    user = str(spec.get("login_user") or "")
    password = str(spec.get("login_password") or "")
    database = str(spec.get("database") or MAINTENANCE_DATABASE)
    local_user = (container.environment.get("POSTGRES_USER") if container else None) or "postgres"
    over_tcp = [Login("tcp", user or "postgres", database, address, password) for address in tcp_addresses(spec, container, port)]
    ladder = over_tcp if user else []
    path = local_socket(ctx, spec, container, port)
    if path:
        if user and spec.get("login_unix_socket"):
            ladder.insert(0, Login("socket", user, database, path, password))
        ladder.append(Login("socket", local_user, database, path))
        if user and user != local_user and not spec.get("login_unix_socket"):
            ladder.append(Login("socket", user, database, path, password))
    if container:
        ladder.append(Login("exec", local_user, database))
    elif not user:
        ladder += over_tcp
    return ladder


def local_socket(ctx: Context, spec: dict[str, Any], container: Container | None, port: int) -> str | None:
    """Path of the server's unix socket as this machine sees it, or None when there is none in the usual places."""
    if container is None and not is_local(spec):
        return None
    declared = str(spec.get("login_unix_socket") or "")
    root = ctx.path("proc", container.pid, "root") if container else ctx.path()
    for directory in (declared,) if declared else SOCKET_DIRECTORIES:
        name = directory if os.path.basename(directory).startswith(".s.PGSQL.") else f"{directory}/.s.PGSQL.{port}"
        path = socket_below(root, name)
        if path:
            return path
    return None


def try_login(ctx: Context, login: Login, container: Container | None, data: dict[str, Any]) -> Failure | None:
    """Take the snapshot over one login; None when that worked, else why not."""
    limit = time.monotonic() + float(ctx.options["db_timeout_s"])

    def remaining() -> float:
        return max(0.05, min(limit - time.monotonic(), ctx.remaining() - RESERVE_S))

    try:
        if login.way == "exec" and container is not None:
            ask_with_psql(ctx, container, login, data)
        else:
            ask_with_session(ctx, login, remaining, data)
    except PgError as error:
        return Failure(CLASS_OF_SQLSTATE.get(error.sqlstate, "other"), sample(error.message), error.sqlstate)
    except SourceError as error:
        return Failure("looking", error.reason)
    except (OSError, ValueError) as error:
        return failure_of(error, login)
    return None


def failure_of(error: Exception, login: Login) -> Failure:
    """The failure behind an exception of the network or of an answer that is not understood."""
    kind, reason = network_failure(error, named(login.address or "psql in the container"))
    return Failure("looking" if kind == "permission" else kind, sample(reason))


def ask_with_session(ctx: Context, login: Login, remaining: Any, data: dict[str, Any]) -> None:
    """Snapshot and rates over the protocol."""
    started = time.monotonic()
    session = Session(login, remaining)
    try:
        data["connect_ms"] = round((time.monotonic() - started) * 1000, 1)
        data["snapshot"] = session.snapshot(ctx.resource("pg_snapshot.sql"))
        for setback in session.setbacks:
            record(data, login, Failure("other", sample(setback.message), setback.sqlstate))
        data["database"] = data["snapshot"].get("server", {}).get("database")
        data["degraded"] = session.degraded

        def counters() -> dict[str, Any]:
            try:
                return session.counters()
            except PgError as error:
                raise SourceError("error", str(error)) from None

        try:
            first, second, _elapsed = ctx.sample(counters)
            data["rates"] = rates(first, second)
        except (OSError, SourceError, ValueError):
            data["rates"] = None
    finally:
        session.close()


def ask_with_psql(ctx: Context, container: Container, login: Login, data: dict[str, Any]) -> None:
    """Snapshot by the plain psql binary in the container; SourceError when that is not safe or does not work."""
    used = memory_pct(ctx, container)
    if used is not None and used >= MOST_MEMORY_PCT_FOR_EXEC:
        raise SourceError("unsupported", f"container {container.name} uses {used:.0f} % of its memory limit; starting psql in it could get the server killed")
    environment = [
        "PGCONNECT_TIMEOUT=3",
        "PGCLIENTENCODING=UTF8",
        "PGAPPNAME=ir_triage",
        "PGOPTIONS=" + " ".join(f"-c {name}={value}" for name, value in SETTINGS.items()),
    ]
    argv = ["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-U", login.user, "-d", login.database, "-c", ctx.resource("pg_snapshot.sql")]
    answer = ctx.docker.exec_argv(container, argv, user="postgres", environment=environment, timeout_s=max(0.05, ctx.remaining(8.0) - RESERVE_S))
    if answer.exit_code != 0 or not answer.stdout.strip():
        raise psql_error((answer.stderr or answer.stdout).decode("utf-8", "replace"), answer.exit_code)
    data["snapshot"] = normalized(json.loads(answer.stdout.decode("utf-8", "replace")))
    data["database"] = data["snapshot"].get("server", {}).get("database")


def psql_error(text: str, exit_code: int | None) -> Exception:
    """The server's error behind psql's words, or a SourceError when psql itself could not run."""
    line = sample(text)
    codes = {
        "sorry, too many clients already": "53300",
        "remaining connection slots": "53300",
        "the database system is": "57P03",
        "password authentication failed": "28P01",
        "no password supplied": "28P01",
        "is not permitted to log in": "28000",
        "does not exist": "28000",
        "authentication failed": "28000",
    }
    for words, sqlstate in codes.items():
        if words in line:
            return PgError(sqlstate, line, "FATAL")
    if exit_code == 2 and "timeout expired" in line:
        # Somebody accepts for the server and it does not answer, which is something else than nobody being there.
        return socket.timeout(line)
    if exit_code == 2 and ("could not connect" in line or "connection to server" in line):
        return ConnectionRefusedError(line)
    return SourceError("error", f"psql in the container failed with exit code {exit_code}: {line}")


def memory_pct(ctx: Context, container: Container) -> float | None:
    """Working set of the container in percent of its limit; None when there is no limit or the engine does not say."""
    limit = int((container.inspect.get("HostConfig") or {}).get("Memory") or 0)
    if not limit:
        return None
    stats = ctx.docker.get_json(f"/containers/{container.id}/stats", {"stream": "false", "one-shot": "true"})
    memory = stats.get("memory_stats") or {}
    inactive = (memory.get("stats") or {}).get("total_inactive_file", (memory.get("stats") or {}).get("inactive_file", 0))
    return 100.0 * max(0, int(memory.get("usage") or 0) - int(inactive or 0)) / limit


def most_telling(failures: list[Failure]) -> Failure:
    """The failure that says most about the server."""
    order = {kind: position for position, kind in enumerate(CLASSES)}
    return min(failures, key=lambda failure: order.get(failure.kind, len(order)), default=Failure("looking", "there was no way to ask PostgreSQL"))
