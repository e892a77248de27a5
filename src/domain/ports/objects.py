"""The port to the store of files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from attrs import field, frozen

from galaxy_jobs.domain.model.upload import StoredPart


@frozen(kw_only=True)
class SignedRequest:
    """A request that anyone may send until it expires.

    Attributes:
        url: The address; with only a path, it is one of this service.
        headers: Those that have to be sent with it.
        expires_at: When it expires, time-zone aware.
    """

    url: str = field(repr=False)
    headers: dict[str, str] = field(factory=dict, repr=False, hash=False)
    expires_at: datetime


class ObjectStore(Protocol):
    """A store of files, each by its key, that are put together from parts.

    Clients send parts to signed addresses, and the sizes are part of the signature: a
    store takes nothing else. A part that is sent again replaces the one before; a store
    that cannot tell which of the two is the later one has neither, so that it has to be
    sent once more. Until :meth:`finish`, no file can be read under the key. Every
    method may be called from several threads and processes at once, and may raise
    :class:`StorageUnavailable`: the store could not be reached, is full, or refuses us.
    """

    @abstractmethod
    def begin(self, key: str, size: int) -> str:
        """Begin a file, and return what the store calls this beginning.

        Raises:
            StorageUnavailable: Also where it has no room for so many bytes.
        """

    @abstractmethod
    def sign_part(
        self,
        key: str,
        ref: str,
        part: StoredPart,
        *,
        offset: int,
        sha256: str | None = None,
        lifetime: timedelta,
    ) -> SignedRequest:
        """Return the request, a PUT, that stores one part. Nothing is asked.

        Args:
            key: Of the file.
            ref: As :meth:`begin` returned it.
            part: Its number, and the size that the body has to have.
            offset: Where in the file it begins, in bytes.
            sha256: Of the body, in lower-case hexadecimal digits, which it has to
                have; None: any.
            lifetime: At most seven days.
        """

    @abstractmethod
    def parts(self, key: str, ref: str) -> Sequence[StoredPart]:
        """Return the parts that are stored, by number; none if nothing is begun."""

    @abstractmethod
    def finish(self, key: str, ref: str, size: int) -> str | None:
        """Put the parts together; a file that is finished already stays as it is.

        Args:
            key: Of the file.
            ref: As :meth:`begin` returned it.
            size: That it has to have.

        Returns:
            Its SHA-256 if that is known without reading it, in lower case.

        Raises:
            SizeMismatch: The parts, or the file that is there, have another size, or
                there are none. The parts stay.
            StorageUnavailable: Also where a part is being stored at this moment.
        """

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Return the size of a finished file; None: there is none."""

    @abstractmethod
    def read(self, key: str) -> AbstractContextManager[Iterator[bytes]]:
        """Return a block in which a finished file is read, in pieces.

        Raises:
            ObjectNotFound: There is none.
        """

    @abstractmethod
    def sign_read(self, key: str, name: str, lifetime: timedelta) -> str | None:
        """Return an address from which anyone may read a file until it expires.

        None if the store has no addresses of its own: then :meth:`read` it.

        Args:
            key: Of the file.
            name: As which it is saved.
            lifetime: At most seven days.
        """

    @abstractmethod
    def discard(self, key: str) -> None:
        """Remove a file, and all that was begun under its key; none is no error.

        Others may remove the same at the same time.
        """

    @abstractmethod
    def now(self) -> datetime | None:
        """Return the time by the store's own clock; None: it has none of its own.

        Raises:
            StorageUnavailable: Also where the place that is configured does not exist
                there, or may not be written to.
        """
