# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take secrets out of everything that is written to a journal or a report, or printed.

Replacements contain no quote and no backslash, so a JSON document inside a string stays valid JSON.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.sre.incident_response.plugins.plugin_utils.text import clean

MARK = "[redacted]"
MAX_TEXT = 16_000  # characters kept of one string: more belongs into an evidence file
_MAX_SCANNED = 256_000  # characters looked at before cutting, so that a secret is never cut in two and then missed
_MAX_DEPTH = 40
_SHORTEST_CUSTOM = 3  # a shorter literal would blank out half of every sentence

_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|jwt|bearer|credentials?|dsn_?password|"
    r"(?:api|access|private|secret|signing|encryption|account|shared|auth|master|session|service)[_.-]?key|"
    r"secret[_.-]?access[_.-]?key|(?:session|csrf|xsrf)[_.-]?id|requirepass|masterauth|authorization|cookie)"
)
_NOT_A_SECRET = ("(redacted)", "null", "None", "true", "false", "***", "********")
_SECRET_KEY = re.compile(rf"(?:^|[^a-z])(?:[a-z0-9]*{_SECRET_WORD}|[a-z0-9]+(?<!proxy)[_-]pass)$", re.IGNORECASE)

# What stands between a key and its value in `key=value`, `"key": "value"` and in the same escaped inside a string: \"key\": \"value\"
_ASSIGN = r"\\{0,15}[\"']?+\s{0,4}+(?:=>|=|:(?!//))\s{0,4}+"
_ASSIGNMENT = re.compile(
    rf"(?<![A-Za-z0-9])(?:[A-Za-z0-9_.-]{{0,60}}{_SECRET_WORD}|[A-Za-z0-9]{{1,40}}(?<!proxy)[_-]pass){_ASSIGN}(?P<slashes>\\{{0,15}})(?P<quote>[\"']?+)",
    re.IGNORECASE,
)
_ASSIGNMENT_HINTS = (
    "pass", "pwd", "secret", "token", "jwt", "bearer", "credential", "key", "session", "csrf", "xsrf", "masterauth", "authorization", "cookie"
)  # fmt: skip
_BARE_VALUE = re.compile(r"[^\s,;&\"'\\(){}<>|]+")


@dataclass(frozen=True)
class Rule:
    """One kind of secret: its name in the count, what it looks like, and what stays of it."""

    kind: str
    pattern: re.Pattern[str]
    replacement: str
    hints: tuple[str, ...]  # lower-case substrings, one of which such a text always contains: most texts are skipped quickly


