# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A resolver as small as the question "what would this container be told?": hosts file, search list, A and AAAA over UDP."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

A, AAAA = 1, 28
RESPONSE_CODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
ATTEMPTS = 2


@dataclass
class ResolverConfig:
    """What resolv.conf says, with glibc's defaults."""

    nameservers: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    ndots: int = 1
    timeout_s: float = 5.0


def parse_resolv_conf(text: str) -> ResolverConfig:
    """The last ``search`` or ``domain`` line counts, and the first three nameservers."""
    config = ResolverConfig()
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver" and len(config.nameservers) < 3:
            config.nameservers.append(words[1])
        elif words[0] in ("search", "domain"):
            config.search = words[1:]
        elif words[0] == "options":
            for option in words[1:]:
                name, _colon, value = option.partition(":")
                if name == "ndots" and value.isdigit():
                    config.ndots = min(int(value), 15)
                elif name == "timeout" and value.isdigit():
                    config.timeout_s = float(value)
    return config


def parse_hosts(text: str) -> dict[str, list[str]]:
    """``{name: [address]}`` of a hosts file, names in lower case."""
    names: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split("#")[0].split()
        for name in words[1:]:
            names.setdefault(name.lower(), []).append(words[0])
    return names


def candidates(name: str, config: ResolverConfig) -> list[str]:
    """The names that are really asked for, in order: with few dots the search list comes first."""
    if name.endswith("."):
        return [name.rstrip(".")]
    searched = [f"{name}.{domain}".rstrip(".") for domain in config.search if domain != "."]
    return [name, *searched] if name.count(".") >= config.ndots else [*searched, name]


def question(identifier: int, name: str, kind: int) -> bytes:
    """A query for one name; ValueError when it can't be a name."""
    labels = [label.encode("idna") if not label.isascii() else label.encode() for label in name.split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError(f"{name} can't be a host name")
    encoded = b"".join(bytes([len(label)]) + label for label in labels)
    return struct.pack("!6H", identifier, 0x0100, 1, 0, 0, 0) + encoded + b"\0" + struct.pack("!2H", kind, 1)


def skip_name(data: bytes, position: int) -> int:
    """Position after a name, which may end in a pointer."""
    while True:
        length = data[position]
        if length >= 0xC0:
            return position + 2
        position += 1 + length
        if length == 0:
            return position


def answer(data: bytes, kind: int) -> tuple[int, list[str]]:
    """(response code, addresses) of a response; ValueError when it is malformed."""
    try:
        _identifier, flags, questions, answers = struct.unpack_from("!4H", data)
        position = 12
        for _question in range(questions):
            position = skip_name(data, position) + 4
        addresses = []
        for _answer in range(answers):
            position = skip_name(data, position)
            found, _class, _ttl, length = struct.unpack_from("!2HIH", data, position)
            position += 10
            if found == kind:
                addresses.append(str(ipaddress.ip_address(data[position : position + length])))
            position += length
    except (struct.error, IndexError) as error:
        raise ValueError(f"a malformed answer: {error}") from None
    return flags & 0xF, addresses


class Resolver:
    """Asks the nameservers of one configuration. ``open_socket`` gives a UDP socket in the right network for a family."""

    def __init__(self, config: ResolverConfig, hosts: dict[str, list[str]], open_socket: Callable[[int], socket.socket], deadline: float) -> None:
        self.config = config
        self.hosts = hosts
        self._open_socket = open_socket
        self._deadline = deadline

    def resolve(self, name: str) -> list[str]:
        """Addresses of a name; OSError with the reason (``NXDOMAIN``, ``SERVFAIL``, ``no answer from ...``) when there are none."""
        known = self.hosts.get(name.lower())
        if known:
            return known
        if not self.config.nameservers:
            raise OSError("resolv.conf names no nameserver")
        reason = "NXDOMAIN"
        for candidate in candidates(name, self.config):
            code, addresses = self._ask(candidate, A)
            if not addresses and code == 0:
                code, addresses = self._ask(candidate, AAAA)
            if addresses:
                return addresses
            reason = RESPONSE_CODES.get(code, "no address")
            if code not in (0, 3):
                break
        raise OSError(reason)

    def _ask(self, name: str, kind: int) -> tuple[int, list[str]]:
        """One question, to one nameserver after the other; a server that is silent or refuses is skipped, as the C library does."""
        problem = ""
        refused: tuple[int, list[str]] | None = None
        for _attempt in range(ATTEMPTS):
            for server in self.config.nameservers:
                try:
                    code, addresses = self._exchange(server, name, kind)
                except (OSError, ValueError) as error:
                    silent = isinstance(error, socket.timeout)
                    problem = f"no answer from nameserver {server}" if silent else f"nameserver {server}: {getattr(error, 'strerror', None) or error}"
                    continue
                if code in (0, 3):
                    return code, addresses
                refused = (code, addresses)
            if refused:
                return refused
        raise OSError(problem)

    def _exchange(self, server: str, name: str, kind: int) -> tuple[int, list[str]]:
        identifier = int.from_bytes(os.urandom(2), "big")
        query = question(identifier, name, kind)
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("no time left")
        end = time.monotonic() + min(self.config.timeout_s, left)
        connection = self._open_socket(family)
        try:
            connection.connect((server, 53))
            connection.send(query)
            while True:
                connection.settimeout(max(0.001, end - time.monotonic()))
                data = connection.recv(4096)
                # Anything else may be a late answer to an earlier question.
                if data[:2] == query[:2]:
                    return answer(data, kind)
        finally:
            connection.close()
