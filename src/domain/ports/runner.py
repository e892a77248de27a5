"""The port to what starts, watches and stops invocations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from galaxy_jobs.domain.model.dataset import Source
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
