"""Sources as JSON: in the table that other programs write, and in requests of jobs.

Rule of the file: other programs may keep members of their own in it, which are left
out; a member of ours that cannot be used is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galaxy_jobs.domain.errors import InvalidValue, quoted
from galaxy_jobs.domain.model.dataset import (
    RANKS_LIMIT,
    CollectionData,
    DatasetRef,
    GalaxyData,
    Single,
    Source,
    SourceElement,
    Src,
    UploadData,
    UrlData,
)
from galaxy_jobs.domain.model.values import DatasetId, Json, json_text


_URL_OPTIONS = ("name", "sha256", "md5", "dbkey", "deferred")


def source_from_json(value: Any) -> Source:
    """Return the source that a program wrote.

    Raises:
        InvalidValue: It is none, or one that cannot be used.
    """
    match value:
        case {"src": "collection", "collection_type": type_, "elements": list(items)}:
            return CollectionData(
                type_,
                tuple(_element(item, RANKS_LIMIT) for item in items),
                allow_empty=value.get("allow_empty", False),
            )
        case {"src": "url" | "hda" | "ldda" | "hdca" | "upload"}:
            return _single(value, "its source")
        case _:
            raise _odd(value, "its source", _COLLECTION)


def _single(value: Any, what: str) -> Single:
    """Return data that is no collection of ours.

    Args:
        value: Its JSON.
        what: The value in words, for a message.
    """
    match value:
        case {"src": "url", "url": str(url), "ext": str(ext)}:
            options = {name: value[name] for name in _URL_OPTIONS if name in value}
            if options.get("deferred", False) is None:
                del options["deferred"]
            return UrlData(url, ext, **options)
        case {"src": "hda" | "ldda" | "hdca" as src, "id": str(id_)}:
            return GalaxyData(Src(src), id_)
        case {"src": "upload", "upload_id": str(upload_id)}:
            return UploadData(upload_id)
        case _:
            raise _odd(value, what)


def _element(value: Any, ranks: int) -> SourceElement:
    """Return an element, with at most so many levels."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise InvalidValue(
            f'an element is {json_text(value)}; expected {{"name": "…", …}}.'
        )
    name = value["name"]
    contents = {"source", "dataset_id", "elements"}.intersection(value)
    match dict(value):
        case {"source": source} if len(contents) == 1:
            return SourceElement(name, _single(source, f"element {quoted(name)}"))
        case {"dataset_id": str(id_)} if len(contents) == 1:
            return SourceElement(name, DatasetRef(DatasetId(id_)))
        case {"elements": list(items)} if len(contents) == 1 and ranks > 1:
            return SourceElement(
                name, tuple(_element(item, ranks - 1) for item in items)
            )
        case _:
            raise InvalidValue(
                f"element {quoted(name)} is {json_text(value)}; expected one of "
                "`source`, `dataset_id` and `elements`."
            )


def _odd(value: Any, what: str, more: str = "") -> InvalidValue:
    return InvalidValue(
        f'{what} is {json_text(value)}; expected {{"src": "hda"|"ldda"|"hdca", '
        f'"id": "…"}} or {{"src": "url", "url": "…", "ext": "…"}}{more}.'
    )


_COLLECTION = (
    ' or {"src": "collection", "collection_type": "…", "elements": [{"name": "…", …}, '
    "…]}"
)


def source_to_json(source: Source, *, shown: bool = False) -> dict[str, Json]:
    """Return the JSON of a source, as clients and frontends write it.

    Args:
        source: The source.
        shown: Whether it is to be shown: without credentials in addresses.
    """
    match source:
        case GalaxyData(src=src, id=id_):
            return {"src": src.value, "id": id_}
        case UploadData(upload_id=upload_id):
            return {"src": "upload", "upload_id": upload_id}
        case UrlData():
            url = source.shown_url if shown else source.url
            required: dict[str, Json] = {"src": "url", "url": url, "ext": source.ext}
            options = {name: getattr(source, name) for name in _URL_OPTIONS}
            return required | {name: value for name, value in options.items() if value}
        case CollectionData():
            elements = source.elements
            written: dict[str, Json] = {
                "src": "collection",
                "collection_type": source.collection_type,
                "elements": None
                if elements is None
                else [_element_to_json(element, shown=shown) for element in elements],
            }
            return written | ({"allow_empty": True} if source.allow_empty else {})


def _element_to_json(element: SourceElement, *, shown: bool) -> dict[str, Json]:
    match element.content:
        case tuple(elements):
            inner = [_element_to_json(element, shown=shown) for element in elements]
            return {"name": element.name, "elements": inner}
        case DatasetRef(dataset_id):
            return {"name": element.name, "dataset_id": dataset_id}
        case data:
            return {"name": element.name, "source": source_to_json(data, shown=shown)}
