# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All machines and services of a run in one picture: who calls whom, what runs where, and what each source said.

Pure: evidence documents in, subjects for the checks out. A document comes from a machine under investigation, so nothing in it
is taken for granted: what has another shape than agreed is treated as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .check_entries import TARGETS
from .checks import Subject
from .derived import derive
from .expressions import epoch
from .findings import clean_text
from .shapes import mapping, source_data, texts
from .supplements import SUPPLEMENTS

CONTAINER_SOURCES = frozenset(("container", "cgroup", "process", "logs", "volume", "dns", "releases"))
# What the controller knows without the machine; a service of which it knows nothing does not have the source.
ELSEWHERE = frozenset(SUPPLEMENTS)
NOT_LOOKED_AT = ("permission", "timeout", "auth", "error", "unfinished", "refused")


@dataclass(frozen=True)
class Node:
    """A service (``name`` set) or a machine (``name`` empty) of the estate."""

    name: str
    host: str
    kind: str = "machine"


@dataclass
class Service:
    """One service on one machine. ``spec`` are its declared keys, ``sources`` what the probe answered."""

    name: str
    kind: str
    host: str
    spec: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def node(self) -> Node:
        """Its place in the graph."""
        return Node(self.name, self.host, self.kind)

    @property
    def instance(self) -> str:
        """The name an operator knows it by: container, else address, else the service's own name."""
        return clean_text(self.spec.get("container") or self.spec.get("url") or self.name)

    def data(self, source: str) -> dict[str, Any]:
        """What a source told, empty when it told nothing."""
        return source_data(self.sources, source)


@dataclass
class Machine:
    """One inventory host: ``reason`` says why it could not be reached, ``problems`` what is wrong with its inventory.

    ``unfinished``: it was not reached only because the run's time was over.
    """

    name: str
    reachable: bool = True
    reason: str | None = None
    unfinished: bool = False
    collected_at: str | None = None
    now: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    clock: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)

    @property
    def node(self) -> Node:
        """Its place in the graph."""
        return Node("", self.name)


