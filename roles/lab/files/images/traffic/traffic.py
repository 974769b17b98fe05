"""Users of the lab: about 13 requests a second through the proxy, whatever state the lab is in.

Every route has workers of its own, so a route that hangs does not slow the others down.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

PROXY = os.environ.get("PROXY", "app-proxy:80")
# Asked directly, so that waiting for the first start leaves no error in the proxy's log.
BACKEND = os.environ.get("BACKEND", "app-backend:8000")
TIMEOUT_S = 12.0
SUMMARY_EVERY_S = 60.0

CUSTOMERS = 20000
ORDERS_READ = 4000
# Writes concentrate on few rows, as they do in a shop where most orders are closed.
ORDERS_WRITTEN = 40


@dataclass(frozen=True)
class Route:
    """One kind of request: `workers` threads, each asking every `every_s` seconds on average."""

    name: str
    method: str
    workers: int
    every_s: float
    path: Callable[[], str]
    body: Callable[[], dict[str, object]] | None = None


def order_change() -> dict[str, object]:
    return {"status": random.choice(["new", "packed", "shipped"])}


def cart_item() -> dict[str, object]:
    return {"sku": f"sku-{random.randint(1, 97)}", "quantity": random.randint(1, 5), "note": "x" * 400}


ROUTES = (
    Route("frontend", "GET", 1, 2.0, lambda: "/"),
    Route("health", "GET", 1, 5.0, lambda: "/health"),
    Route("list orders", "GET", 4, 2.0, lambda: f"/api/orders?customer={random.randint(1, CUSTOMERS)}"),
    Route("read order", "GET", 6, 2.0, lambda: f"/api/orders/{random.randint(1, ORDERS_READ)}"),
    Route("change order", "POST", 4, 2.0, lambda: f"/api/orders/{random.randint(1, ORDERS_WRITTEN)}", order_change),
    Route("quote", "GET", 4, 2.0, lambda: "/api/quote"),
    Route("write cart", "POST", 4, 2.0, lambda: f"/api/cart/{random.randint(1, CUSTOMERS)}", cart_item),
    Route("read cart", "GET", 2, 2.0, lambda: f"/api/cart/{random.randint(1, CUSTOMERS)}"),
)


def ask(address: str, method: str, path: str, body: dict[str, object] | None = None) -> int | None:
    """Send one request; the status, or None when there was no answer."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, body=content, headers={"Content-Type": "application/json", "User-Agent": "lab-traffic"})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def log(event: str, **fields: object) -> None:
    """Write one JSON line."""
    line = {"timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": "INFO", "event": event, **fields}
    print(json.dumps(line, separators=(",", ":")), flush=True)


class Tally:
    """Answers since the last summary, counted over all workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, status: int | None) -> None:
        with self._lock:
            self._counts[str(status) if status else "no answer"] += 1

    def take(self) -> dict[str, int]:
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return dict(sorted(counts.items()))


def drive(route: Route, tally: Tally) -> None:
    """Ask one route for ever; the pause counts from the start of a request, so slow answers do not lower the rate more than they must."""
    # Not all at the same moment: a burst at the start would look like an incident.
    time.sleep(random.uniform(0, route.every_s))
    while True:
        started = time.monotonic()
        tally.add(ask(PROXY, route.method, route.path(), route.body() if route.body else None))
        pause = route.every_s * random.uniform(0.5, 1.5) - (time.monotonic() - started)
        time.sleep(max(pause, 0.2))


def wait_for_shop() -> None:
    while ask(BACKEND, "GET", "/health/ready") != 200:
        time.sleep(0.5)


def main() -> None:
    log("waiting for the shop")
    wait_for_shop()
    tally = Tally()
    for route in ROUTES:
        for _worker in range(route.workers):
            threading.Thread(target=drive, args=(route, tally), name=route.name, daemon=True).start()
    log("traffic started", requests_per_s=round(sum(route.workers / route.every_s for route in ROUTES), 1))
    while True:
        time.sleep(SUMMARY_EVERY_S)
        log("traffic", answers=tally.take())


if __name__ == "__main__":
    main()
