"""The application: what it opens at its start, and its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI

from . import carts, debug, health, metrics, orders, quotes
from .requestlog import RequestLog
from .resources import open_resources

log = structlog.get_logger("shop")


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    async with open_resources() as shop:
        application.state.resources = shop
        log.info("started", release=shop.settings.release)
        yield


app = FastAPI(title="Lab shop", lifespan=lifespan, docs_url=None, redoc_url=None)
app.add_middleware(RequestLog)
for router in (health.router, metrics.router, orders.router, carts.router, quotes.router, debug.router):
    app.include_router(router)
