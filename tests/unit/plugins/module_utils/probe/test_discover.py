# Copyright: (c) 2026, sre.incident_response contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery: what runs on a Docker host and what calls what, without a single declared service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sre.incident_response.plugins.module_utils.probe import discover, discover_urls
from ansible_collections.sre.incident_response.plugins.module_utils.probe.context import Machine, Service, SourceError
from ansible_collections.sre.incident_response.tests.unit.plugins.module_utils.probe.machines import (
    MOUNTS_V2,
    TCP_HEAD,
    FakeDocker,
    inspect_document,
    stat_line,
    write_tree,
)

LISTEN = "   0: 00000000:{:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n"
PUBLISHED_BACKEND = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}]}
PUBLISHED_PROXY = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8443"}]}


class Host:
    """A Docker host that is put together container by container; ``as_root`` shows its processes and sockets too."""

    def __init__(self, tmp_path: Path, as_root: bool) -> None:
        self.tmp_path = tmp_path
        self.as_root = as_root
        self.files: dict[str, str] = {"proc/mounts": MOUNTS_V2}
        self.inspects: list[dict[str, Any]] = []

    def add(
        self,
        name: str,
        command: list[str],
        process: str = "",
        listens: int | None = None,
        environment: dict[str, str] | None = None,
        ports: dict[str, Any] | None = None,
        exposed: tuple[int, ...] = (),
        network: str = "appnet",
        image: str = "",
        **changes: Any,
    ) -> None:
        """A container; ``process`` is the name that its process has, when it differs from the command's."""
        number = len(self.inspects) + 1
        pid, identity = 1000 + number, f"{number:064x}"
        config = {
            "Image": image or f"registry.example/{name}:1",
            "Env": [f"{key}={value}" for key, value in (environment or {}).items()],
            "ExposedPorts": {f"{port}/tcp": {} for port in exposed},
            "Labels": changes.pop("Labels", {}),
            "Hostname": identity[:12],
        }
        networks = {network: {"IPAddress": f"172.18.0.{number + 1}", "Aliases": [name.partition(".")[2] or name]}}
        settings = {"Config": config, "NetworkSettings": {"Ports": ports or {}, "Networks": networks}, "Path": command[0], "Args": command[1:]}
        document = inspect_document(name, **{"Pid": pid, **settings, **changes})
        document["Id"] = identity
        self.inspects.append(document)
        if self.as_root and document["State"]["Running"]:
            scope = f"system.slice/docker-{identity}.scope"
            self.files.update(
                {
                    f"proc/{pid}/cgroup": f"0::/{scope}\n",
                    f"proc/{pid}/stat": stat_line(pid, process or Path(command[0]).name),
                    f"proc/{pid}/cmdline": "\0".join(command),
                    f"proc/{pid}/net/tcp": TCP_HEAD + (LISTEN.format(listens) if listens else ""),
                    f"sys/fs/cgroup/{scope}/cgroup.procs": f"{pid}\n",
                }
            )

    def discover(self) -> tuple[dict[str, Service], list[str]]:
        docker = FakeDocker(self.inspects)
        return discover.discover(Machine({}, docker, root=write_tree(self.tmp_path, self.files)))


@pytest.fixture(params=[True, False], ids=["root", "docker group"])
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    return Host(tmp_path, request.param)


def shop(host: Host, prefix: str = "", network: str = "appnet", **backend: Any) -> None:
    """The usual stack: proxy, backend, database, cache, an external API's stand-in and a traffic generator."""
    environment = {
        "DATABASE_URL": "postgresql+psycopg://app:hunter2@app-db:5432/app_prod",
        "REDIS_URL": "redis://:hunter3@app-redis:6379/0",
        "PAYMENTS_URL": "http://app-ext:9000",
        "HTTP_PROXY": "http://proxy.example:3128",
        "PIP_INDEX_URL": "https://mirror.example/simple",
    }
    command = ["gunicorn", "--config", "gunicorn.conf.py", "shop.main:app"]
    dot = f"{prefix}." if prefix else ""
    host.add(f"{dot}app-backend", command, "gunicorn", 8000, environment, PUBLISHED_BACKEND, (8000,), network, **backend)
    host.add(f"{dot}app-db", ["docker-entrypoint.sh", "postgres"], "postgres", 5432, exposed=(5432,), network=network, image="postgres:17")
    host.add(f"{dot}app-ext", ["python3", "payments.py"], "python3", 9000, ports={"9000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9000"}]}, network=network)
    host.add(f"{dot}app-proxy", ["nginx", "-g", "daemon off;"], "nginx", 443, ports=PUBLISHED_PROXY, exposed=(80, 443), network=network)
    host.add(f"{dot}app-redis", ["redis-server", "/etc/redis.conf"], "redis-server", 6379, exposed=(6379,), network=network)
    host.add(f"{dot}app-traffic", ["python3", "traffic.py"], "python3", None, {"TARGET_URL": "http://app-proxy"}, exposed=(9000,), network=network)


