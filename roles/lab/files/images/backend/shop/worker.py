"""The gunicorn worker."""

from __future__ import annotations

from typing import Any, ClassVar

from uvicorn.workers import UvicornWorker


class Worker(UvicornWorker):
    """Requests are logged by the shop itself, with their route and their error, so the server's access log is off."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "uvloop", "http": "httptools", "lifespan": "on", "access_log": False}
