"""Routes of datasets."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from litestar import Response, get, post
from litestar.params import JSONBody

from galaxy_jobs.domain import DatasetId, DatasetRepository, Scope, use_cases
from galaxy_jobs.entrypoints.api import cursors, parameters, schemas
from galaxy_jobs.entrypoints.api.auth import requires
from galaxy_jobs.entrypoints.api.bodies import Strict
from galaxy_jobs.entrypoints.api.parameters import Needs, path
from galaxy_jobs.entrypoints.api.problems import refusals


@post(
    "/",
    dto=Strict[schemas.NewDataset],
    return_dto=None,
    sync_to_thread=True,
    guards=[requires(Scope.SUBMIT)],
    response_headers=parameters.documented("Location"),
    responses=refusals("unsupported-media-type", "too-large", "dataset-exists"),
)
def register_dataset(
    data: JSONBody[schemas.NewDataset],
    register_dataset: Needs[use_cases.RegisterDataset],
) -> Response[schemas.DatasetJson]:
    """Register a dataset.

    Galaxy is not asked: it decides what it can use when a job is submitted.
    Registering the same dataset again has no effect.
    """
    source = schemas.source_of(data.source)
    dataset = register_dataset(data.name, source, data.dataset_id)
    return Response(
        schemas.dataset(dataset),
        status_code=201,
        headers={"Location": f"/datasets/{quote(dataset.dataset_id, safe='')}"},
    )


@get("/", sync_to_thread=True, responses=refusals())
def list_datasets(
    datasets: Needs[DatasetRepository],
    limit: parameters.Limit = 50,
    cursor: parameters.CursorText = None,
) -> schemas.Datasets:
    """List datasets, newest first.

    One that another program registered wrongly has a `problem`, and null as its source.
    """
    here = ["datasets"]
    page = datasets.page(limit, cursors.read(cursor, here))
    return schemas.Datasets(
        items=[schemas.dataset(dataset) for dataset in page.items],
        next_cursor=cursors.write(page.next, here),
    )


@get(
    "/{dataset_id:str}",
    sync_to_thread=True,
    responses=refusals("dataset-not-found", "invalid-source", addressed=True),
)
def show_dataset(
    dataset_id: Annotated[DatasetId, path("The dataset, as registered.", "reads-1")],
    datasets: Needs[DatasetRepository],
) -> schemas.DatasetJson:
    """Show a dataset.

    Its source is shown as it was registered, without credentials.
    """
    return schemas.dataset(datasets.get(dataset_id))


ROUTES = [register_dataset, list_datasets, show_dataset]
"""Below ``/datasets``."""
