# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and source tls: what is served is told whatever is wrong with it, and each thing that is wrong has its own field."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import http, tls, x509
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Service, SourceError
from ansible_collections.sre.incident_response.tests.lacking import lacking
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import context
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.servers import tcp_server, unused_port

DAY = 86400.0
# A minute ahead of the certificates that the tests make.
NOW = time.time() + 60

# Self-signed, EC, made with openssl: two names, one wildcard, an IPv4 and an IPv6 address. Valid 2026-01-01 to 2026-04-01.
EXAMPLE = """\
-----BEGIN CERTIFICATE-----
MIIB2TCCAX+gAwIBAgIBATAKBggqhkjOPQQDAjA6MQswCQYDVQQGEwJERTEQMA4G
A1UECgwHQsO8Y2hlcjEZMBcGA1UEAwwQc2hvcC5leGFtcGxlLmNvbTAeFw0yNjAx
MDEwMDAwMDBaFw0yNjA0MDEwMDAwMDBaMDoxCzAJBgNVBAYTAkRFMRAwDgYDVQQK
DAdCw7xjaGVyMRkwFwYDVQQDDBBzaG9wLmV4YW1wbGUuY29tMFkwEwYHKoZIzj0C
AQYIKoZIzj0DAQcDQgAE3E3t6fkqUy+AeW7WIFy+u/rEdeLvlt/FmdYSvBB2b/Qr
c4m9Mt02n342Z9MOiHOMPq2QD3pVAOuDIRdgfc9vfqN2MHQwQgYDVR0RBDswOYIQ
c2hvcC5leGFtcGxlLmNvbYINKi5leGFtcGxlLm9yZ4cEwAACB4cQIAENuAAAAAAA
AAAAAAAABzAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBQvDHyt5/VxMCUR/4dA
pX03SiExLTAKBggqhkjOPQQDAgNIADBFAiAfpy7S7YXR7lI1NI1T1ZjR60iw39dZ
hB6H5i9aqDYC5gIhAIp2n/kN3mIq2gyILTD6FY0Hhrx/fA9qYuA5h4/6b4rm
-----END CERTIFICATE-----
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority in a directory: ca.pem and ca.key."""
    if shutil.which("openssl") is None:
        lacking("openssl is not installed, so no certificates can be made", "on Debian or Ubuntu: apt-get install openssl")
    directory = tmp_path_factory.mktemp("authority")
    openssl(directory, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=Test-CA")
    return directory


def openssl(directory: Path, arguments: str) -> None:
    """Run openssl in a directory."""
    subprocess.run(["openssl", *arguments.split()], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def issue(authority: Path) -> Callable[..., Path]:
    """Function that issues a certificate for the names and returns the file with certificate and key."""

    def make(names: str = "DNS:localhost,IP:127.0.0.1", signed: bool = True) -> Path:
        stem = str(len(list(authority.iterdir())))
        (authority / f"{stem}.ext").write_text(f"subjectAltName={names}\n", encoding="ascii")
        openssl(authority, f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {stem}.key -out {stem}.csr -subj /O=Shop/CN=localhost")
        signer = "-CA ca.pem -CAkey ca.key -CAcreateserial" if signed else f"-signkey {stem}.key"
        openssl(authority, f"x509 -req -in {stem}.csr {signer} -days 30 -extfile {stem}.ext -out {stem}.crt")
        both = authority / f"{stem}.pem"
        both.write_text((authority / f"{stem}.crt").read_text() + (authority / f"{stem}.key").read_text())
        return both

    return make


@pytest.fixture
def serve(issue: Callable[..., Path]) -> Iterator[Callable[..., int]]:
    """Function that starts an HTTPS server with a certificate for the names and returns its port."""
    with contextlib.ExitStack() as stack:

        def start(names: str = "DNS:localhost,IP:127.0.0.1", signed: bool = True) -> int:
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.load_cert_chain(issue(names, signed))

            def hold(connection: socket.socket) -> None:
                with server.wrap_socket(connection, server_side=True) as secure:
                    while secure.recv(4096):
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

            return stack.enter_context(tcp_server(hold))

        yield start


def collect(url: str, ca_file: Path | str = "", now: float = NOW) -> dict[str, Any]:
    """Data of the source for a URL."""
    return tls.collect(context(service=Service("shop", "nginx", {"url": url, "ca_file": str(ca_file)}), now=now, http_timeout_s=1.0))


# -- reading certificates ----------------------------------------------------------------------------------------------------------


def test_reads_dates_names_and_issuer() -> None:
    """From the bytes as they are served."""
    certificate = x509.parse(ssl.PEM_cert_to_DER_cert(EXAMPLE))
    assert certificate.evidence(certificate.not_after - 14 * DAY) == {
        "not_before": "2026-01-01T00:00:00.000000Z",
        "not_after": "2026-04-01T00:00:00.000000Z",
        "days_left": 14.0,
        "subject": "C=DE, O=Bücher, CN=shop.example.com",
        "issuer": "C=DE, O=Bücher, CN=shop.example.com",
        "san": ["shop.example.com", "*.example.org", "192.0.2.7", "2001:db8::7"],
        "self_signed": True,
        "fingerprint": certificate.fingerprint,
    }
    assert len(certificate.fingerprint) == 64


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("shop.example.com", True),
        ("SHOP.example.com.", True),
        ("example.com", False),
        ("a.example.org", True),
        ("a.b.example.org", False),
        ("example.org", False),
        (".example.org", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8:0::7", True),
        ("[2001:db8::7]", True),
    ],
)
def test_which_hosts_a_certificate_is_for(host: str, covered: bool) -> None:
    """A wildcard stands for one label; an address must be named as one."""
    assert x509.parse(ssl.PEM_cert_to_DER_cert(EXAMPLE)).covers(host) is covered


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [(x509.UTC_TIME, "260101000000Z", 1767225600), (x509.UTC_TIME, "500101000000Z", -631152000), (x509.GENERALIZED_TIME, "20500101000000Z", 2524608000)],
)
def test_both_kinds_of_dates(tag: int, text: str, expected: int) -> None:
    """RFC 5280: two digits up to 2049, four from 2050 on."""
    assert x509.time_value(tag, text.encode()) == expected


def test_every_cut_of_a_certificate_is_an_error_and_no_crash() -> None:
    """A server may send anything."""
    der = ssl.PEM_cert_to_DER_cert(EXAMPLE)
    for length in range(0, len(der), 7):
        with pytest.raises(ValueError, match=r"."):
            x509.parse(der[:length])


def test_changed_bytes_are_an_error_or_another_certificate() -> None:
    """Never another exception."""
    der = bytearray(ssl.PEM_cert_to_DER_cert(EXAMPLE))
    for position in range(0, len(der), 3):
        changed = bytes(der[:position]) + bytes([der[position] ^ 0xFF]) + bytes(der[position + 1 :])
        try:
            x509.parse(changed)
        except ValueError:
            continue


def test_agrees_with_openssl(issue: Callable[..., Path]) -> None:
    """On a certificate that openssl made now."""
    both = issue("DNS:a.example,DNS:*.b.example,IP:10.0.0.1")
    certificate = x509.parse(ssl.PEM_cert_to_DER_cert(both.read_text().partition("-----BEGIN PRIVATE")[0]))
    said = subprocess.run(["openssl", "x509", "-in", both, "-noout", "-dates", "-fingerprint", "-sha256"], check=True, capture_output=True, text=True).stdout
    values = dict(line.split("=", 1) for line in said.strip().splitlines())
    assert certificate.not_after == ssl.cert_time_to_seconds(values["notAfter"])
    assert certificate.fingerprint == next(value for name, value in values.items() if "ingerprint" in name).replace(":", "").lower()
    assert certificate.san == ("a.example", "*.b.example", "10.0.0.1")


# -- handshakes --------------------------------------------------------------------------------------------------------------------


def test_a_good_certificate(serve: Callable[..., int], authority: Path) -> None:
    """Trusted, for this host, in its time."""
    data = collect(f"https://localhost:{serve()}", authority / "ca.pem")
    assert (data["verify_error"], data["hostname_ok"], data["expired"], data["not_yet_valid"], data["handshake_error"]) == (None, True, False, False, None)
    assert (data["served"]["issuer"], data["served"]["self_signed"]) == ("CN=Test-CA", False)
    assert 29 <= data["served"]["days_left"] <= 30
    assert data["protocol"].startswith("TLSv1")


@pytest.mark.parametrize(("shift", "expired", "early"), [(31 * DAY, True, False), (-2 * DAY, False, True)])
def test_dates_are_measured_by_the_machines_clock(serve: Callable[..., int], shift: float, expired: bool, early: bool) -> None:
    """Also where the issuer is unknown, which hides the dates from OpenSSL's own verdict."""
    data = collect(f"https://localhost:{serve()}", now=NOW + shift)
    assert (data["expired"], data["not_yet_valid"], data["issuer_unknown"]) == (expired, early, True)


def test_a_certificate_for_another_host(serve: Callable[..., int], authority: Path) -> None:
    """Said by its own field, not by the chain's."""
    data = collect(f"https://localhost:{serve('DNS:other.example')}", authority / "ca.pem")
    assert (data["hostname_ok"], data["verify_error"], data["served"]["san"]) == (False, None, ["other.example"])


def test_an_unknown_issuer(serve: Callable[..., int], authority: Path) -> None:
    """With and without a declared trust store."""
    data = collect(f"https://localhost:{serve(signed=False)}", authority / "ca.pem")
    assert (data["served"]["self_signed"], data["issuer_unknown"], bool(data["verify_error"])) == (True, True, True)


def test_a_trust_store_that_is_not_there(serve: Callable[..., int], tmp_path: Path) -> None:
    """The certificate is still told; the sentence names the file."""
    data = collect(f"https://localhost:{serve()}", tmp_path / "no.pem")
    assert data["served"]["issuer"] == "CN=Test-CA"
    assert data["verify_error"] == f"trust store {tmp_path}/no.pem can't be used: No such file or directory; check ca_file"


def test_what_does_not_speak_tls() -> None:
    """A plain port, a closed one."""
    with tcp_server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        data = collect(f"https://127.0.0.1:{port}")
    assert (data["error_kind"], data["served"]) == ("tls", None)
    assert data["handshake_error"].startswith("TLS handshake failed")
    assert collect(f"https://127.0.0.1:{unused_port()}")["error_kind"] == "refused"


def test_a_url_without_tls_has_nothing_to_look_at() -> None:
    """The source does not even run for it."""
    service = Service("shop", "nginx", {"url": "http://localhost"})
    assert tls.applies(service) is False
    with pytest.raises(SourceError, match="not https"):
        tls.collect(context(service=service))


# -- what that means for requests --------------------------------------------------------------------------------------------------


def live(url: str, ca_file: Path | str = "", now: float = NOW) -> dict[str, Any]:
    """The live endpoint of an nginx behind an https URL."""
    service = Service("shop", "nginx", {"url": url, "ca_file": str(ca_file)})
    return http.collect(context(service=service, now=now, http_timeout_s=1.0))["endpoints"]["live"]


def test_a_bad_certificate_is_told_apart_from_a_service_that_is_down(serve: Callable[..., int], authority: Path) -> None:
    """What is behind it was asked nevertheless, once."""
    result = live(f"https://localhost:{serve()}", authority / "ca.pem", NOW + 31 * DAY)
    assert (result["ok"], result["error_kind"], result["status"], result["insecure_status"], result["count"]) == (False, "tls", None, 200, 1)
    assert result["error"].startswith("certificate has expired (")


def test_an_issuer_that_only_this_machine_may_not_know_is_no_outage(serve: Callable[..., int]) -> None:
    """Without a declared trust store an internal authority looks like that."""
    result = live(f"https://localhost:{serve()}")
    assert (result["ok"], result["error_kind"], bool(result["verify_error"])) == (True, None, True)


def test_an_unknown_issuer_counts_when_the_trust_store_is_declared(serve: Callable[..., int], authority: Path) -> None:
    """Then we know what users trust."""
    result = live(f"https://localhost:{serve(signed=False)}", authority / "ca.pem")
    assert (result["ok"], result["error_kind"], result["insecure_status"]) == (False, "tls", 200)
