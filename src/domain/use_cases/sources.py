"""Sources of datasets as the workflow engine takes them.

Rule of the file: what a runner gets has no reference to anything of ours in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from attrs import evolve, field, frozen

from galaxy_jobs.domain.errors import (
    InvalidSource,
    InvalidValue,
    UploadIncomplete,
    UploadNotFound,
    quoted,
)
from galaxy_jobs.domain.model.dataset import (
    ELEMENTS_LIMIT,
    RANKS_LIMIT,
    CollectionData,
    Content,
    Dataset,
    DatasetRef,
    Single,
    Source,
    SourceElement,
    UploadData,
    UrlData,
    leaves_of,
)
from galaxy_jobs.domain.model.upload import Upload, UploadId, UploadState
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import DatasetRepository, UploadRepository


HandsOver: TypeAlias = Callable[
    [Collection[UploadData], Viewer], Mapping[UploadData, UrlData | UploadData]
]


@frozen
class CheckUploads:
    """Checks that uploaded files are complete, and leaves them as they are.

    Remembers what it has read, for one request.
    """

    uploads: UploadRepository
    _read: dict[tuple[str, Viewer], Upload | None] = field(factory=dict, init=False)

    def read(self, datasets: Iterable[Dataset]) -> None:
        """Read the uploads of many datasets at once."""
        wanted: dict[Viewer, set[UploadData]] = {}
        for dataset in datasets:
            wanted.setdefault(dataset.viewer, set()).update(_uploads([dataset.source]))
        for viewer, data in wanted.items():
            self._find(data, viewer)

    def __call__(
        self, data: Collection[UploadData], viewer: Viewer
    ) -> Mapping[UploadData, UploadData]:
        """Return the files as they are.

        Raises:
            UploadNotFound: There is one that the viewer does not see.
            UploadIncomplete: One is not complete.
        """
        self._find(data, viewer)
        for each in data:
            complete(self._read[each.upload_id, viewer], each)
        return {each: each for each in data}

    def _find(self, data: Collection[UploadData], viewer: Viewer) -> None:
        unknown = [
            UploadId(each.upload_id)
            for each in data
            if (each.upload_id, viewer) not in self._read
        ]
        if unknown:
            found = self.uploads.get_many(unknown, viewer)
            self._read.update({(id_, viewer): found.get(id_) for id_ in unknown})


def complete(upload: Upload | None, data: UploadData) -> Upload:
    """Return the upload of a file, which is complete.

    Args:
        upload: As it is found; None: it is not.
        data: The file.

    Raises:
        UploadNotFound, UploadIncomplete: It is not.
    """
    if upload is None:
        raise UploadNotFound(data.upload_id)
    if upload.state is not UploadState.COMPLETE:
        raise UploadIncomplete(upload.upload_id, upload.missing(()))
    return upload


def _uploads(sources: Iterable[Source]) -> Collection[UploadData]:
    """Return all uploaded files in sources."""
    return {
        content
        for source in sources
        for _, content in leaves_of(source)
        if isinstance(content, UploadData)
    }


@frozen
class ResolveSource:
    """Replaces what only we know in a source.

    Attributes:
        hand_over: Returns uploaded files as Galaxy gets them, all of which are read at
            once; None: they are left as they are, and not looked at.
    """

    datasets: DatasetRepository
    hand_over: HandsOver | None = None

    def __call__(self, dataset: Dataset) -> Source:
        """Return the source of a dataset as a runner takes it.

        In a collection, references to datasets are replaced by their data; one to a
        collection, by its elements.

        Raises:
            InvalidSource: It is an upload that is not complete; or an element of it is
                one, or a dataset that is not registered, that cannot be used, or that
                does not have the shape of the collection.
        """
        source = dataset.source
        try:
            if not isinstance(source, CollectionData):
                handed_over = self._handed_over([source], dataset.viewer)
                return _single(source, handed_over)
            assert source.elements is not None, "from a list"
            known = self._referenced(source, dataset.viewer)
            budget = iter(range(ELEMENTS_LIMIT))
            ranks = source.collection_type.split(":")
            handed_over = self._handed_over([source, *known.values()], dataset.viewer)
            elements = self._level(
                source.elements, ranks[1:], known, budget, handed_over
            )
            return evolve(source, elements=elements)
        except InvalidValue as error:
            raise InvalidSource(dataset.dataset_id, str(error)) from error

    def _handed_over(
        self, sources: Collection[Source], viewer: Viewer
    ) -> Mapping[UploadData, UrlData | UploadData]:
        """Return the addresses of all uploaded files in sources.

        Raises:
            InvalidValue: One is not complete.
        """
        data = _uploads(sources)
        if not data or self.hand_over is None:
            return {}
        try:
            return self.hand_over(data, viewer)
        except (UploadNotFound, UploadIncomplete) as error:
            raise InvalidValue(str(error)) from error

    def _referenced(
        self, source: CollectionData, viewer: Viewer
    ) -> Mapping[DatasetId, Source]:
        """Return the sources of the datasets that a collection refers to.

        Those of collections among them are followed as deep as a collection can be.
        """
        known: dict[DatasetId, Source] = {}
        pending = [source]
        for _ in range(RANKS_LIMIT):
            wanted = {
                content.dataset_id
                for collection in pending
                for _, content in collection.leaves()
                if isinstance(content, DatasetRef)
            } - known.keys()
            if not wanted:
                break
            found = self.datasets.get_many(wanted, viewer)
            known |= {id_: dataset.source for id_, dataset in found.items()}
            pending = [
                dataset.source
                for dataset in found.values()
                if isinstance(dataset.source, CollectionData)
            ]
        return known

    def _level(
        self,
        elements: Sequence[SourceElement],
        ranks: Sequence[str],
        known: Mapping[DatasetId, Source],
        budget: Iterator[int],
        handed_over: Mapping[UploadData, UrlData | UploadData],
        *,
        above: str = "",
    ) -> tuple[SourceElement, ...]:
        """Return the elements of a level without references.

        Args:
            elements: Those of the level.
            ranks: The type of what is below.
            known: The sources of datasets.
            budget: Has one item for each dataset that the collection may have.
            handed_over: The addresses of uploaded files.
            above: The names down to the level, each with a slash behind it.

        Raises:
            InvalidValue: An element cannot be used.
        """

        def content_of(element: SourceElement) -> Content:
            place = f"{above}{element.name}"
            content: Content | CollectionData = element.content
            if isinstance(content, DatasetRef):
                content = _referred(content.dataset_id, known, place)
            if isinstance(content, CollectionData):
                if content.collection_type != ":".join(ranks):
                    raise InvalidValue(
                        f"Element {quoted(place)} is a collection of type "
                        f"{content.collection_type}; expected "
                        f"{':'.join(ranks) or 'a single dataset'}."
                    )
                content = content.elements or ()
            if isinstance(content, tuple):
                return self._level(
                    content, ranks[1:], known, budget, handed_over, above=f"{place}/"
                )
            assert not isinstance(content, DatasetRef)
            if next(budget, None) is None:
                raise InvalidValue(
                    f"The collection has more than {ELEMENTS_LIMIT} datasets."
                )
            return _single(content, handed_over)

        return tuple(evolve(each, content=content_of(each)) for each in elements)


def _single(
    data: Single, handed_over: Mapping[UploadData, UrlData | UploadData]
) -> Single:
    """Return data that is no collection of ours, as a runner takes it."""
    return handed_over.get(data, data) if isinstance(data, UploadData) else data


def _referred(
    dataset_id: DatasetId, known: Mapping[DatasetId, Source], place: str
) -> Source:
    try:
        return known[dataset_id]
    except KeyError:
        raise InvalidValue(
            f"Element {quoted(place)} is dataset {quoted(dataset_id)}, which is not "
            "registered."
        ) from None
