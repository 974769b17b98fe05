# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ``http``: asks the endpoints of a service as its users and callers do, and the container directly behind the proxy's back."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import Any

from .container import service_port
from .context import Container, Context, Service, SourceError
from .http_body import asset_type_fits, assets, body_of, components, overall
from .http_endpoint import endpoint, several
from .http_wire import DEFAULT_PORT, Answer, Client, Origin, get, origin_of
from .parallel import at_once

MOST_ASSETS = 5
MOST_REDIRECTS = 3
RESERVE_S = 0.3


def applies(service: Service) -> bool:
    """Whether there is an address to ask."""
    return any(service.spec.get(key) for key in ("url", "container", "host"))


def collect(ctx: Context) -> dict[str, Any]:
    """Data of the source as docs/architecture.md describes it; SourceError when there is nothing that could be asked."""
    service = ctx.owner
    prober = Prober(ctx, service)
    jobs: dict[str, Callable[[], dict[str, Any]]] = {}
    if prober.origin and service.kind == "external":
        jobs["live"] = lambda: prober.ask(prober.origin, "url", prober.base_path, below(400))
    elif prober.origin:
        via = "proxy" if service.kind == "nginx" else "url"
        jobs["live"] = lambda: prober.ask(prober.origin, via, prober.path("health_path", "/health"))
        if service.kind == "fastapi":
            jobs["ready"] = lambda: prober.ready(prober.origin)
        else:
            jobs["frontend"] = lambda: prober.frontend(prober.origin)
    direct = prober.direct_origin()
    if direct:
        jobs["direct"] = lambda: prober.ask(direct, "direct", prober.path("health_path", "/health"))
        if not prober.origin and service.kind == "fastapi":
            jobs["ready"] = lambda: prober.ready(direct)
    if not jobs:
        raise SourceError("absent", f"service {service.name} has neither a url nor a running container to ask; declare url")
    endpoints: dict[str, Any] = dict.fromkeys(("live", "ready", "frontend", "direct", "tls_live"))
    endpoints.update(at_once(jobs))
    if prober.origin and prober.origin.scheme == "https":
        endpoints["tls_live"] = endpoints["live"]
    return {"endpoints": endpoints}


def below(limit: int) -> Callable[[Answer], bool]:
    """Good means: an HTTP answer with a status below ``limit`` and nothing wrong with the certificate."""
    return lambda answer: answer.error_kind is None and answer.status is not None and 200 <= answer.status < limit


