"""The port to the datasets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol

from galaxy_jobs.domain.model.dataset import Dataset, UnusableDataset
from galaxy_jobs.domain.model.labels import NO_CHANGE, Label, LabelPatch
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports.paging import Cursor, Page


class DatasetRepository(Protocol):
    """The registered datasets. Other programs may add some to the same store."""

    @abstractmethod
    def add(self, dataset: Dataset, viewer: Viewer) -> Dataset:
        """Store a dataset of a viewer (:meth:`Dataset.owned_by`) and return it.

        Adding the same dataset (by :meth:`Dataset.same_as`) again is no error:
        the first one stays, with its time and its labels. It gets the new description
        if there is one.

        Raises:
            DatasetExists: The viewer calls another dataset so, or, which only somebody
                who sees all can bring about, another one has its id in the store.
            InvalidValue: Its id is too long.
        """

    @abstractmethod
    def get(self, dataset_id: DatasetId, viewer: Viewer) -> Dataset:
        """Return the dataset that a viewer calls so.

        Of several, the one whose id is the first of :meth:`Viewer.stored_ids`.

        Raises:
            DatasetNotFound: There is none.
            InvalidSource: Another program has stored it wrongly, or its address is of
                a scheme that is not allowed.
        """

    @abstractmethod
    def get_many(
        self, dataset_ids: Collection[DatasetId], viewer: Viewer
    ) -> Mapping[DatasetId, Dataset]:
        """Return those of the datasets that exist, each as :meth:`get` does, by id.

        Raises:
            InvalidSource: Another program has stored one of them wrongly.
        """

    @abstractmethod
    def page(
        self,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
        *,
        search: str = "",
        labels: Collection[Label] = (),
    ) -> Page[Dataset | UnusableDataset]:
        """Return at most *limit* datasets after a place, newest first.

        Those that another program has stored wrongly are among them; the elements of
        a large collection may not have been checked. Collections have no elements
        (see :meth:`Dataset.as_listed`).

        Args:
            viewer: Whose datasets.
            limit: The most to return.
            after: The place where the page begins; None: the newest.
            search: Only those with this text in their name or id, in upper or lower
                case. No character has a special meaning.
            labels: Only those with all of these labels.
        """

    @abstractmethod
    def change(
        self,
        dataset_id: DatasetId,
        viewer: Viewer,
        *,
        name: str | None = None,
        labels: LabelPatch = NO_CHANGE,
    ) -> Dataset:
        """Change a dataset at once, and return it as it is stored.

        Args:
            dataset_id: The dataset.
            viewer: Who changes it.
            name: Its new name; None: it stays.
            labels: The patch of its labels. Labels that another program has stored
                wrongly are dropped if there is one.

        Raises:
            DatasetNotFound: There is none.
            InvalidValue: There would be too many labels, or one is malformed; nothing
                is changed.
            InvalidSource: Another program has stored it wrongly; it is changed.
        """

    @abstractmethod
    def remove(self, dataset_id: DatasetId, viewer: Viewer) -> None:
        """Remove a dataset, unless it is needed. Its data in the engine stays.

        It is needed by a submission that is not settled and by an invocation that has
        not ended, as their dataset or by its id in a parameter, ``{"dataset_id": …}``;
        and by a registered collection that it is an element of. A submission on it that
        is opened at the same time either keeps it or is refused.

        Raises:
            DatasetNotFound: There is none.
            DatasetInUse: It is needed. It names a job, submission or collection that
                the viewer sees, or none.
        """
