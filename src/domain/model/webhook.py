"""Webhooks: addresses that events of jobs are sent to, signed.

Rule 1: every fact about which event a webhook gets stands in :meth:`Webhook.takes`.
Rule 2: an event is sent as it was when it happened. Its body is a CloudEvent 1.0 in
structured JSON, signed as Standard Webhooks says.

Events of one job are sent in the order of their numbers: the next one is not sent
before the earlier one is delivered or dead. An event may be sent more than once, always
with the same ``webhook-id``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, NewType, TypeAlias
from urllib.parse import urlsplit

from attrs import asdict, evolve, field, frozen

from galaxy_jobs.domain.errors import InvalidValue, ReceiverNotAllowed, quoted
from galaxy_jobs.domain.model.batch import Batch
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.labels import Labels, check_labels
from galaxy_jobs.domain.model.values import (
    Json,
    aware,
    check_length,
)
from galaxy_jobs.domain.model.viewer import Viewer


WebhookId = NewType("WebhookId", str)
"""The id of a webhook, a UUID."""

DeliveryId = NewType("DeliveryId", str)
"""The id of a delivery, a UUID: the ``webhook-id`` of each attempt."""

Address: TypeAlias = IPv4Address | IPv6Address

ADDRESS_LENGTH = 2048
"""The longest address of a webhook, in characters."""

SECRET_BYTES = 32
"""The number of random bytes of a secret."""

ANSWER_SIZE = 65_536
"""Bytes of an answer that are read, its headers included."""

TRY_TIMEOUT = timedelta(seconds=10)
"""The time of one attempt, from the look-up of the name to the end of the answer."""

MIN_RETRY, MAX_RETRY = timedelta(seconds=5), timedelta(hours=1)
"""The shortest and the longest time until the next attempt, without jitter."""

MAX_REST = timedelta(minutes=1)
"""The longest time for which a receiver is left alone after attempts that failed."""

RETRY_TIME = timedelta(days=1)
"""For how long a delivery is attempted."""

MAX_WEBHOOKS = 50
"""The number of webhooks that an owner may have."""

MAX_WORKFLOW_NAMES = 100
"""The number of workflows that a new webhook may name."""

MAX_KEEP_DAYS = 365
"""The longest time for which deliveries that have ended can be kept."""

SOURCE = "urn:galaxy-jobs"
"""The ``source`` of each event."""

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
"""The type of the body of a delivery."""


class EventType(Enum):
    """A type of event. The values are stored, sent and typed."""

    QUEUED = "job.queued"
    IN_PROGRESS = "job.in_progress"
    CANCELLING = "job.cancelling"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    ATTENTION = "job.attention"  #: it got a note for people, or another one
    BATCH_ENDED = "batch.ended"  #: the last item of a batch has ended
    TEST = "webhook.test"  #: asked for; every webhook gets it

    @classmethod
    def of(cls, state: InvocationState) -> EventType:
        """Return the event of a job that has come into a state."""
        return cls(f"job.{state.value}")


class WebhookState(Enum):
    """The state of a webhook. The values are stored and shown."""

    ACTIVE = "active"
    DISABLED = "disabled"  #: its receiver is gone (410); a replay makes it active


class DeliveryState(Enum):
    """The state of a delivery. The values are stored and shown."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  #: no attempt succeeded in :data:`RETRY_TIME`


def new_secret(entropy: bytes) -> str:
    """Return the text of a new secret.

    Args:
        entropy: :data:`SECRET_BYTES` random bytes, fit for secrets.
    """
    assert len(entropy) == SECRET_BYTES
    return f"whsec_{base64.b64encode(entropy).decode()}"


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        raise InvalidValue(
            f"allowed_networks has {text!r}; expected a network such as '10.0.0.0/8'."
        ) from None


def _networks(_: object, __: object, texts: list[str]) -> None:
    for text in texts:
        _network(text)


def _days(_: object, __: object, days: float) -> None:
    if not 0 < days <= MAX_KEEP_DAYS:
        raise InvalidValue(
            f"keep_days must be above 0 and at most {MAX_KEEP_DAYS}, got {days:g}."
        )


