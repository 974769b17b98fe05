# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is what a fresh look sees still what was meant? Pure: the target of a proposal and the look in, one word and one sentence out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .gate_proposals import seconds_between
from .shapes import mapping
from .text import one_line, plural

SAME = "same"  # as it was seen, and it may be changed
DONE = "done"  # there is nothing to do any more
OTHER = "other"  # something else stands in its place, or it must not be changed
# The engine tells microseconds that it drops elsewhere.
SAME_MOMENT_S = 0.001


@dataclass(frozen=True)
class Seen:
    """``state`` is SAME, DONE or OTHER; the sentence names the target and says why."""

    state: str
    sentence: str


def classify(identity: str, target: Mapping[str, Any], look: Any, options: Mapping[str, Any]) -> Seen:
    """What a look means for a target. ``options`` are what the statement itself will be given (least times, protected roles, flags)."""
    return _KINDS[identity](target, look, options)


def _label(target: Mapping[str, Any], look: Mapping[str, Any]) -> str:
    who = one_line(str(look.get("app") or "an unnamed application"))[:60]
    return f"session {target.get('pid')} of {who} ({one_line(str(look.get('user') or '?'))[:60]})"


def _whose(target: Mapping[str, Any], look: Mapping[str, Any], options: Mapping[str, Any]) -> Seen | None:
    """OTHER for a session that nobody may touch, or that is not the one that was meant; None when it may be changed."""
    label = _label(target, look)
    wanted, found = target.get("backend_start"), look.get("backend_start")
    if wanted and seconds_between(wanted, found) != 0.0:
        return Seen(OTHER, f"process id {target.get('pid')} was given to another session, which started {found}, not {wanted}; run triage again")
    if look.get("backend_type") != "client backend":
        return Seen(OTHER, f"{label} is a {one_line(str(look.get('backend_type')))} of the server and no client; a person has to decide about it")
    if look.get("own"):
        return Seen(OTHER, f"{label} is the session that looks; run triage again")
    if look.get("superuser"):
        return Seen(OTHER, f"{label} belongs to a superuser, who is never interrupted by a runbook; ask that person")
    if look.get("user") in (options.get("protected") or []):
        return Seen(OTHER, f"{label} belongs to a role of incident_protected_roles; ask its owner")
    return None


def session(target: Mapping[str, Any], look: Any, options: Mapping[str, Any]) -> Seen:
    """A session that blocks others, told apart by process id and start."""
    if not isinstance(look, Mapping) or not look:
        return Seen(DONE, f"session {target.get('pid')} is gone")
    if not target.get("backend_start"):
        return Seen(OTHER, f"nothing tells when session {target.get('pid')} started, and a process id alone may be used again; run triage again")
    whose = _whose(target, look, options)
    if whose:
        return whose
    label, state = _label(target, look), str(look.get("state"))
    if not look.get("blocked"):
        return Seen(DONE, f"{label} blocks nobody any more")
    if look.get("blocked_by"):
        return Seen(OTHER, f"{label} waits for somebody else and is not at the front of the queue; run triage again")
    if state == "active" and not options.get("active"):
        return Seen(OTHER, f"{label} is at work and may end by itself; to end it all the same set terminate_pg_blocker_active=true")
    idle_s, least_s = float(look.get("state_age_s") or 0), float(options.get("min_idle_s") or 0)
    if state != "active" and idle_s < least_s:
        return Seen(OTHER, f"{label} is idle for only {idle_s:g} s; wait until it is {least_s:g} s, then run this again")
    return Seen(SAME, f"{label} at {one_line(str(look.get('client')))}, {state} for {idle_s:g} s, blocks {plural(int(look['blocked']), 'session')}")


def query(target: Mapping[str, Any], look: Any, options: Mapping[str, Any]) -> Seen:
    """A running query: the one that its session runs since before the triage looked."""
    if not isinstance(look, Mapping) or not look:
        return Seen(DONE, f"session {target.get('pid')} is gone, and its query with it")
    whose = _whose(target, look, options)
    if whose:
        return whose
    label = _label(target, look)
    if look.get("state") != "active":
        return Seen(DONE, f"{label} runs no query any more")
    age_s, least_s = float(look.get("query_age_s") or 0), float(options.get("least_query_s") or 0)
    if age_s < least_s:
        return Seen(DONE, f"{label} runs another query by now, since {age_s:g} s")
    if options.get("waiting") and not look.get("waits"):
        return Seen(DONE, f"the query of {label} does not wait any more")
    return Seen(SAME, f"{label} at {one_line(str(look.get('client')))} runs its query for {age_s:g} s")


def sessions(target: Mapping[str, Any], look: Any, options: Mapping[str, Any]) -> Seen:
    """The idle sessions of one client."""
    found = mapping(look)
    name = one_line(str(target.get("app") or "an unnamed application"))[:60]
    label = f"{name} at {one_line(str(target.get('client')))}"
    if target.get("client") is None:
        return Seen(OTHER, "nothing tells whose sessions are meant; run triage again")
    if not found.get("idle"):
        return Seen(DONE, f"{label} has no idle session any more")
    used, least = float(found.get("used_pct") or 0), float(options.get("least_used_pct") or 0)
    if used < least:
        return Seen(DONE, f"{used:g} % of the connection slots are used, and below {least:g} % nobody's sessions are ended")
    if not found.get("old"):
        return Seen(OTHER, f"no session of {label} is idle for {float(options.get('min_idle_s') or 0):g} s yet; wait, or lower terminate_pg_idle_min_idle_s")
    at_most = min(int(options.get("most") or 50), (int(found["idle"]) + 1) // 2, int(found["old"]))
    return Seen(SAME, f"{label} has {plural(int(found['idle']), 'idle session')}; the {at_most} idle for longest would end")


def container(target: Mapping[str, Any], look: Any, options: Mapping[str, Any]) -> Seen:
    """A container, told apart by its id and by when it was started. ``look`` is what the engine's inspect says, empty without one."""
    found = mapping(look)
    name = one_line(str(target.get("container") or found.get("Name") or "?")).lstrip("/")
    if not found:
        return Seen(OTHER, f"there is no container {name} on this machine; create it again from where it is declared")
    state = mapping(found.get("State"))
    status, started = one_line(str(state.get("Status"))), state.get("StartedAt")
    wanted = target.get("container_id")
    if wanted and not str(found.get("Id") or "").startswith(str(wanted)):
        return Seen(OTHER, f"container {name} is another one than the triage saw, it was made again meanwhile; run triage again")
    if status == "paused":
        return Seen(OTHER, f"container {name} is paused, somebody stopped it for a moment; ask, then: docker unpause {name}")
    if status not in ("running", "exited", "created", "dead"):
        return Seen(OTHER, f"container {name} is {status}; wait until that ended, then run triage again")
    moved = seconds_between(target.get("started_at"), started)
    again = target.get("started_at") is not None and moved is not None and moved > SAME_MOMENT_S
    if status == "running":
        if options.get("only_when_stopped"):
            return Seen(DONE, f"container {name} is running")
        if again:
            return Seen(DONE, f"container {name} was started again at {started}, after the triage")
        return Seen(SAME, f"container {name}, running since {started}")
    if again:
        return Seen(OTHER, f"container {name} was started again after the triage and is {status} once more, so another start will not help; run triage again")
    return Seen(SAME, f"container {name}, {status} with exit code {state.get('ExitCode')} since {state.get('FinishedAt')}")


_KINDS: dict[str, Callable[[Mapping[str, Any], Any, Mapping[str, Any]], Seen]] = {
    "session": session,
    "query": query,
    "sessions": sessions,
    "container": container,
}
