# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading documents of machines that may be broken or hostile: a part of another shape than agreed counts as missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping(value: Any) -> dict[str, Any]:
    """The value when it is a dictionary, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[dict[str, Any]]:
    """The dictionaries of a list, empty when it is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """The texts of a list, empty when it is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def source_data(sources: Mapping[str, Any], name: str) -> dict[str, Any]:
    """``data`` of a source that answered, else an empty dictionary."""
    source = mapping(sources.get(name))
    return mapping(source.get("data")) if source.get("ok") else {}
