"""The contract of :class:`BatchRepository`."""

from __future__ import annotations

from collections import Counter
from functools import partial
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.repositories import (
    CROWD,
    DAY,
    HERE,
    HOUR,
    LATER,
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
    BatchNotFound,
    DatasetNotFound,
    SubmissionNotFound,
)
from galaxy_jobs.domain.model.batch import CANCELLED, Batch
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Problem,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.model.values import (
    BatchId,
    DatasetId,
    HistoryId,
    Identity,
    SubmissionId,
)
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.model.webhook import EventType, Webhook, WebhookId
from galaxy_jobs.domain.ports import JobFilter, Look


OWN = Viewer(owner="lab-a", sees_all=False)
OTHER = Viewer(owner="lab-b", sees_all=False)
REFUSED = Problem("galaxy-rejected", "Galaxy refuses it.")


def a_batch(
    size: int = 3,
    *,
    key: str | None = None,
    identity: Identity = HERE,
    viewer: Viewer = SERVICE,
    overwrite: bool = False,
) -> tuple[Batch, list[Submission]]:
    """Return a new batch and its items, all on one dataset."""
    batch = Batch(
        batch_id=BatchId(uuid4()),
        identity=identity,
        workflow_name=UNICODE,
        parameters=ODD,
        labels={"project": UNICODE.replace("\t\r\n\x01", "")},
        overwrite=True,
        size=size,
        fingerprint="f",
        key=None if key is None else IdempotencyKey("me", key),
        rerun_of=BatchId(UUID(int=5)),
        owner=viewer.owner,
        private=not viewer.sees_all,
        created_at=NOON,
    )
    items = [
        evolve(
            a_submission(identity=identity, overwrite=overwrite),
            state=SubmissionState.WAITING,
            batch_id=batch.batch_id,
            owner=viewer.owner,
            private=not viewer.sees_all,
        )
        for _ in range(size)
    ]
    return batch, items


def record(
    repositories: Repositories, batch: tuple[Batch, list[Submission]]
) -> tuple[BatchId, list[SubmissionId]]:
    """Record a batch; return its id, and those of its items."""
    repositories.register()
    assert repositories.batches.open(*batch, key_lifetime=DAY) is None
    return batch[0].batch_id, [item.submission_id for item in batch[1]]


def begin(
    repositories: Repositories,
    *,
    at_once: int = 100,
    max_active: int = 0,
    identity: Identity = HERE,
) -> Submission | None:
    """Begin the next item."""
    return repositories.batches.begin(
        identity, at=LATER, at_once=at_once, max_active=max_active, deadline=HOUR
    )


def run(repositories: Repositories, item: Submission) -> Invocation:
    """Have an item that was begun accepted."""
    ready = item.with_history(HistoryId(f"his {item.submission_id}"), LATER)
    repositories.submissions.save(item, ready, look_in=HOUR)
    job = a_run(ready, f"run {ready.submission_id}", LATER)
    after = ready.accepted(job.invocation_id, LATER)
    return repositories.submissions.accept(ready, after, job)


def end(
    repositories: Repositories, job: Invocation, state: InvocationState = S.COMPLETED
) -> None:
    """End a job."""
    before = repositories.invocations.get(job.invocation_id, SERVICE)
    after = before.seen(sighting(state), LATER)
    repositories.invocations.save(before, after)


