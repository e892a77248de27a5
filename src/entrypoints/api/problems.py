"""Problem details (RFC 9457): every refusal in one form, from one table.

The domain's errors have a ``code``, which is what a ``type`` ends in; the status of
each code stands in :data:`STATUS` and nowhere else. An error that is not in the table
is a defect of the service: it is logged, and the client gets the request's id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from attrs import define, field
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from galaxy_jobs.domain import DomainError, Problem, errors
from galaxy_jobs.domain.errors import RunnerUnavailable, shortened
from galaxy_jobs.domain.model.batch import CANCELLED
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.hints import explain


PROBLEM_JSON = "application/problem+json"

TEXT_LENGTH = 10_000
"""The number of characters of any text of a problem at most."""

STATUS: Mapping[str, int] = {
    "malformed-request": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not-found": 404,
    "job-not-found": 404,
    "step-not-found": 404,
    "submission-not-found": 404,
    "output-not-found": 404,
    "upload-not-found": 404,
    "webhook-not-found": 404,
    "batch-not-found": 404,
    "dataset-not-found": 422,
    "workflow-not-found": 422,
    "workflow-not-allowed": 422,
    # Galaxy has forgotten a job that we know: its outputs are not found.
    "gone": 404,
    "method-not-allowed": 405,
    "in-progress": 409,
    "already-ended": 409,
    "not-ended": 409,
    "results-in-use": 409,
    "no-review": 409,
    "too-many-jobs": 409,
    "nothing-failed": 409,
    # Of an item that was never begun; no request is answered with it.
    "cancelled": 409,
    "output-not-ready": 409,
    "dataset-exists": 409,
    "job-exists": 409,
    "dataset-in-use": 409,
    "conflict": 409,
    "results-deleted": 410,
    "precondition-failed": 412,
    "upload-incomplete": 409,
    "upload-expired": 410,
    "quota-exceeded": 413,
    "too-large": 413,
    "unsupported-media-type": 415,
    "range-not-satisfiable": 416,
    "workflow-ambiguous": 422,
    "workflow-mismatch": 422,
    "workflow-unreadable": 422,
    "workflow-version-not-found": 422,
    "invalid-parameters": 422,
    "invalid-items": 422,
    "invalid-source": 422,
    "galaxy-rejected": 422,
    "size-mismatch": 422,
    "receiver-not-allowed": 422,
    "checksum-mismatch": 422,
    "idempotency-key-reused": 422,
    "too-many-requests": 429,
    "internal-error": 500,
    "galaxy-refused-us": 502,
    "receiver-unavailable": 502,
    "galaxy-unavailable": 503,
    "database-unavailable": 503,
    "issuer-unavailable": 503,
    "storage-unavailable": 503,
    "shutting-down": 503,
    "outcome-unknown": 504,
}
"""The status of each problem, by its code."""

ADDRESSED = frozenset(
    {"dataset-not-found", "workflow-not-found", "workflow-not-allowed"}
)
"""Codes that are 404 where the path itself names the thing (GET). A request that only
mentions it is understood and cannot be carried out, which is what STATUS says."""

RETRY_AFTER: Mapping[str, int] = {
    "in-progress": 2,
    "galaxy-unavailable": 10,
    "database-unavailable": 5,
    "issuer-unavailable": 5,
    "storage-unavailable": 5,
    "shutting-down": 5,
}
"""Seconds after which to try again, where the error itself does not know better."""

_EVERY_ROUTE = ("malformed-request", "forbidden", "internal-error", "shutting-down")
_ROUTES_WITH_TOKENS = (
    "unauthenticated",
    "too-many-requests",
    "database-unavailable",
    "issuer-unavailable",
)


@define
class Refused(Exception):
    """A request that is refused.

    Attributes:
        code: A key of :data:`STATUS`.
        detail: A sentence for people.
        extra: Further members of the problem, for programs.
        headers: Headers of the response; `Retry-After` is added by the code.
    """

    code: str
    detail: str
    extra: Mapping[str, object] = field(factory=dict, kw_only=True)
    headers: Mapping[str, str] = field(factory=dict, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (wait := RETRY_AFTER.get(self.code)) is not None:
            self.headers = {"Retry-After": str(wait), **self.headers}

    def __str__(self) -> str:
        return self.detail


def malformed(detail: str, **extra: object) -> Refused:
    """Return the refusal of a request that is not understood."""
    return Refused("malformed-request", detail, extra=extra)


def shutting_down() -> Refused:
    """Return the refusal of a service that is being stopped."""
    return Refused("shutting-down", "The service is shutting down. Try again.")


def refused_by(
    error: DomainError, headers: Mapping[str, str] = MappingProxyType({})
) -> Refused:
    """Return the refusal that a client gets for an error of the core."""
    problem = Refused(error.code, explain(error), extra=error.extra(), headers=headers)
    if isinstance(error, RunnerUnavailable) and error.lasting:
        problem.headers = headers  # without Retry-After: waiting does not help
    return problem


def status_of(code: str, *, addressed: bool) -> int:
    """Return the status of a problem; *addressed* if the path names the thing (GET)."""
    return 404 if addressed and code in ADDRESSED else STATUS.get(code, 500)


def type_of(code: str) -> str:
    """Return the type of every problem of that code."""
    return f"urn:galaxy-jobs:problem:{code}"


def members(problem: Refused | Problem, *, addressed: bool = False) -> dict[str, Any]:
    """Return the members of a problem, without those that name the request."""
    texts = {"detail": problem.detail, **problem.extra}
    return {
        "type": type_of(problem.code),
        "title": problem.code.replace("-", " ").capitalize(),
        "status": status_of(problem.code, addressed=addressed),
        **{
            name: shortened(text, TEXT_LENGTH) if isinstance(text, str) else text
            for name, text in texts.items()
        },
    }


def refusals(
    *codes: str, addressed: bool = False, public: bool = False
) -> dict[int, ResponseSpec]:
    """Return the documentation of a route's refusals, with those of every route.

    A *public* route takes no token; *addressed* is that of :func:`status_of`.
    """
    common = _EVERY_ROUTE if public else (*_EVERY_ROUTE, *_ROUTES_WITH_TOKENS)
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys((*codes, *common)):
        by_status[status_of(code, addressed=addressed)].append(code)
    return {
        status: ResponseSpec(
            schemas.ProblemDetails,
            generate_examples=False,
            description=" or ".join(f"`{code}`" for code in at_status),
            media_type=PROBLEM_JSON,
            examples=[_example(code, addressed=addressed) for code in at_status],
        )
        for status, at_status in sorted(by_status.items())
    }


def _example(code: str, *, addressed: bool) -> Example:
    value = {
        **members(EXAMPLES[code], addressed=addressed),
        "instance": "/jobs",
        "request_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return Example(id=code, summary=value["title"], value=value)


_JOB = "f2db41e1fa331b3e"
_SUBMISSION = UUID("3c8f1d52-7b0e-4a3c-9a41-0b5f7a3c2d10")

_REFUSED = (
    malformed("Expected `bool`, got `str` - at `$.overwrite`.", field="overwrite"),
    Refused(CANCELLED.code, CANCELLED.detail),
    Refused("forbidden", "This token has the scope 'read'; POST needs 'submit'."),
    Refused("not-found", "There is nothing at /jobs/%FF."),
    Refused("method-not-allowed", "PUT is not allowed on this resource; allowed: GET."),
    Refused("too-large", "The body is too large; the limit is 1 MiB."),
    Refused(
        "unsupported-media-type",
        "Content-Type is 'text/plain'; expected 'application/json'.",
    ),
    Refused("precondition-failed", "The output is another one by now."),
    Refused("range-not-satisfiable", "The output has 37 bytes; got 'bytes=40-'."),
    Refused("too-many-requests", "More than 4000 requests at once. Try later."),
    Refused("internal-error", "An unexpected error occurred."),
    shutting_down(),
)
_ERRORS = (
    errors.BadToken(),
    errors.JobNotFound(_JOB),
    errors.SubmissionNotFound(_SUBMISSION),
    errors.DatasetNotFound("reads-1"),
    errors.InvalidSource("reads-1", "another program registered it wrongly."),
    errors.WorkflowNotFound("sort-and-count"),
    errors.WorkflowNotAllowed("sort-and-count", ["variant-calling"]),
    errors.RunNotFound(f"Galaxy has no invocation {_JOB!r} any more."),
    errors.KeyInProgress(_SUBMISSION),
    errors.TooManyJobs(10),
    errors.AlreadyEnded(_JOB, "completed"),
    errors.BatchNotFound(_SUBMISSION),
    errors.InvalidItems({2: errors.DatasetNotFound("reads-3")}, 96),
    errors.NothingFailed(_SUBMISSION),
    errors.NotEnded(_JOB, "in_progress"),
    errors.ResultsInUse(
        _JOB, "dataset 'reads-2' needs them.", [("dataset", "reads-2")]
    ),
    errors.StepNotFound(_JOB, "9"),
    errors.OutputNotFound(_JOB, ["lines"]),
    errors.OutputNotReady(["sorted"], "running"),
    errors.ResultsDeleted(["sorted"]),
    errors.NoReview(_JOB, "1", ["2"]),
    errors.DatasetExists("reads-1"),
    errors.DatasetInUse("reads-1", "job", _JOB),
    errors.UploadNotFound(str(_SUBMISSION)),
    errors.JobExists(_JOB, "on dataset 'reads-2'"),
    errors.RunMismatch(_JOB, "sort-and-count", "variant-calling"),
    errors.WebhookNotFound(str(_SUBMISSION)),
    errors.ReceiverNotAllowed("The address begins with http; expected https."),
    errors.ReceiverUnavailable("The receiver answered with 503."),
    errors.UploadIncomplete(str(_SUBMISSION), [2, 3]),
    errors.UploadExpired(str(_SUBMISSION)),
    errors.SizeMismatch("Part 1 has 7 bytes; 10 were declared."),
    errors.ChecksumMismatch.between("0" * 64, "f" * 64),
    errors.QuotaExceeded("1000 uploads are open, and no more than 1000 may be."),
    errors.StorageUnavailable("The disk of the store is full."),
    errors.StaleVersion(f"Job {_JOB!r}", 7),
    errors.WorkflowAmbiguous("sort-and-count", ["f597429621d6eb2b", "1cd8e2f6"]),
    errors.WorkflowUnreadable("sort-and-count", "it answers with an error 500"),
    errors.WorkflowVersionNotFound("sort-and-count", 7, "The newest is version 3."),
    errors.InvalidParameters(
        {"sleep_s": "Input 'sleep_s' takes an integer from 0 to 600, got \"two\"."}
    ),
    errors.RunRejected("A required tool is missing.", 400008),
    errors.KeyReused(),
    errors.RunnerRefusedUs("Galaxy does not accept the configured key."),
    errors.RunnerUnavailable("Galaxy could not be reached; nothing was started."),
    errors.IssuerUnavailable("https://login.example.org", "it does not answer"),
    errors.StoreUnavailable("The database is not available: connection refused."),
    errors.OutcomeUnknown("Galaxy's answer was lost.", _SUBMISSION),
)
EXAMPLES: Mapping[str, Refused] = {
    example.code: example for example in (*_REFUSED, *map(refused_by, _ERRORS))
}
"""A problem of each code, for the OpenAPI document."""
