"""Upload files: parts in parallel, with progress, and resumed where they were.

An upload is found again by its idempotency key, which is made of the file: its path,
size and time of change, and the address of the service. So nothing is kept on this
machine, and a command that was interrupted is typed once more.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from urllib3 import PoolManager, Timeout, exceptions

from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused, Usage
from galaxy_jobs.entrypoints.client.http import Api


PARALLEL_PARTS = 4
"""Parts that are sent at once."""

ATTEMPTS = 5
"""How often a part is sent at most."""

READ_SIZE = 2**20
"""Bytes of a file that are read at once."""

PART_TIMEOUT = 60.0
"""Seconds without any progress of a part after which it is sent again."""

WAIT = 30
"""Seconds for which each request waits for a file to be verified."""

Advance = Callable[[int], None]

_PAIR = re.compile(r"(?P<sample>.+?)[._-]R?(?P<read>[12])(?:_\d+)?(?:\.|$)")


def upload(
    api: Api, path: Path, *, ext: str, dataset_id: str | None, advance: Advance
) -> Mapping[str, Any]:
    """Upload a file, and return the dataset that it became.

    Args:
        api: The service.
        path: Of the file.
        ext: Galaxy's name of its format.
        dataset_id: The id of the dataset; None: a new one.
        advance: Is called with numbers of bytes that are stored.

    Raises:
        Usage: The file cannot be read.
        CommandFailed: It could not be uploaded, or changed meanwhile.
    """
    try:
        stat = path.stat()
        with path.open("rb"):
            pass
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}.") from None
    body = {
        "name": path.name,
        "size": stat.st_size,
        "ext": ext,
        "dataset_id": dataset_id,
    }
    opened = api.post("uploads", body=body, key=_key(api, path, body)).data
    if opened["state"] == "complete" and _is_gone(api, opened["dataset_id"]):
        opened = api.post("uploads", body=body, key=uuid4().hex).data
    upload_id = opened["upload_id"]
    with ThreadPoolExecutor(1) as hashing:
        digest: Future[str] = hashing.submit(_sha256, path, 0, stat.st_size)
        if opened["state"] == "open":
            _send_missing(api, opened, path, advance)
        else:
            advance(stat.st_size)
        complete = _completed(api, upload_id, digest.result)
    if path.stat().st_mtime_ns != stat.st_mtime_ns:
        raise CommandFailed(f"{path} has changed while it was uploaded.")
    dataset: Mapping[str, Any] = complete["dataset"]
    return dataset


def collection(
    kind: str, datasets: Sequence[tuple[str, str]]
) -> list[Mapping[str, Any]]:
    """Return the elements of a collection of uploaded files.

    Args:
        kind: ``list``, ``paired`` or ``list:paired``; the files of pairs are told by
            ``_1`` and ``_2`` or ``_R1`` and ``_R2`` in their names.
        datasets: The name of each file, and the id of its dataset.

    Raises:
        Usage: The names do not fit the type.
    """
    if kind == "list":
        return [
            {"name": name.partition(".")[0] or name, "dataset_id": id_}
            for name, id_ in datasets
        ]
    pairs: dict[str, dict[str, str]] = {}
    for name, id_ in datasets:
        match = _PAIR.match(name)
        if match is None:
            raise Usage(f"{name} has no _1, _2, _R1 or _R2 in its name.")
        read = {"1": "forward", "2": "reverse"}[match["read"]]
        if read in pairs.setdefault(match["sample"], {}):
            raise Usage(f"Two files are the {read} reads of {match['sample']}.")
        pairs[match["sample"]][read] = id_
    for sample, found in pairs.items():
        if len(found) != len(("forward", "reverse")):
            raise Usage(f"{sample} has only {', '.join(found)} reads.")
    elements: list[Mapping[str, Any]] = [
        {
            "name": sample,
            "elements": [
                {"name": read, "dataset_id": found[read]}
                for read in ("forward", "reverse")
            ],
        }
        for sample, found in pairs.items()
    ]
    if kind == "list:paired":
        return elements
    if kind == "paired" and len(elements) == 1:
        inner: list[Mapping[str, Any]] = elements[0]["elements"]
        return inner
    raise Usage(
        f"--collection is {kind}; expected list, paired (of one pair) or list:paired."
    )


@contextmanager
def progress(total: int) -> Iterator[Advance]:
    """Show the progress of so many bytes, on a terminal alone."""
    from rich.progress import (  # noqa: PLC0415 - slow to import
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    screen = output.Screen(stderr=True)
    columns = (
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    disable = not screen.is_terminal
    with Progress(*columns, console=screen, transient=True, disable=disable) as bar:
        task = bar.add_task("", total=total)
        yield lambda size: bar.advance(task, size)


def size(path: Path) -> int:
    """Return the size of a file; 0 if it cannot be read, as :func:`upload` will say."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # such as a name that is too long
        return 0


