"""Whether this process is alive, and whether it can serve."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from attrs import frozen
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter

from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.api.problems import refusals
from galaxy_jobs.entrypoints.readiness import Readiness


@frozen(kw_only=True, slots=False)
class Live:
    """That the process answers."""

    status: Annotated[str, Parameter(description="Always `alive`.")] = "alive"


@frozen(kw_only=True, slots=False)
class GalaxyJson:
    """What was last heard of Galaxy; nothing depends on it here."""

    ok: Annotated[bool, Parameter(description="Whether it answered.")]
    problem: Annotated[str | None, Parameter(description="Why it did not.")]
    at: Annotated[datetime, Parameter(description="When it was asked.")]


@frozen(kw_only=True, slots=False)
class ReadyJson:
    """Whether requests can be served, and what is in the way."""

    status: Annotated[str, Parameter(description="`ready` or `unavailable`.")]
    database: Annotated[bool, Parameter(description="Whether it answers.")]
    migrations: Annotated[
        str | None, Parameter(description="`current`, `ahead`, `behind` or `empty`.")
    ]
    galaxy: Annotated[
        GalaxyJson | None,
        Parameter(description="What was last heard of it, if anything."),
    ]
    problem: Annotated[str | None, Parameter(description="What is in the way.")]


@get(
    "/live",
    sync_to_thread=False,
    operation_id="live",
    summary="Say whether this process is alive",
    response_description="It is.",
    responses=refusals(open_to_all=True),
)
def get_live() -> Live:
    """Say that the process answers."""
    return Live()


@get(
    "/ready",
    sync_to_thread=True,
    operation_id="ready",
    summary="Say whether requests can be served",
    description="That takes the database and its schema. Galaxy is information: reads "
    "work without it.",
    response_description="They can.",
    responses={
        **refusals(open_to_all=True),
        503: ResponseSpec(
            ReadyJson, generate_examples=False, description="They cannot."
        ),
    },
)
def get_ready(readiness: Needs[Readiness]) -> Response[ReadyJson]:
    """Say whether requests can be served."""
    found = readiness()
    news = found.galaxy
    return Response(
        ReadyJson(
            status="ready" if found.ok else "unavailable",
            database=found.database,
            migrations=found.migrations,
            galaxy=None
            if news is None
            else GalaxyJson(
                ok=news.identity is not None,
                problem=news.problem,
                at=schemas.utc(news.at),
            ),
            problem=found.problem,
        ),
        status_code=200 if found.ok else 503,
    )


ROUTES = [get_live, get_ready]
"""Below ``/health``."""
