"""The service without its safeguard, to see that the judge notices.

Deliberately broken: what most programs do that call another one.
"""

from __future__ import annotations

from attrs import frozen

from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Request,
    Submission,
)
from galaxy_jobs.domain.model.values import SubmissionId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.use_cases.submit import Submit, Submitted, replay


@frozen(kw_only=True)
class UnsafeSubmit(Submit):
    """Records a submission only once Galaxy has answered the invoke."""

    def __call__(
        self,
        request: Request,
        viewer: Viewer,
        key: IdempotencyKey | None = None,
        *,
        earlier: Invocation | None = None,
    ) -> Submitted:
        del earlier
        if key is not None and (holder := self.submissions.holder(key)):
            return replay(holder, request)
        plan = self.check(request, viewer)
        now = self.clock()
        submission = Submission(
            submission_id=SubmissionId(self.new_id()),
            identity=self.identity(),
            request=request,
            key=key,
            created_at=now,
            updated_at=now,
        )
        history_id = self.histories.create(submission.history_name)
        invocation_id = self.runner.invoke(
            plan.workflow.workflow_id, plan.inputs, history_id
        )
        self.submissions.open(
            submission,
            deadline=self.policy.deadline,
            key_lifetime=self.policy.key_lifetime,
        )
        made = submission.with_history(history_id, now)
        self.submissions.save(submission, made, look_in=self.policy.deadline)
        stored = self.submissions.accept(
            made, made.accepted(invocation_id, now), made.invocation(invocation_id, now)
        )
        return Submitted(invocation_id=stored.invocation_id)


def record_only_after_the_invoke() -> None:
    """Put the broken one into a process that has just been started."""
    from galaxy_jobs.entrypoints.container import Container  # noqa: PLC0415

    Container.submit.set_provides(UnsafeSubmit)
