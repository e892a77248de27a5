"""Routes for monitoring: liveness, readiness and metrics."""

from __future__ import annotations

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec

from galaxy_jobs.adapters.prometheus import CONTENT_TYPE, Metrics
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.api.auth import PUBLIC, sees_all
from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.api.problems import refusals
from galaxy_jobs.entrypoints.readiness import Readiness


@get(
    "/health/live",
    opt={PUBLIC: True},
    sync_to_thread=False,
    responses=refusals(public=True),
)
def live() -> schemas.Live:
    """Show whether this process is alive.

    Neither the database nor Galaxy is asked.
    """
    return schemas.Live()


@get(
    "/health/ready",
    opt={PUBLIC: True},
    sync_to_thread=True,
    responses={
        **refusals(public=True),
        503: ResponseSpec(schemas.ReadyJson, generate_examples=False),
    },
)
def ready(readiness: Needs[Readiness]) -> Response[schemas.ReadyJson]:
    """Show whether requests can be served.

    That needs the database and its schema. Galaxy is information: reads work without
    it.
    """
    report = readiness()
    ready = schemas.view(schemas.ReadyJson, report)
    return Response(ready, status_code=200 if report.ok else 503)


@get(
    "/metrics",
    sync_to_thread=True,
    media_type=CONTENT_TYPE,
    guards=[sees_all],
    responses=refusals(),
)
def metrics(metrics: Needs[Metrics]) -> Response[bytes]:
    """Prometheus metrics.

    `galaxy_jobs_overdue_seconds` is the number to alert on. What concerns sweeps is
    the same at every replica.
    """
    return Response(metrics.text(), media_type=CONTENT_TYPE)


ROUTES = [live, ready, metrics]
"""At the paths that they name."""
