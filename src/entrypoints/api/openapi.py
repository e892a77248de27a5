"""The OpenAPI document: what Litestar makes of the routes, and what all of them share.

Rule of the file: what one route alone takes or answers stands at that route. Here
stands what the edge does for every one (tokens, limits, headers), and an example of
each thing that goes over the wire; the tests hold examples to their schemas.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from litestar import Litestar, Request
from litestar.openapi.plugins import JsonRenderPlugin

from galaxy_jobs.domain import errors
from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.domain.model.submission import KEY_LENGTH
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.entrypoints.api import problems
from galaxy_jobs.entrypoints.api.auth import COOKIE, HEALTH
from galaxy_jobs.entrypoints.api.problems import PROBLEM_JSON, Refused


Json = dict[str, Any]

TAGS: Mapping[str, str] = {
    "jobs": "Run workflows, and follow what becomes of them.",
    "datasets": "What workflows are run on.",
    "workflows": "What may be run, and what it takes.",
    "health": "For machines that watch over the service; no token is needed.",
}

HEADERS: Mapping[str, Json] = {
    "X-Request-ID": {
        "description": "The id of this request: yours if you sent one of up to 128 "
        "letters, digits and `._:-`, else a new one. It stands in our logs.",
        "schema": {"type": "string"},
        "example": "0af7651916cd43dd8448eb211c80319c",
    },
    "Cache-Control": {
        "description": "What is answered is for its caller alone.",
        "schema": {"type": "string"},
        "example": "no-store",
    },
    "WWW-Authenticate": {
        "description": "What kind of token is wanted, and what was wrong (RFC 6750).",
        "schema": {"type": "string"},
        "example": 'Bearer realm="galaxy-jobs", error="invalid_token"',
    },
    "Retry-After": {
        "description": "In how many seconds to try again.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 5,
    },
    "Location": {
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/jobs/f2db41e1fa331b3e",
    },
    "Idempotent-Replayed": {
        "schema": {"type": "string", "const": "true"},
        "example": "true",
    },
}
"""What is to be said of headers, wherever they stand."""

_JOB = "f2db41e1fa331b3e"
_SUBMISSION = UUID("3c8f1d52-7b0e-4a3c-9a41-0b5f7a3c2d10")

REFUSALS: Sequence[DomainError | Refused] = (
    Refused(
        "malformed-request",
        "'overwrite' is \"yes\"; expected true or false.",
        extra={"field": "overwrite"},
    ),
    errors.BadToken(),
    Refused(
        "forbidden",
        "This token may read only; POST takes one of the scope 'submit'.",
    ),
    Refused("not-found", "There is nothing at /jobs/%FF."),
    errors.JobNotFound(_JOB),
    errors.SubmissionNotFound(_SUBMISSION),
    errors.DatasetNotFound("reads-1"),
    errors.WorkflowNotFound("sort-and-count"),
    errors.WorkflowNotAllowed("sort-and-count", ["variant-calling"]),
    errors.RunNotFound(f"Galaxy has no invocation {_JOB!r} any more."),
    Refused("method-not-allowed", "PUT is not done here; allowed are: GET, POST."),
    errors.KeyInProgress(_SUBMISSION),
    errors.AlreadyEnded(_JOB, "completed"),
    errors.DatasetExists("reads-1"),
    errors.StaleVersion(f"Job {_JOB!r}", 7),
    Refused("too-large", "The body is too large; 1 MiB is the most."),
    Refused(
        "unsupported-media-type",
        "Content-Type is 'text/plain'; expected 'application/json'.",
    ),
    errors.WorkflowAmbiguous(
        "sort-and-count", ["f597429621d6eb2b", "1cd8e2f6b131e891"]
    ),
    errors.InvalidParameters(
        {"sleep_s": "Input 'sleep_s' takes an integer from 0 to 600, got 'two'."}
    ),
    errors.RunRejected("Workflow was not invoked; a required tool is missing.", 400008),
    errors.KeyReused(),
    Refused(
        "too-many-requests",
        "That is more than 4000 requests at once, or 2000 in a second. Come back in "
        "a while.",
    ),
    Refused(
        "internal-error",
        "Something went wrong here. The log tells what, under this request_id.",
    ),
    errors.RunnerRefusedUs("Galaxy does not accept the configured key."),
    errors.RunnerUnavailable("Galaxy could not be reached; nothing was started."),
    errors.StoreUnavailable("The database is not available: connection refused."),
    Refused("shutting-down", "The service is being stopped. Ask again."),
    errors.OutcomeUnknown(
        "Galaxy's answer was lost; whether it runs is being found out.", _SUBMISSION
    ),
)
"""One of each code."""

_PROGRESS = {"total": 3, "ok": 1, "running": 0, "waiting": 1, "failed": 1}
_FAILURE = {
    "reason": "job_failed",
    "step": "sort",
    "step_index": 1,
    "path": ["sort"],
    "tool": "sort1/1.2.0",
    "exit_code": 2,
    "stderr": "sort: cannot read: No such file or directory",
    "message": None,
}
_SUMMARY = {
    "invocation_id": _JOB,
    "dataset_id": "reads-1",
    "workflow_name": "sort-and-count",
    "state": "failed",
    "galaxy_state": "scheduled",
    "parameters": {"sleep_s": 2},
    "overwrite": False,
    "rerun_of": None,
    "superseded_by": None,
    "created_at": "2026-01-02T12:00:00Z",
    "updated_at": "2026-01-02T12:04:05.250000Z",
    "observed_at": "2026-01-02T12:04:06.500000Z",
    "stale": False,
    "attention": None,
    "progress": _PROGRESS,
    "failure": _FAILURE,
}
_STEPS = [
    {"index": 0, "label": "text", "tool": None, "state": "ok", "jobs": {}},
    {
        "index": 1,
        "label": "sort",
        "tool": "sort1/1.2.0",
        "state": "failed",
        "jobs": {"ok": 1, "error": 1},
    },
]
_CHANGE = {
    "id": 4711,
    "from_state": "in_progress",
    "to_state": "failed",
    "at": "2026-01-02T12:04:05.250000Z",
    "galaxy_state": "scheduled",
    "progress": _PROGRESS,
    "failure": _FAILURE,
}
_OUTPUT = {
    "label": "sorted",
    "src": "hda",
    "id": "d512183da34dc03c",
    "name": "sort of dataset 1",
    "extension": "txt",
    "size": 37,
    "state": "ok",
}
_SOURCE = {"src": "hda", "id": "5a1cff6882ddb5b2"}
_DATASET = {
    "dataset_id": "reads-1",
    "name": "Reads of sample 1",
    "source": _SOURCE,
    "created_at": "2026-01-02T11:59:00Z",
}
_NEXT = "WzEsIjNmMGE2YiIsIjIwMjYtMDEtMDIiLCJmMmRiIl0"

EXAMPLES: Mapping[str, Json] = {
    "Accepted": {"invocation_id": _JOB, "state": "queued"},
    "DatasetJson": _DATASET,
    "Datasets": {"items": [_DATASET], "next_cursor": _NEXT},
    "EventJson": {
        "invocation_id": _JOB,
        "dataset_id": "reads-1",
        "workflow_name": "sort-and-count",
        **_CHANGE,
    },
    "FailureJson": _FAILURE,
    "GalaxyJson": {"ok": True, "problem": None, "at": "2026-01-02T12:00:00Z"},
    "GalaxySource": _SOURCE,
    "JobDetailJson": {**_SUMMARY, "steps": _STEPS, "history_id": "33b43b4e7093c91f"},
    "JobJson": _SUMMARY,
    "Jobs": {"items": [_SUMMARY], "next_cursor": None},
    "Live": {"status": "alive"},
    "NewDataset": {
        "dataset_id": "reads-1",
        "name": "Reads of sample 1",
        "source": _SOURCE,
    },
    "NewJob": {
        "dataset_id": "reads-1",
        "workflow_name": "sort-and-count",
        "parameters": {"sleep_s": 2},
    },
    "NewRun": {"parameters": {"sleep_s": 3}, "overwrite": True},
    "OutputJson": _OUTPUT,
    "Outputs": {"items": [_OUTPUT], "next_cursor": None},
    "PlanJson": {
        "dataset_id": "reads-1",
        "workflow_name": "sort-and-count",
        "workflow_id": "f597429621d6eb2b",
        "inputs": {"text": _SOURCE, "sleep_s": 2},
    },
    "ProgressJson": _PROGRESS,
    "ReadyJson": {
        "status": "ready",
        "database": True,
        "migrations": "current",
        "galaxy": {"ok": True, "problem": None, "at": "2026-01-02T12:00:00Z"},
        "problem": None,
    },
    "StepJson": _STEPS[1],
    "SubmissionJson": {
        "submission_id": str(_SUBMISSION),
        "state": "accepted",
        "invocation_id": _JOB,
        "problem": None,
    },
    "TransitionJson": _CHANGE,
    "Transitions": {"items": [_CHANGE], "next_cursor": None},
    "UrlSource": {
        "src": "url",
        "url": "https://example.org/reads.fastq",
        "ext": "fastq",
    },
    "WorkflowJson": {
        "name": "sort-and-count",
        "workflow_id": "f597429621d6eb2b",
        "annotation": "Sorts lines and counts them.",
        "dataset_input": "text",
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "sleep_s": {
                    "title": "sleep_s",
                    "anyOf": [
                        {"type": "integer", "minimum": 0, "maximum": 600},
                        {"type": "null"},
                    ],
                    "default": 0,
                }
            },
            "required": [],
            "additionalProperties": False,
        },
    },
    "WorkflowName": {"name": "sort-and-count"},
    "Workflows": {"items": [{"name": "sort-and-count"}], "next_cursor": None},
}
"""One of each model."""

PARAMETERS: Mapping[str, Any] = {
    "invocation_id": _JOB,
    "submission_id": str(_SUBMISSION),
    "dataset_id": "reads-1",
    "workflow_name": "sort-and-count",
    "name": "sort-and-count",
    "state": ["queued", "in_progress"],
    "limit": 50,
    "cursor": _NEXT,
    "wait": 30,
    "validate_only": True,
    "last_event_id": "4711",
    "Last-Event-ID": "4711",
    "Idempotency-Key": "7d1e6f0a",
    "If-None-Match": 'W/"3f0a6b"',
}
"""One of what stands in paths, queries and headers."""


IN_PATHS: Mapping[str, str] = {
    "invocation_id": "The job, by Galaxy's id of its invocation.",
    "submission_id": "The submission, a UUID.",
    "dataset_id": "The dataset, as it was registered.",
    "name": "The workflow, as `GET /workflows` says it; percent-encoded.",
}
"""What is to be said of what stands in paths."""


LIMITS: Mapping[str, Json] = {
    "Idempotency-Key": {"minLength": 1, "maxLength": KEY_LENGTH}
}
"""What a schema is to say besides of what stands there."""


class Document(JsonRenderPlugin):
    """Serves the document."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: Json) -> bytes:
        """Return the document as JSON."""
        del openapi_schema
        return json.dumps(document(request.app)).encode()


