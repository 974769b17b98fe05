# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts that no single source tells: they compare several sources or several services. Pure.

``None`` means that it can't be told, never that all is well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .expressions import epoch, iso_time
from .findings import clean_text
from .shapes import items, mapping, source_data, texts

if TYPE_CHECKING:
    from .estate import Estate, Service

# Containers of one `docker compose up` or playbook are created within seconds; one that is this much younger than another one it works
# with was created again.
RECREATED_GAP_S = 60.0
# A new release answers its first requests at once, and clocks of log lines and of the engine differ a little.
ONSET_BEFORE_S = 30.0
ONSET_AFTER_S = 1800.0
# Fewer failed requests than this may be anybody's mistake.
FEW_ERRORS = 3
# Shorter pauses are those of clients that wait before they ask again.
OVER_AFTER_S = 45.0
OVER_WHEN_DUE = 5.0
# As http.latency judges a route.
SLOW_MS = 2000.0
ROUTE_REQUESTS = 20
RECENT_REQUESTS = 10

# Errors that say which *other* part failed, the server around the code among them. A new error of this sort is no evidence against a new release.
OF_SOMETHING_ELSE = re.compile(
    r"too many clients|remaining connection slots|too many connections|lock timeout|lock_timeout|statement timeout|deadlock|QueuePool|PoolTimeout|pool timeout"
    r"|couldn't get a connection|connection (?:refused|reset|timed? ?out|is closed|closed|failed|lost)|could ?n[o']t? connect|server closed the connection"
    r"|terminating connection|OperationalError|InterfaceError|AdminShutdown|password authentication|read-only transaction|No space left|Errno \d+"
    r"|OOM command|OutOfMemoryError|MISCONF|READONLY|LOADING|BUSY |max number of clients|NOAUTH|WRONGPASS|AuthenticationError|Authentication required"
    r"|too many open files|start new thread"
    r"|Application startup failed|failed to boot|failed to load|Shutting down: Master|Worker \(pid|WORKER TIMEOUT|was sent SIG|SIGKILL|SIGABRT|SIGTERM"
    r"|ConnectTimeout|ReadTimeout|ConnectError|ReadError|timed? ?out|TimeoutError|HTTPStatusError|Service Unavailable|Bad Gateway|Gateway Time"
    r"|status(?:_code)?[ =:]+(?:429|5\d\d)|\b50[234]\b|Name or service not known|name resolution|getaddrinfo|certificate|SSL",
    re.IGNORECASE,
)
# The sources that each fact is made of, so that a role that runs alone collects them.
SOURCES_OF = {
    "proxy_only": ("http",),
    "upstream_ip_stale": ("http", "logs", "container"),
    "upstream_other": ("logs", "container"),
    "upstream_port": ("http", "logs", "container"),
    "deploy": ("container", "logs", "http", "changes"),
    "failing": ("http", "logs"),
    "felt": ("http", "logs"),
    "waited_for": ("logs",),
    "new_bugs": ("logs",),
    "changes": ("changes", "container"),
    "networks_shared": ("container",),
}
_CERTIFICATE = re.compile(r"\.(?:pem|crt|cer|key)\b")
_NETWORK_ID = re.compile(r"^[0-9a-f]{12,64}$")
_ADDRESS = re.compile(r"(?:https?://)?(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?")


def derive(estate: Estate, service: Service) -> dict[str, Any]:
    """``derived`` of one service as docs/architecture.md lists it."""
    return {
        "dependencies": {node.name: {"kind": node.kind, "host": node.host} for node in estate.calls(service.node)},
        "callers": [node.name for node in estate.callers(service.node)],
        "path": path_sentence(estate, service),
        "proxy_only": proxy_only(estate, service),
        "upstream_ip_stale": upstream_ip_stale(estate, service),
        "upstream_other": upstream_other(estate, service),
        "upstream_port": upstream_port(estate, service),
        "failing": failing(estate, service),
        "felt": felt(estate, service),
        "waited_for": waited_for(estate, service),
        "new_bugs": new_bugs(estate, service),
        "changes": changes(estate, service),
        "deploy": deploy(estate, service),
        "networks_shared": networks_shared(estate, service),
    }


