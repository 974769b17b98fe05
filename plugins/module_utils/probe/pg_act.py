# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at single sessions of a PostgreSQL server and, when told to, cancels or ends exactly those.

A request is ``{"services": {...}, "service": name, "operation": one of OPERATIONS, "act": bool, "values": {...}, "options", "token"}``. Values
travel as settings of the session (``sre.pid``) that the statements read with ``current_setting``: no value ever becomes a part of a statement,
neither over the protocol nor through psql. Every condition is checked by the server in the very statement that acts, so between looking and
acting nothing can come in.
"""

from __future__ import annotations

import json
import time
from typing import Any

from . import postgresql
from .answer import hand_over, machine_of, service_of
from .context import Container, Context, Service, SourceError
from .pg_session import SETTINGS, Login
from .pg_wire import PgConnection, PgError
from .reach import container_of, down_reason, network_failure
from .redact import sample

# How long the server may take to end a session or to cancel a query; both happen at its next look at its signals.
PATIENCE_S = 5.0
# Refused for lack of a privilege: another login may have it.
NO_PRIVILEGE = "42501"
VALUES = ("pid", "backend_start", "protected", "min_idle_s", "least_query_s", "active", "waiting", "app", "client", "user", "most", "least_used_pct")

# The statements are put together of constants of this file and of nothing else.
SEEN = """
/* ir_mitigation */ SELECT json_build_object(
  'pid', a.pid, 'backend_start', a.backend_start, 'backend_type', a.backend_type, 'state', a.state,
  'state_age_s', round(extract(epoch FROM clock_timestamp() - a.state_change)::numeric, 1),
  'query_age_s', round(extract(epoch FROM clock_timestamp() - a.query_start)::numeric, 1), 'query_start', a.query_start,
  'user', a.usename, 'superuser', coalesce(r.rolsuper, false), 'app', a.application_name, 'client', coalesce(host(a.client_addr), 'local'),
  'database', a.datname, 'own', a.pid = pg_backend_pid(), 'waits', coalesce(a.wait_event_type = 'Lock', false),
  'blocked', (SELECT count(*) FROM pg_stat_activity w WHERE w.wait_event_type = 'Lock' AND a.pid = ANY (pg_blocking_pids(w.pid))),
  'blocked_by', cardinality(pg_blocking_pids(a.pid)))
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.pid = current_setting('sre.pid')::int
"""

# What no operation ever touches, whatever it was told: the server's own processes, our own session, superusers, protected roles.
NEVER = """
  a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND NOT r.rolsuper
  AND a.usename <> ALL (string_to_array(current_setting('sre.protected'), ','))
"""
ONE_SESSION = f"""
  {NEVER} AND a.pid = current_setting('sre.pid')::int
  AND (current_setting('sre.backend_start') = '' OR a.backend_start = nullif(current_setting('sre.backend_start'), '')::timestamptz)
"""
BLOCKER = f"""
  {ONE_SESSION} AND current_setting('sre.backend_start') <> ''
  AND ((a.state LIKE 'idle%' AND a.state_change <= clock_timestamp() - make_interval(secs => current_setting('sre.min_idle_s')::float8))
       OR (current_setting('sre.active') = 'yes' AND a.state = 'active'))
  AND cardinality(pg_blocking_pids(a.pid)) = 0
  AND EXISTS (SELECT FROM pg_stat_activity w WHERE w.wait_event_type = 'Lock' AND a.pid = ANY (pg_blocking_pids(w.pid)))
"""
# A query that runs since before the triage is the one that the triage saw, and its session has not been another one meanwhile.
QUERY = f"""
  {ONE_SESSION} AND a.state = 'active'
  AND a.query_start <= clock_timestamp() - make_interval(secs => current_setting('sre.least_query_s')::float8)
  AND (current_setting('sre.waiting') <> 'yes' OR a.wait_event_type = 'Lock')
"""
IDLE = f"""
  {NEVER} AND a.state = 'idle' AND a.application_name = current_setting('sre.app')
  AND coalesce(host(a.client_addr), 'local') = current_setting('sre.client')
  AND (current_setting('sre.user') = '' OR a.usename = current_setting('sre.user'))
