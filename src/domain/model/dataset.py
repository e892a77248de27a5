"""Datasets, and where Galaxy finds them."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen
from attrs.validators import instance_of

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.values import DatasetId, aware


URL_SCHEMES = frozenset({"http", "https", "ftp"})
"""The schemes that Galaxy may fetch from: ``file:`` would read its disk."""


class Src(Enum):
    """The kinds of data Galaxy holds, in Galaxy's own words."""

    HDA = "hda"  #: a dataset in a history
    LDDA = "ldda"  #: a dataset in a data library
    HDCA = "hdca"  #: a collection in a history


def _filled(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidValue(f"{attribute.name} must be a non-empty text, got {value!r}.")


def _fetchable(_: object, attribute: Attribute[Any], value: object) -> None:
    # urlsplit ignores line breaks, and blanks before the address.
    valid = isinstance(value, str) and value.isprintable() and value == value.strip()
    try:
        parts = urlsplit(str(value))
        valid &= parts.scheme.lower() in URL_SCHEMES and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise InvalidValue(
            f"{attribute.name} must be an http, https or ftp address that Galaxy "
            f"can fetch, got {value!r}."
        )


@frozen
class GalaxyData:
    """Data that is in Galaxy already.

    Attributes:
        src: The kind of data.
        id: Galaxy's encoded id of it.
    """

    src: Src = field(validator=instance_of(Src))
    id: str = field(validator=_filled)


@frozen
class UrlData:
    """Data that Galaxy fetches when the workflow is invoked.

    Attributes:
        url: An http, https or ftp address.
        ext: Galaxy's name of its format, such as ``txt`` or ``fastqsanger.gz``.
    """

    url: str = field(validator=_fetchable)
    ext: str = field(validator=_filled)


Source: TypeAlias = GalaxyData | UrlData


@frozen(kw_only=True)
class Dataset:
    """A dataset that jobs can be run on.

    Attributes:
        dataset_id: The id that clients use, 1 to 255 characters.
        name: For people.
        source: Where Galaxy finds it.
        created_at: When it was registered, time-zone aware.
    """

    dataset_id: DatasetId = field(validator=_filled)
    name: str = field(validator=_filled)
    source: Source
    created_at: datetime = field(validator=aware)

    def __attrs_post_init__(self) -> None:
        if len(self.dataset_id) > 255:  # noqa: PLR2004 - see the docstring
            raise InvalidValue(
                f"dataset_id has {len(self.dataset_id)} characters; 255 at most."
            )

    def same_as(self, other: Dataset) -> bool:
        """Return whether *other* has the same id, name and source."""
        return (self.dataset_id, self.name, self.source) == (
            other.dataset_id,
            other.name,
            other.source,
        )