def path_sentence(estate: Estate, service: Service) -> str:
    """From the users to this service and on to what it calls: ``proxy -> backend -> db, redis``."""
    chain = [service.name]
    node = service.node
    while True:
        callers = [caller for caller in estate.callers(node) if caller.name not in chain]
        if not callers:
            break
        node = callers[0]
        chain.insert(0, node.name)
    below = ", ".join(sorted(callee.name for callee in estate.calls(service.node)))
    return clean_text(" -> ".join([*chain, below] if below else chain))


# -- proxy -------------------------------------------------------------------------------------------------------------------------


def endpoint(service: Service, name: str) -> dict[str, Any]:
    """One endpoint that the probe asked, empty when it was not asked."""
    return mapping(mapping(service.data("http").get("endpoints")).get(name))


def proxy_only(estate: Estate, service: Service) -> bool | None:
    """True when the path through this proxy fails while every backend behind it answers when it is asked itself."""
    if service.kind != "nginx":
        return None
    own = endpoint(service, "live")
    backends = [other for other in estate.services_at(estate.calls(service.node)) if other.kind == "fastapi"]
    answers = [bool((endpoint(backend, "direct") or endpoint(backend, "live")).get("ok")) for backend in backends]
    if not own or not backends or not all(endpoint(backend, "direct") or endpoint(backend, "live") for backend in backends):
        return None
    # A failed handshake or name never got as far as the backend: that is tls.* or dns.*.
    return not own.get("ok") and own.get("error_kind") not in ("tls", "dns") and all(answers)


def upstream_ip_stale(estate: Estate, service: Service) -> dict[str, Any] | None:
    """Whether nginx goes to addresses that no container behind it has (any more).

    The error log tells whom it does not reach. While the way through the proxy fails the newest requests tell more: somebody else may
    have the address now and answer.
    """
    if service.kind != "nginx":
        return None
    behind = estate.services_at(estate.calls(service.node))
    current = sorted({ip for other in behind for ip in _ips(other)})
    errlog = mapping(service.data("logs").get("errlog"))
    refused = [upstream for kind in ("connect_refused", "timed_out") for upstream in texts(mapping(errlog.get(kind)).get("upstreams"))]
    newest = [(ip, port) for ip, port in _newest_upstreams(estate, service) if _neighbours(ip, current)]
    seen = {ip for ip, _port in newest or _addresses(refused)}
    if not current or not errlog:
        return None
    return {"stale": bool(seen) and not seen & set(current), "seen": sorted(seen), "current": current}


def upstream_port(estate: Estate, service: Service) -> dict[str, Any] | None:
    """Whether nginx goes to ports on which none of its backends is declared or listens, while only the way through it fails."""
    newest = _newest_upstreams(estate, service)
    behind = estate.services_at(estate.calls(service.node))
    right = sorted({port for other in behind if other.kind == "fastapi" for port in _ports(other)})
    if not newest or not right:
        return None
    seen = sorted({f"{ip}:{port}" for ip, port in newest if port})
    return {"wrong": bool(seen) and not {port for _ip, port in newest} & set(right), "seen": seen, "right": right}


def upstream_other(estate: Estate, service: Service) -> dict[str, Any] | None:
    """Which services that are not its backends answer nginx's newest requests, while none of its backends does.

    At a backend's port it is an address that somebody else has now: upstream_ip_stale tells that.
    """
    behind = estate.services_at(estate.calls(service.node))
    current = {ip for other in behind for ip in _ips(other)}
    newest = _addresses(texts(mapping(service.data("logs").get("access")).get("newest_upstreams")))
    if service.kind != "nginx" or not current or not newest:
        return None
    right = {port for other in behind for port in _ports(other)}
    apart = [] if any(ip in current for ip, _port in newest) else [(ip, port) for ip, port in newest if port and port not in right]
    owners = {other.name for other in estate.services for ip, _port in apart if other.host == service.host and ip in _ips(other)}
    return {"others": sorted(owners), "seen": sorted({f"{ip}:{port}" for ip, port in apart}), "current": sorted(current)}


