"""Prices come from the payment provider, every time."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from .release import quote_view
from .resources import Resources, resources

router = APIRouter(prefix="/api/quote")


@router.get("")
async def quote(shop: Resources = Depends(resources)) -> dict[str, Any]:
    response = await shop.payments.get("/quote")
    response.raise_for_status()
    return quote_view(response.json(), shop.settings.break_features)
