# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what triage needs from a DER certificate: dates, names, issuer.

Python tells the fields of a certificate only after it was verified, but the question comes up when verification fails. The only other
way in the standard library is a private test function of ``ssl`` that wants a file. X.509's outer structure is fixed and small, so a
reader of it is the sturdier choice; it looks at nothing that it does not report, and any surprise is a ValueError.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .times import iso

SEQUENCE, SET, OBJECT_ID, UTC_TIME, GENERALIZED_TIME = 0x30, 0x31, 0x06, 0x17, 0x18
VERSION, EXTENSIONS = 0xA0, 0xA3
BOOLEAN, OCTET_STRING, BMP_STRING = 0x01, 0x04, 0x1E
DNS_NAME, IP_ADDRESS = 0x82, 0x87

SUBJECT_ALT_NAME = "2.5.29.17"
NAME_PARTS = {"2.5.4.3": "CN", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST"}


@dataclass(frozen=True)
class Certificate:
    """A served certificate. Times are epochs; names in ``san`` are lower case, addresses in their usual form."""

    not_before: float
    not_after: float
    subject: str
    issuer: str
    san: tuple[str, ...]
    self_signed: bool
    fingerprint: str

    def evidence(self, now: float) -> dict[str, Any]:
        """The ``served`` entry of source ``tls``."""
        return {
            "not_before": iso(self.not_before),
            "not_after": iso(self.not_after),
            "days_left": round((self.not_after - now) / 86400, 1),
            "subject": self.subject,
            "issuer": self.issuer,
            "san": list(self.san),
            "self_signed": self.self_signed,
            "fingerprint": self.fingerprint,
        }

    def covers(self, host: str) -> bool:
        """Whether the certificate is for that host name or address; a wildcard stands for exactly one label."""
        wanted = host.lower().rstrip(".")
        try:
            return str(ipaddress.ip_address(wanted.strip("[]"))) in self.san
        except ValueError:
            pass
        first, dot, rest = wanted.partition(".")
        return wanted in self.san or bool(first and dot and "." in rest and f"*.{rest}" in self.san)

    def problem(self, host: str, now: float) -> str | None:
        """What is wrong with it whoever signed it, as one phrase, or None."""
        if now > self.not_after:
            return f"certificate has expired ({iso(self.not_after)})"
        if now < self.not_before:
            return f"certificate is not yet valid (before {iso(self.not_before)})"
        if not self.covers(host):
            return f"certificate is not for {host} but for {', '.join(self.san[:5]) or self.subject}"
        return None


def read_value(data: bytes, position: int) -> tuple[int, bytes, int]:
    """(tag, content, position after it) of the DER element at ``position``."""
    if position + 2 > len(data):
        raise ValueError("a certificate ends in the middle of an element")
    tag, length = data[position], data[position + 1]
    position += 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or position + count > len(data):
            raise ValueError("a certificate has an element of impossible length")
        length = int.from_bytes(data[position : position + count], "big")
        position += count
    if position + length > len(data):
        raise ValueError("a certificate ends in the middle of an element")
    return tag, data[position : position + length], position + length


def children(data: bytes) -> list[tuple[int, bytes]]:
    """(tag, content) of every element in a constructed one's content."""
    found = []
    position = 0
    while position < len(data):
        tag, content, position = read_value(data, position)
        found.append((tag, content))
    return found


def object_id(content: bytes) -> str:
    """``2.5.29.17`` from its encoding."""
    if not content:
        raise ValueError("a certificate has an empty object identifier")
    numbers = [min(content[0] // 40, 2)]
    numbers.append(content[0] - 40 * numbers[0])
    value = 0
    for byte in content[1:]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    return ".".join(str(number) for number in numbers)


def time_value(tag: int, content: bytes) -> float:
    """Epoch of a UTCTime or GeneralizedTime; RFC 5280 wants seconds and Z in both."""
    text = content.decode("ascii", "replace")
    if tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != GENERALIZED_TIME:
        raise ValueError("a certificate has dates of an unknown type")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()


def distinguished_name(content: bytes) -> str:
    """``O=Incident lab, CN=localhost``; parts of unknown kind are left out."""
    parts = []
    for set_tag, relative in children(content):
        for tag, pair in children(relative) if set_tag == SET else []:
            fields = children(pair)
            if tag != SEQUENCE or len(fields) != 2 or fields[0][0] != OBJECT_ID:
                raise ValueError("a certificate has a malformed name")
            label = NAME_PARTS.get(object_id(fields[0][1]))
            if label:
                encoding = "utf-16-be" if fields[1][0] == BMP_STRING else "utf-8"
                parts.append(f"{label}={fields[1][1].decode(encoding, 'replace')}")
    return ", ".join(parts)


def alternative_names(extensions: bytes) -> tuple[str, ...]:
    """DNS names and addresses of the subjectAltName extension."""
    names: list[str] = []
    for _tag, content in children(read_value(extensions, 0)[1]):
        fields = [field for field in children(content) if field[0] != BOOLEAN]
        if len(fields) != 2 or fields[1][0] != OCTET_STRING or object_id(fields[0][1]) != SUBJECT_ALT_NAME:
            continue
        for tag, name in children(read_value(fields[1][1], 0)[1]):
            if tag == DNS_NAME:
                names.append(name.decode("ascii", "replace").lower())
            elif tag == IP_ADDRESS and len(name) in (4, 16):
                names.append(str(ipaddress.ip_address(name)))
    return tuple(names)


def parse(der: bytes) -> Certificate:
    """The certificate behind its DER bytes; ValueError when they are none."""
    outer = children(read_value(der, 0)[1])
    fields = children(outer[0][1]) if outer else []
    if fields and fields[0][0] == VERSION:
        fields = fields[1:]
    if len(fields) < 6:
        raise ValueError("a certificate lacks fields")
    issuer, validity, subject = fields[2][1], children(fields[3][1]), fields[4][1]
    if len(validity) != 2:
        raise ValueError("a certificate lacks its dates")
    extensions = next((content for tag, content in fields if tag == EXTENSIONS), None)
    return Certificate(
        not_before=time_value(*validity[0]),
        not_after=time_value(*validity[1]),
        subject=distinguished_name(subject),
        issuer=distinguished_name(issuer),
        san=alternative_names(extensions) if extensions else (),
        self_signed=issuer == subject,
        fingerprint=hashlib.sha256(der).hexdigest(),
    )
