"""Routes of datasets."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from litestar import Response, get, post
from litestar.params import JSONBody

from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.ports import DatasetRepository
from galaxy_jobs.domain.use_cases import RegisterDataset
from galaxy_jobs.entrypoints.api import cursors, schemas
from galaxy_jobs.entrypoints.api.auth import requires
from galaxy_jobs.entrypoints.api.parameters import (
    LOCATION,
    CursorText,
    Limit,
    Needs,
    path,
)
from galaxy_jobs.entrypoints.api.problems import refusals
from galaxy_jobs.entrypoints.api.strict import Strict


@post(
    "/",
    dto=Strict[schemas.NewDataset],
    return_dto=None,
    sync_to_thread=True,
    guards=[requires(Scope.SUBMIT)],
    operation_id="register_dataset",
    summary="Register a dataset",
    description="Galaxy is not asked: it decides what it can use when a job is "
    "submitted. Registering the same dataset again has no effect.",
    response_description="The registered dataset.",
    response_headers=[LOCATION],
    responses=refusals(
        "unsupported-media-type", "too-large", "dataset-exists", "database-unavailable"
    ),
)
def post_dataset(
    data: JSONBody[schemas.NewDataset],
    register_dataset: Needs[RegisterDataset],
) -> Response[schemas.DatasetJson]:
    """Register a dataset."""
    dataset = register_dataset(
        data.name,
        schemas.source_of(data.source),
        None if data.dataset_id is None else DatasetId(data.dataset_id),
    )
    return Response(
        schemas.dataset(dataset),
        status_code=201,
        headers={"Location": f"/datasets/{quote(dataset.dataset_id, safe='')}"},
    )


@get(
    "/",
    sync_to_thread=True,
    operation_id="list_datasets",
    summary="List datasets, newest first",
    response_description="A page of datasets.",
    responses=refusals("database-unavailable"),
)
def get_datasets(
    datasets: Needs[DatasetRepository],
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.Datasets:
    """Return a page of datasets."""
    here = ["datasets"]
    page = datasets.page(limit, cursors.read(cursor, here))
    return schemas.Datasets(
        items=[schemas.dataset(dataset) for dataset in page.items],
        next_cursor=cursors.write(page.next, here),
    )


@get(
    "/{dataset_id:str}",
    sync_to_thread=True,
    operation_id="show_dataset",
    summary="Show a dataset",
    response_description="The dataset.",
    responses=refusals("dataset-not-found", "database-unavailable", addressed=True),
)
def get_dataset(
    dataset_id: Annotated[str, path("The dataset, as registered.", "reads-1")],
    datasets: Needs[DatasetRepository],
) -> schemas.DatasetJson:
    """Return a dataset."""
    return schemas.dataset(datasets.get(DatasetId(dataset_id)))


ROUTES = [post_dataset, get_datasets, get_dataset]
"""Below ``/datasets``."""
