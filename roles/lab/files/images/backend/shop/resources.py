"""Everything that a request may use: settings, database pool, cache and payment client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import redis.asyncio
import structlog
from fastapi import FastAPI, Request

from .database import Pool, create_pool, wait_until_up
from .failures import describe
from .settings import Settings

log = structlog.get_logger("shop")

DATABASE_START_S = 30.0


@dataclass(frozen=True)
class Resources:
    settings: Settings
    pool: Pool
    cache: redis.asyncio.Redis
    payments: httpx.AsyncClient


@asynccontextmanager
async def open_resources() -> AsyncIterator[Resources]:
    """Raise when the configuration is wrong or the database can't be reached: such a process must not pretend to serve."""
    try:
        settings = Settings.from_environment()
        pool = create_pool(settings)
        await pool.open()
        await wait_until_up(pool, DATABASE_START_S)
    except Exception as error:
        log.critical("start-up failed", **describe(error))
        raise
    cache = redis.asyncio.Redis.from_url(settings.redis_url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True, client_name="app-backend")
    # Connections to the provider are not kept: a changed name or address has to show at once.
    payments = httpx.AsyncClient(base_url=settings.payments_url, timeout=settings.payments_timeout_s, limits=httpx.Limits(max_keepalive_connections=0))
    try:
        yield Resources(settings, pool, cache, payments)
    finally:
        await payments.aclose()
        await cache.aclose()
        await pool.close(timeout=2)


def resources(request: Request) -> Resources:
    """What the application opened at its start."""
    app: FastAPI = request.app
    return app.state.resources
