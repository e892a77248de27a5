"""Sources of datasets as the workflow engine takes them.

Rule of the file: what a runner gets has no reference to anything of ours in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import evolve, frozen

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
)
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import DatasetRepository


@frozen
class ResolveSource:
    """Replaces what only we know in a source.

    Attributes:
        hand_over: Returns the address of an uploaded file; None: there are none.
    """

    datasets: DatasetRepository
    hand_over: Callable[[UploadData, Viewer], UrlData] | None = None

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
                return self._single(source, dataset.viewer)
            assert source.elements is not None, "from a list"
            known = self._referenced(source, dataset.viewer)
            budget = iter(range(ELEMENTS_LIMIT))
            ranks = source.collection_type.split(":")
            elements = self._level(
                source.elements, ranks[1:], known, budget, dataset.viewer
            )
            return evolve(source, elements=elements)
        except InvalidValue as error:
            raise InvalidSource(dataset.dataset_id, str(error)) from error

    def _single(self, data: Single, viewer: Viewer) -> Single:
        """Return data that is no collection of ours, as a runner takes it.

        Raises:
            InvalidValue: It is an upload that is not complete.
        """
        if not isinstance(data, UploadData) or self.hand_over is None:
            return data
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
        viewer: Viewer,
        *,
        above: str = "",
    ) -> tuple[SourceElement, ...]:
        """Return the elements of a level without references.

        Args:
            elements: Those of the level.
            ranks: The type of what is below.
            known: The sources of datasets.
            budget: Has one item for each dataset that the collection may have.
            viewer: Whose uploads may be among them.
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
                    content, ranks[1:], known, budget, viewer, above=f"{place}/"
                )
            assert not isinstance(content, DatasetRef)
            if next(budget, None) is None:
                raise InvalidValue(
                    f"The collection has more than {ELEMENTS_LIMIT} datasets."
                )
            return self._single(content, viewer)

        return tuple(evolve(each, content=content_of(each)) for each in elements)


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
