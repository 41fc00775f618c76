"""Log lines as JSON, one format for ours and kopf's, each with the job that it is about.

`__main__` sets it up once; the reconciler binds job, stage and attempt for the time of a pass.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import structlog

__all__ = ["bind_job", "get_logger", "set_up_logs"]

_CREDENTIALS = re.compile(r"(://)[^/\s:@]+:[^/\s@]+@")
_NOISY = ("kopf", "kopf.objects", "asyncio", "aiohttp.access")


def set_up_logs(level: str) -> None:
    """Send every log line of the process to standard error as one JSON object.

    Args:
        level: Of our own lines; those of kopf are at least warnings.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        _mask_credentials,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    if level != "DEBUG":
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def bind_job(
    *, namespace: str, job: str, attempt: int | None = None, stage: str | None = None
) -> AbstractContextManager[None]:
    """Return a context in which every log line of this task names the job."""
    known = {"namespace": namespace, "job": job, "attempt": attempt, "stage": stage}
    return structlog.contextvars.bound_contextvars(
        **{key: value for key, value in known.items() if value is not None}
    )


def _mask_credentials(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _CREDENTIALS.sub(r"\1***@", value)
    return event
