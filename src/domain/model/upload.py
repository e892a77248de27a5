"""Uploads: files that clients store part by part, until each is a dataset.

Rule 1: every fact about which change is allowed stands in :data:`TRANSITIONS`.
Rule 2: nothing here does I/O, reads a clock or makes an id.

The row of an upload is stored before anything is kept for it, and under a key made of
its id, so that whatever a crash leaves behind is found by its row. A dataset is
registered only once all of the file is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NewType

from attrs import Attribute, evolve, field, frozen

from galaxy_jobs.domain.errors import (
    ChecksumMismatch,
    DatasetExists,
    DomainError,
    InvalidValue,
    QuotaExceeded,
    SizeMismatch,
    UploadEnded,
    UploadExpired,
    UploadIncomplete,
    quoted,
)
from galaxy_jobs.domain.model.dataset import Dataset, UploadData
from galaxy_jobs.domain.model.submission import IdempotencyKey, Problem
from galaxy_jobs.domain.model.values import (
    DatasetId,
    aware,
    check_length,
    check_not_empty,
)
from galaxy_jobs.domain.model.viewer import Viewer


UploadId = NewType("UploadId", str)
"""Our id of an upload."""

MIB = 2**20

USE_INTERVAL = timedelta(days=1)
"""The time after which it is looked whether datasets still have a file."""

PART_SIZE = 64 * MIB
"""The size of parts, unless there would be more than :data:`MAX_PARTS`; in bytes."""

MAX_PARTS = 10_000
"""The number of parts that a store of the S3 kind takes."""

MAX_SIZE = 5 * 2**40
"""The size of the largest object that a store of the S3 kind takes, in bytes."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class UploadState(Enum):
    """The state of an upload. The values are stored and served."""

    OPEN = "open"  #: parts are stored
    VERIFYING = "verifying"  #: all of it is stored; its SHA-256 is computed
    COMPLETE = "complete"  #: it is a dataset
    FAILED = "failed"  #: it is not what was declared
    ABORTED = "aborted"  #: it was given up by its client, or its dataset is removed
    EXPIRED = "expired"  #: it was not completed in time


class UploadEvent(Enum):
    """An event in the life of an upload."""

    BEGUN = "begun"  #: the store keeps parts for it
    WHOLE = "whole"  #: the store has put its parts together
    VERIFIED = "verified"  #: it is what was declared, as far as can be told
    MISMATCH = "mismatch"  #: it is not, or its dataset cannot be registered
    ABORT = "abort"  #: its client asks for it
    TIMEOUT = "timeout"  #: the time for it is over
    UNUSED = "unused"  #: no dataset has it any more


_S = UploadState
_E = UploadEvent

TRANSITIONS: Mapping[UploadState, Mapping[UploadEvent, UploadState]] = MappingProxyType(
    {
        _S.OPEN: {
            _E.BEGUN: _S.OPEN,
            _E.WHOLE: _S.VERIFYING,
            _E.VERIFIED: _S.COMPLETE,
            _E.MISMATCH: _S.FAILED,
            _E.ABORT: _S.ABORTED,
            _E.TIMEOUT: _S.EXPIRED,
        },
        _S.VERIFYING: {
            _E.VERIFIED: _S.COMPLETE,
            _E.MISMATCH: _S.FAILED,
            _E.ABORT: _S.ABORTED,
        },
        # What was given up may be given up again.
        _S.ABORTED: {_E.ABORT: _S.ABORTED},
        _S.FAILED: {_E.ABORT: _S.FAILED},
        _S.EXPIRED: {_E.ABORT: _S.EXPIRED},
        _S.COMPLETE: {_E.UNUSED: _S.ABORTED},
    }
)
"""The state after each event; an event that is not in its row is refused."""


KEPT_STATES = frozenset({_S.OPEN, _S.VERIFYING, _S.COMPLETE})
"""The states of uploads whose files are kept, and whose idempotency keys are held."""


def _name(_: object, attribute: Attribute[Any], value: str) -> None:
    check_not_empty(attribute.name, value)
    if not value.isprintable() or "/" in value or "\\" in value or value in {".", ".."}:
        raise InvalidValue(
            f"{attribute.name} is {quoted(value)}; expected the name of a file, "
            "without folders and control characters."
        )


def _size(_: object, __: object, value: int) -> None:
    if value < 1:
        raise InvalidValue(f"size is {value}; a file to upload has 1 byte or more.")
    if value > MAX_SIZE:
        raise InvalidValue(
            f"size is {value}; expected at most {MAX_SIZE} bytes (5 TiB)."
        )


