"""Find the datasets that an input can take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from attrs import frozen

from galaxy_jobs.domain.errors import RunnerError
from galaxy_jobs.domain.model.dataset import Dataset
from galaxy_jobs.domain.model.datatypes import Datatypes
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.model.workflow_input import (
    WorkflowInput,
    described_misfit,
    misfit,
)
from galaxy_jobs.domain.ports import DataCatalog, DatasetRepository


FOUND_LIMIT = 200
"""How many datasets are returned for an input at most, the newest."""

LOOKED_THROUGH = 1000
"""How many datasets are looked through at most, the newest."""


@frozen
class FindDatasets:
    """Finds datasets for inputs, by parts of their names and ids."""

    datasets: DatasetRepository
    data: DataCatalog

    def __call__(
        self, inputs: Sequence[WorkflowInput | None], viewer: Viewer, search: str = ""
    ) -> Sequence[Sequence[Dataset]]:
        """Return the datasets that may go on each input, newest first.

        What Galaxy knew of a dataset when it was registered decides; one that it does
        not know, or whose format may still change, may go on any input of its kind.

        Args:
            inputs: Data inputs; None: one that takes any data.
            viewer: Whose datasets.
            search: Only those with this text in their name or id, in any case.
        """
        found = [
            dataset
            for dataset in self.datasets.page(
                viewer, LOOKED_THROUGH, search=search
            ).items
            if isinstance(dataset, Dataset)
        ]
        known = cache(self._datatypes)
        return [
            [
                dataset
                for dataset in found
                if input_ is None or _fits(input_, dataset, known)
            ][:FOUND_LIMIT]
            for input_ in inputs
        ]

    def _datatypes(self) -> Datatypes:
        """Return the formats that Galaxy knows, or none where it cannot tell."""
        try:
            return self.data.datatypes()
        except RunnerError:
            return Datatypes()


def _fits(
    input_: WorkflowInput, dataset: Dataset, datatypes: Callable[[], Datatypes]
) -> bool:
    described = dataset.description
    return misfit(input_, dataset.source) is None and (
        described is None or described_misfit(input_, described, datatypes) is None
    )
