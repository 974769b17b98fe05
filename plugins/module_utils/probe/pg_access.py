# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep source ``pg_access``: do the declared logins of PostgreSQL work, and what may they do?

Each declared user really logs in. Where the server answers over TCP its word counts, because a local socket often lets everybody in
whatever the password is.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from .context import Container, Context, Service
from .pg_session import Login, Session
from .pg_wire import PgError
from .postgresql import logins
from .reach import container_of, down_reason, named, network_failure
from .redact import sample

RESERVE_S = 0.5
# The key prefixes of a service's two logins; without the second nobody may end sessions but the server's superuser.
PURPOSES = {"monitor": "login", "mitigation": "mitigation"}

# Predefined roles that let their members do more than look at statistics.
WIDE_ROLES = (
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_maintain",
    "pg_checkpoint",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_create_subscription",
)

RIGHTS_SQL = f"""
/* ir_triage */ SELECT json_build_object(
  'user', current_user::text, 'database', current_database()::text, 'version_num', current_setting('server_version_num')::int,
  'superuser', r.rolsuper, 'createrole', r.rolcreaterole, 'createdb', r.rolcreatedb, 'replication', r.rolreplication,
  'bypassrls', r.rolbypassrls, 'connection_limit', r.rolconnlimit, 'valid_until', to_json(r.rolvaliduntil),
  'pg_monitor', pg_has_role('pg_monitor', 'USAGE'),
  'pg_signal_backend', pg_has_role('pg_signal_backend', 'USAGE'),
  'reserved_slots', EXISTS (SELECT FROM pg_roles p WHERE p.rolname = 'pg_use_reserved_connections' AND pg_has_role(p.oid, 'USAGE')),
  'reserved_connections', current_setting('reserved_connections', true)::int,
  'wide_roles', (SELECT json_agg(p.rolname) FROM pg_roles p WHERE p.rolname = ANY ('{{{",".join(WIDE_ROLES)}}}') AND pg_has_role(p.oid, 'MEMBER')),
  'other_roles', (SELECT json_agg(x.rolname) FROM (SELECT p.rolname FROM pg_roles p WHERE p.rolname !~ '^pg_' AND p.rolname <> current_user
                  AND pg_has_role(p.oid, 'MEMBER') ORDER BY 1 LIMIT 10) x),
  'writable_tables', (SELECT count(*) FROM (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                      WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$)' AND c.relpersistence <> 't'
                      AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') LIMIT 1000) x))
FROM pg_roles r WHERE r.rolname = current_user
"""  # noqa: S608 - the names are constants


def collect(ctx: Context) -> dict[str, Any]:
    """``{monitor: ACCESS, mitigation: ACCESS or null}``.

    ACCESS is ``{user declared ok way reason sqlstate database_ok rights}``; ``rights`` is null without a login.
    """
    service = ctx.owner
    container = container_of(ctx, service)
    not_running = down_reason(container)
    answers: dict[str, Any] = {}
    for purpose, prefix in PURPOSES.items():
        user = service.spec.get(f"{prefix}_user")
        if purpose == "mitigation" and not user:
            answers[purpose] = None
            continue
        answer: dict[str, Any] = {"user": user or None, "declared": bool(user), "ok": False, "way": None, "reason": not_running, "sqlstate": None}
        answer.update(database_ok=None, rights=None)
        if not not_running:
            try_all(ctx, service_for(service, prefix), container, answer)
        answers[purpose] = answer
    return answers


def service_for(service: Service, prefix: str) -> Service:
    """The service as the ladder of logins knows it, with the user of one purpose."""
    spec = {key: value for key, value in service.spec.items() if key not in ("login_user", "login_password")}
    for key in ("user", "password"):
        if service.spec.get(f"{prefix}_{key}"):
            spec[f"login_{key}"] = service.spec[f"{prefix}_{key}"]
    return replace(service, spec=spec)


def try_all(ctx: Context, service: Service, container: Container | None, answer: dict[str, Any]) -> None:
    """Fill ``answer`` with the first way at which the server said yes or no to this user."""
    declared = service.spec.get("login_user")
    reasons: list[str] = []
    for login in logins(ctx, service, container):
        if login.way == "exec" or (declared and login.user != declared):
            continue
        try:
            answer.update(asked(ctx, login), ok=True, way=login.way, reason=None, sqlstate=None)
        except PgError as error:
            answer.update(way=login.way, reason=sample(error.message), sqlstate=error.sqlstate or None)
        except (OSError, ValueError) as error:
            reasons.append(sample(network_failure(error, named(login.address))[1]))
            continue
        return
    answer["reason"] = reasons[0] if reasons else "there is no way to a session of PostgreSQL from this machine"


def asked(ctx: Context, login: Login) -> dict[str, Any]:
    """User, rights and whether the declared database lets the user in."""
    limit = time.monotonic() + float(ctx.options["db_timeout_s"])
    session = Session(login, lambda: max(0.05, min(limit - time.monotonic(), ctx.remaining() - RESERVE_S)))
    try:
        rights = session.ask(RIGHTS_SQL)
    finally:
        session.close()
    rights["wide_roles"] = [] if rights["superuser"] else rights["wide_roles"] or []
    rights["other_roles"] = [] if rights["superuser"] else [sample(str(role), 60) for role in rights["other_roles"] or []]
    return {"user": rights["user"], "database_ok": "database" not in session.degraded, "rights": rights}
