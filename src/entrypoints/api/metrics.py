"""What is told to Prometheus."""

from __future__ import annotations

from litestar import Response, get

from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.api.problems import refusals
from galaxy_jobs.entrypoints.metrics import CONTENT_TYPE, Metrics


@get(
    "/metrics",
    sync_to_thread=True,
    media_type=CONTENT_TYPE,
    operation_id="metrics",
    summary="Say in numbers how the service does",
    description="In Prometheus' text format. `galaxy_jobs_overdue_seconds` is the "
    "number to alert on. What is told of sweeps is the same at every replica.",
    response_description="The numbers.",
    responses=refusals(),
    tags=["health"],
)
def get_metrics(metrics: Needs[Metrics]) -> Response[bytes]:
    """Say in numbers how the service does."""
    return Response(metrics.text(), media_type=CONTENT_TYPE)
