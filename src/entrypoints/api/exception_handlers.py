"""Turns whatever is raised during a request into problem details (RFC 9457)."""

from __future__ import annotations

import json
import math
from typing import Any

import structlog
from litestar import Request, Response, exceptions

from galaxy_jobs.adapters.http_server import ClientDisconnected
from galaxy_jobs.domain.errors import DomainError, RunnerUnavailable
from galaxy_jobs.entrypoints.api import problems
from galaxy_jobs.entrypoints.api.parameters import parameter_at_fault
from galaxy_jobs.entrypoints.api.problems import Refused, malformed, refused_by


log = structlog.get_logger(__name__)


def problem_of(request: Request[Any, Any, Any], error: Exception) -> Refused:
    """Return the refusal that a client gets for an exception.

    An unexpected error is logged; the client gets the request's id.
    """
    match error:
        case Refused():
            return error
        case RunnerUnavailable(retry_after=float() | int() as wait):
            return refused_by(error, {"Retry-After": str(max(1, math.ceil(wait)))})
        case DomainError() if error.code in problems.STATUS:
            return refused_by(error)
        case exceptions.NotFoundException():
            return Refused("not-found", f"There is nothing at {request.scope['path']}.")
        case exceptions.MethodNotAllowedException():
            allowed = (error.headers or {}).get("allow", "")
            return Refused(
                "method-not-allowed",
                f"{request.method} is not allowed on this resource; allowed: "
                f"{allowed}.",
                headers={"Allow": allowed},
            )
        case ClientDisconnected() | exceptions.InternalServerException() if (
            "disconnected" in str(error)
        ):
            return malformed("The client disconnected.")
        case exceptions.ValidationException():
            return parameter_at_fault(request, error)
        case exceptions.HTTPException(status_code=413):
            return Refused("too-large", "The body is too large; the limit is 1 MiB.")
        case exceptions.HTTPException(status_code=status) if 400 <= status < 500:  # noqa: PLR2004 - the client's fault
            return malformed(f"{error.detail}.")
        case _:
            log.error("request failed", exc_info=error)
            return Refused(
                "internal-error",
                "An unexpected error occurred. The log has it, with this request_id.",
            )


def problem_members(
    request: Request[Any, Any, Any], problem: Refused
) -> dict[str, Any]:
    """Return all members of the problem that answers a request."""
    return {
        **problems.members(problem, addressed=request.method != "POST"),
        "instance": request.scope["path"],
        "request_id": request.scope["state"].get("request_id", ""),
    }


def problem_response(
    request: Request[Any, Any, Any], error: Exception
) -> Response[bytes]:
    """Return the response to a request that has raised an exception."""
    problem = problem_of(request, error)
    members = problem_members(request, problem)
    return Response(
        # Not msgspec: a detail may quote what only escapes can encode.
        json.dumps(members).encode(),
        status_code=members["status"],
        media_type=problems.PROBLEM_JSON,
        headers=problem.headers,
    )
