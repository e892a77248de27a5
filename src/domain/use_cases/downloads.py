"""Find the files that a job has made, and sign links to them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode

from attrs import frozen

from galaxy_jobs.domain.errors import (
    BadLink,
    DataNotFound,
    InvalidValue,
    OutputNotFound,
    OutputNotReady,
    ResultsDeleted,
)
from galaxy_jobs.domain.model.dataset import DELETED, PURGED
from galaxy_jobs.domain.model.download import FileVersion, OutputFile, zip_names
from galaxy_jobs.domain.model.report import VALUE, Element, Output
from galaxy_jobs.domain.model.signing import Signer
from galaxy_jobs.domain.model.token import Token
from galaxy_jobs.domain.model.user import User
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import (
    Clock,
    InvocationRepository,
    OutputFiles,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases.saving import with_results
from galaxy_jobs.domain.use_cases.tokens import maker_id_of


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
        self, invocation_id: InvocationId, viewer: Viewer, path: Sequence[str]
    ) -> tuple[OutputFile, FileVersion]:
        """Return the file and its version.

        Args:
            invocation_id: The job.
            viewer: Who wants it.
            path: The label of an output; of a collection, with the names of its
                elements down to one.

        Raises:
            JobNotFound: There is no such job.
            OutputNotFound: It has no such output, or not there.
            OutputNotReady: The output is not whole.
            ResultsDeleted: It was deleted in Galaxy, or all results of the job were.
            RunNotFound: Galaxy no longer has the job, or it ran on another Galaxy or
                as another user.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        job = with_results(self.invocations.get(invocation_id, viewer))
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
        self, invocation_id: InvocationId, viewer: Viewer, labels: Sequence[str] = ()
    ) -> Sequence[tuple[OutputFile, FileVersion]]:
        """Return the files, each with its size, in the order of the outputs.

        Args:
            invocation_id: The job.
            viewer: Who wants them.
            labels: The labels of the outputs; none: all that have files.

        Raises:
            OutputNotFound: There is no file, or no output of one of the labels.
            InvalidValue: There are more than :data:`MAX_FILES`.
            JobNotFound, OutputNotReady, ResultsDeleted, RunNotFound,
            RunnerUnavailable, RunnerRefusedUs: As for :class:`FindFile`, for any of
                them: what is not whole is not left out.
        """
        job = with_results(self.invocations.get(invocation_id, viewer))
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
        file: OutputFile,
        maker: Token | User | None,
        ttl: timedelta = LINK_TTL,
    ) -> str:
        """Return a text that permits to download one file, fit for a query.

        Args:
            invocation_id: The job.
            file: The file.
            maker: The token or user who asks: the link ends with it. None where no
                token is needed.
            ttl: How long the link works.

        Raises:
            InvalidValue: *ttl* is not above zero, or above :data:`MAX_LINK_TTL`.
        """
        if not timedelta() < ttl <= MAX_LINK_TTL:
            raise InvalidValue(
                f"A link works for 1 to {MAX_LINK_TTL.total_seconds():.0f} seconds, "
                f"got {ttl.total_seconds():g}."
            )
        maker_id = maker_id_of(maker)
        expires_at = self.clock() + ttl
        if isinstance(maker, User) and maker.session_id is None:
            expires_at = min(expires_at, maker.expires_at)
        fields = [invocation_id, maker_id, file.file_name, *file.path]
        signed = self.load_signer().sign(_LINK, fields, expires_at)
        parts = {**signed, "by": maker_id, "name": file.file_name}
        return urlsafe_b64encode(urlencode(parts).encode()).decode().rstrip("=")

    def verify(
        self, invocation_id: InvocationId, path: Sequence[str], link: str
    ) -> tuple[str, str]:
        """Return what a link names its maker by, and the name to save the file by.

        Whether the maker is let in still is for :meth:`Authenticate.maker`.

        Raises:
            BadLink: It was not signed for that file, or has expired.
        """
        try:
            text = urlsafe_b64decode(link + "=" * (-len(link) % 4)).decode("ascii")
            parts = dict(parse_qsl(text, max_num_fields=5, keep_blank_values=True))
            maker_id, name = parts["by"], parts["name"]
        except (ValueError, KeyError):
            raise BadLink from None
        fields = [invocation_id, maker_id, name, *path]
        self.load_signer().verify(_LINK, fields, parts, self.clock())
        return maker_id, name


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


def file_names(outputs: Sequence[Output]) -> Mapping[tuple[str, ...], str]:
    """Return the path of each file in a zip of these outputs, whole or not.

    The keys are the paths of :class:`OutputFile`.
    """
    files = []
    for output in outputs:
        if output.src == "hda":
            files.append(_file((output.label,), output))
        files += [
            _file((output.label, *element.path), element)
            for element in output.elements
            if element.id is not None
        ]
    names = zip_names(files)
    return {file.path: name for file, name in zip(files, names, strict=True)}


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