def _newest_upstreams(estate: Estate, service: Service) -> list[tuple[str, int | None]]:
    """Address and port of the newest requests, as long as only the way through this proxy fails."""
    if service.kind != "nginx" or not proxy_only(estate, service):
        return []
    return _addresses(texts(mapping(service.data("logs").get("access")).get("newest_upstreams")))


def _addresses(upstreams: Iterable[str]) -> list[tuple[str, int | None]]:
    found = [match for match in map(_ADDRESS.match, upstreams) if match]
    return [(match.group(1), int(match.group(2)) if match.group(2) else None) for match in found]


def _neighbours(ip: str, others: Iterable[str]) -> bool:
    """Whether the address is of a network like those of the others; the engine's networks differ in the first two numbers."""
    return any(ip.split(".")[:2] == other.split(".")[:2] for other in others)


def _ports(service: Service) -> set[int]:
    """Every port at which a backend may rightly be called: its own, published ones, and those that its processes listen on."""
    container = service.data("container")
    mapped = items(container.get("ports"))
    ports = [container.get("port"), *(entry.get(key) for entry in mapped for key in ("port", "host_port")), service.spec.get("port")]
    ports += [listener.get("port") for listener in items(service.data("process").get("listeners"))]
    return {int(port) for port in ports if isinstance(port, int) or (isinstance(port, str) and port.isdigit())}


def _networks(service: Service) -> dict[str, dict[str, Any]]:
    return {name: mapping(network) for name, network in mapping(service.data("container").get("networks")).items()}


def _ips(service: Service) -> set[str]:
    return {str(network["ip"]) for network in _networks(service).values() if network.get("ip")}


def networks_shared(estate: Estate, service: Service) -> dict[str, Any] | None:
    """Dependencies in running containers of the same machine with which this container shares no Docker network."""
    own = set(_networks(service))
    if not own or "host" in own:
        return None
    apart = []
    for other in estate.services_at(estate.calls(service.node)):
        if other.host != service.host or not other.data("container").get("running"):
            continue
        theirs = set(_networks(other))
        if "host" not in theirs and not own & theirs:
            apart.append(other.name)
    return {"apart": sorted(apart), "own": sorted(own)}


# -- deploy ------------------------------------------------------------------------------------------------------------------------


def deploy(estate: Estate, service: Service) -> dict[str, Any] | None:
    """Whether the container is a new one in an old place, and whether errors began with it.

    ``kind``: ``release`` (another image than before), ``recreate`` (the same image, or nobody knows), ``first`` (as old as what it works
    with: the stack was started then). ``onset_after_s`` is signed: a deploy after the first errors is a reaction to them.
    """
    container = service.data("container")
    created = epoch(container.get("created_at"))
    if created is None or not container.get("created_at"):
        return None
    machine = estate.machines[service.host]
    told = _told_change(estate, service)
    kind = _deploy_kind(estate, service, created, told)
    onset = _onset(estate, service)
    after = None if onset is None else round(onset - created, 1)
    return {
        "kind": kind,
        # Somebody saw its predecessor with this very image: no new code, so whatever is new comes from settings or from around it.
        "same_image": told.get("kind") == "recreate",
        "created_at": iso_time(created),
        "age_s": round(max(0.0, machine.now - created), 1),
        "onset": iso_time(onset),
        "onset_after_s": after,
        "correlated": kind != "first" and after is not None and -ONSET_BEFORE_S <= after <= ONSET_AFTER_S,
        "run_options": run_options(service),
        "previous_image": told.get("previous_image"),
        "previous_image_id": told.get("previous_image_id"),
        "previous_version": told.get("previous_version"),
    }


def _told_change(estate: Estate, service: Service) -> dict[str, Any]:
    """What is known about the container's predecessor: from the engine's events, else from an earlier run's evidence.

    The engine knows the very container before this one; an earlier run may have seen one long before that.
    """
    remembered = estate.previous.get(service.node) or {}
    for change in _told_changes(estate, service):
        # Without an image before, nobody has seen a predecessor: it may be the first one there.
        if change["kind"] in ("deploy", "recreate") and change["previous_image"]:
            if change["kind"] == "recreate":
                return {"kind": "recreate"}
            more = remembered if remembered.get("previous_image") == change["previous_image"] else {}
            return {**more, "kind": "release", "previous_image": change["previous_image"]}
    return remembered


