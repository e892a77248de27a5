"""Files that are sent to Galaxy, for one that cannot fetch them: by tus.

Rule of the file: a file is in memory piece by piece, and its id is only returned once
all of it has arrived. Galaxy makes a dataset of whatever has, however little.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client
from galaxy_jobs.domain.errors import (
    DataNotMade,
    ObjectNotFound,
    RunnerUnavailable,
    StorageUnavailable,
)
from galaxy_jobs.domain.model.dataset import UploadedFile


PATCH_SIZE = 64 * 2**20
"""Bytes of a file in one request."""

_PATH = "upload/resumable_upload"
_VERSION = {"Tus-Resumable": "1.0.0"}
_METADATA = {"filename": "file", "filetype": "application/octet-stream"}


def send(client: Client, file: UploadedFile, deadline: float) -> str:
    """Send a file to Galaxy, and return the id by which a dataset is made of it.

    Args:
        client: Sends the requests.
        file: The file.
        deadline: For all of it, on the monotonic clock.

    Raises:
        RunnerUnavailable: It did not arrive whole, or could not be read.
        Refused: Galaxy does not take it.
    """
    headers = {
        **_VERSION,
        "Upload-Length": str(file.size),
        "Upload-Metadata": ",".join(
            f"{name} {b64encode(text.encode()).decode()}"
            for name, text in _METADATA.items()
        ),
    }
    with closing(client.open("POST", _PATH, headers, deadline=deadline)) as answer:
        # Behind a proxy, the rest of the address may be another one.
        path = PurePosixPath(urlsplit(answer.headers.get("Location", "")).path)
        id_ = translate.id_of({"id": path.name})
    try:
        with file.read() as pieces:
            _patch(client, f"{_PATH}/{id_}", _Pieces(pieces), file.size, deadline)
    except (ObjectNotFound, StorageUnavailable) as error:
        raise _unreadable(error) from error
    return id_


def _patch(
    client: Client, path: str, body: _Pieces, size: int, deadline: float
) -> None:
    """Send the bytes of a file, in as few requests as proxies let pass."""
    while (offset := body.taken) < size:
        body.size = min(PATCH_SIZE, size - offset)
        headers = {
            **_VERSION,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        client.open("PATCH", path, headers, body=body, deadline=deadline).close()


class _Pieces:
    """The pieces of a file as the body of a request that takes *size* more bytes.

    Attributes:
        taken: Bytes of the file that were taken.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""
        self.taken = self.size = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        left = self.size
        while left:
            try:
                piece = self._rest or next(self._pieces, b"")
            except StorageUnavailable as error:
                raise _unreadable(error) from error
            if not piece:
                raise _unreadable(ObjectNotFound())
            part, self._rest = piece[:left], piece[left:]
            left -= len(part)
            self.taken += len(part)
            yield part


def _unreadable(error: Exception) -> RunnerUnavailable:
    # A store that is down comes back; a file that is gone does not.
    kind = DataNotMade if isinstance(error, ObjectNotFound) else RunnerUnavailable
    return kind(f"A file could not be sent to Galaxy: {error}")
