"""Find the files that a job has made, and sign links to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from attrs import frozen

from galaxy_jobs.domain.errors import (
    DataNotFound,
    InvalidValue,
    OutputNotFound,
    OutputNotReady,
    ResultsDeleted,
)
from galaxy_jobs.domain.model.dataset import DELETED, PURGED
from galaxy_jobs.domain.model.download import FileVersion, OutputFile
from galaxy_jobs.domain.model.report import VALUE, Element, Output
from galaxy_jobs.domain.model.signing import Signer
from galaxy_jobs.domain.model.token import TokenId
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.ports import (
    Clock,
    InvocationRepository,
    OutputFiles,
    WorkflowRunner,
)


MAX_FILES = 10_000
"""Files in one zip."""

LINK_TTL = timedelta(hours=1)
"""The time for which a link works, unless another one is asked for."""

MAX_LINK_TTL = timedelta(days=7)

_LINK = "output"


@frozen
class FindFile:
    """Finds one file of a job. Galaxy is asked."""

    invocations: InvocationRepository
    files: OutputFiles
    identity: Callable[[], Identity]

    def __call__(
        self, invocation_id: InvocationId, path: Sequence[str]
    ) -> tuple[OutputFile, FileVersion]:
        """Return the file and its version.

        Args:
            invocation_id: The job.
            path: The label of an output; of a collection, with the names of its
                elements down to one.

        Raises:
            JobNotFound: There is no such job.
            OutputNotFound: It has no such output, or not there.
            OutputNotReady: The output is not whole.
            ResultsDeleted: It was deleted in Galaxy.
            RunNotFound: Galaxy no longer has the job, or it ran on another Galaxy or
                as another user.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        job = self.invocations.get(invocation_id)
        label, *names = path
        outputs = self.files.named(job.id_on(self.identity()), label)
        file = _only(invocation_id, outputs, (label, *names))
        try:
            return file, self.files.version(file.dataset_id)
        except DataNotFound as error:
            raise OutputNotFound(
                invocation_id, file.path, "Galaxy does not have its file."
            ) from error


@frozen
class FindFiles:
    """Finds all files of some outputs of a job. Galaxy is asked."""

    invocations: InvocationRepository
    runner: WorkflowRunner
    files: OutputFiles
    identity: Callable[[], Identity]

    def __call__(
        self, invocation_id: InvocationId, labels: Sequence[str] = ()
    ) -> Sequence[tuple[OutputFile, FileVersion]]:
        """Return the files, each with its size, in the order of the outputs.

        Args:
            invocation_id: The job.
            labels: The labels of the outputs; none: all that have files.

        Raises:
            OutputNotFound: There is no file, or no output of one of the labels.
            InvalidValue: There are more than :data:`MAX_FILES`.
            JobNotFound, OutputNotReady, ResultsDeleted, RunNotFound,
            RunnerUnavailable, RunnerRefusedUs: As for :class:`FindFile`, for any of
                them: what is not whole is not left out.
        """
        job = self.invocations.get(invocation_id)
        run = job.id_on(self.identity())
        if labels:
            outputs: list[Output] = []
            for label in dict.fromkeys(labels):
                named = self.files.named(run, label)
                if not any(output.src != VALUE for output in named):
                    raise OutputNotFound(invocation_id, (label,))
                outputs += named
        else:
            outputs = list(self.runner.outputs(run))
        found = [file for output in outputs for file in files_of(output)]
        if not found:
            raise OutputNotFound(invocation_id, ())
        if len(found) > MAX_FILES:
            raise InvalidValue(
                f"There are {len(found)} files; at most {MAX_FILES} go into one zip. "
                "Name some of the outputs."
            )
        return [(file, self._version(invocation_id, file)) for file in found]

    def _version(self, invocation_id: InvocationId, file: OutputFile) -> FileVersion:
        if file.size is not None:
            return FileVersion(file.size)
        try:
            return FileVersion(self.files.version(file.dataset_id).size)
        except DataNotFound as error:
            raise OutputNotFound(
                invocation_id, file.path, "Galaxy does not have its file."
            ) from error


