"""Upload files: parts in parallel, with progress, and resumed where they were.

An upload is found again by its idempotency key, which is made of the file: its path,
size and time of change, and the address of the service. So nothing is kept on this
machine, and a command that was interrupted is typed once more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, as_completed
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, TypeVar
from urllib.parse import urljoin
from uuid import NAMESPACE_URL, uuid4, uuid5

from rich.progress import (
    BarColumn,
    DownloadColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from urllib3 import PoolManager, Timeout, exceptions

from galaxy_jobs.entrypoints import file_names
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused, Usage
from galaxy_jobs.entrypoints.client.http import Api, connections_to


PARALLEL_PARTS = 4
"""Parts that are sent at once."""

ATTEMPTS = 5
"""How often a part is sent at most."""

READ_SIZE = 2**16
"""Bytes of a file that are read, and sent, at once."""

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection, and then, by urllib3, for each piece that is sent."""

PART_TIMEOUT = 60.0
"""Seconds after which a part that is not answered is sent again."""

WAIT = 30
"""Seconds for which each request waits for a file to be verified."""

Advance = Callable[[int], None]

T = TypeVar("T")


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
    stop = Event()
    try:
        (digest,) = _in_threads([partial(_sha256, path, 0, stat.st_size, stop)])
        if opened["state"] == "open":
            _send_missing(api, opened, path, advance, stop)
        else:
            advance(stat.st_size)
        shown: Mapping[str, Any] = {}
        while shown.get("state") != "complete":
            shown = api.post("uploads", upload_id, "complete", wait=WAIT).data
        if shown["sha256"] not in {None, digest.result()}:
            raise CommandFailed("What is stored is not the file; it changed meanwhile.")
    finally:
        stop.set()
    if path.stat().st_mtime_ns != stat.st_mtime_ns:
        raise CommandFailed(f"{path} has changed while it was uploaded.")
    dataset: Mapping[str, Any] | None = shown["dataset"]
    if dataset is None:
        raise CommandFailed(f"The dataset of {path} has been removed meanwhile.")
    return dataset


def to_send(path: Path, ext: str | None) -> dict[str, Any]:
    """Return the data of a dataset or an element that is a file, for :func:`send`.

    Raises:
        Usage: No format is given, and its name does not show one.
    """
    if found := ext or file_names.format_of(path.name):
        return {"file": path, "ext": found}
    raise Usage(f"The name of {path} does not show its format: give --ext.")