"""
OLD_IDLE = f"{IDLE} AND a.state_change <= clock_timestamp() - make_interval(secs => current_setting('sre.min_idle_s')::float8)"
FROM = "FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid"

USED_PCT = """
  (SELECT round(100.0 * count(*) / greatest(1, current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0)), 1)
   FROM pg_stat_activity s WHERE s.backend_type = 'client backend' AND s.pid <> pg_backend_pid())
"""

SEEN_IDLE = f"""
/* ir_mitigation */ SELECT json_build_object(
  'used_pct', {USED_PCT},
  'idle', count(*) FILTER (WHERE a.state = 'idle'),
  'old', count(*) FILTER (WHERE a.state_change <= clock_timestamp() - make_interval(secs => current_setting('sre.min_idle_s')::float8)),
  'oldest_s', round(max(extract(epoch FROM clock_timestamp() - a.state_change))::numeric, 1))
{FROM} WHERE {IDLE}
"""  # noqa: S608 - constants of this file


def acting(function: str, condition: str) -> str:
    """The statement that calls the function for the one session that fits, and returns whom it reached."""
    return f"""
/* ir_mitigation */ SELECT coalesce(json_agg(x.pid), '[]') FROM (
  SELECT a.pid, {function}(a.pid) AS done {FROM} WHERE {condition}) x WHERE x.done
"""  # noqa: S608 - constants of this file


# The older half of one client's idle sessions: if half is not enough, the client leaks faster than we help, and people have to know.
END_IDLE = f"""
/* ir_mitigation */ WITH old AS MATERIALIZED (
  SELECT a.pid, a.state_change {FROM} WHERE {OLD_IDLE} AND {USED_PCT} >= current_setting('sre.least_used_pct')::numeric),
chosen AS MATERIALIZED (
  SELECT pid FROM old ORDER BY state_change, pid
  LIMIT (SELECT least(current_setting('sre.most')::int, (count(*) + 1) / 2) {FROM} WHERE {IDLE}))
SELECT coalesce(json_agg(x.pid), '[]') FROM (SELECT pid, pg_terminate_backend(pid) AS done FROM chosen) x WHERE x.done
"""  # noqa: S608 - constants of this file

# name: (statement that looks, statement that acts)
OPERATIONS = {
    "terminate_blocker": (SEEN, acting("pg_terminate_backend", BLOCKER)),
    "cancel_query": (SEEN, acting("pg_cancel_backend", QUERY)),
    "terminate_idle": (SEEN_IDLE, END_IDLE),
}


class Way:
    """One login over which statements can be asked; values are settings of its session."""

    def __init__(self, ctx: Context, container: Container | None, login: Login, settings: dict[str, str]) -> None:
        self._ctx = ctx
        self._container = container
        self._login = login
        self._settings = settings
        self._connection = None if login.way == "exec" else PgConnection(login.address, login.user, login.database, ctx.remaining, login.password, settings)

    def ask(self, sql: str) -> Any:
        """The JSON value that a statement returns, None without a row; PgError, OSError or SourceError when it can't be had."""
        if self._connection is None:
            return self._with_psql(sql)
        rows = [row for row in self._connection.query(sql) if row and row[0]]
        return json.loads((rows[0][0] or b"null").decode("utf-8", "replace")) if rows else None

    def _with_psql(self, sql: str) -> Any:
        if self._container is None:
            raise SourceError("absent", "there is no container to start psql in")
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        environment = ["PGCONNECT_TIMEOUT=3", "PGCLIENTENCODING=UTF8", "PGAPPNAME=ir_mitigation", f"PGOPTIONS={options}"]
        argv = ["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-U", self._login.user, "-d", self._login.database, "-c", sql]
        answer = self._ctx.docker.exec_argv(self._container, argv, user="postgres", environment=environment, timeout_s=self._ctx.remaining(10.0))
        if answer.exit_code != 0:
            raise postgresql.psql_error((answer.stderr or answer.stdout).decode("utf-8", "replace"), answer.exit_code)
        text = answer.stdout.decode("utf-8", "replace").strip()
        return json.loads(text) if text else None

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()


