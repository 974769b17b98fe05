"""The connection pool."""

from __future__ import annotations

import asyncio
import time

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncNullConnectionPool

from .settings import Settings

log = structlog.get_logger("shop.database")

Pool = AsyncNullConnectionPool[psycopg.AsyncConnection[DictRow]]

# What a server says that is only just starting. Everything else will not pass by waiting.
_STARTING = ("Connection refused", "the database system is starting up")


def create_pool(settings: Settings) -> Pool:
    """Not opened yet. It limits how many connections there are but keeps none, as behind a pooler: a full server refuses the next request."""
    return AsyncNullConnectionPool(
        settings.database_url,
        kwargs={
            "row_factory": dict_row,
            "autocommit": True,
            "connect_timeout": 3,
            "application_name": "app-backend",
            "options": f"-c statement_timeout={int(settings.statement_timeout_s * 1000)}",
        },
        max_size=settings.pool_size,
        timeout=settings.pool_timeout_s,
        open=False,
    )


async def wait_until_up(pool: Pool, limit_s: float) -> None:
    """Raise what the first connection raises, but give a server that is starting so much time."""
    until = time.monotonic() + limit_s
    while True:
        try:
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if time.monotonic() > until or not any(words in str(error) for words in _STARTING):
                raise
            log.info("waiting for the database")
            await asyncio.sleep(1)
        else:
            return
