# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sources exist, for which kind of service or for the machine, and how long each may take.

Adding a source is one file with ``collect(ctx)`` and one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import (
    cgroup,
    changes,
    connections,
    container,
    disk,
    dns,
    engine,
    host,
    http,
    kernel,
    logs,
    pg_access,
    pg_detail,
    postgresql,
    process,
    processes,
    readiness,
    redis,
    redis_access,
    redis_detail,
    releases,
    tls,
    volume,
)
from .context import CONTAINER_KINDS, Context, Service


@dataclass(frozen=True)
class Source:
    """``collect`` answers for services of ``kinds`` (empty: for the machine) within ``limit_s`` seconds.

    ``needs_container``: runs only for services that declare a container. ``applies``: says for which services there is something to ask
    (None: for all of its kinds); a source that does not apply is left out of the evidence, which is not the same as one that failed.
    ``deep``: too long or too much for every triage; only an investigation (``depth: deep``) asks it.
    """

    name: str
    collect: Callable[[Context], dict[str, Any]]
    kinds: tuple[str, ...] = ()
    limit_s: float = 8.0
    needs_container: bool = False
    applies: Callable[[Service], bool] | None = None
    deep: bool = False


SERVICE_SOURCES: list[Source] = [
    Source("container", container.collect, CONTAINER_KINDS, needs_container=True),
    Source("cgroup", cgroup.collect, CONTAINER_KINDS, needs_container=True),
    Source("process", process.collect, CONTAINER_KINDS, needs_container=True),
    Source("volume", volume.collect, ("postgresql", "redis"), needs_container=True),
    Source("postgresql", postgresql.collect, ("postgresql",), limit_s=12.0),
    Source("redis", redis.collect, ("redis",)),
    Source("http", http.collect, ("fastapi", "nginx", "external"), limit_s=12.0, applies=http.applies),
    Source("logs", logs.collect, CONTAINER_KINDS, limit_s=12.0, needs_container=True),
    Source("dns", dns.collect, CONTAINER_KINDS, needs_container=True, applies=dns.applies),
    Source("tls", tls.collect, ("fastapi", "nginx", "external"), limit_s=12.0, applies=tls.applies),
    Source("processes", processes.collect, CONTAINER_KINDS, needs_container=True, deep=True),
    Source("connections", connections.collect, CONTAINER_KINDS, needs_container=True, deep=True),
    Source("pg_detail", pg_detail.collect, ("postgresql",), limit_s=16.0, deep=True),
    Source("redis_detail", redis_detail.collect, ("redis",), limit_s=16.0, deep=True),
    Source("pg_access", pg_access.collect, ("postgresql",), limit_s=12.0, deep=True),
    Source("redis_access", redis_access.collect, ("redis",), deep=True),
    Source("releases", releases.collect, ("fastapi", "nginx"), needs_container=True, deep=True),
]
MACHINE_SOURCES: list[Source] = [
    Source("host", host.collect),
    Source("disk", disk.collect),
    Source("docker", engine.collect),
    Source("dns", dns.collect_machine),
    Source("changes", changes.collect),
    Source("kernel", kernel.collect),
    Source("readiness", readiness.collect, deep=True),
]
