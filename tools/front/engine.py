"""The Docker engine: is it there, does it answer, and may we start or install it?"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import time

from . import debian
from .console import StopError, agreed, say
from .project import CACHE, environment

PACKAGES = ["docker.io", "mmdebstrap"]
PID_FILES = {"dockerd": pathlib.Path("/var/run/docker.pid"), "containerd": pathlib.Path("/var/run/docker/containerd/containerd.pid")}
START_TIMEOUT_S = 90


def ensure(yes: bool) -> None:
    """Return when a Docker engine answers; otherwise stop with the sentence that says what is missing."""
    if _client() is None and _daemon() is None:
        _install(yes)
    if _client() is None:
        _install_client(yes)
    problem = _problem()
    if problem is None:
        return
    if "permission denied" in problem.lower():
        raise StopError(f"This user may not talk to the Docker engine ({problem}); run `sudo usermod -aG docker $USER` and log in again")
    if os.environ.get("DOCKER_HOST"):
        raise StopError(
            f"The Docker engine at DOCKER_HOST={os.environ['DOCKER_HOST']} does not answer ({problem}); start it, or unset DOCKER_HOST to use one here"
        )
    if _daemon() is None:
        _install(yes)
    # Installing the package starts the engine where a service manager runs.
    if _problem() is not None:
        _start(yes)


def ensure_bootstrap(yes: bool) -> None:
    """Have mmdebstrap, with which the lab makes its base image where no image registry can be reached."""
    if shutil.which("mmdebstrap") is None and yes:
        debian.offer(["mmdebstrap"], "mmdebstrap is missing; the lab needs it where no image registry can be reached.", yes)


def _client() -> str | None:
    """The engine's command line client."""
    return shutil.which("docker")


def _problem() -> str | None:
    """Why no engine answers, in its own words; None when one does."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=environment())
    except subprocess.TimeoutExpired:
        return "the engine did not answer within 20 s"
    if done.returncode == 0 and done.stdout.strip():
        return None
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1] if said else f"docker version ended with exit code {done.returncode}"


def _daemon() -> str | None:
    """The engine's program; system directories are not on every user's PATH."""
    return shutil.which("dockerd", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/local/sbin"]))


def _install(yes: bool) -> None:
    why = "No Docker engine is installed here."
    if debian.offer(PACKAGES, why, yes):
        return
    if debian.available() and os.geteuid() == 0:
        raise StopError(f"{why} Repeat the command with --yes to let it install {' and '.join(PACKAGES)} with apt-get")
    if debian.available():
        raise StopError(f"{why} Get one with: sudo apt-get install {' '.join(PACKAGES)} && sudo usermod -aG docker $USER, then log in again")
    raise StopError(f"{why} Install Docker Engine for your system (docs.docker.com/engine/install), start it, and run this again")


def _install_client(yes: bool) -> None:
    why = "The Docker engine is here, but its command line client is missing."
    if not debian.offer(["docker-cli"], why, yes):
        raise StopError(f"{why} Install it, on Debian or Ubuntu with: sudo apt-get install docker-cli")


def _start(yes: bool) -> None:
    """Start the engine that is installed and wait until it answers."""
    if os.geteuid() != 0:
        raise StopError("A Docker engine is installed but does not run; start it with: sudo systemctl start docker")
    if not agreed("A Docker engine is installed but does not run. Start it now?", yes):
        raise StopError("A Docker engine is installed but does not run; start it, or repeat the command with --yes to let it do that")
    log = CACHE / "dockerd.log"
    background = None
    if pathlib.Path("/run/systemd/system").is_dir():
        say("Starting the Docker engine: systemctl start docker")
        subprocess.run(["systemctl", "start", "docker"], check=False)
    else:
        background = _start_in_background(log)
    deadline = time.monotonic() + START_TIMEOUT_S
    while (problem := _problem()) is not None:
        ended = background is not None and background.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if background else []
            raise StopError("\n    ".join([f"The Docker engine does not start ({problem}); see {log if background else 'journalctl -u docker'}", *tail]))
        time.sleep(1)


def _start_in_background(log: pathlib.Path) -> subprocess.Popen[bytes]:
    """Start the engine without a service manager; it outlives this command."""
    _forget_dead_engine()
    say(f"Starting the Docker engine in the background: dockerd, log in {log}")
    with log.open("wb") as output:
        started = subprocess.Popen([_daemon() or "dockerd"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    say(f"It keeps running after this command; stop it with: kill {started.pid}")
    return started


def _forget_dead_engine() -> None:
    """Remove the process ids of an engine that was killed: a new one takes whatever process has such an id now for the old engine."""
    for program, pid_file in PID_FILES.items():
        try:
            pid = int(pid_file.read_text(encoding="ascii"))
            name = pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            continue
        if name != program:
            say(f"Removing {pid_file}: process {pid} is {name}, not {program}")
            pid_file.unlink()
