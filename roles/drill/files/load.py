"""drill load: ask one URL from several clients at a time, and end after a while without being told."""

from __future__ import annotations

import argparse
import http.client
import random
import threading
import time
from urllib.parse import urlsplit


def parse() -> argparse.Namespace:
    """Times are seconds; every client waits `pause` after an answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="{n} in it becomes another number from 1 to 400000 every time")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--body", default="")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.2)
    parser.add_argument("--timeout", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=900.0)
    return parser.parse_args()


def ask(wanted: argparse.Namespace) -> None:
    """One request; whether it fails is the reader's business, who looks at the proxy's log."""
    url = urlsplit(wanted.url.replace("{n}", str(random.randint(1, 400_000))))  # noqa: S311 any number will do
    connection = http.client.HTTPConnection(url.netloc, timeout=wanted.timeout)
    try:
        path = url.path + ("?" + url.query if url.query else "")
        connection.request(wanted.method, path, body=wanted.body or None, headers={"Content-Type": "application/json", "User-Agent": "drill-load"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()


def client(wanted: argparse.Namespace, until: float) -> None:
    while time.monotonic() < until:
        ask(wanted)
        time.sleep(wanted.pause)


def main() -> None:
    wanted = parse()
    until = time.monotonic() + wanted.seconds
    clients = [threading.Thread(target=client, args=(wanted, until), daemon=True) for _client in range(wanted.clients)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(max(0.0, until - time.monotonic()))


if __name__ == "__main__":
    main()