def document(app: Litestar) -> Json:
    """Return the whole document of a service."""
    if "document" not in app.state:
        app.state["document"] = _complete(app)
    found: Json = app.state["document"]
    return found


def _complete(app: Litestar) -> Json:
    said: Json = app.openapi_schema.to_schema()
    said["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
    said["tags"] = [
        {"name": name, "description": text}
        for name, text in TAGS.items()
        if any(name in one["tags"] for _, one in _operations(said))
    ]
    components = said["components"]
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token, made by `galaxy-jobs token create`. `read` may "
            "GET, `submit` may POST too. As long as none was ever made, the service "
            "answers on a loopback address, and without.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": "The same token, of a browser that has signed in: to GET.",
        },
    }
    for name, schema in components["schemas"].items():
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]
    _problem(components["schemas"]["ProblemDetails"])
    for (path, method), operation in _operations(said):
        _operation(path, method, operation)
    return said


def _operations(said: Json) -> Iterator[tuple[tuple[str, str], Json]]:
    for path, methods in said["paths"].items():
        for method, operation in methods.items():
            yield (path, method), operation


def _operation(path: str, method: str, operation: Json) -> None:
    scope = Scope.READ if method == "get" else Scope.SUBMIT
    if path.startswith(HEALTH):
        operation["security"] = []
    else:
        operation["security"] = [
            {"bearer": [scope.value]},
            *([{"cookie": [scope.value]}] if scope is Scope.READ else []),
            {},
        ]
    for one in operation.get("parameters", []):
        if one["in"] == "path":
            one["description"] = IN_PATHS[one["name"]]
        one["schema"] = _sent(one["schema"]) | LIMITS.get(one["name"], {})
        if one["name"] in PARAMETERS:
            one["example"] = PARAMETERS[one["name"]]
    for status, answer in operation["responses"].items():
        headers = answer.setdefault("headers", {})
        for name in ("X-Request-ID", "Cache-Control", *_headers(status, answer)):
            headers.setdefault(name, {})
        for name, header in headers.items():
            for key, value in HEADERS.get(name, {"schema": {"type": "string"}}).items():
                header.setdefault(key, value)
        if PROBLEM_JSON in answer.get("content", {}):
            answer["content"][PROBLEM_JSON]["examples"] = _refusals(
                int(status), path, answer
            )


