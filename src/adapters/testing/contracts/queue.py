"""The contract of :class:`PollQueue`."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

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
    THERE,
    UNICODE,
    Repositories,
    S,
    a_submission,
    about,
    at_once,
    sighting,
)
from galaxy_jobs.domain.errors import (
    DomainError,
    StaleVersion,
)
from galaxy_jobs.domain.model.invocation import (
    Failure,
    InvocationState,
    Progress,
    StepSummary,
)
from galaxy_jobs.domain.model.values import (
    InvocationId,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import (
    Claim,
    Look,
)


FAILURE = Failure(reason="job-failed")
STEP = StepSummary(index=0, label="sort", tool="t", state="ok", jobs={})
NAN: Any = float("nan")
INFINITY: Any = float("inf")
NO_JSON: Any = {1}

#: Values that no database can hold, in whatever field Galaxy's answer put them.
UNSTORABLE: list[dict[str, Any]] = [
    {"sighting": {"failure": evolve(FAILURE, exit_code=NAN)}},
    {"sighting": {"failure": evolve(FAILURE, tool=-INFINITY)}},
    {"sighting": {"failure": evolve(FAILURE, step_index=10**5000)}},
    {"sighting": {"progress": Progress(total=INFINITY)}},
    {"sighting": {"steps": (evolve(STEP, jobs={"ok": NAN}),)}},
    {"sighting": {"steps": (evolve(STEP, state=NO_JSON),)}},
    {"look": {"next_in": timedelta.max}},
    {"look": {"stale_in": timedelta.max}},
]


class PollQueueContract:
    """What a :class:`PollQueue` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    # --- claiming -------------------------------------------------------------

    def test_a_new_run_is_due_at_once(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        repositories.pass_time(5 * MINUTE)
        (claim,) = repositories.claim()
        assert claim.invocation_id == "inv1"
        assert not claim.cancelling
        assert claim.summary is None
        assert about(5 * MINUTE, claim.age)
        assert about(5 * MINUTE, claim.quiet_for)
        assert about(5 * MINUTE, claim.unlooked_for)
        assert (claim.missing_for, claim.misses, claim.failures) == (None, 0, 0)

    def test_a_run_whose_id_is_another_ones_now_is_stored_as_gone(
        self, repositories: Repositories
    ) -> None:
        run = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        gone = run.replaced(LATER)
        look = Look(claim=claim, before=run, after=gone)
        assert repositories.queue.write_back([look]).changes == 1
        stored = repositories.invocations.get(run.invocation_id, SERVICE)
        assert (stored.galaxy_id, stored.galaxy_state) == (None, "gone")
        assert stored.attention == gone.attention
        repositories.pass_time(DAY)
        assert repositories.claim() == []
        later = repositories.accepted("inv1", a_submission("d2"), LATER)
        submission = repositories.submissions.get(run.submission_id, SERVICE)
        assert submission.invocation_id is not None
        earlier = repositories.invocations.get(submission.invocation_id, SERVICE)
        assert (earlier.galaxy_id, earlier.state) == (None, S.FAILED)
        assert earlier.invocation_id == f"inv1,{run.submission_id.hex[:8]}"
        assert later.version > stored.version, "or an ETag would mean two things"

    def test_a_claim_is_leased_and_comes_back(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        (first,) = repositories.claim(lease=HOUR)
        repositories.pass_time(HOUR - MINUTE)
        assert repositories.claim() == []
        repositories.pass_time(2 * MINUTE)
        (second,) = repositories.claim()
        assert second.fence > first.fence

    def test_a_lease_that_is_renewed_goes_on(self, repositories: Repositories) -> None:
        for name in ("kept", "left"):
            repositories.accepted(name)
        claims = repositories.claim(lease=HOUR)
        kept = [claim for claim in claims if claim.invocation_id == "kept"]
        repositories.pass_time(HOUR - MINUTE)
        repositories.queue.renew(kept, lease=HOUR)
        repositories.queue.renew([], lease=HOUR)
        repositories.pass_time(HOUR - MINUTE)
        assert repositories.claimed() == ["left"]
        repositories.queue.write_back([Look(claim=kept[0], answered=True)])
        assert repositories.claimed() == ["kept"]

    def test_a_lease_that_ran_out_is_renewed_while_nobody_else_has_it(
        self, repositories: Repositories
    ) -> None:
        repositories.accepted("inv1")
        claims = repositories.claim(lease=MINUTE)
        repositories.pass_time(HOUR)
        repositories.queue.renew(claims, lease=HOUR)
        assert repositories.claim() == []

    def test_a_lease_that_has_passed_on_is_not_renewed(
        self, repositories: Repositories
    ) -> None:
        repositories.accepted("inv1")
        late = repositories.claim(lease=MINUTE)
        repositories.pass_time(HOUR)
        repositories.claim(lease=MINUTE)
        repositories.queue.renew(late, lease=DAY)
        repositories.pass_time(2 * MINUTE)
        assert repositories.claimed() == ["inv1"]

    @pytest.mark.parametrize("asked", [True, False])
    def test_what_was_given_back_is_not_renewed(
        self, repositories: Repositories, *, asked: bool
    ) -> None:
        repositories.accepted("inv1")
        claims = repositories.claim()
        repositories.queue.write_back([Look(claim=claims[0], asked=asked)])
        repositories.queue.renew(claims, lease=DAY)
        assert repositories.claimed() == ["inv1"]

    def test_a_lease_can_be_renewed_while_it_is_written_back(
        self, repositories: Repositories
    ) -> None:
        names = [f"inv{n:03}" for n in range(50)]
        for name in names:
            repositories.accepted(name)
        for _ in range(5):
            claims = repositories.claim()
            looks = [Look(claim=claim, answered=True) for claim in reversed(claims)]
            answers = at_once(
                partial[object](repositories.written, looks),
                *[partial[object](repositories.queue.renew, claims, lease=DAY)] * 3,
            )
            assert answers == [0, None, None, None]
            repositories.pass_time(MINUTE)
        assert sorted(repositories.claimed()) == names

    def test_the_longest_due_come_first(self, repositories: Repositories) -> None:
        names = ["c", "a", "b"]
        for name in names:
            repositories.accepted(name)
            repositories.pass_time(MINUTE)
        first = repositories.claim(limit=2)
        assert [claim.invocation_id for claim in first] == ["c", "a"]
        second = repositories.claim(limit=2)
        assert [claim.invocation_id for claim in second] == ["b"]

    def test_what_was_quiet_for_long_gives_way_but_not_for_ever(
        self, repositories: Repositories
    ) -> None:
        def seen(*claims: Claim) -> None:
            looks = [Look(claim=claim, answered=True) for claim in claims]
            repositories.queue.write_back(looks)

        repositories.accepted("stuck")
        repositories.pass_time(2 * DAY)
        seen(*repositories.claim())
        repositories.pass_time(MINUTE)
        repositories.accepted("young")
        repositories.pass_time(MINUTE)
        claims = repositories.claim()
        assert [claim.invocation_id for claim in claims] == ["young", "stuck"]
        seen(*claims)
        repositories.pass_time(DAY + MINUTE)
        repositories.accepted("younger")
        assert repositories.claimed() == ["young", "stuck", "younger"]

    def test_what_is_cancelled_comes_before_all_others(
        self, repositories: Repositories
    ) -> None:
        for name in ("old", "inv1", "young"):
            repositories.accepted(name)
            repositories.pass_time(MINUTE)
        before = repositories.invocations.get(InvocationId("inv1"), SERVICE)
        repositories.invocations.save(before, before.request_cancel(before.created_at))
        claims = repositories.claim()
        assert [claim.invocation_id for claim in claims] == ["inv1", "old", "young"]

    def test_others_runs_are_theirs(self, repositories: Repositories) -> None:
        repositories.accepted("inv1", a_submission(identity=THERE))
        assert repositories.claim() == []
        assert repositories.overdue() is None
        assert repositories.queue.claim(THERE, limit=1, lease=HOUR)

    def test_a_sweep_ends_though_what_it_wrote_is_due_again(
        self, repositories: Repositories
    ) -> None:
        repositories.accepted("old")
        repositories.pass_time(HOUR)
        repositories.accepted("new")
        due = repositories.queue.claim(
            HERE, limit=10, lease=HOUR, due_for=timedelta(minutes=30)
        )
        assert [claim.invocation_id for claim in due] == ["old"]
        assert repositories.claimed() == ["new"]

    def test_no_two_claim_the_same(self, repositories: Repositories) -> None:
        names = {f"inv{n:03}" for n in range(5 * CROWD)}
        for name in names:
            repositories.accepted(name)
        batches = at_once(*(lambda: repositories.claim(limit=7) for _ in range(CROWD)))
        claimed = [
            claim.invocation_id
            for batch in batches
            if not isinstance(batch, DomainError)
            for claim in batch
        ]
        claimed += repositories.claimed()
        assert len(claimed) == len(names)
        assert set(claimed) == names

    # --- no news --------------------------------------------------------------

    def test_a_look_without_news_says_when_it_was_observed_and_no_more(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        look = Look(claim=claim, answered=True, summary="s", next_in=HOUR, stale_in=DAY)
        assert repositories.written([look]) == 0
        after = repositories.invocations.get(before.invocation_id, SERVICE)
        assert evolve(after, observed_at=NOON) == before
        assert after.stale_at == after.observed_at + DAY
        assert (
            len(repositories.invocations.transitions(before.invocation_id, SERVICE))
            == 1
        )

    def test_it_is_due_when_the_look_said(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        (claim,) = repositories.claim(lease=MINUTE)
        repositories.queue.write_back([Look(claim=claim, answered=True, next_in=HOUR)])
        repositories.pass_time(HOUR - MINUTE)
        assert repositories.claim() == []
        repositories.pass_time(2 * MINUTE)
        assert repositories.claimed() == ["inv1"]

    def test_a_failure_is_counted_and_is_no_observation(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        for n in range(3):
            (claim,) = repositories.claim()
            assert claim.failures == n
            repositories.queue.write_back([Look(claim=claim)])
        stored = repositories.invocations.get(before.invocation_id, SERVICE)
        assert stored == before
        assert stored.stale_at == before.stale_at
        (claim,) = repositories.claim()
        repositories.queue.write_back([Look(claim=claim, answered=True)])
        (claim,) = repositories.claim()
        assert claim.failures == 0

    def test_misses_are_counted_and_timed_until_there_is_an_answer(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        for n in range(3):
            (claim,) = repositories.claim()
            assert claim.misses == n
            if n == 0:
                assert claim.missing_for is None
            else:
                assert about(n * HOUR, claim.missing_for)
            repositories.queue.write_back([Look(claim=claim, missing=True)])
            repositories.pass_time(HOUR)
        # That it could not be asked about says neither that it is there nor not.
        (claim,) = repositories.claim()
        repositories.queue.write_back([Look(claim=claim)])
        (claim,) = repositories.claim()
        assert (claim.misses, claim.failures) == (3, 1)
        assert about(3 * HOUR, claim.missing_for)
        assert repositories.invocations.get(before.invocation_id, SERVICE) == before
        repositories.queue.write_back([Look(claim=claim, answered=True)])
        (claim,) = repositories.claim()
        assert (claim.misses, claim.failures, claim.missing_for) == (0, 0, None)

    def test_a_miss_is_no_failure(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        for look in ({}, {"missing": True}):
            (claim,) = repositories.claim()
            repositories.queue.write_back([Look(claim=claim, **look)])  # type: ignore[arg-type]
        (claim,) = repositories.claim()
        assert (claim.misses, claim.failures) == (1, 0)

    def test_the_bulk_answer_is_kept_until_there_is_another(
        self, repositories: Repositories
    ) -> None:
        repositories.accepted("inv1")
        kept = [None]
        for summary in ("a", None, UNICODE, None):
            (claim,) = repositories.claim()
            assert claim.summary == kept[-1]
            repositories.queue.write_back(
                [Look(claim=claim, answered=True, summary=summary)]
            )
            kept.append(summary or kept[-1])  # type: ignore[arg-type]
        (claim,) = repositories.claim()
        assert claim.summary == UNICODE

    def test_only_a_full_look_counts_as_one(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        repositories.pass_time(HOUR)
        (claim,) = repositories.claim()
        repositories.queue.write_back([Look(claim=claim, answered=True)])
        repositories.pass_time(HOUR)
        (claim,) = repositories.claim()
        assert about(2 * HOUR, claim.unlooked_for)
        repositories.queue.write_back([Look(claim=claim, answered=True, full=True)])
        repositories.pass_time(HOUR)
        (claim,) = repositories.claim()
        assert about(HOUR, claim.unlooked_for)
        assert about(3 * HOUR, claim.quiet_for)
        assert about(3 * HOUR, claim.age)

    def test_what_was_not_asked_about_is_given_back_as_it_was(
        self, repositories: Repositories
    ) -> None:
        repositories.accepted("first")
        repositories.pass_time(MINUTE)
        repositories.accepted("second")
        claim = repositories.claim(limit=1)[0]
        repositories.queue.write_back([Look(claim=claim, asked=False, next_in=DAY)])
        again = repositories.claim(limit=1)[0]
        assert again.invocation_id == "first"
        assert evolve(
            again, fence=0, age=DAY, quiet_for=DAY, unlooked_for=DAY
        ) == evolve(claim, fence=0, age=DAY, quiet_for=DAY, unlooked_for=DAY)

    # --- news -----------------------------------------------------------------

    @pytest.mark.parametrize("state", InvocationState)
    def test_a_change_is_stored_with_its_transition(
        self, repositories: Repositories, state: InvocationState
    ) -> None:
        before = repositories.accepted("inv1")
        repositories.pass_time(HOUR)
        (claim,) = repositories.claim()
        after = before.seen(sighting(state), LATER)
        look = Look(claim=claim, before=before, after=after, answered=True, full=True)
        assert repositories.written([look]) == 1
        assert repositories.invocations.get(before.invocation_id, SERVICE) == after
        _, *changes = repositories.invocations.transitions(
            before.invocation_id, SERVICE
        )
        assert [
            (change.from_state, change.to_state, change.at) for change in changes
        ] == ([] if state is S.QUEUED else [(S.QUEUED, state, LATER)])
        claims = repositories.claim()
        assert bool(claims) != (state in {S.COMPLETED, S.FAILED, S.CANCELLED})
        for again in claims:
            assert again.cancelling == (state is S.CANCELLING)
            assert about(timedelta(0), again.quiet_for)
            assert about(timedelta(0), again.unlooked_for)
            assert about(HOUR, again.age)

    # --- jobs that are left at the end ------------------------------------------

    def test_one_with_jobs_left_stays_until_they_are_settled(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        repositories.pass_time(HOUR)
        for progress in (
            Progress(total=2, ok=1, running=1),
            Progress(total=3, ok=2, waiting=1),
            Progress(total=3, ok=2, failed=1),
        ):
            (claim,) = repositories.claim()
            assert not claim.cancelling
            seen = sighting(S.FAILED, "failed", progress=progress)
            after = before.seen(seen, LATER)
            look = Look(claim=claim, before=before, after=after, answered=True)
            assert repositories.written([look]) == 1
            before = repositories.invocations.get(before.invocation_id, SERVICE)
            assert before == after
        assert repositories.claim() == []
        changes = repositories.invocations.transitions(before.invocation_id, SERVICE)
        assert [change.to_state for change in changes] == [S.QUEUED, S.FAILED]

    def test_its_jobs_can_be_stopped(self, repositories: Repositories) -> None:
        before = repositories.with_jobs_left("inv1")
        (claim,) = repositories.claim()
        repositories.queue.write_back([Look(claim=claim, answered=True, next_in=DAY)])
        before = repositories.invocations.get(before.invocation_id, SERVICE)
        stopped = before.request_cancel(LATER)
        repositories.invocations.save(before, stopped)
        before = repositories.invocations.get(before.invocation_id, SERVICE)
        assert before == stopped
        assert before.stopping
        assert before.request_cancel(LATER) is before
        (claim,) = repositories.claim()
        assert claim.cancelling
        repositories.queue.write_back([Look(claim=claim, answered=True)])
        (claim,) = repositories.claim()
        assert claim.cancelling
        after = before.seen(sighting(S.CANCELLED, "cancelled"), LATER)
        look = Look(claim=claim, before=before, after=after, answered=True)
        assert repositories.written([look]) == 1
        assert repositories.invocations.get(before.invocation_id, SERVICE) == after
        assert not after.stopping
        assert repositories.claim() == []

    def test_a_stop_during_a_look_at_it_is_not_lost(
        self, repositories: Repositories
    ) -> None:
        before = repositories.with_jobs_left("inv1")
        (claim,) = repositories.claim()
        repositories.invocations.save(before, before.request_cancel(LATER))
        repositories.queue.write_back([Look(claim=claim, answered=True, next_in=DAY)])
        (claim,) = repositories.claim()
        assert claim.cancelling

    def test_an_overwrite_stops_the_jobs_that_are_left(
        self, repositories: Repositories
    ) -> None:
        left = repositories.with_jobs_left("inv1")
        repositories.accepted("inv2", a_submission(overwrite=True))
        stored = repositories.invocations.get(left.invocation_id, SERVICE)
        assert (stored.state, stored.stopping) == (S.FAILED, True)
        assert stored.superseded_by == "inv2"
        assert stored.version == left.version + 1
        claims = {claim.invocation_id: claim for claim in repositories.claim()}
        assert claims[left.invocation_id].cancelling

    def test_one_with_jobs_left_can_be_gone(self, repositories: Repositories) -> None:
        before = repositories.with_jobs_left("inv1")
        (claim,) = repositories.claim()
        look = Look(claim=claim, before=before, after=before.lost(LATER), missing=True)
        assert repositories.written([look]) == 1
        assert repositories.claim() == []
        after = repositories.invocations.get(before.invocation_id, SERVICE)
        assert after.failure == before.failure
        assert (after.progress.running, after.progress.failed) == (0, 1)

    def test_one_that_is_gone_has_failed(self, repositories: Repositories) -> None:
        before = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        after = before.lost(LATER)
        look = Look(claim=claim, before=before, after=after, missing=True)
        assert repositories.written([look]) == 1
        assert repositories.invocations.get(before.invocation_id, SERVICE) == after
        assert repositories.claim() == []
        assert repositories.overdue() is None

    def test_takes_many_looks_of_every_kind_at_once(
        self, repositories: Repositories
    ) -> None:
        runs = {
            name: repositories.accepted(name)
            for name in ("quiet", "running", "ended", "missing", "failed", "unasked")
        }
        claims = {claim.invocation_id: claim for claim in repositories.claim()}
        seen = {
            "running": runs["running"].seen(sighting(S.IN_PROGRESS), LATER),
            "ended": runs["ended"].seen(sighting(S.COMPLETED), LATER),
        }

        def look(name: str, **fields: Any) -> Look:
            return Look(claim=claims[InvocationId(name)], **fields)

        looks = [
            look("unasked", asked=False),
            look("failed", next_in=DAY),
            look("missing", missing=True, next_in=DAY),
            look("quiet", answered=True, next_in=DAY),
            *(
                look(
                    name,
                    before=runs[name],
                    after=after,
                    answered=True,
                    full=True,
                    next_in=DAY,
                )
                for name, after in seen.items()
            ),
        ]
        assert repositories.written(looks) == 2  # noqa: PLR2004
        for name, run in {**runs, **seen}.items():
            stored = repositories.invocations.get(InvocationId(name), SERVICE)
            assert evolve(stored, observed_at=NOON) == evolve(run, observed_at=NOON)
        assert repositories.claimed() == ["unasked"]
        repositories.pass_time(DAY + MINUTE)
        rest = {claim.invocation_id: claim for claim in repositories.claim()}
        del rest[InvocationId("unasked")]  # whose lease has run out
        assert {
            name: (claim.misses, claim.failures) for name, claim in rest.items()
        } == {
            "quiet": (0, 0),
            "running": (0, 0),
            "missing": (1, 0),
            "failed": (0, 1),
        }

    def test_writing_nothing_back_is_nothing(self, repositories: Repositories) -> None:
        assert repositories.written([]) == 0

    # --- what cannot be stored ------------------------------------------------

    @pytest.mark.parametrize("place", [0, 3, 6])
    @pytest.mark.parametrize("fields", UNSTORABLE)
    def test_what_cannot_be_stored_keeps_no_other_from_it(
        self, repositories: Repositories, fields: dict[str, Any], place: int
    ) -> None:
        runs = [repositories.accepted(f"inv{n}") for n in range(7)]
        looks = []
        for n, (claim, before) in enumerate(
            zip(repositories.claim(), runs, strict=True)
        ):
            odd = fields if n == place else {}
            seen = sighting(S.IN_PROGRESS, **odd.get("sighting", {}))
            after = before.seen(seen, LATER) if n % 3 == 0 else None
            look = Look(claim=claim, before=before, after=after, answered=True)
            looks.append(evolve(look, **odd.get("look", {"next_in": HOUR})))
        stored = repositories.queue.write_back(looks)
        assert stored.changes == 2  # noqa: PLR2004
        (reason,) = stored.unstorable.values()
        assert list(stored.unstorable) == [f"inv{place}"]
        assert reason
        assert "SELECT" not in reason
        assert "UPDATE" not in reason
        odd_one = runs[place]
        assert repositories.invocations.get(odd_one.invocation_id, SERVICE) == odd_one
        for look in looks:
            if look.after is not None and look.before != odd_one:
                id_ = look.claim.invocation_id
                assert repositories.invocations.get(id_, SERVICE).state is S.IN_PROGRESS
        assert repositories.claim() == [], "its claim is not given back"
        failed = Look(claim=looks[place].claim, next_in=MINUTE)
        assert repositories.written([failed]) == 0
        repositories.pass_time(2 * MINUTE)
        (claim,) = repositories.claim()
        assert (claim.invocation_id, claim.failures) == (f"inv{place}", 1)

    @pytest.mark.parametrize("fields", UNSTORABLE)
    def test_what_came_too_late_need_not_be_storable(
        self, repositories: Repositories, fields: dict[str, Any]
    ) -> None:
        before = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        repositories.invocations.save(before, before.request_cancel(LATER))
        after = before.seen(
            sighting(S.IN_PROGRESS, **fields.get("sighting", {})), LATER
        )
        look = Look(claim=claim, before=before, after=after, **fields.get("look", {}))
        assert repositories.written([look]) == 0
        assert repositories.claimed() == ["inv1"]

    # --- too late -------------------------------------------------------------

    def test_a_late_writer_writes_nothing(self, repositories: Repositories) -> None:
        before = repositories.accepted("inv1")
        (late,) = repositories.claim(lease=MINUTE)
        repositories.pass_time(2 * MINUTE)
        (holder,) = repositories.claim(lease=HOUR)
        after = before.seen(sighting(S.FAILED), LATER)
        for look in (
            Look(claim=late, before=before, after=after, answered=True, full=True),
            Look(claim=late, answered=True, summary="late"),
            Look(claim=late, asked=False),
            Look(claim=late, missing=True),
        ):
            assert repositories.written([look]) == 0
        assert repositories.invocations.get(before.invocation_id, SERVICE) == before
        assert repositories.claim() == [], "the holder's lease is not touched"
        repositories.queue.write_back([Look(claim=holder, answered=True)])
        (again,) = repositories.claim()
        assert (again.summary, again.misses) == (None, 0)

    def test_a_lease_that_ran_out_counts_while_nobody_else_has_it(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        (claim,) = repositories.claim(lease=MINUTE)
        repositories.pass_time(HOUR)
        after = before.seen(sighting(S.IN_PROGRESS), LATER)
        look = Look(claim=claim, before=before, after=after, answered=True, full=True)
        assert repositories.written([look]) == 1

    def test_a_look_at_what_changed_meanwhile_is_left_out(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        cancelled = before.request_cancel(LATER)
        repositories.invocations.save(before, cancelled)
        after = before.seen(sighting(S.IN_PROGRESS), LATER)
        look = Look(
            claim=claim,
            before=before,
            after=after,
            answered=True,
            full=True,
            summary="s",
            next_in=DAY,
        )
        assert repositories.written([look]) == 0
        assert repositories.invocations.get(before.invocation_id, SERVICE) == cancelled
        changes = repositories.invocations.transitions(before.invocation_id, SERVICE)
        assert [change.to_state for change in changes] == [S.QUEUED, S.CANCELLING]
        (claim,) = repositories.claim()
        assert claim.cancelling
        assert claim.summary is None

    @pytest.mark.parametrize("news", [True, False])
    def test_a_look_that_was_read_before_the_claim_is_left_out(
        self, repositories: Repositories, *, news: bool
    ) -> None:
        before = repositories.accepted("inv1")
        saved = before.seen(sighting(S.QUEUED), LATER)
        repositories.invocations.save(before, saved)
        (claim,) = repositories.claim()
        after = before.seen(sighting(S.FAILED), LATER) if news else None
        look = Look(
            claim=claim,
            before=before,
            after=after,
            answered=True,
            summary="s",
            next_in=DAY,
        )
        assert repositories.written([look]) == 0
        assert repositories.invocations.get(before.invocation_id, SERVICE) == saved
        (claim,) = repositories.claim()
        assert claim.summary is None

    def test_a_cancel_during_a_claim_is_not_lost_and_takes_it_from_nobody(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        repositories.invocations.save(before, before.request_cancel(LATER))
        assert repositories.claim() == []
        repositories.queue.write_back([Look(claim=claim, answered=True, next_in=DAY)])
        (claim,) = repositories.claim()
        assert claim.cancelling

    def test_what_ended_meanwhile_does_not_come_back(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        ended = repositories.moved(before, S.COMPLETED)
        after = before.seen(sighting(S.IN_PROGRESS), LATER)
        look = Look(claim=claim, before=before, after=after, answered=True)
        assert repositories.written([look, Look(claim=claim)]) == 0
        assert repositories.invocations.get(before.invocation_id, SERVICE) == ended
        assert repositories.claim() == []

    def test_of_a_poll_and_a_cancel_at_once_neither_is_lost(
        self, repositories: Repositories
    ) -> None:
        for n in range(10):
            before = repositories.accepted(f"inv{n}")
            (claim,) = repositories.claim()
            after = before.seen(sighting(S.IN_PROGRESS), LATER)
            look = Look(claim=claim, before=before, after=after, next_in=DAY)
            written, saved = at_once(
                partial[object](repositories.written, [look]),
                partial[object](
                    repositories.invocations.save,
                    before,
                    before.request_cancel(LATER),
                ),
            )
            stored = repositories.invocations.get(before.invocation_id, SERVICE)
            states = [
                change.to_state
                for change in repositories.invocations.transitions(
                    before.invocation_id, SERVICE
                )
            ]
            if saved is None:
                assert (written, stored.state) == (0, S.CANCELLING)
                assert states == [S.QUEUED, S.CANCELLING]
                assert repositories.claimed() == [before.invocation_id]
            else:
                assert isinstance(saved, StaleVersion)
                assert (written, stored.state) == (1, S.IN_PROGRESS)
                assert states == [S.QUEUED, S.IN_PROGRESS]
                assert repositories.claimed() == []

    # --- how late -------------------------------------------------------------

    def test_says_for_how_long_the_most_overdue_has_been_due(
        self, repositories: Repositories
    ) -> None:
        assert repositories.overdue() is None
        repositories.accepted("first")
        repositories.pass_time(MINUTE)
        repositories.accepted("second")
        overdue = repositories.overdue()
        assert about(MINUTE, overdue)
        claims = repositories.claim()
        repositories.queue.write_back(
            [Look(claim=claim, answered=True, next_in=HOUR) for claim in claims]
        )
        assert repositories.overdue() == timedelta(0)
        repositories.pass_time(2 * HOUR)
        assert about(HOUR, repositories.overdue())

    # --- how it stands --------------------------------------------------------

    def test_tells_how_polling_stands(self, repositories: Repositories) -> None:
        assert repositories.queue.backlog() == {}
        for name in ("a", "b", "c"):
            repositories.accepted(name)
        repositories.accepted("theirs", a_submission(identity=THERE))
        repositories.pass_time(HOUR)
        claim = repositories.claim(limit=1)[0]
        look = Look(claim=claim, answered=True, next_in=HOUR)
        repositories.queue.write_back([look])
        repositories.pass_time(MINUTE)
        backlog = repositories.queue.backlog()
        assert set(backlog) == {HERE, THERE}
        assert (backlog[HERE].active, backlog[HERE].due) == (3, 2)
        assert (backlog[THERE].active, backlog[THERE].due) == (1, 1)
        assert about(HOUR + MINUTE, backlog[HERE].overdue)
        assert backlog[HERE].totals == {}

    def test_nothing_is_overdue_that_is_not_due(
        self, repositories: Repositories
    ) -> None:
        repositories.accepted("a")
        (claim,) = repositories.claim()
        look = Look(claim=claim, answered=True, next_in=HOUR)
        repositories.queue.write_back([look])
        backlog = repositories.queue.backlog()[HERE]
        assert (backlog.active, backlog.due, backlog.overdue) == (1, 0, timedelta(0))

    def test_adds_up_what_sweeps_came_to(self, repositories: Repositories) -> None:
        tally = repositories.queue.tally
        tally(HERE, {})
        tally(HERE, {"sweeps": 1, "seconds": 0.5, "failed": 0})
        tally(THERE, {"sweeps": 1})
        at_once(
            *(
                partial(tally, HERE, {"seconds": 0.25, "sweeps": 1, "due": n})
                for n in range(CROWD)
            )
        )
        backlog = repositories.queue.backlog()
        assert backlog[HERE].totals == {
            "sweeps": 1 + CROWD,
            "seconds": 0.5 + 0.25 * CROWD,
            "due": sum(range(CROWD)),
        }
        assert backlog[THERE].totals == {"sweeps": 1}
        assert backlog[THERE].active == 0
