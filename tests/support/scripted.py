"""A Galaxy that says exactly what a test tells it to say, and notes the questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from attrs import define, evolve, field

from galaxy_jobs.adapters.testing.memory.galaxy import outlined
from galaxy_jobs.domain import (
    GalaxyState,
    Identity,
    InvocationId,
    InvocationReport,
    JobDetails,
    JobId,
    JobsSummary,
    WorkflowRunner,
)
from galaxy_jobs.domain.errors import RunnerError, RunNotFound
from tests.support.build import HERE


@define
class ScriptedGalaxy(WorkflowRunner):
    """Answers from a script.

    Attributes:
        reports: What it says of each invocation, or how it fails to. What is not
            there it does not know.
        who: Who it says we are, or how it fails to.
        trouble: What it answers to everything, or None.
        bulk: Whether it can be asked in bulk, or how that fails.
        cancel_fails: What it answers to a cancel, or None: then it stops.
        review_fails: What it answers to a review, or None.
        reviewed: What it says of the invocation after an answer.
        tells_in_bulk: Whether its bulk answers tell of anything.
        counts_sub_workflows: Whether its bulk answers count their jobs.
        outlines: What its outlines are of; by default of the reports.
        takes: What happens while it looks up a report.
        asked: Every question, as ``report inv1``.
        in_bulk: What each bulk question was about.
    """

    reports: dict[InvocationId, InvocationReport | RunnerError] = field(factory=dict)
    who: Identity | RunnerError = HERE
    trouble: RunnerError | None = None
    bulk: RunnerError | None = None
    cancel_fails: RunnerError | None = None
    review_fails: RunnerError | None = None
    reviewed: dict[bool, InvocationReport | RunnerError] = field(factory=dict)
    tells_in_bulk: bool = True
    counts_sub_workflows: bool = True
    outlines: dict[InvocationId, InvocationReport | RunnerError] = field(factory=dict)
    takes: Callable[[], object] = lambda: None
    asked: list[str] = field(factory=list)
    in_bulk: list[list[InvocationId]] = field(factory=list)

    def identity(self) -> Identity:
        self._hear("identity")
        if isinstance(self.who, RunnerError):
            raise self.who
        return self.who

    def report(self, invocation_id: InvocationId) -> InvocationReport:
        self._hear(f"report {invocation_id}")
        self.takes()
        answer = self.reports.get(invocation_id, RunNotFound("I have no such thing."))
        if isinstance(answer, RunnerError):
            raise answer
        return answer

    def outline(self, invocation_id: InvocationId) -> InvocationReport:
        self._hear(f"outline {invocation_id}")
        answer = self.outlines.get(invocation_id, self.reports.get(invocation_id))
        if isinstance(answer, InvocationReport):
            return outlined(answer)
        raise answer or RunNotFound("I have no such thing.")

    def summaries(
        self, invocation_ids: Sequence[InvocationId]
    ) -> Mapping[InvocationId, JobsSummary]:
        self._hear("summaries")
        self.in_bulk.append([*invocation_ids])
        if self.bulk is not None:
            raise self.bulk
        return {
            id_: self._summary(report)
            for id_ in invocation_ids
            if self.tells_in_bulk
            and isinstance(report := self.reports.get(id_), InvocationReport)
        }

    def details(self, job_id: JobId) -> JobDetails:
        self._hear(f"details {job_id}")
        return JobDetails(exit_code=1, stderr="no")

    def cancel(self, invocation_id: InvocationId) -> None:
        self._hear(f"cancel {invocation_id}")
        if self.cancel_fails is not None:
            raise self.cancel_fails
        report = self.report(invocation_id)
        self.reports[invocation_id] = evolve(report, state=GalaxyState.CANCELLING)

    def review(self, invocation_id: InvocationId, place: str, *, approve: bool) -> None:
        self._hear(f"review {invocation_id} {place} {approve}")
        if self.review_fails is not None:
            raise self.review_fails
        self.reports[invocation_id] = self.reviewed[approve]

    def outputs(self, invocation_id: InvocationId) -> NoReturn:
        raise NotImplementedError

    def invoke(self, *_: object) -> NoReturn:
        raise NotImplementedError

    def _hear(self, question: str) -> None:
        self.asked.append(question)
        if self.trouble is not None:
            raise self.trouble

    def _summary(self, report: InvocationReport) -> JobsSummary:
        growing = report.state in {GalaxyState.NEW, GalaxyState.READY}
        own = (job for step in report.steps for job in step.jobs)
        jobs = report.jobs() if self.counts_sub_workflows else own
        return JobsSummary(
            states=Counter(job.state.value for job in jobs),
            populated="new" if growing else "ok",
        )
