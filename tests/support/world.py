"""The whole core on a simulated Galaxy and a store in memory, all told what to do.

Every call to a port goes through :class:`~tests.support.faults.Faults`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from uuid import UUID

from attrs import field, frozen

from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryBatches,
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTagChanges,
    SimulatedGalaxy,
)
from galaxy_jobs.adapters.testing.memory.galaxy import TEXT, SimulatedRun
from galaxy_jobs.domain import (
    AllowedWorkflow,
    Allowlist,
    Dataset,
    DatasetId,
    GalaxyData,
    IdempotencyKey,
    InputKind,
    Invocation,
    InvocationId,
    InvocationState,
    Request,
    Src,
    Submission,
    SubmissionId,
    SubmissionState,
    WorkflowId,
    WorkflowInput,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import (
    CancelBatch,
    CancelJob,
    Check,
    ClearSuperseded,
    CreateBatch,
    DataUsers,
    InvokeNext,
    Poll,
    Reconcile,
    Rerun,
    Submit,
    UpdateTags,
)
from tests.support.faults import Faults


HDA = GalaxyData(Src.HDA, "hda1")
KEY = IdempotencyKey("", "key")
REQUEST = Request(dataset_id=DatasetId("d1"), workflow_name="w")

P = WorkflowInput(name="p", kind=InputKind.TEXT, optional=True)
Q = WorkflowInput(name="q", kind=InputKind.TEXT, optional=True)


@frozen(kw_only=True)
class World:
    """Everything there is. Dataset ``d1`` and workflow ``w`` are there already."""

    clock: ManualClock
    galaxy: SimulatedGalaxy
    store: MemoryStore
    faults: Faults
    workflow_id: WorkflowId
    submit: Submit
    rerun: Rerun
    reconcile: Reconcile
    poll: Poll
    cancel: CancelJob
    batches: MemoryBatches
    create_batch: CreateBatch
    invoke_next: InvokeNext
    cancel_batch: CancelBatch
    wiped: set[SubmissionId] = field(factory=set, init=False)

    @classmethod
    def made(cls, *inputs: WorkflowInput, allowed: Sequence[str] = ()) -> World:
        clock, galaxy, faults = ManualClock(), SimulatedGalaxy(), Faults()
        store = MemoryStore(now=clock)
        workflow_id = galaxy.add_workflow("w", TEXT, P, Q, *inputs)
        datasets = MemoryDatasets(store)
        datasets.add(
            Dataset(
                dataset_id=DatasetId("d1"), name="d", source=HDA, created_at=clock()
            ),
            SERVICE,
        )
        numbers = count(1)
        submissions = faults.around("submissions", MemorySubmissions(store))
        invocations = faults.around("invocations", MemoryInvocations(store))
        runner = faults.around("runner", galaxy)
        histories = faults.around("histories", galaxy)
        submit = Submit(
            check=Check(
                datasets=faults.around("datasets", datasets),
                catalog=faults.around("catalog", galaxy),
                allowlist=Allowlist(tuple(AllowedWorkflow(name=n) for n in allowed)),
                clock=clock,
                data=faults.around("data", galaxy),
            ),
            submissions=submissions,
            runner=runner,
            histories=histories,
            identity=runner.identity,
            clock=clock,
            new_id=lambda: UUID(int=next(numbers)),
        )
        superseded = faults.around("superseded", MemorySupersededRuns(store))
        batches = faults.around("batches", MemoryBatches(store))
        reconcile = Reconcile(
            check=submit.check,
            submissions=submissions,
            invocations=invocations,
            runner=runner,
            histories=histories,
            clock=clock,
        )
        return cls(
            clock=clock,
            galaxy=galaxy,
            store=store,
            faults=faults,
            workflow_id=workflow_id,
            submit=submit,
            rerun=Rerun(invocations, submit),
            reconcile=reconcile,
            poll=Poll(
                queue=faults.around("queue", MemoryPollQueue(store)),
                invocations=invocations,
                runner=runner,
                reconcile=reconcile,
                clear=ClearSuperseded(
                    superseded,
                    histories,
                    invocations,
                    DataUsers(superseded, histories, clock),
                    clock,
                ),
                clock=clock,
                random=lambda: 0.5,
                histories=histories,
                update_tags=UpdateTags(
                    faults.around("tag_changes", MemoryTagChanges(store)),
                    histories,
                    clock,
                ),
            ),
            cancel=CancelJob(invocations, clock),
            batches=batches,
            create_batch=CreateBatch(
                batches=batches, submit=submit, new_id=lambda: UUID(int=next(numbers))
            ),
            invoke_next=InvokeNext(batches, submit),
            cancel_batch=CancelBatch(batches, clock),
        )

    # --- time ---

    def round(self) -> None:
        """Let five minutes pass, on all sides, and sweep."""
        self.clock.advance(timedelta(minutes=5))
        self.galaxy.tick()
        self.poll()

    def settle(self) -> None:
        """Let everything arrive, be found out and come to its end."""
        self.galaxy.land()
        for _ in range(20):
            self.round()

    def wipe(self) -> None:
        """Have Galaxy lose everything, and give out the same ids from then on."""
        self.galaxy.wipe()
        self.wiped.update(self.store.submissions)

    # --- what is known ---

    def submissions(self) -> list[Submission]:
        """Every submission, oldest first."""
        return [opened.submission for opened in self.store.submissions.values()]

    def submission(self, submission_id: SubmissionId) -> Submission:
        return self.store.submissions[submission_id].submission

    def job(self, invocation_id: InvocationId) -> Invocation:
        return self.store.invocations[invocation_id]

    def ran(self, submission: Submission) -> list[SimulatedRun]:
        """What Galaxy really ran for a submission, whatever we know of it."""
        name = submission.history_name
        histories = self.galaxy.histories
        return [
            run for run in self.galaxy.at_work if histories[run.history_id].name == name
        ]

    def check(self) -> None:
        """Compare what we say with what Galaxy did, once everything is settled.

        Raises:
            AssertionError: Something is lost, doubled, stuck or wrong.
        """
        histories = self.galaxy.histories
        real: dict[IdempotencyKey, int] = {}
        accepted_before = 0
        for submission in self.submissions():
            runs = self.ran(submission)
            assert not submission.open, "stuck"
            if submission.submission_id in self.wiped:
                assert not runs
                if submission.invocation_id is not None:
                    lost = self.job(submission.invocation_id)
                    assert lost.submission_id == submission.submission_id, "mixed up"
                    assert lost.state.is_terminal, "stuck"
                    accepted_before += 1
                continue
            assert len(runs) <= 1, "doubled"
            if submission.key is not None:
                real[submission.key] = real.get(submission.key, 0) + len(runs)
            if submission.state is SubmissionState.REJECTED:
                assert not runs, "lost: it runs, and we say that it does not"
            else:
                assert [run.invocation_id for run in runs] == [submission.invocation_id]
        assert all(n <= 1 for n in real.values()), f"doubled: {real}"
        for run in self.galaxy.at_work:
            job = self.store.invocations[run.invocation_id]
            submission = self.submission(job.submission_id)
            assert submission.invocation_id == run.invocation_id
            assert job.state is InvocationState.COMPLETED, "wrong or stuck"
            assert not histories[run.history_id].deleted, "its outputs are thrown away"
        known = len(self.store.invocations) - accepted_before
        assert known == len(self.galaxy.at_work), "invented"
        kept = {run.history_id for run in self.galaxy.at_work}
        for history_id, history in histories.items():
            assert history.deleted or history_id in kept, "an empty history is left"