class Prober:
    """What all endpoints of one service share."""

    def __init__(self, ctx: Context, service: Service) -> None:
        self.ctx = ctx
        self.service = service
        self.ca_file = str(service.spec.get("ca_file") or "")
        self.origin: Origin | None = None
        self.base_path = "/"
        url = str(service.spec.get("url") or "")
        if url:
            try:
                self.origin, self.base_path = origin_of(url)
            except ValueError:
                raise SourceError("unsupported", f"url of service {service.name} is no http or https URL: {url}") from None
        elif service.spec.get("host"):
            port = int(service.spec.get("port") or service_default(service))
            self.origin = Origin("https" if port == 443 else "http", str(service.spec["host"]), port)

    def path(self, key: str, default: str) -> str:
        """A declared path below the URL's own."""
        declared = str(self.service.spec.get(key) or default)
        return self.base_path.partition("?")[0].rstrip("/") + "/" + declared.lstrip("/")

    def direct_origin(self) -> Origin | None:
        """The container's own address, asked with the Host header of the URL; None when it has none."""
        container: Container | None = self.ctx.container_or_none()
        if container is None or not container.ips:
            return None
        port = service_port(self.service, container)
        scheme = self.origin.scheme if self.origin and port not in DEFAULT_PORT.values() else "https" if port == 443 else "http"
        address = (container.ips[0], port)
        if self.origin is None:
            return Origin(scheme, address[0], port, address)
        return Origin(scheme, self.origin.host, self.origin.port, address)

    def ask(self, origin: Origin | None, via: str, path: str, good: Callable[[Answer], bool] | None = None) -> dict[str, Any]:
        """Probe one endpoint several times."""
        return self.answers(origin, via, path, good)[0]

    def answers(self, origin: Origin | None, via: str, path: str, good: Callable[[Answer], bool] | None = None) -> tuple[dict[str, Any], Answer]:
        """(ENDPOINT, the last answer with its body)."""
        if origin is None:
            raise SourceError("absent", f"service {self.service.name} has no url")
        is_good = good or below(300)
        most = max(1, int(self.ctx.options["http_probes"]))
        found = several(lambda: self.follow(origin, path), most, is_good)
        return endpoint(origin, via, path, found, is_good), next((answer for answer in reversed(found) if answer.status), found[-1])

    def follow(self, origin: Origin, path: str) -> Answer:
        """GET, following redirects only within the origin: another host is not ours to ask."""
        for _hop in range(MOST_REDIRECTS + 1):
            timeout = min(float(self.ctx.options["http_timeout_s"]), max(0.05, self.ctx.remaining() - RESERVE_S))
            answer = get(origin, path, timeout, self.ca_file, self.ctx.now)
            target = redirect_within(origin, path, answer)
            if target is None:
                return answer
            path = target
        answer.error_kind, answer.error = "protocol", f"more than {MOST_REDIRECTS} redirects within {origin.url}"
        return answer

    def ready(self, origin: Origin | None) -> dict[str, Any]:
        """Readiness and the components that its body names."""
        result, answer = self.answers(origin, "url" if self.origin else "direct", self.path("ready_path", "/health/ready"))
        document = body_of(answer.body)
        found = components(document)
        result["components"] = found
        result["failed_components"] = [name for name, state in found.items() if state != "ok"]
        result["body_status"] = overall(document)
        return result

    def frontend(self, origin: Origin | None) -> dict[str, Any]:
        """The page that users load, its marker, and whether its scripts and styles are there."""
        result, answer = self.answers(origin, "proxy", self.path("frontend_path", "/"))
        content_type = answer.headers.get("content-type", "")
        html = answer.body.decode("utf-8", "replace")
        marker = str(self.service.spec.get("frontend_marker") or 'id="root"')
        result["content_type"] = content_type.partition(";")[0].strip().lower() or None
        result["marker_found"] = marker in html if answer.status == 200 else None
        result["assets"] = self.assets(html, result["url"]) if answer.status == 200 and "html" in content_type.lower() else []
        result["bad_assets"] = [asset["url"] for asset in result["assets"] if not asset["ok"]]
        return result

    def assets(self, html: str, page_url: str) -> list[dict[str, Any]]:
        """``[{url status content_type ok}]`` of the page's first scripts and styles, over one connection."""
        urls = assets(html, page_url, MOST_ASSETS)
        if not urls:
            return []
        timeout = min(float(self.ctx.options["http_timeout_s"]), max(0.05, self.ctx.remaining() - RESERVE_S))
        client = Client(origin_of(urls[0])[0], timeout, self.ca_file, self.ctx.now)
        found = []
        try:
            for url in urls:
                path = origin_of(url)[1]
                answer = client.request("HEAD", path)
                content_type = answer.headers.get("content-type", "").partition(";")[0]
                fits = answer.status == 200 and asset_type_fits(path.partition("?")[0], content_type)
                found.append({"url": url, "status": answer.status, "content_type": content_type or None, "ok": fits})
        except (OSError, http.client.HTTPException):
            found += [{"url": url, "status": None, "content_type": None, "ok": False} for url in urls[len(found) :]]
        finally:
            client.close()
        return found


def service_default(service: Service) -> int:
    """The usual port of the service's kind."""
    return {"fastapi": 8000, "nginx": 80}.get(service.kind, 80)


def redirect_within(origin: Origin, path: str, answer: Answer) -> str | None:
    """Path of a redirect that stays at the origin; None for any other answer."""
    location = answer.headers.get("location", "")
    if answer.status not in (301, 302, 303, 307, 308) or not location or answer.error_kind:
        return None
    if location.startswith("/") and not location.startswith("//"):
        return location if location != path else None
    try:
        target, target_path = origin_of(location)
    except ValueError:
        return None
    same = (target.scheme, target.host, target.port) == (origin.scheme, origin.host, origin.port)
    return target_path if same and target_path != path else None
