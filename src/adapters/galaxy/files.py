"""The files of Galaxy's datasets, read through its API.

Rule of the file: what is read is as long as was said, or ends with an error. Galaxy's
`display` is the one address that gives a dataset's bytes; with `raw` they are those on
its disk, whatever the format.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from attrs import define

from galaxy_jobs.adapters.galaxy.client import Client, Download, NoAnswer, Refused
from galaxy_jobs.domain.errors import DataNotFound, InvalidValue
from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.model.values import engine_id
from galaxy_jobs.domain.ports.output_files import (
    BEGINNING,
    CHUNK_SIZE,
    MAX_CHUNK_SIZE,
    FileStream,
)


_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


@define(eq=False)
class GalaxyFileStream(FileStream):
    """A file of Galaxy's, of which so many bytes are left to be read."""

    download: Download
    left: int
    _taken: int = 0

    def read(self) -> bytes:
        if not self.left:
            return b""
        size = CHUNK_SIZE if self._taken < BEGINNING else MAX_CHUNK_SIZE
        chunk = self.download.read(min(size, self.left))
        if not chunk:
            raise NoAnswer(
                f"{self.download.name} ended {self.left} bytes before its end."
            )
        self.left -= len(chunk)
        self._taken += len(chunk)
        return chunk

    def close(self) -> None:
        self.download.close()


def version(client: Client, dataset_id: str) -> FileVersion:
    """Return the version of a file; see the port."""
    download = _open(client, "HEAD", dataset_id, {})
    try:
        size = _length(download.headers)
        if size is None:
            raise NoAnswer(f"{download.name} was answered without a size.")
        return FileVersion(size, tag_of(download.headers, dataset_id, size))
    finally:
        download.close()


def open_file(
    client: Client, dataset_id: str, wanted: FileVersion, start: int, stop: int
) -> FileStream:
    """Open a part of a file; see the port."""

    def request(headers: Mapping[str, str]) -> Download:
        return _open(client, "GET", dataset_id, headers)

    return open_part(request, dataset_id, wanted, start, stop)


def open_part(
    request: Callable[[Mapping[str, str]], Download],
    id_: str,
    wanted: FileVersion,
    start: int,
    stop: int,
) -> FileStream:
    """Open a part of a file.

    Args:
        request: Requests the file, with more headers.
        id_: What distinguishes it from other files.
        wanted: The version that is wanted.
        start: The first byte, counting from 0.
        stop: The byte behind the last one.

    Raises:
        NoAnswer: It is another version, or what came is no such part.
    """
    is_whole = start == 0 and stop == wanted.size
    if start == stop:
        # No range is empty. That the file is there has been seen.
        is_whole = True
    headers = {} if is_whole else {"Range": f"bytes={start}-{stop - 1}"}
    download = request(headers)
    try:
        stream = GalaxyFileStream(download, stop - start)
        if skipped := _check(download, id_, wanted, start, stop):
            # A proxy has dropped the header: the file comes from its beginning.
            before = GalaxyFileStream(download, skipped)
            while before.read():
                pass
    except BaseException:
        download.close()
        raise
    return stream


def _check(
    download: Download, dataset_id: str, wanted: FileVersion, start: int, stop: int
) -> int:
    """Check that an answer is a part of the wanted version; return the bytes before.

    Raises:
        NoAnswer: It is not.
    """
    size, headers = _length(download.headers), download.headers
    skipped = start
    if download.status == HTTPStatus.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        first, last, size = map(int, found.groups()) if found else (-1, -1, None)
        skipped = 0
        if (first, last) != (start, stop - 1):
            size = -1
    tag = None if size is None else tag_of(headers, dataset_id, size)
    is_other = size is not None and size != wanted.size
    if is_other or (tag and wanted.tag and tag != wanted.tag):
        raise NoAnswer(
            f"{download.name} was answered with {size} bytes of another version; "
            f"expected one of {wanted.size}."
        )
    if headers.get("Content-Encoding", "identity") != "identity":
        raise NoAnswer(f"{download.name} was answered with compressed bytes.")
    return skipped


def _open(
    client: Client, method: str, dataset_id: str, headers: Mapping[str, str]
) -> Download:
    try:
        path = f"datasets/{engine_id(dataset_id)}/display"
        return client.open(method, path, {"Accept": "*/*", **headers}, raw="true")
    except (Refused, InvalidValue) as error:
        raise DataNotFound("hda", dataset_id) from error


def _length(headers: Mapping[str, str]) -> int | None:
    length = headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"\d{1,19}", length) else None


def tag_of(headers: Mapping[str, str], dataset_id: str, size: int) -> str | None:
    """Return the tag of a version; None where Galaxy does not distinguish versions."""
    validator = headers.get("ETag") or headers.get("Last-Modified")
    if not validator:
        return None
    text = f"{dataset_id}:{size}:{validator.removeprefix('W/')}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
