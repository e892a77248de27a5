"""How much one caller may ask for: requests in a while, streams at once.

Rule of the file: each limit is one process's own, so several replicas allow as
much more; and none remembers more callers than fit. One whom it has forgotten has
all of his share again, and the one who is forgotten is who has been away longest.
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


CALLERS = 20_000
"""How many callers are remembered at most."""

NETWORK = 64
"""How many bits of an IPv6 address tell one caller from another: each has many."""


@define
class Rate:
    """Lets a caller ask so often: a bucket of tokens for each.

    Attributes:
        rate: How many requests a second fill up again.
        burst: How many may come at once.
        clock: Counts seconds.
    """

    rate: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    # When the bucket of each will be full again: all that has to be known of it.
    _full_at: OrderedDict[str, float] = field(factory=OrderedDict, init=False)

    def take(self, caller: str) -> None:
        """Count a request.

        Raises:
            Refused: It is one too many; it was not counted.
        """
        now = self.clock()
        full_at = max(self._full_at.get(caller, now), now) + 1 / self.rate
        wait = full_at - now - self.burst / self.rate
        if wait > 1e-9:  # noqa: PLR2004 - sums of fractions are not exact
            raise Refused(
                "too-many-requests",
                f"That is more than {self.burst:g} requests at once, or "
                f"{self.rate:g} in a second. Come back in a while.",
                headers={"Retry-After": f"{math.ceil(wait)}"},
            )
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > CALLERS:
            self._full_at.popitem(last=False)


@define
class Places:
    """Gives places to what goes on for long: streams of events.

    Attributes:
        total: How many there are.
        each: How many of them one caller may have.
    """

    total: int
    each: int
    _taken: Counter[str] = field(factory=Counter, init=False)

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Have a place.

        Raises:
            Refused: There is none left.
        """
        if self._taken.total() >= self.total:
            raise _full(f"All {self.total} streams of this process are open.")
        if self._taken[caller] >= self.each:
            raise _full(f"You have {self.each} streams open already.")
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]


@lru_cache(maxsize=1000)
def network_of(host: str) -> str:
    """Return what of a client's address tells one caller from another."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:  # noqa: PLR2004 - IPv4
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), NETWORK), strict=False))


def _full(why: str) -> Refused:
    return Refused(
        "too-many-requests",
        f"{why} Close one, or come back in a while.",
        headers={"Retry-After": "5"},
    )
