"""What the lab looks like from outside."""

from __future__ import annotations

import re
import subprocess

from .console import StopError, line
from .project import environment

# On every container of every lab, see roles/lab.
LABEL = "sre.incident_response.lab"
PUBLISHED = re.compile(r"([\d.]+:\d+)->(\d+)/tcp")


def show() -> None:
    """Print the containers of all labs on this engine, how they are, and where they answer."""
    columns = "{{.Names}}\t{{.Status}}\t{{.Ports}}"
    command = ["docker", "ps", "--all", "--filter", f"label={LABEL}", "--format", columns]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StopError(f"docker ps failed: {done.stderr.strip()}")
    rows = [row.split("\t") for row in sorted(done.stdout.splitlines())]
    if not rows:
        line("No lab is up. Start it with: ./run lab up")
        return
    for name, status, ports in rows:
        line(f"{name:<24}{status:<32}{' '.join(addresses(ports))}".rstrip())


def addresses(ports: str) -> list[str]:
    """URLs of the published ports, from docker's own words: `127.0.0.1:8443->443/tcp, 9000/tcp`."""
    return [f"{'https' if inside == '443' else 'http'}://{address}/" for address, inside in PUBLISHED.findall(ports)]
