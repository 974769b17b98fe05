"""What differs between the releases of the shop. This is v1."""

from __future__ import annotations

from typing import Any


def order_view(order: dict[str, Any], break_features: frozenset[str]) -> dict[str, Any]:
    """An order as customers see it. This release has no unfinished features."""
    return {**order, "total_cents": order["quantity"] * order["price_cents"]}


def cart_view(cart: dict[str, Any], break_features: frozenset[str]) -> dict[str, Any]:
    """A cart as customers see it."""
    return cart


def quote_view(quote: dict[str, Any], break_features: frozenset[str]) -> dict[str, Any]:
    """A price as customers see it."""
    return quote
