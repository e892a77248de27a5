"""The port to the datasets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol

from galaxy_jobs.domain.model.dataset import Dataset, UnusableDataset
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.ports.paging import Cursor, Page


class DatasetRepository(Protocol):
    """The registered datasets. Other programs may add some to the same store."""

    @abstractmethod
    def add(self, dataset: Dataset) -> Dataset:
        """Store a dataset and return it as it is stored.

        Adding the same dataset (by :meth:`Dataset.same_as`) again is no error:
        the first one stays, with its time.

        Raises:
            DatasetExists: Another dataset has that id.
        """

    @abstractmethod
    def get(self, dataset_id: DatasetId) -> Dataset:
        """Return the dataset of that id.

        Raises:
            DatasetNotFound: There is none.
            InvalidSource: Another program has stored it wrongly.
        """

    @abstractmethod
    def get_many(
        self, dataset_ids: Collection[DatasetId]
    ) -> Mapping[DatasetId, Dataset]:
        """Return those of the datasets that exist, by id.

        Raises:
            InvalidSource: Another program has stored one of them wrongly.
        """

    @abstractmethod
    def page(
        self, limit: int, after: Cursor | None = None, *, search: str = ""
    ) -> Page[Dataset | UnusableDataset]:
        """Return at most *limit* datasets after a place, newest first.

        Those that another program has stored wrongly are among them.

        Args:
            limit: The most to return.
            after: The place where the page begins; None: the newest.
            search: Only those with this text in their name or id, in upper or lower
                case. No character has a special meaning.
        """