class Estate:
    """Machines and services by name, and the graph between them.

    ``previous`` tells what earlier runs saw in the place of a container: ``{kind, previous_image, previous_image_id, previous_version}``.
    """

    def __init__(self, documents: Iterable[Mapping[str, Any]] = (), previous: Mapping[Node, dict[str, Any]] | None = None) -> None:
        self.previous: Mapping[Node, dict[str, Any]] = previous or {}
        self.machines: dict[str, Machine] = {}
        self.services: list[Service] = []
        for document in documents:
            self._add(document)
        self._by_name: dict[str, dict[str, Service]] = {}
        for service in self.services:
            self._by_name.setdefault(service.name, {})[service.host] = service
        self._calls = {service.node: self._dependencies_of(service) for service in self.services}
        self._callers: dict[Node, list[Node]] = {}
        for caller, callees in self._calls.items():
            for callee in callees:
                self._callers.setdefault(callee, []).append(caller)
        self._below = {service.node: self._reach(service.node) for service in self.services}
        self._related: dict[Node, frozenset[Node]] = {}

    def _add(self, document: Mapping[str, Any]) -> None:
        host = str(document.get("host") or "")
        clock = mapping(document.get("clock"))
        machine = Machine(
            name=host,
            reachable=bool(document.get("reachable", True)),
            reason=document.get("reason"),
            unfinished=document.get("unfinished") is True,
            collected_at=document.get("collected_at"),
            now=epoch(clock.get("host_epoch")) or epoch(document.get("collected_at")) or 0.0,
            options=mapping(document.get("options")),
            clock=clock,
            sources={name: mapping(source) for name, source in mapping(document.get("machine")).items()},
            problems=[problem if isinstance(problem, dict) else {"text": str(problem)} for problem in document.get("problems") or []],
        )
        self.machines[host] = machine
        for name, raw in mapping(document.get("services")).items():
            entry = mapping(raw)
            kind = str(entry.get("kind") or mapping(entry.get("spec")).get("kind") or "")
            if kind not in TARGETS:
                continue
            sources = {source: mapping(answer) for source, answer in mapping(entry.get("sources")).items()}
            self.services.append(Service(str(name), kind, host, mapping(entry.get("spec")), sources))

    # -- the graph -------------------------------------------------------------------------------------------------------------

    def service(self, name: str, host: str) -> Service | None:
        """A service by name, on that machine when it has one of that name, else the first anywhere."""
        named = self._by_name.get(name, {})
        return named.get(host) or next(iter(named.values()), None)

    def services_at(self, nodes: Iterable[Node]) -> list[Service]:
        """The services of nodes that were made by this estate."""
        return [self._by_name[node.name][node.host] for node in nodes]

    def _dependencies_of(self, service: Service) -> list[Node]:
        """The services it declares to call: the one on the same machine if there is one, else every instance of that name."""
        nodes: list[Node] = []
        for name in texts(service.spec.get("depends_on")):
            named = self._by_name.get(name, {})
            chosen = [named[service.host]] if service.host in named else list(named.values())
            nodes.extend(other.node for other in chosen if other is not service)
        return nodes

    def _reach(self, start: Node) -> frozenset[Node]:
        seen: set[Node] = set()
        waiting = list(self._calls[start])
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting.extend(self._calls.get(node, []))
        return frozenset(seen)

    def calls(self, node: Node) -> list[Node]:
        """What a service calls directly."""
        return self._calls.get(node, [])

    def callers(self, node: Node) -> list[Node]:
        """Who calls a service directly."""
        return self._callers.get(node, [])

    def below(self, node: Node) -> frozenset[Node]:
        """Everything a service depends on, however far; for a machine nothing."""
        return self._below.get(node, frozenset())

    def entries(self) -> list[Service]:
        """Where users come in: nginx with a URL that nobody calls, else FastAPI that nobody calls, else any FastAPI."""
        for kind in ("nginx", "fastapi"):
            free = [service for service in self.services if service.kind == kind and not self.callers(service.node)]
            if free:
                return free
        return [service for service in self.services if service.kind == "fastapi"]

    def related_to(self, node: Node) -> frozenset[Node]:
        """Where trouble in this node can show, or come from: one path of calls up or down, and what runs on a machine. Itself included.

        Without any declared call nobody can know, so every service is related to every other one.
        """
        if not self._related:
            self._relate()
        return self._related.get(node, frozenset((node, Node("", node.host))))

    def _relate(self) -> None:
        everything = [service.node for service in self.services]
        unknown = not any(self._calls.values())
        related: dict[Node, set[Node]] = {machine.node: {machine.node} for machine in self.machines.values()}
        related.update({node: {node, *(everything if unknown else self._below[node])} for node in everything})
        for node in everything:
            for below in self._below[node]:
                related[below].add(node)
            # A service depends on the machines of everything below it.
            for host in {node.host, *(below.host for below in self._below[node])}:
                related[node].add(Node("", host))
                related[Node("", host)].add(node)
        self._related = {node: frozenset(nodes) for node, nodes in related.items()}

    def related(self, first: Node, second: Node) -> bool:
        """True when trouble in one can show in the other."""
        return second in self.related_to(first) or first in self.related_to(second)

    # -- subjects --------------------------------------------------------------------------------------------------------------

    def subjects(self, host: str | None = None, with_derived: bool = True) -> Iterator[Subject]:
        """Every machine and service as the checks see it; ``host`` limits them to one machine. Most roles need no derived facts."""

        for machine in self.machines.values():
            if host is None or machine.name == host:
                yield self._machine_subject(machine)
        for service in self.services:
            if host is None or service.host == host:
                facts = derive(self, service) if with_derived and self.machines[service.host].reachable else {}
                yield self._service_subject(service, facts)

    def _machine_subject(self, machine: Machine) -> Subject:
        document: dict[str, Any] = {name: source_data(machine.sources, name) for name in machine.sources}
        document.update(service={"name": machine.name, "kind": "machine", "host": machine.name}, clock=machine.clock)
        document.update(now=machine.now, options=machine.options, reachable=machine.reachable, reason=machine.reason, problems=machine.problems)
        document.update(unfinished=machine.unfinished)
        sources = {**machine.sources, "clock": {"ok": bool(machine.clock)}}
        return Subject(
            service="",
            kind="machine",
            instance=machine.name,
            host=machine.name,
            document=document,
            sources=sources,
            absent=ELSEWHERE.difference(sources),
            unavailable=self._unavailable(machine),
            elsewhere=ELSEWHERE,
            observed_at=machine.collected_at,
        )

    def _service_subject(self, service: Service, derived: Mapping[str, Any]) -> Subject:
        machine = self.machines[service.host]
        document: dict[str, Any] = {name: service.data(name) for name in service.sources}
        document["service"] = {**service.spec, "name": service.name, "kind": service.kind, "host": service.host}
        document["machine"] = {name: source_data(machine.sources, name) for name in machine.sources}
        document.update(derived=derived, now=machine.now, options=machine.options)
        sources = {**service.sources, **{f"machine.{name}": source for name, source in machine.sources.items()}}
        return Subject(
            service=service.name,
            kind=service.kind,
            instance=service.instance,
            host=service.host,
            document=document,
            sources=sources,
            absent=_never_there(service),
            unavailable=self._unavailable(machine),
            elsewhere=ELSEWHERE,
            observed_at=machine.collected_at,
        )

    @staticmethod
    def _unavailable(machine: Machine) -> str | None:
        if machine.reachable:
            return None
        return f"machine {machine.name} could not be reached: {clean_text(machine.reason or 'no reason was given')}"

    def not_assessed(self) -> list[str]:
        """One sentence for every machine and service at which we could not look, or not at everything."""
        sentences = []
        for machine in self.machines.values():
            if not machine.reachable:
                sentences.append(str(self._unavailable(machine)))
                continue
            sentences.extend(_failed_sources(f"machine {machine.name}", machine.sources))
            for service in self.services:
                if service.host == machine.name:
                    sentences.extend(_failed_sources(f"{service.name} on {service.host}", service.sources))
            sentences.extend(clean_text(problem.get("sentence") or problem.get("text") or "a declared service is wrong") for problem in machine.problems)
        return sentences


def _never_there(service: Service) -> frozenset[str]:
    """Sources that a service of its kind and with its keys does not have, so that a check on them does not apply."""
    missing = set(ELSEWHERE)
    missing |= {"tls"} if not str(service.spec.get("url") or "").startswith("https:") else set()
    if not service.spec.get("container"):
        missing |= CONTAINER_SOURCES
    if not service.spec.get("depends_on"):
        missing.add("dns")
    if not service.spec.get("url") and not service.spec.get("container"):
        missing.add("http")
    return frozenset(name for name in missing if name not in service.sources)


def _failed_sources(label: str, sources: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence per failed source, sources with the same reason in one; what this kernel does not offer is not counted."""
    by_reason: dict[str, list[str]] = {}
    for name, source in sources.items():
        if not source.get("ok") and source.get("kind") in NOT_LOOKED_AT:
            by_reason.setdefault(clean_text(source.get("reason") or "no reason was given"), []).append(name)
    return [clean_text(f"{', '.join(names)} of {label}: {reason}") for reason, names in by_reason.items()]
