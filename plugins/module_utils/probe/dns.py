# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources ``dns``: names that a container calls, resolved as the container would, and host names of URLs, resolved by the machine."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .context import Container, Context, Service, SourceError
from .names import is_address, resolve
from .netns import sockets_in
from .parallel import at_once
from .resolver import Resolver, ResolverConfig, parse_hosts, parse_resolv_conf

MOST_NAMES = 20
RESERVE_S = 0.3
LOCAL_NAMES = ("localhost", "ip6-localhost", "host.docker.internal")

# A host ends where a port, a path or the value ends. Without that a password with an odd character in it would be taken for a host, asked
# for at a name server and shown in the report.
_URL_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/\s]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)(?=(?::[0-9]+)?(?:[/?#,;\s\"')}\]]|$))")
_DSN_HOST = re.compile(r"(?:^|[\s;])host\s*=\s*'?([A-Za-z0-9_][A-Za-z0-9_.-]*)")
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,250}[A-Za-z0-9_])?")


def applies(service: Service) -> bool:
    """Whether the service calls others."""
    return bool(service.depends_on)


def collect(ctx: Context) -> dict[str, Any]:
    """Data of a service's source ``dns``: what its container would be told about the names it calls."""
    container = ctx.container
    if not container.running or not container.pid:
        raise SourceError("absent", f"container {container.name} is {container.status}, so nothing can be resolved as it would")
    config, hosts = container_config(ctx, container)
    names = called_names(ctx, container)
    deadline = time.monotonic() + max(0.05, min(float(ctx.options["dns_timeout_s"]), ctx.remaining() - RESERVE_S))
    resolver = Resolver(config, hosts, socket_factory(ctx, container), deadline)
    results = resolved(names, resolver.resolve)
    excuse_down_containers(ctx, results)
    return {"names": results, "nameservers": config.nameservers, "search": config.search, "ndots": config.ndots}


def container_config(ctx: Context, container: Container) -> tuple[ResolverConfig, dict[str, list[str]]]:
    """The container's resolv.conf and hosts file; Docker mounts both, so its process sees them at the usual places."""
    try:
        resolv = ctx.read(ctx.path("proc", container.pid, "root", "etc", "resolv.conf"))
    except PermissionError:
        raise SourceError("permission", f"resolv.conf of container {container.name} can be read by root only; use become") from None
    except OSError as error:
        raise SourceError("error", f"resolv.conf of container {container.name} can't be read: {error.strerror or error}") from None
    try:
        hosts = parse_hosts(ctx.read(ctx.path("proc", container.pid, "root", "etc", "hosts")))
    except OSError:
        hosts = {}
    return parse_resolv_conf(resolv), hosts


def socket_factory(ctx: Context, container: Container) -> Any:
    """Makes sockets in the container's network; a container on the host's network shares ours."""
    if container.host_network:
        return lambda family: socket.socket(family, socket.SOCK_DGRAM)
    namespace = ctx.path("proc", container.pid, "ns", "net")
    return lambda family: sockets_in(namespace, [family], ctx.remaining(2.0))[0]


def called_names(ctx: Context, container: Container) -> dict[str, str]:
    """``{name: where it comes from}``: ``environment`` of the container, or ``depends_on``.

    The environment tells what the application really uses. A dependency's container name counts only while both containers can
    see each other by name: Docker's default network does not resolve names.
    """
    names: dict[str, str] = {}
    for host in hosts_in_environment(container.environment):
        names[host] = "environment"
    own_networks = {address.network for address in container.addresses} - {"bridge", "host", "none"}
    for dependency in ctx.owner.depends_on:
        service = ctx.services.get(dependency)
        if service is None:
            continue
        external = host_of_url(str(service.spec.get("url") or "")) if service.kind == "external" else None
        if external:
            names.setdefault(external, "depends_on")
        other = ctx.container_of(dependency)
        if other is not None and own_networks and other.name not in names and not known_by_alias(other, names):
            names[other.name] = "depends_on"
    wanted = {name: source for name, source in names.items() if not is_address(name) and name.lower() not in LOCAL_NAMES}
    return dict(list(wanted.items())[:MOST_NAMES])


def known_by_alias(container: Container, names: dict[str, str]) -> bool:
    """Whether the container is called by one of its other names already."""
    return any(alias in names for address in container.addresses for alias in address.aliases)


def hosts_in_environment(environment: dict[str, str]) -> list[str]:
    """Host names in URLs, connection strings and variables such as REDIS_HOST. Only the names leave the value."""
    found: list[str] = []
    for key, value in environment.items():
        if key in ("PATH", "HOSTNAME", "HOME", "LANG") or len(value) > 4096:
            continue
        hosts = [host.strip("[]") for host in _URL_HOST.findall(value)] + _DSN_HOST.findall(value)
        if not hosts and re.search(r"_(?:HOST|HOSTNAME|SERVER|ADDR|ENDPOINT)$", key):
            name = value.partition(":")[0]
            hosts = [name] if _HOST_NAME.fullmatch(name) else []
        found += hosts
    return list(dict.fromkeys(found))


def host_of_url(url: str) -> str | None:
    """Host of a URL, None when it has none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def resolved(names: dict[str, str], ask: Callable[[str], list[str]]) -> dict[str, dict[str, Any]]:
    """``{name: {ok addresses ms error source}}``, all names asked at the same time."""

    def one(name: str) -> dict[str, Any]:
        started = time.monotonic()
        addresses: list[str] = []
        error = None
        try:
            addresses = ask(name)
        except (OSError, ValueError) as problem:
            error = getattr(problem, "strerror", None) or str(problem)
        elapsed = round((time.monotonic() - started) * 1000, 1)
        return {"ok": bool(addresses), "addresses": addresses[:10], "ms": elapsed, "error": error, "source": names[name]}

    return at_once({name: (lambda name=name: one(name)) for name in names})  # type: ignore[misc]


def excuse_down_containers(ctx: Context, names: dict[str, dict[str, Any]]) -> None:
    """Docker's nameserver knows running containers only: a name that belongs to one that is down says nothing about name resolution.

    ``ok`` is null then, and ``error`` names the container.
    """
    for service in ctx.peers.values():
        if service.container_name is None:
            continue
        container = ctx.container_of(service.name)
        # One that dies again and again counts as running for the engine, and has an address for moments only.
        if container is not None and container.running and container.status != "restarting":
            continue
        aliases = {alias for address in container.addresses for alias in address.aliases} if container else set()
        for name in {service.container_name, *aliases} & set(names):
            if names[name]["ok"] is False:
                state = container.status if container else "not there"
                names[name].update(ok=None, error=f"container {service.container_name} is {state}, so it has no name")


# ---------------------------------------------------------------- machine


def collect_machine(ctx: Context) -> dict[str, Any]:
    """Data of the machine's source ``dns``: host names of declared URLs and hosts, by the machine's own resolver."""
    names: dict[str, str] = {}
    for service in ctx.services.values():
        for host in (host_of_url(str(service.spec.get("url") or "")), str(service.spec.get("host") or "")):
            if host and not is_address(host) and host.lower() not in LOCAL_NAMES:
                names.setdefault(host, service.name)
    names = dict(list(names.items())[:MOST_NAMES])
    limit = max(0.05, min(float(ctx.options["dns_timeout_s"]), ctx.remaining() - RESERVE_S))
    results = resolved(names, lambda name: resolve(name, limit))
    try:
        nameservers = parse_resolv_conf(ctx.read(ctx.path("etc", "resolv.conf"))).nameservers
    except OSError:
        nameservers = []
    return {"names": results, "nameservers": nameservers}
