"""Collections and sample sheets, as they are typed: the bodies that register them.

Rule of the file: what it cannot read it names with its place; whether the rest can be
used is for the service to say.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from galaxy_jobs.entrypoints.client.errors import Usage


Body: TypeAlias = dict[str, Any]

SHEET_SIZE = 8 * 2**20
"""Bytes of the largest sheet that is read."""

_COLUMNS = ("name", "forward", "reverse", "url", "ext", "id")


def collection(
    collection_type: str, elements: Iterable[str], ext: str | None
) -> Mapping[str, Any]:
    """Return the source of a collection.

    Args:
        collection_type: Such as ``list:paired``.
        elements: ``NAME=DATA`` each, with a slash between the names of levels; see
            :func:`data`.
        ext: The format of what is fetched.

    Raises:
        Usage: An element cannot be read.
    """
    root: dict[str, Any] = {}
    for argument in elements:
        place, equals, text = argument.partition("=")
        *above, name = place.split("/")
        if not (equals and text and name and all(above)):
            raise Usage(f"An element is NAME=DATA or NAME/NAME=DATA, got {argument!r}.")
        level = root
        for part in above:
            level = level.setdefault(part, {})
            if isinstance(level, _Leaf):
                raise Usage(f"{argument!r} lies in an element that has data itself.")
        if name in level:
            raise Usage(f"Element {place!r} is given twice.")
        level[name] = _Leaf(data(text, ext))
    return _source(collection_type, _elements(root))


class _Leaf(dict[str, Any]):
    """An element with data, and not with further elements."""


def _elements(level: Mapping[str, Any]) -> list[Body]:
    return [
        {"name": name, **content}
        if isinstance(content, _Leaf)
        else {"name": name, "elements": _elements(content)}
        for name, content in level.items()
    ]


def data(text: str, ext: str | None) -> Body:
    """Return the data of an element.

    Args:
        text: An address, ``hda:ID``, ``ldda:ID`` or ``hdca:ID`` of Galaxy's, or the id
            of a registered dataset.
        ext: The format of data by address.

    Raises:
        Usage: It has no format, or is a file.
    """
    src, colon, id_ = text.partition(":")
    if "://" in text:
        if not ext:
            raise Usage("The format of an address is missing: give --ext.")
        return {"source": {"src": "url", "url": text, "ext": ext}}
    if colon and src in {"hda", "ldda", "hdca"}:
        return {"source": {"src": src, "id": id_}}
    # Unlike that of pathlib, it fails for no text, such as one too long for a name.
    if "/" in text or os.path.isfile(text):  # noqa: PTH113
        raise Usage(f"{text!r} is a file of this computer, which Galaxy cannot read.")
    return {"dataset_id": text}


def sheet(path: Path, name: str | None, ext: str | None) -> Iterator[tuple[str, Body]]:
    """Yield the dataset of each sample in a sheet, or one of all of them.

    Args:
        path: A table with tabs or commas and a head of columns: ``name``, and either
            ``forward`` and ``reverse`` or ``url``; ``ext`` and ``id`` if wanted.
        name: That of the one dataset; None: one for each sample.
        ext: The format of data by address where the sheet has none.

    Yields:
        The place of a dataset in the sheet, and what is to be registered.

    Raises:
        Usage: The sheet cannot be read; it names the line.
    """
    samples = list(_samples(path, ext))
    if name is None:
        for place, row, content in samples:
            chosen = row.get("id")
            if "elements" in content:
                source = _source("paired", content["elements"])
            else:
                source = content.get("source") or _no_source(place)
            dataset = {"name": row["name"], "source": source}
            yield place, dataset | ({"dataset_id": chosen} if chosen else {})
        return
    is_paired = "elements" in samples[0][2]
    elements = [{"name": row["name"], **content} for _, row, content in samples]
    type_ = "list:paired" if is_paired else "list"
    yield str(path), {"name": name, "source": _source(type_, elements)}


def _no_source(place: str) -> Body:
    raise Usage(f"{place}: its data is a registered dataset already.")


def _samples(
    path: Path, ext: str | None
) -> Iterator[tuple[str, Mapping[str, str], Body]]:
    """Yield the place, the cells and the content of each sample."""
    rows = _rows(path)
    columns = _columns(path, next(rows, (0, []))[1])
    data_columns = ("url",) if "url" in columns else ("forward", "reverse")
    lines: dict[str, int] = {}
    for line, cells in rows:
        place = f"{path}, line {line}"
        if len(cells) > len(columns):
            raise Usage(f"{place}: {len(cells)} cells in {len(columns)} columns.")
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        for column in ("name", *data_columns):
            if not row.get(column):
                raise Usage(f"{place}: {column} is empty.")
        if (first := lines.setdefault(row["name"], line)) != line:
            raise Usage(f"{place}: {row['name']!r} stands in line {first}, too.")
        try:
            found = [data(row[name], row.get("ext") or ext) for name in data_columns]
        except Usage as error:
            raise Usage(f"{place}: {error}") from None
        if len(found) == 1:
            yield place, row, found[0]
        else:
            pair = zip(data_columns, found, strict=True)
            yield place, row, {"elements": [{"name": end, **of} for end, of in pair]}
    if not lines:
        raise Usage(f"{path} has no samples.")


def _columns(path: Path, head: Sequence[str]) -> Sequence[str]:
    """Return the names of the columns, once they are checked."""
    columns = [cell.strip().lower() for cell in head]
    is_paired = {"forward", "reverse"}.issubset(columns)
    if "name" not in columns or is_paired == ("url" in columns):
        raise Usage(
            f"{path}, line 1: expected the columns name, forward and reverse, or name "
            f"and url; got {', '.join(columns) or 'none'}."
        )
    if unknown := [column for column in columns if column not in _COLUMNS]:
        raise Usage(
            f"{path}, line 1: there is no column {unknown[0]!r}; there are: "
            f"{', '.join(_COLUMNS)}."
        )
    if len(set(columns)) < len(columns):
        raise Usage(f"{path}, line 1: a column is there twice.")
    return columns


def _rows(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the rows that are not empty, with their lines."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read(SHEET_SIZE + 1)
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is not UTF-8 ({error.reason}).") from None
    except OSError as error:
        raise Usage(f"{path} could not be read ({error.strerror}).") from None
    if len(text) > SHEET_SIZE:
        raise Usage(f"{path} has more than {SHEET_SIZE >> 20} MiB.")
    lines = text.splitlines()
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise Usage(f"{path}, line {reader.line_num}: {error}.") from None
        if row is None:
            return
        if any(cell.strip() for cell in row):
            yield reader.line_num, row


def _source(collection_type: str, elements: Sequence[Body]) -> Body:
    return {
        "src": "collection",
        "collection_type": collection_type,
        "elements": elements,
    }
