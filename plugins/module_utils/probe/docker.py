# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of the Docker Engine API over its unix socket: reads, bounded log streams, and exec of a plain argv.

Engines 20.10 to 29 answer. The client speaks the engine's own API version, at most 1.45 and at least 1.24, taken from the
unversioned ``/_ping``. Whatever goes wrong becomes a :class:`SourceError` with one sentence for the reader of the report.
"""

from __future__ import annotations

import getpass
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from .context import Container, SourceError

DEFAULT_SOCKET = "/var/run/docker.sock"
NEWEST_API = (1, 45)
BODY_LIMIT = 16 * 1024 * 1024
CHUNK = 65536
LINE_LIMIT = 16 * 1024


class DockerError(SourceError):
    """The engine answered with an error; ``status`` is its HTTP status, ``message`` its own words."""

    def __init__(self, kind: str, reason: str, status: int = 0, message: str = "") -> None:
        super().__init__(kind, reason)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class ExecResult:
    """What a command in a container answered; ``exit_code`` is None when the engine does not know it yet."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    truncated: bool


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self.socket_path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.socket_path)


def socket_path(environment: dict[str, str] | None = None) -> str:
    """Path of the engine's socket: that of DOCKER_HOST when it is a unix one, else the default."""
    host = (os.environ if environment is None else environment).get("DOCKER_HOST", "")
    return host[len("unix://") :] if host.startswith("unix://") else DEFAULT_SOCKET


class LogStream:
    """Iterates over ``(stream, line)`` of a container's log: stream is ``stdout`` or ``stderr``, line is bytes without newline.

    Stops at ``max_bytes`` or at the deadline and says so in ``truncated``. Lines are cut at 16 KiB.
    """

    def __init__(self, response: http.client.HTTPResponse, close: Any, max_bytes: int, deadline: float, tty: bool) -> None:
        self._response = response
        self._close = close
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._tty = tty
        self.bytes = 0
        self.truncated = False

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        pending = {"stdout": b"", "stderr": b""}
        try:
            for stream, payload in self._payloads():
                lines = (pending[stream] + payload).split(b"\n")
                pending[stream] = lines.pop()[:LINE_LIMIT]
                for line in lines:
                    yield stream, line[:LINE_LIMIT].rstrip(b"\r")
            for stream, rest in pending.items():
                if rest:
                    yield stream, rest
        finally:
            self._close()

    def _payloads(self) -> Iterator[tuple[str, bytes]]:
        """The stream's pieces, taken out of the engine's frames unless the container has a terminal."""
        buffer = b""
        for chunk in self._chunks():
            if self._tty:
                yield "stdout", chunk
                continue
            buffer += chunk
            position = 0
            while len(buffer) - position >= 8:
                size = int.from_bytes(buffer[position + 4 : position + 8], "big")
                if len(buffer) - position - 8 < size:
                    break
                name = "stderr" if buffer[position] == 2 else "stdout"
                yield name, buffer[position + 8 : position + 8 + size]
                position += 8 + size
            buffer = buffer[position:]

    def _chunks(self) -> Iterator[bytes]:
        while True:
            if time.monotonic() > self._deadline or self.bytes >= self._max_bytes:
                self.truncated = True
                return
            try:
                chunk = self._response.read1(CHUNK)
            except (OSError, http.client.HTTPException):
                self.truncated = True
                return
            if not chunk:
                return
            self.bytes += len(chunk)
            yield chunk


