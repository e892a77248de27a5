"""The files that are downloaded: their names, versions and places in a zip."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from attrs import frozen


FILE_NAME_LENGTH = 200
"""Bytes of a file name at most, so that every file system takes it."""

_UNSAFE = re.compile(r'[/\\:*?"<>|\s]+')


@frozen
class FileVersion:
    """What distinguishes the bytes of a file from others.

    Attributes:
        size: In bytes.
        tag: A text that is another one if the bytes are others; None: not known.
    """

    size: int
    tag: str | None = None


@frozen(kw_only=True)
class OutputFile:
    """A file that a job has made.

    Attributes:
        dataset_id: The engine's id of the dataset.
        path: The label of the output, and the names of its elements down to it.
        extension: Its format; None where not known.
        size: In bytes, as far as the engine has recorded it.
    """

    dataset_id: str
    path: tuple[str, ...]
    extension: str | None = None
    size: int | None = None

    @property
    def file_name(self) -> str:
        """The name for it that any file system takes."""
        return file_name("_".join(self.path), self.extension)

    @property
    def folders(self) -> tuple[str, ...]:
        """The names of the folders of a collection, above :attr:`file_name`."""
        return tuple(file_name(part) for part in self.path[:-1])

    @property
    def own_name(self) -> str:
        """Its name within its folders."""
        return file_name(self.path[-1], self.extension)


def file_name(name: str, extension: str | None = None) -> str:
    """Return a text as the name of a file: no separators, no control characters.

    Args:
        name: Any text.
        extension: What the name is to end with, behind a dot.
    """
    printable = "".join(
        " " if unicodedata.category(character)[0] in "CZ" else character
        for character in name
    )
    stem = _UNSAFE.sub("_", printable.strip()).lstrip(".").rstrip(". ") or "_"
    end = f".{_UNSAFE.sub('_', extension)}" if extension else ""
    if end and stem.lower().endswith(end.lower()) and len(stem) > len(end):
        end = ""
    room = FILE_NAME_LENGTH - len(end.encode())
    return stem.encode()[: max(room, 1)].decode(errors="ignore") + end


def zip_names(files: Sequence[OutputFile]) -> list[str]:
    """Return the path of each file in a zip.

    No two are equal, whatever the case of letters, and none is that of a folder.
    """
    taken = {
        "/".join(file.folders[: depth + 1]).lower()
        for file in files
        for depth in range(len(file.folders))
    }
    names = []
    for file in files:
        *folders, own = (*file.folders, file.own_name)
        stem, dot, end = own.partition(".")
        number, name = 1, "/".join([*folders, own])
        while name.lower() in taken:
            number += 1
            name = "/".join([*folders, f"{stem} ({number}){dot}{end}"])
        taken.add(name.lower())
        names.append(name)
    return names
