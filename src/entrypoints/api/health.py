"""Routes for monitoring: liveness, readiness and metrics."""

from __future__ import annotations

from litestar import Response

from galaxy_jobs.adapters.prometheus import CONTENT_TYPE, Metrics
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.api.auth import PUBLIC, sees_all
from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.api.routing import Routes, response
from galaxy_jobs.entrypoints.readiness import Readiness


ROUTES = Routes("/", tags=["health"])


@ROUTES.get("/health/live", opt={PUBLIC: True}, sync_to_thread=False)
def live() -> schemas.Live:
    """Show whether this process is alive.

    Neither the database nor Galaxy is asked.
    """
    return schemas.Live()


@ROUTES.get(
    "/health/ready",
    opt={PUBLIC: True},
    responses={503: response(schemas.ReadyJson)},
)
def ready(readiness: Needs[Readiness]) -> Response[schemas.ReadyJson]:
    """Show whether requests can be served.

    That needs the database and its schema. Galaxy is information: reads work without
    it.
    """
    report = readiness()
    ready = schemas.view(schemas.ReadyJson, report)
    return Response(ready, status_code=200 if report.ok else 503)


@ROUTES.get("/metrics", media_type=CONTENT_TYPE, guards=[sees_all])
def metrics(metrics: Needs[Metrics]) -> Response[bytes]:
    """Prometheus metrics.

    `galaxy_jobs_overdue_seconds` is the number to alert on. What concerns sweeps is
    the same at every replica.
    """
    return Response(metrics.text(), media_type=CONTENT_TYPE)
