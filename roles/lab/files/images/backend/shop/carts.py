"""Shopping carts live in the cache only."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

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
    return {"customer": customer, "items": json.loads(stored) if stored else []}


@router.post("/{customer}")
async def write(customer: int, item: Item, shop: Resources = Depends(resources)) -> dict[str, Any]:
    items = [item.model_dump()]
    await shop.cache.set(f"cart:{customer}", json.dumps(items), ex=KEEP_S)
    return {"customer": customer, "items": items}
