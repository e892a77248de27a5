"""The port to the datasets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol

from galaxy_jobs.domain.model.dataset import Dataset
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.ports.paging import Cursor, Page


class DatasetRepository(Protocol):
    """Keeps datasets. Other programs may add some behind our back."""

    @abstractmethod
    def add(self, dataset: Dataset) -> Dataset:
        """Store a dataset and return it as it is stored.

        The same one (by :meth:`Dataset.same_as`) again is no error: the first
        stays, with its time.

        Raises:
            DatasetExists: Another one has that id.
        """

    @abstractmethod
    def get(self, dataset_id: DatasetId) -> Dataset:
        """Fetch one.

        Raises:
            DatasetNotFound: There is none.
        """

    @abstractmethod
    def get_many(
        self, dataset_ids: Collection[DatasetId]
    ) -> Mapping[DatasetId, Dataset]:
        """Fetch those that exist."""

    @abstractmethod
    def page(self, limit: int, after: Cursor | None = None) -> Page[Dataset]:
        """List at most *limit*, newest first, beyond *after*."""
