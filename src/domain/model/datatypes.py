"""Formats of data and types of collections: what goes where another is declared.

Rule of the file: only what is certain is wrong. What Galaxy can convert, map over or
may know more of, and every word that is not known here, counts as right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import field, frozen


@frozen
class Datatypes:
    """The formats that a Galaxy server knows.

    Attributes:
        classes: The name of the class of each format.
        ancestors: Of each class the names of those that it is a kind of, its own
            included.
        converters: The formats that each format can be converted to.
    """

    classes: Mapping[str, str] = field(factory=dict, hash=False)
    ancestors: Mapping[str, Collection[str]] = field(factory=dict, hash=False)
    converters: Mapping[str, Collection[str]] = field(factory=dict, hash=False)

    def admit(self, extension: str, wanted: Collection[str]) -> bool:
        """Return whether data in a format may go where one of some is *wanted*."""
        if not wanted or any(self._is_kind_of(extension, one) for one in wanted):
            return True
        return any(
            self._is_kind_of(extension, source)
            and any(
                self._is_kind_of(target, one) for target in targets for one in wanted
            )
            for source, targets in self.converters.items()
        )

    def _is_kind_of(self, extension: str, other: str) -> bool:
        """Return whether it is, or may be."""
        if extension == other or not {extension, other} <= self.classes.keys():
            return True
        of = self.classes[extension]
        return self.classes[other] in self.ancestors.get(of, (self.classes[other],))


def collection_fits(given: str, wanted: str) -> bool:
    """Return whether a collection may go where one of another type is wanted.

    Galaxy maps over a collection whose members, or theirs, are what is wanted: a
    ``list:paired`` goes where a ``paired`` does.

    Args:
        given: Its type.
        wanted: The type, or several with commas.
    """
    parts = _parts(given)
    return any(_ends_with(parts, _parts(type_)) for type_ in wanted.split(","))


def _parts(collection_type: str) -> list[str]:
    # A sample sheet is a list with columns.
    parts = collection_type.strip().split(":")
    return ["list" if part == "sample_sheet" else part for part in parts]


def _ends_with(given: list[str], wanted: list[str]) -> bool:
    if wanted[-1:] == ["paired_or_unpaired"]:
        # Single datasets are unpaired ones.
        whole, without = [*wanted[:-1], "paired"], wanted[:-1]
        same = [*given[:-1], "paired"] if given[-1:] == wanted[-1:] else given
        return _ends_with(same, whole) or not without or _ends_with(given, without)
    if not _KNOWN.issuperset({*given, *wanted}):
        return True
    return given[-len(wanted) :] == wanted


_KNOWN = frozenset({"list", "paired", "paired_or_unpaired", "record"})
