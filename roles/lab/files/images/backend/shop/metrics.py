"""What a Prometheus may scrape: requests by route and status, how long they take, and what they hold.

Both workers write into files of one folder, so that whichever of them is asked answers for both.
"""

from __future__ import annotations

import os

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from starlette.types import Scope

from .database import Pool

router = APIRouter()

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("http_requests", "Requests that were answered", ["method", "route", "status"])
LATENCY = Histogram("http_request_duration_seconds", "Time until the answer was complete", ["route"], buckets=BUCKETS)
IN_PROGRESS = Gauge("http_requests_in_progress", "Requests that are being worked on", multiprocess_mode="livesum")
POOL_IN_USE = Gauge("db_pool_connections_in_use", "Connections that the pool has open", multiprocess_mode="livesum")
POOL_MAX = Gauge("db_pool_connections_max", "Connections that the pool may have open", multiprocess_mode="livesum")


@router.get("/metrics")
async def metrics() -> Response:
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def began(pool: Pool | None) -> None:
    """A request has come."""
    IN_PROGRESS.inc()
    _look_at(pool)


def ended(scope: Scope, status: int, duration_s: float, pool: Pool | None) -> None:
    """It was answered; a path that leads nowhere is no route of its own, because users may think up any number of them."""
    route = getattr(scope.get("route"), "path", "other")
    IN_PROGRESS.dec()
    REQUESTS.labels(scope["method"], route, str(status)).inc()
    LATENCY.labels(route).observe(duration_s)
    _look_at(pool)


def _look_at(pool: Pool | None) -> None:
    if pool is not None:
        stats = pool.get_stats()
        POOL_IN_USE.set(stats.get("pool_size", 0))
        POOL_MAX.set(stats.get("pool_max", 0))
