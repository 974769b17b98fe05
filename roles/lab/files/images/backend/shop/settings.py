"""What the environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

_EXAMPLES = {
    "DATABASE_URL": "postgresql://user:password@host:5432/database",
    "REDIS_URL": "redis://host:6379/0",
    "PAYMENTS_URL": "http://host:9000",
}


class ConfigurationError(Exception):
    """The environment does not say what the shop needs to know."""


@dataclass(frozen=True)
class Settings:
    """All settings; times are seconds."""

    database_url: str
    redis_url: str
    payments_url: str
    release: str
    # Comma-separated features whose unfinished code is switched on (only release v2 has some).
    break_features: frozenset[str]
    pool_size: int
    pool_timeout_s: float
    statement_timeout_s: float
    payments_timeout_s: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Raise ConfigurationError for a value that is missing or can't be used; the process's own environment is the default."""
        environment = os.environ if environment is None else environment
        return cls(
            database_url=_url(environment, "DATABASE_URL"),
            redis_url=_url(environment, "REDIS_URL"),
            payments_url=_url(environment, "PAYMENTS_URL"),
            release=environment.get("RELEASE", "unknown"),
            break_features=frozenset(filter(None, environment.get("BREAK", "").split(","))),
            pool_size=int(_number(environment, "DB_POOL_SIZE", 5)),
            pool_timeout_s=_number(environment, "DB_POOL_TIMEOUT", 4),
            statement_timeout_s=_number(environment, "DB_STATEMENT_TIMEOUT", 30),
            payments_timeout_s=_number(environment, "PAYMENTS_TIMEOUT", 5),
        )


def _url(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    scheme = _EXAMPLES[name].split("://")[0]
    if not value.startswith(f"{scheme}://"):
        # The value itself stays out of the log: it may hold a password.
        raise ConfigurationError(f"{name} is {'not a ' + scheme + ' URL' if value else 'not set'}: set it to something like {_EXAMPLES[name]}")
    return value


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    value = environment.get(name, str(default))
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(f"{name} is {value!r}: set it to a number") from None
