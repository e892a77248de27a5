"""Pages to look at batches, to cancel one, and to run again what has failed of it."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

from litestar import Response
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from galaxy_jobs import domain
from galaxy_jobs.domain import Viewer, ports, use_cases
from galaxy_jobs.domain.model.batch import MAX_ITEMS
from galaxy_jobs.entrypoints.api import cursors
from galaxy_jobs.entrypoints.api.auth import Caller
from galaxy_jobs.entrypoints.api.batches import MAX_FAILURES
from galaxy_jobs.entrypoints.api.parameters import (
    CursorText,
    Needs,
    batch_id_of,
    idempotency_key,
)
from galaxy_jobs.entrypoints.api.routing import Routes
from galaxy_jobs.entrypoints.web.forms import Form
from galaxy_jobs.entrypoints.web.pages import PAGE_SIZE
from galaxy_jobs.entrypoints.web.render import AnyRequest, page


ROUTES = Routes("/")


@ROUTES.get("/ui/batches")
def get_batches_page(
    request: AnyRequest,
    batches: Needs[ports.BatchRepository],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
    cursor: CursorText = None,
) -> Response[str]:
    """Show the batches, newest first."""
    here = ["page of batches"]
    found = batches.page(viewer, PAGE_SIZE, cursors.read(cursor or None, here))
    return page(
        request,
        "batches.html",
        now=clock(),
        batches=found.items,
        counts=batches.counts([batch.batch_id for batch in found.items]),
        cursor=cursor,
        next_cursor=cursors.write(found.next, here),
    )


@ROUTES.get("/ui/batches/{batch_id:str}")
def get_batch_page(
    *,
    request: AnyRequest,
    batch_id: FromPath[str],
    batches: Needs[ports.BatchRepository],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
    after: Annotated[
        int,
        QueryParameter(
            description=f"a number from -1 to {MAX_ITEMS}", ge=-1, le=MAX_ITEMS
        ),
    ] = -1,
) -> Response[str]:
    """Show a batch: its failures, and its items after a place."""
    id_ = batch_id_of(batch_id)
    batch = batches.get(id_, viewer)
    # A script that has missed the end is to load the whole page.
    missed_end = batch.ended_at and request.headers.get("hx-target") == "live"
    return page(
        request,
        "batch.html",
        headers={"HX-Refresh": "true"} if missed_end else None,
        now=clock(),
        batch=batch,
        counts=batches.counts([id_])[id_],
        failed=batches.items(id_, viewer, limit=MAX_FAILURES + 1, failed=True),
        max_failures=MAX_FAILURES,
        items=batches.items(id_, viewer, limit=PAGE_SIZE, after=after),
        after=after,
        viewer=viewer,
        key=str(uuid4()),
    )


@ROUTES.post("/ui/batches/{batch_id:str}/cancel")
def post_cancel_batch_form(
    batch_id: FromPath[str],
    cancel_batch: Needs[use_cases.CancelBatch],
    viewer: Needs[Viewer],
) -> Redirect:
    """Cancel a batch."""
    return _to_batch(cancel_batch(batch_id_of(batch_id), viewer))


@ROUTES.post("/ui/batches/{batch_id:str}/rerun", asks_galaxy=True)
def post_rerun_batch_form(
    batch_id: FromPath[str],
    form: Needs[Form],
    rerun_batch: Needs[use_cases.RerunBatch],
    caller: Needs[Caller],
    viewer: Needs[Viewer],
) -> Redirect:
    """Run what has failed of a batch again, as a new one."""
    key = idempotency_key(form.get("key"), caller)
    return _to_batch(rerun_batch(batch_id_of(batch_id), viewer, key).batch)


def _to_batch(batch: domain.Batch) -> Redirect:
    return Redirect(f"/ui/batches/{batch.batch_id}", status_code=303)
