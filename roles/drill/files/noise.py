"""drill noise: write error lines at a constant rate into the container's log, as a job does that retries for ever."""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime

# The first process's standard output is what the engine keeps as the container's log.
LOG = "/proc/1/fd/1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", default="retry")
    parser.add_argument("--every", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=900.0)
    wanted = parser.parse_args()
    until = time.monotonic() + wanted.seconds
    while time.monotonic() < until:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"timestamp": now, "level": "ERROR", "logger": "shop.jobs", "event": wanted.words}, separators=(",", ":"))
        with open(LOG, "w", encoding="utf-8") as log:
            log.write(line + "\n")
        time.sleep(wanted.every)


if __name__ == "__main__":
    main()
