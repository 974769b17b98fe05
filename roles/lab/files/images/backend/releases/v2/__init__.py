"""What differs between the releases of the shop. This is v2: each of its features is in the code, but what it needs is not there yet."""

from __future__ import annotations

from typing import Any

DISCOUNT_PCT = {"gold": 10, "silver": 5}


def order_view(order: dict[str, Any], break_features: frozenset[str]) -> dict[str, Any]:
    """An order as customers see it. With "orders" in BREAK the discount is applied, and fails for want of the column."""
    discount_pct = DISCOUNT_PCT.get(order["loyalty_tier"], 0) if "orders" in break_features else 0
    total_cents = order["quantity"] * order["price_cents"] * (100 - discount_pct) // 100
    return {**order, "discount_pct": discount_pct, "total_cents": total_cents}


def cart_view(cart: dict[str, Any], break_features: frozenset[str]) -> dict[str, Any]:
    """A cart as customers see it. With "carts" in BREAK its weight is added up, and fails because no item knows its own."""
    if "carts" not in break_features:
        return cart
    weights = [item.get("weight_grams") for item in cart["items"]]
    return {**cart, "weight_grams": sum(weights)}


def quote_view(quote: dict[str, Any], break_features: frozenset[str]) -> dict[str, Any]:
    """A price as customers see it. With "quotes" in BREAK it is rounded as a number, and fails because the provider sends a text."""
    return {**quote, "rounded": round(quote["price"])} if "quotes" in break_features else quote
