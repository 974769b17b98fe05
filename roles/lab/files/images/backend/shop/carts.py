"""Shopping carts live in the cache only."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from .release import cart_view
from .resources import Resources, resources

router = APIRouter(prefix="/api/cart")

KEEP_S = 600


class Item(BaseModel):
    sku: str
    quantity: int = 1
    note: str = ""


@router.get("/{customer}")
async def read(customer: int, shop: Resources = Depends(resources)) -> dict[str, Any]:
    stored = await shop.cache.get(f"cart:{customer}")
    return cart_view({"customer": customer, "items": json.loads(stored) if stored else []}, shop.settings.break_features)


@router.post("/{customer}")
async def write(customer: int, item: Item, shop: Resources = Depends(resources)) -> dict[str, Any]:
    items = [item.model_dump()]
    await shop.cache.set(f"cart:{customer}", json.dumps(items), ex=KEEP_S)
    return cart_view({"customer": customer, "items": items}, shop.settings.break_features)
