# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts from logs, queries and answers: secrets are masked before they leave the machine."""

from __future__ import annotations

import re

from .clean import clean_text

SAMPLE_LENGTH = 300
MASK = "[masked]"

_BLANK = re.compile(r"\s+")

# Every repetition is bounded or can match in one way only: these run over whatever somebody wrote into a log.
_SECRETS = (
    # scheme://user:password@host: the user stays, it says who was refused
    (re.compile(r"(?<=://)([^\s/@:\"']{0,200}):[^\s/@\"']{1,300}@"), r"\1:" + MASK + "@"),
    (re.compile(r"(?i)\b(bearer|basic|negotiate) +[A-Za-z0-9._~+/=-]{8,}"), r"\1 " + MASK),
    # key = value, key: value, "key": "value", ?key=value; also my_api_key, X-Api-Key
    (
        re.compile(
            r"(?i)((?:passwd|password|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|cookie"
            r"|session[_-]?id|credential)[\w-]{0,30}"
            r"[\"']? {0,3}[=:] {0,3})(\"(?:[^\"\\]|\\.){0,2000}\"?|'(?:[^'\\]|\\.){0,2000}'?|(?!\[masked\]|(?:bearer|basic|negotiate) )[^\s,;&\"'}\])]{1,2000})"
        ),
        r"\1" + MASK,
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{6,2000}\.[A-Za-z0-9_-]{6,4000}(?:\.[A-Za-z0-9_-]{0,2000})?"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), MASK),
    (re.compile(r"\b(?:gh[pousr]_|sk_live_|sk-|xox[abprs]-|glpat-)[A-Za-z0-9_-]{10,200}"), MASK),
    (re.compile(r"(?s)-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*"), MASK),
)


def redact(text: str) -> str:
    """The text with passwords in URLs, tokens, keys and the values of secret-sounding names masked."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def sample(text: str, length: int = SAMPLE_LENGTH) -> str:
    """One line of at most ``length`` characters that may be shown: printable, redacted, white space collapsed."""
    # Masking looks at more than is kept, so that a secret at the cut is seen whole; much more would only cost time.
    line = _BLANK.sub(" ", clean_text(text[: 8 * length])).strip()
    line = redact(line)
    return line if len(line) <= length else line[: length - 1] + "…"
