"""What the entry point says to the person in front of it."""

from __future__ import annotations

import os
import sys
import typing as t


class StopError(Exception):
    """Nothing more can be done: one sentence that names what is missing and the next step."""


def say(text: str) -> None:
    """Announce a piece of work, so that nothing happens unseen."""
    print(f"==> {text}", flush=True)


def line(text: str = "") -> None:
    """Print one line of plain text."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def unattended(arguments: t.Sequence[str]) -> bool:
    """Whether the caller agreed beforehand to every installation."""
    return "--yes" in arguments or os.environ.get("CI") == "true"


def agreed(question: str, yes: bool) -> bool:
    """Ask before something is installed on the machine; without a terminal there is nobody to agree."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
