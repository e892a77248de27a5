"""Exports of invocations as RO-Crates, which Galaxy makes in the background.

It puts them into its short-term storage, for a day by default. An export that fails
counts as ready there, and its error is the answer to the request for the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from uuid import UUID

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client, Download, NoAnswer
from galaxy_jobs.adapters.galaxy.files import open_part, tag_of
from galaxy_jobs.domain.errors import RunRejected
from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.ports import FileStream


FORMAT = "rocrate.zip"

_SIZE = re.compile(r"bytes 0-0/(\d{1,19})")


def begin(client: Client, invocation_id: InvocationId) -> str:
    """Begin an export; see the port."""
    path = f"invocations/{invocation_id}/prepare_store_download"
    made = client.post(path, {"model_store_format": FORMAT})
    return str(UUID(translate.part(made, "storage_request_id", str)))


def find(client: Client, export_id: str) -> FileVersion | None:
    """Return the version of an export's file; see the port."""
    if client.get(f"short_term_storage/{export_id}/ready") is not True:
        return None
    try:
        download = _open(client, export_id, {"Range": "bytes=0-0"})
    except NoAnswer as error:
        if error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        raise _failed(error.message or "HTTP 500") from error
    try:
        if download.status == HTTPStatus.NO_CONTENT:  # it failed without a reason
            raise _failed("HTTP 204")
        found = _SIZE.fullmatch(download.headers.get("Content-Range", ""))
        if found is None:
            raise NoAnswer(f"{download.name} was answered without a size.")
        size = int(found[1])
        return FileVersion(size, tag_of(download.headers, export_id, size))
    finally:
        download.close()


def open_file(
    client: Client, export_id: str, wanted: FileVersion, start: int, stop: int
) -> FileStream:
    """Open a part of an export's file; see the port."""

    def request(headers: Mapping[str, str]) -> Download:
        return _open(client, export_id, headers)

    return open_part(request, export_id, wanted, start, stop)


def _failed(message: str) -> RunRejected:
    return RunRejected(message, advice="It could not make the RO-Crate; ask again.")


def _open(client: Client, export_id: str, headers: Mapping[str, str]) -> Download:
    path = f"short_term_storage/{export_id}"
    return client.open("GET", path, {"Accept": "*/*", **headers})