def sha256(_: object, attribute: Attribute[Any], value: str | None) -> None:
    """Refuse what is no SHA-256 in hexadecimal digits (an attrs validator).

    Raises:
        InvalidValue: It is something else. Upper case, too: Galaxy takes only lower.
    """
    if value is not None and not _SHA256.fullmatch(value):
        raise InvalidValue(
            f"{attribute.name} is {quoted(value)}; expected the 64 hexadecimal digits "
            "of a SHA-256, in lower case."
        )


def part_number(text: str) -> int | None:
    """Return the number of a part that a text spells in digits; None: it spells none.

    Whether an upload has that part is for :meth:`Upload.part` to decide.
    """
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PARTS)):
        return int(text)
    return None


def store_key(upload_id: UploadId) -> str:
    """Return the key of an upload in the store."""
    return f"uploads/{upload_id}"


@frozen(order=True)
class StoredPart:
    """A part that a store has.

    Attributes:
        number: Counting from 1.
        size: In bytes.
    """

    number: int
    size: int


_ASKED = attrgetter("owner", "name", "size", "ext", "dataset_id", "sha256")
"""What the request that opens an upload asks for."""


@frozen(kw_only=True)
class Upload:
    """A file that a client uploads.

    Attributes:
        upload_id: Its id; its key in the store is made of it.
        owner: Whose it is; None: it has no owner.
        name: The name of the file, and of the dataset.
        size: In bytes; no other size is stored.
        ext: Galaxy's name of its format.
        dataset_id: The id that the dataset will have in the store.
        sha256: Of the whole file, in lower case: as the client declared it, and later
            as it was computed. None: not known yet.
        key: The idempotency key that it was opened with, if any.
        state: Its state.
        ref: What the store calls it while parts are stored; None: nothing was begun.
        stored: Whether the store may hold something of it.
        problem: Why it failed; None: it has not.
        created_at: When it was opened, time-zone aware.
        expires_at: When it expires unless it is complete, time-zone aware.
        version: Counts its changes.
    """

    upload_id: UploadId
    owner: str | None = None
    name: str = field(validator=_name)
    size: int = field(validator=_size)
    ext: str
    dataset_id: DatasetId
    sha256: str | None = field(default=None, validator=sha256)
    key: IdempotencyKey | None = None
    state: UploadState = UploadState.OPEN
    ref: str | None = None
    stored: bool = True
    problem: Problem | None = None
    created_at: datetime = field(validator=aware)
    expires_at: datetime = field(validator=aware)
    version: int = 0

    def shown_to(self, viewer: Viewer) -> Upload:
        """Return it with the id of the dataset as a viewer calls it."""
        return evolve(self, dataset_id=viewer.id_of(self.dataset_id))

    def check_lengths(self) -> None:
        """Check what a client sends.

        Raises:
            InvalidValue: A text is empty or too long.
        """
        check_length("name", self.name)
        check_not_empty("ext", self.ext)
        check_length("ext", self.ext)
        check_not_empty("dataset_id", self.dataset_id)
        check_length("dataset_id", self.dataset_id)

    @property
    def store_key(self) -> str:
        """Its key in the store: never the name that a client gave."""
        return store_key(self.upload_id)

    @property
    def part_size(self) -> int:
        """The size of each part but the last, in bytes: a whole number of MiB."""
        return max(PART_SIZE, -(-self.size // (MAX_PARTS * MIB)) * MIB)

    @property
    def parts(self) -> int:
        """The number of its parts."""
        return -(-self.size // self.part_size)

    def part(self, number: int) -> StoredPart:
        """Return a part as it is to be.

        Raises:
            InvalidValue: It has no such part.
        """
        if not 1 <= number <= self.parts:
            raise InvalidValue(
                f"There is no part {number}; expected numbers from 1 to {self.parts}."
            )
        rest = self.size - self.offset(number)
        return StoredPart(number, min(self.part_size, rest))

    def offset(self, number: int) -> int:
        """Return where in the file a part begins, in bytes."""
        return (number - 1) * self.part_size

    def missing(self, stored: Iterable[StoredPart]) -> Sequence[int]:
        """Return the numbers of the parts that are not there with their size."""
        there = set(stored)
        numbers = range(1, self.parts + 1)
        return [number for number in numbers if self.part(number) not in there]

    @property
    def data(self) -> UploadData:
        """What a dataset of it has as its source."""
        return UploadData(self.upload_id)

    def dataset(self, now: datetime) -> Dataset:
        """Return the dataset that it becomes."""
        return Dataset(
            dataset_id=self.dataset_id,
            name=self.name,
            source=self.data,
            created_at=now,
            owner=self.owner,
        )

    def same_as(self, other: Upload) -> bool:
        """Return whether both were opened by the same request, but for the id."""
        return _ASKED(self) == _ASKED(other)

    def check_quota(
        self, number: int, size: int, *, max_open: int, max_bytes: int
    ) -> None:
        """Check that its owner may open it.

        Args:
            number: Of the uploads that they have open.
            size: Of all of these, in bytes.
            max_open: The number that they may have.
            max_bytes: The bytes that these may have.

        Raises:
            QuotaExceeded: They would have more.
        """
        if number >= max_open:
            raise QuotaExceeded(
                f"{number} uploads are open, and no more than {max_open} may be. "
                "Complete or abort some first."
            )
        if size + self.size > max_bytes:
            raise QuotaExceeded(
                f"The open uploads would have {size + self.size} bytes with this one; "
                f"no more than {max_bytes} are allowed."
            )

    # --- what may be done now ---------------------------------------------------

    def check_open(self) -> None:
        """Check that parts can be stored.

        Raises:
            UploadExpired: It has expired.
            UploadFailed: It is not what was declared.
            UploadEnded: It is complete or aborted.
        """
        match self.state:
            case UploadState.OPEN:
                return
            case UploadState.EXPIRED:
                raise UploadExpired(self.upload_id)
            case UploadState.FAILED:
                raise self._failure()
            case _:
                raise UploadEnded(self.upload_id, self.state.value)

    def check_parts(self, stored: Iterable[StoredPart]) -> None:
        """Check that all parts are there.

        Raises:
            UploadIncomplete: Some are not.
            SizeMismatch: One has another size, or there is one too many.
        """
        there = list(stored)
        odd = [p for p in there if p.number > self.parts or p != self.part(p.number)]
        if odd:
            raise SizeMismatch(f"Part {odd[0].number} has {odd[0].size} bytes.")
        if missing := self.missing(there):
            raise UploadIncomplete(self.upload_id, missing)

    # --- what happens to it -----------------------------------------------------

    def begun(self, ref: str) -> Upload:
        """Return it with what the store calls it."""
        return evolve(self._after(_E.BEGUN), ref=ref)

    def whole(self) -> Upload:
        """Return it with its parts put together."""
        return self._after(_E.WHOLE)

    def verified(self, digest: str | None) -> Upload:
        """Return it complete.

        Args:
            digest: Its SHA-256 as it was computed; None: it was not.

        Raises:
            ChecksumMismatch: It is not the one that was declared.
        """
        if digest is not None and self.sha256 not in {None, digest}:
            assert self.sha256 is not None
            raise ChecksumMismatch.between(self.sha256, digest)
        return evolve(self._after(_E.VERIFIED), sha256=digest or self.sha256)

    def failed(self, error: DomainError) -> Upload:
        """Return it failed for a reason."""
        return evolve(self._after(_E.MISMATCH), problem=Problem.of(error))

    def aborted(self) -> Upload:
        """Return it given up by its client.

        Raises:
            UploadEnded: It is complete: its dataset can be removed instead.
        """
        return self._after(_E.ABORT)

    def expired(self) -> Upload:
        """Return it given up since its time is over."""
        return self._after(_E.TIMEOUT)

    def unused(self) -> Upload:
        """Return it given up since no dataset has it any more."""
        return self._after(_E.UNUSED)

    def discarded(self) -> Upload:
        """Return it with nothing left of it in the store."""
        return evolve(self, stored=False, version=self.version + 1)

    def _after(self, event: UploadEvent) -> Upload:
        state = TRANSITIONS[self.state].get(event)
        if state is None:
            raise UploadEnded(self.upload_id, self.state.value)
        return evolve(self, state=state, version=self.version + 1)

    def _failure(self) -> DomainError:
        assert self.problem is not None
        match self.problem.code:
            case ChecksumMismatch.code:
                return ChecksumMismatch(self.problem.detail)
            case DatasetExists.code:
                return DatasetExists(self.dataset_id)
            case _:
                return SizeMismatch(self.problem.detail)


@frozen(kw_only=True)
class PartRequest:
    """The request by which a client stores a part.

    Attributes:
        number: Of the part.
        offset: Where in the file it begins, in bytes.
        size: In bytes; no other size is taken.
        method: ``PUT``.
        url: The address; with only a path, it is one of this service.
        headers: Those that have to be sent with it.
        expires_at: When it expires, time-zone aware.
    """

    number: int
    offset: int
    size: int
    method: str = "PUT"
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    expires_at: datetime
