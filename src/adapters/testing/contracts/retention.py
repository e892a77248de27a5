"""The contract of :class:`Retention`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.repositories import (
    DAY,
    HERE,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    THERE,
    Repositories,
    S,
    a_run,
    a_submission,
    at_once,
)
from galaxy_jobs.domain.errors import JobNotFound, SubmissionNotFound
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.retention import Kept, RetentionRule
from galaxy_jobs.domain.model.submission import Problem
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.model.viewer import SERVICE


YOUNG = datetime(2100, 1, 1, tzinfo=UTC)
"""A time at which nothing has ended long ago."""


def rule(
    state: InvocationState = S.COMPLETED,
    age: timedelta = DAY,
    kept: Kept = Kept.RESULTS,
    workflow_names: frozenset[str] | None = None,
    except_workflows: frozenset[str] = frozenset(),
) -> RetentionRule:
    """Return a rule."""
    return RetentionRule(
        age=age,
        state=state,
        kept=kept,
        workflow_names=workflow_names,
        except_workflows=except_workflows,
    )


class RetentionContract:
    """What a :class:`Retention` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _long_after(self, repositories: Repositories) -> None:
        repositories.pass_time(2 * DAY)

    def _ended(
        self,
        repositories: Repositories,
        name: str,
        state: InvocationState = S.COMPLETED,
        at: datetime = NOON,
    ) -> Invocation:
        return repositories.moved(repositories.accepted(name, at=at), state)

    def _claimed(
        self,
        repositories: Repositories,
        given: RetentionRule | None = None,
        limit: int = 10,
        lease: timedelta = HOUR,
    ) -> list[str]:
        claimed = repositories.retention.claim(
            HERE, given or rule(), limit=limit, lease=lease
        )
        for each in claimed:
            id_ = each.job.invocation_id
            assert each.job == repositories.invocations.get(id_, SERVICE)
        return [each.job.invocation_id for each in claimed]

    def _begun(self, repositories: Repositories) -> list[tuple[str, int]]:
        begun = repositories.retention.claim_begun(HERE, limit=10, lease=HOUR)
        return [(each.job.invocation_id, each.failures) for each in begun]

    def _deleted(self, repositories: Repositories, job: Invocation) -> Invocation:
        before = repositories.invocations.get(job.invocation_id, SERVICE)
        repositories.invocations.save(before, before.without_results(LATER))
        return repositories.invocations.get(job.invocation_id, SERVICE)

    def test_leases_what_has_ended_the_oldest_first(
        self, repositories: Repositories
    ) -> None:
        for n in (2, 0, 1):
            self._ended(repositories, f"inv{n}", at=NOON + n * MINUTE)
        assert self._claimed(repositories, limit=2) == ["inv0", "inv1"]
        assert self._claimed(repositories) == ["inv2"]
        assert self._claimed(repositories) == []
        repositories.pass_time(HOUR + MINUTE)
        assert self._claimed(repositories) == ["inv0", "inv1", "inv2"]

    def test_leaves_what_is_followed_or_adopted_or_has_no_history(
        self, repositories: Repositories
    ) -> None:
        repositories.accepted("queued")
        repositories.moved(repositories.accepted("in progress"), S.IN_PROGRESS)
        repositories.with_jobs_left("left")
        for name, fields in (
            ("adopted", {"adopted": True}),
            ("bare", {"history_id": None}),
        ):
            before = repositories.begun(a_submission())
            run = evolve(a_run(before, name), **fields)
            accepted = before.accepted(run.invocation_id, NOON)
            repositories.moved(
                repositories.submissions.accept(before, accepted, run), S.COMPLETED
            )
        for state in S:
            assert self._claimed(repositories, rule(state)) == []

    def test_only_of_the_states_and_workflows_of_the_rule(
        self, repositories: Repositories
    ) -> None:
        for name, state in (("a", S.COMPLETED), ("b", S.FAILED), ("c", S.CANCELLED)):
            submission = a_submission(workflow=f"w-{name}")
            repositories.moved(repositories.accepted(name, submission), state)
        claim = repositories.retention.claim
        assert self._claimed(repositories, rule(S.CANCELLED)) == ["c"]
        named = frozenset({"w-b", "x\0"})
        assert self._claimed(repositories, rule(workflow_names=named)) == []
        assert self._claimed(repositories, rule(S.FAILED, except_workflows=named)) == []
        assert self._claimed(repositories, rule(S.FAILED, workflow_names=named)) == [
            "b"
        ]
        nobody = frozenset[str]()
        assert self._claimed(repositories, rule(workflow_names=nobody)) == []
        assert claim(THERE, rule(), limit=10, lease=HOUR) == []
        assert self._claimed(repositories, rule(except_workflows=named)) == ["a"]

    def test_only_long_after_the_end(self, repositories: Repositories) -> None:
        self._ended(repositories, "old")
        self._ended(repositories, "young", at=YOUNG)
        assert self._claimed(repositories, rule(age=100_000 * DAY)) == []
        assert self._claimed(repositories) == ["old"]

    def test_what_is_deleted_is_not_claimed_again(
        self, repositories: Repositories
    ) -> None:
        job = self._ended(repositories, "inv1")
        assert self._claimed(repositories, lease=timedelta(0)) == ["inv1"]
        stored = self._deleted(repositories, job)
        assert stored.results_deleted_at == LATER
        assert stored.version == job.version + 1
        repositories.retention.end(job.invocation_id)
        repositories.retention.end(job.invocation_id)
        assert self._claimed(repositories) == []
        assert self._claimed(repositories, rule(kept=Kept.INTERMEDIATES)) == []

    def test_intermediates_go_by_themselves(self, repositories: Repositories) -> None:
        job = self._ended(repositories, "inv1")
        intermediates = rule(age=timedelta(0), kept=Kept.INTERMEDIATES)
        claimed = self._claimed(repositories, intermediates, lease=timedelta(0))
        assert claimed == ["inv1"]
        repositories.invocations.save(job, job.without_intermediates(LATER))
        repositories.retention.end(job.invocation_id)
        stored = repositories.invocations.get(job.invocation_id, SERVICE)
        assert stored.intermediates_deleted_at == LATER
        assert self._claimed(repositories, intermediates) == []
        assert self._claimed(repositories) == ["inv1"]

    def test_what_is_begun_is_found_until_it_is_ended(
        self, repositories: Repositories
    ) -> None:
        job = self._ended(repositories, "inv1", S.FAILED, YOUNG)
        id_ = job.invocation_id
        repositories.retention.begin(id_, lease=HOUR)
        assert self._begun(repositories) == []
        repositories.retention.end(id_)  # its results are not stored as deleted
        repositories.pass_time(HOUR + MINUTE)
        assert self._claimed(repositories, rule(S.FAILED, age=timedelta(0))) == []
        assert repositories.retention.claim_begun(THERE, limit=9, lease=HOUR) == []
        assert self._begun(repositories) == [("inv1", 0)]
        assert self._begun(repositories) == []
        repositories.retention.put_off(id_, MINUTE, failed=True)
        assert self._begun(repositories) == []
        repositories.pass_time(2 * MINUTE)
        assert self._begun(repositories) == [("inv1", 1)]
        repositories.retention.release(id_)
        assert self._begun(repositories) == [("inv1", 1)]
        self._deleted(repositories, job)
        repositories.retention.end(id_)
        repositories.pass_time(DAY)
        assert self._begun(repositories) == []

    def test_a_pause_ends_what_was_begun(self, repositories: Repositories) -> None:
        job = self._ended(repositories, "inv1")
        repositories.retention.begin(job.invocation_id, lease=HOUR)
        repositories.retention.put_off(job.invocation_id, DAY, failed=False)
        repositories.pass_time(DAY - MINUTE)
        assert (self._begun(repositories), self._claimed(repositories)) == ([], [])
        repositories.pass_time(2 * MINUTE)
        assert self._begun(repositories) == []
        assert self._claimed(repositories) == ["inv1"]

    def test_each_is_leased_once(self, repositories: Repositories) -> None:
        names = [f"inv{n}" for n in range(12)]
        for name in names:
            self._ended(repositories, name)
        claims = at_once(*[lambda: self._claimed(repositories, limit=3)] * 4)
        claimed: list[str] = []
        for claim in claims:
            assert isinstance(claim, list)
            claimed += claim
        assert sorted(claimed) == sorted(names)

    def test_removes_long_ended_jobs_with_all_that_is_theirs(
        self, repositories: Repositories
    ) -> None:
        old = repositories.moved(
            repositories.accepted("old", a_submission(key="k")), S.COMPLETED
        )
        self._ended(repositories, "young", at=YOUNG)
        repositories.accepted("active")
        begun = self._ended(repositories, "begun")
        repositories.retention.begin(begun.invocation_id, lease=MINUTE)
        self._ended(repositories, "paused", S.FAILED)
        assert self._claimed(repositories, rule(S.FAILED)) == ["paused"]
        rejected = repositories.opened(a_submission())
        problem = Problem(code="galaxy-rejected", detail="x")
        repositories.submissions.save(
            rejected, rejected.rejected(problem, NOON), look_in=None
        )
        prune = repositories.retention.prune
        assert prune(THERE, DAY, limit=10) == 0
        assert prune(HERE, DAY, limit=10) == 1
        assert prune(HERE, DAY, limit=10) == 0
        with pytest.raises(JobNotFound):
            repositories.invocations.get(old.invocation_id, SERVICE)
        with pytest.raises(JobNotFound):
            repositories.invocations.transitions(old.invocation_id, SERVICE)
        for submission_id in old.submission_id, rejected.submission_id:
            with pytest.raises(SubmissionNotFound):
                repositories.submissions.get(submission_id, SERVICE)
        repositories.pass_time(MINUTE)
        assert prune(HERE, DAY, limit=10) == 0
        for name in "young", "active", "begun", "paused":
            id_ = InvocationId(name)
            assert repositories.invocations.transitions(id_, SERVICE)
        changes = repositories.feed.after(0, SERVICE, limit=100)
        ids = {change.transition.invocation_id for change in changes}
        assert ids == {"young", "active", "begun", "paused"}

    def test_the_oldest_are_removed_first(self, repositories: Repositories) -> None:
        for n in (1, 0, 2):
            self._ended(repositories, f"inv{n}", at=NOON + n * MINUTE)
        assert repositories.retention.prune(HERE, DAY, limit=1) == 1
        assert self._claimed(repositories) == ["inv1", "inv2"]
