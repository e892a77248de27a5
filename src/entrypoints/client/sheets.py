"""Collections and sample sheets, as they are typed: the bodies that register them.

Rule of the file: what it cannot read it names with its place; whether the rest can be
used is for the service to say.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

from galaxy_jobs.entrypoints.client import uploading
from galaxy_jobs.entrypoints.client.errors import Usage


Body: TypeAlias = dict[str, Any]

SHEET_SIZE = 8 * 2**20
"""Bytes of the largest sheet that is read."""

_LABEL = "label:"

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
    return source(collection_type, _elements(root))


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
        text: An address, the path of a file, ``hda:ID``, ``ldda:ID`` or ``hdca:ID`` of
            Galaxy's, or the id of a registered dataset.
        ext: The format of data by address, and of files whose names do not show it.

    Raises:
        Usage: It has no format, or there is no such file.
    """
    src, colon, id_ = text.partition(":")
    if "://" in text:
        if not ext:
            raise Usage("The format of an address is missing: give --ext.")
        return {"source": {"src": "url", "url": text, "ext": ext}}
    if colon and src in {"hda", "ldda", "hdca"}:
        return {"source": {"src": src, "id": id_}}
    # Unlike that of pathlib, it fails for no text, such as one too long for a name.
    if os.path.isfile(text):  # noqa: PTH113
        return uploading.to_send(Path(text), ext)
    if "/" in text:
        raise Usage(f"There is no file {text!r}.")
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
            if "dataset_id" in content:
                raise Usage(f"{place}: its data is a registered dataset already.")
            dataset = {"name": row["name"], **content}
            if ends := dataset.pop("elements", None):
                dataset["source"] = source("paired", ends)
            yield place, dataset | ({"dataset_id": chosen} if chosen else {})
        return
    is_paired = "elements" in samples[0][2]
    elements = [{"name": row["name"], **content} for _, row, content in samples]
    type_ = "list:paired" if is_paired else "list"
    yield str(path), {"name": name, "source": source(type_, elements)}


def jobs(
    path: Path,
) -> Iterator[tuple[str, Mapping[str, Sequence[str]], Mapping[str, str]]]:
    """Yield the dataset, the parameters and the labels of each job in a sheet.

    Args:
        path: A table with tabs or commas and a head of columns: ``dataset``;
            ``label:KEY`` for labels, if wanted; any other column is an input of the
            workflow, and a cell of it that is empty gives the input no value.

    Raises:
        Usage: The sheet cannot be read; it names the line.
    """
    for _, place, row in _records(path, _job_columns):
        if not row.get("dataset"):
            raise Usage(f"{place}: dataset is empty.")
        dataset_id = row.pop("dataset")
        texts = {name: text for name, text in row.items() if text}
        labels = [name for name in texts if name.startswith(_LABEL)]
        labelled = {name.removeprefix(_LABEL): texts.pop(name) for name in labels}
        yield dataset_id, {name: [text] for name, text in texts.items()}, labelled


def _job_columns(path: Path, columns: Sequence[str]) -> Sequence[str]:
    if "dataset" not in columns or "" in columns or len({*columns}) < len(columns):
        raise Usage(
            f"{path}, line 1: expected the column dataset, and others once each that "
            f"are label:KEY or an input; got {', '.join(columns) or 'none'}."
        )
    return columns


def _samples(
    path: Path, ext: str | None
) -> Iterator[tuple[str, Mapping[str, str], Body]]:
    """Yield the place, the cells and the content of each sample."""
    lines: dict[str, int] = {}
    for line, place, row in _records(path, _sample_columns):
        data_columns = ("url",) if "url" in row else ("forward", "reverse")
        for column in ("name", *data_columns):
            if not row.get(column):
                raise Usage(f"{place}: {column} is empty.")
        if (first := lines.setdefault(row["name"], line)) != line:
            raise Usage(f"{place}: {row['name']!r} stands in line {first}, too.")
        found = []
        for column in data_columns:
            there = f"{place}, column {column}"
            try:
                content = data(row[column], row.get("ext") or ext)
            except Usage as error:
                raise Usage(f"{there}: {error}") from None
            found.append(content | ({"place": there} if "file" in content else {}))
        if len(found) == 1:
            yield place, row, found[0]
        else:
            pair = zip(data_columns, found, strict=True)
            yield place, row, {"elements": [{"name": end, **of} for end, of in pair]}


def _sample_columns(path: Path, head: Sequence[str]) -> Sequence[str]:
    columns = [cell.lower() for cell in head]
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


def _records(
    path: Path, columns_of: Callable[[Path, Sequence[str]], Sequence[str]]
) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Yield the line, the place and the cells of each row that is not empty.

    The columns of a head are checked by `columns_of`. Cells that a row lacks are empty.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read(SHEET_SIZE + 1)
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is not UTF-8 ({error.reason}).") from None
    except OSError as error:
        raise Usage(f"{path} could not be read ({error.strerror}).") from None
    if len(text) > SHEET_SIZE:
        raise Usage(f"{path} has more than {SHEET_SIZE >> 20} MiB.")
    # Unlike splitlines, it keeps the line breaks in cells, and knows no others.
    lines = io.StringIO(text, newline="")
    delimiter = "\t" if "\t" in lines.readline() else ","
    lines.seek(0)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows, first = [], 1
    try:
        for row in reader:
            rows.append((first, [cell.strip() for cell in row]))
            first = reader.line_num + 1
    except csv.Error as error:
        raise Usage(f"{path}, line {reader.line_num}: {error}.") from None
    rows = [(line, cells) for line, cells in rows if any(cells)]
    columns = columns_of(path, rows[0][1] if rows else [])
    if len(rows) <= 1:
        raise Usage(f"{path} has no samples.")
    for line, cells in rows[1:]:
        place = f"{path}, line {line}"
        if len(cells) > len(columns):
            raise Usage(f"{place}: {len(cells)} cells in {len(columns)} columns.")
        yield line, place, dict(zip_longest(columns, cells, fillvalue=""))


def source(collection_type: str, elements: Sequence[Any]) -> Body:
    """Return the source of a collection with these elements."""
    return {
        "src": "collection",
        "collection_type": collection_type,
        "elements": elements,
    }