class BatchRepositoryContract:
    """What a :class:`BatchRepository` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    def begun(self, repositories: Repositories) -> Submission:
        """Begin the next item, which there must be."""
        item = begin(repositories)
        assert item is not None
        return item

    # --- recording and reading ------------------------------------------------

    def test_returns_what_was_recorded(self, repositories: Repositories) -> None:
        batch, items = a_batch()
        record(repositories, (batch, items))
        assert repositories.batches.get(batch.batch_id, SERVICE) == batch
        found = repositories.batches.items(batch.batch_id, SERVICE, limit=10)
        assert [item.submission for item in found] == items
        assert [item.position for item in found] == [0, 1, 2]
        for item in items:
            stored = repositories.submissions.get(item.submission_id, SERVICE)
            assert stored == item
        assert repositories.batches.counts([batch.batch_id]) == {
            batch.batch_id: {"waiting": 3}
        }

    def test_records_nothing_without_a_dataset(
        self, repositories: Repositories
    ) -> None:
        batch, items = a_batch()
        repositories.register()
        gone = evolve(items[1].request, dataset_id=DatasetId("gone"))
        items[1] = evolve(items[1], request=gone)
        with pytest.raises(DatasetNotFound, match="'gone'"):
            repositories.batches.open(batch, items, key_lifetime=DAY)
        with pytest.raises(BatchNotFound):
            repositories.batches.get(batch.batch_id, SERVICE)
        with pytest.raises(SubmissionNotFound):
            repositories.submissions.get(items[0].submission_id, SERVICE)
        assert begin(repositories) is None

    def test_pages_items(self, repositories: Repositories) -> None:
        batch_id, ids = record(repositories, a_batch(5))
        page = repositories.batches.items(batch_id, SERVICE, limit=2, after=1)
        assert [item.submission.submission_id for item in page] == ids[2:4]

    def test_pages_batches_newest_first(self, repositories: Repositories) -> None:
        batches = [a_batch(1) for _ in range(5)]
        made = []
        for number, (batch, items) in enumerate(batches):
            made.append(evolve(batch, created_at=NOON + number * HOUR))
            record(repositories, (made[-1], items))
        first = repositories.batches.page(SERVICE, 3)
        assert [*first.items] == made[:1:-1]
        last = repositories.batches.page(SERVICE, 3, first.next)
        assert [*last.items] == made[1::-1]
        assert last.next is None

    def test_shows_owners_their_own(self, repositories: Repositories) -> None:
        batch_id, ids = record(repositories, a_batch(viewer=OWN))
        batches = repositories.batches
        assert batches.get(batch_id, OWN) == batches.get(batch_id, SERVICE)
        assert len(batches.page(OWN, 10).items) == 1
        assert not batches.page(OTHER, 10).items
        for ask in (
            partial(batches.get, batch_id, OTHER),
            partial(batches.items, batch_id, OTHER, limit=10),
            partial(batches.cancel, batch_id, OTHER, NOON),
        ):
            with pytest.raises(BatchNotFound):
                ask()
        assert begin(repositories) is not None
        assert ids

    # --- keys -------------------------------------------------------------------

    def test_records_one_of_several_with_a_key(
        self, repositories: Repositories
    ) -> None:
        repositories.register()
        batches = [a_batch(key="k") for _ in range(CROWD)]
        open_ = partial(repositories.batches.open, key_lifetime=DAY)
        holders = at_once(*(partial(open_, *batch) for batch in batches))
        stored = [holder for holder in holders if holder is not None]
        assert len(stored) == CROWD - 1
        assert len(set(map(repr, stored))) == 1
        assert len(repositories.batches.page(SERVICE, 100).items) == 1

    def test_holds_a_key_until_its_lifetime_after_the_end(
        self, repositories: Repositories
    ) -> None:
        batch_id, _ = record(repositories, a_batch(1, key="k"))
        key = IdempotencyKey("me", "k")
        repositories.pass_time(2 * DAY)
        holder = repositories.batches.holder(key)
        assert holder is not None
        assert holder.batch_id == batch_id
        assert repositories.batches.holder(IdempotencyKey("you", "k")) is None
        repositories.batches.cancel(batch_id, SERVICE, NOON)
        repositories.pass_time(DAY / 2)
        assert repositories.batches.holder(key) is not None
        repositories.pass_time(DAY)
        assert repositories.batches.holder(key) is None

    # --- beginning items ----------------------------------------------------------

    def test_begins_items_in_their_order(self, repositories: Repositories) -> None:
        _, ids = record(repositories, a_batch())
        begun = [self.begun(repositories) for _ in range(3)]
        assert [item.submission_id for item in begun] == ids
        assert begin(repositories) is None
        for item in begun:
            assert item.state is SubmissionState.SUBMITTING
            assert item.updated_at == LATER
            stored = repositories.submissions.get(item.submission_id, SERVICE)
            assert stored == item

    def test_lets_batches_take_turns(self, repositories: Repositories) -> None:
        first, _ = record(repositories, a_batch(3))
        second_batch, items = a_batch(3)
        later = evolve(second_batch, created_at=LATER)
        second, _ = record(repositories, (later, items))
        turns = [self.begun(repositories).batch_id for _ in range(4)]
        assert turns == [first, second, first, second]
        third_batch, items = a_batch(2)
        latest = evolve(third_batch, created_at=LATER + HOUR)
        third, _ = record(repositories, (latest, items))
        turns = [self.begun(repositories).batch_id for _ in range(4)]
        assert turns == [third, first, second, third]

    def test_begins_items_of_its_own_galaxy(self, repositories: Repositories) -> None:
        record(repositories, a_batch(1, identity=THERE))
        assert begin(repositories) is None
        assert begin(repositories, identity=THERE) is not None

    def test_begins_each_item_once(self, repositories: Repositories) -> None:
        _, ids = record(repositories, a_batch(CROWD))
        begun = at_once(*[partial(begin, repositories)] * CROWD)
        assert sorted(
            item.submission_id for item in begun if isinstance(item, Submission)
        ) == sorted(ids)

    def test_keeps_the_limit_of_items_at_once(self, repositories: Repositories) -> None:
        record(repositories, a_batch(CROWD))
        limit = 3
        ask = partial(begin, repositories, at_once=limit)
        begun = [item for item in at_once(*[ask] * CROWD) if item is not None]
        assert len(begun) == limit
        assert isinstance(begun[0], Submission)
        lost = begun[0].with_history(HistoryId("h"), LATER)
        repositories.submissions.save(begun[0], lost, look_in=HOUR)
        assert ask() is None
        unknown = lost.lost(LATER)
        repositories.submissions.save(lost, unknown, look_in=HOUR)
        assert ask() is not None
        assert ask() is None

    def test_keeps_the_limit_of_active_jobs(self, repositories: Repositories) -> None:
        repositories.accepted("other")
        record(repositories, a_batch(3))
        ask = partial(begin, repositories, max_active=2)
        item = ask()
        assert item is not None
        assert ask() is None  # one is active, and one is being submitted
        job = run(repositories, item)
        assert ask() is None
        end(repositories, job)
        assert ask() is not None
        assert ask() is None

    def test_begins_again_what_was_put_off(self, repositories: Repositories) -> None:
        _, ids = record(repositories, a_batch(2))
        item = self.begun(repositories)
        after = item.not_invoked(REFUSED, LATER)
        repositories.submissions.save(item, after, look_in=None)
        assert repositories.submissions.get(ids[0], SERVICE) == after
        again = self.begun(repositories)
        assert again.submission_id == ids[0]
        assert again.version > item.version

    def test_begins_one_item_at_a_time_of_those_begun_before(
        self, repositories: Repositories
    ) -> None:
        _, ids = record(repositories, a_batch(3))
        for item in [self.begun(repositories) for _ in range(2)]:
            assert item.attempts == 1
            after = item.not_invoked(REFUSED, LATER)
            repositories.submissions.save(item, after, look_in=None)
        batch, items = a_batch(1)
        record(repositories, (evolve(batch, created_at=LATER), items))
        begun = [self.begun(repositories) for _ in range(3)]
        assert {item.submission_id: item.attempts for item in begun} == {
            ids[0]: 2,
            ids[2]: 1,
            items[0].submission_id: 1,
        }
        assert begin(repositories) is None
        (again,) = [item for item in begun if item.attempts > 1]
        assert repositories.submissions.get(ids[0], SERVICE) == again
        run(repositories, again)
        assert self.begun(repositories).submission_id == ids[1]
        assert begin(repositories) is None

    def test_leaves_what_is_overdue_to_the_reconciler(
        self, repositories: Repositories
    ) -> None:
        record(repositories, a_batch(2))
        claim = partial(repositories.submissions.claim_due, HERE, limit=9, lease=HOUR)
        repositories.pass_time(2 * HOUR)
        assert not claim()  # nothing was begun
        item = self.begun(repositories)
        assert not claim()
        repositories.pass_time(2 * HOUR)
        assert [*claim()] == [item]

    # --- the end ------------------------------------------------------------------

    def test_ends_with_its_last_item(self, repositories: Repositories) -> None:
        batch_id, ids = record(repositories, a_batch(3))
        get = partial(repositories.batches.get, batch_id, SERVICE)
        jobs = [run(repositories, self.begun(repositories)) for _ in range(2)]
        item = self.begun(repositories)
        end(repositories, jobs[0])
        end(repositories, jobs[1], S.FAILED)
        assert get().ended_at is None
        rejected = item.rejected(REFUSED, LATER)
        repositories.submissions.save(item, rejected, look_in=HOUR)
        assert get().ended_at is not None
        assert repositories.batches.counts([batch_id])[batch_id] == {
            "completed": 1,
            "failed": 1,
            "rejected": 1,
        }
        failed = repositories.batches.items(batch_id, SERVICE, limit=9, failed=True)
        assert [item.submission.submission_id for item in failed] == ids[1:]
        assert [item.state for item in failed] == ["failed", "rejected"]
        assert failed[0].job is not None
        assert failed[0].job.invocation_id == jobs[1].invocation_id

    def test_has_ended_once_where_a_rejected_item_runs_after_all(
        self, repositories: Repositories
    ) -> None:
        webhook = Webhook(
            webhook_id=WebhookId(str(uuid4())),
            url="https://example.org/events",
            events=frozenset({EventType.BATCH_ENDED}),
            secrets=("whsec_AAAA",),
            created_at=NOON,
        )
        repositories.webhooks.add(webhook, most=1)
        batch_id, _ = record(repositories, a_batch(2))
        get = partial(repositories.batches.get, batch_id, SERVICE)
        counts = partial(repositories.batches.counts, [batch_id])
        end(repositories, run(repositories, self.begun(repositories)))
        item = self.begun(repositories)
        ready = item.with_history(HistoryId("his"), LATER)
        repositories.submissions.save(item, ready, look_in=HOUR)
        rejected = ready.rejected(REFUSED, LATER)
        repositories.submissions.save(ready, rejected, look_in=HOUR)
        ended_at = get().ended_at
        assert ended_at is not None
        assert counts() == {batch_id: {"completed": 1, "rejected": 1}}
        job = a_run(rejected, "run", LATER)
        after = rejected.accepted(job.invocation_id, LATER)
        job = repositories.submissions.accept(rejected, after, job)
        assert counts() == {batch_id: {"completed": 1, "queued": 1}}
        assert not repositories.batches.items(batch_id, SERVICE, limit=9, failed=True)
        end(repositories, job)
        assert counts() == {batch_id: {"completed": 2}}
        assert get().ended_at == ended_at
        sent = repositories.webhooks.deliveries(webhook.webhook_id, SERVICE, 9)
        assert len(sent.items) == 1

    def test_ends_with_a_poll_of_its_last_jobs(
        self, repositories: Repositories
    ) -> None:
        ids = [record(repositories, a_batch(2))[0] for _ in range(2)]
        for _ in range(4):
            run(repositories, self.begun(repositories))
        claims = repositories.claim()
        assert len(claims) == 2 * len(ids)
        looks = []
        for claim in claims:
            before = repositories.invocations.get(claim.invocation_id, SERVICE)
            after = before.seen(sighting(S.COMPLETED), LATER)
            looks.append(Look(claim=claim, before=before, after=after, answered=True))
        assert repositories.written(looks[:-1]) == len(looks) - 1
        ended = [repositories.batches.get(id_, SERVICE).ended_at for id_ in ids]
        assert sum(at is not None for at in ended) == 1
        assert repositories.written(looks[-1:]) == 1
        assert all(repositories.batches.get(id_, SERVICE).ended_at for id_ in ids)

    def test_ends_once_where_the_last_items_end_at_the_same_time(
        self, repositories: Repositories
    ) -> None:
        batch_id, _ = record(repositories, a_batch(CROWD))
        jobs = [run(repositories, self.begun(repositories)) for _ in range(CROWD)]
        at_once(*(partial(end, repositories, job) for job in jobs))
        counts = repositories.batches.counts([batch_id])
        assert counts == {batch_id: {"completed": CROWD}}
        assert repositories.batches.get(batch_id, SERVICE).ended_at is not None

    def test_goes_with_the_last_of_its_jobs(self, repositories: Repositories) -> None:
        mixed, _ = record(repositories, a_batch(2))
        job = run(repositories, self.begun(repositories))
        cancelled, _ = record(repositories, a_batch(1, key="k"))
        repositories.batches.cancel(cancelled, SERVICE, LATER)
        repositories.pass_time(2 * DAY)
        prune, get = repositories.retention.prune, repositories.batches.get
        assert prune(HERE, DAY, limit=9) == 0
        with pytest.raises(BatchNotFound):
            get(cancelled, SERVICE)
        assert get(mixed, SERVICE).ended_at is None
        repositories.batches.cancel(mixed, SERVICE, LATER)
        end(repositories, job)
        assert prune(THERE, DAY, limit=9) == 0
        assert get(mixed, SERVICE).ended_at is not None
        repositories.pass_time(2 * DAY)
        assert prune(HERE, DAY, limit=9) == 1
        with pytest.raises(BatchNotFound):
            get(mixed, SERVICE)

    def test_its_jobs_are_listed_by_it(self, repositories: Repositories) -> None:
        batches = [record(repositories, a_batch(2))[0] for _ in range(2)]
        repositories.accepted("other")
        size = 3
        for _ in range(size):
            run(repositories, self.begun(repositories))
        names = set()
        for batch_id in batches:
            for more in ({}, {"states": frozenset({S.QUEUED})}, {"search": "run"}):
                wanted = JobFilter(batch_id=batch_id, **more)
                page = repositories.invocations.page(wanted, SERVICE, 10)
                counts = repositories.invocations.counts(wanted, SERVICE, 10)
                assert counts == {S.QUEUED: len(page.items)}
                names |= {(batch_id, job.submission_id) for job in page.items}
        assert len(names) == size
        stored = [repositories.submissions.get(id_, SERVICE) for _, id_ in names]
        assert {(each.batch_id, each.submission_id) for each in stored} == names

    # --- cancelling -------------------------------------------------------------

    def test_cancels_what_waits_and_what_runs(self, repositories: Repositories) -> None:
        batch_id, ids = record(repositories, a_batch(4))
        done = run(repositories, self.begun(repositories))
        end(repositories, done)
        job = run(repositories, self.begun(repositories))
        item = self.begun(repositories)
        batch = repositories.batches.cancel(batch_id, SERVICE, LATER)
        assert batch.cancelled_at == LATER
        assert batch.ended_at is None
        waiting = repositories.submissions.get(ids[3], SERVICE)
        assert waiting.state is SubmissionState.REJECTED
        assert waiting.problem == CANCELLED
        assert begin(repositories) is None
        running = repositories.invocations.get(job.invocation_id, SERVICE)
        assert running.state is S.CANCELLING
        late = run(repositories, item)
        assert late.state is S.CANCELLING
        assert repositories.batches.counts([batch_id])[batch_id] == Counter(
            completed=1, cancelling=2, rejected=1
        )
        for each in (job, late):
            end(repositories, each, S.CANCELLED)
        assert repositories.batches.get(batch_id, SERVICE).ended_at is not None
        items = repositories.batches.items(batch_id, SERVICE, limit=9, failed=True)
        assert not items

    def test_rejects_what_is_put_off_of_a_cancelled_batch(
        self, repositories: Repositories
    ) -> None:
        batch_id, ids = record(repositories, a_batch(1))
        item = self.begun(repositories)
        repositories.batches.cancel(batch_id, SERVICE, LATER)
        after = item.not_invoked(REFUSED, LATER)
        repositories.submissions.save(item, after, look_in=None)
        stored = repositories.submissions.get(ids[0], SERVICE)
        assert stored.state is SubmissionState.REJECTED
        assert stored.problem == CANCELLED
        assert repositories.batches.get(batch_id, SERVICE).ended_at is not None

    def test_keeps_the_time_of_the_first_cancel(
        self, repositories: Repositories
    ) -> None:
        batch_id, _ = record(repositories, a_batch(1))
        repositories.batches.cancel(batch_id, SERVICE, NOON)
        batch = repositories.batches.cancel(batch_id, SERVICE, LATER)
        assert batch.cancelled_at == NOON
