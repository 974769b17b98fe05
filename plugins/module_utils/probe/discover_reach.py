# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this machine, or a user, reaches what listens in a container."""

from __future__ import annotations

import os

from .container import published_ports
from .context import Container
from .discover_urls import Reference

TLS_PORTS = (443, 8443)
AUTHORITY_FILES = ("ca.pem", "ca.crt", "ca-bundle.crt", "rootCA.pem", "ca/ca.pem", "ca/ca.crt")


def health_url(reference: Reference, container: Container) -> str:
    """Where this machine reaches what the URL leads to; a bare base URL is probed at /health."""
    path = reference.path or "/health"
    port = reference.port or (443 if reference.scheme == "https" else 80)
    if container.ips:
        return f"{reference.scheme}://{container.ips[0]}:{port}{path}"
    for inner, host, host_port in host_ports(container):
        if inner == port:
            return f"{reference.scheme}://{reachable(host)}:{host_port}{path}"
    return f"{reference.scheme}://{reference.host}:{port}{path}"


def host_ports(container: Container) -> list[tuple[int, str, int]]:
    """``(port, host address, host port)`` of published TCP ports, also of a container that is stopped."""
    ports = [(entry["port"], str(entry["host_ip"] or ""), entry["host_port"]) for entry in published_ports(container) if entry["host_port"]]
    if ports:
        return ports
    bindings = (container.inspect.get("HostConfig") or {}).get("PortBindings") or {}
    return [
        (int(name.split("/")[0]), str(binding.get("HostIp") or ""), int(binding["HostPort"]))
        for name, entries in bindings.items()
        if name.endswith("/tcp")
        for binding in entries or []
        if binding.get("HostPort")
    ]


def proxy_url(container: Container) -> str:
    """As users reach it, over TLS where it offers that."""
    published = host_ports(container)
    for port, host, host_port in published:
        if port in TLS_PORTS or host_port in TLS_PORTS:
            return f"https://{named(host)}:{host_port}"
    if published:
        return f"http://{named(published[0][1])}:{published[0][2]}"
    tls = [port for port in container.exposed_ports if port in TLS_PORTS]
    address = container.ips[0] if container.ips else "127.0.0.1"
    return f"https://{address}:{tls[0]}" if tls else f"http://{address}:{(container.exposed_ports or [80])[0]}"


def service_url(container: Container, port: int) -> str:
    """Base URL of an application: its published port, else its own address."""
    for inner, host, host_port in host_ports(container):
        if inner == port:
            return f"http://{reachable(host)}:{host_port}"
    return f"http://{container.ips[0] if container.ips else '127.0.0.1'}:{port}"


def reachable(host: str) -> str:
    """The address at which a port published on ``host`` answers on this machine."""
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound


def named(host: str) -> str:
    """As :func:`reachable`, by a name that a certificate may carry."""
    address = reachable(host)
    return "localhost" if address == "127.0.0.1" else address


def authority_file(container: Container) -> str | None:
    """A private certificate authority in a folder mounted into the proxy; None when there is none or it may not be read."""
    for mount in container.inspect.get("Mounts") or []:
        for name in AUTHORITY_FILES:
            path = os.path.join(str(mount.get("Source") or ""), name)
            if os.path.isfile(path):
                return path
    return None
