"""Limits per caller: the rate of requests, and the number of open streams.

Each limit holds for one process, so several replicas allow as much more. None
remembers more callers than :data:`MAX_CALLERS`; a forgotten one, which is the one
that has been away longest, has its full share again.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from attrs import define, field

from galaxy_jobs.entrypoints.api.problems import Refused


MAX_CALLERS = 20_000
"""The number of callers that are remembered."""

IPV6_PREFIX_BITS = 64
"""The part of an IPv6 address that tells callers apart: each has many addresses."""


@define
class Rate:
    """Limits the rate of requests: a token bucket for each caller.

    It holds *burst* requests and is refilled with *rate* a second.
    """

    rate: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    max_callers: int = field(default=MAX_CALLERS, kw_only=True)
    # When the bucket of each caller will be full again: all that has to be kept.
    _full_at: OrderedDict[str, float] = field(factory=OrderedDict, init=False)

    def take(self, caller: str) -> None:
        """Count a request.

        Raises:
            Refused: It exceeds the limit (``too-many-requests``); it was not counted.
        """
        now = self.clock()
        full_at = max(self._full_at.get(caller, now), now) + 1 / self.rate
        wait = full_at - now - self.burst / self.rate
        if wait > 1e-9:  # noqa: PLR2004 - sums of fractions are not exact
            raise _too_many(
                f"More than {self.burst:g} requests at once, or {self.rate:g} a "
                "second. Try again later.",
                math.ceil(wait),
            )
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self.max_callers:
            self._full_at.popitem(last=False)


@define
class StreamSlots:
    """Limits what stays open for long: event streams, waiting requests, downloads.

    Attributes:
        total: Of all callers.
        per_caller: Of each one.
        noun: What is open, for refusals.
    """

    total: int
    per_caller: int
    noun: str = "streams"
    _held: Counter[str] = field(factory=Counter, init=False)

    @contextmanager
    def hold(self, caller: str) -> Iterator[None]:
        """Hold a slot while the block runs.

        Raises:
            Refused: There is none left (``too-many-requests``).
        """
        if self._held.total() >= self.total:
            raise _no_slot(f"All {self.total} {self.noun} of this process are open.")
        if self._held[caller] >= self.per_caller:
            raise _no_slot(f"You have {self.per_caller} open {self.noun} already.")
        self._held[caller] += 1
        try:
            yield
        finally:
            self._held[caller] -= 1
            if not self._held[caller]:
                del self._held[caller]


@lru_cache(maxsize=1000)
def network_of(host: str) -> str:
    """Return the part of a client's address that tells callers apart."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX_BITS), strict=False))


def _no_slot(reason: str) -> Refused:
    return _too_many(f"{reason} Close one, or try again later.", 5)


def _too_many(detail: str, seconds: int) -> Refused:
    return Refused("too-many-requests", detail, headers={"Retry-After": str(seconds)})
