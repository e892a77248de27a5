"""Parameters of routes other than the body: paths, queries, headers and dependencies.

A query parameter that a route does not know is refused, since a misspelt
``validate_only`` would run what was only to be checked. The description of each
query parameter names the expected values, in the OpenAPI document and in refusals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Annotated, Any, TypeAlias, TypeVar
from uuid import UUID

from litestar import Request, params
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Example
from litestar.typing import FieldDefinition

from galaxy_jobs.domain import BatchId, IdempotencyKey, InvocationId, SubmissionId
from galaxy_jobs.domain.errors import InvalidValue, listed, quoted, shortened
from galaxy_jobs.domain.model.submission import KEY_LENGTH
from galaxy_jobs.domain.model.values import NAME_LENGTH
from galaxy_jobs.entrypoints.api.auth import ANONYMOUS, Caller
from galaxy_jobs.entrypoints.api.problems import Refused, malformed


K = TypeVar("K", params.PathParameter, params.QueryParameter, params.HeaderParameter)
T = TypeVar("T")

ANY_QUERY = "any_query"
"""Key of ``opt``: the query is another program's, and its parameters are its own."""

MAX_QUERY_PARAMETERS = 100
"""The number of parameters that a query may have."""

_INTEGER = re.compile(r"-?[0-9]{1,18}")

Needs: TypeAlias = NamedDependency[params.SkipValidation[T]]
"""A dependency, by the name of its provider in the container. It is not validated:
it is ours, and tests put other things in its place."""


def _described(kind: type[K], description: str, example: object, **more: Any) -> K:
    """Return the description of a parameter, with one of its values."""
    return kind(description=description, examples=[Example(value=example)], **more)


path = partial(_described, params.PathParameter)
query = partial(_described, params.QueryParameter)
"""Its description is what refusals say that they expect."""
name_query = partial(query, schema_extra={"maxLength": NAME_LENGTH})
header = partial(_described, params.HeaderParameter)

InvocationIdInPath: TypeAlias = Annotated[
    InvocationId, path("The job, by Galaxy's id of its invocation.", "f2db41e1fa331b3e")
]

Limit: TypeAlias = Annotated[
    int, query("a whole number from 1 to 200", 50, ge=1, le=200)
]

CursorText: TypeAlias = Annotated[
    str | None,
    query("the `next_cursor` of the previous page", "WzEsIjNmMGE2YiIsIjIwIl0"),
]

KeyHeader: TypeAlias = Annotated[
    str | None,
    header(
        "A name for this request, 1 to 255 characters. Repeating the request with it "
        "is safe: it never runs twice.",
        "7d1e6f0a",
        name="Idempotency-Key",
        schema_extra={"minLength": 1, "maxLength": KEY_LENGTH},
    ),
]

SentKey: TypeAlias = Needs[IdempotencyKey | None]
"""What a client sent as :data:`KeyHeader`: a dependency, `idempotency_key`."""


def documented(*names: str) -> list[ResponseHeader]:
    """Return headers of a response, which the OpenAPI document describes."""
    return [ResponseHeader(name=name, documentation_only=True) for name in names]


def idempotency_key(
    key: KeyHeader = None, caller: Needs[Caller] = ANONYMOUS
) -> IdempotencyKey | None:
    """Return the key that a client sent, if any (also a dependency of routes).

    Each caller has keys of its own.

    Raises:
        InvalidValue: It is empty, too long, or not printable.
    """
    if key is None:
        return None
    if not key.isprintable():
        raise InvalidValue(
            f"Idempotency-Key has unprintable characters; expected 1 to {KEY_LENGTH} "
            "printable ones."
        )
    return IdempotencyKey(caller=caller.id, key=key)


def submission_id_of(text: str) -> SubmissionId:
    """Return the submission id in a path.

    Raises:
        Refused: No submission can have it (``submission-not-found``).
    """
    return SubmissionId(_uuid_of(text, "submission"))


def batch_id_of(text: str) -> BatchId:
    """Return the id of a batch in a path.

    Raises:
        Refused: No batch can have it (``batch-not-found``).
    """
    return BatchId(_uuid_of(text, "batch"))


def _uuid_of(text: str, kind: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refused(
            f"{kind}-not-found", f"There is no {kind} {quoted(text)}."
        ) from None


async def refuse_unknown(request: Request[Any, Any, Any]) -> None:
    """Check the query of a request (a hook before each one).

    Raises:
        Refused: It has a parameter that the route does not know, one that was sent
            twice where one is taken, more than :data:`MAX_QUERY_PARAMETERS`, a NUL,
            or an integer in an odd spelling (``1e2``) or a ``null`` that Litestar
            would convert.
    """
    text = request.scope["query_string"]
    if not text or request.route_handler.opt.get(ANY_QUERY):
        return
    if text.count(b"&") >= MAX_QUERY_PARAMETERS:
        raise malformed(f"The query has more than {MAX_QUERY_PARAMETERS} parameters.")
    if b"%00" in text:
        raise malformed("The query contains a NUL.")
    fields = _query_fields(request.route_handler)
    for name, values in request.query_params.dict().items():
        if name not in fields:
            known = ", ".join(sorted(fields)) or "none"
            raise malformed(
                f"Unknown query parameter {quoted(name)}; known: {known}.",
                field=shortened(name),
            )
        field = fields[name]
        kinds = {field.annotation, *field.args}
        if (
            (len(values) > 1 and not _repeatable(field))
            or (int in kinds and not all(map(_INTEGER.fullmatch, values)))
            or (BatchId in kinds and "null" in map(str.lower, values))
        ):
            raise _misfit(name, values, field)


def parameter_at_fault(
    request: Request[Any, Any, Any], error: ValidationException
) -> Refused:
    """Return the refusal of a request that Litestar found not to fit."""
    problems = error.extra if isinstance(error.extra, list) else []
    for problem in problems:
        key = str(problem.get("key", "")).partition(".")[0]
        for name, field in _query_fields(request.route_handler).items():
            if key in {name, field.name}:
                return _misfit(name, request.query_params.getall(name, []), field)
        if key == "data":
            return malformed("The body is empty; expected a JSON object.")
    return malformed(f"{error.detail}.")


@cache
def _query_fields(handler: BaseRouteHandler) -> Mapping[str, FieldDefinition]:
    """Return the query parameters of a route and its dependencies, by their names."""
    own = handler.parsed_fn_signature.parameters
    used = [
        provider.parsed_fn_signature.parameters
        for name, provider in handler.resolve_dependencies().items()
        if name in own
    ]
    return {
        field.kwarg_definition.name or field.name: field
        for fields in (own, *used)
        for field in fields.values()
        if isinstance(field.kwarg_definition, params.QueryParameter)
    }


def _repeatable(field: FieldDefinition) -> bool:
    return any(kind.is_non_string_sequence for kind in (field, *field.inner_types))


def _misfit(name: str, values: Sequence[str], field: FieldDefinition) -> Refused:
    assert isinstance(field.kwarg_definition, params.QueryParameter)
    return malformed(
        f"Query parameter {name!r} is {listed(values)}; expected "
        f"{field.kwarg_definition.description}.",
        field=name,
    )
