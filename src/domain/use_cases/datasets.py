"""Register datasets, and change them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from types import MappingProxyType
from uuid import UUID, uuid4

from attrs import evolve, field, frozen

from galaxy_jobs.domain.errors import (
    DataMismatch,
    DataNotChecked,
    DataNotFound,
    DatasetExists,
    DatasetNotFound,
    InvalidSource,
    InvalidValue,
    RunnerError,
    RunnerUnavailable,
    quoted,
)
from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.dataset import (
    URL_SCHEMES,
    CollectionData,
    DataDescription,
    Dataset,
    GalaxyData,
    Source,
    Src,
    UploadData,
    check_scheme_name,
    check_schemes,
)
from galaxy_jobs.domain.model.labels import NO_CHANGE, LabelPatch, Labels
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import (
    Clock,
    DataCatalog,
    DatasetRepository,
    UploadRepository,
)
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record
from galaxy_jobs.domain.use_cases.sources import CheckUploads, ResolveSource


def _schemes(_: object, __: object, schemes: Collection[str]) -> None:
    for scheme in schemes:
        check_scheme_name(scheme)
    if not schemes:
        raise InvalidValue("schemes is empty; expected one at least.")


@frozen(kw_only=True)
class DataPolicy:
    """The data that jobs may run on.

    Attributes:
        schemes: The beginnings of addresses that Galaxy may fetch from; those of its
            file sources, such as ``s3``, ``gxfiles`` or ``zenodo``, may be added.

    Raises:
        InvalidValue: There is none, or one that is never allowed.
    """

    schemes: list[str] = field(factory=lambda: list(URL_SCHEMES), validator=_schemes)


@frozen
class RegisterDataset:
    """Registers data that jobs can run on.

    Attributes:
        data: Is asked about data that Galaxy has; None: nothing is asked.
        policy: The data that may be registered.
        uploads: Where uploaded files are looked up; None: they are not.
    """

    datasets: DatasetRepository
    clock: Clock
    data: DataCatalog | None = None
    new_id: Callable[[], UUID] = uuid4
    policy: DataPolicy = DataPolicy()
    record: Recorder = no_record
    uploads: UploadRepository | None = None

    def __call__(
        self,
        name: str,
        source: Source,
        viewer: Viewer,
        dataset_id: DatasetId | None = None,
        *,
        labels: Labels = MappingProxyType({}),
        check: bool = True,
    ) -> Dataset:
        """Register a dataset; registering the same one again changes nothing.

        Galaxy is asked once what the data is, and that is kept. Data in error, and
        deleted data, is registered: it may be restored before a job runs on it.

        Each kind of data in Galaxy has ids of its own, so that the id of a collection
        is that of a dataset, too. It is taken for a mistake if the registered name is
        that of the data of the other kind, or if only that could be run on.

        Args:
            name: For people.
            source: Where Galaxy finds it.
            viewer: Who registers it.
            dataset_id: Its id; None: a new one.
            labels: What it is sorted and found by; those of one that is registered
                stay.
            check: Whether Galaxy is asked. It is not where the same dataset was
                registered with an answer before, nor about data by address, nor about
                the elements of a collection; of those it is checked that the datasets
                among them are registered. And uploads have to be complete.

        Raises:
            InvalidValue: An id, name, address or format that is empty or too long, or
                an address of a scheme that is not allowed; or a label is malformed.
            InvalidSource: An upload, or an element of a collection, cannot be used.
            DatasetExists: As for :meth:`DatasetRepository.add`.
            DataMismatch: Galaxy has no such data, or it is taken for other data.
            DataNotChecked, RunnerRefusedUs: Galaxy could not be asked.
        """
        dataset = Dataset(
            dataset_id=DatasetId(str(self.new_id()))
            if dataset_id is None
            else dataset_id,
            name=name,
            source=source,
            created_at=self.clock(),
            labels=labels,
        )
        dataset.check_lengths()
        check_schemes(source, self.policy.schemes)
        dataset = dataset.owned_by(viewer)
        if check and isinstance(source, CollectionData | UploadData):
            whole = None if self.uploads is None else CheckUploads(self.uploads)
            ResolveSource(self.datasets, whole)(dataset)
        if check and isinstance(source, GalaxyData) and self.data is not None:
            if dataset_id is not None and (known := self._known(dataset, viewer)):
                return known
            try:
                description = _checked(self.data, source, dataset)
            except RunnerUnavailable as error:
                raise DataNotChecked(
                    f"The dataset is not registered, since its data could not be "
                    f"checked. {error}",
                    retry_after=error.retry_after,
                    lasting=error.lasting,
                ) from error
            now = self.clock()
            dataset = evolve(dataset, description=description, described_at=now)
        stored = self.datasets.add(dataset, viewer)
        self.record(viewer, Action.REGISTER, Kind.DATASET, stored.dataset_id)
        return stored

    def _known(self, dataset: Dataset, viewer: Viewer) -> Dataset | None:
        """Return the dataset as it is stored with a description, if it is.

        Raises:
            DatasetExists: Another one has that id.
        """
        try:
            stored = self.datasets.get(dataset.dataset_id, viewer)
        except DatasetNotFound:
            return None
        except InvalidSource:
            raise DatasetExists(dataset.dataset_id) from None
        if not stored.same_as(dataset):
            raise DatasetExists(dataset.dataset_id)
        return stored if stored.description is not None else None


_OTHER = {Src.HDA: Src.HDCA, Src.LDDA: Src.HDCA, Src.HDCA: Src.HDA}
"""The kind of data that each kind may be taken for."""


def _checked(
    catalog: DataCatalog, data: GalaxyData, dataset: Dataset
) -> DataDescription:
    """Return what data is, unless it seems to be other data that was meant."""
    other_data = GalaxyData(_OTHER[data.src], data.id)
    found, other, error = None, None, None
    try:
        found = catalog.describe(data)
    except DataNotFound as absent:
        error = absent
    with suppress(RunnerError):
        other = catalog.describe(other_data)
    if found is not None and (other is None or not _is_meant(other, found, dataset)):
        return found
    text = str(error) if found is None else f"{_in_words(data, found)} was not meant."
    if other is not None:
        text += (
            f" There is {_in_words(other_data, other)}: register that as "
            f"{other_data.src.value}."
        )
    raise DataMismatch(text) from error


def _is_meant(other: DataDescription, found: DataDescription, dataset: Dataset) -> bool:
    if dataset.name in {found.name, other.name}:
        return dataset.name != found.name
    return found.problem is not None and other.problem is None


def _in_words(data: GalaxyData, description: DataDescription) -> str:
    kind = description.collection_type or description.extension
    return f"{data.src.value} {data.id}, {quoted(description.name)} ({kind})"


@frozen
class ChangeDataset:
    """Gives a dataset another name, or other labels."""

    datasets: DatasetRepository
    record: Recorder = no_record

    def __call__(
        self,
        dataset_id: DatasetId,
        viewer: Viewer,
        *,
        name: str | None = None,
        labels: LabelPatch = NO_CHANGE,
    ) -> Dataset:
        """Return the dataset as it is now; see :meth:`DatasetRepository.change`.

        Raises:
            InvalidValue: The name is empty or too long, a label is malformed, or there
                would be too many.
            DatasetNotFound: There is no such dataset.
            InvalidSource: Another program has stored it wrongly.
        """
        before = self.datasets.get(dataset_id, viewer)
        if name is not None:
            evolve(before, name=name).check_lengths()
        after = self.datasets.change(dataset_id, viewer, name=name, labels=labels)
        if name is not None:
            self.record(viewer, Action.RENAME, Kind.DATASET, dataset_id)
        if after.labels != before.labels:
            self.record(viewer, Action.LABEL, Kind.DATASET, dataset_id)
        return after


@frozen
class RemoveDataset:
    """Removes a dataset; its data and its jobs stay."""

    datasets: DatasetRepository
    record: Recorder = no_record

    def __call__(self, dataset_id: DatasetId, viewer: Viewer) -> None:
        """Remove it.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetInUse: A job that has not ended uses it, or a collection.
        """
        self.datasets.remove(dataset_id, viewer)
        self.record(viewer, Action.DELETE, Kind.DATASET, dataset_id)
