"""What differs between the releases of the shop. This is v2: loyalty discounts are in the code, but not in the table yet."""

from __future__ import annotations

from typing import Any

DISCOUNT_PCT = {"gold": 10, "silver": 5}


def order_view(order: dict[str, Any], break_features: frozenset[str]) -> dict[str, Any]:
    """An order as customers see it. With "orders" in BREAK the discount is applied, and fails for want of the column."""
    discount_pct = DISCOUNT_PCT.get(order["loyalty_tier"], 0) if "orders" in break_features else 0
    total_cents = order["quantity"] * order["price_cents"] * (100 - discount_pct) // 100
    return {**order, "discount_pct": discount_pct, "total_cents": total_cents}
