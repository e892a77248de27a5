"""Outputs of a job as files: resumed after an interruption, and whole or not there.

Rule of the file: a file has its name only once all of it is there. Until then, it has a
hidden name with its version in it, by which the next attempt goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from attrs import define, frozen
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused, Unreachable
from galaxy_jobs.entrypoints.client.http import Api


CHUNK_SIZE = 256 * 1024

ATTEMPTS = 5
"""How often a file is asked for that breaks off, as long as none brings any of it."""

ATTEMPT_INTERVAL = 1.0
"""Seconds between two of them."""

Advance = Callable[[int], object]
"""Called with the number of bytes that have come."""


@frozen
class Wanted:
    """A file to be downloaded.

    Attributes:
        path: The label of its output, and the names of elements down to it.
        place: Where it is saved.
    """

    path: tuple[str, ...]
    place: Path

    @property
    def label(self) -> str:
        """Its path, for people."""
        return "/".join(self.path)


@define
class Downloader:
    """Saves files of one job.

    Attributes:
        api: Speaks to the service.
        job: The job.
        force: Whether other files of these names are replaced.
    """

    api: Api
    job: str
    force: bool = False

    def wanted(self, labels: Sequence[str], folder: Path) -> list[Wanted]:
        """Return the files of outputs, those of the labels or all.

        Raises:
            CommandFailed: There is no output of one of the labels.
        """
        found = [
            file
            for item in self._listed()
            if not labels or item["label"] in labels
            for file in _files(item, folder)
        ]
        missing = {*labels} - {file.path[0] for file in found}
        if missing:
            raise CommandFailed(
                f"Job {self.job} has no output {min(missing)!r} with files.",
                f"See its outputs: galaxy-jobs outputs {self.job}",
            )
        return found

    def _listed(self) -> Iterator[Mapping[str, Any]]:
        """Yield the outputs, those that are large collections a part at a time."""
        first, left = 0, True
        while left:
            items = self.api.get("jobs", self.job, "outputs", first_element=first).data
            most = max((item["element_count"] for item in items["items"]), default=0)
            for item in items["items"]:
                if not first or item["elements"]:
                    yield item
            first += 1000
            left = first < most

    def save(self, wanted: Wanted, begin: Callable[[int], Advance]) -> bool:
        """Download a file, unless it is there already; return whether it was.

        Args:
            wanted: The file.
            begin: Called with its size.

        Raises:
            CommandFailed: There is another file of that name, it could not be written,
                or the service broke off each time.
        """
        place, failures = wanted.place, 0
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            while True:
                before = _begun(place)
                try:
                    part = self._fetch(wanted, begin)
                    break
                except Unreachable:
                    went_on = _begun(place) != before
                    failures = 0 if went_on else failures + 1
                    if failures >= ATTEMPTS:
                        raise
                    time.sleep(ATTEMPT_INTERVAL)
            if part is not None:
                self._publish(part, place)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CommandFailed(f"{place} could not be written: {reason}.") from None
        return part is None

    def _fetch(self, wanted: Wanted, begin: Callable[[int], Advance]) -> Path | None:
        """Return what has all of a file, begun by an earlier attempt or not.

        None: the file is there.
        """
        place = wanted.place
        part, start = _begun(place)
        headers = {}
        if part is not None and start:
            # The last byte once more: there is none behind a file that has all.
            start -= 1
            version = part.name.rsplit(".", 2)[1]
            headers = {"Range": f"bytes={start}-", "If-Range": f'"{unquote(version)}"'}
        target = ("jobs", self.job, "outputs", *wanted.path)
        with self.api.stream("GET", *target, **headers) as answer:
            is_rest = answer.status == HTTPStatus.PARTIAL_CONTENT
            size = int(answer.headers["Content-Length"]) + (start if is_rest else 0)
            advance = begin(size)
            if place.exists() and not self.force:
                if place.stat().st_size == size:
                    advance(size)
                    return None
                raise CommandFailed(
                    f"{place} is there already, with another size.",
                    "Replace it: --force",
                )
            if not is_rest or part is None:
                start = 0
                if part is not None:
                    part.unlink()
                part = _part(place, answer.headers.get("ETag", ""))
            with part.open("r+b" if is_rest else "wb") as file:
                file.seek(start)
                advance(start)
                while chunk := answer.read(CHUNK_SIZE):
                    file.write(chunk)
                    advance(len(chunk))
                file.flush()
                os.fsync(file.fileno())
                if file.tell() != size:
                    raise Unreachable(f"{wanted.label} ended before its end.")
        return part

    def _publish(self, part: Path, place: Path) -> None:
        if self.force:
            part.replace(place)
            return
        # Unlike a renaming, it replaces nothing that came meanwhile.
        os.link(part, place)
        part.unlink()


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int], Advance]]:
    """Show on a terminal how far a file has come."""
    columns = (
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    screen = output.console(stderr=True)
    with Progress(
        *columns, console=screen, disable=not screen.is_terminal, transient=True
    ) as bar:

        def begin(size: int) -> Advance:
            task = bar.add_task(output.clean(label), total=size)
            return lambda count: bar.advance(task, count)

        yield begin


def download(
    api: Api,
    job: str,
    labels: Sequence[str],
    folder: Path,
    *,
    force: bool,
    as_json: bool,
) -> int:
    """Download the files of a job; return the exit code."""
    downloader = Downloader(api, job, force)
    saved: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    for file in downloader.wanted(labels, folder):
        try:
            with progress_bar(file.label) as begin:
                was_there = downloader.save(file, begin)
        except Refused as refusal:
            if refusal.code not in {"output-not-ready", "results-deleted"}:
                raise
            problems.append({"path": file.path, "problem": refusal.problem})
            output.note(f"{output.clean(file.label)}: {refusal}")
        else:
            place = str(file.place)
            saved.append({"path": file.path, "file": place, "was_there": was_there})
            if not as_json:
                output.show(f"{place}{' (was there)' if was_there else ''}")
    if as_json:
        output.document({"items": saved, "problems": problems})
    elif not saved and not problems:
        output.note("It has no outputs with files.")
    return 1 if problems else 0


def _files(item: Mapping[str, Any], folder: Path) -> Iterator[Wanted]:
    """Yield the files of an output, as the list of outputs shows it."""
    stack: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((), item)]
    while stack:
        above, shown = stack.pop()
        path = (*above, shown.get("label") or shown["name"])
        inner = [(path, element) for element in shown["elements"]]
        stack += reversed(inner)
        if (file := shown["file"]) is not None:
            place = PurePosixPath(file)
            if place.is_absolute() or ".." in place.parts or "\0" in file:
                raise CommandFailed(f"The service gives {file!r} for a file.")
            yield Wanted(path, folder / place)


def _begun(place: Path) -> tuple[Path | None, int]:
    """Return what an earlier attempt has left of a file, and its size."""
    stem = _part(place, "").name.rsplit(".", 2)[0]
    for other in place.parent.iterdir():
        if other.name.endswith(".part") and other.name.rsplit(".", 2)[0] == stem:
            return other, other.stat().st_size
    return None, 0


def _part(place: Path, etag: str) -> Path:
    version = quote(etag.strip('"'), "").replace(".", "%2E")
    return place.with_name(f".{place.name[:150]}.{version}.part")
