# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The URLs in a container's environment: which lead to something that it depends on, and what they say about that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

# URLs in an environment that are no dependencies of the application.
NOT_DEPENDENCIES = re.compile(r"PROXY|^PIP_|^PYTHON|^NPM_|^GPG|SENTRY|OTEL|DOCS|CALLBACK|REDIRECT|ORIGIN|PUBLIC|FRONTEND|^(APP|BASE|SITE|SELF|SERVER)_UR[LI]$")
URL_NAME = re.compile(r"_(BASE_)?(UR[LI]|DSN|ENDPOINT|ADDRESS|HOST)$")
SCHEMES = {"postgres": "postgresql", "postgresql": "postgresql", "redis": "redis", "rediss": "redis", "http": "external", "https": "external"}


@dataclass(frozen=True)
class Reference:
    """A URL in the environment of a container: ``variable`` names it, ``kind`` is what it leads to."""

    variable: str
    kind: str
    scheme: str
    host: str
    port: int | None
    path: str
    user: str
    password: str

    @property
    def base_url(self) -> str:
        """The URL without user information."""
        port = f":{self.port}" if self.port else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{port}{self.path}"


def references(environment: dict[str, str]) -> list[Reference]:
    """The URLs in an environment that lead to a database, a cache or another HTTP service."""
    found = []
    for variable, value in sorted(environment.items()):
        if "://" not in value or NOT_DEPENDENCIES.search(variable.upper()):
            continue
        reference = parsed_reference(variable, value.strip())
        if reference is not None and (reference.kind != "external" or URL_NAME.search(variable.upper())):
            found.append(reference)
    return found


def parsed_reference(variable: str, value: str) -> Reference | None:
    """A Reference, or None for text that is no URL we understand; ``postgresql+asyncpg`` is PostgreSQL too."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    scheme = parts.scheme.partition("+")[0].lower()
    if not host or scheme not in SCHEMES:
        return None
    return Reference(
        variable,
        SCHEMES[scheme],
        scheme,
        host,
        port,
        parts.path if SCHEMES[scheme] != "external" else parts.path.rstrip("/"),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def outside_spec(reference: Reference) -> dict[str, Any]:
    """The keys of ``incident_services`` for a URL that leads away from this machine."""
    spec: dict[str, Any] = {"kind": reference.kind}
    if reference.kind == "external":
        spec["url"] = reference.base_url
        return spec
    spec.update(host=reference.host)
    if reference.port:
        spec["port"] = reference.port
    if reference.kind == "postgresql" and reference.path.strip("/"):
        spec["database"] = unquote(reference.path.strip("/"))
    if reference.user:
        spec["login_user"] = reference.user
    if reference.password:
        spec["login_password"] = reference.password
    return spec
