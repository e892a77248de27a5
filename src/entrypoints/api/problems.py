"""Every refusal, in one form (RFC 9457) and from one table.

Rule of the file: the domain's errors have a ``code``, which is what a ``type``
ends in; which status goes with it stands in :data:`STATUS` and nowhere else.
What is not in the table is our own fault: it is logged, and the client is told
nothing of it but the id of the request.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any

import structlog
from attrs import frozen
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
)
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.types import ExceptionHandlersMap

from galaxy_jobs.domain.errors import DomainError, RunnerUnavailable
from galaxy_jobs.entrypoints.hints import explain


log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"

STATUS: Mapping[str, int] = MappingProxyType(
    {
        "malformed-request": 400,
        "unauthenticated": 401,
        "forbidden": 403,
        "not-found": 404,
        "job-not-found": 404,
        "submission-not-found": 404,
        "dataset-not-found": 422,
        "workflow-not-found": 422,
        "workflow-not-allowed": 422,
        # Galaxy has forgotten a job that we know: what was asked for (its
        # outputs) is not there, though the job is.
        "gone": 404,
        "method-not-allowed": 405,
        "in-progress": 409,
        "already-ended": 409,
        "dataset-exists": 409,
        "conflict": 409,
        "too-large": 413,
        "unsupported-media-type": 415,
        "workflow-ambiguous": 422,
        "invalid-parameters": 422,
        "galaxy-rejected": 422,
        "idempotency-key-reused": 422,
        "too-many-requests": 429,
        "internal-error": 500,
        "galaxy-refused-us": 502,
        "galaxy-unavailable": 503,
        "database-unavailable": 503,
        "shutting-down": 503,
        "outcome-unknown": 504,
    }
)
"""The status of each problem, by its code."""

ADDRESSED = frozenset(
    {"dataset-not-found", "workflow-not-found", "workflow-not-allowed"}
)
"""What is a 404 where the address itself names it (a GET): a request that only
mentions it is understood and cannot be done, which is what STATUS says."""

RETRY_AFTER: Mapping[str, int] = MappingProxyType(
    {
        "in-progress": 2,
        "galaxy-unavailable": 10,
        "database-unavailable": 5,
        "shutting-down": 5,
    }
)
"""After how many seconds to try again, where nobody knows better."""


_EVERYWHERE = ("malformed-request", "forbidden", "internal-error", "shutting-down")
"""What any route may answer: the edge and the server do."""

_WITH_TOKENS = ("unauthenticated", "too-many-requests", "database-unavailable")
"""What any may that takes a token."""


class Refused(Exception):
    """A refusal that is HTTP's own: no use case was called.

    Attributes:
        code: A key of :data:`STATUS`.
        detail: A sentence for people.
        extra: What a program may want to know besides.
        headers: What goes with the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


@frozen(kw_only=True)
class ProblemDetails:
    """Why a request was refused. Some types have more members; see there."""

    type: Annotated[str, Parameter(description="Stable; ends in the problem's code.")]
    title: Annotated[
        str, Parameter(description="The same for every problem of a type.")
    ]
    status: Annotated[int, Parameter(description="That of the answer.")]
    detail: Annotated[str, Parameter(description="What was read, expected, and to do.")]
    instance: Annotated[str, Parameter(description="The path that was asked for.")]
    request_id: Annotated[
        str, Parameter(description="As in the header `X-Request-ID` and in our logs.")
    ]


def status_of(code: str, *, addressed: bool) -> int:
    """Return the status of a problem.

    Args:
        code: Of the problem; an unknown one is our fault.
        addressed: Whether the address of the request names what is meant.
    """
    if addressed and code in ADDRESSED:
        return HTTPStatus.NOT_FOUND
    return STATUS.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)


def type_of(code: str) -> str:
    """Return the type of every problem of that code."""
    return f"urn:galaxy-jobs:problem:{code}"


def title_of(code: str) -> str:
    """Return the title of every problem of that code."""
    return code.replace("-", " ").capitalize()


