"""The contract of :class:`SubmissionRepository`."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.repositories import (
    CROWD,
    DAY,
    HERE,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    ODD,
    THERE,
    UNICODE,
    Repositories,
    S,
    a_run,
    a_submission,
    at_once,
    sighting,
)
from galaxy_jobs.domain.errors import (
    DatasetNotFound,
    InvalidValue,
    JobNotFound,
    StaleVersion,
    SubmissionNotFound,
)
from galaxy_jobs.domain.model.invocation import (
    Invocation,
    InvocationState,
    Progress,
)
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Problem,
    Request,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.model.values import (
    DatasetId,
    HistoryId,
    InvocationId,
    Parameters,
    SubmissionId,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import (
    JobFilter,
    Look,
)


class SubmissionRepositoryContract:
    """What a :class:`SubmissionRepository` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    # --- opening and saving ---------------------------------------------------

    def test_returns_what_was_opened(self, repositories: Repositories) -> None:
        submission = Submission(
            submission_id=SubmissionId(UUID(int=7)),
            identity=HERE,
            request=Request(
                dataset_id=DatasetId(UNICODE),
                workflow_name=UNICODE,
                parameters=ODD,
                overwrite=True,
                rerun_of=InvocationId("inv0"),
                dataset_input=UNICODE,
                use_cached_job=True,
                workflow_version=3,
                labels={"project": UNICODE},
            ),
            workflow_version=2,
            version_note=UNICODE,
            inputs=ODD,
            key=IdempotencyKey(UNICODE, UNICODE),
            created_at=NOON,
            updated_at=LATER,
        )
        repositories.opened(submission)
        stored = repositories.submissions.get(submission.submission_id, SERVICE)
        assert stored == submission
        assert stored.request.fingerprint == submission.request.fingerprint, (
            "a repeated request would be taken for another"
        )

    def test_keeps_large_parameters(self, repositories: Repositories) -> None:
        parameters = {f"p{n}": "ü" * 1000 for n in range(500)}
        submission = repositories.opened(a_submission(parameters=parameters))
        stored = repositories.submissions.get(submission.submission_id, SERVICE)
        assert stored.request.parameters == parameters

    def test_a_dataset_that_is_not_registered_is_refused(
        self, repositories: Repositories
    ) -> None:
        submission = a_submission("none", key="k")
        with pytest.raises(DatasetNotFound, match="'none'"):
            repositories.submissions.open(submission, deadline=HOUR, key_lifetime=DAY)
        with pytest.raises(SubmissionNotFound):
            repositories.submissions.get(submission.submission_id, SERVICE)
        assert repositories.submissions.holder(IdempotencyKey("", "k")) is None

    @pytest.mark.parametrize(
        "bad",
        [
            {"a": "\0"},
            {"a\0": 1},
            {"a": ["\ud800"]},
            {"a": float("nan")},
            {"a": float("inf")},
        ],
    )
    def test_parameters_that_cannot_be_stored_are_refused(
        self, repositories: Repositories, bad: Parameters
    ) -> None:
        repositories.register()
        submission = a_submission(parameters=bad)
        with pytest.raises(InvalidValue):
            repositories.submissions.open(submission, deadline=HOUR, key_lifetime=DAY)
        with pytest.raises(SubmissionNotFound):
            repositories.submissions.get(submission.submission_id, SERVICE)

    @pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
    def test_keys_that_cannot_be_stored_are_refused(
        self, repositories: Repositories, bad: str
    ) -> None:
        repositories.register()
        assert repositories.submissions.holder(IdempotencyKey("", bad)) is None
        with pytest.raises(InvalidValue):
            repositories.submissions.open(
                a_submission(key=bad), deadline=HOUR, key_lifetime=DAY
            )

    def test_saves_what_became_of_it(self, repositories: Repositories) -> None:
        first = repositories.opened(a_submission())
        second = first.with_history(HistoryId("his1"), LATER)
        third = second.fence(LATER + MINUTE)
        fourth = third.rejected(
            Problem("galaxy-rejected", UNICODE, {"n": [1, None]}), LATER + HOUR
        )
        for before, after in [(first, second), (second, third), (third, fourth)]:
            repositories.submissions.save(before, after, look_in=None)
            assert repositories.submissions.get(first.submission_id, SERVICE) == after

    def test_stores_a_problem_whatever_galaxy_said(
        self, repositories: Repositories
    ) -> None:
        before = repositories.opened(a_submission())
        after = before.rejected(Problem("galaxy-rejected", "a\0b"), LATER)
        repositories.submissions.save(before, after, look_in=None)
        stored = repositories.submissions.get(before.submission_id, SERVICE)
        assert stored.problem is not None
        assert stored.problem.detail == "a\ufffdb"

    def test_refuses_a_lost_update(self, repositories: Repositories) -> None:
        before = repositories.opened(a_submission())
        after = before.with_history(HistoryId("his1"), LATER)
        repositories.submissions.save(before, after, look_in=None)
        with pytest.raises(StaleVersion):
            repositories.submissions.save(before, before.lost(LATER), look_in=None)
        assert repositories.submissions.get(before.submission_id, SERVICE) == after

    def test_cannot_save_what_was_never_opened(
        self, repositories: Repositories
    ) -> None:
        ghost = a_submission()
        with pytest.raises(SubmissionNotFound):
            repositories.submissions.save(ghost, ghost.lost(NOON), look_in=None)
        with pytest.raises(SubmissionNotFound):
            repositories.submissions.get(ghost.submission_id, SERVICE)

    def test_of_several_saved_at_once_one_is_stored(
        self, repositories: Repositories
    ) -> None:
        before = repositories.opened(a_submission())
        afters = [
            before.with_history(HistoryId(f"his{n}"), LATER) for n in range(CROWD)
        ]
        answers = at_once(
            *(
                lambda after=after: repositories.submissions.save(
                    before, after, look_in=None
                )
                for after in afters
            )
        )
        assert answers.count(None) == 1
        stale = [answer for answer in answers if isinstance(answer, StaleVersion)]
        assert len(stale) == CROWD - 1
        stored = repositories.submissions.get(before.submission_id, SERVICE)
        assert stored == afters[answers.index(None)]

    # --- keys -----------------------------------------------------------------

    def test_a_key_is_held_from_the_moment_it_is_opened(
        self, repositories: Repositories
    ) -> None:
        key = IdempotencyKey("", "k")
        assert repositories.submissions.holder(key) is None
        first = repositories.opened(a_submission(key="k"))
        assert repositories.submissions.holder(key) == first
        second = a_submission(key="k")
        holder = repositories.submissions.open(second, deadline=HOUR, key_lifetime=DAY)
        assert holder == first
        with pytest.raises(SubmissionNotFound):
            repositories.submissions.get(second.submission_id, SERVICE)

    @pytest.mark.parametrize("other", [("", "K"), ("t", "k"), ("", "k ")])
    def test_keys_of_others_are_other_keys(
        self, repositories: Repositories, other: tuple[str, str]
    ) -> None:
        repositories.opened(a_submission(key="k"))
        assert repositories.submissions.holder(IdempotencyKey(*other)) is None
        repositories.opened(evolve(a_submission(), key=IdempotencyKey(*other)))

    def test_without_a_key_nothing_is_held(self, repositories: Repositories) -> None:
        repositories.opened(a_submission())
        repositories.opened(a_submission())

    @pytest.mark.parametrize(
        "state", [SubmissionState.SUBMITTING, SubmissionState.UNKNOWN]
    )
    def test_what_is_not_settled_holds_its_key_for_ever(
        self, repositories: Repositories, state: SubmissionState
    ) -> None:
        submission = repositories.opened(a_submission(key="k"))
        if state is SubmissionState.UNKNOWN:
            after = submission.lost(LATER)
            repositories.submissions.save(submission, after, look_in=None)
            submission = after
        repositories.pass_time(1000 * DAY)
        assert repositories.submissions.holder(IdempotencyKey("", "k")) == submission

    def test_what_was_accepted_holds_its_key_for_its_lifetime_from_then_on(
        self, repositories: Repositories
    ) -> None:
        key = IdempotencyKey("", "k")
        submission = repositories.begun(a_submission(key="k"))
        repositories.pass_time(2 * DAY)
        run = a_run(submission, "inv1")
        after = submission.accepted(run.invocation_id, LATER)
        repositories.submissions.accept(submission, after, run)
        repositories.pass_time(DAY - MINUTE)
        assert repositories.submissions.holder(key) == after
        repositories.pass_time(2 * MINUTE)
        assert repositories.submissions.holder(key) is None
        second = repositories.opened(a_submission(key="k"))
        assert repositories.submissions.holder(key) == second

    def test_what_was_rejected_frees_its_key(self, repositories: Repositories) -> None:
        key = IdempotencyKey("", "k")
        first = repositories.opened(a_submission(key="k"))
        after = first.rejected(Problem("x", "y"), LATER)
        repositories.submissions.save(first, after, look_in=None)
        assert repositories.submissions.holder(key) is None
        second = repositories.opened(a_submission(key="k"))
        assert repositories.submissions.holder(key) == second

    def test_a_run_found_after_a_rejection_holds_the_key_again(
        self, repositories: Repositories
    ) -> None:
        first = repositories.begun(a_submission(key="k"))
        rejected = first.rejected(Problem("x", "y"), LATER)
        repositories.submissions.save(first, rejected, look_in=HOUR)
        run = a_run(first, "inv1")
        accepted = rejected.accepted(run.invocation_id, LATER)
        repositories.submissions.accept(rejected, accepted, run)
        assert repositories.submissions.holder(IdempotencyKey("", "k")) == accepted

    def test_a_run_found_after_a_rejection_does_not_take_a_key_back(
        self, repositories: Repositories
    ) -> None:
        first = repositories.begun(a_submission(key="k"))
        rejected = first.rejected(Problem("x", "y"), LATER)
        repositories.submissions.save(first, rejected, look_in=HOUR)
        second = repositories.opened(a_submission(key="k"))
        run = a_run(first, "inv1")
        accepted = rejected.accepted(run.invocation_id, LATER)
        repositories.submissions.accept(rejected, accepted, run)
        assert repositories.submissions.holder(IdempotencyKey("", "k")) == second

    def test_of_several_with_one_key_at_once_one_is_stored(
        self, repositories: Repositories
    ) -> None:
        repositories.register()
        for round_ in range(5):
            crowd = [a_submission(key=f"k{round_}") for _ in range(CROWD)]
            answers = at_once(
                *(
                    lambda submission=submission: repositories.submissions.open(
                        submission, deadline=HOUR, key_lifetime=DAY
                    )
                    for submission in crowd
                )
            )
            assert answers.count(None) == 1
            winner = crowd[answers.index(None)]
            assert answers.count(winner) == CROWD - 1

    # --- looking into them ----------------------------------------------------

    def _due(self, repositories: Repositories, limit: int = 10) -> list[SubmissionId]:
        due = repositories.submissions.claim_due(HERE, limit=limit, lease=HOUR)
        return [submission.submission_id for submission in due]

    def test_what_is_past_its_deadline_is_due(self, repositories: Repositories) -> None:
        submission = repositories.opened(a_submission(), deadline=HOUR)
        assert self._due(repositories) == []
        repositories.pass_time(HOUR + MINUTE)
        assert repositories.submissions.claim_due(HERE, limit=10, lease=HOUR) == [
            submission
        ]

    def test_what_was_claimed_is_not_due_again_for_its_lease(
        self, repositories: Repositories
    ) -> None:
        submission = repositories.opened(a_submission(), deadline=timedelta(0))
        assert self._due(repositories) == [submission.submission_id]
        repositories.pass_time(HOUR - MINUTE)
        assert self._due(repositories) == []
        repositories.pass_time(2 * MINUTE)
        assert self._due(repositories) == [submission.submission_id]

    def test_a_claim_is_no_change(self, repositories: Repositories) -> None:
        before = repositories.opened(a_submission(), deadline=timedelta(0))
        self._due(repositories)
        repositories.submissions.save(before, before.lost(NOON), look_in=None)

    def test_the_longest_due_come_first(self, repositories: Repositories) -> None:
        deadlines = [3 * MINUTE, MINUTE, 2 * MINUTE]
        opened = [
            repositories.opened(a_submission(), deadline=deadline)
            for deadline in deadlines
        ]
        ids = [submission.submission_id for submission in opened]
        repositories.pass_time(HOUR)
        assert self._due(repositories, limit=2) == [ids[1], ids[2]]
        assert self._due(repositories, limit=2) == [ids[0]]

    def test_others_submissions_are_theirs(self, repositories: Repositories) -> None:
        repositories.opened(a_submission(identity=THERE), deadline=timedelta(0))
        assert self._due(repositories) == []

    def test_saving_says_when_to_look_next(self, repositories: Repositories) -> None:
        before = repositories.opened(a_submission(), deadline=timedelta(0))
        after = before.touch()
        repositories.submissions.save(before, after, look_in=HOUR)
        assert self._due(repositories) == []
        repositories.pass_time(HOUR + MINUTE)
        assert self._due(repositories) == [before.submission_id]
        repositories.submissions.save(after, after.touch(), look_in=None)
        repositories.pass_time(1000 * DAY)
        assert self._due(repositories) == []

    def test_what_was_accepted_is_never_due(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        repositories.pass_time(1000 * DAY)
        assert self._due(repositories) == []

    def test_no_two_claim_the_same(self, repositories: Repositories) -> None:
        ids = {
            repositories.opened(a_submission(), deadline=timedelta(0)).submission_id
            for _ in range(5 * CROWD)
        }
        batches = at_once(
            *(lambda: self._due(repositories, limit=5) for _ in range(CROWD))
        )
        claimed = [id_ for batch in batches if isinstance(batch, list) for id_ in batch]
        claimed += self._due(repositories, limit=5 * CROWD)
        assert len(claimed) == len(ids)
        assert set(claimed) == ids

    # --- accepting ------------------------------------------------------------

    def test_accepting_stores_the_run_and_queues_it(
        self, repositories: Repositories
    ) -> None:
        before = repositories.begun(a_submission(parameters=ODD, key="k"))
        run = a_run(before, "inv1")
        after = before.accepted(run.invocation_id, LATER)
        assert repositories.submissions.accept(before, after, run) == run
        assert repositories.submissions.get(before.submission_id, SERVICE) == after
        stored = repositories.invocations.get(run.invocation_id, SERVICE)
        assert stored == run
        assert stored.stale_at == run.stale_at
        (creation,) = repositories.invocations.transitions(run.invocation_id, SERVICE)
        assert (creation.from_state, creation.to_state) == (None, S.QUEUED)
        assert (creation.at, creation.galaxy_state) == (NOON, "new")
        assert creation.progress == Progress()
        assert repositories.claimed() == ["inv1"]

    def test_keeps_whether_a_run_was_adopted(self, repositories: Repositories) -> None:
        for name, adopted in ("inv1", True), ("inv2", False):
            before = repositories.begun(a_submission())
            run = evolve(a_run(before, name), adopted=adopted)
            repositories.submissions.accept(
                before, before.accepted(run.invocation_id, NOON), run
            )
            stored = repositories.invocations.get(run.invocation_id, SERVICE)
            assert stored.adopted is adopted

    def test_a_stale_acceptance_stores_nothing(
        self, repositories: Repositories
    ) -> None:
        before = repositories.begun(a_submission())
        rejected = before.rejected(Problem("x", "y"), LATER)
        repositories.submissions.save(before, rejected, look_in=None)
        run = a_run(before, "inv1")
        with pytest.raises(StaleVersion):
            repositories.submissions.accept(
                before, before.accepted(run.invocation_id, LATER), run
            )
        assert repositories.submissions.get(before.submission_id, SERVICE) == rejected
        with pytest.raises(JobNotFound):
            repositories.invocations.get(run.invocation_id, SERVICE)
        assert repositories.claimed() == []

    def test_a_stale_overwrite_supersedes_nothing(
        self, repositories: Repositories
    ) -> None:
        earlier = repositories.accepted("inv1")
        before = repositories.begun(a_submission(overwrite=True))
        lost = before.lost(LATER)
        repositories.submissions.save(before, lost, look_in=None)
        run = a_run(before, "inv2")
        with pytest.raises(StaleVersion):
            repositories.submissions.accept(
                before, before.accepted(run.invocation_id, LATER), run
            )
        assert repositories.invocations.get(earlier.invocation_id, SERVICE) == earlier

    def test_of_several_acceptances_at_once_one_is_stored(
        self, repositories: Repositories
    ) -> None:
        before = repositories.begun(a_submission())
        runs = [a_run(before, f"inv{n}") for n in range(CROWD)]
        answers = at_once(
            *(
                lambda run=run: repositories.submissions.accept(
                    before, before.accepted(run.invocation_id, LATER), run
                )
                for run in runs
            )
        )
        stored = [answer for answer in answers if isinstance(answer, Invocation)]
        assert len(stored) == 1
        assert [answer for answer in answers if isinstance(answer, StaleVersion)] == [
            answer for answer in answers if not isinstance(answer, Invocation)
        ]
        assert repositories.invocations.page(JobFilter(), SERVICE, 10).items == tuple(
            stored
        )
        kept = repositories.submissions.get(before.submission_id, SERVICE)
        assert kept.invocation_id == stored[0].invocation_id

    # --- ids that are given out again -----------------------------------------

    def _again(
        self, repositories: Repositories, submission: Submission | None = None
    ) -> Invocation:
        """Have a later run accepted with the id ``inv1``."""
        return repositories.accepted("inv1", submission or a_submission("d2"), LATER)

    def _apart(self, repositories: Repositories, run: Invocation) -> Invocation:
        """Return an earlier run as it is stored by now, found by its submission."""
        submission = repositories.submissions.get(run.submission_id, SERVICE)
        assert submission.invocation_id is not None
        assert submission.invocation_id != run.invocation_id
        earlier = repositories.invocations.get(submission.invocation_id, SERVICE)
        assert earlier.submission_id == run.submission_id
        return earlier

    def test_an_id_that_is_given_out_again_is_that_of_the_later_run(
        self, repositories: Repositories
    ) -> None:
        before = repositories.moved(repositories.accepted("inv1"), S.IN_PROGRESS)
        later = self._again(repositories)
        assert later.dataset_id == "d2"
        assert later.version > before.version, "or an ETag would mean two things"
        assert repositories.invocations.get(InvocationId("inv1"), SERVICE) == later
        (creation,) = repositories.invocations.transitions(
            InvocationId("inv1"), SERVICE
        )
        assert (creation.from_state, creation.to_state) == (None, S.QUEUED)
        assert repositories.claimed() == ["inv1"]
        assert (
            repositories.submissions.get(later.submission_id, SERVICE).invocation_id
            == "inv1"
        )

    def test_the_earlier_run_of_that_galaxy_is_gone(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1", a_submission(key="k"))
        repositories.moved(before, S.IN_PROGRESS)
        later = self._again(repositories)
        earlier = self._apart(repositories, before)
        assert earlier.state is S.FAILED
        assert earlier.failure is not None
        assert earlier.failure.reason == "gone"
        assert (earlier.galaxy_id, earlier.galaxy_state) == (None, "gone")
        assert repositories.queue.backlog()[HERE].totals == {"given_again": 1}
        assert (earlier.dataset_id, earlier.created_at) == ("d1", before.created_at)
        assert repositories.invocations.page(JobFilter(), SERVICE, 10).items == (
            later,
            earlier,
        )
        changes = repositories.invocations.transitions(earlier.invocation_id, SERVICE)
        states = [change.to_state for change in changes]
        assert states == [S.QUEUED, S.IN_PROGRESS, S.FAILED]
        holder = repositories.submissions.holder(IdempotencyKey("", "k"))
        assert holder is not None
        assert holder.invocation_id == earlier.invocation_id, "its own run, or none"
        heard = [
            (change.transition.invocation_id, change.dataset_id)
            for change in repositories.feed.after(0, SERVICE, limit=10)
        ]
        assert sorted(heard) == sorted(
            [("inv1", "d2"), *[(earlier.invocation_id, "d1")] * 3]
        )

    @pytest.mark.parametrize("end", [S.COMPLETED, S.FAILED, S.CANCELLED])
    def test_an_earlier_run_that_had_ended_keeps_its_end(
        self, repositories: Repositories, end: InvocationState
    ) -> None:
        before = repositories.moved(repositories.accepted("inv1"), end)
        self._again(repositories)
        earlier = self._apart(repositories, before)
        assert earlier.attention is not None
        assert "inv1" in earlier.attention
        assert earlier == evolve(
            before,
            invocation_id=earlier.invocation_id,
            galaxy_id=None,
            galaxy_state="gone",
            attention=earlier.attention,
            version=before.version + 1,
            updated_at=LATER,
        )

    def test_an_earlier_run_with_jobs_left_is_not_followed_any_more(
        self, repositories: Repositories
    ) -> None:
        before = repositories.with_jobs_left("inv1")
        self._again(repositories)
        earlier = self._apart(repositories, before)
        assert not earlier.is_followed
        assert earlier.failure == before.failure
        assert repositories.claimed() == ["inv1"]

    def test_the_earlier_run_of_another_galaxy_goes_on_there(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1", a_submission(identity=THERE))
        later = self._again(repositories)
        earlier = self._apart(repositories, before)
        assert earlier == evolve(
            before,
            invocation_id=earlier.invocation_id,
            version=before.version + 1,
            updated_at=LATER,
        )
        assert earlier.galaxy_id == "inv1"
        assert not repositories.queue.backlog()[HERE].totals
        assert repositories.claimed() == [later.invocation_id]
        (claim,) = repositories.queue.claim(THERE, limit=10, lease=HOUR)
        assert (claim.invocation_id, claim.galaxy_id) == (
            earlier.invocation_id,
            "inv1",
        )
        after = earlier.seen(sighting(S.COMPLETED), LATER)
        look = Look(claim=claim, before=earlier, after=after, answered=True)
        assert repositories.written([look]) == 1
        done = repositories.invocations.get(earlier.invocation_id, SERVICE)
        assert done.state is S.COMPLETED
        assert repositories.invocations.get(InvocationId("inv1"), SERVICE) == later

    def test_galaxies_that_give_out_the_same_ids_by_turns(
        self, repositories: Repositories
    ) -> None:
        runs = [
            self._again(repositories, a_submission(identity=identity))
            for identity in (HERE, THERE, HERE, THERE)
        ]
        first, second, third = (self._apart(repositories, run) for run in runs[:3])
        assert repositories.invocations.get(InvocationId("inv1"), SERVICE) == runs[3]
        assert {first.galaxy_id, second.galaxy_id} == {None}, "gone"
        assert (third.galaxy_id, third.state) == ("inv1", S.QUEUED), "goes on there"
        keys = {run.invocation_id for run in (first, second, third, runs[3])}
        assert len(keys) == 4  # noqa: PLR2004
        assert repositories.claimed() == [third.invocation_id]

    def test_a_look_at_the_earlier_run_is_none_at_the_later(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        later = self._again(repositories)
        (claim_of_later,) = repositories.claim()
        assert claim_of_later.fence > claim.fence
        after = before.seen(sighting(S.COMPLETED), LATER)
        looks = [
            Look(claim=claim, before=before, after=after, answered=True, next_in=DAY),
            Look(claim=claim, answered=True, next_in=DAY),
        ]
        for look in looks:
            assert repositories.written([look]) == 0
        assert repositories.invocations.get(InvocationId("inv1"), SERVICE) == later
        repositories.pass_time(2 * HOUR)
        assert repositories.claimed() == ["inv1"]

    def test_what_refers_to_the_earlier_run_goes_on_to_do_so(
        self, repositories: Repositories
    ) -> None:
        superseded = repositories.moved(repositories.accepted("inv0"), S.COMPLETED)
        before = repositories.accepted("inv1", a_submission(overwrite=True))
        rerun = evolve(
            a_submission(),
            request=evolve(a_submission().request, rerun_of=before.invocation_id),
        )
        repeated = repositories.accepted("inv2", rerun)
        later = self._again(repositories, a_submission())
        earlier = self._apart(repositories, before)
        for run, name in ((superseded, "superseded_by"), (repeated, "rerun_of")):
            stored = repositories.invocations.get(run.invocation_id, SERVICE)
            assert getattr(stored, name) == earlier.invocation_id
            assert stored.version > run.version
        repositories.moved(later, S.COMPLETED)
        assert not repositories.superseded.due(HERE, limit=10), (
            "the run that superseded it has not completed"
        )

    def test_a_rerun_may_have_the_id_of_what_it_repeats(
        self, repositories: Repositories
    ) -> None:
        before = repositories.moved(repositories.accepted("inv1"), S.COMPLETED)
        rerun = a_submission(overwrite=True)
        request = evolve(rerun.request, rerun_of=before.invocation_id)
        later = self._again(repositories, evolve(rerun, request=request))
        earlier = self._apart(repositories, before)
        assert later.rerun_of == earlier.invocation_id
        assert earlier.superseded_by == "inv1"
        assert repositories.invocations.get(InvocationId("inv1"), SERVICE) == later

    def test_a_history_dealt_with_late_is_not_that_of_the_later_run(
        self, repositories: Repositories
    ) -> None:
        repositories.moved(repositories.accepted("inv1"), S.COMPLETED)
        later = self._again(repositories)
        repositories.superseded.done(InvocationId("inv1"), "kept")
        assert repositories.invocations.get(InvocationId("inv1"), SERVICE) == later

    def test_of_several_runs_with_one_id_at_once_all_are_stored(
        self, repositories: Repositories
    ) -> None:
        begun = [repositories.begun(a_submission()) for _ in range(CROWD)]
        runs = [a_run(before, "inv1") for before in begun]
        answers = at_once(
            *(
                lambda before=before, run=run: repositories.submissions.accept(
                    before, before.accepted(run.invocation_id, LATER), run
                )
                for before, run in zip(begun, runs, strict=True)
            )
        )
        accepted = [answer for answer in answers if isinstance(answer, Invocation)]
        assert [run.invocation_id for run in accepted] == ["inv1"] * CROWD
        jobs = repositories.invocations.page(JobFilter(), SERVICE, 100).items
        assert {job.submission_id for job in jobs} == {
            run.submission_id for run in runs
        }
        assert sum(job.is_followed for job in jobs) == 1
        assert repositories.claimed() == ["inv1"]

    # --- overwriting ----------------------------------------------------------

    def _overwrite(
        self, repositories: Repositories, name: str, at: datetime = LATER
    ) -> Invocation:
        return repositories.accepted(name, a_submission(overwrite=True), at)

    def test_an_overwrite_supersedes_every_earlier_run(
        self, repositories: Repositories
    ) -> None:
        states = {
            "queued": (),
            "running": (S.IN_PROGRESS,),
            "stopping": (S.CANCELLING,),
            "completed": (S.COMPLETED,),
            "failed": (S.FAILED,),
            "cancelled": (S.CANCELLED,),
        }
        before = {
            name: repositories.moved(repositories.accepted(name), *seen)
            for name, seen in states.items()
        }
        later = self._overwrite(repositories, "later")
        assert later.superseded_by is None
        for name, run in before.items():
            ended = name in {"completed", "failed", "cancelled"}
            assert repositories.invocations.get(InvocationId(name), SERVICE) == evolve(
                run,
                superseded_by=later.invocation_id,
                state=run.state if ended else S.CANCELLING,
                version=run.version + 1,
                updated_at=LATER,
            )
            changes = repositories.invocations.transitions(InvocationId(name), SERVICE)
            cancels = [
                (change.to_state, change.at)
                for change in changes[1 + len(states[name]) :]
            ]
            asked = name in {"queued", "running"}
            assert cancels == ([(S.CANCELLING, LATER)] if asked else [])
        assert repositories.invocations.get(InvocationId("later"), SERVICE) == later

    def test_what_is_superseded_while_it_runs_is_due_at_once(
        self, repositories: Repositories
    ) -> None:
        repositories.accepted("inv1")
        (claim,) = repositories.claim()
        repositories.queue.write_back([Look(claim=claim, answered=True, next_in=DAY)])
        self._overwrite(repositories, "inv2")
        claims = {claim.invocation_id: claim for claim in repositories.claim()}
        assert {name: claim.cancelling for name, claim in claims.items()} == {
            "inv1": True,
            "inv2": False,
        }

    def test_runs_of_anything_else_are_not_superseded(
        self, repositories: Repositories
    ) -> None:
        others = [
            repositories.accepted("dataset", a_submission("d2")),
            repositories.accepted("workflow", a_submission(workflow="W")),
            repositories.accepted("galaxy", a_submission(identity=THERE)),
        ]
        self._overwrite(repositories, "later")
        for run in others:
            assert repositories.invocations.get(run.invocation_id, SERVICE) == run

    def test_a_run_that_does_not_say_overwrite_supersedes_nothing(
        self, repositories: Repositories
    ) -> None:
        first = repositories.accepted("inv1")
        repositories.accepted("inv2")
        assert repositories.invocations.get(first.invocation_id, SERVICE) == first

    def test_what_a_completed_run_has_superseded_stays_so(
        self, repositories: Repositories
    ) -> None:
        repositories.moved(repositories.accepted("first"), S.COMPLETED)
        repositories.moved(self._overwrite(repositories, "second"), S.COMPLETED)
        self._overwrite(repositories, "third", LATER + MINUTE)
        successors = {
            name: repositories.invocations.get(
                InvocationId(name), SERVICE
            ).superseded_by
            for name in ("first", "second", "third")
        }
        assert successors == {"first": "second", "second": "third", "third": None}

    @pytest.mark.parametrize("end", [S.FAILED, S.CANCELLED, S.IN_PROGRESS])
    def test_the_first_to_supersede_a_run_stays_its_successor(
        self, repositories: Repositories, end: InvocationState
    ) -> None:
        repositories.moved(repositories.accepted("first"), S.COMPLETED)
        repositories.moved(self._overwrite(repositories, "second"), end)
        self._overwrite(repositories, "third", LATER + MINUTE)
        successors = {
            name: repositories.invocations.get(
                InvocationId(name), SERVICE
            ).superseded_by
            for name in ("first", "second", "third")
        }
        assert successors == {"first": "second", "second": "third", "third": None}
        # What is superseded already is not touched.
        first = repositories.invocations.get(InvocationId("first"), SERVICE)
        assert first.updated_at == LATER

    def test_of_overwrites_at_once_each_but_one_is_superseded(
        self, repositories: Repositories
    ) -> None:
        earlier = repositories.accepted("earlier")
        begun = [repositories.begun(a_submission(overwrite=True)) for _ in range(CROWD)]
        runs = [a_run(submission, f"inv{n}") for n, submission in enumerate(begun)]
        answers = at_once(
            *(
                lambda before=before, run=run: repositories.submissions.accept(
                    before, before.accepted(run.invocation_id, LATER), run
                )
                for before, run in zip(begun, runs, strict=True)
            )
        )
        assert answers == runs
        ids = [run.invocation_id for run in (earlier, *runs)]
        stored = dict(repositories.invocations.get_many(ids, SERVICE))
        # Each superseded the one before it, in whatever order.
        run = stored.pop(earlier.invocation_id)
        while run.superseded_by is not None:
            assert run.state is S.CANCELLING
            run = stored.pop(run.superseded_by)
        assert run.state is S.QUEUED
        assert not stored
