"""Export jobs as RO-Crates, which the engine makes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

from attrs import define, field

from galaxy_jobs.domain.errors import OutputNotReady, RunRejected
from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import Clock, InvocationRepository, RunExports
from galaxy_jobs.domain.use_cases.saving import with_results


EXPORT_TTL = timedelta(hours=1)
"""The time for which an export is used, and waited for; engines keep it for a day."""

MAX_EXPORTS = 1000
"""The number of exports that are remembered."""


@define
class _Export:
    begun_at: datetime
    id: str | None = None


@define(eq=False)
class FindCrate:
    """Finds the RO-Crate of a job, and has the engine make it. The engine is asked.

    All callers of one process share an export.
    """

    invocations: InvocationRepository
    exports: RunExports
    identity: Callable[[], Identity]
    clock: Clock
    _begun: OrderedDict[tuple[InvocationId, datetime], _Export] = field(
        factory=OrderedDict, init=False
    )
    _lock: Lock = field(factory=Lock, init=False)

    def __call__(
        self, invocation_id: InvocationId, viewer: Viewer
    ) -> tuple[str, FileVersion] | None:
        """Return the id and the version of the export; None while it is being made.

        Raises:
            JobNotFound: There is no such job.
            ResultsDeleted: They were deleted.
            OutputNotReady: It has not ended.
            RunRejected: The engine makes no export of it, or could not.
            RunNotFound: The engine no longer has the job, or it ran on another engine
                or as another user.
            RunnerUnavailable, RunnerRefusedUs: The engine could not be asked.
        """
        job = with_results(self.invocations.get(invocation_id, viewer))
        if not job.state.is_terminal:
            raise OutputNotReady(("RO-Crate",), job.state.value)
        run = job.id_on(self.identity())
        # Another one after the job has changed.
        key, now = (run, job.updated_at), self.clock()
        with self._lock:
            export = self._begun.get(key)
            if is_new := export is None or now - export.begun_at > EXPORT_TTL:
                export = self._begun[key] = _Export(now)
                self._begun.move_to_end(key)
                if len(self._begun) > MAX_EXPORTS:
                    self._begun.popitem(last=False)
        try:
            if is_new:
                export.id = self.exports.begin_export(run)
            if export.id is None:  # another caller is beginning it
                return None
            found = self.exports.find_export(export.id)
        except BaseException as error:
            if export.id is None or isinstance(error, RunRejected):
                with self._lock:
                    self._begun.pop(key, None)
            raise
        return None if found is None else (export.id, found)