@frozen(kw_only=True)
class WebhookPolicy:
    """Where events may be sent, and for how long deliveries are kept.

    Attributes:
        allow_http: Whether addresses may begin with ``http``, so that events travel
            in the clear.
        allowed_networks: Networks that are not public, such as ``10.0.0.0/8``, whose
            addresses are allowed.
        keep_days: Days for which deliveries that are delivered or dead are kept.

    Raises:
        InvalidValue: A network is malformed, or the number is out of range.
    """

    allow_http: bool = False
    allowed_networks: list[str] = field(factory=list, validator=_networks)
    keep_days: float = field(default=7, validator=_days)

    def allows(self, address: str) -> bool:
        """Return whether a receiver may have an address that its name resolves to."""
        ip = _embedded(ip_address(address.partition("%")[0]))
        if any(ip in _network(text) for text in self.allowed_networks):
            return True
        # To Python, the addresses of a site (fec0::/10) are global.
        site_local = isinstance(ip, IPv6Address) and ip.is_site_local
        return (
            ip.is_global
            and not ip.is_multicast
            and not ip.is_reserved
            and not site_local
        )

    def check(self, url: str) -> None:
        """Check an address, as far as that is possible without a look-up.

        Raises:
            InvalidValue: It is malformed, or too long.
            ReceiverNotAllowed: Its scheme or host is not allowed.
        """
        check_length("url", url, ADDRESS_LENGTH)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        printable = url.isascii() and url.isprintable() and " " not in url
        if (
            not host
            or port == 0
            or parts.scheme not in {"http", "https"}
            or not printable
            or "\\" in url
        ):
            raise InvalidValue(
                f"url is {quoted(url)}; expected an address such as "
                "'https://example.org/events'."
            )
        if parts.username is not None or parts.fragment:
            raise InvalidValue("url has a user name, a password or a fragment.")
        if parts.scheme == "http" and not self.allow_http:
            raise ReceiverNotAllowed("The address begins with http; expected https.")
        try:
            allowed = self.allows(host)
        except ValueError:
            return  # a name
        if not allowed:
            raise ReceiverNotAllowed(f"{host} is not a public address.")


_NAT64 = ip_network("64:ff9b::/96")


def _embedded(ip: Address) -> Address:
    """Return the IPv4 address that packets to an IPv6 address reach, if any."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64 or ip.packed[:12] == bytes(12):
        return IPv4Address(ip.packed[12:])
    return ip.ipv4_mapped or ip.sixtofour or ip


def check_wanted(
    events: Collection[EventType], workflow_names: Collection[str]
) -> None:
    """Check what a new webhook is to get; stored ones may name more workflows.

    Args:
        events: As they were asked for.
        workflow_names: As they were asked for.

    Raises:
        InvalidValue: An event is repeated, or there are more names than
            :data:`MAX_WORKFLOW_NAMES`.
    """
    if len(set(events)) < len(events):
        counts = Counter(event.value for event in events)
        (event, count), *_ = counts.most_common(1)
        raise InvalidValue(
            f"events has {event!r} {count} times; expected each event once."
        )
    if len(workflow_names) > MAX_WORKFLOW_NAMES:
        raise InvalidValue(
            f"workflow_names has {len(workflow_names)} members; expected at most "
            f"{MAX_WORKFLOW_NAMES}."
        )


@frozen(kw_only=True)
class Webhook:
    """An address that events are sent to.

    Attributes:
        webhook_id: Its id.
        url: The address.
        events: The types of the events that it gets; empty: all.
        labels: Only events of jobs with all of these labels.
        workflow_names: Only events of jobs of these workflows; empty: of all.
        secrets: The first one is the newest. Each event is signed with all.
        owner: The owner that made it, or None.
        private: Whether the owner sees their own objects only.
        state: Its state.
        failures: The attempts that have failed since the last that succeeded.
        created_at: When it was made.

    Raises:
        InvalidValue: A label or name is too long.
    """

    webhook_id: WebhookId
    url: str
    events: frozenset[EventType] = frozenset()
    labels: Labels = field(factory=dict, hash=False)
    workflow_names: frozenset[str] = frozenset()
    secrets: tuple[str, ...] = field(repr=False)
    owner: str | None = None
    private: bool = False
    state: WebhookState = WebhookState.ACTIVE
    failures: int = 0
    created_at: datetime = field(validator=aware)

    def __attrs_post_init__(self) -> None:
        check_labels(self.labels)
        for name in self.workflow_names:
            check_length("workflow_name", name)

    @property
    def viewer(self) -> Viewer:
        """The viewer that made it: it gets events of the jobs that they see."""
        return Viewer(owner=self.owner, sees_all=not self.private)

    def takes(self, type_: EventType, job: Invocation | Batch) -> bool:
        """Return whether it gets an event of a job, or of a batch."""
        return (
            self.state is WebhookState.ACTIVE
            and (not self.events or type_ in self.events)
            and (not self.workflow_names or job.workflow_name in self.workflow_names)
            and self.labels.items() <= job.labels.items()
            and self.viewer.sees(job.owner)
        )

    def rotated(self, secret: str) -> Webhook:
        """Return it with a new secret; the one before stays valid until the next."""
        return evolve(self, secrets=(secret, *self.secrets[:1]))


@frozen(kw_only=True)
class Delivery:
    """An event that is sent to a webhook.

    Attributes:
        delivery_id: Its id.
        webhook_id: The webhook.
        number: Grows with the events of a job; 0 before it is stored.
        type: The type of the event.
        subject: The id of the job or batch; None for a test.
        data: What the event says, as JSON.
        at: When it happened.
        state: Its state.
        attempts: The number of attempts that were begun.
        next_attempt_at: When it is sent next, if no earlier event of the job is
            pending; None once it has ended.
        ended_at: When it was delivered or given up; None before.
        status: The status of the last answer, or None.
        problem: Why the last attempt failed, or None.
    """

    delivery_id: DeliveryId
    webhook_id: WebhookId
    number: int = 0
    type: EventType
    subject: str | None
    data: Mapping[str, Json] = field(hash=False)
    at: datetime = field(validator=aware)
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    next_attempt_at: datetime | None = field(default=None, validator=aware)
    ended_at: datetime | None = field(default=None, validator=aware)
    status: int | None = None
    problem: str | None = None

    def body(self) -> bytes:
        """Return the event as it is sent."""
        event: dict[str, Json] = {
            "specversion": "1.0",
            "id": self.delivery_id,
            "source": SOURCE,
            "type": self.type.value,
            "time": _time(self.at),
            "datacontenttype": "application/json",
            # The extension of that name: a text whose order is that of the numbers.
            "sequence": f"{self.number:019}",
            "data": self.data,
        }
        if self.subject is not None:
            event["subject"] = self.subject
        return json.dumps(event, ensure_ascii=False).encode(errors="replace")

    def headers(
        self, body: bytes, secrets: Iterable[str], now: datetime
    ) -> dict[str, str]:
        """Return the headers of an attempt.

        Args:
            body: What is sent.
            secrets: Those of the webhook.
            now: The time, time-zone aware.
        """
        sent_at = str(int(now.timestamp()))
        message = b".".join((self.delivery_id.encode(), sent_at.encode(), body))
        return {
            "content-type": CONTENT_TYPE,
            "webhook-id": self.delivery_id,
            "webhook-timestamp": sent_at,
            "webhook-signature": " ".join(sign(message, key) for key in secrets),
        }


def sign(message: bytes, secret: str) -> str:
    """Return the signature of a message by a secret, with its version."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, message, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def deliveries(
    before: Invocation | None,
    after: Invocation,
    webhooks: Iterable[Webhook],
    new_id: Callable[[], object],
) -> list[Delivery]:
    """Return what a change of a job sends to webhooks, in order.

    Args:
        before: The job before the change; None if it is new.
        after: The job after it.
        webhooks: All there are.
        new_id: Returns a new id for each delivery.
    """
    types = []
    if before is None or before.state is not after.state:
        types.append(EventType.of(after.state))
    noted = None if before is None else before.attention
    if after.attention is not None and after.attention != noted:
        types.append(EventType.ATTENTION)
    return [
        Delivery(
            delivery_id=DeliveryId(str(new_id())),
            webhook_id=webhook.webhook_id,
            type=type_,
            subject=after.invocation_id,
            data=job_data(before, after.shown_to(webhook.viewer)),
            at=after.updated_at,
        )
        for type_ in types
        for webhook in webhooks
        if webhook.takes(type_, after)
    ]


