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
        the first one stays, with its time. It gets the new description if there is
        one.

        Raises:
            DatasetExists: Another dataset has that id.
        """

    @abstractmethod
    def get(self, dataset_id: DatasetId) -> Dataset:
        """Return the dataset of that id.

        Raises:
            DatasetNotFound: There is none.
            InvalidSource: Another program has stored it wrongly, or its address is of
                a scheme that is not allowed.
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

        Those that another program has stored wrongly are among them; the elements of
        a large collection may not have been checked. Collections have no elements
        (see :meth:`Dataset.as_listed`).

        Args:
            limit: The most to return.
            after: The place where the page begins; None: the newest.
            search: Only those with this text in their name or id, in upper or lower
                case. No character has a special meaning.
        """

    @abstractmethod
    def rename(self, dataset_id: DatasetId, name: str) -> Dataset:
        """Give a dataset another name, and return it as it is stored.

        Raises:
            DatasetNotFound: There is none.
            InvalidSource: Another program has stored it wrongly; it is renamed.
        """

    @abstractmethod
    def remove(self, dataset_id: DatasetId) -> None:
        """Remove a dataset, unless it is needed. Its data in the engine stays.

        It is needed by a submission that is not settled and by an invocation that has
        not ended, as their dataset or by its id in a parameter, ``{"dataset_id": …}``.
        A submission on it that is opened at the same time either keeps it or is
        refused.

        Raises:
            DatasetNotFound: There is none.
            DatasetInUse: It is needed.
        """
