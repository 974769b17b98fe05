# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Password answers of the PostgreSQL protocol: md5 and SCRAM-SHA-256 (RFC 5802, RFC 7677), standard library only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import unicodedata

MECHANISM = "SCRAM-SHA-256"
# A hostile or broken server could ask for so many rounds that the probe computes for minutes.
MOST_ITERATIONS = 2_000_000


class ScramError(Exception):
    """The server's part of the exchange is malformed or does not prove that it knows the password."""


def md5_answer(user: str, password: str, salt: bytes) -> bytes:
    """Answer to AuthenticationMD5Password: ``md5`` + md5(md5(password + user) + salt), in hex."""
    inner = hashlib.md5((password + user).encode()).hexdigest()  # noqa: S324 - the protocol's choice, and the server's
    return b"md5" + hashlib.md5(inner.encode() + salt).hexdigest().encode()  # noqa: S324


def normalized(password: str) -> bytes:
    """The password as bytes; non-ASCII text in its compatibility form, which is what SASLprep gives for everyday passwords."""
    if password.isascii():
        return password.encode()
    return unicodedata.normalize("NFKC", password).encode("utf-8")


class Scram:
    """One client side of a SCRAM-SHA-256 exchange without channel binding: ``first``, then ``final``, then ``verify``."""

    def __init__(self, password: str, nonce: str | None = None) -> None:
        self._password = normalized(password)
        self._nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        # PostgreSQL takes the user from the startup message and ignores the name given here.
        self._bare = "n=,r=" + self._nonce
        self._server_signature = b""

    def first(self) -> bytes:
        """client-first-message"""
        return ("n,," + self._bare).encode()

    def final(self, server_first: bytes) -> bytes:
        """client-final-message for the server's first message; ScramError when that is not ours to answer."""
        text = server_first.decode("ascii", "replace")
        fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        nonce = fields.get("r", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ScramError("the server answered with a nonce that is not ours")
        try:
            salt = base64.b64decode(fields["s"], validate=True)
            iterations = int(fields["i"])
        except (KeyError, ValueError):
            raise ScramError("the server's SCRAM message lacks salt or iterations") from None
        if not 1 <= iterations <= MOST_ITERATIONS:
            raise ScramError(f"the server asks for {iterations} SCRAM iterations")
        without_proof = "c=biws,r=" + nonce
        message = ",".join((self._bare, text, without_proof)).encode()
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, iterations)
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(left ^ right for left, right in zip(client_key, signature))
        self._server_signature = _hmac(_hmac(salted, b"Server Key"), message)
        return (without_proof + ",p=" + base64.b64encode(proof).decode()).encode()

    def verify(self, server_final: bytes) -> None:
        """ScramError unless the server proves that it knows the password too."""
        expected = b"v=" + base64.b64encode(self._server_signature)
        if not hmac.compare_digest(expected, server_final.split(b",")[0]):
            raise ScramError("the server does not know the password that it asked for")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
