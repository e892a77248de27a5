"""Data of a run that is made before it is invoked: files, and collections.

Rule of the file: all of it is made in the history of the run, which is deleted where
the run does not come about; and a collection takes a few requests, however large it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

from attrs import define, evolve, field

from galaxy_jobs.adapters.galaxy import sent, translate
from galaxy_jobs.adapters.galaxy.client import Client, Refused
from galaxy_jobs.adapters.galaxy.translate import Unreadable
from galaxy_jobs.domain.errors import DataNotMade
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    GalaxyData,
    Source,
    SourceElement,
    Src,
    UploadData,
    UploadedFile,
    UrlData,
)
from galaxy_jobs.domain.model.values import HistoryId, Json


FETCH_SIZE = 350
"""Addresses in one request: one job of Galaxy fetches them, one after the other."""

NOT_OWNED = 403003
"""Galaxy's code for a collection with data of another user, though it may be read."""

Fetched: TypeAlias = UrlData | UploadedFile
"""What becomes a dataset of the run's own history."""


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
    _made: set[str] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._until = time.monotonic() + self.time_limit

    def made(
        self, inputs: Mapping[str, Source | Json], *, addresses: bool
    ) -> Mapping[str, Source | Json]:
        """Return the inputs of a run, with what is made for it.

        Args:
            inputs: By name.
            addresses: Whether data by address is made, too; else only collections and
                files that are sent are.

        Raises:
            Refused: Galaxy does not take an element.
            DataNotMade: It took too long.
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
            return self._collection(name, source, partial(next, fetched))
        return next(fetched) if _is_made(source, addresses=addresses) else source

    def _fetch(
        self, wanted: Sequence[tuple[str | None, Fetched]]
    ) -> Iterator[GalaxyData]:
        """Return the datasets that Galaxy fetches, in order; they are not there yet."""
        pending, made = iter(wanted), list[GalaxyData]()
        while batch := list(islice(pending, FETCH_SIZE)):
            items, files = [], dict[str, Any]()
            for name, data in batch:
                if isinstance(data, UploadedFile):
                    # Galaxy takes them in the order of their items.
                    files[f"files_{len(files)}|file_data"] = {
                        "session_id": sent.send(self.client, data, self._until),
                        "name": data.name,
                    }
                items.append(self._item(name, data))
            target = {"destination": {"type": "hdas"}, "items": items}
            answer = self._post("tools/fetch", {"targets": [target], **files})
            outputs = translate.objects(translate.part(answer, "outputs", list))
            if len(outputs) != len(batch):
                raise Unreadable(f"{len(outputs)} datasets for {len(batch)} addresses")
            made += [GalaxyData(Src.HDA, translate.id_of(output)) for output in outputs]
        self._made = {data.id for data in made}
        return iter(made)

    def _item(self, name: str | None, data: Fetched) -> Any:
        if not self.checksums:
            data = evolve(data, sha256=None)
        if isinstance(data, UploadedFile):
            return translate.sent_file(evolve(data, name=name or data.name))
        md5 = data.md5 if self.checksums else None
        return translate.input_value(evolve(data, name=name, md5=md5))

    def _collection(
        self,
        name: str,
        source: CollectionData,
        fetched: Callable[[], GalaxyData],
    ) -> GalaxyData:
        are_made = all(
            isinstance(data, UrlData | UploadData) for _, data in source.leaves()
        )
        body = {
            "type": "dataset_collection",
            "instance_type": "history",
            "name": name,
            **_identifiers(source.elements or (), source.collection_type, fetched),
            # Data of other histories is referred to where it is, if it is ours.
            "copy_elements": False,
            # Others would be hidden in their own histories, for good.
            "hide_source_items": are_made,
        }
        try:
            answer = self._post("dataset_collections", body)
        except Refused as refusal:
            if refusal.code != NOT_OWNED:
                raise
            self._copy(name, body)
            answer = self._post("dataset_collections", body)
        return GalaxyData(Src.HDCA, translate.id_of(answer))

    def _copy(self, name: str, level: dict[str, Any]) -> None:
        """Copy the datasets of a collection that were there before; it gets the copies.

        One list of all of them is made in the history of the run, by one request.
        """
        wanted = [each for each in _datasets(level) if each["id"] not in self._made]
        body = {
            "type": "dataset_collection",
            "instance_type": "history",
            "name": f"{name} (copies)",
            "collection_type": "list",
            "element_identifiers": [
                {**each, "name": str(n)} for n, each in enumerate(wanted)
            ],
            "copy_elements": True,
            "hide_source_items": False,
        }
        answer = self._post("dataset_collections", body)
        copies = translate.objects(translate.part(answer, "elements", list))
        ids = {
            copy["element_identifier"]: translate.id_of(copy["object"])
            for copy in copies
        }
        for n, each in enumerate(wanted):
            each["id"] = ids[str(n)]

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        time_left = self._until - time.monotonic()
        if time_left <= 0:
            raise DataNotMade(
                f"Galaxy took more than {self.time_limit:g} s to make the data of the "
                "run.",
                retry_after=1,
            )
        body = {"history_id": self.history_id, **body}
        return self.client.post(path, body, time_limit=time_left)


def _is_made(source: Source | Json, *, addresses: bool) -> bool:
    """Return whether a dataset is made of what is no collection."""
    return isinstance(source, UploadData) or (addresses and isinstance(source, UrlData))


def _fetched(
    source: Source | Json, *, addresses: bool
) -> Iterator[tuple[str | None, Fetched]]:
    """Yield what is to be fetched or sent for an input, with its name in Galaxy.

    In a collection it is found by its place, whatever else it is called: the reason of
    a failure names the dataset.
    """
    if isinstance(source, CollectionData):
        for place, data in source.leaves():
            if isinstance(data, UrlData | UploadData):
                fetched = _made_of(data)
                yield f"{place} ({fetched.name})" if fetched.name else place, fetched
    elif _is_made(source, addresses=addresses):
        fetched = _made_of(source)
        yield fetched.name, fetched


def _made_of(data: Source | Json) -> Fetched:
    made_of = data.file if isinstance(data, UploadData) else data
    assert isinstance(made_of, UrlData | UploadedFile), "a reference to one of ours"
    return made_of


def _datasets(level: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the descriptions of the datasets of a level, and of those below."""
    for each in level["element_identifiers"]:
        if each["src"] == "new_collection":
            yield from _datasets(each)
        elif each["src"] == Src.HDA.value:
            yield each


def _identifiers(
    elements: Sequence[SourceElement],
    collection_type: str,
    fetched: Callable[[], GalaxyData],
) -> dict[str, Any]:
    """Return the description of a level, and of those below."""
    below = collection_type.partition(":")[2]

    def identifier(element: SourceElement) -> dict[str, Any]:
        content = element.content
        if isinstance(content, tuple):
            inner = _identifiers(content, below, fetched)
            return {"name": element.name, "src": "new_collection", **inner}
        made = isinstance(content, UrlData | UploadData)
        data = fetched() if made else content
        assert isinstance(data, GalaxyData), "a reference to something of ours"
        return {"name": element.name, "src": data.src.value, "id": data.id}

    return {
        "collection_type": collection_type,
        "element_identifiers": [identifier(element) for element in elements],
    }
