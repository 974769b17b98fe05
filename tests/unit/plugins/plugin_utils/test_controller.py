# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller: versions, room, and addresses that are connected to and sent nothing."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.sre.incident_response.plugins.plugin_utils import controller
from ansible_collections.sre.incident_response.plugins.plugin_utils.workspace import Workspace
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import tcp_server, unused_port

SECRET = "T0K3N-of-a-webhook"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine uses."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signs itself, with its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", "req", "-x509", *options, "-keyout", str(path), "-out", str(path.with_suffix(".crt"))], check=True, capture_output=True)
    path.write_text(path.read_text(encoding="utf-8") + path.with_suffix(".crt").read_text(encoding="utf-8"), encoding="utf-8")
    return path


def listening(heard: list[bytes]) -> Callable[[socket.socket], object]:
    """A conversation that only notes what it is sent."""
    return lambda connection: heard.append(connection.recv(1000))


def one(url: str, timeout_s: float = 2.0) -> dict[str, object]:
    return controller.reached({"chat": url}, timeout_s)[0]


def test_http_is_connected_to_and_sent_nothing() -> None:
    heard: list[bytes] = []
    with tcp_server(listening(heard)) as port:
        found = one(f"http://127.0.0.1:{port}/{SECRET}")
    assert (found["ok"], found["reason"], found["address"]) == (True, None, f"http://127.0.0.1:{port}")
    assert b"".join(heard) == b""


def test_https_needs_a_certificate_that_is_accepted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handshake is complete, so the certificate counts; then nothing is sent either."""
    heard: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            heard.append(secured.recv(1000))

    with tcp_server(serve) as port:
        refused = one(f"https://localhost:{port}/{SECRET}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
        accepted = one(f"https://localhost:{port}/{SECRET}")
    assert refused["ok"] is False
    assert "certificate is not accepted" in str(refused["reason"])
    assert accepted["ok"] is True
    assert b"".join(heard) == b""


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{unused}/x", "connection refused"),
        ("https://127.0.0.1:{plain}/x", "the TLS handshake failed"),
        ("https://name.invalid/x", "does not resolve"),
        ("ftp://127.0.0.1/x", "no URL that starts with http"),
        ("http://[half/x", "Invalid IPv6 URL"),
        (f"{SECRET}", "no URL that starts with http"),
    ],
)
def test_not_reached(url: str, reason: str) -> None:
    with tcp_server(lambda connection: connection.sendall(b"220 hello\r\n" * 10)) as plain:
        found = one(url.format(unused=unused_port(), plain=plain))
    assert found["ok"] is False
    assert reason in str(found["reason"])
    assert SECRET not in str(found)


def test_silence_has_a_limit() -> None:
    """A server that accepts and never shakes hands."""
    with tcp_server(lambda connection: connection.recv(100000) and connection.recv(1)) as port:
        found = one(f"https://127.0.0.1:{port}/x", timeout_s=0.3)
    assert found["ok"] is False
    assert "in time" in str(found["reason"])


def test_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the way out leads through a proxy, it is asked for a tunnel."""
    heard: list[bytes] = []

    def proxy(connection: socket.socket) -> None:
        heard.append(connection.recv(1000))
        connection.sendall(b"HTTP/1.1 403 no\r\n\r\n")

    with tcp_server(proxy) as port:
        monkeypatch.setenv("https_proxy", f"http://who:pass@127.0.0.1:{port}")
        found = one(f"https://hooks.example.com/{SECRET}")
    assert heard[0].startswith(b"CONNECT hooks.example.com:443 ")
    assert b"Proxy-Authorization: Basic d2hvOnBhc3M=" in heard[0]
    assert found["ok"] is False
    assert SECRET.encode() not in heard[0]


@pytest.mark.parametrize(
    ("wanted", "found", "good"),
    [
        (">=4.0.0", "4.8.5", True),
        (">=4.0.0", "3.9.0", False),
        (">=4.0.0", None, False),
        (">=2.19.0", "2.20.0rc1", True),
        ("*", "1.0.0", True),
        (">=1", "odd", False),
    ],
)
def test_versions(wanted: str, found: str | None, good: bool) -> None:
    assert controller.version("x", wanted, found)["ok"] is good


def test_installed_collections() -> None:
    """Those that this collection needs are found where Ansible finds them."""
    assert set(controller.dependencies()) >= {"community.docker", "community.postgresql"}
    assert controller.installed("sre.incident_response") == controller.about(controller.COLLECTION_ROOT)["version"]
    assert controller.installed("nobody.has_this") is None
    assert controller.required_core().startswith(">=2.")


def test_state(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "incidents")
    found = controller.state(workspace)
    assert (found["path"], found["problem"]) == (str(tmp_path / "incidents"), None)
    assert found["free"] > 0


def test_state_that_can_not_be_written(tmp_path: Path) -> None:
    """A file where the folder should be stops root as well."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    found = controller.state(Workspace.create(tmp_path / "file" / "incidents"))
    assert "can't be written" in str(found["problem"])