@frozen
class Links:
    """Signs and verifies links to single files of jobs."""

    load_signer: Callable[[], Signer]
    clock: Clock

    def sign(
        self,
        invocation_id: InvocationId,
        path: Sequence[str],
        file_name: str,
        token_id: TokenId,
        ttl: timedelta = LINK_TTL,
    ) -> Mapping[str, str]:
        """Return the query of a link that opens one file.

        Args:
            invocation_id: The job.
            path: As for :class:`FindFile`.
            file_name: The name to save it by.
            token_id: The token of the caller; the link ends with it.
            ttl: How long the link works.

        Raises:
            InvalidValue: *ttl* is not above zero, or above :data:`MAX_LINK_TTL`.
        """
        if not timedelta() < ttl <= MAX_LINK_TTL:
            raise InvalidValue(
                f"A link works for 1 to {MAX_LINK_TTL.total_seconds():.0f} seconds, "
                f"got {ttl.total_seconds():g}."
            )
        fields = [invocation_id, token_id, file_name, *path]
        signature = self.load_signer().sign(_LINK, fields, self.clock() + ttl)
        return {"name": file_name, "token": token_id, **signature}

    def verify(
        self,
        invocation_id: InvocationId,
        path: Sequence[str],
        query: Mapping[str, str],
    ) -> datetime:
        """Return when a link expires. Whether its token is in force is not checked.

        Raises:
            BadLink: It was not signed so, or has expired.
        """
        token_id, name = query.get("token", ""), query.get("name", "")
        fields = [invocation_id, token_id, name, *path]
        return self.load_signer().verify(_LINK, fields, query, self.clock())


def files_of(output: Output) -> Iterator[OutputFile]:
    """Yield the files of an output, in its order.

    Raises:
        OutputNotReady, ResultsDeleted: One is not whole, or was deleted.
    """
    for element in output.elements:
        if element.id is not None:
            yield _checked(_file((output.label, *element.path), element), element)
    # Of a collection, behind its elements: an error names the one that it is about.
    _check((output.label,), output.state)
    if output.src == "hda":
        yield _file((output.label,), output)


def whole_file(output: Output, element: Element | None = None) -> OutputFile | None:
    """Return the file of an output, or of an element of it, if there is a whole one."""
    with suppress(OutputNotReady, ResultsDeleted):
        if element is None and output.src == "hda":
            return _checked(_file((output.label,), output), output)
        if element is not None and element.id is not None:
            return _checked(_file((output.label, *element.path), element), element)
    return None


def _only(
    invocation_id: InvocationId, outputs: Sequence[Output], path: tuple[str, ...]
) -> OutputFile:
    """Return the file at a path."""
    detail, names = "", path[1:]
    for output in outputs:
        if output.src == "hda" and not names:
            return _checked(_file(path, output), output)
        if output.src == VALUE and not names:
            detail = "It is a value, which the list of outputs shows."
        for element in output.elements:
            if element.path == names and element.id is not None:
                return _checked(_file(path, element), element)
            if element.path[: len(names)] == names:
                detail = "It is a collection: name an element of it, or take a zip."
    raise OutputNotFound(invocation_id, path, detail)


def _file(path: tuple[str, ...], found: Output | Element) -> OutputFile:
    assert found.id is not None
    return OutputFile(
        dataset_id=found.id, path=path, extension=found.extension, size=found.size
    )


def _checked(file: OutputFile, found: Output | Element) -> OutputFile:
    _check(file.path, found.state)
    return file


def _check(path: tuple[str, ...], state: str | None) -> None:
    if state in {DELETED, PURGED}:
        raise ResultsDeleted(path)
    if state not in _WHOLE:
        raise OutputNotReady(path, state or "")


_WHOLE = frozenset({"ok", "empty", None})
