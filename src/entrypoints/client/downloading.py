"""Outputs of a job as files: resumed after an interruption, and whole or not there.

Rule of the file: a file has its name only once all of it is there. Until then, it has a
hidden name with its version in it, by which the next attempt goes on.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote, unquote

from attrs import define, frozen
from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn
from urllib3 import BaseHTTPResponse

from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused, Unreachable
from galaxy_jobs.entrypoints.client.http import Api


CHUNK_SIZE = 256 * 1024

ATTEMPTS = 5
"""How often a file is asked for that breaks off, as long as none brings any of it."""

ATTEMPT_INTERVAL = 1.0
"""Seconds between two of them."""

CRATE_TIMEOUT = 1800.0
"""Seconds in which an RO-Crate must be made."""

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""Errors of file systems without hard links, as FAT and shared folders can be."""

Update = Callable[..., object]
"""Called with a file's size as `total`, and with how many bytes are `completed`."""

Saved = Literal["saved", "resumed", "was there"]
"""How a file came to its place; ``resumed``: an earlier command had begun it."""


@frozen
class Wanted:
    """A file to be downloaded.

    Attributes:
        path: The label of its output, and the names of elements down to it.
        place: Where it is saved.
        above: What its path is below of, in the addresses of a job.
    """

    path: tuple[str, ...]
    place: Path
    above: tuple[str, ...] = ("outputs",)

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

    def save(self, wanted: Wanted, update: Update) -> Saved:
        """Download a file, unless it is there already.

        Args:
            wanted: The file.
            update: Called as it comes.

        Raises:
            CommandFailed: There is another file of that name, it could not be written,
                or the service broke off each time.
        """
        place, failures = wanted.place, 0
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            earlier, _ = _begun(place)
            while True:
                before = _begun(place)
                try:
                    part = self._fetch(wanted, update)
                    break
                except Unreachable:
                    went_on = _begun(place) != before
                    failures = 0 if went_on else failures + 1
                    if failures >= ATTEMPTS:
                        raise
                    time.sleep(ATTEMPT_INTERVAL)
            if part is None:
                return "was there"
            if self.force:
                part.replace(place)
            else:
                _rename(part, place)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CommandFailed(f"{place} could not be written: {reason}.") from None
        # Of another version, it has another name.
        return "resumed" if part == earlier else "saved"

    def _fetch(self, wanted: Wanted, update: Update) -> Path | None:
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
        with self._opened(wanted, headers) as answer:
            is_rest = answer.status == HTTPStatus.PARTIAL_CONTENT
            size = int(answer.headers["Content-Length"]) + (start if is_rest else 0)
            if place.exists() and not self.force:
                if place.stat().st_size == size:
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
                update(total=size, completed=start)
                while chunk := answer.read(CHUNK_SIZE):
                    file.write(chunk)
                    update(completed=file.tell())
                file.flush()
                os.fsync(file.fileno())
                if file.tell() != size:
                    raise Unreachable(f"{wanted.label} ended before its end.")
        return part

    @contextmanager
    def _opened(
        self, wanted: Wanted, headers: Mapping[str, str]
    ) -> Iterator[BaseHTTPResponse]:
        """Request a file, again while it is being made; yield the answer, unread.

        Raises:
            CommandFailed: It takes too long to make.
        """
        target = ("jobs", self.job, *wanted.above, *wanted.path)
        until = time.monotonic() + CRATE_TIMEOUT
        while True:
            with self.api.stream("GET", *target, **headers) as answer:
                if answer.status != HTTPStatus.ACCEPTED:
                    yield answer
                    return
            if time.monotonic() > until:
                raise CommandFailed(
                    f"Galaxy has not made the RO-Crate of job {self.job} within "
                    f"{CRATE_TIMEOUT / 60:.0f} min.",
                    "Galaxy may still be making it. Wait on: galaxy-jobs download "
                    f"{self.job} --ro-crate",
                )
            time.sleep(ATTEMPT_INTERVAL)


def download(
    api: Api,
    job: str,
    labels: Sequence[str],
    folder: Path,
    *,
    crate: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Download the files of a job; return the exit code."""
    downloader = Downloader(api, job, force)
    saved: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    columns = ("{task.description}", BarColumn(), DownloadColumn())
    if crate:
        place = folder / f"{quote(job, '')}.rocrate.zip"
        files = [Wanted(("ro-crate",), place, above=())]
    else:
        files = downloader.wanted(labels, folder)
    for file in files:
        try:
            with output.progress_bar(*columns, TransferSpeedColumn()) as bar:
                task = bar.add_task(output.clean(file.label), total=None)
                how = downloader.save(file, partial(bar.update, task))
        except Refused as refusal:
            if refusal.code not in {"output-not-ready", "results-deleted"}:
                raise
            problems.append({"path": file.path, "problem": refusal.problem})
            output.note(f"{output.clean(file.label)}: {refusal}")
        else:
            shown = {"path": file.path, "file": str(file.place)}
            saved.append({**shown, "was_there": how == "was there"})
            if not as_json:
                note = "" if how == "saved" else f" ({how})"
                output.show(f"{file.place}{note}")
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


def _rename(part: Path, place: Path) -> None:
    """Give a file its name, unless something of that name came meanwhile.

    Raises:
        FileExistsError: Something did.
    """
    try:
        os.link(part, place)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    else:
        part.unlink()
        return
    place.touch(exist_ok=False)  # only who creates the file may replace it
    try:
        part.replace(place)
    finally:
        if part.exists():  # it was not replaced
            place.unlink()


def _part(place: Path, etag: str) -> Path:
    version = quote(etag.strip('"'), "").replace(".", "%2E")
    return place.with_name(f".{place.name[:150]}.{version}.part")