def _sent(schema: Json) -> Json:
    """Return the schema of a parameter, which is left out and never null."""
    kinds = [one for one in schema.get("oneOf", []) if one != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{k: v for k, v in schema.items() if k != "oneOf"}}


def _headers(status: str, answer: Json) -> Iterator[str]:
    if PROBLEM_JSON not in answer.get("content", {}):
        return
    if status in {"401", "403"}:
        yield "WWW-Authenticate"
    codes = _codes(answer)
    if "too-many-requests" in codes or problems.RETRY_AFTER.keys() & codes:
        yield "Retry-After"


def _codes(answer: Json) -> set[str]:
    """Return which problems an answer may be: what its description says."""
    return set(answer["description"].replace("`", "").split(" or "))


def _refusals(status: int, path: str, answer: Json) -> Json:
    """Return an example of each problem that an answer may be."""
    codes = _codes(answer)
    return {
        one.code: {
            "summary": problems.title_of(one.code),
            "value": {
                **example_of(one),
                "status": status,
                "instance": path.replace("{", "").replace("}", ""),
            },
        }
        for one in REFUSALS
        if one.code in codes
    }


def example_of(one: DomainError | Refused) -> Json:
    """Return a problem as it goes over the wire."""
    detail, extra = (
        (one.detail, one.extra) if isinstance(one, Refused) else (str(one), one.extra())
    )
    return {
        **problems.members(one.code, detail, extra),
        "instance": "/jobs",
        "request_id": HEADERS["X-Request-ID"]["example"],
    }


def _problem(schema: Json) -> None:
    """Say which types there are, and what some of them carry besides."""
    schema["properties"]["type"]["enum"] = [
        problems.type_of(code) for code in problems.STATUS
    ]
    schema["properties"] |= {
        "field": {"type": "string", "description": "Which field or parameter it is."},
        "parameters": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "With `invalid-parameters`: a sentence for each input.",
        },
        "submission_id": {
            "type": "string",
            "format": "uuid",
            "description": "With `in-progress` and `outcome-unknown`: where to look, "
            "`GET /submissions/{submission_id}`.",
        },
        "galaxy_message": {
            "type": "string",
            "description": "With `galaxy-rejected`: Galaxy's own sentence.",
        },
        "galaxy_code": {
            "type": ["integer", "null"],
            "description": "With `galaxy-rejected`: Galaxy's own number.",
        },
        "workflow_ids": {
            "type": "array",
            "items": {"type": "string"},
            "description": "With `workflow-ambiguous`: all that have the name.",
        },
    }
