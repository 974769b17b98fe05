"""JSON log lines for everything that logs in this process: the shop, gunicorn, uvicorn and the libraries."""

from __future__ import annotations

import json
import logging
from typing import Any

import structlog


class OrdinaryStop(logging.Filter):
    """gunicorn reports every worker that it stops itself as an error; a restart of the container is none."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno == logging.ERROR and record.getMessage().endswith("was sent SIGTERM!"):
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def _upper_case_level(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    event["level"] = event["level"].upper()
    return event


def _readable(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """What one reads first comes first; uvicorn's copy of its message with terminal colours goes."""
    event.pop("color_message", None)
    # gunicorn and uvicorn call their ordinary loggers "error", which no search for errors should find.
    event["logger"] = event["logger"].removesuffix(".error")
    first = ("timestamp", "level", "logger", "event", "method", "path", "status", "duration_ms")
    return {key: event[key] for key in (*(key for key in first if key in event), *(key for key in event if key not in first))}


def _compact(event: dict[str, Any], **options: Any) -> str:
    return json.dumps(event, separators=(",", ":"), **options)


_SHARED = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    _upper_case_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    structlog.stdlib.ExtraAdder(),
]

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": _SHARED,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _readable,
                structlog.processors.JSONRenderer(serializer=_compact),
            ],
        },
    },
    "filters": {"ordinary_stop": {"()": OrdinaryStop}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        # The worker copies these handlers to uvicorn's loggers and cuts their propagation: the handler has to sit here as well.
        "gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "filters": ["ordinary_stop"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": [], "propagate": False},
        "httpx": {"level": "WARNING"},
    },
}


def configure() -> None:
    """Route structlog through the standard library's handlers, which gunicorn sets up from LOGGING."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
