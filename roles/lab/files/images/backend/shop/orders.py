"""Orders live in the database and are cached for a minute."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel

from .release import order_view
from .resources import Resources, resources

router = APIRouter(prefix="/api/orders")

CACHE_S = 60
NEWEST_OF_CUSTOMER = """
    SELECT id, customer_id, sku, quantity, price_cents, status, version, created_at
    FROM orders WHERE customer_id = %s ORDER BY created_at DESC LIMIT 20
"""
ONE = """
    SELECT id, customer_id, sku, quantity, price_cents, status, version, created_at
    FROM orders WHERE id = %s
"""
CHANGE = """
    UPDATE orders SET status = %s, version = version + 1, updated_at = now()
    WHERE id = %s RETURNING id, status, version
"""


class Change(BaseModel):
    status: str = "packed"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()}


@router.get("")
async def by_customer(customer: int, shop: Resources = Depends(resources)) -> dict[str, Any]:
    """The newest orders of a customer."""
    async with shop.pool.connection() as connection:
        cursor = await connection.execute(NEWEST_OF_CUSTOMER, (customer,))
        rows = await cursor.fetchall()
    return {"customer": customer, "orders": [order_view(_plain(row), shop.settings.break_features) for row in rows]}


@router.get("/{order_id}")
async def by_id(order_id: int, shop: Resources = Depends(resources)) -> dict[str, Any]:
    cached = await shop.cache.get(f"cache:order:{order_id}")
    if cached:
        row = json.loads(cached)
    else:
        async with shop.pool.connection() as connection:
            found = await (await connection.execute(ONE, (order_id,))).fetchone()
        if found is None:
            raise HTTPException(404, f"order {order_id} does not exist")
        row = _plain(found)
        await shop.cache.set(f"cache:order:{order_id}", json.dumps(row), ex=CACHE_S)
    return order_view(row, shop.settings.break_features)


@router.post("/{order_id}")
async def change(order_id: int, wanted: Change, shop: Resources = Depends(resources)) -> dict[str, Any]:
    """Waits as long as the row is locked by somebody else, up to the statement timeout."""
    async with shop.pool.connection() as connection:
        cursor = await connection.execute(CHANGE, (wanted.status, order_id))
        row = await cursor.fetchone()
    if row is None:
        raise HTTPException(404, f"order {order_id} does not exist")
    await shop.cache.delete(f"cache:order:{order_id}")
    return row
