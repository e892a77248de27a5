"""The port to the engine's data."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from galaxy_jobs.domain.model.dataset import DataDescription, GalaxyData
from galaxy_jobs.domain.model.datatypes import Datatypes


class DataCatalog(Protocol):
    """The datasets and collections of the engine."""

    @abstractmethod
    def describe(self, data: GalaxyData) -> DataDescription:
        """Return what the engine knows of data, as of now.

        It is one request, whatever the size of a collection. Data of other users is
        described where the key may use it, and deleted data is described as such.
        Each kind of data has ids of its own: what is found under the id of data of
        another kind is something else.

        Raises:
            DataNotFound: There is none of that kind and id, the id is malformed, or
                the key may not use it.
            RunnerUnavailable, RunnerRefusedUs: The engine could not be asked.
        """

    @abstractmethod
    def datatypes(self) -> Datatypes:
        """Return the formats that the engine knows; they may be an hour old.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: The engine could not be asked.
        """
