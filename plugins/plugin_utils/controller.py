# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about the machine that Ansible runs on: where runs are kept, which versions are installed, what it can reach.

Reaching means connecting, for https with a complete TLS handshake, and hanging up: nothing is sent to whoever listens there.
"""

from __future__ import annotations

import base64
import http.client
import importlib.util
import json
import shutil
import socket
import ssl
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import yaml
from ansible_collections.sre.incident_response.plugins.module_utils.probe import readiness

from .findings import clean_text
from .web import all_at_once
from .workspace import Workspace

COLLECTION_ROOT = Path(__file__).resolve().parents[2]
PORTS = {"http": 80, "https": 443}


def look(workspace: Workspace, core_version: str, webhooks: Mapping[str, Any], addresses: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """``{state {path problem free} core collections [...] webhooks [...] addresses [...] ntp}``."""
    return {
        "state": state(workspace),
        "core": version("ansible-core", required_core(), core_version),
        "collections": [version(name, wanted, installed(name)) for name, wanted in sorted(dependencies().items())],
        "webhooks": reached(webhooks, timeout_s),
        "addresses": reached(addresses, timeout_s),
        "ntp": readiness.ntp(),
    }


def state(workspace: Workspace) -> dict[str, Any]:
    """Where this run is kept, which is the proof that it can be written, and the bytes that are free there."""
    try:
        free: int | None = shutil.disk_usage(workspace.path).free
    except OSError:
        free = None
    return {"path": str(workspace.state_dir), "problem": workspace.problem, "free": free}


# -- versions ----------------------------------------------------------------------------------------------------------------------


def version(name: str, wanted: str, found: str | None) -> dict[str, Any]:
    """``{name wanted found ok}``; ``found`` is None for what is not installed."""
    # ansible-core needs it itself, so it is there whenever a playbook runs; not where ansible-test only imports.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion

    try:
        good = found is not None and SpecifierSet(wanted, prereleases=True).contains(found)
    except (InvalidSpecifier, InvalidVersion):
        good = found is not None
    return {"name": name, "wanted": wanted, "found": found, "ok": good}


def required_core() -> str:
    """What ``meta/runtime.yml`` asks for."""
    return str(_yaml(COLLECTION_ROOT / "meta/runtime.yml").get("requires_ansible") or ">=2.19.0")


def dependencies() -> dict[str, str]:
    """``{collection: versions}`` that this one needs, of its manifest or, in a checkout, of galaxy.yml."""
    found = about(COLLECTION_ROOT).get("dependencies")
    return {str(name): str(wanted) for name, wanted in found.items()} if isinstance(found, dict) else {}


def installed(collection: str) -> str | None:
    """Version of an installed collection, None when Ansible does not find it."""
    try:
        spec = importlib.util.find_spec(f"ansible_collections.{collection}")
    except (ImportError, ValueError):
        return None
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    return next((str(about(Path(folder)).get("version")) for folder in folders), None)


def about(collection: Path) -> dict[str, Any]:
    """What a collection says about itself."""
    try:
        manifest = json.loads((collection / "MANIFEST.json").read_text(encoding="utf-8"))
        return dict(manifest["collection_info"])
    except (OSError, ValueError, KeyError, TypeError):
        return _yaml(collection / "galaxy.yml")


def _yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


# -- addresses ---------------------------------------------------------------------------------------------------------------------


def reached(addresses: Mapping[str, Any], timeout_s: float) -> list[dict[str, Any]]:
    """``[{name address ok ms reason}]``, all asked at the same time. The address is scheme, host and port: the rest of a webhook is its secret."""
    wanted = [(str(name), str(url).strip()) for name, url in addresses.items() if url]
    # A name server that does not answer keeps a thread longer than any time limit of a socket.
    answers = all_at_once(wanted, lambda one: connected(one[1], timeout_s), timeout_s * 2)
    late = {"ok": False, "ms": None, "reason": f"no answer within {timeout_s * 2:g} s"}
    found = []
    for (name, url), answer in zip(wanted, answers, strict=True):
        told = late if answer is None else {"ok": False, "ms": None, "reason": sentence(answer)} if isinstance(answer, Exception) else answer
        found.append({"name": clean_text(name, 60), "address": shown(url), **told})
    return found


def connected(url: str, timeout_s: float) -> dict[str, Any]:
    """``{ok ms reason}`` of one address; raises what connecting raises."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("it is no URL that starts with http:// or https://")
    port = parts.port or PORTS[parts.scheme]
    started = time.monotonic()
    connection = way_to(parts, port, timeout_s)
    try:
        connection.connect()
    finally:
        connection.close()
    return {"ok": True, "ms": round((time.monotonic() - started) * 1000, 1), "reason": None}


def way_to(parts: SplitResult, port: int, timeout_s: float) -> http.client.HTTPConnection:
    """A connection that is not open yet, through the proxy that the environment names for the address."""
    host = str(parts.hostname)
    proxy = None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(parts.scheme)
    via = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
    at = (str(via.hostname), via.port or PORTS["http"]) if via and via.hostname else (host, port)
    if parts.scheme == "http":
        return http.client.HTTPConnection(*at, timeout=timeout_s)
    connection = http.client.HTTPSConnection(*at, timeout=timeout_s, context=ssl.create_default_context())
    if via and via.hostname:
        connection.set_tunnel(host, port, headers=proxy_login(via))
    return connection


def proxy_login(via: SplitResult) -> dict[str, str]:
    """The header with the login of a proxy's URL."""
    if via.username is None:
        return {}
    login = f"{unquote(via.username)}:{unquote(via.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def shown(url: str) -> str:
    """Scheme, host and port; nothing of an address that can't be read, because it may be a secret as a whole."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "an address that can't be read"
    if parts.scheme not in PORTS or not parts.hostname:
        return "an address that can't be read"
    return clean_text(f"{parts.scheme}://{parts.hostname}{f':{port}' if port else ''}")


def sentence(error: Exception) -> str:
    """Why there was no connection."""
    if isinstance(error, socket.gaierror):
        return f"its name does not resolve ({error.strerror or error})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed ({error.reason or error})"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there (connection refused)"
    if isinstance(error, OSError):
        return clean_text(f"no connection ({error.strerror or error})")
    return clean_text(str(error))
