"""The port to the uploads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from galaxy_jobs.domain.model.dataset import Dataset
from galaxy_jobs.domain.model.upload import Upload, UploadId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports.paging import Cursor, Page


class UploadRepository(Protocol):
    """The uploads. Their files are in an :class:`ObjectStore`.

    An open upload whose time is over is shown as expired, by the store's clock.
    """

    @abstractmethod
    def add(
        self, upload: Upload, *, lifetime: timedelta, max_open: int, max_bytes: int
    ) -> Upload:
        """Store a new upload, and return it with the time at which it expires.

        Args:
            upload: Not stored yet.
            lifetime: For how long from now on it may be completed.
            max_open: The number of open uploads that its owner may have, with it.
            max_bytes: The number of bytes that these may have.

        Returns:
            Another one if its idempotency key is held: by an upload of the same caller
            that is open, being verified or complete.

        Raises:
            QuotaExceeded: Its owner has too much; nothing was stored.
        """

    @abstractmethod
    def get(self, upload_id: UploadId, viewer: Viewer) -> Upload:
        """Return an upload.

        Raises:
            UploadNotFound: There is none that the viewer sees.
        """

    @abstractmethod
    def get_many(
        self, upload_ids: Collection[UploadId], viewer: Viewer
    ) -> Mapping[UploadId, Upload]:
        """Return those of the uploads that the viewer sees, by id."""

    @abstractmethod
    def page(
        self, viewer: Viewer, limit: int, after: Cursor | None = None
    ) -> Page[Upload]:
        """Return at most *limit* uploads after a place, newest first.

        Those of the viewer that are open or being verified; where the viewer owns
        nothing, those of all. Uploads that have expired are left out.

        Raises:
            InvalidValue: The place is none of this list.
        """

    @abstractmethod
    def save(self, before: Upload, after: Upload) -> None:
        """Store a change, and make it due for the next :meth:`claim`.

        Raises:
            StaleVersion: Another change was stored since *before* was read, or it has
                expired meanwhile.
        """

    @abstractmethod
    def complete(self, before: Upload, after: Upload, dataset: Dataset) -> None:
        """Store a change and a dataset, both or none.

        Raises:
            StaleVersion: As for :meth:`save`.
            DatasetExists: Another dataset has that id.
        """

    @abstractmethod
    def claim(self, limit: int, lease: timedelta) -> Sequence[Upload]:
        """Lease uploads that need work, those due for longest first.

        These are the ones being verified, those that have expired, those that failed or
        were given up while the store may still hold something of them, and
        :data:`USE_INTERVAL` after the last change those that are complete. An upload is
        not claimed again before its lease is over.
        """

    @abstractmethod
    def renew(self, upload_id: UploadId, lease: timedelta) -> None:
        """Lease an upload that was claimed for longer, from now on."""

    @abstractmethod
    def is_used(self, upload: Upload) -> bool:
        """Return whether any dataset has the file, also within a collection."""

    @abstractmethod
    def ended(self, kept: timedelta, limit: int) -> Sequence[Upload]:
        """Return uploads that came to nothing, those that expire first before others.

        Args:
            kept: Those whose time was over so long ago, and of which nothing is stored.
            limit: The number of uploads at most.
        """

    @abstractmethod
    def remove(self, upload: Upload) -> None:
        """Remove an upload that :meth:`ended` has returned; again is no error."""
