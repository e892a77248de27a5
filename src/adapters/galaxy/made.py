"""Data of a run that is made before it is invoked: what is fetched, and collections.

Rule of the file: all of it is made in the history of the run, which is deleted where
the run does not come about; and a collection takes a few requests, however large it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from attrs import define, evolve, field

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client
from galaxy_jobs.adapters.galaxy.translate import Unreadable
from galaxy_jobs.domain.errors import RunnerUnavailable
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    GalaxyData,
    Source,
    SourceElement,
    Src,
    UrlData,
)
from galaxy_jobs.domain.model.values import HistoryId, Json


FETCH_SIZE = 350
"""Addresses in one request: one job of Galaxy fetches them, one after the other."""


@define
class Maker:
    """Makes the data of one run.

    Attributes:
        client: Sends the requests.
        history_id: The history of the run.
        time_limit: Seconds that all requests may take together: each makes hundreds
            of datasets.
        checksums: Whether Galaxy takes them.
    """

    client: Client
    history_id: HistoryId
    time_limit: float
    checksums: bool = True
    _until: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._until = time.monotonic() + self.time_limit

    def made(
        self, inputs: Mapping[str, Source | Json], *, addresses: bool
    ) -> Mapping[str, Source | Json]:
        """Return the inputs of a run, with what is made for it.

        Args:
            inputs: By name.
            addresses: Whether data by address is made, too; else only collections are.

        Raises:
            Refused: Galaxy does not take an element.
            RunnerUnavailable: It took too long.
        """
        wanted = [
            named
            for source in inputs.values()
            for named in _fetched(source, addresses=addresses)
        ]
        fetched = self._fetch(wanted)
        return {
            name: self._one(name, source, fetched, addresses=addresses)
            for name, source in inputs.items()
        }

    def _one(
        self,
        name: str,
        source: Source | Json,
        fetched: Iterator[GalaxyData],
        *,
        addresses: bool,
    ) -> Source | Json:
        if isinstance(source, CollectionData):
            return self._collection(name, source, lambda _: next(fetched))
        if isinstance(source, UrlData) and addresses:
            return next(fetched)
        return source

    def _fetch(
        self, wanted: Sequence[tuple[str | None, UrlData]]
    ) -> Iterator[GalaxyData]:
        """Return the datasets that Galaxy fetches, in order; they are not there yet."""
        pending, made = iter(wanted), list[GalaxyData]()
        while batch := list(islice(pending, FETCH_SIZE)):
            items = [
                translate.input_value(
                    evolve(data, name=name)
                    if self.checksums
                    else evolve(data, name=name, sha256=None, md5=None)
                )
                for name, data in batch
            ]
            target = {"destination": {"type": "hdas"}, "items": items}
            answer = self._post("tools/fetch", {"targets": [target]})
            outputs = translate.objects(translate.part(answer, "outputs", list))
            if len(outputs) != len(batch):
                raise Unreadable(f"{len(outputs)} datasets for {len(batch)} addresses")
            made += [GalaxyData(Src.HDA, translate.id_of(output)) for output in outputs]
        return iter(made)

    def _collection(
        self,
        name: str,
        source: CollectionData,
        fetched: Callable[[UrlData], GalaxyData],
    ) -> GalaxyData:
        body = {
            "type": "dataset_collection",
            "instance_type": "history",
            "name": name,
            **_identifiers(source.elements or (), source.collection_type, fetched),
            # Data of other histories is referred to where it is.
            "copy_elements": False,
            "hide_source_items": True,
        }
        answer = self._post("dataset_collections", body)
        return GalaxyData(Src.HDCA, translate.id_of(answer))

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        time_left = self._until - time.monotonic()
        if time_left <= 0:
            raise RunnerUnavailable(
                f"Galaxy took more than {self.time_limit:g} s to make the data of the "
                "run.",
                retry_after=1,
            )
        body = {"history_id": self.history_id, **body}
        return self.client.post(path, body, time_limit=time_left)


def _fetched(
    source: Source | Json, *, addresses: bool
) -> Iterator[tuple[str | None, UrlData]]:
    """Yield what is to be fetched for an input, with its name in Galaxy.

    In a collection it is found by its place, whatever else it is called: the reason of
    a failure names the dataset.
    """
    if isinstance(source, CollectionData):
        for place, data in source.leaves():
            if isinstance(data, UrlData):
                yield f"{place} ({data.name})" if data.name else place, data
    elif isinstance(source, UrlData) and addresses:
        yield source.name, source


def _identifiers(
    elements: Sequence[SourceElement],
    collection_type: str,
    fetched: Callable[[UrlData], GalaxyData],
) -> dict[str, Any]:
    """Return the description of a level, and of those below."""
    below = collection_type.partition(":")[2]

    def identifier(element: SourceElement) -> dict[str, Any]:
        content = element.content
        if isinstance(content, tuple):
            inner = _identifiers(content, below, fetched)
            return {"name": element.name, "src": "new_collection", **inner}
        data = fetched(content) if isinstance(content, UrlData) else content
        assert isinstance(data, GalaxyData), "a reference to something of ours"
        return {"name": element.name, "src": data.src.value, "id": data.id}

    return {
        "collection_type": collection_type,
        "element_identifiers": [identifier(element) for element in elements],
    }
