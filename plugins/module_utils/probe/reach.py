# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a service listens, seen from this machine: declared host, container address, published port, unix socket in the container."""

from __future__ import annotations

import os
import socket
import stat
from typing import Any

from .context import Container, Context, Service, SourceError


def container_of(ctx: Context, service: Service) -> Container | None:
    """The service's container; None when it has none, or when Docker can't be asked but we know where the service listens."""
    if service.container_name is None:
        return None
    try:
        return ctx.container
    except SourceError as error:
        if error.kind != "absent" and (service.spec.get("host") or service.spec.get("port")):
            return None
        raise


def down_reason(container: Container | None) -> str | None:
    """Why nobody can answer in that container, or None."""
    if container is None or (container.running and not container.paused):
        return None
    return f"container {container.name} is {container.status or 'not running'}"


def answering_container(ctx: Context, service: Service) -> Container | None:
    """The service's container, None when it has none; SourceError (``refused``) when nobody can answer in it."""
    container = container_of(ctx, service)
    not_running = down_reason(container)
    if not_running:
        raise SourceError("refused", not_running)
    return container


def is_local(spec: dict[str, Any]) -> bool:
    """Whether the declared host is this machine."""
    return spec.get("host") in (None, "", "localhost", "127.0.0.1", "::1")


def tcp_addresses(spec: dict[str, Any], container: Container | None, port: int) -> list[tuple[str, int]]:
    """Where a server listens: the declared host, or the container's address and the port it is published on."""
    if spec.get("host"):
        return [(str(spec["host"]), port)]
    if container is None:
        return [("127.0.0.1", port)]
    wildcards = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
    published = [("127.0.0.1" if host in wildcards else host, number) for host, number in container.published(port)]
    return [(ip, port) for ip in container.ips[:1]] + published[:1]


def socket_below(root: str, name: str) -> str | None:
    """``root/name`` when it is a socket that no symbolic link leads to, else None.

    A link inside a container's tree would be followed in the machine's tree: it could lead to another server's socket.
    """
    path = root
    for part in name.strip("/").split("/"):
        path = os.path.join(path, part)
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return None
        if stat.S_ISLNK(mode):
            return None
    return path if stat.S_ISSOCK(mode) else None


def named(address: str | tuple[str, int]) -> str:
    """The address as a sentence names it."""
    return address if isinstance(address, str) else f"{address[0]} port {address[1]}"


def network_failure(error: Exception, where: str) -> tuple[str, str]:
    """(class, sentence) for an exception of the network: class is ``refused``, ``timeout``, ``permission`` or ``other``."""
    if isinstance(error, socket.timeout):
        return "timeout", f"no answer from {where} in time"
    if isinstance(error, PermissionError):
        return "permission", f"permission denied on {where}; use become to look through the local socket"
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return "refused", f"nobody listens at {where}"
    if isinstance(error, ConnectionError):
        return "refused", f"{where} closed the connection: {error.strerror or error}"
    if isinstance(error, OSError):
        return "timeout", f"{where} can't be reached: {error.strerror or error}"
    return "other", f"the answer of {where} is not understood: {error}"
