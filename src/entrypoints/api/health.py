"""Routes for monitoring: liveness, readiness and metrics."""

from __future__ import annotations

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec

from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.api.auth import PUBLIC
from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.api.problems import refusals
from galaxy_jobs.entrypoints.metrics import CONTENT_TYPE, Metrics
from galaxy_jobs.entrypoints.readiness import Readiness


@get(
    "/health/live",
    opt={PUBLIC: True},
    sync_to_thread=False,
    operation_id="live",
    summary="Liveness of this process",
    response_description="The process is alive.",
    responses=refusals(public=True),
)
def get_live() -> schemas.Live:
    """Answer."""
    return schemas.Live()


@get(
    "/health/ready",
    opt={PUBLIC: True},
    sync_to_thread=True,
    operation_id="ready",
    summary="Readiness to serve requests",
    description="Needs the database and its schema. Galaxy is information: reads work "
    "without it.",
    response_description="Requests can be served.",
    responses={
        **refusals(public=True),
        503: ResponseSpec(
            schemas.ReadyJson,
            generate_examples=False,
            description="Requests cannot be served.",
        ),
    },
)
def get_ready(readiness: Needs[Readiness]) -> Response[schemas.ReadyJson]:
    """Return whether requests can be served."""
    found = readiness()
    news = found.galaxy
    galaxy = None
    if news is not None:
        galaxy = schemas.GalaxyJson(
            ok=news.identity is not None, problem=news.problem, at=news.at
        )
    ready = schemas.ReadyJson(
        status="ready" if found.ok else "unavailable",
        database=found.database,
        migrations=found.migrations,
        galaxy=galaxy,
        problem=found.problem,
    )
    return Response(ready, status_code=200 if found.ok else 503)


@get(
    "/metrics",
    sync_to_thread=True,
    media_type=CONTENT_TYPE,
    operation_id="metrics",
    summary="Prometheus metrics",
    description="`galaxy_jobs_overdue_seconds` is the number to alert on. What "
    "concerns sweeps is the same at every replica.",
    response_description="Prometheus' text format.",
    responses=refusals(),
)
def get_metrics(metrics: Needs[Metrics]) -> Response[bytes]:
    """Return the metrics."""
    return Response(metrics.text(), media_type=CONTENT_TYPE)


ROUTES = [get_live, get_ready, get_metrics]
"""At the paths that they name."""
