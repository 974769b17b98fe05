"""Packages of the operating system, on Debian and Ubuntu."""

from __future__ import annotations

import os
import shutil
import subprocess

from .console import StopError, agreed, say


def available() -> bool:
    """Whether this machine has Debian's package manager."""
    return shutil.which("apt-get") is not None


def offer(packages: list[str], why: str, yes: bool) -> bool:
    """Install packages when that is possible and agreed; False when nothing was installed."""
    if not available() or os.geteuid() != 0:
        return False
    if not agreed(f"{why} Install {' '.join(packages)} with apt-get now?", yes):
        return False
    say(f"{why} apt-get install {' '.join(packages)}")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    quiet = ["-q", "-o", "Dpkg::Use-Pty=0"]
    for command in (["apt-get", "update", *quiet], ["apt-get", "install", "-y", *quiet, *packages]):
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            last = "\n    ".join(done.stdout.splitlines()[-15:])
            raise StopError(f"{' '.join(command)} failed with exit code {done.returncode}; repair what it says and run this again:\n    {last}")
    return True


def require(command: str, packages: list[str], yes: bool) -> None:
    """Have a command, or stop with the sentence that says how to get it."""
    why = f"The command {command} is missing."
    if shutil.which(command) is None and not offer(packages, why, yes):
        raise StopError(f"{why} Install it, on Debian or Ubuntu with: sudo apt-get install {' '.join(packages)}")