def specs(services: dict[str, Service]) -> dict[str, dict[str, Any]]:
    return {name: service.spec for name, service in services.items()}


def test_the_usual_stack(host: Host) -> None:
    shop(host)
    services, assumptions = host.discover()
    assert specs(services) == {
        "app-proxy": {"kind": "nginx", "container": "app-proxy", "url": "https://localhost:8443", "depends_on": ["app-backend"]},
        "app-backend": {"kind": "fastapi", "container": "app-backend", "url": "http://127.0.0.1:8000", "depends_on": ["app-db", "app-ext", "app-redis"]},
        "app-db": {"kind": "postgresql", "container": "app-db", "database": "app_prod"},
        "app-redis": {"kind": "redis", "container": "app-redis", "login_password": "hunter3"},
        "app-ext": {"kind": "external", "url": "http://172.18.0.4:9000/health"},
    }
    way = "process" if host.as_root else "command"
    assert f"app-db: postgresql ({way} postgres, database app_prod (from DATABASE_URL of app-backend))" in assumptions
    assert "app-ext: external (PAYMENTS_URL of app-backend), at http://172.18.0.4:9000/health" in assumptions
    assert "ignored, because nothing says that they serve requests: app-traffic" in assumptions
    assert "hunter" not in " ".join(assumptions)
    assert "hunter" not in str([service.public_spec() for service in services.values()])


def test_two_stacks_on_one_host_are_kept_apart(host: Host) -> None:
    """Both call their database by the same alias, each on its own network."""
    shop(host, "blue", "bluenet")
    shop(host, "green", "greennet")
    services, _assumptions = host.discover()
    assert services["blue.app-backend"].spec["depends_on"] == ["blue.app-db", "blue.app-ext", "blue.app-redis"]
    assert services["green.app-backend"].spec["depends_on"] == ["green.app-db", "green.app-ext", "green.app-redis"]
    assert services["green.app-proxy"].spec["depends_on"] == ["green.app-backend"]


@pytest.mark.parametrize(
    "state",
    [
        {"Status": "exited", "Running": False, "Pid": 0, "ExitCode": 137},
        {"Status": "restarting", "Running": False, "Pid": 0, "ExitCode": 1},
    ],
)
def test_a_crashed_backend_is_still_a_service(host: Host, state: dict[str, Any]) -> None:
    shop(host, **state, HostConfig={"RestartPolicy": {"Name": "unless-stopped"}, "PortBindings": PUBLISHED_BACKEND})
    services, _assumptions = host.discover()
    assert services["app-backend"].spec["depends_on"] == ["app-db", "app-ext", "app-redis"]
    assert services["app-backend"].spec["url"] == "http://127.0.0.1:8000"


def test_batch_jobs_and_helpers_are_ignored(host: Host) -> None:
    host.add("migrate", ["python3", "-m", "alembic", "upgrade"], Status="exited", Running=False, Pid=0, ExitCode=0, exposed=(8000,))
    host.add("cron", ["cron", "-f"], "cron")
    host.add("exporter", ["postgres_exporter"], "postgres_export", image="quay.example/postgres-exporter:1")
    services, assumptions = host.discover()
    assert services == {}
    assert "ignored, because nothing says that they serve requests: cron, exporter, migrate" in assumptions
    assert "no service was recognised among 3 containers; declare incident_services" in assumptions


def test_dependencies_outside_this_machine(host: Host) -> None:
    environment = {
        "DATABASE_URL": "postgres://app:s3cret@db.internal:6432/orders",
        "CACHE_URL": "rediss://cache.internal:6380/0",
        "PAYMENTS_BASE_URL": "https://key:s3cret@api.payments.example/v1/",
        "SENTRY_DSN": "https://k@sentry.example/1",
        "GREETING": "http://not-a-dependency/",
    }
    host.add("api", ["uvicorn", "main:app"], "uvicorn", 8080, environment, exposed=(8080,))
    services, assumptions = host.discover()
    assert specs(services) == {
        "api": {"kind": "fastapi", "container": "api", "url": "http://172.18.0.2:8080", "depends_on": ["cache", "database", "payments"]},
        "database": {"kind": "postgresql", "host": "db.internal", "port": 6432, "database": "orders", "login_user": "app", "login_password": "s3cret"},
        "cache": {"kind": "redis", "host": "cache.internal", "port": 6380},
        "payments": {"kind": "external", "url": "https://api.payments.example/v1"},
    }
    assert "database: postgresql outside this machine (from DATABASE_URL of api)" in assumptions
    assert "s3cret" not in " ".join(assumptions)


