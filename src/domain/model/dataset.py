"""Datasets, and where Galaxy finds them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from attrs import Attribute, Factory, evolve, field, frozen
from attrs.validators import instance_of, optional

from galaxy_jobs.domain.errors import (
    InvalidCollection,
    InvalidValue,
    listed,
    quoted,
    shortened,
)
from galaxy_jobs.domain.model.labels import Labels, valid_labels
from galaxy_jobs.domain.model.values import (
    NAME_LENGTH,
    DatasetId,
    aware,
    check_length,
)
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer, namespace


URL_SCHEMES = ("http", "https", "ftp")
"""The schemes of addresses that are allowed unless others are configured."""

NEVER_SCHEMES = frozenset({"file", "base64"})
"""The schemes that are never allowed: ``file:`` would read the disk of Galaxy."""

ADDRESS_LENGTH = 4096
"""The longest address that is taken from a client, in characters."""

ELEMENTS_LIMIT = 10_000
"""The most datasets in one collection."""

RANKS_LIMIT = 4
"""The most levels of a collection: ``list:list:list:paired`` has four."""

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


_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


def _fetchable(_: object, attribute: Attribute[Any], value: object) -> None:
    # urlsplit ignores line breaks, and blanks before the address.
    valid = isinstance(value, str) and value.isprintable() and value == value.strip()
    try:
        parts = urlsplit(str(value))
        scheme = parts.scheme.lower()
        valid &= bool(scheme and parts.hostname) and scheme not in NEVER_SCHEMES
    except ValueError:
        valid = False
    if not valid:
        raise _not_fetchable(attribute.name, str(value), URL_SCHEMES)


def _not_fetchable(name: str, url: str, schemes: Collection[str]) -> InvalidValue:
    *others, last = schemes
    kinds = f"{', '.join(others)} or {last}" if others else last
    return InvalidValue(
        f"{name} must be {'an' if kinds[0] in 'aeiouh' else 'a'} {kinds} address that "
        f"Galaxy can fetch, got {shortened(repr(masked(url, address=True)))}."
    )


def check_scheme_name(name: str) -> None:
    """Check the name of a scheme that is to be allowed.

    Raises:
        InvalidValue: It is malformed, or one of :data:`NEVER_SCHEMES`.
    """
    if name in NEVER_SCHEMES:
        raise InvalidValue(
            f"schemes has {name!r}, which is never allowed: Galaxy would read its own "
            "disk, or the address itself."
        )
    if not _SCHEME.fullmatch(name):
        raise InvalidValue(
            f"schemes has {name!r}; expected the beginning of addresses up to the "
            "colon in lower case, such as 'https' or 's3'."
        )


def _digest(digits: int) -> Any:
    """Return the field of a checksum of so many hexadecimal digits."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or not re.fullmatch(
            rf"[0-9a-f]{{{digits}}}", value
        ):
            raise InvalidValue(
                f"{attribute.name} must have {digits} hexadecimal digits, got "
                f"{shortened(repr(value), 80)}."
            )

    return field(
        default=None,
        kw_only=True,
        # In capitals, Galaxy would take it for another one.
        converter=lambda value: value.lower() if isinstance(value, str) else value,
        validator=optional(check),
    )


