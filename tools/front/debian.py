"""Packages of the operating system, on Debian and Ubuntu."""

from __future__ import annotations

import os
import shutil
import subprocess

from .console import agreed, say


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
    subprocess.run(["apt-get", "update", *quiet], env=env, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["apt-get", "install", "-y", *quiet, *packages], env=env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return True