def test_names_of_outside_services_are_not_mixed_up(host: Host) -> None:
    host.add("one", ["uvicorn", "a:app"], "uvicorn", 8000, {"CACHE_URL": "redis://a.example", "BUS_URL": "redis://bus.example"}, exposed=(8000,))
    host.add("two", ["uvicorn", "b:app"], "uvicorn", 8000, {"CACHE_URL": "redis://b.example", "BUS_URL": "redis://bus.example"}, exposed=(8000,))
    host.add("bus", ["redis-server"], "redis-server", 6379, network="elsewhere")
    services, _assumptions = host.discover()
    hosts = {name: service.spec.get("host") for name, service in services.items()}
    assert hosts == {"one": None, "two": None, "bus": None, "cache": "a.example", "two-cache": "b.example", "one-bus": "bus.example", "two-bus": "bus.example"}
    assert services["two"].spec["depends_on"] == ["two-bus", "two-cache"]


def test_a_called_service_that_calls_others_is_a_service_itself(host: Host) -> None:
    host.add("front", ["uvicorn", "a:app"], "uvicorn", 8000, {"BACK_URL": "http://back:8001"}, exposed=(8000,))
    host.add("back", ["uvicorn", "b:app"], "uvicorn", 8001, {"REDIS_URL": "redis://cache:6379"}, exposed=(8001,))
    host.add("cache", ["redis-server"], "redis-server", 6379)
    services, _assumptions = host.discover()
    assert {name: service.kind for name, service in services.items()} == {"front": "fastapi", "back": "fastapi", "cache": "redis"}
    assert services["front"].spec["depends_on"] == ["back"]


def test_a_url_that_leads_back_to_the_caller_is_no_dependency(host: Host) -> None:
    host.add("api", ["uvicorn", "a:app"], "uvicorn", 8000, {"WORKER_URL": "http://localhost:8000/hook"}, exposed=(8000,))
    services, _assumptions = host.discover()
    assert services["api"].spec["depends_on"] == []


def test_names_of_compose_services_where_they_are_unique(host: Host) -> None:
    host.add("shop_db_1", ["postgres"], "postgres", 5432, Labels={"com.docker.compose.service": "db"})
    host.add("one_cache_1", ["redis-server"], "redis-server", 6379, Labels={"com.docker.compose.service": "cache"})
    host.add("two_cache_1", ["redis-server"], "redis-server", 6379, Labels={"com.docker.compose.service": "cache"})
    services, _assumptions = host.discover()
    assert {name: service.spec["container"] for name, service in services.items()} == {
        "db": "shop_db_1",
        "one_cache_1": "one_cache_1",
        "two_cache_1": "two_cache_1",
    }


def test_a_private_authority_beside_the_certificate_is_trusted(host: Host, tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/ca.pem").write_text("PEM")
    mounts = [{"Type": "volume", "Source": str(tmp_path / "tls"), "Destination": "/etc/nginx/tls"}]
    host.add("web", ["nginx"], "nginx", 443, ports=PUBLISHED_PROXY, Mounts=mounts)
    services, assumptions = host.discover()
    assert services["web"].spec["ca_file"] == str(tmp_path / "tls/ca.pem")
    assert any("trusts" in sentence and "ca.pem" in sentence for sentence in assumptions)


@pytest.mark.parametrize(
    ("ports", "exposed", "url"),
    [
        ({"80/tcp": [{"HostIp": "10.0.0.5", "HostPort": "80"}]}, (80,), "http://10.0.0.5:80"),
        ({"8443/tcp": [{"HostIp": "::", "HostPort": "443"}]}, (80, 8443), "https://localhost:443"),
        ({}, (80, 443), "https://172.18.0.2:443"),
        ({}, (8080,), "http://172.18.0.2:8080"),
    ],
)
def test_where_users_reach_a_proxy(host: Host, ports: dict[str, Any], exposed: tuple[int, ...], url: str) -> None:
    host.add("web", ["nginx"], "nginx", 443, ports=ports, exposed=exposed)
    services, _assumptions = host.discover()
    assert services["web"].spec["url"] == url


def test_without_docker_there_is_one_sentence() -> None:
    refused = FakeDocker(refused=SourceError("permission", "permission denied on /var/run/docker.sock for user x"))
    services, assumptions = discover.discover(Machine({}, refused))
    assert services == {}
    assert assumptions == ["no services were discovered: permission denied on /var/run/docker.sock for user x; or declare incident_services"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "not a url"),
        ("DATABASE_URL", "postgresql:///only-a-name"),
        ("X_URL", "ftp://h/x"),
        ("X_URL", "http://[broken"),
        ("X_URL", "http://h:port/"),
    ],
)
def test_values_that_lead_nowhere(variable: str, value: str) -> None:
    assert discover_urls.references({variable: value}) == []
