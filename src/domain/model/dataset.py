"""Datasets, and where Galaxy finds them."""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen
from attrs.validators import instance_of

from galaxy_jobs.domain.errors import InvalidValue, shortened
from galaxy_jobs.domain.model.values import DatasetId, aware, check_length


URL_SCHEMES = frozenset({"http", "https", "ftp"})
"""The schemes that Galaxy may fetch from: ``file:`` would read its disk."""

ADDRESS_LENGTH = 4096
"""The longest address that is taken from a client, in characters."""

_SECRET = "auth|cred|jwt|key|pass|pwd|secret|session|sig|token"  # noqa: S105
_SECRETS = {
    # Between these, a text is a part of an address: in one, and within a sentence.
    between: re.compile(
        rf"(?<=://)[^/?#{between}]*(?=@)|"
        rf"(?<=[?&;#])(?=[^=&;#{between}]{{0,100}}(?:{_SECRET}))"
        rf"([^=&;#{between}]+=)[^&#{between}]*",
        re.IGNORECASE,
    )
    for between in ("", r"\s\"'<>`")
}


def masked(text: str, *, address: bool = False) -> str:
    """Return a text with ``***`` for credentials in the addresses within it.

    These are a user and password before the host, and the values of all parameters
    whose names suggest a secret, such as ``X-Amz-Signature``, ``sig``, ``token`` or
    ``AWSAccessKeyId``; without the host, too, as in error messages of Galaxy.

    Args:
        text: An address, or a text that may quote some.
        address: Whether all of it is one address, which may hold blanks and quotes.
    """
    pattern = _SECRETS["" if address else r"\s\"'<>`"]
    return pattern.sub(lambda match: f"{match[1] or ''}***", text)


class Src(Enum):
    """The kinds of data Galaxy holds, in Galaxy's own words."""

    HDA = "hda"  #: a dataset in a history
    LDDA = "ldda"  #: a dataset in a data library
    HDCA = "hdca"  #: a collection in a history


def _filled(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidValue(
            f"{attribute.name} must be a non-empty text, got {shortened(repr(value))}."
        )


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
            f"can fetch, got {shortened(repr(masked(str(value), address=True)))}."
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
        url: An http, https or ftp address. It may contain credentials: show
            :attr:`shown_url` instead.
        ext: Galaxy's name of its format, such as ``txt`` or ``fastqsanger.gz``.
    """

    url: str = field(validator=_fetchable, repr=partial(masked, address=True))
    ext: str = field(validator=_filled)

    @property
    def shown_url(self) -> str:
        """The address without its credentials; see :func:`masked`."""
        return masked(self.url, address=True)


Source: TypeAlias = GalaxyData | UrlData


DELETED = "deleted"
"""The state of data that is deleted in Galaxy, whatever its state was before."""

PURGED = "purged"
"""The state of data whose file is deleted for good."""

_UNUSABLE = {
    "error": "is in error in Galaxy: the job or upload that makes it failed",
    "failed_metadata": "is in error in Galaxy: its metadata could not be set",
    "discarded": "is discarded in Galaxy: there is no file of it",
    DELETED: "is deleted in Galaxy; restore it there to run on it",
    PURGED: "is deleted in Galaxy for good",
}
_UNUSABLE_COLLECTION = {
    "failed": "is in error in Galaxy: it could not be made",
    DELETED: _UNUSABLE[DELETED],
    PURGED: _UNUSABLE[PURGED],
}


@frozen(kw_only=True)
class DataDescription:
    """What Galaxy knows of data that it has.

    Attributes:
        name: Its name in Galaxy; may be empty.
        state: Galaxy's word, :data:`DELETED` or :data:`PURGED`. A collection is
            ``failed`` if it could not be made, ``new`` while it is being made, and
            ``ok`` if all of its datasets are; otherwise it has the state of one that
            is not, ``error`` if there is one.
        extensions: Galaxy's names of the formats of its datasets, sorted: one of a
            single dataset. Empty: not known.
        collection_type: Such as ``list`` or ``list:paired``; None for a single
            dataset.
    """

    name: str = ""
    state: str
    extensions: tuple[str, ...] = ()
    collection_type: str | None = None

    @property
    def extension(self) -> str | None:
        """The format that all of its datasets have; None: several, or not known."""
        return self.extensions[0] if len(self.extensions) == 1 else None

    @property
    def problem(self) -> str | None:
        """Why no job can run on it, a verb and what follows it; None if one can.

        Galaxy waits for data that is being uploaded or made, and fetches what is
        deferred. A collection with datasets in error can be run on, too: some tools
        filter them out. A state that is not known here is for Galaxy to judge.
        """
        unusable = _UNUSABLE if self.collection_type is None else _UNUSABLE_COLLECTION
        return unusable.get(self.state)


@frozen(kw_only=True)
class Dataset:
    """A dataset that jobs can be run on.

    Attributes:
        dataset_id: The id that clients use, 1 to 255 characters.
        name: For people.
        source: Where Galaxy finds it.
        created_at: When it was registered, time-zone aware.
        description: What Galaxy knew of its data when it was registered; None: it
            was not asked.
        described_at: When that was, time-zone aware.
    """

    dataset_id: DatasetId = field(validator=_filled)
    name: str = field(validator=_filled)
    source: Source
    created_at: datetime = field(validator=aware)
    description: DataDescription | None = None
    described_at: datetime | None = field(default=None, validator=aware)

    def __attrs_post_init__(self) -> None:
        check_length("dataset_id", self.dataset_id)

    def check_lengths(self) -> None:
        """Check what is only limited when a dataset is registered.

        Raises:
            InvalidValue: The name or a part of the source is too long.
        """
        check_length("name", self.name)
        match self.source:
            case GalaxyData():
                check_length("source.id", self.source.id)
            case UrlData():
                check_length("source.ext", self.source.ext)
                url, shown = self.source.url, self.source.shown_url
                check_length("source.url", url, ADDRESS_LENGTH, shown)

    def same_as(self, other: Dataset) -> bool:
        """Return whether *other* has the same id, name and source."""
        return (self.dataset_id, self.name, self.source) == (
            other.dataset_id,
            other.name,
            other.source,
        )


@frozen(kw_only=True)
class UnusableDataset:
    """A dataset that another program registered wrongly, as lists have it.

    Attributes:
        dataset_id: Its id.
        name: For people; may be its id, or empty.
        problem: What is wrong, a sentence for people.
        created_at: When it was registered, time-zone aware.
    """

    dataset_id: DatasetId
    name: str
    problem: str
    created_at: datetime
