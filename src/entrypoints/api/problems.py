"""Problem details (RFC 9457): every refusal in one form, from one table.

The domain's errors have a ``code``, which is what a ``type`` ends in; the status of
each code stands in :data:`STATUS` and nowhere else. An error that is not in the table
is a defect of the service: it is logged, and the client gets the request's id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from uuid import UUID

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from galaxy_jobs.domain import errors
from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.hints import explain


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
        # Galaxy has forgotten a job that we know: its outputs are not found.
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
"""Codes that are 404 where the path itself names the thing (GET). A request that only
mentions it is understood and cannot be carried out, which is what STATUS says."""

RETRY_AFTER: Mapping[str, int] = MappingProxyType(
    {
        "in-progress": 2,
        "galaxy-unavailable": 10,
        "database-unavailable": 5,
        "shutting-down": 5,
    }
)
"""Seconds after which to try again, where the error itself does not know better."""

_EVERY_ROUTE = ("malformed-request", "forbidden", "internal-error", "shutting-down")
_ROUTES_WITH_TOKENS = ("unauthenticated", "too-many-requests", "database-unavailable")


class Refused(Exception):
    """A refusal that is HTTP's own: no use case was called.

    Attributes:
        code: A key of :data:`STATUS`.
        detail: A sentence for people.
        extra: Further members of the problem, for programs.
        headers: Headers of the response.
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


def shutting_down() -> Refused:
    """Return the refusal of a service that is being stopped."""
    return Refused("shutting-down", "The service is shutting down. Try again.")


def status_of(code: str, *, addressed: bool) -> int:
    """Return the status of a problem.

    Args:
        code: Of the problem; an unknown one is an internal error.
        addressed: Whether the path of the request names the thing (GET).
    """
    if addressed and code in ADDRESSED:
        return HTTPStatus.NOT_FOUND
    return STATUS.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)


def type_of(code: str) -> str:
    """Return the type of every problem of that code."""
    return f"urn:galaxy-jobs:problem:{code}"


def members(
    code: str, detail: str, extra: Mapping[str, object], *, addressed: bool = False
) -> dict[str, object]:
    """Return the members of a problem, without those that name the request."""
    return {
        "type": type_of(code),
        "title": code.replace("-", " ").capitalize(),
        "status": status_of(code, addressed=addressed),
        "detail": detail,
        **extra,
    }


def refusals(
    *codes: str, addressed: bool = False, public: bool = False
) -> dict[int, ResponseSpec]:
    """Return the documentation of a route's refusals.

    Args:
        codes: Those of the route itself; those that every route has are added.
        addressed: As for :func:`status_of`.
        public: Whether the route takes no token.
    """
    common = _EVERY_ROUTE if public else (*_EVERY_ROUTE, *_ROUTES_WITH_TOKENS)
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys((*codes, *common)):
        by_status[status_of(code, addressed=addressed)].append(code)
    return {
        status: ResponseSpec(
            schemas.ProblemDetails,
            generate_examples=False,
            description=" or ".join(f"`{code}`" for code in found),
            media_type=PROBLEM_JSON,
            examples=[_example(code, status) for code in found],
        )
        for status, found in sorted(by_status.items())
    }


def _example(code: str, status: int) -> Example:
    error = EXAMPLES[code]
    detail, extra = (
        (error.detail, error.extra)
        if isinstance(error, Refused)
        else (explain(error), error.extra())
    )
    value = {
        **members(code, detail, extra),
        "status": status,
        "instance": "/jobs",
        "request_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return Example(id=code, summary=str(value["title"]), value=value)


_JOB = "f2db41e1fa331b3e"
_SUBMISSION = UUID("3c8f1d52-7b0e-4a3c-9a41-0b5f7a3c2d10")

EXAMPLES: Mapping[str, DomainError | Refused] = {
    example.code: example
    for example in (
        Refused(
            "malformed-request",
            "Expected `bool`, got `str` - at `$.overwrite`.",
            extra={"field": "overwrite"},
        ),
        errors.BadToken(),
        Refused("forbidden", "This token has the scope 'read'; POST needs 'submit'."),
        Refused("not-found", "There is nothing at /jobs/%FF."),
        errors.JobNotFound(_JOB),
        errors.SubmissionNotFound(_SUBMISSION),
        errors.DatasetNotFound("reads-1"),
        errors.WorkflowNotFound("sort-and-count"),
        errors.WorkflowNotAllowed("sort-and-count", ["variant-calling"]),
        errors.RunNotFound(f"Galaxy has no invocation {_JOB!r} any more."),
        Refused(
            "method-not-allowed",
            "PUT is not allowed on this resource; allowed: GET, POST.",
        ),
        errors.KeyInProgress(_SUBMISSION),
        errors.AlreadyEnded(_JOB, "completed"),
        errors.DatasetExists("reads-1"),
        errors.StaleVersion(f"Job {_JOB!r}", 7),
        Refused("too-large", "The body is too large; the limit is 1 MiB."),
        Refused(
            "unsupported-media-type",
            "Content-Type is 'text/plain'; expected 'application/json'.",
        ),
        errors.WorkflowAmbiguous("sort-and-count", ["f597429621d6eb2b", "1cd8e2f6"]),
        errors.InvalidParameters(
            {"sleep_s": "Input 'sleep_s' takes an integer from 0 to 600, got 'two'."}
        ),
        errors.RunRejected("A required tool is missing.", 400008),
        errors.KeyReused(),
        Refused("too-many-requests", "More than 4000 requests at once. Try later."),
        Refused("internal-error", "An unexpected error occurred."),
        errors.RunnerRefusedUs("Galaxy does not accept the configured key."),
        errors.RunnerUnavailable("Galaxy could not be reached; nothing was started."),
        errors.StoreUnavailable("The database is not available: connection refused."),
        shutting_down(),
        errors.OutcomeUnknown(
            "Galaxy's answer was lost; the outcome is being determined.", _SUBMISSION
        ),
    )
}
"""A problem of each code, for the OpenAPI document."""
