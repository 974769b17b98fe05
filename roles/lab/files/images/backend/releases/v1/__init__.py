"""What differs between the releases of the shop. This is v1."""

from __future__ import annotations

from typing import Any


def order_view(order: dict[str, Any], break_features: frozenset[str]) -> dict[str, Any]:
    """An order as customers see it. This release has no unfinished features."""
    return {**order, "total_cents": order["quantity"] * order["price_cents"]}
