"""Routes of datasets."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from litestar import Response
from litestar.params import JSONBody
from msgspec import UNSET

from galaxy_jobs.domain import DatasetId, DatasetRepository, Label, Viewer, use_cases
from galaxy_jobs.domain.model.labels import NO_CHANGE
from galaxy_jobs.domain.model.values import check_length
from galaxy_jobs.entrypoints.api import cursors, parameters, schemas
from galaxy_jobs.entrypoints.api.auth import PAGE_SCRIPTS
from galaxy_jobs.entrypoints.api.job_filters import LabelTexts
from galaxy_jobs.entrypoints.api.parameters import Needs, path, query
from galaxy_jobs.entrypoints.api.routing import Routes, created


ROUTES = Routes("/datasets", tags=["datasets"])

DatasetIdInPath: TypeAlias = Annotated[
    DatasetId, path("The dataset, as registered.", "reads-1")
]


@ROUTES.post(
    "/",
    "dataset-exists",
    "invalid-source",
    asks_galaxy=True,
    opt={PAGE_SCRIPTS: True},
    response_headers=parameters.documented("Location"),
)
def register_dataset(
    data: JSONBody[schemas.NewDataset],
    register_dataset: Needs[use_cases.RegisterDataset],
    viewer: Needs[Viewer],
    *,
    checked: Annotated[
        bool, query("true or false", example=False, name="check")
    ] = True,
) -> Response[schemas.DatasetJson]:
    """Register a dataset.

    Galaxy is asked what the data is; with `check=false`, and about data by address, it
    is not. Registering the same dataset again has no effect.
    """
    source = schemas.source_of(data.source)
    dataset = register_dataset(
        data.name,
        source,
        viewer,
        data.dataset_id,
        labels=data.labels,
        check=checked,
    )
    return created(schemas.dataset(dataset), "datasets", dataset.dataset_id)


@ROUTES.get("/")
def list_datasets(
    datasets: Needs[DatasetRepository],
    viewer: Needs[Viewer],
    *,
    search: Annotated[
        str,
        parameters.name_query(
            "a text: only datasets with it in their name or id, in any case", "sample 1"
        ),
    ] = "",
    labels: LabelTexts = None,
    limit: parameters.Limit = 50,
    cursor: parameters.CursorText = None,
) -> schemas.Datasets:
    """List datasets, newest first.

    One that another program registered wrongly has a `problem`, and null as its source.
    """
    check_length("search", search)
    wanted = sorted({Label.parse(text) for text in labels or ()})
    here = ["datasets", search, *map(str, wanted)]
    page = datasets.page(
        viewer, limit, cursors.read(cursor, here), search=search, labels=wanted
    )
    return schemas.Datasets(
        items=[schemas.dataset(dataset) for dataset in page.items],
        next_cursor=cursors.write(page.next, here),
    )


@ROUTES.get("/{dataset_id:str}", "dataset-not-found", "invalid-source")
def show_dataset(
    dataset_id: DatasetIdInPath,
    datasets: Needs[DatasetRepository],
    viewer: Needs[Viewer],
) -> schemas.DatasetJson:
    """Show a dataset.

    Its source is shown as it was registered, without credentials.
    """
    return schemas.dataset(datasets.get(dataset_id, viewer))


@ROUTES.patch("/{dataset_id:str}", "dataset-not-found", "invalid-source")
def change_dataset(
    dataset_id: DatasetIdInPath,
    data: JSONBody[schemas.DatasetChanges],
    change_dataset: Needs[use_cases.ChangeDataset],
    viewer: Needs[Viewer],
) -> schemas.DatasetJson:
    """Change a dataset.

    The body is a merge patch (RFC 7396), `application/merge-patch+json`: what is left
    out stays as it is.
    """
    name = None if data.name is UNSET else data.name
    labels = NO_CHANGE if data.labels is UNSET else data.labels
    return schemas.dataset(change_dataset(dataset_id, viewer, name=name, labels=labels))


@ROUTES.delete("/{dataset_id:str}", "dataset-not-found", "dataset-in-use")
def remove_dataset(
    dataset_id: DatasetIdInPath,
    remove_dataset: Needs[use_cases.RemoveDataset],
    viewer: Needs[Viewer],
) -> None:
    """Remove a dataset.

    Its data in Galaxy and its jobs stay. A dataset is in use (409) while a job on it,
    or with it in a parameter, has not ended.
    """
    remove_dataset(dataset_id, viewer)
