"""Delete the Galaxy histories of superseded runs.

Only once the later run has *completed*, only histories that were created for the
superseded run alone, and never one whose data is still in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from attrs import frozen

from galaxy_jobs.domain.errors import (
    JobNotFound,
    RunnerError,
    RunNotFound,
    RunRejected,
)
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.submission import history_mark, history_name
from galaxy_jobs.domain.model.values import DatasetId, HistoryId, Identity
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.ports import (
    Clock,
    DataUser,
    InvocationRepository,
    RunHistories,
    SupersededRuns,
)
from galaxy_jobs.domain.use_cases.data_users import DataUsers
from galaxy_jobs.domain.use_cases.saving import save_changed


@frozen
class ClearSuperseded:
    """Deletes the histories of superseded runs, unless their data is in use.

    Attributes:
        superseded: The superseded runs.
        histories: The histories.
        invocations: The jobs.
        users: Finds what needs data.
        clock: The time.
        purge: Whether their data is removed from Galaxy's disk as well, for good.
        batch: The largest number of histories per call.
    """

    superseded: SupersededRuns
    histories: RunHistories
    invocations: InvocationRepository
    users: DataUsers
    clock: Clock
    purge: bool = False
    batch: int = 100

    def __call__(self, identity: Identity) -> int:
        """Deal with one batch, and return how many histories were dealt with.

        A history that Galaxy could not be asked about is left for the next
        call. A crash at any point is repaired by repeating the call.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        count = 0
        for run in self.superseded.due(identity, limit=self.batch):
            try:
                kept = self._clear(identity, run)
            except RunnerError:
                continue
            self.superseded.done(run.invocation_id, kept)
            count += 1
        return count

    def _clear(self, identity: Identity, run: Invocation) -> str | None:
        """Delete the history of a run; return why it is kept, or None."""
        if run.adopted or run.history_id is None:
            return None
        if not self._is_ours(run, run.history_id):
            return None
        contents = self.histories.contents(run.history_id)
        users = self.users(identity, run.history_id, contents)
        if not users:
            self.histories.delete(run.history_id)
            # A new user may have appeared while it was being deleted.
            users = self.users(identity, run.history_id, contents)
        if users:
            # It may have been deleted before a crash, and this not recorded.
            with suppress(RunRejected, RunNotFound):
                self.histories.undelete(run.history_id)
            return self._note(run, users)
        if self.purge:
            self.histories.delete(run.history_id, purge=True)
            at = self.clock()
            with suppress(JobNotFound):  # pruned meanwhile
                save_changed(
                    self.invocations, run, SERVICE, lambda job: job.without_results(at)
                )
        return None

    @staticmethod
    def _note(run: Invocation, users: Sequence[DataUser]) -> str | None:
        """Return a sentence that names the users which the owner of a run sees."""
        viewer = Viewer(owner=run.owner, sees_all=not run.private)
        named = [
            f"{user.kind} {viewer.id_of(DatasetId(user.id))!r}"
            for user in users
            if viewer.sees(user.owner)
        ]
        if not named:
            return None
        return f"Superseded, but its history is kept: {', '.join(named)} needs it."

    def _is_ours(self, run: Invocation, history_id: HistoryId) -> bool:
        """Whether the history still has the name that we gave it.

        A user who renamed it has taken it over, and may want to keep it.
        """
        mark = history_mark(run.submission_id)
        given = history_name(run.submission_id, run.workflow_name, run.dataset_id)
        return self.histories.marked(mark).get(history_id) in {given, mark}
