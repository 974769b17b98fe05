# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors that every Python service of this kind meets sooner or later, recognised by SQLSTATE first and by their texts second."""

from __future__ import annotations

import re
from typing import Any

from .logs_record import Record
from .logs_text import masked
from .redact import sample

# A SQLSTATE is the same in every language; the text behind it is translated by lc_messages.
NAME_OF_SQLSTATE = {
    "53300": "db_too_many",
    "28P01": "db_auth",
    "28000": "db_auth",
    "25006": "db_readonly",
    "40P01": "deadlock",
    "53100": "disk_full",
    "08001": "db_refused",
    "08004": "db_refused",
    "08006": "db_refused",
    "57P03": "db_refused",
    "57P01": "db_refused",
    "57P02": "crash",
}

PATTERNS: dict[str, str] = {
    "worker_timeout": r"WORKER TIMEOUT \(pid:",
    "worker_sigkill": r"was sent SIGKILL! Perhaps out of memory",
    "concurrency_limit": r"Exceeded concurrency limit",
    "too_many_files": r"\[Errno 24\]|[Tt]oo many open files|socket\.accept\(\) out of system resource",
    "pool_timeout": r"QueuePool limit of size|\bPoolTimeout\b|couldn't get a connection after|[Pp]ool (?:is )?exhausted|PoolTimeoutError",
    "db_too_many": r"too many clients already|remaining connection slots are reserved|too many connections for (?:role|database)|TooManyConnections",
    "db_refused": (
        r"connection to server at [^:]{1,200} failed: (?:Connection refused|Connection timed out|No route|Connection reset|server closed|timeout)|"
        r"could not connect to server|the database system is (?:starting|shutting|in recovery|not)|server closed the connection unexpectedly|"
        r"ConnectionDoesNotExistError|terminating connection due to|CannotConnectNow|the connection is (?:lost|closed)|connection is bad"
    ),
    # PostgreSQL's own words for SQLSTATE 28P01 and 28000, whatever method pg_hba.conf asks for.
    "db_auth": (
        r"\b(?:password|SCRAM|certificate|LDAP|PAM|RADIUS|GSSAPI|SSPI|Ident|Peer) authentication failed for user|no pg_hba\.conf entry|"
        r"pg_hba\.conf rejects connection|is not permitted to log in|FATAL:\s+role \"[^\"]{1,63}\" does not exist|"
        r"InvalidPassword(?:Error)?\b|InvalidAuthorizationSpecification"
    ),
    "db_readonly": r"cannot execute [A-Z ]+ in a read-only transaction|ReadOnlySqlTransaction|ReadOnlySQLTransactionError",
    "deadlock": r"deadlock detected|DeadlockDetected",
    "redis_oom": r"OOM command not allowed|command not allowed when used memory",
    "redis_error": (
        r"\bMISCONF\b|\bREADONLY You|\bLOADING Redis|Redis is (?:busy|loading)|max number of clients reached|BusyLoadingError|\bReadOnlyError\b|"
        r"Error -?\d+ (?:while )?connecting to|Timeout (?:reading from|connecting to server)|\bredis\.exceptions\.|Connection closed by server"
    ),
    # Clients cut the code off and keep the words.
    "redis_auth": r"\bNOAUTH\b|\bWRONGPASS\b|[Ii]nvalid username-password pair|AuthenticationError\b.{0,60}Authentication required",
    "ext_timeout": r"\b(?:Connect|Read|Write)Timeout(?:Error)?\b|ServerTimeoutError|SocketTimeoutError|Read timed out|[Rr]equest (?:to \S+ )?timed out",
    "ext_error": (
        r"(?:Server|Client) error '\d{3}|\bHTTPStatusError\b|\bConnectError\b|RemoteProtocolError|ClientConnectorError|ServerDisconnectedError|"
        r"Max retries exceeded with url|requests\.exceptions\.(?:ConnectionError|HTTPError)|\d{3} (?:Server|Client) Error: "
    ),
    "dns": (
        r"Name or service not known|Temporary failure in name resolution|No address associated with hostname|nodename nor servname|getaddrinfo failed|"
        r"could not translate host name|failed to resolve host|host not found in upstream|could not be resolved|Name does not resolve|"
        r"\[Errno -[235]\]|Error -[235] connecting"
    ),
    "boot_failure": (
        r"Application startup failed\. Exiting|Worker failed to boot|App failed to load|Failed to find attribute|[Ss]tart-?up failed|"
        r"configuration file .{1,200} contains errors|host not found in upstream|Can't open the .{0,20}config file"
    ),
    "unhandled_exception": r"Exception in ASGI application|[Uu]nhandled exception|[Uu]ncaught exception|Exception on \S+ \[[A-Z]+\]",
    "token_expired": (
        r"ExpiredSignature(?:Error)?\b|[Ss]ignature has expired|ImmatureSignature(?:Error)?\b|InvalidIssuedAt(?:Error)?\b|"
        r"[Tt]oken (?:is not yet valid|has expired|expired)|jwt expired"
    ),
    "disk_full": r"[Nn]o space left on device|\bENOSPC\b|\[Errno 28\]|[Dd]isk (?:is )?full|[Dd]isk quota exceeded",
    "panic": r"\bPANIC:|\bpanic: |data corruption|invalid page in block|page verification failed",
    "crash": (
        r"terminated by signal \d+|exited on signal \d+|[Ss]egmentation fault|core dumped|Fatal Python error|was not properly shut down|REDIS BUG REPORT|"
        r"database system was interrupted"
    ),
}
NAMES = tuple(PATTERNS)
ANY = "|".join(PATTERNS.values())