def _deploy_kind(estate: Estate, service: Service, created: float, told: dict[str, Any]) -> str:
    if told.get("kind"):
        return str(told["kind"])
    for other in estate.services_at([*estate.calls(service.node), *estate.callers(service.node)]):
        theirs = epoch(other.data("container").get("created_at")) if other.host == service.host else None
        if theirs is not None and created - theirs >= RECREATED_GAP_S:
            return "recreate"
    return "first"


def _onset(estate: Estate, service: Service) -> float | None:
    """When errors began: in its own log, else in the log of the nearest caller that noticed."""
    own = epoch(service.data("logs").get("onset"))
    if own is not None:
        return own
    callers = estate.services_at(estate.callers(service.node))
    return min((onset for caller in callers if (onset := epoch(caller.data("logs").get("onset"))) is not None), default=None)


def new_bugs(estate: Estate, service: Service) -> list[dict[str, Any]]:
    """New error signatures that point at the service's own code: not at a database, a cache, the network or another API.

    A request that meets a bug is answered with 500. Where the requests are known and none was, the errors are those of something in the
    background, or somebody else's text in the log: that is noise, and no reason to go back to an old release.
    """
    if service.kind != "fastapi" or answered_500(estate, service) is False:
        return []
    found = []
    for signature in items(service.data("logs").get("signatures")):
        text = f"{signature.get('signature') or ''} {signature.get('sample') or ''}"
        if signature.get("new") and not OF_SOMETHING_ELSE.search(text[:2000]):
            found.append(
                {
                    "signature": clean_text(signature.get("signature") or ""),
                    "where": clean_text(signature.get("where") or ""),
                    "count": signature.get("count"),
                    "first": signature.get("first"),
                    "last": signature.get("last"),
                }
            )
    return found[:5]


def answered_500(estate: Estate, service: Service) -> bool | None:
    """Whether a proxy in front of the service saw a request answered with 500; None when no request is seen."""
    known = None
    for caller in estate.services_at(estate.callers(service.node)):
        access = mapping(caller.data("logs").get("access"))
        if number(mapping(access.get("by_status")).get("500")):
            return True
        if number(access.get("requests")):
            known = False
    return known


def changes(estate: Estate, service: Service) -> list[dict[str, Any]]:
    """What the machine and the deploy markers (``kind`` marker) say was changed about this service.

    The nearest to the onset of errors first, without an onset the newest. ``onset_after_s`` is signed: negative when errors came first.
    """
    onset = _onset(estate, service)
    found = [*_told_changes(estate, service), *_marked_changes(service)]
    for change in found:
        when = epoch(change["time"])
        after = None if onset is None or when is None else round(onset - when, 1)
        change["onset_after_s"] = after
        change["correlated"] = after is not None and -ONSET_BEFORE_S <= after <= ONSET_AFTER_S

    def distance(change: dict[str, Any]) -> float:
        seconds = change["onset_after_s"] if onset is not None else change["age_s"]
        return abs(seconds) if isinstance(seconds, (int, float)) else float("inf")

    return sorted(found, key=distance)


def _marked_changes(service: Service) -> list[dict[str, Any]]:
    """The deploy markers of the service in the form of the machine's changes."""
    kept = ("time", "age_s", "version", "who")
    return [
        {**{key: marker.get(key) for key in kept}, "kind": "marker", "what": clean_text(marker.get("what") or "")}
        for marker in items(service.data("markers").get("markers"))
    ]


def _told_changes(estate: Estate, service: Service) -> list[dict[str, Any]]:
    """What the machine says was changed about this service, newest first.

    ``certificate``: the changed file is one; ``after_creation``: it was changed when the container was there already.
    """
    created = epoch(service.data("container").get("created_at"))
    found = []
    for change in items(source_data(estate.machines[service.host].sources, "changes").get("recent")):
        what, when = str(change.get("what") or ""), epoch(change.get("time"))
        if change.get("service") == service.name:
            found.append(
                {
                    "time": change.get("time"),
                    "age_s": change.get("age_s"),
                    "kind": change.get("kind"),
                    "what": clean_text(what),
                    "previous_image": change.get("previous_image"),
                    "certificate": bool(_CERTIFICATE.search(what)),
                    "after_creation": created is not None and when is not None and when - created >= RECREATED_GAP_S,
                }
            )
    return found


