"""The ports to the webhooks, and to their receivers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol, TypeAlias

from attrs import frozen

from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.model.webhook import (
    Delivery,
    DeliveryId,
    DeliveryState,
    Webhook,
    WebhookId,
)
from galaxy_jobs.domain.ports.paging import Cursor, Page


@frozen(kw_only=True)
class Attempt:
    """The outcome of an attempt to deliver, or of none.

    Attributes:
        delivery: As it was claimed.
        status: The status of the answer; None: there was none.
        problem: Why it failed; None: it was delivered.
        retry_in: The time until the next attempt, if it failed.
        begun: Whether it was attempted. If not, it is due again at once.
    """

    delivery: Delivery
    status: int | None = None
    problem: str | None = None
    retry_in: timedelta = timedelta(0)
    begun: bool = True

    @property
    def failed(self) -> bool:
        """Whether it was attempted, and not delivered."""
        return self.begun and self.problem is not None


@frozen(kw_only=True)
class DeliveryBacklog:
    """The deliveries of all webhooks.

    Attributes:
        pending: The number of those that are pending.
        overdue: For how long the longest due of them has been due.
        delivered: The number of those that were ever delivered.
        dead: The number of those that were ever given up.
    """

    pending: int = 0
    overdue: timedelta = timedelta(0)
    delivered: int = 0
    dead: int = 0


class WebhookRepository(Protocol):
    """The webhooks, and the deliveries to them.

    Whatever stores a change of a job stores its deliveries in the same transaction:
    those that :func:`~galaxy_jobs.domain.model.webhook.deliveries` returns for the
    webhooks there are. Their numbers grow in the order in which the job changed.
    """

    @abstractmethod
    def add(self, webhook: Webhook, *, most: int) -> None:
        """Store a new webhook.

        Args:
            webhook: Not stored yet.
            most: The number of webhooks that its owner may have, with it.

        Raises:
            QuotaExceeded: Its owner has too many; nothing was stored.
            InvalidValue: A text in it cannot be stored.
        """

    @abstractmethod
    def get(self, webhook_id: WebhookId, viewer: Viewer) -> Webhook:
        """Return a webhook.

        Raises:
            WebhookNotFound: There is none that the viewer sees.
        """

    @abstractmethod
    def page(
        self, viewer: Viewer, limit: int, after: Cursor | None = None
    ) -> Page[Webhook]:
        """Return at most *limit* webhooks after a place, newest first.

        Raises:
            InvalidValue: The place is none of this list.
        """

    @abstractmethod
    def replace_secrets(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        change: Callable[[Webhook], Webhook],
    ) -> Webhook:
        """Store the secrets of a changed webhook, and return it.

        Raises:
            WebhookNotFound: There is none that the viewer sees.
        """

    @abstractmethod
    def remove(self, webhook_id: WebhookId, viewer: Viewer) -> None:
        """Remove a webhook and its secrets; nothing is sent to it any more.

        Raises:
            WebhookNotFound: There is none that the viewer sees.
        """

    @abstractmethod
    def send(self, delivery: Delivery, viewer: Viewer) -> None:
        """Store a delivery that was asked for, due at once.

        Raises:
            WebhookNotFound: There is no such webhook that the viewer sees.
        """

    @abstractmethod
    def deliveries(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
        *,
        states: Collection[DeliveryState] = (),
    ) -> Page[Delivery]:
        """Return deliveries of a webhook, newest first.

        The cursor has the number of a delivery for its id.

        Args:
            webhook_id: The webhook.
            viewer: Who sees it.
            limit: The number of deliveries at most.
            after: Where the page begins; None: at the newest.
            states: Only those in one of these states; empty: in any.

        Raises:
            WebhookNotFound: There is no such webhook that the viewer sees.
            InvalidValue: The cursor is malformed.
        """

    @abstractmethod
    def replay(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        delivery_ids: Collection[DeliveryId] | None,
    ) -> int:
        """Have deliveries sent again, as if they were new; make the webhook active.

        What waits to be sent to it is as if it were new, too.

        Args:
            webhook_id: The webhook.
            viewer: Who sees it.
            delivery_ids: Those of its deliveries that have ended; None: all that are
                dead.

        Returns:
            The number of deliveries that are sent again.

        Raises:
            WebhookNotFound: There is no such webhook that the viewer sees.
        """

    @abstractmethod
    def due(self) -> Sequence[Webhook]:
        """Return active webhooks with a delivery that may be due.

        Those whose receiver is left alone for a time are left out.
        """

    @abstractmethod
    def claim(
        self, webhook_id: WebhookId, *, limit: int, lease: timedelta
    ) -> Sequence[Delivery]:
        """Claim deliveries of a webhook that are due, the longest due first.

        Of each job at most one: that with the lowest number of those pending. None is
        claimed again before its lease is over, or it is settled. A claim is an attempt.
        """

    @abstractmethod
    def settle(
        self,
        webhook_id: WebhookId,
        attempts: Sequence[Attempt],
        *,
        rest: timedelta,
        gone: bool = False,
    ) -> None:
        """Store the outcomes of attempts.

        That of a delivery which was claimed again meanwhile, or has ended, is ignored.
        If one failed, all deliveries of the webhook that are due and were pending for
        longer than :data:`RETRY_TIME` are dead.

        Args:
            webhook_id: The webhook.
            attempts: Of claimed deliveries.
            rest: For how long the receiver is left alone, if the last attempt failed.
            gone: Whether the webhook is disabled: nothing more is sent to it.
        """

    @abstractmethod
    def prune(self, age: timedelta, *, limit: int = 10_000) -> int:
        """Remove deliveries that ended longer than *age* ago, and removed webhooks'.

        Args:
            age: By the store's own clock.
            limit: The most to remove at once.

        Returns:
            How many were removed.
        """

    @abstractmethod
    def backlog(self) -> DeliveryBacklog:
        """Return how many deliveries are pending, and were delivered or given up."""


SendEvent: TypeAlias = Callable[[bytes, Mapping[str, str]], int]
"""Sends a body with headers, and returns the status of the answer.

Raises:
    ReceiverUnavailable: There was no answer in time, or none that can be read.
    ReceiverNotAllowed: The name of the receiver resolves to an address that is not
        allowed.
"""


class EventSender(Protocol):
    """Sends events to receivers, each attempt within :data:`TRY_TIMEOUT`.

    Every address that a name resolves to is checked, and a connection is made to one
    that was checked. Redirects are not followed.
    """

    @abstractmethod
    def check(self, url: str) -> None:
        """Check whether events may be sent to an address.

        Raises:
            InvalidValue: It is malformed.
            ReceiverNotAllowed: It may not be, or its name resolves to an address that
                is not allowed. A name that cannot be resolved is no error.
        """

    @abstractmethod
    def session(self, url: str) -> AbstractContextManager[SendEvent]:
        """Return a function that sends events to an address during the block."""
