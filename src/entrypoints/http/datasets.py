"""Datasets: register and look up."""

from __future__ import annotations

from urllib.parse import quote

from litestar import Response, get, post
from litestar.params import FromPath, JSONBody

from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.use_cases import ListDatasets, RegisterDataset, ShowDataset
from galaxy_jobs.entrypoints.http import cursors, wire
from galaxy_jobs.entrypoints.http.bodies import Strict
from galaxy_jobs.entrypoints.http.parameters import LOCATION, CursorText, Limit, Needs
from galaxy_jobs.entrypoints.http.problems import refusals


@post(
    "/",
    dto=Strict[wire.NewDataset],
    return_dto=None,
    sync_to_thread=True,
    operation_id="register_dataset",
    summary="Register a dataset",
    description="Galaxy is not asked: it decides what it can use when a job is "
    "submitted. Registering the same again changes nothing.",
    response_description="It is registered.",
    response_headers=[LOCATION],
    responses=refusals(
        "unsupported-media-type", "too-large", "dataset-exists", "database-unavailable"
    ),
)
def post_dataset(
    data: JSONBody[wire.NewDataset],
    register_dataset: Needs[RegisterDataset],
) -> Response[wire.DatasetJson]:
    """Register a dataset."""
    one = register_dataset(
        data.name,
        wire.source_of(data.source),
        None if data.dataset_id is None else DatasetId(data.dataset_id),
    )
    return Response(
        wire.dataset(one),
        status_code=201,
        headers={"Location": f"/datasets/{quote(one.dataset_id, safe='')}"},
    )


@get(
    "/",
    sync_to_thread=True,
    operation_id="list_datasets",
    summary="List datasets, newest first",
    response_description="A page of them.",
    responses=refusals("database-unavailable"),
)
def get_datasets(
    list_datasets: Needs[ListDatasets],
    limit: Limit = 50,
    cursor: CursorText = None,
) -> wire.Datasets:
    """List datasets."""
    here = ["datasets"]
    page = list_datasets(limit, cursors.read(cursor, here))
    return wire.Datasets(
        items=[wire.dataset(one) for one in page.items],
        next_cursor=cursors.write(page.next, here),
    )


@get(
    "/{dataset_id:str}",
    sync_to_thread=True,
    operation_id="show_dataset",
    summary="Show a dataset",
    response_description="It.",
    responses=refusals("dataset-not-found", "database-unavailable", addressed=True),
)
def get_dataset(
    dataset_id: FromPath[str], show_dataset: Needs[ShowDataset]
) -> wire.DatasetJson:
    """Show a dataset."""
    return wire.dataset(show_dataset(DatasetId(dataset_id)))


ROUTES = [post_dataset, get_datasets, get_dataset]
"""Below ``/datasets``."""
