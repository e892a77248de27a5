"""The contract of :class:`WebhookRepository`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts import batches
from galaxy_jobs.adapters.testing.contracts.repositories import (
    CROWD,
    DAY,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    UNICODE,
    Repositories,
    S,
    a_run,
    a_submission,
    about,
    at_once,
    sighting,
    walk,
)
from galaxy_jobs.domain.errors import InvalidValue, QuotaExceeded, WebhookNotFound
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.model.webhook import (
    RETRY_TIME,
    Delivery,
    DeliveryId,
    DeliveryState,
    EventType,
    Webhook,
    WebhookId,
    WebhookState,
)
from galaxy_jobs.domain.ports import Attempt, Cursor, Look


URL = "https://receiver.example.org/events?a=b"
LAB = Viewer(owner="lab", sees_all=False)
OTHER = Viewer(owner="other", sees_all=False)
REST = timedelta(seconds=30)


def a_webhook(**fields: Any) -> Webhook:
    """Return a webhook that is not stored."""
    return Webhook(
        **{
            "webhook_id": WebhookId(str(uuid4())),
            "url": URL,
            "secrets": ("whsec_AAAA",),
            "created_at": NOON,
            **fields,
        }
    )


def added(repositories: Repositories, **fields: Any) -> Webhook:
    """Store a webhook."""
    webhook = a_webhook(**fields)
    repositories.webhooks.add(webhook, most=100)
    return webhook


def seen(repositories: Repositories, viewer: Viewer = SERVICE) -> list[Webhook]:
    """Return all webhooks that a viewer sees, newest first."""
    return list(repositories.webhooks.page(viewer, 100).items)


def sent(repositories: Repositories, webhook: Webhook) -> list[Delivery]:
    """Return all deliveries of a webhook, oldest first."""
    page = repositories.webhooks.deliveries(webhook.webhook_id, SERVICE, 100)
    return list(page.items)[::-1]


def types(deliveries: Sequence[Delivery]) -> list[str]:
    """Return the types of deliveries."""
    return [delivery.type.value for delivery in deliveries]


def claim(
    repositories: Repositories, webhook: Webhook, limit: int = 100
) -> Sequence[Delivery]:
    """Claim what is due."""
    return repositories.webhooks.claim(webhook.webhook_id, limit=limit, lease=MINUTE)


def settle(repositories: Repositories, *attempts: Attempt, gone: bool = False) -> None:
    """Settle attempts of one webhook."""
    id_ = attempts[0].delivery.webhook_id
    repositories.webhooks.settle(id_, attempts, rest=REST, gone=gone)


def delivered(delivery: Delivery) -> Attempt:
    """Return an attempt that succeeded."""
    return Attempt(delivery=delivery, status=204)


def failed(delivery: Delivery, retry_in: timedelta = HOUR) -> Attempt:
    """Return an attempt that failed."""
    return Attempt(
        delivery=delivery, status=500, problem="It said no.\0", retry_in=retry_in
    )


class WebhookRepositoryContract:
    """What a :class:`WebhookRepository` must do, and stores of changes for it."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    # --- webhooks -----------------------------------------------------------------

    def test_returns_what_was_added(self, repositories: Repositories) -> None:
        webhook = added(
            repositories,
            events=frozenset({EventType.FAILED, EventType.ATTENTION}),
            labels={"project": "Ü日本"},
            workflow_names=frozenset({"w", "x"}),
            secrets=("whsec_BBBB", "whsec_AAAA"),
            owner="lab",
            private=True,
        )
        assert repositories.webhooks.get(webhook.webhook_id, SERVICE) == webhook
        later = added(repositories, created_at=LATER)
        assert seen(repositories) == [later, webhook]
        assert seen(repositories, LAB) == [webhook]

    def test_what_others_have_does_not_exist(self, repositories: Repositories) -> None:
        webhook = added(repositories, owner="lab")
        webhooks, own = repositories.webhooks, webhook.webhook_id
        assert seen(repositories, OTHER) == []
        assert webhooks.get(own, LAB) == webhook
        for id_, viewer in ((own, OTHER), (WebhookId("none"), SERVICE), ("a\0b", LAB)):
            test = Delivery(
                delivery_id=DeliveryId(str(uuid4())),
                webhook_id=WebhookId(id_),
                type=EventType.TEST,
                subject=None,
                data={},
                at=NOON,
            )
            for call in (
                lambda i=id_, v=viewer: webhooks.get(i, v),
                lambda i=id_, v=viewer: webhooks.remove(i, v),
                lambda i=id_, v=viewer: webhooks.replay(i, v, None),
                lambda i=id_, v=viewer: webhooks.deliveries(i, v, 1),
                lambda i=id_, v=viewer: webhooks.replace_secrets(i, v, lambda w: w),
                lambda t=test, v=viewer: webhooks.send(t, v),
            ):
                with pytest.raises(WebhookNotFound):
                    call()

    def test_an_owner_has_a_number_of_webhooks_at_most(
        self, repositories: Repositories
    ) -> None:
        for owner in ("lab", None):
            results = at_once(
                *[lambda o=owner: repositories.webhooks.add(a_webhook(owner=o), most=3)]
                * CROWD
            )
            refused = [each for each in results if isinstance(each, QuotaExceeded)]
            assert len(refused) == CROWD - 3
        assert len(seen(repositories)) == 2 * 3
        removed = seen(repositories, LAB)[0]
        repositories.webhooks.remove(removed.webhook_id, LAB)
        repositories.webhooks.add(a_webhook(owner="lab"), most=3)

    def test_refuses_what_cannot_be_stored(self, repositories: Repositories) -> None:
        with pytest.raises(InvalidValue):
            added(repositories, workflow_names=frozenset({"a\0b"}))

    def test_keeps_changed_secrets(self, repositories: Repositories) -> None:
        webhook = added(repositories)
        changed = repositories.webhooks.replace_secrets(
            webhook.webhook_id, SERVICE, lambda each: each.rotated("whsec_BBBB")
        )
        assert changed.secrets == ("whsec_BBBB", "whsec_AAAA")
        assert repositories.webhooks.get(webhook.webhook_id, SERVICE) == changed

    # --- what changes of jobs send ---------------------------------------------------

    def test_every_change_of_state_is_sent(self, repositories: Repositories) -> None:
        webhook = added(repositories)
        run = repositories.accepted("inv1")
        repositories.moved(run, S.QUEUED, S.IN_PROGRESS, S.IN_PROGRESS, S.COMPLETED)
        events = sent(repositories, webhook)
        assert types(events) == ["job.queued", "job.in_progress", "job.completed"]
        assert [event.subject for event in events] == ["inv1"] * 3
        assert [event.data["from_state"] for event in events] == [
            None,
            "queued",
            "in_progress",
        ]
        assert [event.at for event in events] == [NOON, LATER, LATER]
        numbers = [event.number for event in events]
        assert numbers == sorted(set(numbers))
        assert len({event.delivery_id for event in events}) == len(events)

    def test_a_change_that_a_poll_finds_is_sent(
        self, repositories: Repositories
    ) -> None:
        webhook = added(repositories)
        run = repositories.accepted("inv1")
        (claimed,) = repositories.claim()
        after = run.seen(sighting(S.FAILED), LATER)
        repositories.written(
            [Look(claim=claimed, before=run, after=after, answered=True, full=True)]
        )
        events = sent(repositories, webhook)
        assert types(events) == ["job.queued", "job.failed", "job.attention"]
        data: Any = events[1].data
        assert data["attention"] == UNICODE
        assert data["failure"]["reason"] == "job-failed"
        assert data["progress"]["total"] == 4  # noqa: PLR2004

    def test_a_lost_update_sends_nothing(self, repositories: Repositories) -> None:
        webhook = added(repositories)
        run = repositories.accepted("inv1")
        (claimed,) = repositories.claim()
        repositories.moved(run, S.IN_PROGRESS)
        after = run.seen(sighting(S.FAILED), LATER)
        repositories.written(
            [Look(claim=claimed, before=run, after=after, answered=True, full=True)]
        )
        assert types(sent(repositories, webhook)) == ["job.queued", "job.in_progress"]

    def test_another_note_for_people_is_sent(self, repositories: Repositories) -> None:
        webhook = added(repositories, events=frozenset({EventType.ATTENTION}))
        run = repositories.accepted("inv1")
        for note in ("look", "look", "again", None):
            before = repositories.invocations.get(run.invocation_id, SERVICE)
            after = before.seen(
                sighting(S.IN_PROGRESS, attention=note, failure=None), LATER
            )
            repositories.invocations.save(before, after)
        notes = [event.data["attention"] for event in sent(repositories, webhook)]
        assert notes == ["look", "again"]

    def test_a_note_of_a_superseded_run_is_sent(
        self, repositories: Repositories
    ) -> None:
        first = repositories.moved(repositories.accepted("inv1"), S.COMPLETED)
        last = repositories.accepted("inv2", a_submission(overwrite=True))
        repositories.moved(last, S.COMPLETED)
        webhook = added(repositories)
        repositories.superseded.done(first.invocation_id, "kept")
        repositories.superseded.done(first.invocation_id, "again")
        (event,) = sent(repositories, webhook)
        assert event.type is EventType.ATTENTION
        assert event.data["attention"] == "kept"

    def test_the_end_of_a_batch_is_sent(self, repositories: Repositories) -> None:
        webhook = added(repositories, events=frozenset({EventType.BATCH_ENDED}))
        added(repositories, events=frozenset({EventType.FAILED}))
        other = added(repositories, workflow_names=frozenset({"other"}))
        batch_id, _ = batches.record(repositories, batches.a_batch(2))
        item = batches.begin(repositories)
        assert item is not None
        batches.end(repositories, batches.run(repositories, item))
        assert sent(repositories, webhook) == []
        repositories.batches.cancel(batch_id, SERVICE, LATER)
        (event,) = sent(repositories, webhook)
        assert event.subject == str(batch_id)
        assert event.data["size"] == 2  # noqa: PLR2004
        assert event.data["counts"] == {"completed": 1, "rejected": 1}
        assert sent(repositories, other) == []

    def test_webhooks_get_what_they_want(self, repositories: Repositories) -> None:
        wanted = {
            "all": added(repositories),
            "type": added(repositories, events=frozenset({EventType.COMPLETED})),
            "label": added(repositories, labels={"plate": "7"}),
            "other label": added(repositories, labels={"plate": "8"}),
            "workflow": added(repositories, workflow_names=frozenset({"w"})),
            "other workflow": added(repositories, workflow_names=frozenset({"x"})),
            "owner": added(repositories, owner="lab", private=True),
            "other owner": added(repositories, owner="other", private=True),
            "all owners": added(repositories, owner="other"),
        }
        submission = evolve(a_submission(), owner="lab", private=True)
        before = repositories.begun(submission)
        labels = {"plate": "7", "project": "p"}
        run = evolve(a_run(before, "inv1"), labels=labels)
        repositories.submissions.accept(
            before, before.accepted(run.invocation_id, NOON), run
        )
        got = {
            name: types(sent(repositories, webhook)) for name, webhook in wanted.items()
        }
        assert {name for name, events in got.items() if events} == {
            "all",
            "label",
            "workflow",
            "owner",
            "all owners",
        }
        assert sent(repositories, wanted["all"])[0].data["labels"] == labels

    def test_an_owner_sees_the_id_of_a_dataset_as_they_call_it(
        self, repositories: Repositories
    ) -> None:
        webhook = added(repositories, owner="lab", private=True)
        everyone = added(repositories)
        dataset = repositories.datasets.add(
            evolve(
                repositories.register("d9"),
                dataset_id=DatasetId("reads"),
                stored_id=DatasetId("reads"),
            ),
            LAB,
        )
        submission = evolve(a_submission(dataset.stored_id), owner="lab", private=True)
        opened = repositories.submissions.open(
            submission, deadline=HOUR, key_lifetime=DAY
        )
        assert opened is None
        run = a_run(submission, "inv1")
        after = submission.accepted(run.invocation_id, NOON)
        repositories.submissions.accept(submission, after, run)
        assert sent(repositories, webhook)[0].data["dataset_id"] == "reads"
        assert sent(repositories, everyone)[0].data["dataset_id"] == "lab::reads"

    def test_removed_and_disabled_ones_get_nothing(
        self, repositories: Repositories
    ) -> None:
        removed, disabled = added(repositories), added(repositories)
        run = repositories.accepted("inv1")
        (event,) = claim(repositories, disabled)
        settle(repositories, failed(event), gone=True)
        repositories.webhooks.remove(removed.webhook_id, SERVICE)
        repositories.moved(run, S.COMPLETED)
        assert types(sent(repositories, disabled)) == ["job.queued"]
        assert claim(repositories, removed) == []
        assert claim(repositories, disabled) == []
        assert repositories.webhooks.due() == []
        stored = repositories.webhooks.get(disabled.webhook_id, SERVICE)
        assert stored.state is WebhookState.DISABLED

    # --- delivering -----------------------------------------------------------------

    def test_events_of_a_job_are_claimed_in_their_order(
        self, repositories: Repositories
    ) -> None:
        webhook = added(repositories)
        run = repositories.accepted("inv1")
        repositories.accepted("inv2")
        repositories.moved(run, S.IN_PROGRESS, S.COMPLETED)
        first = claim(repositories, webhook)
        assert [(e.subject, e.type.value) for e in first] == [
            ("inv1", "job.queued"),
            ("inv2", "job.queued"),
        ]
        assert claim(repositories, webhook) == []
        settle(repositories, failed(first[0]), delivered(first[1]))
        assert claim(repositories, webhook) == [], "it waits for the one before"
        repositories.pass_time(HOUR + MINUTE)
        (again,) = claim(repositories, webhook)
        assert (again.delivery_id, again.attempts) == (first[0].delivery_id, 2)
        settle(repositories, delivered(again))
        (second,) = claim(repositories, webhook)
        assert second.type is EventType.IN_PROGRESS

    def test_no_two_claim_the_same(self, repositories: Repositories) -> None:
        webhook = added(repositories)
        for n in range(CROWD):
            repositories.accepted(f"inv{n}")
        claims = at_once(*[lambda: claim(repositories, webhook, 2)] * CROWD)
        ids = [
            e.delivery_id
            for each in claims
            if not isinstance(each, Exception)
            for e in each
        ]
        assert len(ids) == len(set(ids))
        while more := claim(repositories, webhook, 2):
            ids += [event.delivery_id for event in more]
        assert len(ids) == len(set(ids)) == CROWD

    def test_a_claim_comes_back_after_its_lease(
        self, repositories: Repositories
    ) -> None:
        webhook = added(repositories)
        repositories.accepted("inv1")
        (late,) = claim(repositories, webhook)
        assert repositories.webhooks.due() == []
        repositories.pass_time(MINUTE)
        assert [each.webhook_id for each in repositories.webhooks.due()] == [
            webhook.webhook_id
        ]
        (again,) = claim(repositories, webhook)
        settle(repositories, failed(late))
        (stored,) = sent(repositories, webhook)
        assert (stored.problem, stored.attempts) == (None, 2)
        settle(repositories, delivered(again))
        settle(repositories, failed(again))
        (stored,) = sent(repositories, webhook)
        assert stored.state is DeliveryState.DELIVERED
        assert (stored.status, stored.next_attempt_at) == (204, None)
        assert stored.ended_at is not None

    def test_what_was_not_attempted_is_due_at_once(
        self, repositories: Repositories
    ) -> None:
        webhook = added(repositories)
        repositories.accepted("inv1")
        (event,) = claim(repositories, webhook)
        settle(repositories, Attempt(delivery=event, begun=False))
        (again,) = claim(repositories, webhook)
        assert again.attempts == 1

    def test_a_receiver_in_trouble_is_left_alone(
        self, repositories: Repositories
    ) -> None:
        webhook = added(repositories)
        repositories.accepted("inv1")
        repositories.accepted("inv2")
        first, second = claim(repositories, webhook)
        settle(repositories, failed(first), Attempt(delivery=second, begun=False))
        assert repositories.webhooks.due() == []
        (stored,) = seen(repositories)
        assert stored.failures == 1
        repositories.pass_time(REST)
        (due,) = repositories.webhooks.due()
        assert due.failures == 1
        (event,) = claim(repositories, webhook)
        assert event.subject == "inv2"
        settle(repositories, delivered(event))
        (stored,) = seen(repositories)
        assert stored.failures == 0
        (problem,) = [e.problem for e in sent(repositories, webhook) if e.problem]
        assert problem.startswith("It said no.")

    def test_after_a_day_they_are_dead_and_can_be_replayed(
        self, repositories: Repositories
    ) -> None:
        webhook = added(repositories)
        for name in ("inv1", "inv2"):
            repositories.accepted(name)
        repositories.pass_time(RETRY_TIME - HOUR)
        repositories.accepted("inv3")
        first, *_ = claim(repositories, webhook, 1)
        settle(repositories, failed(first, MINUTE))
        repositories.pass_time(HOUR)
        assert sent(repositories, webhook)[0].state is DeliveryState.PENDING
        (again,) = claim(repositories, webhook, 1)
        settle(repositories, failed(again))
        states = [event.state.value for event in sent(repositories, webhook)]
        assert states == ["dead", "dead", "pending"]
        backlog = repositories.webhooks.backlog()
        assert (backlog.pending, backlog.delivered, backlog.dead) == (1, 0, 2)
        page = repositories.webhooks.deliveries(
            webhook.webhook_id, SERVICE, 9, states=[DeliveryState.DEAD]
        )
        assert len(page.items) == 2  # noqa: PLR2004
        replay = repositories.webhooks.replay
        assert replay(webhook.webhook_id, SERVICE, None) == 2  # noqa: PLR2004
        assert replay(webhook.webhook_id, SERVICE, None) == 0
        events = claim(repositories, webhook)
        assert [event.subject for event in events] == ["inv1", "inv2", "inv3"]
        settle(repositories, *map(delivered, events))
        backlog = repositories.webhooks.backlog()
        assert (backlog.pending, backlog.delivered, backlog.dead) == (0, 3, 2)
        ids = [events[0].delivery_id, DeliveryId("none"), DeliveryId("a\0b")]
        assert replay(webhook.webhook_id, SERVICE, ids) == 1

    def test_a_replay_enables_a_webhook(self, repositories: Repositories) -> None:
        webhook = added(repositories)
        repositories.accepted("inv1")
        (event,) = claim(repositories, webhook)
        settle(repositories, failed(event, timedelta(0)), gone=True)
        assert repositories.webhooks.replay(webhook.webhook_id, SERVICE, []) == 0
        assert len(repositories.webhooks.due()) == 1
        stored = repositories.webhooks.get(webhook.webhook_id, SERVICE)
        assert (stored.state, stored.failures) == (WebhookState.ACTIVE, 0)

    @pytest.mark.parametrize("named", [False, True])
    def test_a_replay_gives_what_waits_another_day(
        self, repositories: Repositories, *, named: bool
    ) -> None:
        webhook, other = added(repositories), added(repositories)
        for name in ("inv1", "inv2"):
            repositories.accepted(name)
        first, _ = claim(repositories, webhook)
        settle(repositories, failed(first, timedelta(0)), gone=True)
        repositories.pass_time(RETRY_TIME)
        ids = [first.delivery_id] if named else None
        assert repositories.webhooks.replay(webhook.webhook_id, SERVICE, ids) == 0
        for each in (webhook, other):
            event, *_ = claim(repositories, each, 1)
            settle(repositories, failed(event, HOUR))
        states = [event.state.value for event in sent(repositories, webhook)]
        assert states == ["pending", "pending"]
        states = [event.state.value for event in sent(repositories, other)]
        assert states == ["dead", "dead"]
        repositories.pass_time(RETRY_TIME)
        event, *_ = claim(repositories, webhook, 1)
        settle(repositories, failed(event))
        states = [event.state.value for event in sent(repositories, webhook)]
        assert states == ["dead", "dead"]

    def test_replays_and_attempts_do_not_wait_for_each_other(
        self, repositories: Repositories
    ) -> None:
        webhook = added(repositories)
        for n in range(CROWD):
            repositories.accepted(f"inv{n}")
        replay = repositories.webhooks.replay

        def attempt() -> None:
            for _ in range(CROWD):
                for event in claim(repositories, webhook, 2):
                    settle(repositories, failed(event, timedelta(0)))

        def again() -> None:
            for _ in range(CROWD):
                assert replay(webhook.webhook_id, SERVICE, None) == 0

        began = time.monotonic()
        results = at_once(*[attempt, again] * 2)
        assert results == [None] * 4
        assert time.monotonic() - began < 5, "PostgreSQL ends a deadlock after a second"  # noqa: PLR2004

    def test_tests_wait_for_nothing(self, repositories: Repositories) -> None:
        webhook = added(repositories, owner="lab", private=True)
        for _ in range(2):
            repositories.webhooks.send(
                Delivery(
                    delivery_id=DeliveryId(str(uuid4())),
                    webhook_id=webhook.webhook_id,
                    type=EventType.TEST,
                    subject=None,
                    data={"a": 1},
                    at=NOON,
                ),
                LAB,
            )
        assert len(claim(repositories, webhook)) == 2  # noqa: PLR2004

    def test_shows_how_many_are_pending(self, repositories: Repositories) -> None:
        assert repositories.webhooks.backlog().overdue == timedelta(0)
        webhook = added(repositories)
        repositories.accepted("inv1")
        repositories.pass_time(HOUR)
        backlog = repositories.webhooks.backlog()
        assert backlog.pending == 1
        assert about(HOUR, backlog.overdue)
        repositories.webhooks.remove(webhook.webhook_id, SERVICE)
        assert repositories.webhooks.backlog().pending == 0

    def test_lists_deliveries_page_by_page(self, repositories: Repositories) -> None:
        webhook = added(repositories)
        for n in range(5):
            repositories.accepted(f"inv{n}")

        def page(limit: int, after: Cursor | None) -> Any:
            return repositories.webhooks.deliveries(
                webhook.webhook_id, SERVICE, limit, after
            )

        pages = walk(page, 2)
        subjects = [[event.subject for event in each] for each in pages]
        assert subjects == [["inv4", "inv3"], ["inv2", "inv1"], ["inv0"]]
        for id_ in ("", "x", "-1", "1" * 30 + "x"):
            with pytest.raises(InvalidValue):
                page(2, Cursor(NOON, id_))

    def test_old_ones_are_removed(self, repositories: Repositories) -> None:
        webhook, removed = added(repositories), added(repositories)
        for n in range(3):
            repositories.accepted(f"inv{n}")
        settle(repositories, *map(delivered, claim(repositories, webhook, 2)))
        repositories.pass_time(HOUR)
        assert repositories.webhooks.prune(DAY) == 0
        assert repositories.webhooks.prune(MINUTE, limit=1) == 1
        assert repositories.webhooks.prune(MINUTE) == 1
        (left,) = sent(repositories, webhook)
        assert left.state is DeliveryState.PENDING
        repositories.webhooks.remove(removed.webhook_id, SERVICE)
        assert repositories.webhooks.prune(DAY) == 3  # noqa: PLR2004
        assert repositories.webhooks.prune(DAY) == 0
        assert len(sent(repositories, webhook)) == 1
        assert repositories.webhooks.backlog().delivered == 2  # noqa: PLR2004
