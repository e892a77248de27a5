"""Structured logs on standard error: for people on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import sys

import structlog

from galaxy_jobs.entrypoints.client import output


def configure(*, level: int = logging.INFO) -> None:
    """Send our logs, and those of the libraries, to standard error, from a level up."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Locals of a frame may hold a key or a token: tracebacks go without them.
    last: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if sys.stderr.isatty():
        plain = structlog.dev.plain_traceback
        last = [
            structlog.processors.format_exc_info,
            lambda _, __, event: {
                name: output.visible(value) if isinstance(value, str) else value
                for name, value in event.items()
            },
            structlog.dev.ConsoleRenderer(exception_formatter=plain),
        ]
    formatter = structlog.stdlib.ProcessorFormatter
    structlog.configure(
        processors=[*shared, formatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output.Screen(stderr=True).file)
    last.insert(0, formatter.remove_processors_meta)
    handler.setFormatter(formatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("urllib3", "bioblend", "httpx", "alembic", "psycopg", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
