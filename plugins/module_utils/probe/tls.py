# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``tls``: the certificate that users are shown at an https URL, and what is wrong with it. No private key is ever read."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from .context import Context, Service, SourceError
from .http_wire import Origin, kind_of, origin_of
from .names import resolve
from .tls_wire import UNKNOWN_ISSUER, Handshake, handshake, trust_problem

MOST_ADDRESSES = 3
RESERVE_S = 0.3


def applies(service: Service) -> bool:
    """Whether the service has a certificate to look at."""
    return str(service.spec.get("url") or "").lower().startswith("https:")


def collect(ctx: Context) -> dict[str, Any]:
    """Data of the source as docs/architecture.md describes it; SourceError ``absent`` for a URL without TLS."""
    service = ctx.owner
    url = str(service.spec.get("url") or "")
    try:
        origin = origin_of(url)[0]
    except ValueError:
        raise SourceError("unsupported", f"url of service {service.name} is no http or https URL: {url or 'none is declared'}") from None
    if origin.scheme != "https":
        raise SourceError("absent", f"the url of service {service.name} is not https, so there is no certificate to look at")
    ca_file = str(service.spec.get("ca_file") or "")
    distrust = trust_problem(ca_file)
    data: dict[str, Any] = {
        "host": origin.host,
        "port": origin.port,
        "handshake_error": None,
        "error_kind": None,
        "handshake_ms": None,
        "protocol": None,
        "cipher": None,
        "served": None,
        "expired": None,
        "not_yet_valid": None,
        "hostname_ok": None,
        "verify_error": None,
        "verify_code": None,
        "issuer_unknown": None,
        "ca_file": ca_file or None,
    }
    try:
        shaken = shake_hands(ctx, origin, ca_file, verify=distrust is None)
    except OSError as error:
        data["error_kind"] = kind_of(error)
        data["handshake_error"] = describe(error)
        return data
    try:
        fill(data, shaken, origin, ctx.now)
    finally:
        shaken.connection.close()
    if distrust:
        data["verify_error"] = distrust
    return data


def shake_hands(ctx: Context, origin: Origin, ca_file: str, verify: bool) -> Handshake:
    """Connect to the first address that takes the connection."""
    limit = float(ctx.options["http_timeout_s"])
    addresses = resolve(origin.host, ctx.remaining(limit))[:MOST_ADDRESSES]
    for address in addresses:
        timeout = max(0.05, min(limit, ctx.remaining() - RESERVE_S))
        try:
            return handshake((address, origin.port), origin.host, ca_file, timeout, verify)
        except OSError as error:
            if address == addresses[-1] or isinstance(error, (ssl.SSLError, socket.timeout)):
                raise
    raise OSError(f"{origin.host} has no address")


def fill(data: dict[str, Any], shaken: Handshake, origin: Origin, now: float) -> None:
    """Everything that a finished handshake tells, measured against this machine's clock."""
    cipher = shaken.connection.cipher()
    data.update(
        handshake_ms=shaken.tls_ms,
        protocol=shaken.connection.version(),
        cipher=cipher[0] if cipher else None,
        verify_error=shaken.verify_error,
        verify_code=shaken.verify_code,
        issuer_unknown=shaken.verify_code in UNKNOWN_ISSUER,
    )
    certificate = shaken.certificate()
    if certificate is None:
        data["handshake_error"] = "the certificate that the server shows can't be read"
        data["error_kind"] = "protocol"
        return
    data.update(
        served=certificate.evidence(now),
        expired=now > certificate.not_after,
        not_yet_valid=now < certificate.not_before,
        hostname_ok=certificate.covers(origin.host),
    )


def describe(error: OSError) -> str:
    """The handshake's failure as one phrase."""
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {error.reason or error}"
    if isinstance(error, socket.timeout):
        return "no answer to the TLS handshake in time"
    return str(error.strerror or error)
