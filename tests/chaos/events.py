"""A receiver of events that fails at times, and notes what it has accepted."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from tests.support.receiver import Receiver, raw, receiver


FAILURES = frozenset({"receiver drops", "receiver hesitates", "receiver refuses"})
"""Each way in which the receiver fails, or almost."""


@define(eq=False)
class Events:
    """What a webhook gets.

    Attributes:
        chance: What failures are left to.
        faults: How often what has happened.
        secret: The secret of the webhook, once there is one.
        fair: Whether it does not fail any more.
        accepted: The events that were accepted, by their ids, in the order of the
            first time.
    """

    chance: random.Random
    faults: Counter[str]
    secret: str = ""
    fair: bool = False
    accepted: dict[str, dict[str, Any]] = field(factory=dict, init=False)
    _target: Receiver = field(init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @contextmanager
    def receiving(self) -> Iterator[str]:
        """Run the receiver, and yield its address."""
        with receiver(self._answer) as target:
            self._target = target
            yield target.url

    def _answer(self, handler: Any) -> None:
        failure = None
        with self._lock:
            if not self.fair and self.chance.random() < 0.03:
                failure = self.chance.choice(sorted(FAILURES))
                self.faults[failure] += 1
        if failure == "receiver drops":
            handler.close_connection = True
            return
        if failure == "receiver refuses":
            raw("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")(handler)
            return
        if failure == "receiver hesitates":
            time.sleep(1)
        with self._lock:
            event = self._event(handler.headers["webhook-id"])
            self.accepted.setdefault(event["id"], event)
        raw("HTTP/1.1 204 No Content\r\n\r\n")(handler)

    def _event(self, id_: str) -> dict[str, Any]:
        """Return the event of that id, once its signature is verified."""
        request = next(
            request
            for request in reversed(self._target.received)
            if request.headers["webhook-id"] == id_
        )
        return request.verified(self.secret)
