"""Find jobs by parts of names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import frozen

from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.domain.model.labels import Label
from galaxy_jobs.domain.model.values import BatchId, DatasetId, check_length
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import (
    DatasetRepository,
    InvocationRepository,
    JobFilter,
)


MATCHES_LIMIT = 20
"""How many datasets, or workflows, a part of a name stands for at most."""

WORKFLOW_NAMES_LIMIT = 1000
"""How many names of workflows are looked through at most, in the store's order."""


@frozen
class FindJobs:
    """Makes a filter of jobs from parts of names, in upper or lower case."""

    invocations: InvocationRepository
    datasets: DatasetRepository

    def __call__(
        self,
        viewer: Viewer,
        dataset: str = "",
        workflow: str = "",
        states: Collection[InvocationState] = (),
        owner: str = "",
        *,
        labels: Collection[str] = (),
        search: str = "",
        batch_id: BatchId | None = None,
    ) -> JobFilter:
        """Return the filter for jobs that match both texts and one of the states.

        A text that is an id or a name stands for that one alone. Any other stands for
        those that it is a part of, at most :data:`MATCHES_LIMIT`: of datasets the
        newest, by their ids and names. An empty text matches everything. An owner is
        named exactly, or `me`. A label is `key:value`.

        Raises:
            InvalidValue: A text is too long, or no label; or as for
                :class:`JobFilter`.
        """
        check_length("dataset_id", dataset)
        check_length("workflow_name", workflow)
        return JobFilter(
            dataset_ids=frozenset(self._datasets(dataset, viewer) if dataset else ()),
            workflow_names=frozenset(
                self._workflows(workflow, viewer) if workflow else ()
            ),
            states=frozenset(states),
            owner=viewer.owner_called(owner or None),
            labels=frozenset(map(Label.parse, labels)),
            search=search,
            batch_id=batch_id,
        )

    def _datasets(self, text: str, viewer: Viewer) -> Sequence[DatasetId]:
        found = self.datasets.page(viewer, MATCHES_LIMIT, search=text).items
        ids = [dataset.dataset_id for dataset in found]
        # Where there is none, jobs can be on one that is gone.
        return [DatasetId(text)] if not ids or self._is_dataset(text, viewer) else ids

    def _is_dataset(self, text: str, viewer: Viewer) -> bool:
        on_it = JobFilter(dataset_ids=frozenset([DatasetId(text)]))
        return bool(self.invocations.counts(on_it, viewer, 1))

    def _workflows(self, text: str, viewer: Viewer) -> Sequence[str]:
        names = self.invocations.workflow_names(viewer, WORKFLOW_NAMES_LIMIT)
        part = text.casefold()
        found = [name for name in names if part in name.casefold()]
        return [text] if not found or text in names else found[:MATCHES_LIMIT]