RULES: tuple[Rule, ...] = (
    Rule(
        "private key",
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?:(?!-----BEGIN ).)*?-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|(?:[A-Za-z0-9+/=\s]|\\+[nr])*)",
            re.DOTALL,
        ),
        MARK,
        ("private key",),
    ),
    Rule(
        "password in a URL",
        # In the URLs of data stores people write passwords with "/" unescaped.
        re.compile(
            r"\b((?:postgres|postgresql|mysql|mariadb|rediss?|amqps?|mongodb)(?:\+[a-z0-9]+)?://[^\s:/@\"'<>\\]*):(?!\[redacted\]@)[^\s\"'<>\\]+@",
            re.IGNORECASE,
        ),
        rf"\1:{MARK}@",
        ("://",),
    ),
    Rule(
        "password in a URL",
        re.compile(r"(?<![a-z0-9+.-])([a-z][a-z0-9+.-]{0,30}://[^\s:/@\"'<>\\]*):(?!\[redacted\]@)[^\s/\"'<>\\]+@", re.IGNORECASE),
        rf"\1:{MARK}@",
        ("://",),
    ),
    Rule(
        "token in a URL",
        re.compile(r"(?<![a-z0-9+.-])([a-z][a-z0-9+.-]{0,30}://)[^\s:/@\"'<>\\\[]{16,}@", re.IGNORECASE),
        rf"\1{MARK}@",
        ("://",),
    ),
    Rule("JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?"), MARK, ("eyj",)),
    Rule(
        "authorization",
        re.compile(
            rf"(\b(?:proxy-)?authorization{_ASSIGN}\\{{0,15}}+[\"']?+)(?:(?:basic|bearer|digest|token|negotiate|apikey)\s+)?+(?!\[redacted)[^\s\"'\\,;]+",
            re.IGNORECASE,
        ),
        rf"\1{MARK}",
        ("authorization",),
    ),
    Rule(
        "authorization",
        re.compile(r"\b(basic|bearer)\s+(?:(?=[A-Za-z+/_~.-]*[0-9=])[A-Za-z0-9+/=._~-]{8,}|[A-Za-z+/._~-]{20,})", re.IGNORECASE),
        rf"\1 {MARK}",
        ("basic", "bearer"),
    ),
    Rule(
        "cookie",
        re.compile(r"(\b(?:set-)?cookie\\{0,15}+[\"']?+\s{0,4}+[:=]\s{0,4}+\\{0,15}+[\"']?+)(?!\[redacted)[^\r\n\"'\\]+", re.IGNORECASE),
        rf"\1{MARK}",
        ("cookie",),
    ),
    Rule("cloud key", re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA)[A-Z0-9]{16}\b"), MARK, ("akia", "asia", "aroa", "aida", "agpa", "anpa")),
    Rule("cloud key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}"), MARK, ("aiza",)),
    Rule(
        "access token",
        re.compile(
            r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|"
            r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|sk-[A-Za-z0-9_-]{20,}|npm_[A-Za-z0-9]{30,}|"
            r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|hvs\.[A-Za-z0-9_-]{20,})"
        ),
        MARK,
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk_", "rk_", "sk-", "npm_", "sg.", "hvs."),
    ),
    Rule("access token", re.compile(r"(hooks\.slack\.com/(?:services|workflows)/)(?!\[redacted)[A-Za-z0-9/_-]+"), rf"\1{MARK}", ("hooks.slack.com",)),
    Rule(
        "password in SQL",
        re.compile(r"\b(password|identified\s+by)(\s+E?)'(?!\[redacted\]')(?:[^']|'')*'", re.IGNORECASE),
        rf"\1\2'{MARK}'",
        ("password", "identified"),
    ),
    Rule(
        "secret argument",
        re.compile(
            r"(--?(?:[a-z0-9-]*(?:password|passwd|secret|token|api-key)|pass)[ \t]+|\bredis-cli\b[^|\n]{0,200}?\s-a\s+|\b(?:requirepass|masterauth)\s+)"
            r"(?!-|\[redacted)[^\s\"'\\]+",
            re.IGNORECASE,
        ),
        rf"\1{MARK}",
        ("-pass", "password", "passwd", "-secret", "secret ", "token", "api-key", "redis-cli", "requirepass", "masterauth"),
    ),
    Rule("secret argument", re.compile(r"(\bcurl\b[^|\n]{0,400}?\s(?:-u|--user)[= ]?\s*[^\s:\"']+:)(?!\[redacted)[^\s\"']+"), rf"\1{MARK}", ("curl",)),
)

# One scan tells for most texts that no rule can apply.
_ANY_HINT = re.compile("|".join(sorted({re.escape(hint) for rule in RULES for hint in rule.hints} | set(_ASSIGNMENT_HINTS))))
_REMEMBERED_LENGTH = 80
_REMEMBERED_TEXTS = 10_000


