"""Downloads of outputs: single files, in ranges, and zips.

Rule of the file: a response has the length that it says, or its connection is broken
off, so that nothing short looks whole. Galaxy's bytes pass through in parts, each asked
for once the client has taken the one before.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote, unquote

import structlog
from attrs import frozen
from litestar import Request, Response
from litestar.response import Stream

from galaxy_jobs.adapters import zips
from galaxy_jobs.adapters.http_server import send_directly
from galaxy_jobs.adapters.zips import Entry, ZipStream
from galaxy_jobs.domain import FileVersion, InvocationId, OutputFile, ports, use_cases
from galaxy_jobs.domain.errors import DataNotFound, DomainError
from galaxy_jobs.domain.model.download import file_name, zip_names
from galaxy_jobs.domain.ports import FileStream
from galaxy_jobs.entrypoints.api import parameters
from galaxy_jobs.entrypoints.api.asgi import BROKEN_OFF
from galaxy_jobs.entrypoints.api.auth import (
    LINK,
    Caller,
    Connection,
    TokenCache,
    caller_of,
    rate_key,
    viewer_of,
)
from galaxy_jobs.entrypoints.api.job_pages import matches
from galaxy_jobs.entrypoints.api.limits import StreamSlots
from galaxy_jobs.entrypoints.api.parameters import (
    InvocationIdInPath,
    Needs,
    header,
    query,
)
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.api.routing import Routes, path_of, response
from galaxy_jobs.entrypoints.api.threads import (
    asks_galaxy,
    openers,
    opens_files,
    read_in_turn,
)


ROUTES = Routes("/jobs", tags=["jobs"])


log = structlog.get_logger(__name__)

OCTET_STREAM = "application/octet-stream"
ZIP = "application/zip"

_RANGE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]{0,19})-([0-9]{0,19})", re.IGNORECASE)

_HEADERS = {
    # Results are often HTML: none is shown as a page of this service.
    "Cache-Control": "private, no-cache",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "sandbox",
    # A proxy that keeps what a client does not read would fill its disk.
    "X-Accel-Buffering": "no",
}

_REFUSALS = (
    "job-not-found",
    "output-not-found",
    "output-not-ready",
    "results-deleted",
    "gone",
)
_CONDITIONAL = ("precondition-failed", "range-not-satisfiable")


@frozen
class Downloads:
    """Sends files to clients.

    Attributes:
        slots: Limits their number.
        token_cache: Checks the tokens of their callers, who may be let in no more.
        find_file: Finds a file.
        files: Reads it.
        links: Verifies the links to it.
    """

    slots: StreamSlots
    token_cache: TokenCache
    find_file: use_cases.FindFile
    files: ports.OutputFiles
    links: use_cases.Links

    async def send_file(
        self,
        request: Request[Any, Any, Any],
        invocation_id: InvocationId,
        path: Sequence[str],
        conditions: Conditions,
        link: str | None,
    ) -> Response[Any]:
        """Return the file at a path, or the part that is asked for.

        Raises:
            Refused: A condition does not hold, or no slot is free.
            DomainError: There is no such file, or Galaxy could not be asked.
        """
        file, version = await asks_galaxy(self.find_file)(
            invocation_id, viewer_of(request), path
        )
        name = file.file_name
        if link is not None and caller_of(request).by_link:
            _, name = self.links.verify(invocation_id, path, link)
        open_part = partial(self.files.open, file.dataset_id, version)
        return await self.send_part(request, name, version, open_part, conditions)

    async def send_part(
        self,
        request: Request[Any, Any, Any],
        name: str,
        version: FileVersion,
        open_part: Callable[[int, int], FileStream],
        conditions: Conditions,
        *,
        media_type: str = OCTET_STREAM,
    ) -> Response[Any]:
        """Return a file, or the part of it that is asked for.

        Raises:
            Refused, DomainError: As for :meth:`send_file`.
        """
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": content_disposition(name),
        }
        etag = ""
        if version.tag is not None:
            headers["ETag"] = etag = f'"{version.tag}"'
        # In the order of RFC 9110, 13.2.2.
        if conditions.if_match and not matches(conditions.if_match, etag, weak=False):
            raise Refused(
                "precondition-failed",
                "The output is not the one of that `If-Match`; its `ETag` is now "
                f"{etag or 'unknown'}.",
            )
        if matches(conditions.if_none_match, etag):
            return Response(None, status_code=304, headers={**_HEADERS, **headers})
        start, stop, status = 0, version.size, 200
        is_same = conditions.if_range in {None, etag}
        if conditions.range and is_same and _method(request) == "GET":
            found = byte_range(conditions.range, version.size)
            if found is not None:
                (start, stop), status = found, 206
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{version.size}"
        return await self.send(
            request,
            lambda: open_part(start, stop),
            stop - start,
            status=status,
            headers=headers,
            media_type=media_type,
        )

    async def send(
        self,
        request: Request[Any, Any, Any],
        open_file: Callable[[], FileStream],
        length: int,
        *,
        status: int = 200,
        headers: dict[str, str],
        media_type: str = OCTET_STREAM,
    ) -> Response[Any]:
        """Return a response of *length* bytes.

        Raises:
            Refused: No slot is free.
            DomainError: The file could not be opened, or its beginning not be read.
        """
        headers = {**_HEADERS, **headers, "Content-Length": str(length)}
        if _method(request) == "HEAD" or not length:
            return Response(
                b"", status_code=status, headers=headers, media_type=media_type
            )
        chunks = self._chunks(request, open_file, length)
        # Taken before the response begins, so that a refusal is still a problem.
        try:
            first = await anext(chunks, b"")
        except DataNotFound as error:  # since it was found
            detail = "Galaxy does not have the file any more."
            raise Refused("output-not-found", detail) from error
        return Stream(
            _all(first, chunks),
            status_code=status,
            headers=headers,
            media_type=media_type,
        )

    async def _chunks(
        self,
        request: Request[Any, Any, Any],
        open_file: Callable[[], FileStream],
        length: int,
    ) -> AsyncIterator[bytes]:
        """Yield the first bytes, and then those that were not sent directly."""
        taken = 0

        def read() -> bytes:
            nonlocal taken
            chunk = file.read()
            taken += len(chunk)
            return chunk

        with self.slots.hold(rate_key(request)):
            opening = asyncio.ensure_future(opens_files(open_file)())
            try:
                file = await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(_close)
                raise
            try:
                with self._watched(caller_of(request), file):
                    yield await read_in_turn(read)
                    while chunk := await send_directly(
                        request.scope, read, read_in_turn
                    ):
                        yield chunk
            except DomainError as error:
                if taken:  # the response has begun
                    log.warning(
                        "download broken off",
                        after=taken,
                        expected=length,
                        reason=str(error),
                    )
                    request.scope["state"][BROKEN_OFF] = True
                raise
            finally:
                file.close()

    def _watched(
        self, caller: Caller, file: FileStream
    ) -> AbstractContextManager[None]:
        """Close the file if its caller is let in no more while the block runs."""
        if caller.by_link and caller.token is None:  # whom nobody can be asked about
            return nullcontext()
        return self.token_cache.watch(caller, file.close)


async def _all(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in others:
        yield chunk


def _close(opening: asyncio.Future[FileStream]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


@frozen
class Conditions:
    """What a client says of the file that it has, and of the part that it wants."""

    range: Annotated[
        str | None, header("One range of bytes.", "bytes=1000-", name="Range")
    ] = None
    if_range: Annotated[
        str | None,
        header("The `ETag` for which the range holds.", '"5f2c"', name="If-Range"),
    ] = None
    if_match: Annotated[
        str | None, header("An `ETag`, or several.", '"5f2c"', name="If-Match")
    ] = None
    if_none_match: Annotated[
        str | None,
        header("The `ETag` of the file that you have.", '"5f2c"', name="If-None-Match"),
    ] = None


Label: TypeAlias = Annotated[
    str, parameters.path("An output. A slash in it is sent as `%2F`.", "sorted")
]

Link: TypeAlias = Annotated[
    str | None, query("the value in a signed link, in the place of a token", "ZXhwaXJ")
]

_FILE: Mapping[str, Any] = {
    "asks_galaxy": True,
    "opt": {LINK: True},
    "responses": {
        200: response(
            bytes, description="The bytes of the file.", media_type=OCTET_STREAM
        ),
        206: response(
            bytes, description="The range that was asked for.", media_type=OCTET_STREAM
        ),
        304: response(None, description="The file is the one you have."),
    },
    "response_headers": parameters.documented(
        "ETag", "Accept-Ranges", "Content-Range", "Content-Disposition"
    ),
}


@ROUTES.get(
    "/{invocation_id:str}/outputs/{label:str}", *_REFUSALS, *_CONDITIONAL, **_FILE
)
async def download_output(
    *,
    request: Request[Any, Any, Any],
    invocation_id: InvocationIdInPath,
    label: Label,
    conditions: Needs[Conditions],
    downloads: Needs[Downloads],
    link: Link = None,
) -> Response[Any]:
    """Download an output.

    The bytes as Galaxy has them, always as an attachment. `HEAD` has the same headers.
    A download that was interrupted is resumed with `Range` and `If-Range`. If Galaxy
    breaks off, so is the connection, before the length that was said.
    """
    return await downloads.send_file(request, invocation_id, [label], conditions, link)


@ROUTES.get(
    "/{invocation_id:str}/outputs/{label:str}/{element:path}",
    *_REFUSALS,
    *_CONDITIONAL,
    **_FILE,
)
async def download_element(
    *,
    request: Request[Any, Any, Any],
    invocation_id: InvocationIdInPath,
    label: Label,
    element: Annotated[  # noqa: ARG001 - decoded, it does not tell slashes apart
        str,
        parameters.path(
            "The names of elements down to a dataset, with slashes between. One within "
            "a name is sent as `%2F`.",
            "plate-1/sample-07",
        ),
    ],
    conditions: Needs[Conditions],
    downloads: Needs[Downloads],
    link: Link = None,
) -> Response[Any]:
    """Download an element of an output that is a collection.

    As `GET /jobs/{invocation_id}/outputs/{label}`.
    """
    path = [label, *_elements(request)]
    return await downloads.send_file(request, invocation_id, path, conditions, link)


@ROUTES.get(
    "/{invocation_id:str}/outputs.zip",
    *_REFUSALS,
    asks_galaxy=True,
    response_headers=parameters.documented("Content-Disposition"),
    responses={200: response(bytes, description="The zip.", media_type=ZIP)},
)
async def download_zip(
    *,
    request: Request[Any, Any, Any],
    invocation_id: InvocationIdInPath,
    find_files: Needs[use_cases.FindFiles],
    downloads: Needs[Downloads],
    labels: Annotated[
        list[str] | None,
        query("a label of an output (repeat it for several)", ["sorted"], name="label"),
    ] = None,
) -> Response[Any]:
    """Download several outputs as a zip.

    All of them, or those of some labels; a collection becomes folders. Nothing is
    left out: if a file is not whole, or was deleted, the zip is refused, and if Galaxy
    breaks off, so is the connection. Nothing is compressed, and the length is known.
    """
    found = await asks_galaxy(find_files)(
        invocation_id, viewer_of(request), labels or ()
    )
    names = zip_names([file for file, _ in found])
    open_file = downloads.files.open
    entries = [
        Entry(name, version.size, partial(open_file, file.dataset_id, version))
        for name, (file, version) in zip(names, found, strict=True)
    ]
    name = file_name("_".join(labels or [invocation_id]), "zip")
    return await downloads.send(
        request,
        partial(ZipStream, entries, openers()),
        await asyncio.to_thread(zips.length, entries),
        headers={"Content-Disposition": content_disposition(name)},
        media_type=ZIP,
    )


@ROUTES.get(
    "/{invocation_id:str}/ro-crate",
    "job-not-found",
    "output-not-ready",
    "results-deleted",
    "gone",
    "galaxy-rejected",
    *_CONDITIONAL,
    asks_galaxy=True,
    response_headers=parameters.documented("Content-Disposition", "Retry-After"),
    responses={
        200: response(bytes, description="The crate.", media_type=ZIP),
        202: response(None, description="Galaxy is making it."),
    },
)
async def download_crate(
    *,
    request: Request[Any, Any, Any],
    invocation_id: InvocationIdInPath,
    find_crate: Needs[use_cases.FindCrate],
    exports: Needs[ports.RunExports],
    conditions: Needs[Conditions],
    downloads: Needs[Downloads],
) -> Response[Any]:
    """Download a job that has ended as an RO-Crate.

    Galaxy makes it at the first request, a zip with the workflow, the outputs and what
    was done. Until it is ready, the response is 202 with `Retry-After`. It is used for
    an hour, and downloaded like an output, in ranges and on conditions.
    """
    found = await asks_galaxy(find_crate)(invocation_id, viewer_of(request))
    if found is None:
        return Response(b"", status_code=202, headers={"Retry-After": "2"})
    export_id, version = found
    return await downloads.send_part(
        request,
        file_name(invocation_id, "rocrate.zip"),
        version,
        partial(exports.open_export, export_id, version),
        conditions,
        media_type=ZIP,
    )


def byte_range(text: str, size: int) -> tuple[int, int] | None:
    """Return the bytes of a ``Range`` header: the first one, and the one behind.

    Returns:
        None for several ranges, other units and what is no range: then all is sent
        (RFC 9110, 14.2).

    Raises:
        Refused: There are no such bytes (``range-not-satisfiable``).
    """
    found = _RANGE.fullmatch(text.strip(" \t"))
    first, last = found.groups() if found else ("", "")
    if not first and not last:
        return None
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise Refused(
            "range-not-satisfiable",
            f"The output has {size} bytes; got {text[:100]!r}.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, stop


def content_disposition(file_name: str) -> str:
    """Return the header that has a file saved by a name (RFC 6266)."""
    ascii_name = file_name.encode("ascii", "replace").decode().replace("?", "_")
    plain = re.sub(r'[^ -~]|["\\%]', "_", ascii_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, '')}"


def verify_link(links: use_cases.Links, connection: Connection) -> str:
    """Return what the link of a request names its maker by.

    Raises:
        BadLink: The link is for something else, was altered or has expired.
    """
    _, _, job, _, *path = map(unquote, connection.scope["path"].split("/"))
    maker_id, _ = links.verify(InvocationId(job), path, connection.query_params[LINK])
    return maker_id


def file_path(invocation_id: InvocationId, file: OutputFile) -> str:
    """Return the path of the route that downloads a file."""
    return path_of("jobs", invocation_id, "outputs", *file.path)


def link_to(
    links: use_cases.Links, invocation_id: InvocationId, caller: Caller, seconds: int
) -> Callable[[OutputFile], str]:
    """Return what gives a signed link to a file: an address below the service's."""

    def link(file: OutputFile) -> str:
        ttl = timedelta(seconds=seconds)
        signed = links.sign(invocation_id, file, caller.token, ttl)
        return f"{file_path(invocation_id, file)}?{LINK}={signed}"

    return link


def _elements(request: Request[Any, Any, Any]) -> list[str]:
    """Return the names of elements in a path: a slash within one is encoded."""
    return [unquote(segment) for segment in request.scope["path"].split("/")[5:]]


def _method(request: Request[Any, Any, Any]) -> str:
    """Return the method as it was sent: `HEAD` is routed as `GET`."""
    method: str = request.scope["state"]["method"]
    return method
