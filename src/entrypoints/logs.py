"""Structured logs on standard error: for people on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from traceback import walk_tb

import structlog

from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.domain.model.audit import AuditEntry
from galaxy_jobs.entrypoints.client import output


PLACES = 8
"""The lines of code that are given of an unexpected error, at most."""


def unexpected(error: BaseException) -> str:
    """Return an unexpected error in one line: its type, and the last lines it crossed.

    Its message, the source and the locals may hold anything, such as SQL or a key.
    """
    crossed = [
        f"{Path(frame.f_code.co_filename).name}:{number}"
        for frame, number in walk_tb(error.__traceback__)
    ]
    places = f", at {' > '.join(crossed[-PLACES:])}" if crossed else ""
    return f"Unexpected: {type(error).__name__}{places}."


def configure(*, level: int = logging.INFO) -> None:
    """Send our logs, and those of the libraries, to standard error, from a level up."""
    formatter = structlog.stdlib.ProcessorFormatter
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = [
        formatter.remove_processors_meta,
        structlog.processors.ExceptionRenderer(lambda info: unexpected(info[1])),
    ]
    if sys.stderr.isatty():
        last += [_visible, structlog.dev.ConsoleRenderer()]
    else:
        last.append(structlog.processors.JSONRenderer())
    structlog.configure(
        processors=[*shared, formatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output.Screen(stderr=True).file)
    handler.setFormatter(formatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("urllib3", "bioblend", "httpx", "alembic", "psycopg", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _visible(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {
        name: output.visible(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def not_recorded(entry: AuditEntry, error: Exception) -> None:
    """Log what was done and could not be recorded: the log is its record."""
    structlog.get_logger().error(
        "not recorded",
        problem=str(error),
        owner=entry.owner,
        action=entry.action.value,
        object_kind=entry.kind.value,
        object_id=entry.object_id,
    )


def items_left(error: Exception) -> None:
    """Log why items of batches could not be begun, or be recorded, for now."""
    problem = str(error) if isinstance(error, DomainError) else unexpected(error)
    structlog.get_logger().warning("items of batches are left", problem=problem)


def request_id() -> str | None:
    """Return the id of the request that this thread serves; None: it serves none."""
    id_: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return id_
