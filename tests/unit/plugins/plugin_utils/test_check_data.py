# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks and patterns that the collection brings, held against evidence that a probe really recorded.

The evidence is that of a healthy stack. Each case changes it into what the probe says about one fault, and names what has to be found.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import assessment, outcome
from ansible_collections.sre.incident_response.plugins.plugin_utils.findings import FINDING, SEVERITY_ORDER, UNKNOWN, Finding
from ansible_collections.sre.incident_response.tests.unit.plugins.plugin_utils import estate_samples as samples

HEALTHY = json.loads((Path(__file__).parents[2] / "data/healthy_evidence.json").read_text(encoding="utf-8"))
ROLES = sorted(path.name for path in (samples.ROOT / "roles").iterdir() if (path / "files/checks.yml").is_file())
CHECKS = {role: samples.checks_of(role) for role in ROLES}
PATTERNS = samples.all_patterns()
NOW = float(HEALTHY["clock"]["host_epoch"])


def ago(seconds: float) -> str:
    """A time before the evidence was collected."""
    return datetime.fromtimestamp(NOW - seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Evidence:
    """The healthy evidence, to be changed."""

    def __init__(self) -> None:
        self.document = copy.deepcopy(HEALTHY)

    def data(self, service: str, source: str) -> Any:
        """Data of a service's source."""
        return self.document["services"][service]["sources"][source]["data"]

    def machine(self, source: str) -> Any:
        """Data of a source of the machine."""
        return self.document["machine"][source]["data"]

    def fail(self, service: str, source: str, reason: str, kind: str = "absent") -> None:
        """A source that could not look."""
        self.document["services"][service]["sources"][source] = {"ok": False, "ms": 1.0, "reason": reason, "kind": kind}

    def endpoint(self, service: str, name: str, **changes: Any) -> None:
        """What the probe got from an endpoint."""
        self.data(service, "http")["endpoints"][name].update(changes)

    def refuse(self, service: str, *names: str) -> None:
        """Endpoints at which nobody listens."""
        for name in names:
            self.endpoint(service, name, ok=False, failures=3, count=3, status=None, error="connection refused", error_kind="refused")

    def answer(self, service: str, status: int, *names: str) -> None:
        """Endpoints that answer with an error."""
        for name in names:
            self.endpoint(service, name, ok=False, failures=3, count=3, status=status, error=f"answered {status}", error_kind=None)

    def hang(self, service: str, *names: str) -> None:
        """Endpoints that never answer."""
        probe = {"status": None, "error": "no answer", "error_kind": "timeout", "total_ms": 5000.0}
        for name in names:
            changes = {"failures": 3, "count": 3, "status": None, "error": "no answer in 5 s", "error_kind": "timeout", "median_ms": 5000.0}
            self.endpoint(service, name, ok=False, probes=[probe] * 3, **changes)

    def known(self, service: str, name: str, count: int, sample: str = "", age_s: float = 5.0) -> None:
        """A known error in a service's log."""
        entry = {"count": count, "baseline": 0, "first": ago(60), "last": ago(age_s), "sample": sample, "hosts": {}}
        self.data(service, "logs")["known"][name] = entry

    def errors(self, service: str, count: int, signature: str, new: bool = True, age_s: float = 5.0) -> None:
        """Errors in a service's log that began a minute ago."""
        logs = self.data(service, "logs")
        logs["errors"] = {"window": count, "baseline": 0, "per_min": count / 2, "baseline_per_min": 0.0, "ratio": float(count)}
        logs["onset"] = ago(60)
        sample = {"signature": signature, "sample": signature, "count": count, "baseline": 0, "first": ago(60), "last": ago(age_s), "level": "error"}
        logs["signatures"] = [{**sample, "where": "shop/orders.py:12 view", "new": new}]
        logs["new_signatures"] = logs["signatures"] if new else []

    def proxy_errors(self, status: int, count: int = 60, route: str = "/api/orders", p95_ms: float = 30.0) -> None:
        """Requests through the proxy that fail or are slow since a minute."""
        access = self.data("proxy", "logs")["access"]
        requests = 400
        access.update(requests=requests, errors_5xx=count, error_ratio_pct=100.0 * count / requests, by_status={"200": requests - count, str(status): count})
        access["recent"].update(requests=requests, errors_5xx=count, error_ratio_pct=100.0 * count / requests)
        recent = {"requests": 100, "errors": count, "error_pct": float(count), "p95_ms": p95_ms}
        bad = {"route": route, "requests": 200, "errors": count, "error_pct": count / 2, "p95_ms": p95_ms, "by_status": {str(status): count}, "recent": recent}
        good = {"requests": 100, "errors": 0, "error_pct": 0.0, "p95_ms": 20.0}
        access["routes"] = [bad, {**good, "route": "/api/cart", "by_status": {}, "recent": good}]

    def errlog(self, kind: str, count: int, upstream: str | None = None) -> None:
        """Trouble in the proxy's error log."""
        entry = self.data("proxy", "logs")["errlog"][kind]
        entry.update(count=count, first=ago(60), last=ago(3), sample=f"{kind} while connecting to upstream", upstreams=[upstream] if upstream else [])

    def stop(self, service: str, exit_code: int = 137, **changes: Any) -> None:
        """The container ended; nothing can be asked inside of it."""
        changes = {"status": "exited", "running": False, "exit_code": exit_code, "down_s": 20.0, "up_s": None, "finished_at": ago(20), "pid": None, **changes}
        container = self.data(service, "container")
        container.update(changes)
        for network in container["networks"].values():
            network["ip"] = None
        for source in ("cgroup", "process", "dns"):
            if source in self.document["services"][service]["sources"]:
                self.fail(service, source, f"container {container['name']} is {changes['status']}")

    def old_stack(self) -> None:
        """Containers that run for a day, as in production."""
        for name in ("proxy", "backend", "db", "redis"):
            self.data(name, "container").update(created_at=ago(86400), started_at=ago(86390), age_s=86400.0, up_s=86390.0)


def kill_backend(e: Evidence) -> None:
    e.stop("backend", restart_policy="no", stopped_by_operator=True, events=[{"time": ago(20), "action": "kill", "signal": "9", "exit_code": None}])
    e.refuse("backend", "live", "ready")
    e.data("backend", "http")["endpoints"]["direct"] = None
    e.answer("proxy", 502, "live")
    e.proxy_errors(502)
    e.errlog("connect_refused", 60, "172.18.0.5:8000")


def stop_backend(e: Evidence) -> None:
    kill_backend(e)
    e.data("backend", "container").update(exit_code=0, events=[{"time": ago(20), "action": "stop", "signal": None, "exit_code": None}])


def backend_out_of_memory(e: Evidence) -> None:
    changes = {"oom_killed": True, "oom_recent": True, "oom_events_30m": 4, "restarts_15m": 4, "restart_count": 4, "status": "restarting"}
    e.data("backend", "container").update(changes)
    e.data("backend", "cgroup")["memory"].update(limit_pct=91.0, oom_kill=3)
    e.proxy_errors(502, 20)
    e.errlog("premature_close", 10)


def row_lock(e: Evidence) -> None:
    snapshot = e.data("db", "postgresql")["snapshot"]
    session = {"pid": 4711, "backend_start": "2026-11-23T14:00:00.1+00:00", "datname": "app_prod", "usename": "app", "app": "psql", "client": "local"}
    idle = {**session, "state": "idle in transaction", "state_age_s": 40.0, "xact_age_s": 41.0, "has_written": True, "query": "UPDATE orders SET v = ?"}
    waiter = {"pid": 50, "blocked_by": [4711], "wait_s": 35.0, "locktype": "transactionid", "mode": "ShareLock", "backend_type": "client backend"}
    snapshot["idle_in_transaction"] = [idle]
    snapshot["longest_xact"] = idle
    root = {**idle, "blocked": 3, "max_wait_s": 35.0, "kind": "client backend"}
    snapshot["locks"].update(
        waiting=3, max_wait_s=35.0, roots=[root], waiters=[{**waiter, "query": "UPDATE orders", "app": "app-backend", "relation": "orders"}]
    )
    e.proxy_errors(504, 12, p95_ms=9000.0)
    e.errlog("timed_out", 12)
    e.known("backend", "pool_timeout", 20)


def schema_change_queue(e: Evidence) -> None:
    row_lock(e)
    snapshot = e.data("db", "postgresql")["snapshot"]
    alter = {"pid": 77, "blocked_by": [4711], "wait_s": 34.0, "locktype": "relation", "mode": "AccessExclusiveLock", "backend_type": "client backend"}
    reader = {"pid": 78, "blocked_by": [77], "wait_s": 30.0, "locktype": "relation", "mode": "AccessShareLock", "backend_type": "client backend"}
    about = {"query": "ALTER TABLE orders", "app": "migrate", "usename": "app", "relation": "orders"}
    snapshot["locks"].update(waiting=6, waiters=[{**alter, **about}, {**reader, **about}])


def connection_leak(e: Evidence) -> None:
    connections = e.data("db", "postgresql")["snapshot"]["connections"]
    usable = connections["usable"]
    client = {"datname": "app_prod", "usename": "app", "app": "leaky", "client": "172.18.0.9", "n": usable, "active": 0, "idle": usable, "max_idle_s": 30.0}
    connections.update(client_backends=usable, used_pct=100.0, by_client=[client], by_state={"idle": usable})
    e.answer("backend", 503, "ready")
    e.data("backend", "http")["endpoints"]["ready"]["failed_components"] = ["db"]
    e.known("backend", "db_too_many", 40)
    e.errors("backend", 60, "OperationalError: connection failed: FATAL: sorry, too many clients already")
    e.proxy_errors(503)


def slots_taken_and_no_way_in(e: Evidence) -> None:
    connection_leak(e)
    leaky = {"datname": "app_prod", "usename": "app", "client": "172.18.0.9", "container": "app-worker", "n": 90, "active": 0, "idle": 90, "idle_in_xact": 0}
    e.data("db", "postgresql").update(
        up=False,
        snapshot=None,
        snapshot_reason="too many clients",
        error={"sqlstate": "53300", "message": "too many clients", "class": "too_many"},
        attempts=[{"way": "socket", "user": "postgres", "ok": False, "reason": "too many clients", "sqlstate": "53300"}],
        process_titles={"count": 97, "by_user": {"app": 97}, "by_state": {"idle": 97}, "by_client": [leaky]},
    )


def slow_queries(e: Evidence) -> None:
    postgresql = e.data("db", "postgresql")
    query = {"pid": 9, "backend_start": "2026-11-23T14:00:00.1+00:00", "usename": "app", "app": "app-backend", "client": "172.18.0.5", "query_age_s": 400.0}
    wait = {"wait_event_type": "IO", "wait_event": "DataFileRead", "query": "SELECT * FROM orders WHERE customer_id = ?", "state": "active"}
    postgresql["snapshot"].update(long_running=[{**query, **wait}], wait_events=[{"type": "IO", "event": "DataFileRead", "n": 4}])
    postgresql["snapshot"]["seq_scan_tables"] = [{"relname": "public.orders", "rows_est": 2000000}]
    postgresql["rates"]["seq_tup_read_per_s"] = 9_000_000.0
    e.data("db", "cgroup")["cpu"].update(usage_pct=180.0, quota_pct=None)
    e.proxy_errors(504, 5, p95_ms=8000.0)


def many_short_queries(e: Evidence) -> None:
    """An index is gone: no query runs for long, because clients give up, but all sessions are at the same one, and the machine is busy with them."""
    crowd = {"query": "SELECT * FROM orders WHERE customer_id = ?", "datname": "app_prod", "n": 8, "max_s": 4.1, "avg_s": 2.2, "usename": "app"}
    session = {"app": "app-backend", "pid": 9, "backend_start": "2026-11-23T14:00:00.1+00:00"}
    e.data("db", "postgresql")["snapshot"].update(crowds=[{**crowd, **session}], long_running=[])
    e.machine("host").update(cpu={"util_pct": 100.0, "iowait_pct": 0.0, "steal_pct": 0.0})
    e.known("backend", "pool_timeout", 40)
    e.proxy_errors(503, 40, "/api/orders", p95_ms=5000.0)


def redis_full(e: Evidence) -> None:
    redis = e.data("redis", "redis")
    redis["info"].update(used_memory=12_500_000, maxmemory=12_582_912, maxmemory_policy="noeviction")
    redis.update(used_pct=99.3, noeviction_full=True, errorstats={"OOM": 40}, error_deltas={"OOM": 3}, keys=1200, expires=0, no_ttl_pct=100.0)
    e.known("backend", "redis_oom", 40)
    e.errors("backend", 40, "OutOfMemoryError: command not allowed when used memory > 'maxmemory'.")
    e.proxy_errors(500, 40, "/api/cart")


def redis_without_clients_left(e: Evidence) -> None:
    e.data("redis", "redis").update(up=False, reply_class="maxclients", error="ERR max number of clients reached", clients_pct=100.0, info=None, deltas=None)
    e.data("redis", "redis").update(errorstats=None, error_deltas=None, used_pct=None, noeviction_full=None, keys=None, slowlog=None, peers={"172.18.0.9": 25})
    e.known("backend", "redis_error", 30)
    e.answer("backend", 503, "ready")
    e.data("backend", "http")["endpoints"]["ready"]["failed_components"] = ["redis"]
    e.proxy_errors(500, 40, "/api/cart")


def redis_silent(e: Evidence) -> None:
    """It runs and accepts connections, and one command of seconds keeps it from answering."""
    nothing = dict.fromkeys(("info", "deltas", "errorstats", "error_deltas", "used_pct", "noeviction_full", "keys", "slowlog", "clients_pct"))
    e.data("redis", "redis").update(up=False, reply_class="timeout", error="172.18.0.4:6379 did not answer within 2 s", ping_ms=None, **nothing)
    e.known("backend", "redis_error", 30)
    e.answer("backend", 503, "ready")
    e.proxy_errors(503, 40, "/api/cart", p95_ms=4000.0)


def redis_slow_commands(e: Evidence) -> None:
    e.data("redis", "redis").update(ping_ms=1400.0, slow_pct=96.0, slowlog=[{"time": ago(2), "ms": 1500.0, "command": "SORT"}])
    e.known("backend", "redis_error", 30)
    e.errors("backend", 30, "TimeoutError: Timeout reading from app-redis:6379")
    e.proxy_errors(503, 40, "/api/cart", p95_ms=4000.0)


def redis_password_changed(e: Evidence) -> None:
    nothing = dict.fromkeys(("info", "deltas", "errorstats", "error_deltas", "used_pct", "noeviction_full", "keys", "slowlog", "clients_pct"))
    e.data("redis", "redis").update(up=None, reply_class="noauth", error="NOAUTH Authentication required.", **nothing)
    e.known("backend", "redis_auth", 30)
    e.errors("backend", 30, "AuthenticationError: Authentication required.")
    e.answer("backend", 503, "ready")
    e.proxy_errors(503, 40, "/api/cart")


def redis_paused(e: Evidence) -> None:
    e.data("redis", "container").update(paused=True, status="paused")
    e.data("redis", "redis").update(up=False, reply_class="timeout", error="container app-redis is paused", info=None, deltas=None, ping_ms=None)
    e.known("backend", "redis_error", 30)
    e.proxy_errors(500, 40, "/api/cart", p95_ms=4000.0)


def external_says_503(e: Evidence) -> None:
    e.answer("payments", 503, "live")
    e.known("backend", "ext_error", 50)
    e.errors("backend", 50, "HTTPStatusError: Server error '503 Service Unavailable' for url 'http://app-ext:9000/quote'")
    e.proxy_errors(503, 40, "/api/quote")


def external_hangs(e: Evidence) -> None:
    e.hang("payments", "live")
    e.known("backend", "ext_timeout", 50)
    e.known("backend", "worker_timeout", 3)
    e.errors("backend", 50, "ReadTimeout: timed out")
    e.data("backend", "process")["accept_queue_max"] = 40
    e.proxy_errors(504, 20, "/api/quote", p95_ms=9000.0)
    e.errlog("timed_out", 9)


def bad_release(e: Evidence) -> None:
    e.old_stack()
    e.data("backend", "container").update(created_at=ago(62), started_at=ago(62), age_s=62.0, up_s=62.0, version="v2", image="shop/app-backend:v2")
    e.errors("backend", 80, "KeyError at shop/orders.py:order_view")
    e.known("backend", "unhandled_exception", 80)
    e.proxy_errors(500, 60)


def make_backend_again(e: Evidence) -> None:
    """From the image that it had: the engine remembers the container before."""
    e.old_stack()
    e.data("backend", "container").update(created_at=ago(62), started_at=ago(62), age_s=62.0, up_s=62.0)
    again = {"time": ago(62), "age_s": 62.0, "kind": "recreate", "what": "app-backend was made again", "service": "backend"}
    e.machine("changes")["recent"] = [{**again, "previous_image": e.data("backend", "container")["image"]}]


def wrong_setting(e: Evidence) -> None:
    make_backend_again(e)
    e.errors("backend", 80, "KeyError at shop/orders.py:order_view")
    e.known("backend", "unhandled_exception", 80)
    e.proxy_errors(500, 60)


def lock_beside_a_container_made_again(e: Evidence) -> None:
    make_backend_again(e)
    row_lock(e)
    e.data("backend", "logs")["onset"] = ago(55)


def certificate_expired(e: Evidence) -> None:
    e.data("proxy", "tls").update(expired=True, verify_error="certificate has expired")
    e.data("proxy", "tls")["served"].update(days_left=-1.0, not_after=ago(86400))
    e.endpoint("proxy", "live", ok=False, failures=1, count=1, status=None, error="certificate has expired", error_kind="tls")
    e.endpoint("proxy", "frontend", ok=False, failures=1, count=1, status=None, error="certificate has expired", error_kind="tls")


def database_gone(e: Evidence) -> None:
    e.stop("db", restart_policy="no", stopped_by_operator=None)
    e.fail("db", "volume", "the container is exited")
    nothing: dict[str, Any] = {"snapshot": None, "rates": None, "process_titles": None, "reached_by": None, "connect_ms": None}
    e.data("db", "postgresql").update(up=False, error={"sqlstate": None, "message": "container app-db is exited", "class": "refused"}, **nothing)
    e.known("backend", "db_refused", 40)
    e.errors("backend", 60, "OperationalError: connection failed: Connection refused")
    e.answer("backend", 503, "ready")
    e.data("backend", "http")["endpoints"]["ready"]["failed_components"] = ["db"]
    e.proxy_errors(503)


def database_disk_full(e: Evidence) -> None:
    database_gone(e)
    e.document["services"]["db"]["sources"]["volume"] = copy.deepcopy(HEALTHY["services"]["db"]["sources"]["volume"])
    e.data("db", "volume").update(total=314572800, free=0, used_pct=100.0)
    e.known("db", "disk_full", 4, "No space left on device")
    e.known("db", "panic", 1, "PANIC: could not write to file: No space left on device")


def event_loop_blocked(e: Evidence) -> None:
    e.hang("backend", "live", "ready", "direct")
    e.hang("proxy", "live")
    e.data("backend", "process")["accept_queue_max"] = 300
    e.data("backend", "container").update(health="unhealthy", health_failing_streak=4)
    e.proxy_errors(504, 60, p95_ms=10000.0)
    e.errlog("timed_out", 60)


def stale_upstream_address(e: Evidence) -> None:
    e.old_stack()
    e.data("backend", "container").update(created_at=ago(70), started_at=ago(70), age_s=70.0, up_s=70.0)
    e.answer("proxy", 502, "live")
    e.proxy_errors(502)
    e.errlog("connect_refused", 60, "172.18.0.99:8000")
    e.data("proxy", "logs")["onset"] = ago(60)


def backend_fails_to_start(e: Evidence) -> None:
    changes = {"status": "restarting", "running": False, "restarts_15m": 6, "restart_count": 6, "exit_code": 3, "up_s": None, "down_s": 2.0}
    e.data("backend", "container").update(changes)
    e.known("backend", "boot_failure", 6, "Application startup failed. Exiting.")
    e.refuse("backend", "live", "ready", "direct")
    e.answer("proxy", 502, "live")
    e.proxy_errors(502)
    e.errlog("connect_refused", 60, "172.18.0.5:8000")
    e.machine("changes")["recent"] = [{"time": ago(100), "age_s": 100.0, "kind": "config", "what": "backend: /etc/shop/app.env changed", "service": "backend"}]
    e.data("backend", "container").update(created_at=ago(600), age_s=600.0)


def host_disk_full(e: Evidence) -> None:
    e.machine("disk")["mounts"][0].update(used_pct=99.9, free=10_000_000)
    e.known("backend", "disk_full", 5)


def clock_is_wrong(e: Evidence) -> None:
    e.document["clock"]["offset_s"] = 7200.0
    e.known("backend", "token_expired", 700)


def names_do_not_resolve(e: Evidence) -> None:
    names = e.data("backend", "dns")["names"]
    for name in names:
        names[name] = {"ok": False, "addresses": [], "ms": 5000.0, "error": "the resolver did not answer"}
    e.known("backend", "dns", 60)
    e.answer("backend", 503, "ready")


def machine_saturated(e: Evidence) -> None:
    host = e.machine("host")
    host.update(load=[24.0, 22.0, 15.0], load_per_core=12.0)
    host["cpu"].update(util_pct=100.0)
    host["psi"].update(cpu_some_avg60=95.0)
    host["top"][0].update(comm="batch", cpu_pct=98.0)
    e.proxy_errors(504, 5, p95_ms=9000.0)


CASES: list[tuple[Callable[[Evidence], None], str, dict[str, str]]] = [
    (
        kill_backend,
        "backend_unavailable",
        {
            "backend.container.state": "critical",
            "backend.container.exit_code": "warning",
            "backend.listen": "critical",
            "http.direct": "critical",
            "http.live": "critical",
            "http.5xx.502": "critical",
            "proxy.errlog.connect_refused": "critical",
        },
    ),
    (stop_backend, "docker_engine", {"docker.stopped_by_operator": "critical", "backend.container.state": "critical"}),
    (backend_out_of_memory, "memory_growth", {"backend.container.oom": "critical", "backend.container.restarts": "critical"}),
    (
        row_lock,
        "db_lock_contention",
        {
            "pg.locks.blocked": "critical",
            "pg.locks.root": "critical",
            "pg.conn.idle_in_xact": "critical",
            "pg.xact.longest": "warning",
            "http.latency": "critical",
            "proxy.errlog.timed_out": "critical",
            "http.5xx.504": "critical",
            "logs.sig.pool_timeout": "critical",
        },
    ),
    (schema_change_queue, "db_lock_contention", {"pg.locks.ddl_queue": "critical", "pg.locks.root": "critical"}),
    (
        connection_leak,
        "db_connections_exhausted",
        {
            "pg.conn.used_pct": "critical",
            "pg.conn.refused": "critical",
            "pg.conn.leak": "critical",
            "logs.sig.db_too_many": "critical",
            "http.ready": "critical",
            "http.ready.component": "critical",
            "http.error_ratio": "critical",
            "logs.errors.rate": "critical",
            "logs.errors.onset": "info",
        },
    ),
    (
        slots_taken_and_no_way_in,
        "db_connections_exhausted",
        {"pg.conn.used_pct": "critical", "pg.conn.refused": "critical", "pg.conn.no_admin_slot": "critical", "pg.conn.leak": "critical"},
    ),
    (
        slow_queries,
        "db_slow_queries",
        {"pg.query.long": "critical", "pg.seqscan.hot": "warning", "db.cpu": "warning", "pg.wait.io": "info", "http.latency": "critical"},
    ),
    (
        many_short_queries,
        "db_slow_queries",
        {"pg.query.crowd": "critical", "http.latency": "critical", "logs.sig.pool_timeout": "critical"},
    ),
    (
        redis_full,
        "redis_memory_full",
        {
            "redis.mem.used_pct": "critical",
            "redis.mem.noeviction_full": "critical",
            "redis.reply.oom": "critical",
            "redis.no_ttl": "warning",
            "logs.sig.redis_oom": "warning",
            "http.path_errors": "critical",
        },
    ),
    (redis_silent, "redis_unavailable", {"redis.up": "critical", "redis.silent": "critical", "logs.sig.redis_error": "warning"}),
    (redis_slow_commands, "redis_unavailable", {"redis.up": "warning", "redis.commands.slow": "critical"}),
    (redis_password_changed, "redis_unavailable", {"redis.auth.failed": "critical", "http.ready": "critical"}),
    (redis_without_clients_left, "redis_unavailable", {"redis.up": "critical", "redis.clients.used_pct": "critical", "logs.sig.redis_error": "warning"}),
    (redis_paused, "docker_engine", {"docker.paused": "critical", "redis.up": "critical"}),
    (external_says_503, "external_dependency", {"dep.http_status": "critical", "logs.sig.ext_error": "critical", "http.path_errors": "critical"}),
    (external_hangs, "external_dependency", {"dep.latency": "critical", "dep.reachable": "info", "logs.sig.worker_timeout": "critical"}),
    (
        bad_release,
        "deploy_regression",
        {
            "change.deploy_recent": "critical",
            "change.deploy_correlated": "critical",
            "change.new_error_signature": "critical",
            "logs.errors.onset": "critical",
            "logs.errors.rate": "critical",
            "logs.sig.unhandled_exception": "critical",
        },
    ),
    (wrong_setting, "config_regression", {"change.recreated": "warning", "change.deploy_correlated": "warning", "change.new_error_signature": "critical"}),
    (lock_beside_a_container_made_again, "db_lock_contention", {"change.recreated": "warning", "pg.locks.root": "critical"}),
    (certificate_expired, "tls_certificate", {"tls.expiry": "critical", "http.tls_error": "critical", "http.live": "critical"}),
    (database_gone, "db_down", {"pg.up": "critical", "db.container.state": "critical", "db.container.exit_code": "warning", "logs.sig.db_refused": "critical"}),
    (database_disk_full, "disk_full", {"db.disk.space": "critical", "logs.sig.disk_full": "critical", "pg.log.panic": "critical", "pg.up": "critical"}),
    (
        event_loop_blocked,
        "backend_workers_blocked",
        {
            "backend.loop.blocked": "critical",
            "backend.accept_queue": "critical",
            "backend.container.health": "critical",
            "http.live": "critical",
            "http.latency": "critical",
            "http.slow_health": "critical",
            "http.5xx.504": "critical",
        },
    ),
    (stale_upstream_address, "proxy_misrouted", {"proxy.upstream_ip_stale": "critical", "http.proxy_only": "critical", "change.deploy_recent": "warning"}),
    (
        backend_fails_to_start,
        "boot_failure",
        {"logs.sig.boot_failure": "critical", "backend.container.restarts": "critical", "change.config": "warning", "backend.listen": "critical"},
    ),
    (host_disk_full, "disk_full", {"host.disk.space": "critical", "logs.sig.disk_full": "critical"}),
    (clock_is_wrong, "clock_skew", {"host.clock": "critical", "logs.sig.token_expired": "critical"}),
    (names_do_not_resolve, "dns_failure", {"dns.resolve_in_container": "critical", "logs.sig.dns": "critical"}),
    (machine_saturated, "host_saturated", {"host.psi.cpu": "info", "host.cpu.util": "info", "http.latency": "critical"}),
]


def assessed(e: Evidence, tmp_path: Path) -> list[Finding]:
    """Findings of every role."""
    return [found for role, checks in CHECKS.items() for found in assessment.assess(checks, [e.document], role, None, tmp_path)]


def strongest(findings: list[Finding]) -> dict[str, str]:
    """The gravest severity of each id."""
    found: dict[str, str] = {}
    for finding in findings:
        if finding.state == FINDING and finding.severity and SEVERITY_ORDER[finding.severity] >= SEVERITY_ORDER.get(found.get(finding.id, ""), 0):
            found[finding.id] = finding.severity
    return found


def test_recorded_healthy_stack_is_silent(tmp_path: Path) -> None:
    findings = assessed(Evidence(), tmp_path)
    assert [(one.id, one.severity, one.summary) for one in findings if one.is_bad] == []
    assert [(one.id, one.service, one.reason) for one in findings if one.state == UNKNOWN] == []
    result = outcome.conclude(findings, [HEALTHY], PATTERNS)
    assert (result["diagnosis"], result["severity"], result["verdict"]) == ([], None, "no incident found")
    assert result["exonerated"] == [f"{name} on web1" for name in HEALTHY["services"]] + ["machine web1"]
    assert len(findings) > 200


def test_without_any_slot_the_client_is_named_and_no_session_is_needed(tmp_path: Path) -> None:
    evidence = Evidence()
    slots_taken_and_no_way_in(evidence)
    findings = assessed(evidence, tmp_path)
    leak = next(one for one in findings if one.id == "pg.conn.leak")
    assert leak.summary == "role app at app-worker (172.18.0.9) holds 90 idle sessions, 92.8 % of all slots"
    action = outcome.conclude(findings, [evidence.document], PATTERNS)["proposals"][0]
    assert (action["mitigation"], action["command"]) == ("report_only", "docker top app-db -eo pid,lstart,args")
    assert action["target"]["client_container"] == "app-worker"


@pytest.mark.parametrize(("fault", "top", "expected"), CASES, ids=[case[0].__name__ for case in CASES])
def test_evidence_of_a_fault_gives_its_findings_and_its_pattern(fault: Callable[[Evidence], None], top: str, expected: dict[str, str], tmp_path: Path) -> None:
    evidence = Evidence()
    fault(evidence)
    findings = assessed(evidence, tmp_path)
    found = strongest(findings)
    assert {check_id: found.get(check_id) for check_id in expected} == expected
    broken = [one.reason for one in findings if one.state == UNKNOWN and "does not fit the evidence" in str(one.reason)]
    assert broken == []
    result = outcome.conclude(findings, [evidence.document], PATTERNS)
    assert [one["pattern"] for one in result["diagnosis"]][:1] == [top], [(one["pattern"], one["score"]) for one in result["diagnosis"]]
    assert result["diagnosis"][0]["verdict"] == "likely"
    assert result["proposals"][0]["target"]
    assert result["severity"] is not None


@pytest.mark.parametrize("service", HEALTHY["services"])
def test_missing_sources_are_unknown_and_never_ok(service: str, tmp_path: Path) -> None:
    evidence = Evidence()
    for source in evidence.document["services"][service]["sources"]:
        evidence.fail(service, source, "the Docker socket may not be read", "permission")
    own = [one for one in assessed(evidence, tmp_path) if one.service == service]
    assert own
    assert not [one.id for one in own if one.state == FINDING and one.is_bad]
    fine = {one.id for one in own if one.state == "ok"}
    # Only what the machine itself knows about the service.
    assert fine <= {"change.config", "change.cert", "change.restart"}


def test_times_in_a_sentence_have_no_fractions(tmp_path: Path) -> None:
    evidence = Evidence()
    bad_release(evidence)
    findings = assessed(evidence, tmp_path)
    onset = next(one for one in findings if one.id == "logs.errors.onset" and one.service == "backend")
    assert onset.summary.startswith(f"errors began at {ago(60)[:19].replace('T', ' ')}Z, ")
    assert onset.since == f"{ago(60)[:19]}Z"


def test_young_containers_of_a_healthy_stack_are_no_incident(tmp_path: Path) -> None:
    evidence = Evidence()
    evidence.old_stack()
    evidence.data("backend", "container").update(created_at=ago(30), started_at=ago(30), age_s=30.0, up_s=30.0, image="shop/app-backend:v2")
    findings = assessed(evidence, tmp_path)
    assert strongest(findings)["change.deploy_recent"] == "info"
    assert [one.id for one in findings if one.is_bad] == []


def test_errors_that_ended_minutes_ago_are_history(tmp_path: Path) -> None:
    evidence = Evidence()
    evidence.errors("backend", 80, "KeyError at shop/orders.py:order_view", age_s=700.0)
    evidence.known("backend", "unhandled_exception", 80, age_s=700.0)
    evidence.known("backend", "db_refused", 80, age_s=700.0)
    evidence.data("backend", "logs")["onset"] = None
    evidence.data("proxy", "logs")["access"].update(errors_5xx=80, by_status={"200": 500, "500": 80})
    assert [one.id for one in assessed(evidence, tmp_path) if one.is_bad] == []


def test_constant_noise_is_no_incident(tmp_path: Path) -> None:
    evidence = Evidence()
    evidence.errors("backend", 180, "retry failed", new=False)
    evidence.data("backend", "logs").update(onset=None, errors={"window": 180, "baseline": 720, "per_min": 12.0, "baseline_per_min": 12.0, "ratio": 1.0})
    findings = assessed(evidence, tmp_path)
    assert [one.id for one in findings if one.is_bad] == []
    assert strongest(findings)["logs.errors.level"] == "info"


HOSTILE = "{{ lookup('pipe', 'id') }} <script>\x1b[2J$(id)`id`'; DROP TABLE orders; --\u202e\x00"


def replaced(value: Any, leaf: Any, depth: int) -> Any:
    """The same document with everything below ``depth`` levels replaced."""
    if depth == 0 or not isinstance(value, (dict, list)):
        return leaf
    if isinstance(value, list):
        return [replaced(item, leaf, depth - 1) for item in value]
    return {key: replaced(item, leaf, depth - 1) for key, item in value.items()}


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("leaf", [None, HOSTILE, -1, 1e300, [], {}, [None], [HOSTILE], {HOSTILE: HOSTILE}, True])
def test_evidence_of_any_content_is_assessed_without_a_crash(leaf: Any, depth: int, tmp_path: Path) -> None:
    evidence = Evidence()
    for service in evidence.document["services"].values():
        for source in service["sources"].values():
            source["data"] = replaced(source["data"], leaf, depth)
    for source in evidence.document["machine"].values():
        source["data"] = replaced(source["data"], leaf, depth)
    findings = assessed(evidence, tmp_path)
    result = outcome.conclude(findings, [evidence.document], PATTERNS)
    said = json.dumps([[one.as_dict() for one in findings], result], ensure_ascii=False)
    assert json.loads(said)
    for character in ("\x1b", "\\u001b", "\u202e", "\x00", "\\u0000"):
        assert character not in said
    for proposal in result["proposals"]:
        assert "DROP TABLE" not in str(proposal["command"])
