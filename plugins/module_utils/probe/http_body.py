# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What readiness bodies and HTML pages say: components and their state, marker, scripts and styles."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any
from urllib.parse import urljoin, urlsplit

from .redact import sample

MOST_COMPONENTS = 20
MOST_KEYS = 200
HEALTHY = {
    "ok",
    "up",
    "healthy",
    "pass",
    "passed",
    "passing",
    "true",
    "ready",
    "connected",
    "available",
    "alive",
    "success",
    "green",
    "serving",
    "enabled",
    "none",
}
SICK = {
    "down",
    "fail",
    "failed",
    "failing",
    "false",
    "error",
    "unhealthy",
    "unavailable",
    "timeout",
    "degraded",
    "warn",
    "warning",
    "disconnected",
    "red",
    "yellow",
    "dead",
    "unknown",
    "not ready",
    "not_ready",
    "critical",
}
# Keys under which applications list what they depend on; everything in there is a component.
CONTAINERS = ("components", "checks", "dependencies", "services", "details", "results", "entries", "info", "health", "subsystems")
STATE_KEYS = ("status", "state", "healthy", "ok", "up", "health", "ready", "result")
NAME_KEYS = ("name", "component", "id", "service", "componentId", "key")
# Facts about the answer itself, not components.
OVERALL = ("status", "state", "ok", "healthy", "ready", "health", "message", "detail", "result", "success")


def body_of(text: bytes) -> Any:
    """The JSON document of a body, or None."""
    try:
        return json.loads(text.decode("utf-8", "replace"))
    except ValueError:
        return None


def components(document: Any) -> dict[str, str]:
    """``{name: "ok" | "down" | "degraded" | ...}`` from a readiness body of any common shape; empty when it names none."""
    if not isinstance(document, dict):
        return _listed(document)
    for key in CONTAINERS:
        held = document.get(key)
        found = _listed(held) if isinstance(held, list) else _named(held) if isinstance(held, dict) else {}
        if found:
            return found
    # A flat body: only values that are a state by themselves are components, not versions or times.
    return _named({name: value for name, value in islice(document.items(), MOST_KEYS) if name not in OVERALL and _is_state(value)})


def overall(document: Any) -> str | None:
    """What the body says about itself, such as ``degraded``; None when it says nothing."""
    if not isinstance(document, dict):
        return None
    for key in STATE_KEYS:
        value = document.get(key)
        if isinstance(value, (str, bool)):
            return _state(value)
    return None


def _listed(entries: Any) -> dict[str, str]:
    """Components of ``[{"name": ..., "status": ...}]``."""
    found = {}
    for entry in entries[:MOST_COMPONENTS] if isinstance(entries, list) else []:
        name = next((entry[key] for key in NAME_KEYS if isinstance(entry.get(key), str)), None) if isinstance(entry, dict) else None
        if name:
            found[sample(name, 60)] = _state(entry)
    return found


def _named(entries: dict[str, Any]) -> dict[str, str]:
    """Components of ``{"db": "ok", "redis": {"status": "down"}}``."""
    named: dict[str, str] = {}
    for name, value in islice(entries.items(), MOST_KEYS):
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]  # draft-inadarei-api-health-check has a list of measurements per component
        if (isinstance(value, (str, bool, dict)) or value is None) and len(named) < MOST_COMPONENTS:
            named[sample(str(name), 60)] = _state(value)
    return named


def _is_state(value: Any) -> bool:
    if isinstance(value, dict):
        return any(key in value for key in STATE_KEYS)
    return isinstance(value, bool) or (isinstance(value, str) and _word(value) in HEALTHY | SICK)


def _state(value: Any) -> str:
    """``ok``, ``down`` or the application's own word."""
    if isinstance(value, dict):
        for key in STATE_KEYS:
            if key in value:
                return _state(value[key])
        return "down" if value.get("error") else "ok"
    if value is None or value is False:
        return "down"
    if value is True:
        return "ok"
    word = _word(str(value))
    if word in HEALTHY:
        return "ok"
    return "down" if word in ("false", "fail", "failed", "failing", "dead", "red") else sample(word, 60)


def _word(text: str) -> str:
    return text.strip().lower()


def assets(html: str, page_url: str, most: int) -> list[str]:
    """Absolute URLs of the scripts and styles of a page that lie on its own host, scripts first."""
    scripts = re.findall(r"<script\b[^>]{0,500}?\bsrc {0,5}= {0,5}[\"']([^\"'<>\s]{1,1000})[\"']", html, re.I)
    styles = [
        found.group(1)
        for tag in re.findall(r"<link\b[^>]{0,1000}>", html, re.I)
        if re.search(r"\brel {0,5}= {0,5}[\"']?(stylesheet|modulepreload)\b", tag, re.I)
        for found in [re.search(r"\bhref {0,5}= {0,5}[\"']([^\"'<>\s]{1,1000})[\"']", tag, re.I)]
        if found
    ]
    page = urlsplit(page_url)
    urls = [urljoin(page_url, reference) for reference in scripts + styles]
    own = [url for url in urls if (urlsplit(url).scheme, urlsplit(url).netloc) == (page.scheme, page.netloc)]
    return list(dict.fromkeys(own))[:most]


def asset_type_fits(path: str, content_type: str) -> bool:
    """Whether a script or style came as one: a single-page application answers 200 with its index page for files that are missing."""
    kind = content_type.lower()
    if path.endswith(".css"):
        return "css" in kind
    return "javascript" in kind or "ecmascript" in kind or (not path.endswith((".js", ".mjs")) and "html" not in kind)