def _key(api: Api, path: Path, body: Mapping[str, Any]) -> str:
    stat = path.stat()
    made_of = [api.service.url, str(path.resolve()), stat.st_mtime_ns, body]
    return hashlib.sha256(repr(made_of).encode(errors="surrogateescape")).hexdigest()


def _is_gone(api: Api, dataset_id: str) -> bool:
    try:
        api.get("datasets", dataset_id)
    except Refused as refused:
        return refused.code == "dataset-not-found"
    return False


def _send_missing(
    api: Api, opened: Mapping[str, Any], path: Path, advance: Advance
) -> None:
    shown = api.get("uploads", opened["upload_id"]).data
    advance(shown["received"]["bytes"])
    with (
        PoolManager(maxsize=PARALLEL_PARTS, blocksize=READ_SIZE) as connections,
        ThreadPoolExecutor(PARALLEL_PARTS) as threads,
    ):
        sending = [
            threads.submit(_send, api, connections, opened, path, number)
            for number in shown["missing"]
        ]
        try:
            for sent in sending:
                advance(sent.result())
        finally:
            for sent in sending:
                sent.cancel()


def _send(
    api: Api,
    connections: PoolManager,
    opened: Mapping[str, Any],
    path: Path,
    number: int,
) -> int:
    """Send a part, several times if need be, and return its size."""
    offset = (number - 1) * opened["part_size"]
    size: int = min(opened["part_size"], opened["size"] - offset)
    body = {"numbers": [number], "sha256": {str(number): _sha256(path, offset, size)}}
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2 ** (attempt - 1))
        (part,) = api.post("uploads", opened["upload_id"], "parts", body=body).data[
            "parts"
        ]
        try:
            with path.open("rb") as file:
                answer = connections.request(
                    part["method"],
                    part["url"],
                    body=_Slice(file, offset, size),
                    headers={**part["headers"], "Content-Length": str(size)},
                    timeout=Timeout(connect=10, read=PART_TIMEOUT),
                    retries=False,
                )
        except exceptions.HTTPError as error:
            reason = type(error).__name__
            continue
        if answer.status < 300:  # noqa: PLR2004 - a success
            return size
        reason = f"{answer.status} {answer.reason}"
    raise CommandFailed(
        f"Part {number} of {path} could not be stored: {reason}.",
        "Type the same command once more: what is stored is not sent again.",
    )


def _completed(
    api: Api, upload_id: str, digest: Callable[[], str]
) -> Mapping[str, Any]:
    while True:
        shown: Mapping[str, Any] = api.post(
            "uploads", upload_id, "complete", wait=WAIT
        ).data
        if shown["state"] == "complete":
            break
    if shown["sha256"] not in {None, digest()}:
        raise CommandFailed("What is stored is not the file; it changed meanwhile.")
    return shown


class _Slice(io.RawIOBase):
    """A part of a file, as a body."""

    def __init__(self, file: io.BufferedReader, offset: int, size: int) -> None:
        super().__init__()
        file.seek(offset)
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._file.read(wanted)
        self._left -= len(piece)
        return piece


def _sha256(path: Path, offset: int, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        part = _Slice(file, offset, size)
        while piece := part.read(READ_SIZE):
            digest.update(piece)
    return digest.hexdigest()
