"""Is this process alive, and is everything there that it needs?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import structlog
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from .failures import describe
from .resources import Resources, resources

router = APIRouter()
log = structlog.get_logger("shop.health")

COMPONENT_TIMEOUT_S = 2.0
# Without payments the shop still sells; without these it does not.
REQUIRED = frozenset({"db", "redis"})


@router.get("/health")
async def health(shop: Resources = Depends(resources)) -> dict[str, str]:
    return {"status": "ok", "release": shop.settings.release}


@router.get("/health/ready")
async def ready(shop: Resources = Depends(resources)) -> JSONResponse:
    """503 when a required component is down; "degraded" when only an optional one is."""
    checks = {"db": _database, "redis": _cache, "payments": _payments}
    answers = await asyncio.gather(*(_problem(name, check, shop) for name, check in checks.items()))
    problems = dict(zip(checks, answers, strict=True))
    components = {name: "down" if problem else "ok" for name, problem in problems.items()}
    down = {name for name, state in components.items() if state == "down"}
    status = "down" if down & REQUIRED else "degraded" if down else "ok"
    body = {"status": status, "components": components, "release": shop.settings.release}
    if down:
        body["problems"] = {name: problem for name, problem in problems.items() if problem}
    return JSONResponse(body, 503 if status == "down" else 200)


async def _problem(name: str, check: Callable[[Resources], Awaitable[None]], shop: Resources) -> str | None:
    """What is wrong with a component, within a bounded time."""
    try:
        await asyncio.wait_for(check(shop), COMPONENT_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 whatever a component raises is the answer to the question
        required = name in REQUIRED
        problem = describe(error)
        log.log(logging.ERROR if required else logging.WARNING, "component is down", component=name, required=required, **problem)
        return f"{problem['error']}: {problem['error_message']}"
    return None


async def _database(shop: Resources) -> None:
    async with shop.pool.connection(timeout=COMPONENT_TIMEOUT_S - 0.2) as connection:
        await connection.execute("SELECT 1")


async def _cache(shop: Resources) -> None:
    await shop.cache.ping()


async def _payments(shop: Resources) -> None:
    (await shop.payments.get("/health")).raise_for_status()
