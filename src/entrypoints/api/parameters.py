"""What a route takes besides a body: what stands behind the ``?``, headers, use cases.

Rule of the file: a query parameter that a route does not know is refused, since
a misspelt ``validate_only`` would run what was only to be checked. The
description of each says what is expected, in the OpenAPI document and in the
refusal alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias, TypeVar
from uuid import UUID

from litestar import Request, Response
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter, QueryParameter, SkipValidation
from litestar.typing import FieldDefinition

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.submission import KEY_LENGTH, IdempotencyKey
from galaxy_jobs.domain.model.values import SubmissionId
from galaxy_jobs.entrypoints.api import problems
from galaxy_jobs.entrypoints.api.auth import Caller
from galaxy_jobs.entrypoints.api.problems import Refused


T = TypeVar("T")

Needs: TypeAlias = NamedDependency[SkipValidation[T]]
"""What a route needs of the container, by the name of the provider. Not validated:
it is ours, and may as well be something that stands in for it."""

Limit: TypeAlias = Annotated[
    int,
    QueryParameter(ge=1, le=200, description="a whole number from 1 to 200"),
]

CursorText: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        name="cursor", description="the `next_cursor` of the page before, as it is"
    ),
]

WAIT = 60
"""For how many seconds a client may wait for news."""

Wait: TypeAlias = Annotated[
    int,
    QueryParameter(
        ge=0, le=WAIT, description=f"a whole number of seconds from 0 to {WAIT}"
    ),
]

KeyHeader: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="Your name for this request, 1 to 255 characters: repeating the "
        "request with it is safe, it never runs twice.",
    ),
]


IfNoneMatch: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        description="The `ETag` of what you have: where nothing has changed, a 304 "
        "without a body is the answer.",
    ),
]

ETAG = ResponseHeader(
    name="ETag",
    description="Of this page; it stays as long as nothing but `observed_at` changes.",
    documentation_only=True,
)

LOCATION = ResponseHeader(
    name="Location", description="The path of what was made.", documentation_only=True
)


def idempotency_key(header: str | None, caller: Caller) -> IdempotencyKey | None:
    """Return the key that a client sent, if it sent one; each caller has its own.

    Raises:
        InvalidValue: It is empty, too long, or has characters of no use in it.
    """
    if header is None:
        return None
    if not header.isprintable():
        raise InvalidValue(
            f"Idempotency-Key has characters that cannot be printed; expected 1 to "
            f"{KEY_LENGTH} that can."
        )
    return IdempotencyKey(caller=caller.id, key=header)


def _fields(handler: BaseRouteHandler) -> dict[str, FieldDefinition]:
    """Return the query parameters of a route, by their names."""
    return {
        field.kwarg_definition.name or field.name: field
        for field in handler.parsed_fn_signature.parameters.values()
        if isinstance(field.kwarg_definition, QueryParameter)
    }


async def refuse_unknown(request: Request[Any, Any, Any]) -> None:
    """Let no query parameter go unread (a hook before each request).

    Raises:
        Refused: There is one that the route does not know, one that stands twice
            where one is taken, or a number in an odd spelling (``1e2``), which the
            conversion would let pass.
    """
    fields = _fields(request.route_handler)
    for name in request.query_params:
        if name not in fields:
            takes = ", ".join(sorted(fields)) or "none"
            raise Refused(
                "malformed-request",
                f"There is no query parameter {name!r} here; there are: {takes}.",
                extra={"field": name},
            )
        given = request.query_params.getall(name)
        field = fields[name]
        if len(given) > 1 and not field.is_non_string_sequence and not _many(field):
            raise _unfit(name, given, field)
        if field.annotation is int and not all(DIGITS.fullmatch(one) for one in given):
            raise _unfit(name, given, field)


DIGITS = re.compile(r"-?[0-9]{1,18}")


def _many(field: FieldDefinition) -> bool:
    return any(inner.is_non_string_sequence for inner in field.inner_types)


def _unfit(name: str, given: Sequence[str], field: FieldDefinition) -> Refused:
    read = ", ".join(repr(one) for one in given)
    assert isinstance(field.kwarg_definition, QueryParameter)
    return Refused(
        "malformed-request",
        f"Query parameter {name!r} is {read}; expected "
        f"{field.kwarg_definition.description}.",
        extra={"field": name},
    )


def invalid(
    request: Request[Any, Any, Any], error: ValidationException
) -> Response[bytes]:
    """Say which parameter does not fit, what was read and what is expected."""
    return problems.refused(request, _misfit(request, error))


def _misfit(request: Request[Any, Any, Any], error: ValidationException) -> Refused:
    extra = error.extra if isinstance(error.extra, list) else []
    fields = _fields(request.route_handler)
    for one in extra:
        key = str(one.get("key", "")).partition(".")[0]
        for name, field in fields.items():
            if field.name == key:
                given = request.query_params.getall(name, [])
                return _unfit(name, given, field)
        if key == "data":
            return Refused(
                "malformed-request", "The body is empty; expected a JSON object."
            )
    return Refused("malformed-request", f"{error.detail}.")


def submission_named(text: str) -> SubmissionId:
    """Return the id of a submission as it stands in a path.

    Raises:
        Refused: No submission can have it.
    """
    try:
        return SubmissionId(UUID(text))
    except ValueError:
        raise Refused(
            "submission-not-found", f"There is no submission {text!r}."
        ) from None
