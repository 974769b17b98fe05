# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gets the logs of a machine's containers to the controller: one remote call that writes nothing there."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.sre.incident_response.plugins.module_utils.probe.fetch import BLOCK, SCHEMA
from ansible_collections.sre.incident_response.plugins.module_utils.probe.logs_stream import LONGEST_LINE, Line
from ansible_collections.sre.incident_response.plugins.plugin_utils.collector import (
    PACKED_PROBE,
    WAY_S,
    Collector,
    explained,
    one_sentence,
    starting,
    time_limit,
)
from ansible_collections.sre.incident_response.plugins.plugin_utils.evidence import UnreadableAnswerError

BUDGET_S = 120.0
# A block ends with the line that fills it; timestamps come on top.
_LARGEST_BLOCK = 4 * (BLOCK + LONGEST_LINE)


@dataclass(frozen=True)
class ServiceLog:
    """The log of one service: what the machine said about it, and its lines, still packed."""

    header: dict[str, Any]
    blocks: list[str]

    def lines(self) -> Iterator[Line]:
        """Oldest first, those of both streams in the order in which they were written; UnreadableAnswerError for a block that is none."""
        for block in self.blocks:
            for text in _unpacked(block).split(b"\n")[:-1]:
                stamp, _blank, rest = text[1:].partition(b" ")
                yield Line(stamp.decode("ascii", "replace"), 2 if text[:1] == b"2" else 1, rest)


@dataclass(frozen=True)
class Answer:
    """What a machine answered. ``header``: ``now since until assumptions``, times by its own clock."""

    header: dict[str, Any]
    services: list[ServiceLog]


class LogFetcher(Collector):
    """The way of the collector, for logs; needs no workspace, because nothing of it belongs to a run's record."""

    def __init__(self, action: Any, task_vars: Mapping[str, Any]) -> None:
        self.action = action
        self.task_vars = task_vars
        self.host = str(task_vars["inventory_hostname"])

    def fetch(self, wanted: dict[str, Any]) -> Answer:
        """The answer to a request of the probe's ``fetch``.

        Raises UnreadableAnswerError, CallTimeoutError, or what Ansible raises for a machine that can't be reached.
        """
        request = {**wanted, "options": {"budget_s": BUDGET_S}, "token": secrets.token_hex(8), "entry": "fetch"}
        with time_limit(BUDGET_S + WAY_S):
            return parse_answer(self._logs_over_stdin(request) if self._takes_stdin() else self._logs_packed(request))

    def _logs_over_stdin(self, request: dict[str, Any]) -> str:
        interpreter = self.interpreter()
        result = self.action._low_level_execute_command(starting(interpreter), in_data=self._program(interpreter, request, "fetch"), sudoable=True)
        text = between_marks(str(result["stdout"]), request["token"])
        if text is not None:
            return text
        if self.action._connection.become is not None and "tty" in str(result["stderr"]):
            return self._logs_packed(request)
        raise UnreadableAnswerError(explained("the probe handed over no logs", result))

    def _logs_packed(self, request: dict[str, Any]) -> str:
        arguments = {"request": json.dumps(request)}
        result = self.action._execute_module(module_name=PACKED_PROBE, module_args=arguments, task_vars=dict(self.task_vars))
        if isinstance(result.get("logs"), str):
            return str(result["logs"])
        complaint = one_sentence(result.get("module_stderr") or result.get("msg") or "no message")
        raise UnreadableAnswerError(f"the packed probe handed over no logs: {complaint}")


def between_marks(stdout: str, token: str) -> str | None:
    """The answer between the marks that carry the request's token; None when it is not complete."""
    mark = f"sre-logs-{token}"
    _before, opened, rest = stdout.partition(f"<{mark}>")
    text, closed, _after = rest.rpartition(f"</{mark}>")
    return text if opened and closed else None


def parse_answer(text: str) -> Answer:
    """The lines of an answer, taken apart; UnreadableAnswerError when they are none of this version."""
    lines = iter([line for line in text.split("\n") if line.strip()])
    try:
        header = json.loads(next(lines))
        if header["schema"] != SCHEMA:
            raise UnreadableAnswerError("the probe's answer holds no logs of this version")
        services = []
        for _number in range(int(header["services"])):
            about = dict(json.loads(next(lines)))
            services.append(ServiceLog(about, [next(lines) for _block in range(int(about["blocks"]))]))
    except StopIteration:
        raise UnreadableAnswerError("the probe's answer was cut off") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableAnswerError(f"the probe's answer is damaged: {error}") from None
    return Answer(dict(header), services)


def _unpacked(block: str) -> bytes:
    """A block's lines; a machine that packs gigabytes into a few bytes does not fill our memory."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(base64.b64decode(block, validate=True), _LARGEST_BLOCK)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise UnreadableAnswerError(f"the probe's answer is damaged: {error}") from None
    if unpacker.unconsumed_tail:
        raise UnreadableAnswerError("the probe's answer is damaged: a block is too large")
    return text
