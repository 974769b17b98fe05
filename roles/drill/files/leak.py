"""drill leak: open idle database sessions until the server refuses one, take every slot that becomes free, and end after a while."""

from __future__ import annotations

import argparse
import os
import time

import psycopg

EAGER_S = 45.0


def main() -> None:
    """Needs DATABASE_URL; an empty name is a client that does not say what it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="leaky")
    parser.add_argument("--seconds", type=float, default=900.0)
    wanted = parser.parse_args()
    started = time.monotonic()
    until = started + wanted.seconds
    sessions: list[psycopg.Connection[tuple[object, ...]]] = []
    while time.monotonic() < until:
        try:
            session = psycopg.connect(os.environ["DATABASE_URL"], application_name=wanted.name, autocommit=True, connect_timeout=3)
        except psycopg.OperationalError:
            # Eager at first, so that it is quicker than the shop's pool; later only to notice that a slot became free.
            time.sleep(0.05 if time.monotonic() - started < EAGER_S else 1.0)
            continue
        session.execute("SELECT 1")
        sessions.append(session)


if __name__ == "__main__":
    main()
