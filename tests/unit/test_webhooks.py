"""Webhooks: made, signed so that public packages verify it, and delivered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from galaxy_jobs.adapters.event_sender import HttpEventSender
from galaxy_jobs.adapters.testing.memory import (
    MemoryAuditLog,
    MemoryWebhooks,
)
from galaxy_jobs.adapters.threads import DeliveryThreads
from galaxy_jobs.domain import WebhookPolicy
from galaxy_jobs.domain.errors import InvalidValue, QuotaExceeded, ReceiverNotAllowed
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.model.webhook import (
    MAX_RETRY,
    MAX_WEBHOOKS,
    MAX_WORKFLOW_NAMES,
    MIN_RETRY,
    RETRY_TIME,
    Delivery,
    DeliveryState,
    EventType,
    Webhook,
    WebhookState,
    rest_after,
)
from galaxy_jobs.domain.use_cases import DeliverEvents, ManageWebhooks, Record
from tests.support.receiver import Receiver, raw, receiver
from tests.support.world import REQUEST, World


INSIDE = WebhookPolicy(allow_http=True, allowed_networks=["127.0.0.0/8"])


class Sending:
    """Everything that is needed to deliver events of simulated jobs."""

    def __init__(self) -> None:
        self.world = World.made()
        self.clock = self.world.clock
        self.webhooks = MemoryWebhooks(self.world.store)
        self.sender = HttpEventSender(INSIDE, timeout=20)
        self.audit = MemoryAuditLog(self.world.store)
        self.manage = ManageWebhooks(
            webhooks=self.webhooks,
            sender=self.sender,
            clock=self.clock,
            record=Record(self.audit, lambda *_: pytest.fail("not recorded")),
        )
        self.deliver = DeliverEvents(
            webhooks=self.webhooks,
            sender=self.sender,
            clock=self.clock,
            jitter=lambda: 1.0,
        )

    def add(self, target: Receiver, **wanted: Any) -> Webhook:
        return self.manage.add(SERVICE, target.url, **wanted)

    def be_now(self) -> None:
        """Let it be the time by which a receiver judges that of an attempt."""
        self.clock.now = datetime.now(UTC)

    def all_due(self) -> None:
        """Deliver whatever is due."""
        while due := self.deliver.due():
            for webhook in due:
                self.deliver(webhook)

    def stored(self, webhook: Webhook) -> list[Delivery]:
        page = self.webhooks.deliveries(webhook.webhook_id, SERVICE, 200)
        return list(page.items)[::-1]


@pytest.fixture
def sending() -> Sending:
    return Sending()


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def test_public_packages_read_and_verify_what_is_sent(
    sending: Sending, target: Receiver
) -> None:
    webhook = sending.add(target)
    job = sending.world.submit(REQUEST, SERVICE).invocation_id
    sending.world.settle()
    sending.be_now()
    sending.all_due()
    events = [each.verified(*webhook.secrets) for each in target.received]
    types = [event["type"] for event in events]
    assert (types[0], types[-1]) == ("job.queued", "job.completed")
    assert {event["subject"] for event in events} == {job}
    assert {event["source"] for event in events} == {"urn:galaxy-jobs"}
    sequence = [event["sequence"] for event in events]
    assert sequence == sorted(set(sequence))
    assert events[-1]["data"]["state"] == "completed"
    assert events[-1]["data"]["dataset_id"] == REQUEST.dataset_id
    states = {delivery.state for delivery in sending.stored(webhook)}
    assert states == {DeliveryState.DELIVERED}


def test_both_secrets_sign_until_the_next_rotation(
    sending: Sending, target: Receiver
) -> None:
    sending.be_now()
    first = sending.add(target)
    second = sending.manage.rotate(first.webhook_id, SERVICE)
    sending.manage.test(first.webhook_id, SERVICE)
    sending.all_due()
    old, new = first.secrets[0], second.secrets[0]
    assert old != new
    event = target.received[-1].verified(old, new)
    assert event["type"] == "webhook.test"
    sending.manage.rotate(first.webhook_id, SERVICE)
    sending.manage.test(first.webhook_id, SERVICE)
    sending.all_due()
    target.received[-1].verified(new)
    with pytest.raises(Exception, match="No matching signature"):
        target.received[-1].verified(old)
    assert new not in repr(second)


def test_a_failed_attempt_is_repeated_with_the_same_id(
    sending: Sending, target: Receiver
) -> None:
    target.answer = raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    webhook = sending.add(target)
    sending.world.submit(REQUEST, SERVICE)
    sending.world.settle()
    sending.all_due()
    assert len(target.received) == 1, "the next of a job waits for it"
    (first, *_) = sending.stored(webhook)
    assert first.problem == "The answer was 500; expected one from 200 to 299."
    sending.clock.advance(MIN_RETRY - timedelta(seconds=1))
    sending.all_due()
    assert len(target.received) == 1
    sending.clock.advance(timedelta(seconds=1))
    target.answer = None
    sending.all_due()
    ids = [each.headers["webhook-id"] for each in target.received]
    assert ids[0] == ids[1]
    assert len(ids) == len(set(ids)) + 1 == len(sending.stored(webhook)) + 1


def test_after_a_day_it_is_dead_and_a_replay_sends_it_again(
    sending: Sending, target: Receiver
) -> None:
    target.answer = raw("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    webhook = sending.add(target)
    sending.manage.test(webhook.webhook_id, SERVICE)
    end = sending.clock.now + RETRY_TIME
    while sending.clock.now < end:
        assert sending.stored(webhook)[0].state is DeliveryState.PENDING
        sending.all_due()
        sending.clock.advance(timedelta(minutes=5))
    attempts = len(target.received)
    assert 24 < attempts < 40
    sending.clock.advance(MAX_RETRY)
    sending.all_due()
    assert sending.stored(webhook)[0].state is DeliveryState.DEAD
    target.answer = None
    assert sending.manage.replay(webhook.webhook_id, SERVICE) == 1
    sending.all_due()
    assert sending.stored(webhook)[0].state is DeliveryState.DELIVERED


def test_a_receiver_that_is_gone_is_left_alone(
    sending: Sending, target: Receiver
) -> None:
    target.answer = raw("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
    webhook = sending.add(target)
    sending.manage.test(webhook.webhook_id, SERVICE)
    sending.all_due()
    sending.clock.advance(RETRY_TIME)
    sending.all_due()
    assert len(target.received) == 1
    stored = sending.webhooks.get(webhook.webhook_id, SERVICE)
    assert stored.state is WebhookState.DISABLED


def test_a_receiver_in_trouble_is_asked_with_one_event_at_a_time(
    sending: Sending, target: Receiver
) -> None:
    webhook = sending.add(target)
    for _ in range(20):
        sending.manage.test(webhook.webhook_id, SERVICE)
    target.answer = raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    for n in range(4):
        sending.all_due()
        assert len(target.received) == n + 1
        sending.clock.advance(timedelta(minutes=1))
    target.answer = None
    sending.all_due()
    states = {delivery.state for delivery in sending.stored(webhook)}
    assert states == {DeliveryState.DELIVERED}


def test_a_batch_ends_after_a_second(sending: Sending, target: Receiver) -> None:
    webhook = sending.add(target)
    for _ in range(5):
        sending.manage.test(webhook.webhook_id, SERVICE)

    def slow(handler: Any) -> None:
        sending.clock.advance(timedelta(seconds=9))
        raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(handler)

    target.answer = slow
    assert sending.deliver(webhook)
    states = [delivery.state.value for delivery in sending.stored(webhook)]
    assert states.count("delivered") == 1
    assert sending.stored(webhook)[-1].attempts == 0


def test_a_receiver_that_hangs_holds_up_no_other(sending: Sending) -> None:
    ended = threading.Event()
    with receiver(lambda _: ended.wait(20)) as hanging, receiver() as target:
        for webhook in [sending.add(hanging) for _ in range(3)] + [sending.add(target)]:
            for _ in range(20):
                sending.manage.test(webhook.webhook_id, SERVICE)
        threads = DeliveryThreads(sending.deliver.due, sending.deliver)
        began = time.monotonic()
        threads.run(until=began + 4)
        assert len(target.received) == 20
        assert len(hanging.received) == 3
        ended.set()


def test_it_stops_once_nothing_is_due(sending: Sending, target: Receiver) -> None:
    webhook = sending.add(target)
    for _ in range(120):
        sending.manage.test(webhook.webhook_id, SERVICE)
    DeliveryThreads(sending.deliver.due, sending.deliver).run(until_idle=True)
    assert len(target.received) == 120


def test_only_allowed_addresses_are_stored(sending: Sending) -> None:
    with pytest.raises(ReceiverNotAllowed):
        sending.manage.add(SERVICE, "https://10.0.0.1/")
    assert sending.webhooks.page(SERVICE, 1).items == ()


@pytest.mark.parametrize("ip", ["fec0::1", "feff:ffff::1"])
def test_addresses_of_a_site_are_not_public(ip: str) -> None:
    assert not WebhookPolicy().allows(ip)
    assert WebhookPolicy(allowed_networks=["fec0::/10"]).allows(ip)


def test_the_workflows_that_one_names_are_limited(
    sending: Sending, target: Receiver
) -> None:
    names = [f"w{n}" for n in range(MAX_WORKFLOW_NAMES)]
    sending.add(target, workflow_names=names)
    with pytest.raises(InvalidValue, match=r"workflow_names has 101 .* at most 100"):
        sending.add(target, workflow_names=[*names, "other"])
    assert len(sending.webhooks.page(SERVICE, 9).items) == 1


def test_each_event_is_named_once(sending: Sending, target: Receiver) -> None:
    sending.add(target, events=list(EventType))
    with pytest.raises(InvalidValue, match=r"'job\.failed' 2 times; expected .* once"):
        sending.add(target, events=[*EventType, EventType.FAILED])
    assert len(sending.webhooks.page(SERVICE, 9).items) == 1


def test_there_is_a_limit(sending: Sending, target: Receiver) -> None:
    for _ in range(MAX_WEBHOOKS):
        sending.add(target)
    with pytest.raises(QuotaExceeded):
        sending.add(target)


def test_who_did_it_is_recorded(sending: Sending, target: Receiver) -> None:
    webhook = sending.add(target, events=[EventType.FAILED])
    sending.manage.rotate(webhook.webhook_id, SERVICE)
    sending.manage.replay(webhook.webhook_id, SERVICE)
    sending.manage.remove(webhook.webhook_id, SERVICE)
    entries = list(sending.audit.entries())[::-1]
    actions = [entry.action.value for entry in entries]
    assert actions == ["create", "rotate", "replay", "delete"]
    assert {entry.object_id for entry in entries} == {webhook.webhook_id}
    assert {entry.kind.value for entry in entries} == {"webhook"}


def test_times_between_attempts_grow_to_an_hour() -> None:
    times = [rest_after(n, MAX_RETRY, 1) for n in (1, 2, 3, 10, 11, 500)]
    assert times[:3] == [MIN_RETRY, 2 * MIN_RETRY, 4 * MIN_RETRY]
    assert times[3] < MAX_RETRY
    assert times[4:] == [MAX_RETRY, MAX_RETRY]
    assert rest_after(1, MAX_RETRY, 0) == MIN_RETRY / 2