@dataclass
class Redactor:
    """Cleans values for the journal and counts what it took out.

    `custom` are more secrets of the user: plain texts, or regular expressions written as "regex:...".
    `problems` says in one sentence each which of them could not be used as asked. Texts are cut to `longest` characters.
    """

    custom: Iterable[str] = ()
    removed: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    longest: int = MAX_TEXT

    def __post_init__(self) -> None:
        self._harmless: set[str] = set()  # short texts that stay as they are: names of keys, services and checks come again and again
        self._custom = [pattern for entry in self.custom if (pattern := self._compile(str(entry))) is not None]

    def _compile(self, entry: str) -> re.Pattern[str] | None:
        if entry.startswith("regex:"):
            try:
                return re.compile(entry.removeprefix("regex:"))
            except re.error as error:
                self.problems.append(f"incident_redact: '{entry}' is not a regular expression ({error}); it is used as plain text.")
                entry = entry.removeprefix("regex:")
        if len(entry) < _SHORTEST_CUSTOM:
            self.problems.append(f"incident_redact: an entry of {len(entry)} characters is ignored; give at least {_SHORTEST_CUSTOM}.")
            return None
        return re.compile(re.escape(entry))

    def text(self, text: str) -> str:
        """Return the text without control characters and secrets, cut to `longest` characters."""
        if text in self._harmless:
            return text
        cleaned = self._redacted(clean(text[:_MAX_SCANNED]))
        if len(cleaned) > self.longest or len(text) > _MAX_SCANNED:
            return f"{cleaned[: self.longest]} [{max(len(cleaned), len(text)) - self.longest} more characters cut]"
        if cleaned == text and len(text) <= _REMEMBERED_LENGTH and len(self._harmless) < _REMEMBERED_TEXTS:
            self._harmless.add(text)
        return cleaned

    def _redacted(self, text: str) -> str:
        scanned = text
        lowered = text.lower()
        if _ANY_HINT.search(lowered):
            for rule in RULES:
                if any(hint in lowered for hint in rule.hints):
                    scanned = self._apply(rule, scanned)
            if any(hint in lowered for hint in _ASSIGNMENT_HINTS):
                scanned = self._blank_assignments(scanned)
        for pattern in self._custom:
            scanned, count = pattern.subn(MARK, scanned)
            if count:
                self.removed["incident_redact"] += count
        return scanned

    def _apply(self, rule: Rule, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            self.removed[rule.kind] += 1
            return match.expand(rule.replacement)

        return rule.pattern.sub(replace, text)

    def _blank_assignments(self, text: str) -> str:
        """Blank the values of `password=...` and the like, keeping their quotes."""
        parts: list[str] = []
        position = 0
        while match := _ASSIGNMENT.search(text, position):
            end = _value_end(text, match)
            value = text[match.end() : end]
            parts.append(text[position : match.end()])
            if value and value != MARK and value not in _NOT_A_SECRET:
                self.removed["secret value"] += 1
                value = MARK
            parts.append(value)
            position = end
        return "".join([*parts, text[position:]])

    def value(self, value: Any) -> Any:
        """Return a copy of any value as plain JSON data (dict, list, str, int, float, bool, None), cleaned and without secrets."""
        return self._value(value, secret=False, depth=0)

    def _value(self, value: Any, secret: bool, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if depth > _MAX_DEPTH:
            return "[nested too deeply]"
        if isinstance(value, dict):
            return self._mapping(value, secret, depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._value(item, secret, depth + 1) for item in value]
        if secret and value not in ("", MARK):
            self.removed["secret value"] += 1
            return MARK
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, int):
            return int(value)
        return self.text(str(value))

    def _mapping(self, mapping: dict[Any, Any], secret: bool, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for raw_key, item in mapping.items():
            key = self.text(str(raw_key))
            while key in result:  # two keys may look the same once cleaned; losing one would lose evidence
                key += "'"
            result[key] = self._value(item, secret or is_secret_key(key), depth + 1)
        return result


def _value_end(text: str, match: re.Match[str]) -> int:
    """Find where the value after an assignment ends: at the quote that closes it, however often its text was escaped.

    In a string that was escaped so that its quotes carry k backslashes, one more escaped quote inside it carries 2k+1 of them, and a
    backslash before the closing quote doubles likewise; so the closing quote is the one with k backslashes modulo 2(k+1).
    """
    quote = match.group("quote")
    if not quote:
        bare = _BARE_VALUE.match(text, match.end())
        return bare.end() if bare else match.end()
    slashes = len(match.group("slashes"))
    for found in re.compile(rf"\\*{quote}").finditer(text, match.end()):
        run = len(found.group()) - 1
        if run < slashes:  # the end of a string around it: the value was cut off
            return found.start()
        if run % (2 * (slashes + 1)) == slashes:
            return found.end() - 1 - slashes
    line_end = text.find("\n", match.end())
    return line_end if line_end >= 0 else len(text)


@functools.lru_cache(maxsize=4096)  # thousands of findings have the same few keys
def is_secret_key(key: str) -> bool:
    """Say whether the value under this key of a dictionary is a secret by its name ("login_password", "X-Api-Key")."""
    return bool(_SECRET_KEY.search(key))
