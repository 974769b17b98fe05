# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the services of a Docker host when ``incident_services`` is empty, and says in sentences what it assumed.

What a container is shows in its processes, its command, its image's name and its ports; what it calls shows in the URLs of its
environment. Credentials found there are used in memory only.
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from . import cgroup, procfs
from .container import port_behind_url, published_ports
from .context import Container, Context, Machine, Service, SourceError
from .discover_reach import authority_file, health_url, proxy_url, service_url
from .discover_urls import URL_NAME, Reference, outside_spec, references
from .events import container_list
from .process import process_stats

DATABASE_PROCESSES = {"postgres": "postgresql", "postmaster": "postgresql", "redis-server": "redis", "valkey-server": "redis", "keydb-server": "redis"}
PROXY_PROCESSES = {"nginx": "nginx", "openresty": "nginx"}
PYTHON_SERVERS = ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian")
IMAGE_WORDS = {"postgres": "postgresql", "postgis": "postgresql", "timescaledb": "postgresql", "redis": "redis", "valkey": "redis", "nginx": "nginx"}
EXPOSED_PORTS = {5432: "postgresql", 6379: "redis"}
COMPOSE_SERVICE = "com.docker.compose.service"
INSPECTING_THREADS = 12


@dataclass
class Candidate:
    """A container and what it seems to be; ``why`` is the reason in words."""

    container: Container
    name: str
    kind: str | None = None
    why: str = ""
    port: int | None = None
    references: list[Reference] = field(default_factory=list)
    spec: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def discover(machine: Machine) -> tuple[dict[str, Service], list[str]]:
    """``(services by name, sentences about what was assumed)``; no services and a sentence when Docker can't be asked."""
    try:
        entries = container_list(machine)
    except SourceError as error:
        return {}, [f"no services were discovered: {error.reason}; or declare incident_services"]
    candidates = [Candidate(container, container.name) for container in inspected(machine, [str(entry["Id"]) for entry in entries])]
    give_names(candidates)
    for candidate in candidates:
        classify(Context(machine, None, limit_s=5.0), candidate)
        candidate.references = references(candidate.container.environment)
    services = connect(candidates)
    ignored = [candidate.container.name for candidate in candidates if candidate.kind is None]
    assumptions = [sentence(candidate) for candidate in candidates if candidate.kind] + [note for candidate in candidates for note in candidate.notes]
    if ignored:
        assumptions.append(f"ignored, because nothing says that they serve requests: {', '.join(sorted(ignored)[:20])}")
    if not services:
        assumptions.append(f"no service was recognised among {len(entries)} containers; declare incident_services")
    return services, assumptions


