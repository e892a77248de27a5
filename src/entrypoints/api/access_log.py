"""The access log: one line for each request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog

from galaxy_jobs.entrypoints.api.auth import PUBLIC, Caller


log = structlog.get_logger("galaxy_jobs.access")

LOGGED_PATH_LENGTH = 300
"""Characters of a path that are logged: a client may send thousands."""


def log_request(scope: Any, method: str, status: int, seconds: float) -> None:
    """Log a request that was answered with *status* after *seconds*."""
    handler = scope.get("route_handler")
    ok = status < HTTPStatus.BAD_REQUEST
    if ok and handler is not None and handler.opt.get(PUBLIC):
        return  # asked every few seconds by machines: not worth a line each
    caller: Caller | None = scope.get("user")
    log.info(
        "request",
        method=method,
        path=scope["path"][:LOGGED_PATH_LENGTH],
        status=status,
        **({"token": caller.id} if caller is not None and caller.id else {}),
        ms=round(1000 * seconds, 1),
    )
