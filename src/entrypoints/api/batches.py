"""Routes of batches."""

from __future__ import annotations

from typing import Annotated, TypeAlias, TypeVar

from litestar import Response
from litestar.params import JSONBody
from msgspec.structs import asdict

from galaxy_jobs import domain
from galaxy_jobs.domain import Viewer, ports, use_cases
from galaxy_jobs.domain.model.batch import BatchItem, BatchRequest
from galaxy_jobs.entrypoints.api import cursors, parameters, problems, schemas
from galaxy_jobs.entrypoints.api.jobs import CREATED_HEADERS, SUBMITTING
from galaxy_jobs.entrypoints.api.parameters import Needs, path
from galaxy_jobs.entrypoints.api.routing import Routes, created


ROUTES = Routes("/batches", tags=["jobs"])

V = TypeVar("V", bound=schemas.RecordedItem)

MAX_FAILURES = 5
"""The number of failed items that a batch shows."""

BatchIdInPath: TypeAlias = Annotated[
    str, path("The batch, a UUID.", "9b6a2f0e-53d1-4d0f-8f0c-6f2f5d7f1a11")
]


@ROUTES.post(
    "/",
    "invalid-items",
    *SUBMITTING,
    asks_galaxy=True,
    response_headers=CREATED_HEADERS,
)
def create_batch(
    *,
    data: JSONBody[schemas.NewBatch],
    create_batch: Needs[use_cases.CreateBatch],
    idempotency_key: parameters.SentKey,
    viewer: Needs[Viewer],
) -> Response[schemas.CreatedBatchJson]:
    """Run a workflow on many datasets.

    All items are checked first: if one cannot run, nothing is recorded. Then they are
    recorded at once, and submitted to Galaxy a few at a time.
    """
    common = asdict(data)
    items = [(item.dataset_id, item.parameters, item.labels) for item in data.items]
    del common["items"]
    request = BatchRequest.of(items, **common)
    return _created(create_batch(request, viewer, idempotency_key), viewer)


@ROUTES.get("/")
def list_batches(
    batches: Needs[ports.BatchRepository],
    viewer: Needs[Viewer],
    limit: parameters.Limit = 50,
    cursor: parameters.CursorText = None,
) -> schemas.Batches:
    """List batches, newest first.

    With the number of items in each state.
    """
    here = ["batches"]
    page = batches.page(viewer, limit, cursors.read(cursor, here))
    counts = batches.counts([batch.batch_id for batch in page.items])
    return schemas.Batches(
        items=[
            schemas.view(schemas.BatchJson, batch, counts=counts[batch.batch_id])
            for batch in page.items
        ],
        next_cursor=cursors.write(page.next, here),
    )


@ROUTES.get("/{batch_id:str}", "batch-not-found")
def show_batch(
    batch_id: BatchIdInPath,
    batches: Needs[ports.BatchRepository],
    viewer: Needs[Viewer],
) -> schemas.BatchDetailJson:
    """Show a batch.

    With the number of items in each state, and the first ones that have failed.
    """
    batch = batches.get(parameters.batch_id_of(batch_id), viewer)
    return _detail(batch, batches, viewer)


@ROUTES.get("/{batch_id:str}/items", "batch-not-found")
def list_items(
    batch_id: BatchIdInPath,
    batches: Needs[ports.BatchRepository],
    viewer: Needs[Viewer],
    limit: parameters.Limit = 50,
    cursor: parameters.CursorText = None,
) -> schemas.BatchItems:
    """List the items of a batch, in their order.

    With the job of each, once there is one, and what went wrong.
    """
    id_ = parameters.batch_id_of(batch_id)
    here = ["items", str(id_)]
    place = cursors.read(cursor, here)
    after = -1 if place is None else int(place.id)
    batch = batches.get(id_, viewer)
    found = batches.items(id_, viewer, limit=limit + 1, after=after)
    shown = found[:limit]
    following = (
        ports.Cursor(batch.created_at, str(shown[-1].position))
        if len(found) > limit
        else None
    )
    return schemas.BatchItems(
        items=[_item(schemas.ItemJson, item, viewer) for item in shown],
        next_cursor=cursors.write(following, here),
    )


@ROUTES.post(
    "/{batch_id:str}/cancel", "batch-not-found", "already-ended", status_code=202
)
def cancel_batch(
    batch_id: BatchIdInPath,
    cancel_batch: Needs[use_cases.CancelBatch],
    batches: Needs[ports.BatchRepository],
    viewer: Needs[Viewer],
) -> schemas.BatchDetailJson:
    """Cancel a batch.

    What waits is never started, and what runs is stopped. Cancelling a batch that is
    cancelled already has no effect.
    """
    batch = cancel_batch(parameters.batch_id_of(batch_id), viewer)
    return _detail(batch, batches, viewer)


@ROUTES.post(
    "/{batch_id:str}/rerun",
    "batch-not-found",
    "nothing-failed",
    "invalid-items",
    *SUBMITTING,
    asks_galaxy=True,
    response_headers=CREATED_HEADERS,
)
def rerun_batch(
    batch_id: BatchIdInPath,
    rerun_batch: Needs[use_cases.RerunBatch],
    idempotency_key: parameters.SentKey,
    viewer: Needs[Viewer],
) -> Response[schemas.CreatedBatchJson]:
    """Run the failed items of a batch again.

    Always a new batch, with `rerun_of`. What was cancelled has not failed.
    """
    id_ = parameters.batch_id_of(batch_id)
    return _created(rerun_batch(id_, viewer, idempotency_key), viewer)


def _created(
    batch: use_cases.CreatedBatch, viewer: Viewer
) -> Response[schemas.CreatedBatchJson]:
    id_ = batch.batch.batch_id
    items = [_item(schemas.RecordedItem, item, viewer) for item in batch.items]
    body = schemas.CreatedBatchJson(batch_id=id_, items=items)
    return created(body, "batches", str(id_), replayed=batch.replayed)


def _detail(
    batch: domain.Batch, batches: ports.BatchRepository, viewer: Viewer
) -> schemas.BatchDetailJson:
    id_ = batch.batch_id
    failed = batches.items(id_, viewer, limit=MAX_FAILURES, failed=True)
    return schemas.view(
        schemas.BatchDetailJson,
        batch,
        counts=batches.counts([id_])[id_],
        failures=[_item(schemas.ItemJson, item, viewer) for item in failed],
    )


def _item(model: type[V], item: BatchItem, viewer: Viewer) -> V:
    submission = item.submission
    return schemas.view(
        model,
        submission,
        dataset_id=viewer.id_of(submission.request.dataset_id),
        position=item.position,
        state=item.state,
        problem=submission.problem and problems.members(submission.problem),
        failure=item.job and item.job.failure,
    )
