"""drill hold: open connections to one address, say one line if told to, keep them open, and end after a while."""

from __future__ import annotations

import argparse
import socket
import time


def parse() -> argparse.Namespace:
    """Times are seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="host:port")
    parser.add_argument("--connections", type=int, default=25)
    parser.add_argument("--say", default="", help="sent on every connection, with a line end behind it")
    parser.add_argument("--seconds", type=float, default=900.0)
    return parser.parse_args()


def main() -> None:
    wanted = parse()
    host, port = wanted.address.rsplit(":", 1)
    until = time.monotonic() + wanted.seconds
    kept: list[socket.socket] = []
    while len(kept) < wanted.connections and time.monotonic() < until:
        try:
            connection = socket.create_connection((host, int(port)), timeout=3)
            if wanted.say:
                connection.sendall(wanted.say.encode() + b"\r\n")
        except OSError:
            # What was opened stays open: the rest follows as soon as it is let in.
            time.sleep(0.2)
        else:
            kept.append(connection)
    time.sleep(max(0.0, until - time.monotonic()))


if __name__ == "__main__":
    main()