def collection(kind: str, files: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    """Return the elements of a collection of files.

    Args:
        kind: ``list``, ``paired`` or ``list:paired``; pairs are told by the names.
        files: What :func:`to_send` returned of each.

    Raises:
        Usage: The names do not fit the type, or would be equal.
    """
    names = [file["file"].name for file in files]
    if kind == "list":
        singles = [
            {"name": file_names.element_name(name), **file}
            for name, file in zip(names, files, strict=True)
        ]
        _check_names((single["name"], single["file"]) for single in singles)
        return singles
    pairs, single = file_names.pairs_of(names)
    if single:
        raise Usage(
            f"{', '.join(names[place] for place in single)}: no mate is given. The "
            "names of a pair differ in _1 and _2, or _R1 and _R2, alone."
        )
    _check_names((pair.name, files[pair.forward]["file"]) for pair in pairs)
    elements = [
        {
            "name": pair.name,
            "elements": [
                {"name": "forward", **files[pair.forward]},
                {"name": "reverse", **files[pair.reverse]},
            ],
        }
        for pair in pairs
    ]
    if kind == "list:paired":
        return elements
    if kind == "paired" and len(elements) == 1:
        inner: Sequence[Any] = elements[0]["elements"]
        return inner
    raise Usage(
        f"--collection is {kind}; expected list, paired (of one pair) or list:paired."
    )


def _check_names(elements: Iterable[tuple[str, Path]]) -> None:
    """Check that no two elements, each with its file, have the same name."""
    first: dict[str, Path] = {}
    for name, path in elements:
        if name in first:
            raise Usage(
                f"{first[name]} and {path} would both be element {name!r}: rename one."
            )
        first[name] = path


def send(
    api: Api, body: dict[str, Any], advance: Advance, *, once: bool = False
) -> Mapping[str, Any] | None:
    """Upload the files in the body of a dataset, and put their datasets there.

    A collection of files without an id gets one that is the same for the same files,
    so that nothing is registered twice if the command is repeated.

    Args:
        api: The service.
        body: That of the dataset.
        advance: As for :func:`upload`.
        once: Whether a dataset without files gets such an id, too.

    Returns:
        The dataset, if it is a file itself; it is registered then.

    Raises:
        Usage, CommandFailed: As for :func:`upload`.
    """
    if "file" in body:
        path, id_ = body["file"], body.get("dataset_id")
        dataset = upload(api, path, ext=body["ext"], dataset_id=id_, advance=advance)
        if dataset["name"] != body["name"]:
            new = {"name": body["name"]}
            dataset = api.change("datasets", dataset["dataset_id"], body=new).data
        return dataset
    found = [element for element in _inside(body) if "file" in element]
    for element in found:
        path, ext = element.pop("file"), element.pop("ext")
        place = element.pop("place", None)
        try:
            sent = upload(api, path, ext=ext, dataset_id=None, advance=advance)
        except CommandFailed:
            if place:
                output.note(f"{place}: it is not uploaded.")
            raise
        element["dataset_id"] = sent["dataset_id"]
    if (found or once) and not body.get("dataset_id"):
        body["dataset_id"] = str(uuid5(NAMESPACE_URL, json.dumps(body)))
    return None


def size(body: Mapping[str, Any]) -> int:
    """Return the bytes of all files in the body of a dataset.

    Those that cannot be read count nothing, as :func:`upload` will say.
    """
    total = 0
    for content in (body, *_inside(body)):
        with suppress(OSError):
            total += content["file"].stat().st_size if "file" in content else 0
    return total


def _inside(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the elements of a dataset or an element, and theirs."""
    for element in content.get("source", content).get("elements", ()):
        yield element
        yield from _inside(element)


@contextmanager
def progress(total: int) -> Iterator[Advance]:
    """Show the progress of so many bytes, on a terminal alone."""
    size = DownloadColumn(binary_units=True)
    columns = (BarColumn(), size, TransferSpeedColumn(), TimeRemainingColumn())
    with output.progress_bar(*columns) as bar:
        task = bar.add_task("", total=total)
        yield lambda size: bar.advance(task, size)


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


def _in_threads(calls: Iterable[Callable[[], T]], threads: int = 1) -> list[Future[T]]:
    """Begin calls in so many threads, and return the future of each.

    Unlike those of an executor, the threads do not keep the process alive: one of them
    may wait a minute for an answer.
    """
    begun = [(call, Future[T]()) for call in calls]
    waiting = SimpleQueue[tuple[Callable[[], T], Future[T]]]()
    for each in begun:
        waiting.put(each)

    def work() -> None:
        with suppress(Empty):
            while True:
                call, future = waiting.get_nowait()
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - the future has it
                    future.set_exception(error)

    for _ in range(threads):
        Thread(target=work, daemon=True).start()
    return [future for _, future in begun]


def _send_missing(
    api: Api, opened: Mapping[str, Any], path: Path, advance: Advance, stop: Event
) -> None:
    shown = api.get("uploads", opened["upload_id"]).data
    advance(shown["received"]["bytes"])
    connections = cache(partial(connections_to, at_once=PARALLEL_PARTS))
    sending = [
        partial(_send, api, connections, opened, path, number=number, stop=stop)
        for number in shown["missing"]
    ]
    for sent in as_completed(_in_threads(sending, PARALLEL_PARTS)):
        advance(sent.result())


def _send(
    api: Api,
    connections: Callable[[str], PoolManager],
    opened: Mapping[str, Any],
    path: Path,
    *,
    number: int,
    stop: Event,
) -> int:
    """Send a part, several times if need be, and return its size.

    Args:
        api: The service.
        connections: Returns those to a host, given the address of its root.
        opened: The upload.
        path: Of the file.
        number: Of the part.
        stop: Is set once the upload has ended.
    """
    offset = (number - 1) * opened["part_size"]
    size: int = min(opened["part_size"], opened["size"] - offset)
    sha256 = _sha256(path, offset, size, stop)
    body = {"numbers": [number], "sha256": {str(number): sha256}}
    parts = ("uploads", opened["upload_id"], "parts")
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt and stop.wait(2 ** (attempt - 1)):
            raise CancelledError
        (part,) = api.post(*parts, body=body).data["parts"]
        try:
            answer = connections(urljoin(part["url"], "/")).request(
                part["method"],
                part["url"],
                body=_pieces(path, offset, size, stop),
                headers={**part["headers"], "Content-Length": str(size)},
                timeout=Timeout(connect=CONNECT_TIMEOUT, read=PART_TIMEOUT),
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


def _pieces(path: Path, offset: int, size: int, stop: Event) -> Iterator[bytes]:
    """Yield a part of a file, until its upload has ended.

    Raises:
        CancelledError: It has; `stop` is set.
    """
    with path.open("rb") as file:
        file.seek(offset)
        while piece := file.read(min(READ_SIZE, size)):
            if stop.is_set():
                raise CancelledError
            size -= len(piece)
            yield piece


def _sha256(path: Path, offset: int, size: int, stop: Event) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(path, offset, size, stop):
        digest.update(piece)
    return digest.hexdigest()