def batch_deliveries(
    batch: Batch,
    counts: Mapping[str, int],
    webhooks: Iterable[Webhook],
    new_id: Callable[[], object],
) -> list[Delivery]:
    """Return what the end of a batch sends to webhooks.

    Args:
        batch: The batch, which has ended.
        counts: The number of its items in each state.
        webhooks: All there are.
        new_id: Returns a new id for each delivery.
    """
    assert batch.ended_at is not None
    data: dict[str, Json] = {
        "batch_id": str(batch.batch_id),
        "workflow_name": batch.workflow_name,
        "labels": dict(batch.labels),
        "owner": batch.owner,
        "size": batch.size,
        "counts": dict(sorted(counts.items())),
        "created_at": _time(batch.created_at),
        "cancelled_at": None
        if batch.cancelled_at is None
        else _time(batch.cancelled_at),
        "ended_at": _time(batch.ended_at),
    }
    return [
        Delivery(
            delivery_id=DeliveryId(str(new_id())),
            webhook_id=webhook.webhook_id,
            type=EventType.BATCH_ENDED,
            subject=str(batch.batch_id),
            data=data,
            at=batch.ended_at,
        )
        for webhook in webhooks
        if webhook.takes(EventType.BATCH_ENDED, batch)
    ]


def job_data(before: Invocation | None, job: Invocation) -> Mapping[str, Json]:
    """Return what an event says of a job."""
    failure: dict[str, Any] | None = None
    if job.failure is not None:
        failure = {**asdict(job.failure), "path": list(job.failure.path)}
    return {
        "invocation_id": job.invocation_id,
        "dataset_id": job.dataset_id,
        "workflow_name": job.workflow_name,
        "state": job.state.value,
        "from_state": None if before is None else before.state.value,
        "galaxy_state": job.galaxy_state,
        "labels": dict(job.labels),
        "owner": job.owner,
        "progress": {**asdict(job.progress), "blocked": job.blocked},
        "failure": failure,
        "attention": job.attention,
        "created_at": _time(job.created_at),
        "updated_at": _time(job.updated_at),
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def rest_after(failures: int, longest: timedelta, jitter: float) -> timedelta:
    """Return the time until the next attempt: it doubles with each that failed.

    Args:
        failures: The number of attempts that have failed, 1 or more.
        longest: The longest time.
        jitter: From 0 to 1, at random: 1 for the whole time, 0 for half of it.
    """
    doubled = MIN_RETRY * 2.0 ** min(failures - 1, 20)
    return min(doubled, longest) * (0.5 + jitter / 2)
