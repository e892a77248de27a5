"""The ports to whatever runs workflows: Galaxy, a simulation of one, or your own.

Three small ones, since their users differ: the catalogue is asked when a job is
submitted, the runner by submitters and pollers, the histories by submitters and
the reconciler. They speak of one engine and its ids, so one adapter mostly fills
all three. Where they say Galaxy, an engine of another kind is meant as well: a
history is whatever a run can be found by, and be kept from starting by.

Every method may raise :class:`RunnerUnavailable` (no usable answer within the
adapter's time limit, a 429, a 5xx, garbage) and :class:`RunnerRefusedUs` (our
key is bad). They are not repeated below; whatever else one raises is.
Adapters are called from several threads at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from galaxy_jobs.domain.model.dataset import GalaxyData, Source
from galaxy_jobs.domain.model.report import (
    InvocationReport,
    JobDetails,
    JobsSummary,
    Output,
)
from galaxy_jobs.domain.model.values import (
    HistoryId,
    Identity,
    InvocationId,
    JobId,
    Json,
    WorkflowId,
)
from galaxy_jobs.domain.model.workflow import AllowedWorkflow, Workflow


class WorkflowCatalog(Protocol):
    """Tells which workflows there are and what inputs they declare."""

    @abstractmethod
    def find(self, wanted: AllowedWorkflow) -> Workflow:
        """Return the workflow that *wanted* names, fit to be invoked now.

        By ``workflow_id`` if that is given, else by exact name among those the
        key can see, deleted ones aside. A name may be remembered for up to a
        minute, but that the workflow is not deleted is looked at anew each
        time: Galaxy runs deleted workflows without a word. The ``name`` of the
        result is the one in *wanted*.

        Raises:
            WorkflowNotFound: There is none, or it is deleted.
            WorkflowAmbiguous: Several have that name.
        """

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the names of all workflows that the key can see, sorted.

        A name that several have stands there once; deleted ones do not.
        """


class WorkflowRunner(Protocol):
    """Starts, watches and stops invocations."""

    @abstractmethod
    def identity(self) -> Identity:
        """Return which Galaxy this is, and as which user we are there.

        Asked anew at each call: it is what tells a Galaxy that has forgotten
        an invocation from another Galaxy, or another user's key. An engine
        without users may give any text for one, always the same.
        """

    @abstractmethod
    def invoke(
        self,
        workflow_id: WorkflowId,
        inputs: Mapping[str, Source | Json],
        history_id: HistoryId,
    ) -> InvocationId:
        """Start the workflow, with its outputs in that history. Never retried.

        The request is sent at most once, on a connection of its own: a reused
        one can be closed by the server at the very moment, and then nobody
        knows whether the request arrived.

        Args:
            workflow_id: Of the stored workflow.
            inputs: By input name. Those left out take their defaults.
            history_id: A history made for this run alone. If it is deleted by
                the time that the run would begin, the run must end cancelled,
                with no job made and ``history_deleted`` among its reasons.

        Raises:
            RunRejected: Galaxy declined it (4xx): a required input is missing,
                there is no such workflow or history, or it is purged. Nothing
                was started.
            RunnerUnavailable: It is *certain* that nothing was started: no
                connection came about, or the answer was a 429.
            OutcomeUnknown: Anything else: a time-out, a connection that broke
                off, a 5xx, an answer that could not be understood.
        """

    @abstractmethod
    def report(self, invocation_id: InvocationId) -> InvocationReport:
        """Say how the invocation stands now, sub-workflows and jobs included.

        It tells what there is, and :func:`judge` decides what that means. Read
        in the order invocation, sub-invocations, jobs: a verdict that ends an
        invocation rests on no job having been made in between.

        A job that will never run, since an input of it is in error, failed or
        deleted (also through others like it), is BLOCKED; one that is held and
        may go on is PAUSED. Galaxy says ``paused`` of both. A step that will
        have no jobs, such as an input, is `scheduled` with none.

        Raises:
            RunNotFound: Galaxy says that it has no such invocation.
        """

    @abstractmethod
    def summaries(
        self, invocation_ids: Sequence[InvocationId]
    ) -> Mapping[InvocationId, JobsSummary]:
        """Say in bulk how the jobs of many invocations stand.

        A cheap way to see which ones moved. An id that is missing in the result
        could not be told of and needs a :meth:`report`; that is no error, and
        an engine without such a question tells of none. With no ids, nothing
        is asked.
        """

    @abstractmethod
    def details(self, job_id: JobId) -> JobDetails:
        """Say what is known of a job that went wrong.

        Where the job never ran, ``message`` is the sentence that Galaxy leaves
        on its output dataset (``misc_info``).

        Raises:
            RunNotFound: Galaxy has no such job.
        """

    @abstractmethod
    def outputs(self, invocation_id: InvocationId) -> Sequence[Output]:
        """Return the labelled outputs that exist by now, sorted by label.

        Raises:
            RunNotFound: Galaxy says that it has no such invocation.
        """

    @abstractmethod
    def cancel(self, invocation_id: InvocationId) -> None:
        """Ask the invocation to stop, and return without waiting for that.

        Asking twice is no error. Never call it for one that has ended: Galaxy
        would turn a completed invocation ``cancelled``.

        Raises:
            RunNotFound: Galaxy says that it has no such invocation.
        """


class RunHistories(Protocol):
    """The Galaxy histories that runs are given, one each.

    The history carries the submission's id as its name, so that a run whose
    answer was lost can be found; and it is the fence: Galaxy cancels whatever
    is invoked into a deleted history. A run that had begun before goes on.
    """

    @abstractmethod
    def create(self, name: str) -> HistoryId:
        """Make a history of that name. The request is sent at most once.

        Raises:
            RunnerUnavailable: Also where the answer was lost; then one may
                exist, which :meth:`named` will show.
        """

    @abstractmethod
    def named(self, name: str) -> Sequence[HistoryId]:
        """Return the histories of exactly that name, deleted ones included."""

    @abstractmethod
    def runs_in(self, history_id: HistoryId) -> Sequence[InvocationId]:
        """Return what was invoked into a history, oldest first.

        Works for deleted and purged histories, too. Invocations of sub-workflows
        are not among them. Empty where Galaxy has no such history.
        """

    @abstractmethod
    def delete(self, history_id: HistoryId, *, purge: bool = False) -> None:
        """Delete a history; with *purge*, its data on disk too, for good.

        One that is deleted already, or that Galaxy does not have, is no error.
        """

    @abstractmethod
    def undelete(self, history_id: HistoryId) -> None:
        """Bring a deleted history back; one that is not deleted is no error.

        Raises:
            RunRejected: It was purged.
            RunNotFound: Galaxy has no such history.
        """

    @abstractmethod
    def contents(self, history_id: HistoryId) -> Collection[GalaxyData]:
        """Return the datasets and collections that a history holds.

        Works for deleted histories, too. Empty where Galaxy has no such
        history, or it is purged.
        """
