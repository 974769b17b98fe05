"""Ways to misbehave on purpose; the proxy does not serve them."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Literal

import structlog
from fastapi import APIRouter, Depends

from .resources import Resources, resources

router = APIRouter(prefix="/debug")
log = structlog.get_logger("shop.debug")

_LEAKED: list[bytes] = []


@router.api_route("/leak", methods=["GET", "POST"])
async def leak(mb: int = 8) -> dict[str, int]:
    """Keep so many megabytes for ever. They are random, because pages of zeros would not be counted."""
    _LEAKED.append(os.urandom(mb * 1024 * 1024))
    return {"pid": os.getpid(), "leaked_mb": sum(map(len, _LEAKED)) // (1024 * 1024)}


@router.api_route("/block", methods=["GET", "POST"])
async def block(s: float = 10) -> dict[str, Any]:
    """Block this worker's event loop: nothing else that it serves gets an answer meanwhile."""
    time.sleep(s)
    return {"pid": os.getpid(), "blocked_s": s}


@router.api_route("/sleep", methods=["GET", "POST"])
async def sleep(s: float = 10) -> dict[str, float]:
    await asyncio.sleep(s)
    return {"slept_s": s}


@router.api_route("/error", methods=["GET", "POST"])
async def error() -> None:
    raise RuntimeError("raised on purpose by /debug/error")


@router.api_route("/export", methods=["GET", "POST"])
async def export(s: float = 10, shop: Resources = Depends(resources)) -> dict[str, float]:
    """Hold one connection of the pool, as an unbounded export does."""
    async with shop.pool.connection() as connection:
        await connection.execute("SELECT pg_sleep(%s)", (s,))
    return {"held_s": s}


@router.api_route("/log", methods=["GET", "POST"])
async def write(message: str, level: Literal["INFO", "WARNING", "ERROR"] = "ERROR", count: int = 1) -> dict[str, int]:
    """Write lines to the log."""
    for _line in range(count):
        getattr(log, level.lower())(message)
    return {"written": count}
