# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs saw in the place of today's containers: the engine itself forgets a removed container within minutes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .estate import Estate, Node, Service
from .shapes import mapping, source_data
from .workspace import safe_name

# Enough to get behind a few triages of the same incident, few enough to cost nothing.
RUNS = 4
YOUNG_S = 86400.0


def previous_releases(documents: Sequence[Mapping[str, Any]], run: Path) -> dict[Node, dict[str, Any]]:
    """``{kind, previous_image, previous_image_id, previous_version}`` of services whose container is younger than a day.

    ``run`` is the folder of this run; the earlier ones lie beside it and sort by time.
    """
    young = [service for service in Estate(documents).services if _is_young(service)]
    if not young:
        return {}
    try:
        folders = sorted((folder for folder in run.parent.iterdir() if folder.name < run.name), reverse=True)[:RUNS]
    except OSError:
        return {}
    found: dict[Node, dict[str, Any]] = {}
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for folder in folders:
        for service in young:
            if service.node in found:
                continue
            key = (folder.name, service.host)
            if key not in seen:
                seen[key] = _evidence(folder, service.host)
            before = _container_in(seen[key], service.name)
            answer = compared(before, service.data("container"))
            if answer:
                found[service.node] = answer
    return found


def compared(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was in the container's place before, None when it was this very container or nothing is known."""
    if not before.get("id") or not before.get("image_id") or before.get("id") == now.get("id"):
        return None
    if before.get("image_id") == now.get("image_id"):
        return {"kind": "recreate"}
    return {
        "kind": "release",
        "previous_image": before.get("image"),
        "previous_image_id": before.get("image_id"),
        "previous_version": before.get("version"),
    }


def _is_young(service: Service) -> bool:
    age = service.data("container").get("age_s")
    return isinstance(age, (int, float)) and age < YOUNG_S


def _container_in(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    service = mapping(mapping(document.get("services")).get(name))
    return source_data(mapping(service.get("sources")), "container")


def _evidence(folder: Path, host: str) -> dict[str, Any]:
    try:
        return mapping(json.loads((folder / "evidence" / "hosts" / f"{safe_name(host)}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
