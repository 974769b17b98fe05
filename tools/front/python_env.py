"""The checkout's own virtual environment."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import subprocess
import sys
import time
import tomllib

from . import debian, steps
from .console import StopError, say
from .project import CACHE, PYTHON, ROOT, VENV, environment

STAMP = VENV / "front.json"


def requirements(group: str) -> list[str]:
    """The requirement lines of a dependency group of pyproject.toml, with the groups that it includes."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    lines: list[str] = []
    for entry in groups[group]:
        lines += [entry] if isinstance(entry, str) else requirements(entry["include-group"])
    return lines


def ensure(group: str, yes: bool) -> None:
    """Make the virtual environment hold what a dependency group names; nothing to do takes milliseconds."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "setup.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = {"group": group, "requirements": _digest(group), "checkout": str(ROOT)}
        if _satisfied(wanted):
            return
        started = time.monotonic()
        if _moved() or not _works():
            _create(yes)
        _install(group)
        subprocess.run([str(PYTHON), str(ROOT / "tools" / "link_collection.py")], check=True, env=environment())
        STAMP.write_text(json.dumps(wanted), encoding="utf-8")
        say(f"Python environment ready in {time.monotonic() - started:.0f} s")


def _digest(group: str) -> str:
    return hashlib.sha256("\n".join(requirements(group)).encode()).hexdigest()


def _stamp() -> dict[str, object]:
    """What the last complete installation was for; empty when there was none."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _satisfied(wanted: dict[str, str]) -> bool:
    # Whoever has the tests' environment has the lab's too.
    larger = wanted | {"group": "dev", "requirements": _digest("dev")}
    return _stamp() in (wanted, larger) and _works()


def _moved() -> bool:
    """Whether the checkout was moved since: the scripts in the environment name their Python by its absolute path."""
    return _stamp().get("checkout", str(ROOT)) != str(ROOT)


def _works() -> bool:
    """Whether the environment starts: its Python may have been removed or moved with the checkout since."""
    try:
        return subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _create(yes: bool) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        why = f"Python {sys.version.split()[0]} cannot make virtual environments: its ensurepip module is missing."
        if not debian.offer([package], why, yes):
            raise StopError(f"{why} Install it, on Debian or Ubuntu with: sudo apt-get install {package}")
    say(f"Making a virtual environment in {VENV.relative_to(ROOT)} with Python {sys.version.split()[0]}")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise StopError(f"{sys.executable} -m venv failed: {(made.stderr or made.stdout).strip()}")


def _install(group: str) -> None:
    lines = requirements(group)
    say(f"Installing {len(lines)} pinned requirements and what they need (pyproject.toml, group {group}); about a minute the first time")
    # Compiling all of Ansible's thousands of modules takes longer than all the rest; the few that are used get compiled when they are.
    options = ("--no-compile", "--disable-pip-version-check", "--progress-bar", "off")
    command = (str(PYTHON), "-m", "pip", "install", *options, *lines)
    if steps.run(steps.Step("python packages", command)).failed:
        raise StopError("pip could not install the requirements (its words are above); check that this machine reaches a Python package index, then repeat")
