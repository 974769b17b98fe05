# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a source of the probe gets, and how it answers.

A **source** is one file in this package with a function ``collect(ctx) -> dict``. It returns the ``data`` that
docs/architecture.md describes for it and runs in a thread of its own, at the same time as all other sources of all
services of the machine. Three rules:

* A service that is down is an answer: return data that says so. Raise :class:`SourceError` only when we could not look;
  its ``kind`` is one of :data:`ERROR_KINDS`, its ``reason`` one sentence that names the object, the value and the next step.
  Any other exception becomes ``{"ok": false, "kind": "error"}``: it never disturbs the other sources.
* Every wait has a limit: pass ``ctx.remaining()`` (seconds, never below 0.05) as timeout of each socket and request. A source that does not
  return in time is reported as ``timeout`` (its own limit) or ``unfinished`` (the whole probe's budget) and left behind.
* Standard library only, Python 3.8+, relative imports (``from .context import SourceError``), nothing written on the machine.

A source is registered by one line in :mod:`registry`; what is not registered does not run.

What ``ctx`` (:class:`Context`) gives:

=====================  ==================================================================================================
``ctx.service``        :class:`Service` (``name kind spec``; the spec carries secrets such as ``login_password``: they stay in
                       memory, never in data or a reason) or None for a source of the machine; ``ctx.owner`` is never None
``ctx.options``        dict, all keys of :data:`DEFAULT_OPTIONS`, numbers in seconds
``ctx.remaining()``    seconds left for this source
``ctx.now``            epoch of the machine when the probe started (float)
``ctx.root``           prefix for ``/proc`` and ``/sys`` (``""``; tests use recorded trees); ``ctx.path("proc", 1, "stat")`` joins
``ctx.statvfs(path)``  sizes of the file system mounted there, an object as of ``os.statvfs``
``ctx.read(path)``     text of a small file (at most 1 MiB), OSError passes through
``ctx.resource(name)`` text of a non-Python file of this package (``pg_snapshot.sql``), shipped with the request
``ctx.docker``         :class:`docker.DockerClient`: ``get_json(path)``, ``logs(...)``, ``exec_argv(...)``; every call raises SourceError
                       with a sentence when the engine is absent, hangs or refuses us
``ctx.container``      :class:`Container` of this service; raises SourceError ``absent`` when none is declared or it does not exist,
                       or the engine's own error. Asked once per container and shared by all sources
``ctx.container_or_none()``  the same, or None for whatever reason
``ctx.services``       ``{name: Service}`` of this machine, this service included (``ctx.peers`` is without it)
``ctx.container_of(service_name)``  Container of another service, or None
``ctx.sample(read)``   ``(first, second, elapsed_s)``: calls ``read()``, waits ``sample_s`` and calls it again; for counters. ``second`` is None
                       when the second call fails or no time is left
=====================  ==================================================================================================
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

T = TypeVar("T")

KINDS = ("fastapi", "nginx", "postgresql", "redis", "external")
CONTAINER_KINDS = ("fastapi", "nginx", "postgresql", "redis")
DEFAULT_PORTS = {"fastapi": 8000, "nginx": 80, "postgresql": 5432, "redis": 6379}
ERROR_KINDS = ("timeout", "permission", "absent", "refused", "auth", "unsupported", "error", "unfinished")
SECRET_KEYS = ("login_password", "mitigation_password")

DEFAULT_OPTIONS: dict[str, Any] = {
    "log_window_s": 900,  # errors are counted in this window ...
    "log_baseline_s": 3600,  # ... and compared with the time before it
    "log_max_bytes": 32 * 1024 * 1024,  # per container
    "sample_s": 0.25,  # between the two readings of a counter
    "budget_s": 20.0,  # wall time of the whole probe
    "http_timeout_s": 5.0,  # one request
    "http_probes": 3,  # requests per endpoint
    "db_timeout_s": 5.0,  # connecting to and asking PostgreSQL or Redis
    "dns_timeout_s": 5.0,
    "docker_timeout_s": 5.0,
    "event_window_s": 1800,  # Docker events looked at
    "change_window_s": 86400,  # how far back a change counts as recent
}

# What an investigation looks at instead: longer between two readings, further back, and more requests. ``depth: deep`` of a request.
DEEP_OPTIONS: dict[str, Any] = {
    **DEFAULT_OPTIONS,
    "log_window_s": 3600,
    "log_baseline_s": 21600,
    "sample_s": 3.0,
    "budget_s": 40.0,
    "http_probes": 8,
}

READ_LIMIT = 1024 * 1024
SHORTEST_WAIT_S = 0.05


class SourceError(Exception):
    """We could not look. ``kind`` is one of ERROR_KINDS, ``reason`` one sentence for the reader of the report."""

    def __init__(self, kind: str, reason: str) -> None:
        if kind not in ERROR_KINDS:
            raise ValueError(f"unknown kind of source error: {kind}")
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True)
class Service:
    """One entry of ``incident_services``. ``spec`` holds every declared key, secrets included."""

    name: str
    kind: str
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def container_name(self) -> str | None:
        """Name of the declared container, or None."""
        name = self.spec.get("container")
        return str(name) if name else None

    @property
    def depends_on(self) -> list[str]:
        """Names of the services that this one calls."""
        return [str(name) for name in self.spec.get("depends_on") or []]

    def public_spec(self) -> dict[str, Any]:
        """The declared keys without secrets: passwords are left out and user information in a URL too."""
        public = {}
        for key, value in self.spec.items():
            if key in SECRET_KEYS:
                continue
            public[key] = without_credentials(value) if key == "url" and isinstance(value, str) else value
        return public