# The words of a more exact class that a wider one would count again.
_NARROWER = {"redis_error": ("redis_oom", "redis_auth"), "db_refused": ("db_too_many", "db_auth", "dns"), "ext_error": ("dns", "ext_timeout", "redis_error")}
# Only one host is the evidence of a failing call.
_WITH_HOSTS = ("ext_timeout", "ext_error", "dns", "redis_error", "db_refused", "db_too_many")
_HOST = re.compile(
    r"(?:https?://(?:[^/@\s]*@)?|connection to server at \"?|connecting to |reading from |host name \"?|resolve host [\"']?|host=[\"']?)"
    r"([A-Za-z0-9][\w.-]{0,200})"
)
_IMPORT_FAILURES = ("ImportError", "ModuleNotFoundError", "ValidationError", "ImproperlyConfigured", "SettingsError")
MOST_REMEMBERED = 2000
MOST_HOSTS = 10


class KnownErrors:
    """Counts of the known errors. An import or settings error before ``boot_until`` (a timestamp) is a failure to boot."""

    def __init__(self, boot_until: str) -> None:
        self._boot_until = boot_until
        self._counts: dict[str, dict[str, Any]] = {}
        self._remembered: dict[str, tuple[str, ...]] = {}

    def add(self, record: Record, error_class: str, error_text: str, in_window: bool) -> None:
        """Look at one record of level warning or worse, or without a level; ``error_class`` and ``error_text`` are its exception's."""
        for name in self._names(record, error_class, error_text):
            entry = self._counts.setdefault(name, {"count": 0, "baseline": 0, "first": None, "last": None, "sample": "", "hosts": {}})
            if not in_window:
                entry["baseline"] += 1
                continue
            entry["count"] += 1
            entry["first"] = entry["first"] or record.stamp
            entry["last"] = record.stamp
            if not entry["sample"] or entry["count"] & (entry["count"] - 1) == 0:  # the first, and then ever more rarely a later one
                entry["sample"] = text_of(record)
            if name in _WITH_HOSTS:
                host = host_of(record)
                if host and (host in entry["hosts"] or len(entry["hosts"]) < MOST_HOSTS):
                    entry["hosts"][host] = entry["hosts"].get(host, 0) + 1

    def _names(self, record: Record, error_class: str, error_text: str) -> tuple[str, ...]:
        """Names for a record; those of equal texts are remembered, because an error storm repeats itself."""
        booting = record.stamp < self._boot_until and error_class.rpartition(".")[2] in _IMPORT_FAILURES
        parts = (record.sqlstate, error_class, masked(record.message), masked(record.more), masked(error_text), str(booting), str(bool(record.trace)))
        key = "\n".join(parts)
        names = self._remembered.get(key)
        if names is None:
            text = " ".join((record.message, record.more, error_class, record.trace[-1500:]))
            names = names_in(text, record.sqlstate, bool(record.trace), booting)
            if len(self._remembered) < MOST_REMEMBERED:
                self._remembered[key] = names
        return names

    def result(self) -> dict[str, dict[str, Any]]:
        """``{name: {count first last sample baseline hosts}}`` for every name; what was not seen has count 0."""
        empty: dict[str, Any] = {"count": 0, "baseline": 0, "first": None, "last": None, "sample": None, "hosts": {}}
        found = {name: dict(self._counts.get(name, empty)) for name in NAMES}
        for entry in found.values():
            entry["sample"] = sample(entry["sample"]) if entry["sample"] else None
        return found


def names_in(text: str, sqlstate: str, has_trace: bool, booting: bool) -> tuple[str, ...]:
    """Names of the known errors that a text is about."""
    found: set[str] = set()
    if sqlstate in NAME_OF_SQLSTATE:
        found.add(NAME_OF_SQLSTATE[sqlstate])
    # Compiled when the first error comes: a healthy service has none, and all of these take longer than its whole log.
    if re.search(ANY, text):
        found.update(name for name, pattern in PATTERNS.items() if re.search(pattern, text))
    if has_trace:
        found.add("unhandled_exception")
    if booting:
        found.add("boot_failure")
    for wide, narrow in _NARROWER.items():
        if found.intersection(narrow):
            found.discard(wide)
    if "PoolTimeout" in text and "httpx" in text:
        found.discard("pool_timeout")
    return tuple(sorted(found))


def text_of(record: Record) -> str:
    """What a sample shows: the message and, if it adds something, the error behind it."""
    if record.trace:
        return f"{record.message} {record.trace[-300:]}"
    return f"{record.message}: {record.more}" if record.more and record.more not in record.message else record.message


def host_of(record: Record) -> str | None:
    """The host that a failed call was for."""
    for text in (record.url, f"{record.message} {record.more}", record.trace[-1500:]):
        match = _HOST.search(text)
        if match:
            return match.group(1).rstrip(".")
    return None
