"""Routes of uploads, and the signed addresses of parts and files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote

from litestar import Request, Response
from litestar.params import JSONBody
from litestar.response import Redirect, Stream

from galaxy_jobs.adapters.http_server import direct_body
from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.domain import ports, use_cases
from galaxy_jobs.domain.errors import BadLink, ObjectNotFound
from galaxy_jobs.domain.model.upload import (
    UploadId,
    UploadState,
    part_number,
    store_key,
)
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.entrypoints.api import cursors, parameters, schemas
from galaxy_jobs.entrypoints.api.auth import PAGE_SCRIPTS, PUBLIC
from galaxy_jobs.entrypoints.api.events import Subscriptions
from galaxy_jobs.entrypoints.api.jobs import MAX_WAIT
from galaxy_jobs.entrypoints.api.parameters import Needs, path, query
from galaxy_jobs.entrypoints.api.routing import Routes, created, response
from galaxy_jobs.entrypoints.api.threads import in_file_thread


ROUTES = Routes("/uploads", tags=["uploads"], opt={PAGE_SCRIPTS: True})
DATA = Routes("/data", include_in_schema=False)

UploadIdInPath: TypeAlias = Annotated[
    UploadId, path("The upload.", "3c8f1d52-7b0e-4a3c-9a41-0b5f7a3c2d10")
]
Signed: TypeAlias = Annotated[str | None, query("as it was signed", "1735689600")]

WRITE_SIZE = 2**20
"""Bytes of a part that are hashed and written at once."""

WAIT_INTERVAL = 1.0
"""Seconds between two looks at an upload that is being verified."""

_ENDED = ("upload-not-found", "upload-expired", "already-ended")
_MISMATCH = ("size-mismatch", "checksum-mismatch", "dataset-exists")


@ROUTES.post(
    "/",
    "dataset-exists",
    "quota-exceeded",
    "idempotency-key-reused",
    "storage-unavailable",
    response_headers=parameters.documented("Location", "Idempotent-Replayed"),
)
def open_upload(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[schemas.NewUpload],
    open_upload: Needs[use_cases.OpenUpload],
    sign_parts: Needs[use_cases.SignParts],
    viewer: Needs[Viewer],
    idempotency_key: parameters.SentKey,
) -> Response[schemas.OpenedUpload]:
    """Open an upload.

    Its parts are then stored by the requests that `POST /uploads/{upload_id}/parts`
    returns, in any order and several at once; `put` is such a request, where the whole
    file is one part. It becomes a dataset by `POST /uploads/{upload_id}/complete`.
    """
    upload, replayed = open_upload(
        viewer,
        name=data.name,
        size=data.size,
        ext=data.ext,
        sha256=data.sha256,
        dataset_id=data.dataset_id,
        key=idempotency_key,
    )
    only = None
    if upload.parts == 1 and upload.state is UploadState.OPEN:
        only = schemas.part(sign_parts.sign(upload, 1), _origin(request))
    opened = schemas.view(schemas.OpenedUpload, upload, put=only)
    return created(opened, "uploads", upload.upload_id, replayed=replayed)


@ROUTES.post(
    "/{upload_id:str}/parts",
    *_ENDED,
    *_MISMATCH,
    "storage-unavailable",
    status_code=200,
)
def sign_parts(
    request: Request[Any, Any, Any],
    upload_id: UploadIdInPath,
    data: JSONBody[schemas.PartsToSign],
    sign_parts: Needs[use_cases.SignParts],
    viewer: Needs[Viewer],
) -> schemas.SignedParts:
    """Get the requests that store parts.

    Each takes exactly `size` bytes of the file from `offset` on, and the bytes with the
    SHA-256 that you name here, if you do. A part that is stored again replaces the one
    before.
    """
    signed = sign_parts(viewer, upload_id, data.numbers, schemas.by_number(data.sha256))
    return schemas.SignedParts(
        parts=[schemas.part(part, _origin(request)) for part in signed]
    )


@ROUTES.get("/")
def list_uploads(
    uploads: Needs[ports.UploadRepository],
    viewer: Needs[Viewer],
    limit: parameters.Limit = 50,
    cursor: parameters.CursorText = None,
) -> schemas.Uploads:
    """List your uploads, newest first.

    Those that are open or being verified: complete ones are datasets.
    """
    here = ["uploads"]
    page = uploads.page(viewer, limit, cursors.read(cursor, here))
    return schemas.Uploads(
        items=[
            schemas.view(schemas.UploadJson, upload.shown_to(viewer))
            for upload in page.items
        ],
        next_cursor=cursors.write(page.next, here),
    )


@ROUTES.get("/{upload_id:str}", "upload-not-found", "storage-unavailable")
def show_upload(
    upload_id: UploadIdInPath,
    show_upload: Needs[use_cases.ShowUpload],
    viewer: Needs[Viewer],
) -> schemas.UploadDetail:
    """Show an upload, with the parts that are missing.

    To resume one, store these.
    """
    return schemas.upload_detail(show_upload(viewer, upload_id))


@ROUTES.post(
    "/{upload_id:str}/complete",
    *_ENDED,
    *_MISMATCH,
    "upload-incomplete",
    "invalid-source",
    "storage-unavailable",
    "too-many-requests",
    status_code=200,
    responses={202: response(schemas.CompletedUpload)},
)
async def complete_upload(
    *,
    request: Request[Any, Any, Any],
    upload_id: UploadIdInPath,
    complete_upload: Needs[use_cases.CompleteUpload],
    subscriptions: Needs[Subscriptions],
    viewer: Needs[Viewer],
    wait: Annotated[
        int,
        query(f"a whole number of seconds from 0 to {MAX_WAIT}", 30, ge=0, le=MAX_WAIT),
    ] = 0,
) -> Response[schemas.CompletedUpload]:
    """Complete an upload: the file becomes a dataset.

    Where its SHA-256 is still computed, the response is a 202; with `wait`, it comes
    when that is done or this time has passed. Repeat it for the outcome.
    """
    now = asyncio.get_running_loop().time
    end = now() + wait
    done = await in_file_thread(complete_upload, viewer, upload_id)
    with ExitStack() as stack:
        if wait and done.verifying:
            subscription = stack.enter_context(subscriptions.open(request, None))
        while done.verifying and now() < end:
            await subscription.wait(min(now() + WAIT_INTERVAL, end))
            if subscription.ended:
                break
            done = await asyncio.to_thread(complete_upload, viewer, upload_id)
    return Response(schemas.completed(done), status_code=202 if done.verifying else 200)


@ROUTES.delete("/{upload_id:str}", "upload-not-found", "already-ended", "conflict")
def abort_upload(
    upload_id: UploadIdInPath,
    abort_upload: Needs[use_cases.AbortUpload],
    viewer: Needs[Viewer],
) -> None:
    """Abort an upload.

    What is stored of it is removed.
    """
    abort_upload(viewer, upload_id)


@ROUTES.put(
    "/{upload_id:str}/parts/{number:str}",
    status_code=200,
    opt={PUBLIC: True},
    request_max_body_size=None,
    include_in_schema=False,
)
async def store_part(
    *,
    request: Request[Any, Any, Any],
    upload_id: UploadIdInPath,
    number: Annotated[str, path("The part.", "1")],
    folder_store: Needs[FolderStore],
    offset: Signed = None,
    size: Signed = None,
    sha256: Signed = None,
    expires: Signed = None,
    key: Signed = None,
    signature: Signed = None,
) -> Response[None]:
    """Store a part in the folder of this service."""
    given = {
        "offset": offset,
        "size": size,
        "sha256": sha256,
        "expires": expires,
        "key": key,
        "signature": signature,
    }
    signed = {name: text for name, text in given.items() if text is not None}
    length = request.headers.get("content-length", "")
    with ExitStack() as stack:

        def begin() -> Any:
            if (part := part_number(number)) is None:
                raise BadLink
            return stack.enter_context(
                folder_store.receive(
                    store_key(upload_id),
                    part,
                    signed,
                    int(length) if length.isascii() and length.isdecimal() else None,
                )
            )

        writer = await in_file_thread(begin)
        if (body := direct_body(request.scope)) is not None:
            await body.read(writer.part.size, writer.write, in_file_thread)
        else:
            async for piece in _pieces(request.stream()):
                await in_file_thread(writer.write, piece)
        await in_file_thread(writer.finish)
    # Clients of S3 expect one.
    return Response(None, status_code=200, headers={"ETag": f'"{number}"'})


@DATA.get("/{upload_id:str}/{name:str}", opt={PUBLIC: True})
async def fetch_upload(
    *,
    upload_id: UploadIdInPath,
    name: Annotated[str, path("The name of the file.", "reads.fastq")],
    hand_over: Needs[use_cases.HandOver],
    object_store: Needs[ports.ObjectStore],
    expires: Signed = None,
    key: Signed = None,
    signature: Signed = None,
) -> Response[Any]:
    """Hand a file over to a client that has its signed address."""
    given = {"expires": expires, "key": key, "signature": signature}
    signed = {part: text for part, text in given.items() if text is not None}
    store_key, elsewhere = await in_file_thread(
        hand_over.address, upload_id, name, signed
    )
    if elsewhere is not None:
        return Redirect(elsewhere, status_code=302)
    size = await in_file_thread(object_store.size, store_key)
    if size is None:
        raise ObjectNotFound
    return Stream(
        _read(object_store, store_key),
        # With a charset, Galaxy would convert it.
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
            "Cache-Control": "private",
        },
    )


async def _pieces(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the pieces of a body, put together to larger ones."""
    pieces, size = [], 0
    async for piece in stream:
        pieces.append(piece)
        size += len(piece)
        if size >= WRITE_SIZE:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


async def _read(store: ports.ObjectStore, key: str) -> AsyncIterator[bytes]:
    with ExitStack() as stack:
        pieces: Iterator[bytes] = await in_file_thread(
            stack.enter_context, store.read(key)
        )
        while piece := await in_file_thread(next, pieces, b""):
            yield piece


def _origin(request: Request[Any, Any, Any]) -> str:
    """Return the origin at which a client reaches this service.

    A proxy may speak HTTPS in front of it; a client that claims so without one gets
    addresses that do not work.
    """
    scheme = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    scheme = scheme if scheme in {"http", "https"} else request.url.scheme
    return f"{scheme}://{request.headers.get('host', '')}"
