"""The contract of :class:`DataCatalog`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

import pytest

from galaxy_jobs.domain.errors import DataNotFound
from galaxy_jobs.domain.model.dataset import DELETED, GalaxyData, Src
from galaxy_jobs.domain.ports import DataCatalog


class DataScene(Protocol):
    """The data that a catalog describes."""

    @property
    @abstractmethod
    def absent(self) -> str:
        """A well-formed id that no data has."""

    @abstractmethod
    def dataset(self, name: str) -> GalaxyData:
        """Return a new dataset of that name, which is ``ok``; its format is ``txt``."""

    @abstractmethod
    def collection(self, name: str) -> GalaxyData:
        """Return a new list of that name, of two such datasets."""

    @abstractmethod
    def delete(self, data: GalaxyData) -> None:
        """Delete data, not for good."""


class DataCatalogContract:
    """What a :class:`DataCatalog` must do."""

    @pytest.fixture
    def data_catalog(self) -> DataCatalog:
        """Return the adapter; to be supplied."""
        raise NotImplementedError

    @pytest.fixture
    def data_scene(self) -> DataScene:
        """Return data for it; to be supplied."""
        raise NotImplementedError

    def test_describes_a_dataset(
        self, data_catalog: DataCatalog, data_scene: DataScene
    ) -> None:
        described = data_catalog.describe(data_scene.dataset("reads of Ä"))
        assert (described.name, described.state) == ("reads of Ä", "ok")
        assert described.extensions == ("txt",)
        assert described.extension == "txt"
        assert described.collection_type is None
        assert described.problem is None

    def test_describes_a_collection(
        self, data_catalog: DataCatalog, data_scene: DataScene
    ) -> None:
        described = data_catalog.describe(data_scene.collection("plate 1"))
        assert (described.name, described.state) == ("plate 1", "ok")
        assert described.collection_type == "list"
        # Not every engine knows the formats of its datasets.
        assert described.extensions in {("txt",), ()}
        assert described.problem is None

    def test_describes_deleted_data_as_deleted(
        self, data_catalog: DataCatalog, data_scene: DataScene
    ) -> None:
        for data in (data_scene.dataset("gone"), data_scene.collection("gone, too")):
            data_scene.delete(data)
            described = data_catalog.describe(data)
            assert described.state == DELETED
            assert described.problem is not None

    def test_knows_formats(self, data_catalog: DataCatalog) -> None:
        known = data_catalog.datatypes()
        assert known.admit("txt", ["txt"])
        assert known.admit("txt", ["data"])
        assert known.admit("txt", ["a format that no engine knows"])

    @pytest.mark.parametrize("src", Src)
    def test_does_not_describe_what_is_not_there(
        self, data_catalog: DataCatalog, data_scene: DataScene, src: Src
    ) -> None:
        for id_ in (data_scene.absent, "no id", "../users/current", "a?b=c", ".", "Ä"):
            with pytest.raises(DataNotFound) as error:
                data_catalog.describe(GalaxyData(src, id_))
            assert (error.value.src, error.value.id) == (src.value, id_)
