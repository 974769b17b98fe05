# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Investigation of network and infrastructure: the way of a request step by step, names, certificates, connections, containers, and disks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..estate import Estate, Machine, Service
from ..record import Investigation, Table
from ..shapes import items, mapping, source_data
from .tables import Column, looked_at, milliseconds, missing, named, percent, seconds, size, table, text

KINDS = ("fastapi", "nginx", "postgresql", "redis", "external")


def investigate(estate: Estate) -> Investigation:
    """Everything about the ways between users, services and machines."""
    services = named(estate, KINDS)
    found = Investigation("network", "Network and infrastructure", looked_at(estate, services, "service"))
    found.tables += [path(estate, services), certificates(services), names(estate, services), containers(services)]
    for service in services:
        found.tables += connection_tables(service)
    found.tables += [disks(machine) for machine in estate.machines.values() if machine.reachable]
    found.tables = [made for made in found.tables if made.rows or made.reason]
    return found


# -- the way of a request ---------------------------------------------------------------------------------------------------------------------


def path(estate: Estate, services: list[Service]) -> Table:
    """Each way to each service with the time that its steps took: connecting, TLS, first byte, all of it."""
    rows = []
    for service in services:
        for name, entry in mapping(service.data("http").get("endpoints")).items():
            if isinstance(entry, dict):
                rows.append({"service": service.name, "host": service.host, "endpoint": name, **_slowest(entry), **entry})
        reason = mapping(service.sources.get("http")).get("reason")
        if reason:
            rows.append({"service": service.name, "host": service.host, "error": reason})
    return table("The way to each endpoint", None, rows, PATH_COLUMNS, note="steps of its slowest request; direct: past proxy and published port")


def _slowest(entry: Mapping[str, Any]) -> dict[str, Any]:
    probes = [probe for probe in items(entry.get("probes")) if isinstance(probe.get("total_ms"), (int, float))]
    return max(probes, key=lambda probe: float(probe["total_ms"]), default={})


PATH_COLUMNS = (
    Column("service", "service"),
    Column("endpoint", "endpoint"),
    Column("by", "via"),
    Column("connect", "connect_ms", milliseconds, number=True),
    Column("tls", "tls_ms", milliseconds, number=True),
    Column("first byte", "first_byte_ms", milliseconds, number=True),
    Column("total", "total_ms", milliseconds, number=True),
    Column("status", "status", number=True),
    Column("error", "error"),
)


def certificates(services: list[Service]) -> Table:
    """What is served over TLS."""
    rows = []
    for service in services:
        if "tls" in service.sources:
            data = service.data("tls")
            reason = mapping(service.sources["tls"]).get("reason")
            rows.append(
                {**data, **mapping(data.get("served")), "service": service.name, "error": reason or data.get("handshake_error") or data.get("verify_error")}
            )
    return table("Certificates", None, rows, CERTIFICATE_COLUMNS)


CERTIFICATE_COLUMNS = (
    Column("service", "service"),
    Column("host", "host"),
    Column("until", lambda row: str(row.get("not_after") or "")[:10]),
    Column("days left", "days_left", number=True),
    Column("names", "san"),
    Column("issuer", "issuer"),
    Column("name fits", "hostname_ok"),
    Column("problem", "error"),
)


def names(estate: Estate, services: list[Service]) -> Table:
    """Names as each container and each machine resolves them."""
    rows: list[dict[str, Any]] = []
    for machine in estate.machines.values():
        rows += _names_of(f"machine {machine.name}", mapping(machine.sources.get("dns")))
    for service in services:
        if "dns" in service.sources:
            rows += _names_of(service.name, mapping(service.sources["dns"]))
    return table("Names", None, rows, NAME_COLUMNS, note="a container's names are asked at the nameserver that it asks itself")


def _names_of(where: str, source: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not source:
        return []
    if not source.get("ok"):
        return [{"where": where, "error": source.get("reason")}]
    data = mapping(source.get("data"))
    return [{"where": where, "name": name, "nameservers": data.get("nameservers"), **mapping(entry)} for name, entry in mapping(data.get("names")).items()]


NAME_COLUMNS = (
    Column("asked by", "where"),
    Column("name", "name"),
    Column("addresses", "addresses"),
    Column("took", "ms", milliseconds, number=True),
    Column("nameserver", "nameservers"),
    Column("error", "error"),
)


# -- what runs, and what it talks to --------------------------------------------------------------------------------------------------------


def containers(services: list[Service]) -> Table:
    """What every container uses, as ``docker stats`` would show it."""
    rows = []
    for service in services:
        container, group = service.data("container"), service.data("cgroup")
        if not container:
            continue
        memory, cpu = mapping(group.get("memory")), mapping(group.get("cpu"))
        interfaces = items(service.data("connections").get("interfaces"))
        traffic = {key: sum(float(entry.get(key) or 0) for entry in interfaces) for key in ("rx_bytes_per_s", "tx_bytes_per_s")} if interfaces else {}
        rows.append({**container, **cpu, "memory": memory.get("working_set"), "limit_pct": memory.get("limit_pct"), **traffic})
    return table("Containers", None, rows, CONTAINER_COLUMNS)


CONTAINER_COLUMNS = (
    Column("container", "name"),
    Column("status", lambda row: row.get("health") or row.get("status")),
    Column("up for", "up_s", seconds, number=True),
    Column("restarts", "restart_count", number=True),
    Column("cpu", "usage_pct", percent, number=True),
    Column("memory", "memory", size, number=True),
    Column("of limit", "limit_pct", percent, number=True),
    Column("received/s", "rx_bytes_per_s", size, number=True),
    Column("sent/s", "tx_bytes_per_s", size, number=True),
)


def connection_tables(service: Service) -> list[Table]:
    """TCP connections of a container by who is at the other end, with what its network lost; empty for a service without a container."""
    if "connections" not in service.sources:
        return []
    unknown = missing("Connections", service, "connections")
    if unknown:
        return [unknown]
    data = service.data("connections")
    rates = mapping(data.get("tcp"))
    lost = sum(int(entry.get("errors") or 0) + int(entry.get("dropped") or 0) for entry in items(data.get("interfaces")))
    note = (
        f"over {seconds(data.get('window_s'))}: {text(rates.get('connects_per_s'))} connects per second, {text(rates.get('connects_failed_per_s'))} failed, "
        f"{percent(rates.get('retransmitted_pct'))} sent again; {lost} packets lost or damaged since it started"
    )
    return [table("Connections", service, items(data.get("peers")), CONNECTION_COLUMNS, note=note)]


CONNECTION_COLUMNS = (
    Column("way", "direction"),
    Column("other end", lambda row: f"{text(row.get('name'))} ({text(row.get('peer'))})" if row.get("name") else row.get("peer")),
    Column("port", "port", number=True),
    Column("n", "count", number=True),
    Column("states", "states"),
    Column("unsent", "unsent", size, number=True),
    Column("unread", "unread", size, number=True),
)


def disks(machine: Machine) -> Table:
    """File systems of a machine."""
    mounts = items(source_data(machine.sources, "disk").get("mounts"))
    made = table("File systems", None, mounts, DISK_COLUMNS)
    made.host = text(machine.name)
    return made


DISK_COLUMNS = (
    Column("mount", "mount"),
    Column("type", "filesystem"),
    Column("size", "total", size, number=True),
    Column("free", "free", size, number=True),
    Column("used", "used_pct", percent, number=True),
    Column("inodes", "inodes_used_pct", percent, number=True),
    Column("problem", "error"),
)
