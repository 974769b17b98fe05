# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS handshakes for the probe: verified first, and once more without verification when only the certificate is in the way."""

from __future__ import annotations

import functools
import socket
import ssl
import time
from dataclasses import dataclass

from .x509 import Certificate, parse

# OpenSSL's numbers: self-signed (leaf, in chain), issuer not found (locally, at all).
UNKNOWN_ISSUER = (18, 19, 20, 21)


@dataclass
class Handshake:
    """A finished handshake. ``verify_error`` says why the certificate is not trusted (None: it is), ``verify_code`` is OpenSSL's number.

    ``connect_ms`` and ``tls_ms`` are the times of the TCP connection and of the handshake on it.
    """

    connection: ssl.SSLSocket
    connect_ms: float
    tls_ms: float
    verify_error: str | None = None
    verify_code: int | None = None

    def certificate(self) -> Certificate | None:
        """The certificate that the server showed; None when it can't be read."""
        der = self.connection.getpeercert(binary_form=True)
        try:
            return parse(der) if der else None
        except ValueError:
            return None


@functools.lru_cache(maxsize=16)
def verifying_context(ca_file: str) -> ssl.SSLContext:
    """Trusts ``ca_file``, or the system's store when it is empty; OSError when the file can't be read, SSLError when it is no PEM."""
    context = ssl.create_default_context(cafile=ca_file or None)
    # The name is compared apart from the chain, so that each problem gets its own words.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@functools.lru_cache(maxsize=1)
def blind_context() -> ssl.SSLContext:
    """Takes any certificate: for looking at it, and for asking what is behind it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trust_problem(ca_file: str) -> str | None:
    """Why the declared trust store can't be used, or None."""
    try:
        verifying_context(ca_file)
    except OSError as error:
        return f"trust store {ca_file or 'of the system'} can't be used: {error.strerror or error}; check ca_file"
    return None


def open_tcp(address: tuple[str, int], timeout_s: float) -> socket.socket:
    """A connection on which nothing waits to be sent together with something else."""
    connection = socket.create_connection(address, timeout=timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def handshake(address: tuple[str, int], host: str, ca_file: str, timeout_s: float, verify: bool = True) -> Handshake:
    """Connect and shake hands, asking for ``host``.

    A certificate that is not trusted costs a second connection without verification. Raises OSError (ssl.SSLError for what goes wrong in
    the handshake for other reasons than the certificate).
    """
    if verify:
        try:
            return shake(address, host, verifying_context(ca_file), timeout_s)
        except ssl.SSLCertVerificationError as error:
            distrust = error
        shaken = shake(address, host, blind_context(), timeout_s)
        shaken.verify_error, shaken.verify_code = distrust.verify_message, distrust.verify_code
        return shaken
    return shake(address, host, blind_context(), timeout_s)


def shake(address: tuple[str, int], host: str, context: ssl.SSLContext, timeout_s: float) -> Handshake:
    """One connection and its handshake."""
    started = time.monotonic()
    connection = open_tcp(address, timeout_s)
    connected = time.monotonic()
    try:
        wrapped = context.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise
    return Handshake(wrapped, round((connected - started) * 1000, 1), round((time.monotonic() - connected) * 1000, 1))
