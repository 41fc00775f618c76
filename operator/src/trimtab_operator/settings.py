"""What the operator is told from outside, read once from its environment.

`__main__` reads it and hands parts of it down; nothing else looks at the environment. The chart and
the manifests in `deploy/` set it. There are few knobs: times have one factor, which tests use to
shrink them all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trimtab_api.v1alpha1.runtime import RAY_VERSION

__all__ = ["Settings", "SettingsError", "read_settings"]

_PREFIX = "TRIMTAB_OPERATOR_"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_HIGHEST_PORT = 65535
# What Kubernetes takes as the name of a namespace.
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class SettingsError(ValueError):
    """A variable of the environment is absent or has no usable value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set.

    Attributes:
        trainer_image: Image of Ray pods and target Jobs whose manifest names none.
        storage_uri: Storage root of jobs that name none; None where every job must.
        ray_version: Version of Ray in that image, from 2.53.0 on; None takes that of this release.
        watch_namespaces: Where jobs are looked after; empty means everywhere.
        log_level: DEBUG, INFO, WARNING or ERROR.
        health_port: Where `/healthz` answers.
        metrics_port: Where `/metrics` answers; 0 = nowhere.
        metrics_certificate: File of the certificate for it; None = plain HTTP.
        metrics_key: File of the certificate's key.
        metrics_client_ca: File of the authority whose clients alone may read; None = all may.
        time_factor: All times below and of the planner, times this.
    """

    trainer_image: str
    storage_uri: str | None = None
    ray_version: str | None = None
    watch_namespaces: tuple[str, ...] = ()
    log_level: str = "INFO"
    health_port: int = 8080
    metrics_port: int = 0
    metrics_certificate: Path | None = None
    metrics_key: Path | None = None
    metrics_client_ca: Path | None = None
    time_factor: float = 1.0

    @property
    def resync_seconds(self) -> float:
        """Return how often the watches are checked against lists."""
        return 30.0 * self.time_factor

    @property
    def silence_seconds(self) -> float:
        """Return how long a watch may be silent; bookmarks come once a minute, busy or not."""
        return max(5.0, 70.0 * self.time_factor)

    @property
    def status_seconds(self) -> float:
        """Return how far apart writes of a status are in which only figures change."""
        return 15.0 * self.time_factor

    @property
    def event_seconds(self) -> float:
        """Return how far apart two events of one reason on one job are."""
        return 300.0 * self.time_factor

    @property
    def request_seconds(self) -> float:
        """Return how long a request may take; not shrunk: a busy server is busy in tests too."""
        return 30.0

    @property
    def first_retry_seconds(self) -> float:
        """Return the pause after the first failed pass; it doubles with each further one."""
        return 1.0 * self.time_factor

    @property
    def longest_retry_seconds(self) -> float:
        """Return the longest pause after a failed pass."""
        return 60.0 * self.time_factor


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings that the environment holds.

    Raises:
        SettingsError: Naming the variable, its value and what it should be.
    """
    certificate = _optional(environment, "METRICS_CERTIFICATE")
    key = _optional(environment, "METRICS_KEY")
    client_ca = _optional(environment, "METRICS_CLIENT_CA")
    if (certificate is None) is not (key is None) or (client_ca and not certificate):
        raise SettingsError(
            f"{_PREFIX}METRICS_CERTIFICATE and {_PREFIX}METRICS_KEY must be set together,"
            f" and with {_PREFIX}METRICS_CLIENT_CA, but got {certificate}, {key} and {client_ca}"
        )
    return Settings(
        trainer_image=_required(environment, "TRAINER_IMAGE", "the image of Ray pods"),
        storage_uri=_optional(environment, "STORAGE_URI"),
        ray_version=_ray_version(environment),
        watch_namespaces=_namespaces(environment),
        log_level=_choice(environment, "LOG_LEVEL", _LEVELS, "INFO"),
        health_port=int(_number(environment, "HEALTH_PORT", 8080, 1, _HIGHEST_PORT)),
        metrics_port=int(_number(environment, "METRICS_PORT", 0, 0, _HIGHEST_PORT)),
        metrics_certificate=Path(certificate) if certificate else None,
        metrics_key=Path(key) if key else None,
        metrics_client_ca=Path(client_ca) if client_ca else None,
        time_factor=_number(environment, "TIME_FACTOR", 1.0, 0.001, 10.0),
    )


def _optional(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get(_PREFIX + name, "").strip() or None


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = _optional(environment, name)
    if value is None:
        raise SettingsError(f"{_PREFIX}{name} is not set: it names {meaning}")
    return value


def _ray_version(environment: Mapping[str, str]) -> str | None:
    value = _optional(environment, "RAY_VERSION")
    if value is not None and not re.search(RAY_VERSION, value):
        raise SettingsError(
            f"{_PREFIX}RAY_VERSION must be at least 2.53.0, such as 2.60.0, but got {value}"
        )
    return value


def _namespaces(environment: Mapping[str, str]) -> tuple[str, ...]:
    text = _optional(environment, "WATCH_NAMESPACES")
    if text is None:
        return ()
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if not _NAMESPACE.fullmatch(name):
            raise SettingsError(
                f"{_PREFIX}WATCH_NAMESPACES must be names of namespaces with commas between them"
                f" but got {text}"
            )
    return names


def _choice(environment: Mapping[str, str], name: str, known: tuple[str, ...], default: str) -> str:
    value = (_optional(environment, name) or default).upper()
    if value not in known:
        raise SettingsError(f"{_PREFIX}{name} must be one of {', '.join(known)} but got {value}")
    return value


def _number(
    environment: Mapping[str, str], name: str, default: float, least: float, most: float
) -> float:
    text = _optional(environment, name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise SettingsError(f"{_PREFIX}{name} must be from {least} to {most} but got {text}")
    return value
