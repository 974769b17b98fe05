"""Which status a failing dependency becomes; everything else is a bug."""

from __future__ import annotations

import httpx
import psycopg
import redis.exceptions
from psycopg_pool import PoolTimeout

# The first class that fits decides.
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (PoolTimeout, 503),
    (psycopg.OperationalError, 503),
    (redis.exceptions.ConnectionError, 503),
    (redis.exceptions.TimeoutError, 503),
    (redis.exceptions.RedisError, 500),
    (httpx.TimeoutException, 504),
    (httpx.HTTPError, 503),
)


def status_of(error: Exception) -> int | None:
    """The status to answer with, or None when no dependency is to blame."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), None)


def describe(error: Exception) -> dict[str, str]:
    """Log fields: the class, the server's own words and, for the database, its error code."""
    # httpx adds a line of reading advice to every bad status.
    message = str(error).partition("\nFor more information check:")[0]
    fields = {"error": type(error).__name__, "error_message": " ".join(message.split()) or repr(error)}
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate:
        fields["sqlstate"] = sqlstate
    if isinstance(error, httpx.RequestError):
        fields["url"] = str(error.request.url)
    return fields