def inspected(machine: Machine, ids: list[str]) -> list[Container]:
    """The containers of these ids, asked in parallel; one that vanished meanwhile is left out."""
    waiting, found = deque(ids), {}

    def work() -> None:
        while True:
            try:
                identity = waiting.popleft()
            except IndexError:
                return
            try:
                found[identity] = machine.container(identity)
            except SourceError:
                continue

    threads = [threading.Thread(target=work, daemon=True) for _number in range(min(INSPECTING_THREADS, len(ids)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(float(machine.options["docker_timeout_s"]))
    for container in found.values():
        machine.remember_container(container)
    return sorted(found.values(), key=lambda container: container.name)


def give_names(candidates: list[Candidate]) -> None:
    """The service's name in its compose file where that is unique, else the container's."""
    labels = [candidate.container.labels.get(COMPOSE_SERVICE) for candidate in candidates]
    for candidate, label in zip(candidates, labels):
        if label and labels.count(label) == 1:
            candidate.name = label


# -- what is it? -----------------------------------------------------------------------------------------------------


def classify(ctx: Context, candidate: Candidate) -> None:
    """Set ``kind``, ``why`` and ``port``; kind stays None for batch jobs, one-shots and clients."""
    container = candidate.container
    processes = process_names(ctx, container)
    words = processes or command_words(container)
    way = "process" if processes else "command"
    for word, kind in {**DATABASE_PROCESSES, **PROXY_PROCESSES}.items():
        if word in words:
            candidate.kind, candidate.why = kind, f"{way} {word}"
            return
    if not container.running and not may_come_back(container):
        return
    server = next((word for word in words if word in PYTHON_SERVERS), None) or next((word for word in words if word.startswith("python")), None)
    port = http_port(ctx, container, server)
    if server and port:
        candidate.kind, candidate.port, candidate.why = "fastapi", port, f"{way} {server} on port {port}"
        return
    guess_by_image(candidate)


def process_names(ctx: Context, container: Container) -> list[str]:
    """Names of the container's processes and of the program each Python runs; empty when they are not visible."""
    if not container.pid:
        return []
    try:
        pids = cgroup.member_pids(ctx, container)
    except (SourceError, OSError):
        return []
    names: list[str] = []
    for pid, stat in process_stats(ctx, pids[:200]).items():
        names.append(stat.comm.rstrip(":"))
        try:
            arguments = ctx.read(ctx.path("proc", pid, "cmdline"), 4096).split("\0")
        except OSError:
            continue
        # "nginx: master process", "gunicorn: worker", "/usr/bin/python3 /usr/bin/gunicorn", "python3 -m uvicorn"
        names += [os.path.basename(argument.split(" ")[0]).rstrip(":") for argument in arguments[:4] if argument]
    return list(dict.fromkeys(names))


def command_words(container: Container) -> list[str]:
    """Base names of the words of the container's command line."""
    words = [str(container.inspect.get("Path") or ""), *[str(word) for word in container.inspect.get("Args") or []]]
    return [os.path.basename(part) for word in words for part in word.split() if part]


def may_come_back(container: Container) -> bool:
    """A stopped container that is meant to run: one with a restart policy or that published a port. A finished job has neither."""
    host = container.inspect.get("HostConfig") or {}
    policy = (host.get("RestartPolicy") or {}).get("Name") or "no"
    return policy != "no" or bool(host.get("PortBindings"))


def http_port(ctx: Context, container: Container, server: str | None) -> int | None:
    """The port on which a Python process takes requests; None for one that only sends them."""
    listening = listening_ports(ctx, container)
    if listening is not None:
        usual = [port for port in listening if port in container.exposed_ports] or listening
        return usual[0] if usual else None
    published = [entry["port"] for entry in published_ports(container) if entry["host_port"] and entry["protocol"] == "tcp"]
    bound = [int(port.split("/")[0]) for port in (container.inspect.get("HostConfig") or {}).get("PortBindings") or {} if port.endswith("/tcp")]
    known = published or bound
    if known:
        return known[0]
    # Many images declare a port for every command that they can run: only a server's name makes it believable.
    return container.exposed_ports[0] if server in PYTHON_SERVERS and container.exposed_ports else None


def listening_ports(ctx: Context, container: Container) -> list[int] | None:
    """TCP ports on which the container listens, lowest first; None when they can't be seen, which for others' processes only root can."""
    if not container.pid or container.host_network:
        return None
    sockets: list[procfs.TcpSocket] = []
    readable = False
    for name in ("tcp", "tcp6"):
        try:
            sockets += procfs.tcp_sockets(ctx.read(ctx.path("proc", container.pid, "net", name)))
            readable = True
        except OSError:
            continue
    # Docker's own name server listens on 127.0.0.11 in every container.
    ports = {entry.port for entry in sockets if entry.state == procfs.TCP_LISTEN and not entry.ip.startswith("127.")}
    return sorted(ports) if readable else None


def guess_by_image(candidate: Candidate) -> None:
    """The last resort for databases and proxies: the image's name and ports."""
    container = candidate.container
    image = str((container.inspect.get("Config") or {}).get("Image") or "")
    short = image.rpartition("/")[2].partition(":")[0].partition("@")[0]
    for word, kind in IMAGE_WORDS.items():
        if word in short and not short.endswith(("exporter", "backup")):
            candidate.kind, candidate.why = kind, f"image {short}"
            return
    for port, kind in EXPOSED_PORTS.items():
        if port in container.exposed_ports:
            candidate.kind, candidate.why = kind, f"port {port}"
            return


# -- what does it call? ------------------------------------------------------------------------------------------------


def connect(candidates: list[Candidate]) -> dict[str, Service]:
    """Follow the references, and return the services with what they depend on."""
    demote_called_helpers(candidates)
    outside: dict[str, Service] = {}
    for candidate in candidates:
        if candidate.kind == "fastapi":
            candidate.spec["depends_on"] = dependencies(candidate, candidates, outside)
    services = {}
    for candidate in candidates:
        if candidate.kind is None:
            continue
        complete(candidate, candidates)
        services[candidate.name] = Service(candidate.name, candidate.kind, {"kind": candidate.kind, **candidate.spec})
    return {**services, **outside}


def demote_called_helpers(candidates: list[Candidate]) -> None:
    """A web service that others call and that calls nothing itself is their external dependency."""
    for caller in candidates:
        if caller.kind != "fastapi":
            continue
        for reference in caller.references:
            called = target_of(reference, caller, candidates)
            if reference.kind == "external" and called is not None and is_helper(called):
                called.kind = "external"
                called.why = f"{reference.variable} of {caller.name}"
                called.spec["url"] = health_url(reference, called.container)


def is_helper(candidate: Candidate) -> bool:
    """A container that is meant to run, is neither database nor proxy, and calls nothing itself."""
    meant_to_run = candidate.container.running or may_come_back(candidate.container)
    return meant_to_run and candidate.kind in ("fastapi", None) and not candidate.references


def target_of(reference: Reference, caller: Candidate, candidates: list[Candidate]) -> Candidate | None:
    """The container that a reference leads to, as the caller's network resolves it; never the caller itself."""
    networks = {address.network for address in caller.container.addresses}
    for candidate in candidates:
        if candidate is caller:
            continue
        if reference.host in known_names(candidate, networks):
            return candidate
        if reference.host in ("host.docker.internal", "172.17.0.1") and port_behind_url(reference.base_url, candidate.container):
            return candidate
    return None


def known_names(candidate: Candidate, networks: set[str]) -> set[str]:
    """Names and addresses of a container on these networks; none when it is on none of them, for then its names don't resolve there."""
    container = candidate.container
    shared = [address for address in container.addresses if address.network in networks]
    if not shared:
        return set()
    names = {container.name, container.id[:12], candidate.name, str((container.inspect.get("Config") or {}).get("Hostname") or "")}
    for address in shared:
        names |= {address.ip, *address.aliases}
    return names - {""}


def dependencies(candidate: Candidate, candidates: list[Candidate], outside: dict[str, Service]) -> list[str]:
    """Names of what the candidate calls; what runs elsewhere is added to ``outside``."""
    names = []
    for reference in candidate.references:
        called = target_of(reference, candidate, candidates)
        if called is None:
            if is_own_address(reference, candidate):
                continue
            service = outside_service(reference, candidate, {other.name for other in candidates}, outside)
            outside[service.name] = service
            candidate.notes.append(f"{service.name}: {service.kind} outside this machine (from {reference.variable} of {candidate.name})")
            names.append(service.name)
            continue
        if called.kind is None or called.kind == "nginx":
            continue
        learn(called, reference, candidate)
        names.append(called.name)
    return list(dict.fromkeys(names))


def is_own_address(reference: Reference, candidate: Candidate) -> bool:
    """Whether the URL leads back to the caller."""
    return reference.host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", candidate.container.name)  # noqa: S104 - compared, not bound


def learn(called: Candidate, reference: Reference, caller: Candidate) -> None:
    """What a caller's URL tells about a database or cache."""
    if called.kind == "postgresql" and reference.kind == "postgresql" and reference.path.strip("/"):
        database = unquote(reference.path.strip("/"))
        if "database" not in called.spec:
            called.spec["database"] = database
            called.why += f", database {database} (from {reference.variable} of {caller.name})"
    if called.kind == "redis" and reference.kind == "redis" and reference.password:
        called.spec.setdefault("login_password", reference.password)
        if reference.user not in ("", "default"):
            called.spec.setdefault("login_user", reference.user)


def outside_service(reference: Reference, caller: Candidate, taken: set[str], outside: dict[str, Service]) -> Service:
    """A service that runs somewhere else, as far as its URL describes it; the same for all who call it."""
    spec = outside_spec(reference)
    name = re.sub(r"[^a-z0-9]+", "-", URL_NAME.sub("", reference.variable.upper()).lower()).strip("-") or reference.host
    same_name = outside.get(name)
    if name in taken or (same_name is not None and same_name.spec != spec):
        name = f"{caller.name}-{name}"
    return Service(name, reference.kind, spec)


# -- where does it listen? ---------------------------------------------------------------------------------------------


def complete(candidate: Candidate, candidates: list[Candidate]) -> None:
    """Container, URL and, for a proxy, what it forwards to."""
    container = candidate.container
    if candidate.kind == "external":
        return
    candidate.spec["container"] = container.name
    if candidate.kind == "nginx":
        candidate.spec["url"] = proxy_url(container)
        candidate.spec["depends_on"] = sorted(other.name for other in candidates if other.kind == "fastapi" and shares_network(other.container, container))
        authority = authority_file(container)
        if authority and str(candidate.spec["url"]).startswith("https"):
            candidate.spec["ca_file"] = authority
            candidate.notes.append(f"{candidate.name}: trusts {authority}, which lies beside its certificate")
    if candidate.kind == "fastapi" and candidate.port:
        candidate.spec["url"] = service_url(container, candidate.port)


def shares_network(one: Container, other: Container) -> bool:
    """Whether two containers are on a common Docker network."""
    return bool({address.network for address in one.addresses} & {address.network for address in other.addresses})


def sentence(candidate: Candidate) -> str:
    """What was assumed about a container, in words."""
    url = candidate.spec.get("url")
    at = f", at {url}" if url else ""
    return f"{candidate.name}: {candidate.kind} ({candidate.why}){at}"