def settings_of(values: dict[str, Any]) -> dict[str, str]:
    """Settings of the session that carry the values; what an option of PostgreSQL would end at is escaped."""
    given = {name: str(values.get(name, "")) for name in VALUES}
    escaped = {f"sre.{name}": value.replace("\\", "\\\\").replace(" ", "\\ ") for name, value in given.items()}
    if any("\0" in value or "\n" in value or "\t" in value for value in escaped.values()):
        raise SourceError("unsupported", "a value holds a control character, which no setting of PostgreSQL can carry")
    return {**SETTINGS, **escaped}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """``{reached_by, user, seen, done: [pids], gone: bool or null, after}``; SourceError when no way leads to the server."""
    machine = machine_of(request)
    service = service_of(machine, str(request["service"]))
    ctx = Context(machine, service, float(machine.options["budget_s"]))
    container = container_of(ctx, service)
    down = down_reason(container)
    if down:
        raise SourceError("refused", f"{down}; start it first")
    return over_first_way(ctx, service, container, request)


def acting_logins(ctx: Context, service: Service, container: Container | None) -> list[Login]:
    """The logins that may change something: the declared ``mitigation_user`` alone, else those of the triage."""
    user = service.spec.get("mitigation_user")
    if not user:
        return postgresql.logins(ctx, service, container)
    spec = {**service.spec, "login_user": user, "login_password": service.spec.get("mitigation_password") or ""}
    return [login for login in postgresql.logins(ctx, Service(service.name, service.kind, spec), container) if login.user == user]


def over_first_way(ctx: Context, service: Service, container: Container | None, request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked over the first login that may; what went wrong on the way is in the error when none may."""
    settings = settings_of(request.get("values") or {})
    reasons: list[str] = []
    for login in acting_logins(ctx, service, container):
        way = None
        try:
            way = Way(ctx, container, login, settings)
            return {"reached_by": login.way, "user": login.user, **perform(way, request)}
        except PgError as error:
            if error.sqlstate == "08P01":
                sentence = "a pooler answers for the server, and it takes no settings; declare host and port of the server itself"
                raise SourceError("unsupported", sentence) from None
            reasons.append(f"{login.way} as {login.user}: {sample(error.message)}")
        except SourceError as error:
            reasons.append(f"{login.way} as {login.user}: {error.reason}")
        except (OSError, ValueError) as error:
            reasons.append(f"{login.way} as {login.user}: {network_failure(error, 'the server')[1]}")
        finally:
            if way is not None:
                way.close()
    raise SourceError("refused", f"no login to PostgreSQL of {service.name} may do this: {'; '.join(dict.fromkeys(reasons)) or 'there is none'}")


def perform(way: Way, request: dict[str, Any]) -> dict[str, Any]:
    """Look, act when told to, and wait until it shows."""
    look, act = OPERATIONS[str(request["operation"])]
    seen = way.ask(look)
    if not request.get("act"):
        return {"seen": seen, "done": [], "gone": None, "after": None}
    done = way.ask(act) or []
    limit, after = time.monotonic() + PATIENCE_S, way.ask(look)
    while done and not settled(seen, after) and time.monotonic() < limit:
        time.sleep(0.1)
        after = way.ask(look)
    return {"seen": seen, "done": done, "gone": settled(seen, after), "after": after}


def settled(seen: dict[str, Any] | None, after: dict[str, Any] | None) -> bool:
    """Whether the session or the query that was seen is not there any more; of a group of sessions, whether there are fewer."""
    if not seen or not after:
        return True
    if "idle" in seen:
        return int(after["idle"]) < int(seen["idle"])
    return bool(after["backend_start"] != seen["backend_start"] or after["query_start"] != seen["query_start"] or after["state"] != seen["state"])


def main(request: dict[str, Any]) -> None:
    """Answer and end."""
    hand_over(answer, request)