class DockerClient:
    """One per probe; every call opens its own connection, so threads need no lock."""

    def __init__(self, path: str | None = None, timeout_s: float = 5.0) -> None:
        self.path = path or socket_path()
        self.timeout_s = timeout_s
        self._version: str | None = None
        self._error: SourceError | None = None
        self._guard = threading.Lock()
        self.ping_ms: float | None = None

    # -- the engine ------------------------------------------------------------------------------------------------

    def version(self) -> str:
        """API version to speak, ``1.41``; asked once, an engine that does not answer is remembered too."""
        with self._guard:
            if self._error is not None:
                raise self._error
            if self._version is None:
                try:
                    self._version = self._ping()
                except SourceError as error:
                    self._error = error
                    raise
            return self._version

    def _ping(self) -> str:
        started = time.monotonic()
        response, connection = self._request("GET", "/_ping", self.timeout_s)
        try:
            response.read(1024)
            self.ping_ms = round((time.monotonic() - started) * 1000, 1)
            return spoken_version(response.getheader("Api-Version"))
        finally:
            connection.close()

    # -- reads -----------------------------------------------------------------------------------------------------

    def get_json(self, path: str, query: dict[str, Any] | None = None, timeout_s: float | None = None) -> Any:
        """The JSON document behind ``GET path``; query values that are no text are sent as JSON (``filters``)."""
        return self._json("GET", path, query, None, timeout_s)

    def inspect(self, container: str) -> dict[str, Any]:
        """``GET /containers/<name or id>/json``; DockerError ``absent`` with status 404 when there is no such container."""
        try:
            document: dict[str, Any] = self.get_json(f"/containers/{quote(container, safe='')}/json")
        except DockerError as error:
            if error.status != 404:
                raise
            sentence = f"there is no container {container} on this machine; start it, or correct its name in incident_services"
            raise DockerError("absent", sentence, 404, error.message) from None
        return document

    def events(self, since: float, until: float, filters: dict[str, list[str]] | None = None) -> list[dict[str, Any]]:
        """Events between two epochs, oldest first. Without ``until`` the engine would never stop answering."""
        query = {"since": f"{since:.3f}", "until": f"{until:.3f}", "filters": filters or {}}
        connection, body = self._body("GET", "/events", query, None, None)
        connection.close()
        return [json.loads(line) for line in body.splitlines() if line.strip()]

    def logs(
        self, container: Container, since: float, until: float | None = None, tail: int = 200000, max_bytes: int = BODY_LIMIT, timeout_s: float = 15.0
    ) -> LogStream:
        """The container's log since an epoch, each line with the engine's own timestamp in front; iterate over it.

        DockerError (kind ``unsupported``) when the logging driver can't be read.
        """
        query = {"stdout": 1, "stderr": 1, "timestamps": 1, "since": f"{since:.3f}", "tail": tail}
        if until is not None:
            query["until"] = f"{until:.3f}"
        path = f"/v{self.version()}/containers/{quote(container.id, safe='')}/logs?{urlencode(query)}"
        deadline = time.monotonic() + timeout_s
        response, connection = self._request("GET", path, timeout_s)
        if response.status != 200:
            raise _answered(path, response, connection)
        tty = bool((container.inspect.get("Config") or {}).get("Tty"))
        return LogStream(response, connection.close, max_bytes, deadline, tty)

    # -- exec: only for plain binaries, never an interpreter -----------------------------------------------------------

    def exec_argv(
        self, container: Container, argv: list[str], user: str = "", environment: list[str] | None = None, timeout_s: float = 5.0, max_bytes: int = BODY_LIMIT
    ) -> ExecResult:
        """Run ``argv`` in the container and return what it printed. The last way to ask: it needs memory and a free pid there."""
        deadline = time.monotonic() + timeout_s
        wanted = {"AttachStdout": True, "AttachStderr": True, "Cmd": argv, "User": user, "Env": environment or []}
        created = self._json("POST", f"/containers/{quote(container.id, safe='')}/exec", None, wanted, timeout_s)
        path = f"/v{self.version()}/exec/{created['Id']}/start"
        response, connection = self._request("POST", path, max(0.05, deadline - time.monotonic()), {"Detach": False, "Tty": False})
        if response.status != 200:
            raise _answered(path, response, connection)
        stream = LogStream(response, connection.close, max_bytes, deadline, tty=False)
        parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        try:
            for name, payload in stream._payloads():
                parts[name].append(payload)
        finally:
            connection.close()
        ended = {} if stream.truncated else self.get_json(f"/exec/{created['Id']}/json")
        return ExecResult(ended.get("ExitCode"), b"".join(parts["stdout"]), b"".join(parts["stderr"]), stream.truncated)

    # -- wire ------------------------------------------------------------------------------------------------------

    def _json(self, method: str, path: str, query: dict[str, Any] | None, body: Any, timeout_s: float | None) -> Any:
        connection, text = self._body(method, path, query, body, timeout_s)
        connection.close()
        try:
            return json.loads(text.decode("utf-8", "replace"))
        except ValueError:
            raise SourceError("error", f"the Docker engine answered {path} with something that is not JSON; is {self.path} really its socket?") from None

    def _body(self, method: str, path: str, query: dict[str, Any] | None, body: Any, timeout_s: float | None) -> tuple[http.client.HTTPConnection, bytes]:
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (query or {}).items()}
        full = f"/v{self.version()}{path}" + (f"?{urlencode(texts)}" if texts else "")
        response, connection = self._request(method, full, timeout_s or self.timeout_s, body)
        if response.status >= 300:
            raise _answered(path, response, connection)
        try:
            return connection, response.read(BODY_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._failed(error, path) from None

    def _request(self, method: str, path: str, timeout_s: float, body: Any = None) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        connection = _UnixConnection(self.path, timeout_s)
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if payload else {}
        try:
            connection.request(method, path, payload, headers)
            return connection.getresponse(), connection
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._failed(error, path) from None

    def _failed(self, error: Exception, path: str) -> SourceError:
        """The sentence for an engine that could not be asked."""
        if isinstance(error, socket.timeout):
            return SourceError("timeout", f"the Docker engine did not answer {path.partition('?')[0]} within {self.timeout_s:g} s; look at the docker service")
        if isinstance(error, PermissionError):
            return SourceError("permission", f"permission denied on {self.path} for user {_user()}; add it to the docker group or use become")
        if isinstance(error, FileNotFoundError):
            return SourceError("absent", f"there is no Docker socket {self.path}; install or start Docker, or set DOCKER_HOST to its unix socket")
        if isinstance(error, ConnectionRefusedError):
            return SourceError("refused", f"nobody listens on {self.path}; start the docker service")
        return SourceError("error", f"the Docker engine could not be asked through {self.path}: {error}")


def spoken_version(offered: str | None) -> str:
    """The API version to speak with an engine that offers ``offered`` in its ``Api-Version`` header."""
    try:
        major, minor = (int(part) for part in (offered or "").split("."))
    except ValueError:
        raise SourceError("unsupported", f"the socket answers with API version {offered!r}, which is no Docker engine's") from None
    newest = min((major, minor), NEWEST_API)
    return f"{newest[0]}.{newest[1]}"


def _answered(path: str, response: http.client.HTTPResponse, connection: http.client.HTTPConnection) -> DockerError:
    """The error for an answer that is none, with the engine's own message."""
    try:
        text = response.read(CHUNK).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    finally:
        connection.close()
    try:
        message = str(json.loads(text).get("message") or "")
    except (ValueError, AttributeError):
        message = text.strip()[:200]
    kind = {403: "permission", 404: "absent", 501: "unsupported"}.get(response.status, "error")
    if "does not support reading" in message:
        kind = "unsupported"
    return DockerError(kind, f"the Docker engine refused {path.partition('?')[0]} with {response.status}: {message}", response.status, message)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid())
