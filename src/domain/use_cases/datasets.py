"""Register datasets."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

from attrs import frozen

from galaxy_jobs.domain.model.dataset import Dataset, Source
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.ports import Clock, DatasetRepository


@frozen
class RegisterDataset:
    """Registers data that jobs can run on."""

    datasets: DatasetRepository
    clock: Clock
    new_id: Callable[[], UUID] = uuid4

    def __call__(
        self, name: str, source: Source, dataset_id: DatasetId | None = None
    ) -> Dataset:
        """Register a dataset; registering the same one again changes nothing.

        Galaxy is not asked: whether it can use the data shows when a job is
        submitted.

        Args:
            name: For people.
            source: Where Galaxy finds it.
            dataset_id: Its id; None: a new one.

        Raises:
            InvalidValue: An id, name, address or format that is empty or too long.
            DatasetExists: Another dataset has that id.
        """
        dataset = Dataset(
            dataset_id=DatasetId(str(self.new_id()))
            if dataset_id is None
            else dataset_id,
            name=name,
            source=source,
            created_at=self.clock(),
        )
        dataset.check_lengths()
        return self.datasets.add(dataset)
