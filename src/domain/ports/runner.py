"""The port that starts, watches and cancels invocations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from galaxy_jobs.domain.model.dataset import Source
from galaxy_jobs.domain.model.invoke_options import InvokeOptions
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
    """Starts, watches and cancels invocations.

    Whatever the engine answers, every method returns values within bounds or raises a
    :class:`RunnerError`, and uses no more than 256 MiB of memory: ids are as
    :func:`engine_id` allows, names have up to ``NAME_LIMIT`` characters and texts up
    to ``TEXT_LIMIT``, integers up to 64 bits. An answer that cannot be read is as none.
    """

    @abstractmethod
    def identity(self) -> Identity:
        """Return the identity of this Galaxy and of our user there.

        The engine is asked at each call: this distinguishes a Galaxy that has
        lost an invocation from another Galaxy, or another user's key. An engine
        without users returns any text for one, always the same.
        """

    @abstractmethod
    def invoke(
        self,
        workflow_id: WorkflowId,
        inputs: Mapping[str, Source | Json],
        history_id: HistoryId,
        options: InvokeOptions = InvokeOptions(),
    ) -> InvocationId:
        """Start the workflow, with its outputs in that history. Never retried.

        The request is sent at most once, on a connection of its own: a reused
        one can be closed by the server at that moment, and then it is not known
        whether the request arrived.

        Args:
            workflow_id: The id of the stored workflow.
            inputs: By input name. Inputs left out take their defaults. A collection
                has no references to datasets in it. It is made in the history first,
                in a few requests whatever its size; data that the engine has is
                referred to, not copied. What cannot be fetched fails the run, or the
                jobs that need it, with its place and its address in the reason. An
                engine without collections refuses them.
            history_id: A history created for this run alone. If it is deleted
                by the time that the run would begin, the run must end cancelled,
                with no job and with ``history_deleted`` among its reasons.
            options: How Galaxy is to carry it out.

        Raises:
            RunRejected: Galaxy refused it (4xx): a required input is missing,
                there is no such workflow or history, it is purged, or an option
                is not possible there; or it refused an element of a collection.
                Nothing was started.
            RunnerUnavailable: It is *certain* that nothing was started: no
                connection was made, the answer was a 429, or its data could not be
                made; :class:`DataNotMade` where the engine had been asked to.
            OutcomeUnknown: Anything else: a time-out, a broken connection, a
                5xx, an answer that could not be read.
        """

    @abstractmethod
    def report(self, invocation_id: InvocationId) -> InvocationReport:
        """Return a report of the invocation now, with sub-workflows and jobs.

        It holds the facts, and :func:`judge` gives the verdict. It must be read
        in the order invocation, sub-invocations, jobs: a verdict that ends an
        invocation relies on no job having been created in between.

        A job that will never run, since an input of it is in error, failed or
        deleted (also through others like it), is BLOCKED; one that is held and
        may go on is PAUSED. Galaxy calls both ``paused``. A step that will have
        no jobs, such as an input, is `scheduled` with none.

        Raises:
            RunNotFound: Galaxy answers that it has no such invocation.
            ReportUnavailable: Galaxy gave no answer, or none that is about this
                invocation and within the bounds. There may be an :meth:`outline`.
            RunnerUnavailable: It could not be reached, or asks for a pause.
        """

    def outline(self, invocation_id: InvocationId) -> InvocationReport:
        """Return a report that does not list each job, for runs of very many.

        :func:`judge` comes to the same verdict on it, and it is read in the same
        order. The jobs of a step are counted in `unlisted`, unless it has only one.
        Listed are those that the verdict names or depends on: the first one that
        ended badly by itself, and, if nothing else is left to do, those that are
        blocked or paused. Tools may be unknown, and when jobs last changed. It takes
        a few requests, whatever the number of jobs. An engine without runs of very
        many jobs leaves it as it is: the report.

        Raises:
            RunNotFound: Galaxy answers that it has no such invocation.
            RunnerUnavailable: Galaxy gave no answer, or none that is about this
                invocation and within the bounds.
        """
        return self.report(invocation_id)

    @abstractmethod
    def summaries(
        self, invocation_ids: Sequence[InvocationId]
    ) -> Mapping[InvocationId, JobsSummary]:
        """Return the job counts of many invocations, in one request.

        A cheap way to see which ones moved. An id that is missing in the result
        needs a :meth:`report`; that is no error, and an engine without bulk
        answers returns an empty result. With no ids, nothing is asked.
        """

    @abstractmethod
    def details(self, job_id: JobId) -> JobDetails:
        """Return the details of a job that went wrong.

        Where the job never ran, ``message`` is the sentence that Galaxy leaves
        on its output dataset (``misc_info``).

        Raises:
            RunNotFound: Galaxy has no such job.
        """

    @abstractmethod
    def outputs(self, invocation_id: InvocationId) -> Sequence[Output]:
        """Return the labelled outputs that exist by now, sorted by label.

        Raises:
            RunNotFound: Galaxy answers that it has no such invocation.
        """

    @abstractmethod
    def cancel(self, invocation_id: InvocationId) -> None:
        """Request a cancel, and return without waiting for it.

        Requesting it twice is no error. Never call it for an invocation that has
        ended: Galaxy would turn a completed one ``cancelled``.

        Raises:
            RunNotFound: Galaxy answers that it has no such invocation.
        """

    @abstractmethod
    def review(self, invocation_id: InvocationId, place: str, *, approve: bool) -> None:
        """Answer an open review, and return without waiting for what follows.

        If it is approved, the invocation goes on; else it is cancelled, with
        ``cancelled_on_review`` among its reasons. The same answer twice is no error.

        Args:
            invocation_id: The invocation of the outermost workflow.
            place: The step, as in :meth:`InvocationReport.places`.
            approve: Whether it is approved.

        Raises:
            RunNotFound: Galaxy answers that it has no such invocation or step.
            RunRejected: The step is no review, it was answered otherwise, or the
                invocation has ended.
        """
