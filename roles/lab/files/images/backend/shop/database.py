"""The connection pool, and the reason why it last could not connect."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from .settings import Settings

log = structlog.get_logger("shop.database")

# A refusal explains an empty pool only while it is recent.
REFUSAL_FRESH_S = 15.0


class Connection(psycopg.AsyncConnection[DictRow]):
    """A connection that says in the log why it could not be made."""

    _refused_at = 0.0
    _refusal = ""

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Any:
        try:
            return await super().connect(conninfo, **options)
        except psycopg.Error as error:
            Connection._refused_at = time.monotonic()
            Connection._refusal = " ".join(str(error).split())
            log.error("database connection failed", error=type(error).__name__, error_message=Connection._refusal, sqlstate=error.sqlstate)
            raise

    @classmethod
    def recent_refusal(cls) -> str | None:
        """Why a connection could not be made within the last seconds, if so."""
        if cls._refusal and time.monotonic() - Connection._refused_at < REFUSAL_FRESH_S:
            return cls._refusal
        return None


def create_pool(settings: Settings) -> AsyncConnectionPool[Connection]:
    """Not opened yet. Connections are short-lived, so that a change of address, password or limit is noticed soon."""
    return AsyncConnectionPool(
        settings.database_url,
        connection_class=Connection,
        kwargs={
            "row_factory": dict_row,
            "autocommit": True,
            "connect_timeout": 3,
            "application_name": "app-backend",
            "options": f"-c statement_timeout={int(settings.statement_timeout_s * 1000)}",
        },
        min_size=2,
        max_size=settings.pool_size,
        timeout=settings.pool_timeout_s,
        max_idle=30,
        max_lifetime=15,
        reconnect_timeout=5,
        open=False,
    )