def without_credentials(url: str) -> str:
    """The URL without ``user:password@``; text that is no URL comes back as it is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@dataclass(frozen=True)
class Address:
    """Where a container is on one Docker network. ``ip`` is empty while it is not attached."""

    network: str
    ip: str
    aliases: tuple[str, ...]


class Container:
    """What ``GET /containers/<name>/json`` says, with the parts that several sources need by name.

    ``inspect`` is the whole document; ``environment`` holds secrets and must not leave the probe.
    """

    def __init__(self, inspect: dict[str, Any]) -> None:
        self.inspect = inspect
        self.id = str(inspect.get("Id") or "")
        self.name = str(inspect.get("Name") or "").lstrip("/")
        state = inspect.get("State") or {}
        self.status = str(state.get("Status") or "")
        self.running = bool(state.get("Running"))
        self.paused = bool(state.get("Paused"))
        self.pid = int(state.get("Pid") or 0)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the container's first process."""
        pairs = (self.inspect.get("Config") or {}).get("Env") or []
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of container and image."""
        return dict((self.inspect.get("Config") or {}).get("Labels") or {})

    @property
    def host_network(self) -> bool:
        """True when the container shares the network of the machine."""
        return str((self.inspect.get("HostConfig") or {}).get("NetworkMode") or "") == "host"

    @property
    def addresses(self) -> list[Address]:
        """One entry per network, in the engine's order; a container on the host network listens on 127.0.0.1."""
        if self.host_network:
            return [Address("host", "127.0.0.1", ())]
        networks = (self.inspect.get("NetworkSettings") or {}).get("Networks") or {}
        return [
            Address(name, str(entry.get("IPAddress") or entry.get("GlobalIPv6Address") or ""), tuple(entry.get("Aliases") or ()))
            for name, entry in networks.items()
        ]

    @property
    def ips(self) -> list[str]:
        """Addresses at which the machine reaches the container; empty when it is down."""
        return [address.ip for address in self.addresses if address.ip]

    @property
    def exposed_ports(self) -> list[int]:
        """TCP ports that the image declares, lowest first."""
        exposed = (self.inspect.get("Config") or {}).get("ExposedPorts") or {}
        return sorted(int(port.split("/")[0]) for port in exposed if port.endswith("/tcp"))

    def published(self, port: int) -> list[tuple[str, int]]:
        """Host addresses (empty or 0.0.0.0: all) and ports behind which the container's TCP ``port`` is published."""
        bindings = ((self.inspect.get("NetworkSettings") or {}).get("Ports") or {}).get(f"{port}/tcp") or []
        return [(str(entry.get("HostIp") or ""), int(entry["HostPort"])) for entry in bindings if entry.get("HostPort")]