def members(
    code: str, detail: str, extra: Mapping[str, object], *, addressed: bool = False
) -> dict[str, object]:
    """Return a problem's members, but for what only a request can tell."""
    return {
        "type": type_of(code),
        "title": title_of(code),
        "status": status_of(code, addressed=addressed),
        "detail": detail,
        **extra,
    }


def refusals(
    *codes: str, addressed: bool = False, open_to_all: bool = False
) -> dict[int, ResponseSpec]:
    """Return what a route's documentation says of its refusals.

    Args:
        codes: Those of its own; those that every route has are added.
        addressed: As for :func:`status_of`.
        open_to_all: Whether it takes no token.
    """
    by_status: dict[int, list[str]] = defaultdict(list)
    everywhere = _EVERYWHERE if open_to_all else (*_EVERYWHERE, *_WITH_TOKENS)
    for code in dict.fromkeys((*codes, *everywhere)):
        by_status[status_of(code, addressed=addressed)].append(code)
    return {
        status: ResponseSpec(
            ProblemDetails,
            generate_examples=False,
            description=" or ".join(f"`{code}`" for code in found),
            media_type=PROBLEM_JSON,
        )
        for status, found in sorted(by_status.items())
    }


def headers_of(code: str) -> dict[str, str]:
    """Return what goes with every problem of that code."""
    return {"Retry-After": str(RETRY_AFTER[code])} if code in RETRY_AFTER else {}


def body(found: Mapping[str, object], *, path: str, request_id: str) -> bytes:
    """Return a problem as it goes over the wire."""
    said = {**found, "instance": path, "request_id": request_id}
    # Not msgspec: a detail may quote what cannot be encoded, and escapes can.
    return json.dumps(said).encode()


def _answer(
    request: Request[Any, Any, Any],
    code: str,
    detail: str,
    *,
    extra: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    found = members(
        code, detail, extra or {}, addressed=request.method in {"GET", "HEAD"}
    )
    return Response(
        body(
            found,
            path=request.scope["path"],
            request_id=request.scope["state"].get("request_id", ""),
        ),
        status_code=status_of(code, addressed=request.method in {"GET", "HEAD"}),
        media_type=PROBLEM_JSON,
        headers={**headers_of(code), **(headers or {})},
    )


def refused(request: Request[Any, Any, Any], error: Refused) -> Response[bytes]:
    """Return the answer to a request that is refused."""
    return _answer(
        request, error.code, error.detail, extra=error.extra, headers=error.headers
    )


def _domain(request: Request[Any, Any, Any], error: DomainError) -> Response[bytes]:
    if error.code not in STATUS:
        return _unforeseen(request, error)
    wait = error.retry_after if isinstance(error, RunnerUnavailable) else None
    return _answer(
        request,
        error.code,
        explain(error),
        extra=error.extra(),
        headers=None if wait is None else {"Retry-After": f"{max(1, math.ceil(wait))}"},
    )


def _unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("request failed", exc_info=error)
    return _answer(
        request,
        "internal-error",
        "Something went wrong here. The log tells what, under this request_id.",
    )


def _litestar(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Say in our form what Litestar refuses by itself."""
    match error:
        case NotFoundException():
            return _answer(
                request, "not-found", f"There is nothing at {request.scope['path']}."
            )
        case MethodNotAllowedException():
            allowed = (error.headers or {}).get("allow", "")
            return _answer(
                request,
                "method-not-allowed",
                f"{request.method} is not done here; allowed are: {allowed}.",
                headers={"Allow": allowed},
            )
        case HTTPException(status_code=413):
            return _answer(
                request, "too-large", "The body is too large; 1 MiB is the most."
            )
        case HTTPException(status_code=status) if 400 <= status < 500:  # noqa: PLR2004 - the client's fault
            return _answer(request, "malformed-request", f"{error.detail}.")
        case _:
            return _unforeseen(request, error)


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    Refused: refused,
    DomainError: _domain,
    HTTPException: _litestar,
    Exception: _unforeseen,
}
"""For Litestar: whatever is raised becomes a problem."""
