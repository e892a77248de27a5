"""News of jobs, read once by this process and handed to all who wait for it.

Theory of operation. One thread listens to the feed and reads each transition
once. The last ones are kept, in order, and whoever waits has only a *place*
among them: the id of the last transition it was told of. It takes what is beyond
its place; who is too far behind, having asked for old ones or read slowly, takes
them from the database, a bounded number at a time. So a client costs the same
whether it keeps up or not, and none can be skipped or told twice: ids become
visible in their order.

Rule of the file: what is shared is touched by the event loop alone; the thread
hands over to it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import structlog
from attrs import define, field, frozen

from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.model.values import DatasetId, InvocationId
from galaxy_jobs.domain.ports import JobTransition, TransitionFeed


log = structlog.get_logger(__name__)

KEPT = 1000
"""How many transitions are kept for those who keep up."""

BATCH = 200
"""How many are read from the database at once."""

LOOK_EVERY = timedelta(seconds=1)
"""How often the feed is read though it tells of nothing, should that get lost."""

LISTEN_AGAIN = 1.0
"""After how many seconds a listening connection that was lost is made anew."""


@frozen(kw_only=True)
class Wanted:
    """Which transitions somebody waits for; what is given must all hold."""

    dataset_id: DatasetId | None = None
    invocation_id: InvocationId | None = None

    def fits(self, one: JobTransition) -> bool:
        """Say whether it is one of these."""
        return self.dataset_id in {None, one.dataset_id} and self.invocation_id in {
            None,
            one.transition.invocation_id,
        }


@frozen(eq=False)
class Waiting:
    """Somebody who waits, and is woken when there is something, or at the end."""

    wanted: Wanted
    woken: asyncio.Event = field(factory=asyncio.Event)

    async def news(self, until: float) -> bool:
        """Wait; return whether there may be some, rather than that time is up.

        Args:
            until: When to stop, by the clock of the event loop.
        """
        try:
            async with asyncio.timeout_at(until):
                await self.woken.wait()
        except TimeoutError:
            return False
        self.woken.clear()
        return True


@define(eq=False)
class Fanout:
    """Hands out news of jobs.

    Attributes:
        feed: Where they come from.
        place: The id up to which everything has been read.
        stopping: Whether everybody is to be sent home.
    """

    feed: TransitionFeed
    kept: int = field(default=KEPT, kw_only=True)
    look_every: timedelta = field(default=LOOK_EVERY, kw_only=True)
    place: int = field(default=0, init=False)
    stopping: bool = field(default=False, init=False)
    _last: deque[JobTransition] = field(factory=deque, init=False)
    _before_last: int = field(default=0, init=False)
    _waiting: set[Waiting] = field(factory=set, init=False)
    _starting: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _over: threading.Event = field(factory=threading.Event, init=False)

    async def start(self) -> None:
        """Begin to listen, if nobody has waited yet.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        async with self._starting:
            if self._thread is not None:
                return
            self.place = self._before_last = await asyncio.to_thread(self.feed.latest)
            self._thread = threading.Thread(
                target=self._listen,
                args=(self.place, asyncio.get_running_loop()),
                name="listening",
                daemon=True,
            )
            self._thread.start()

    def stop(self) -> None:
        """Send everybody home, and stop to listen."""
        self.stopping = True
        self._over.set()
        for one in self._waiting:
            one.woken.set()

    async def latest(self) -> int:
        """Return the id of the last transition there is.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        return await asyncio.to_thread(self.feed.latest)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @contextmanager
    def waiting_for(self, wanted: Wanted) -> Iterator[Waiting]:
        """Be woken by what is wanted, as long as this is open."""
        one = Waiting(wanted)
        self._waiting.add(one)
        try:
            yield one
        finally:
            self._waiting.discard(one)

    async def beyond(
        self, place: int, wanted: Wanted
    ) -> tuple[Sequence[JobTransition], int]:
        """Return what is wanted beyond a place, and the place up to which that is.

        If nothing is returned, there is nothing yet.

        Raises:
            StoreUnavailable: It was no longer kept, and the database could not be
                reached.
        """
        while place < self._before_last:
            before = self.place
            found = await asyncio.to_thread(
                self.feed.after,
                place,
                limit=BATCH,
                dataset_id=wanted.dataset_id,
                invocation_id=wanted.invocation_id,
            )
            last = found[-1].transition.id if found else 0
            # All up to `before` were visible when the database was asked.
            place = last if len(found) == BATCH else max(before, last)
            if found:
                return found, place
        found = []
        for one in reversed(self._last):
            if one.transition.id <= place:
                break
            if wanted.fits(one):
                found.append(one)
        return found[::-1], max(place, self.place)

    def _listen(self, place: int, loop: asyncio.AbstractEventLoop) -> None:
        """Read each transition once (the thread)."""
        while not self._over.is_set():
            try:
                for _ in self.feed.watch(self.look_every):
                    if self._over.is_set():
                        return
                    while found := self.feed.after(place, limit=BATCH):
                        place = found[-1].transition.id
                        loop.call_soon_threadsafe(self._tell, found)
            except StoreUnavailable as error:
                if not self._over.wait(LISTEN_AGAIN):
                    log.warning("listening anew", problem=str(error))
            except Exception:
                if loop.is_closed():  # nobody is left to be told
                    return
                # Whatever it was: those who wait are not to wait for ever.
                log.exception("cannot listen")
                self._over.wait(LISTEN_AGAIN)

    def _tell(self, found: Sequence[JobTransition]) -> None:
        """Take over what was read, and wake those who wait for it."""
        self._last.extend(found)
        while len(self._last) > self.kept:
            self._before_last = self._last.popleft().transition.id
        self.place = found[-1].transition.id
        for waiting in self._waiting:
            if any(waiting.wanted.fits(one) for one in found):
                waiting.woken.set()