class Machine:
    """What all sources of one probe run share: the services, the engine, and every container asked about once."""

    def __init__(
        self,
        services: dict[str, Service],
        docker: Any,
        options: dict[str, Any] | None = None,
        root: str = "",
        resources: dict[str, str] | None = None,
        host_root: str = "",
    ) -> None:
        self.services = services
        self.docker = docker
        self.options = dict(DEFAULT_OPTIONS, **(options or {}))
        self.root = root
        self.host_root = host_root
        self.resources = resources or {}
        self.now = time.time()
        self.end = time.monotonic() + float(self.options["budget_s"])
        self._memo: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def once(self, key: str, ask: Callable[[], T]) -> T:
        """The answer of ``ask()``, asked once per key however many threads want it; a SourceError is remembered too."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._memo:
                try:
                    self._memo[key] = (True, ask())
                except SourceError as error:
                    self._memo[key] = (False, error)
            good, answer = self._memo[key]
        if not good:
            raise answer
        result: T = answer
        return result

    def container(self, name: str) -> Container:
        """The container of that name or id; SourceError ``absent`` when the engine does not know it."""
        return self.once("container " + name, lambda: Container(self.docker.inspect(name)))

    def remember_container(self, container: Container) -> None:
        """Answer :meth:`container` by this name without asking the engine again."""
        self.once("container " + container.name, lambda: container)


class Context:
    """One source's view of the machine; see the module's docstring."""

    def __init__(self, machine: Machine, service: Service | None = None, limit_s: float = 10.0, recording: Any = None) -> None:
        self.machine = machine
        self.service = service
        self.options = machine.options
        self.root = machine.root
        # A recorded.Recording, read instead of the machine's own files.
        self.recording = recording
        self.second_reading = False
        self.docker = machine.docker
        self.now = machine.now
        self.deadline = min(machine.end, time.monotonic() + limit_s)

    def remaining(self, at_most: float | None = None) -> float:
        """Seconds left for this source, never below 0.05 so that it can be passed to a socket; capped by ``at_most``."""
        left = max(SHORTEST_WAIT_S, self.deadline - time.monotonic())
        return left if at_most is None else min(left, at_most)

    def path(self, *parts: Any) -> str:
        """Absolute path below ``root``: ``ctx.path("proc", pid, "status")``."""
        relative = [str(part).lstrip("/") for part in parts]
        if self.recording is not None:
            return str(self.recording.path(relative, self.second_reading))
        return os.path.join(self.root or "/", *relative)

    def statvfs(self, path: str) -> Any:
        """Sizes of the file system that is mounted at ``path``; raises OSError."""
        return os.statvfs(self.path(path)) if self.recording is None else self.recording.statvfs(path)

    def read(self, path: str, limit: int = READ_LIMIT) -> str:
        """Text of a small file, undecodable bytes replaced; raises OSError."""
        with open(path, "rb") as handle:
            return handle.read(limit).decode("utf-8", "replace")

    def resource(self, name: str) -> str:
        """Text of a non-Python file of this package, as the controller shipped it."""
        try:
            return self.machine.resources[name]
        except KeyError:
            raise SourceError("error", f"{name} was not shipped with the request; update the collection on the controller") from None

    @property
    def owner(self) -> Service:
        """``service`` for sources that run only for services."""
        if self.service is None:
            raise SourceError("error", "this source belongs to a service, but was asked for the machine")
        return self.service

    @property
    def services(self) -> dict[str, Service]:
        """All services of this machine by name."""
        return self.machine.services

    @property
    def peers(self) -> dict[str, Service]:
        """The other services of this machine by name."""
        own = self.service.name if self.service else None
        return {name: service for name, service in self.services.items() if name != own}

    @property
    def container(self) -> Container:
        """The container of this service; SourceError when there is none or we can't ask."""
        if self.service is None or self.service.container_name is None:
            owner = self.service.name if self.service else "the machine"
            raise SourceError("absent", f"no container is declared for {owner}")
        return self.machine.container(self.service.container_name)

    def container_or_none(self) -> Container | None:
        """The container of this service, or None for whatever reason."""
        return self.container_of(self.service.name) if self.service else None

    def container_of(self, service_name: str) -> Container | None:
        """The container of a service of this machine, or None for whatever reason."""
        service = self.services.get(service_name)
        if service is None or service.container_name is None:
            return None
        try:
            return self.machine.container(service.container_name)
        except SourceError:
            return None

    def sample(self, read: Callable[[], T]) -> tuple[T, T | None, float]:
        """Two readings of counters: ``(first, second, elapsed seconds)``.

        The wait costs nothing: every source has its own thread. ``second`` is None when no time is left or the second reading
        fails, because the first one is an answer already.
        """
        first = read()
        started = time.monotonic()
        wait = float(self.options["sample_s"])
        if wait <= 0 or self.deadline - started <= wait:
            return first, None, 0.0
        time.sleep(wait)
        self.second_reading = True
        try:
            second = read()
        except (OSError, SourceError, ValueError):
            return first, None, 0.0
        return first, second, time.monotonic() - started