def run_options(service: Service) -> str | None:
    """Options of ``docker run`` for a container in the same place: network, ports, restart policy and memory limit.

    Mounts and environment are taken over from the container itself. None when one command can't say it all (several networks).
    """
    container = service.data("container")
    networks = _networks(service)
    if len(networks) != 1:
        return None
    name, network = next(iter(networks.items()))
    options = [f"--network {name}"]
    own = {str(container.get("name")), str(container.get("id") or "")[:12]}
    options += [f"--network-alias {alias}" for alias in texts(network.get("aliases")) if alias not in own and not _NETWORK_ID.match(alias)]
    for port in items(container.get("ports")):
        if port.get("host_port"):
            address = f"{port['host_ip']}:" if port.get("host_ip") else ""
            options.append(f"-p {address}{port['host_port']}:{port.get('port')}")
    if container.get("restart_policy") not in (None, "", "no"):
        options.append(f"--restart {container['restart_policy']}")
    if container.get("memory_limit"):
        options.append(f"--memory {container['memory_limit']}")
    return " ".join(options)


def failing(estate: Estate, service: Service) -> bool:
    """True when something is wrong now that this service could be the reason of: users notice it, or errors began and nobody sees requests."""
    noticed = felt(estate, service)
    if noticed is not None:
        return noticed
    return any(epoch(other.data("logs").get("onset")) is not None for other in [service, *estate.services_at(estate.callers(service.node))])


def felt(estate: Estate, service: Service) -> bool | None:
    """Whether users could notice errors of this service now: a probe fails or newest requests fail, here or at whoever calls it.

    None when no request is seen anywhere, because then nobody knows.
    """
    above = [node for node in (other.node for other in estate.services) if service.node in estate.below(node)]
    known = None
    for other in [service, *estate.services_at(above)]:
        if any(endpoint(other, name) and not endpoint(other, name).get("ok") for name in ("live", "ready", "direct")):
            return True
        access = mapping(other.data("logs").get("access"))
        recent = mapping(access.get("recent"))
        if number(recent.get("errors_5xx")) >= FEW_ERRORS and not is_over(access):
            return True
        if number(recent.get("requests")):
            known = False
    if known is None and sum(number(path.get("errors")) for path in items(service.data("logs").get("by_path"))) >= FEW_ERRORS:
        return True
    return known


def is_over(access: dict[str, Any]) -> bool:
    """Whether requests have stopped failing: so many were good since that several would have failed at the rate of when they did."""
    recent = mapping(access.get("recent"))
    spell, since = number(recent.get("spell")), number(access.get("good_since_error"))
    due = number(recent.get("errors_5xx")) * since / spell if spell else 0.0
    return number(access.get("last_error_age_s")) >= OVER_AFTER_S and due >= OVER_WHEN_DUE


def waited_for(estate: Estate, service: Service) -> bool | None:
    """Whether users wait for this service or whoever calls it: 95 % of the requests of a route take up to SLOW_MS or more.

    None when no request is seen anywhere. A route is judged by its newest requests too: what began a minute ago hides in the average.
    """
    above = [node for node in (other.node for other in estate.services) if service.node in estate.below(node)]
    known = None
    for other in [service, *estate.services_at(above)]:
        for route in items(mapping(other.data("logs").get("access")).get("routes")):
            for asked, enough in ((route, ROUTE_REQUESTS), (mapping(route.get("recent")), RECENT_REQUESTS)):
                if number(asked.get("requests")) >= enough:
                    if number(asked.get("p95_ms")) >= SLOW_MS:
                        return True
                    known = False
    return known


def number(value: Any) -> float:
    """A number of a machine, 0 for anything else."""
    return float(value) if isinstance(value, (int, float)) else 0.0