def _true_or_false(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidValue(
            f"{attribute.name} must be true or false, got {shortened(repr(value))}."
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
        url: An address of a scheme that is allowed; see :func:`check_schemes`. It may
            contain credentials: show :attr:`shown_url` instead.
        ext: Galaxy's name of its format, such as ``txt`` or ``fastqsanger.gz``.
        name: Its name in Galaxy; None: the end of the address, or that of the element
            of a collection.
        sha256: The SHA-256 of the bytes, 64 hexadecimal digits in lower case. Galaxy
            compares it: without one, an answer that is cut off counts as whole.
        md5: The same with MD5, 32 digits.
        dbkey: Galaxy's name of the genome build, such as ``hg38``.
        deferred: Whether Galaxy fetches it only for the jobs that need it, each time.
    """

    url: str = field(validator=_fetchable, repr=partial(masked, address=True))
    ext: str = field(validator=_filled)
    name: str | None = field(default=None, validator=optional(_filled), kw_only=True)
    sha256: str | None = _digest(64)
    md5: str | None = _digest(32)
    dbkey: str | None = field(default=None, validator=optional(_filled), kw_only=True)
    deferred: bool = field(default=False, validator=_true_or_false, kw_only=True)

    @property
    def shown_url(self) -> str:
        """The address without its credentials; see :func:`masked`."""
        return masked(self.url, address=True)


@frozen
class UploadedFile:
    """A file that is sent to Galaxy.

    Attributes:
        name: Its name in Galaxy.
        ext: Galaxy's name of its format.
        size: In bytes.
        sha256: As for :class:`UrlData`.
        read: Returns a block in which it is read, in pieces; see
            :meth:`ObjectStore.read`.
    """

    name: str
    ext: str
    size: int
    sha256: str | None
    read: Callable[[], AbstractContextManager[Iterator[bytes]]] = field(repr=False)


@frozen
class UploadData:
    """A file that was uploaded through us.

    Attributes:
        upload_id: Our id of the upload.
        file: What is sent to a Galaxy that cannot fetch it from us; None: nothing.
    """

    upload_id: str = field(validator=_filled)
    file: UploadedFile | None = field(default=None, eq=False, repr=False)


@frozen
class DatasetRef:
    """A reference to a registered dataset."""

    dataset_id: DatasetId = field(validator=_filled)


Single: TypeAlias = GalaxyData | UrlData | UploadData
"""Data that is no collection of ours."""

Content: TypeAlias = "Single | DatasetRef | tuple[SourceElement, ...]"
"""What an element of a collection is: data, or further elements."""


@frozen
class SourceElement:
    """An element of a collection.

    Attributes:
        name: Galaxy's identifier of it, 1 to 255 characters.
        content: Its data, or its own elements.
    """

    name: str
    content: Content


@frozen
class CollectionData:
    """A collection, made in the history of each run from data of any kind.

    Attributes:
        collection_type: Its levels from the outermost on: ``list`` or ``paired``, with
            colons, such as ``list:paired``.
        elements: Of the outermost level, in order; None: left out, as in lists.
        allow_empty: Whether a list in it may have no elements.
        count: The number of elements of the outermost level.

    Raises:
        InvalidCollection: The type is unknown; the elements do not have its shape (a
            pair has ``forward`` and ``reverse``); two of a level have the same name; a
            list is empty; or there are more than :data:`ELEMENTS_LIMIT`.
    """

    collection_type: str
    elements: tuple[SourceElement, ...] | None = field(repr=False)
    allow_empty: bool = field(default=False, validator=_true_or_false)
    count: int = field(default=0)

    def __attrs_post_init__(self) -> None:
        type_: object = self.collection_type
        ranks = type_.split(":") if isinstance(type_, str) else []
        if not {"list", "paired"}.issuperset(ranks) or not (
            1 <= len(ranks) <= RANKS_LIMIT
        ):
            raise InvalidCollection(
                f"collection_type must be 'list', 'paired', or up to {RANKS_LIMIT} of "
                f"them with colons, such as 'list:paired', got {quoted(str(type_))}."
            )
        if self.elements is None:
            return
        object.__setattr__(self, "count", len(self.elements))
        _check_level(self.elements, ranks, "", allow_empty=self.allow_empty)
        if (size := sum(1 for _ in self.leaves())) > ELEMENTS_LIMIT:
            raise InvalidCollection(
                f"The collection has {size} datasets; expected at most "
                f"{ELEMENTS_LIMIT}."
            )

    def leaves(self) -> Iterator[tuple[str, Single | DatasetRef]]:
        """Yield the data of all levels, with its place: ``sample 1/forward``."""
        return _leaves(self.elements or ())

    def without_elements(self) -> CollectionData:
        """Return it as it is listed."""
        return evolve(self, elements=None, count=self.count)


def _leaves(
    elements: Sequence[SourceElement], above: str = ""
) -> Iterator[tuple[str, Single | DatasetRef]]:
    for element in elements:
        place = f"{above}{element.name}"
        if isinstance(element.content, tuple):
            yield from _leaves(element.content, f"{place}/")
        else:
            yield place, element.content


def _check_level(
    elements: Sequence[SourceElement],
    ranks: Sequence[str],
    place: str,
    *,
    allow_empty: bool,
) -> None:
    """Check the elements of one level, and those below.

    Args:
        elements: Those of the level.
        ranks: The type of the level, and of those below.
        place: The names down to the level, each with a slash behind it.
        allow_empty: Whether a list may have none.

    Raises:
        InvalidCollection: They do not fit.
    """
    where = f"Element {quoted(place[:-1])}" if place else "The collection"
    names = [element.name for element in elements]
    for name in names:
        _check_element_name(name, where)
    if twice := next((name for name, n in Counter(names).items() if n > 1), None):
        raise InvalidCollection(
            f"{where} has two elements with the name {quoted(twice)}."
        )
    if ranks[0] == "paired" and set(names) != {"forward", "reverse"}:
        raise InvalidCollection(
            f"{where} is a pair, with the elements 'forward' and 'reverse', got "
            f"{listed(names) or 'none'}."
        )
    if not names and not allow_empty:
        raise InvalidCollection(f"{where} has no elements.")
    for element in elements:
        content, here = element.content, f"{place}{element.name}"
        is_set = isinstance(content, GalaxyData) and content.src is Src.HDCA
        if len(ranks) == 1 and (is_set or isinstance(content, tuple)):
            raise InvalidCollection(
                f"Element {quoted(here)} is a collection; expected a single dataset."
            )
        if isinstance(content, tuple):
            _check_level(content, ranks[1:], f"{here}/", allow_empty=allow_empty)
        elif len(ranks) > 1 and not is_set and not isinstance(content, DatasetRef):
            raise InvalidCollection(
                f"Element {quoted(here)} is a single dataset; expected a collection of "
                f"type {':'.join(ranks[1:])}."
            )


def _check_element_name(name: object, where: str) -> None:
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= NAME_LENGTH
        or not name.isprintable()
        or name != name.strip()
    ):
        shown = quoted(name) if isinstance(name, str) else type(name).__name__
        raise InvalidCollection(
            f"{where} has an element with the name {shown}; expected 1 to "
            f"{NAME_LENGTH} printable characters, without blanks around them."
        )


Source: TypeAlias = Single | CollectionData


def leaves_of(
    source: Source,
) -> Iterator[tuple[str, Single | DatasetRef]]:
    """Yield the data of a source, with its place in a collection, or an empty text."""
    if isinstance(source, CollectionData):
        yield from source.leaves()
    else:
        yield "", source


def check_schemes(source: Source, schemes: Collection[str]) -> None:
    """Check that all addresses of a source are of schemes that are allowed.

    Raises:
        InvalidValue: One is not.
    """
    for place, data in leaves_of(source):
        if isinstance(data, UrlData):
            scheme = urlsplit(data.url).scheme.lower()
            if scheme in NEVER_SCHEMES or scheme not in schemes:
                name = f"url of element {quoted(place)}" if place else "url"
                raise _not_fetchable(name, data.url, schemes)


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
        dataset_id: The id that its viewer uses, 1 to 255 characters.
        stored_id: Its id in the store; see :mod:`galaxy_jobs.domain.model.viewer`.
        owner: The owner that registered it, or None.
        name: For people.
        source: Where Galaxy finds it.
        created_at: When it was registered, time-zone aware.
        description: What Galaxy knew of its data when it was registered; None: it
            was not asked.
        described_at: When that was, time-zone aware.
        labels: What it is sorted and found by.
    """

    dataset_id: DatasetId = field(validator=_filled)
    name: str = field(validator=_filled)
    source: Source
    created_at: datetime = field(validator=aware)
    description: DataDescription | None = None
    described_at: datetime | None = field(default=None, validator=aware)
    labels: Labels = field(factory=dict[str, str], validator=valid_labels)
    owner: str | None = None
    stored_id: DatasetId = field(
        default=Factory(lambda self: self.dataset_id, takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        check_length("dataset_id", self.dataset_id)

    @property
    def viewer(self) -> Viewer:
        """The viewer by whose ids its source refers to other datasets."""
        if self.owner and self.stored_id.startswith(namespace(self.owner)):
            return Viewer(owner=self.owner, sees_all=False)
        return SERVICE

    def owned_by(self, viewer: Viewer) -> Dataset:
        """Return it as a dataset that a viewer registers.

        Raises:
            InvalidValue: Its id is too long.
        """
        stored_id = viewer.stored_ids(self.dataset_id)[0]
        longest = NAME_LENGTH - len(stored_id) + len(self.dataset_id)
        check_length("dataset_id", self.dataset_id, longest)
        return evolve(self, owner=viewer.owner, stored_id=stored_id)

    def check_lengths(self) -> None:
        """Check what is only limited when a dataset is registered.

        Raises:
            InvalidValue: The name or a part of the source is too long.
        """
        check_length("name", self.name)
        for place, data in leaves_of(self.source):
            what = f"source of element {quoted(place)}" if place else "source"
            _check_lengths(what, data)

    def as_listed(self) -> Dataset:
        """Return it without the elements of a collection."""
        if isinstance(self.source, CollectionData):
            return evolve(self, source=self.source.without_elements())
        return self

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
        owner: Its owner, or None.
        problem: What is wrong, a sentence for people.
        created_at: When it was registered, time-zone aware.
    """

    dataset_id: DatasetId
    name: str
    problem: str
    created_at: datetime
    owner: str | None = None


def _check_lengths(what: str, data: Single | DatasetRef) -> None:
    match data:
        case GalaxyData():
            check_length(f"{what}.id", data.id)
        case DatasetRef():
            check_length(f"{what}.dataset_id", data.dataset_id)
        case UploadData():
            check_length(f"{what}.upload_id", data.upload_id)
        case UrlData():
            check_length(f"{what}.ext", data.ext)
            check_length(f"{what}.name", data.name or "")
            check_length(f"{what}.dbkey", data.dbkey or "")
            check_length(f"{what}.url", data.url, ADDRESS_LENGTH, data.shown_url)
