"""Make webhooks, and deliver events to them.

Rule of the file: deliveries are claimed for a time, sent and settled. A process that
dies in between has them sent again: at least once.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID, uuid4

from attrs import frozen

from galaxy_jobs.domain.errors import ReceiverNotAllowed, ReceiverUnavailable
from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.labels import Labels
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.model.webhook import (
    MAX_REST,
    MAX_RETRY,
    MAX_WEBHOOKS,
    SECRET_BYTES,
    Delivery,
    DeliveryId,
    EventType,
    Webhook,
    WebhookId,
    check_wanted,
    new_secret,
    rest_after,
)
from galaxy_jobs.domain.ports import Attempt, Clock, EventSender, WebhookRepository
from galaxy_jobs.domain.ports.webhooks import SendEvent
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record


BATCH_SIZE = 50
"""Deliveries that are claimed at once."""

BATCH_TIME = timedelta(seconds=1)
"""After this, no other delivery of a batch is begun."""

LEASE = timedelta(seconds=60)
"""For how long claimed deliveries belong to one process."""


@frozen(kw_only=True)
class ManageWebhooks:
    """Makes, tests and removes webhooks.

    Attributes:
        entropy: Returns so many random bytes, fit for secrets.
    """

    webhooks: WebhookRepository
    sender: EventSender
    clock: Clock
    record: Recorder = no_record
    new_id: Callable[[], UUID] = uuid4
    entropy: Callable[[int], bytes] = secrets.token_bytes

    def add(
        self,
        viewer: Viewer,
        url: str,
        *,
        events: Collection[EventType] = (),
        labels: Labels | None = None,
        workflow_names: Collection[str] = (),
    ) -> Webhook:
        """Store a new webhook, and return it with its secret.

        Args:
            viewer: Who makes it: it gets events of the jobs that they see.
            url: Where events are sent.
            events: See :class:`Webhook`.
            labels: See :class:`Webhook`.
            workflow_names: See :class:`Webhook`.

        Raises:
            InvalidValue: The address, a label or a name is malformed or too long, an
                event is repeated, or there are too many names.
            ReceiverNotAllowed: Events may not be sent there.
            QuotaExceeded: The owner has too many webhooks.
        """
        check_wanted(events, workflow_names)
        self.sender.check(url)
        webhook = Webhook(
            webhook_id=WebhookId(str(self.new_id())),
            url=url,
            events=frozenset(events),
            labels=labels or {},
            workflow_names=frozenset(workflow_names),
            secrets=(self._secret(),),
            owner=viewer.owner,
            private=not viewer.sees_all,
            created_at=self.clock(),
        )
        self.webhooks.add(webhook, most=MAX_WEBHOOKS)
        self.record(viewer, Action.CREATE, Kind.WEBHOOK, webhook.webhook_id)
        return webhook

    def rotate(self, webhook_id: WebhookId, viewer: Viewer) -> Webhook:
        """Add a new secret, and return the webhook with it.

        Events are signed with the one before as well, until the next rotation.

        Raises:
            WebhookNotFound: There is none.
        """
        secret = self._secret()
        changed = self.webhooks.replace_secrets(
            webhook_id, viewer, lambda webhook: webhook.rotated(secret)
        )
        self.record(viewer, Action.ROTATE, Kind.WEBHOOK, webhook_id)
        return changed

    def remove(self, webhook_id: WebhookId, viewer: Viewer) -> None:
        """Remove a webhook; nothing is sent to it any more.

        Raises:
            WebhookNotFound: There is none.
        """
        self.webhooks.remove(webhook_id, viewer)
        self.record(viewer, Action.DELETE, Kind.WEBHOOK, webhook_id)

    def test(self, webhook_id: WebhookId, viewer: Viewer) -> Delivery:
        """Have a test event sent, and return its delivery.

        Raises:
            WebhookNotFound: There is none.
        """
        delivery = Delivery(
            delivery_id=DeliveryId(str(self.new_id())),
            webhook_id=webhook_id,
            type=EventType.TEST,
            subject=None,
            data={"webhook_id": webhook_id},
            at=self.clock(),
        )
        self.webhooks.send(delivery, viewer)
        return delivery

    def replay(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        delivery_ids: Collection[DeliveryId] | None = None,
    ) -> int:
        """Have deliveries sent again, and return their number.

        They are attempted for a day from now on, and so is whatever is pending.

        Raises:
            WebhookNotFound: There is none.
        """
        count = self.webhooks.replay(webhook_id, viewer, delivery_ids)
        self.record(viewer, Action.REPLAY, Kind.WEBHOOK, webhook_id)
        return count

    def _secret(self) -> str:
        return new_secret(self.entropy(SECRET_BYTES))


@frozen(kw_only=True)
class DeliverEvents:
    """Delivers events of a webhook, a batch at each call.

    Attributes:
        jitter: Returns a number from 0 to 1, at random.
    """

    webhooks: WebhookRepository
    sender: EventSender
    clock: Clock
    jitter: Callable[[], float] = random.random

    def due(self) -> Sequence[Webhook]:
        """Return the webhooks that there is something to deliver to.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        return self.webhooks.due()

    def __call__(self, webhook: Webhook) -> bool:
        """Deliver a batch, one event after the other; return whether to go on at once.

        After an attempt that failed, the others are left for later: a receiver that is
        down is asked again soon, with another event.

        Raises:
            StoreUnavailable: The database could not be reached. What was delivered will
                be sent again.
        """
        limit = 1 if webhook.failures else BATCH_SIZE
        claimed = self.webhooks.claim(webhook.webhook_id, limit=limit, lease=LEASE)
        if not claimed:
            return False
        attempts: list[Attempt] = []
        until = self.clock() + BATCH_TIME
        with self.sender.session(webhook.url) as send:
            for delivery in claimed:
                over = bool(attempts) and (attempts[-1].failed or self.clock() > until)
                if over:
                    break
                attempts.append(self._attempt(send, webhook, delivery))
        last = attempts[-1]
        left = claimed[len(attempts) :]
        self.webhooks.settle(
            webhook.webhook_id,
            [*attempts, *(Attempt(delivery=each, begun=False) for each in left)],
            rest=rest_after(webhook.failures + 1, MAX_REST, self.jitter()),
            gone=last.status == HTTPStatus.GONE,
        )
        return not last.failed and not webhook.failures

    def _attempt(
        self, send: SendEvent, webhook: Webhook, delivery: Delivery
    ) -> Attempt:
        body = delivery.body()
        status = None
        try:
            status = send(body, delivery.headers(body, webhook.secrets, self.clock()))
        except (ReceiverNotAllowed, ReceiverUnavailable) as error:
            problem = str(error)
        else:
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return Attempt(delivery=delivery, status=status)
            problem = f"The answer was {status}; expected one from 200 to 299."
        return Attempt(
            delivery=delivery,
            status=status,
            problem=problem,
            retry_in=rest_after(delivery.attempts, MAX_RETRY, self.jitter()),
        )
