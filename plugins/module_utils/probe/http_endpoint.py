# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several probes of one endpoint and what they say together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .http_wire import Answer, Origin
from .redact import sample

# More probes are sent as long as they are this cheap together; a failed or slow one always gets all of them, to tell a flaky endpoint.
CHEAP_S = 0.06
# A first probe that takes longer gets company: three timeouts one after the other would take the whole budget.
PATIENCE_S = 1.0
SLOW_MS = 1000.0
EXCERPT = 500


def several(probe: Callable[[], Answer], most: int, good: Callable[[Answer], bool]) -> list[Answer]:
    """Answers of 1 to ``most`` probes.

    All probes are sent unless the first good ones take long enough to show that asking again is not cheap. Nothing is asked again
    after 429 or a bad certificate: the answer would be the same, and the first is a plea to stop.
    """
    first: list[Answer] = []
    started = time.monotonic()
    thread = threading.Thread(target=lambda: first.append(probe()), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if not first:
        return first_and_company(probe, most, thread, first)
    answers = [first[0]]
    while len(answers) < most and not is_final(answers[-1]):
        settled = all(good(answer) and (answer.total_ms or 0) < SLOW_MS for answer in answers)
        if settled and time.monotonic() - started > CHEAP_S:
            break
        answers.append(probe())
    return answers


def first_and_company(probe: Callable[[], Answer], most: int, running: threading.Thread, first: list[Answer]) -> list[Answer]:
    """The slow first probe and the others, which run while we wait for it."""
    others: list[Answer] = []
    threads = [threading.Thread(target=lambda: others.append(probe()), daemon=True) for _number in range(most - 1)]
    for thread in threads:
        thread.start()
    for thread in [running, *threads]:
        thread.join()
    return first + others


def is_final(answer: Answer) -> bool:
    """Whether asking again is pointless or unwelcome."""
    return answer.status == 429 or answer.error_kind == "tls"


def endpoint(origin: Origin, via: str, path: str, answers: list[Answer], good: Callable[[Answer], bool]) -> dict[str, Any]:
    """ENDPOINT of docs/architecture.md: ``ok`` when most probes were good; ``status`` and ``error`` are those of the last bad one, if any."""
    bad = [answer for answer in answers if not good(answer)]
    shown = bad[-1] if len(bad) * 2 > len(answers) or (bad and len(answers) == 2) else next((a for a in answers if good(a)), answers[-1])
    worst = bad[-1] if bad else shown
    times = [answer.total_ms for answer in answers if answer.total_ms is not None]
    return {
        "url": origin.url + path,
        "via": via,
        "path": path,
        "address": "{}:{}".format(*origin.address) if origin.address else None,
        "ok": shown not in bad,
        "failures": len(bad),
        "count": len(answers),
        "status": shown.status if shown.error_kind is None else None,
        "insecure_status": shown.status if shown.error_kind == "tls" else None,
        "error": worst.error or (f"answered {worst.status}" if bad else None),
        "error_kind": worst.error_kind,
        "verify_error": shown.verify_error,
        "retry_after": sample(shown.headers.get("retry-after", ""), 60) or None,
        "location": sample(shown.headers.get("location", ""), 200) or None,
        "probes": [answer.timings() for answer in answers],
        "median_ms": round(median(times), 1) if times else None,
        "max_ms": max(times) if times else None,
        "body_excerpt": sample(shown.body[: 8 * EXCERPT].decode("utf-8", "replace"), EXCERPT),
    }


def median(values: list[float]) -> float:
    """The middle value; of an even number the mean of the two in the middle. The library's own brings fractions and decimals along."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
