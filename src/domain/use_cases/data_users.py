"""Find what needs the data of a history.

Rule: data counts as needed where the opposite is not known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from attrs import field, frozen

from galaxy_jobs.domain.model.dataset import GalaxyData, Src
from galaxy_jobs.domain.model.values import HistoryId, Identity
from galaxy_jobs.domain.ports import Clock, DataUser, RunHistories, SupersededRuns


COLLECTIONS_LIMIT = 1000
"""The most collections whose elements are looked at. With more of them in use, all
data counts as needed."""

ELEMENTS_TTL = timedelta(minutes=10)
"""For how long it is remembered in which histories the elements of a collection are."""


@frozen
class DataUsers:
    """Finds the users of data in a history.

    A collection in Galaxy may have elements from any history. So each one that a
    registered dataset, a submission or an active job names is looked at.
    """

    superseded: SupersededRuns
    histories: RunHistories
    clock: Clock
    _known: dict[str, tuple[datetime, frozenset[HistoryId | None]]] = field(
        factory=dict, init=False, eq=False, repr=False
    )

    def __call__(
        self, identity: Identity, history_id: HistoryId, data: Collection[GalaxyData]
    ) -> Sequence[DataUser]:
        """Return the users of some of that data; empty if it has none.

        Args:
            identity: Of Galaxy.
            history_id: The history.
            data: In that history.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        users = self.superseded.users_of(identity, data)
        if users or not data:
            return users
        wanted = {each.id for each in data if each.src is Src.HDA}
        named = self.superseded.collections(identity, limit=COLLECTIONS_LIMIT + 1)
        for place, id_ in enumerate(named):
            collection = GalaxyData(Src.HDCA, id_)
            if collection not in data and (
                place == COLLECTIONS_LIMIT
                or self._holds(collection, history_id, wanted)
            ):
                users = self.superseded.users_of(identity, [collection])
                if users:
                    return users
        return []

    def _holds(
        self, collection: GalaxyData, history_id: HistoryId, wanted: Collection[str]
    ) -> bool:
        """Whether some of the datasets of a history are elements of a collection."""
        now = self.clock()
        at, histories = self._known.get(collection.id, (now, None))
        if (
            histories is not None
            and now - at < ELEMENTS_TTL
            and histories.isdisjoint({history_id, None})
        ):
            return False
        elements = self.histories.elements(collection)
        if len(self._known) > COLLECTIONS_LIMIT:
            self._known.clear()
        self._known[collection.id] = now, frozenset(elements.values())
        return any(id_ in elements for id_ in wanted)
