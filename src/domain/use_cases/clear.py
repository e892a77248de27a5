"""Delete the Galaxy histories of runs that a later one has taken the place of.

Only once the later one has *completed*, only histories that were made for the
superseded run alone, and never one that somebody still draws data from.
"""

from __future__ import annotations

from contextlib import suppress

from attrs import frozen

from galaxy_jobs.domain.errors import RunnerError, RunNotFound, RunRejected
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.submission import history_name
from galaxy_jobs.domain.model.values import HistoryId, Identity
from galaxy_jobs.domain.ports import RunHistories, SupersededRuns


@frozen
class ClearSuperseded:
    """Deals with the histories that may go now.

    Attributes:
        superseded: Which they are.
        histories: Where they are.
        purge: Whether their data is removed from Galaxy's disk, too, for good.
        batch: How many are dealt with in one call.
    """

    superseded: SupersededRuns
    histories: RunHistories
    purge: bool = False
    batch: int = 100

    def __call__(self, identity: Identity) -> int:
        """Deal with some and return how many.

        A history that Galaxy could not be asked about is left for the next
        time. A crash at any point is repaired by doing it again.

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
        """Delete its history; return why not, if not."""
        if run.history_id is None or not self._is_ours(run, run.history_id):
            return None
        contents = self.histories.contents(run.history_id)
        users = self.superseded.users_of(identity, contents)
        if not users:
            self.histories.delete(run.history_id)
            # Somebody may have named it while it was being deleted.
            users = self.superseded.users_of(identity, contents)
        if users:
            # It may be deleted by one who died before this was noted.
            with suppress(RunRejected, RunNotFound):
                self.histories.undelete(run.history_id)
            return f"Superseded, but its history is kept: {', '.join(users)} needs it."
        if self.purge:
            self.histories.delete(run.history_id, purge=True)
        return None

    def _is_ours(self, run: Invocation, history_id: HistoryId) -> bool:
        """Whether the history still bears the name that we gave it.

        Whoever renamed it has taken it over, and may want to keep it.
        """
        return history_id in self.histories.named(history_name(run.submission_id))
