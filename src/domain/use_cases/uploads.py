"""Upload files, part by part, and register each as a dataset once it is whole.

What a crash leaves behind, after each step of an upload:

1. the row is stored: nothing is kept for it; it expires;
2. the store has begun a file under its key: it expires, and all under the key is
   removed;
3. the parts are put together: completing it again finds the whole file;
4. its SHA-256 is computed: the lease of the sweep that did so runs out, and the next
   sweep computes it again;
5. the row and the dataset change in one transaction.

Every step is a compare-and-set against the others: the loser reads again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

from attrs import evolve, field, frozen

from galaxy_jobs.domain.errors import (
    ChecksumMismatch,
    DatasetExists,
    DatasetNotFound,
    DomainError,
    InvalidSource,
    InvalidValue,
    KeyReused,
    SizeMismatch,
    StaleVersion,
    StorageUnavailable,
    UploadIncomplete,
)
from galaxy_jobs.domain.model.dataset import (
    Dataset,
    UploadData,
    UploadedFile,
    UrlData,
)
from galaxy_jobs.domain.model.signing import Signer
from galaxy_jobs.domain.model.submission import IdempotencyKey
from galaxy_jobs.domain.model.upload import (
    KEPT_STATES,
    PART_SIZE,
    USE_INTERVAL,
    PartRequest,
    StoredPart,
    Upload,
    UploadId,
    UploadState,
    store_key,
)
from galaxy_jobs.domain.model.values import DatasetId, positive
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import (
    Clock,
    DatasetRepository,
    ObjectStore,
    UploadRepository,
)
from galaxy_jobs.domain.use_cases.sources import complete


MAX_SIGNED_PARTS = 100
"""The number of parts that are signed at once."""

LEASE = timedelta(minutes=1)
"""The time after which an upload is swept again whose sweeper has died."""


@frozen(kw_only=True)
class UploadPolicy:
    """The limits of uploads.

    Attributes:
        upload_lifetime: After this, an upload that is not complete expires.
        part_lifetime: For how long a part may be stored once it was signed.
        data_lifetime: For how long Galaxy may fetch a file once a job was submitted on
            it: it may wait in a queue.
        read_lifetime: For how long the address of the store lives that it is led to.
        max_open: The number of uploads that one owner may have open.
        max_bytes: The bytes of all of them.
        ended_lifetime: For how long an upload that came to nothing is shown after its
            time was over.
        verify_size: Of larger files no SHA-256 is computed here, in bytes: Galaxy
            compares one that was declared when it fetches the file.

    Raises:
        InvalidValue: A number or duration is not above zero.
    """

    upload_lifetime: timedelta = field(default=timedelta(hours=24), validator=positive)
    part_lifetime: timedelta = field(default=timedelta(hours=1), validator=positive)
    data_lifetime: timedelta = field(default=timedelta(days=7), validator=positive)
    read_lifetime: timedelta = field(default=timedelta(minutes=10), validator=positive)
    max_open: int = field(default=1000, validator=positive)
    max_bytes: int = field(default=2**40, validator=positive)
    ended_lifetime: timedelta = field(default=timedelta(days=30), validator=positive)
    verify_size: int = field(default=100 * 2**30, validator=positive)


@frozen
class OpenUpload:
    """Opens uploads."""

    uploads: UploadRepository
    datasets: DatasetRepository
    store: ObjectStore
    clock: Clock
    policy: UploadPolicy = UploadPolicy()
    new_id: Callable[[], UUID] = uuid4

    def __call__(
        self,
        viewer: Viewer,
        *,
        name: str,
        size: int,
        ext: str,
        sha256: str | None = None,
        dataset_id: DatasetId | None = None,
        key: IdempotencyKey | None = None,
    ) -> tuple[Upload, bool]:
        """Open an upload, and return it and whether it had been opened before.

        Args:
            viewer: Whose it is.
            name: The name of the file, and of the dataset.
            size: In bytes.
            ext: Galaxy's name of its format.
            sha256: Of the whole file, in lower case, if its client knows it.
            dataset_id: The id of the dataset; None: a new one.
            key: A request repeated with its key opens no other upload.

        Raises:
            InvalidValue: A text is empty or too long, or the size is 0 or above 5 TiB.
            DatasetExists: There is a dataset with that id.
            QuotaExceeded: The owner has too many uploads open, or too much in them.
            KeyReused: The key belongs to another request.
            StorageUnavailable: The store of files cannot be used.
        """
        now, upload_id = self.clock(), UploadId(str(self.new_id()))
        named = dataset_id or DatasetId(upload_id)
        stored_id = viewer.stored_ids(named)[0]
        new = Upload(
            upload_id=upload_id,
            owner=viewer.owner,
            name=name,
            size=size,
            ext=ext,
            dataset_id=stored_id,
            sha256=sha256,
            key=key,
            created_at=now,
            expires_at=now + self.policy.upload_lifetime,
        )
        new.check_lengths()
        upload = self.uploads.add(
            new,
            lifetime=self.policy.upload_lifetime,
            max_open=self.policy.max_open,
            max_bytes=self.policy.max_bytes,
        )
        if replayed := upload.upload_id != upload_id:
            asked = evolve(
                new,
                dataset_id=stored_id if dataset_id else upload.dataset_id,
                sha256=sha256 or upload.sha256,
            )
            if not upload.same_as(asked):
                raise KeyReused
        elif dataset_id is not None:
            self._check_free(upload, viewer)
        if upload.state is UploadState.OPEN and upload.ref is None:
            upload = self._begin(upload, viewer)
        return upload.shown_to(viewer), replayed

    def _begin(self, upload: Upload, viewer: Viewer) -> Upload:
        try:
            begun = upload.begun(self.store.begin(upload.store_key, upload.size))
        except StorageUnavailable:
            with suppress(DomainError):  # or it expires
                self.uploads.save(upload, upload.aborted())
            raise
        try:
            self.uploads.save(upload, begun)
        except StaleVersion:  # a repeated request was faster
            stored = self.uploads.get(upload.upload_id, viewer)
            if stored.state not in KEPT_STATES:  # and this began after its removal
                self.store.discard(upload.store_key)
            return stored
        return begun

    def _check_free(self, upload: Upload, viewer: Viewer) -> None:
        dataset_id = viewer.id_of(upload.dataset_id)
        with suppress(DatasetNotFound):
            with suppress(InvalidSource):
                self.datasets.get(dataset_id, viewer)
            with suppress(DomainError):
                self.uploads.save(upload, upload.aborted())
            raise DatasetExists(dataset_id)


@frozen
class SignParts:
    """Signs requests that store parts of uploads."""

    uploads: UploadRepository
    store: ObjectStore
    policy: UploadPolicy = UploadPolicy()

    def __call__(
        self,
        viewer: Viewer,
        upload_id: UploadId,
        numbers: Sequence[int],
        sha256: Mapping[int, str] | None = None,
    ) -> Sequence[PartRequest]:
        """Return the request for each part.

        Args:
            viewer: Who asks.
            upload_id: The upload.
            numbers: Of the parts, counting from 1; at most :data:`MAX_SIGNED_PARTS`.
            sha256: Of parts by their numbers, as far as the client knows them.

        Raises:
            UploadNotFound: There is none that the viewer sees.
            UploadExpired, UploadEnded, ChecksumMismatch, SizeMismatch: It takes no
                parts any more.
            InvalidValue: It has no such part, or too many were named.
            StorageUnavailable: The store of files cannot be used.
        """
        upload = self.uploads.get(upload_id, viewer)
        upload.check_open()
        if not 0 < len(numbers) <= MAX_SIGNED_PARTS:
            raise InvalidValue(
                f"numbers has {len(numbers)} numbers; expected 1 to {MAX_SIGNED_PARTS}."
            )
        return [self.sign(upload, n, (sha256 or {}).get(n)) for n in numbers]

    def sign(
        self, upload: Upload, number: int, sha256: str | None = None
    ) -> PartRequest:
        """Return the request for one part of an open upload.

        Raises:
            InvalidValue: It has no such part.
            StorageUnavailable: The store of files cannot be used.
        """
        part = upload.part(number)
        if sha256 is None and upload.parts == 1:
            sha256 = upload.sha256
        assert upload.ref is not None
        signed = self.store.sign_part(
            upload.store_key,
            upload.ref,
            part,
            offset=upload.offset(number),
            sha256=sha256,
            lifetime=self.policy.part_lifetime,
        )
        return PartRequest(
            number=number,
            offset=upload.offset(number),
            size=part.size,
            url=signed.url,
            headers=signed.headers,
            expires_at=signed.expires_at,
        )


@frozen(kw_only=True)
class Received:
    """An upload, and what is stored of it.

    Attributes:
        upload: The upload.
        parts: The parts that are stored as they are to be.
    """

    upload: Upload
    parts: Sequence[StoredPart]

    @property
    def bytes(self) -> int:
        """The bytes of these parts."""
        return sum(part.size for part in self.parts)

    @property
    def missing(self) -> Sequence[int]:
        """The numbers of the other parts; none once it is whole."""
        return self.upload.missing(self.parts)


@frozen
class ShowUpload:
    """Shows an upload with what is stored of it."""

    uploads: UploadRepository
    store: ObjectStore

    def __call__(self, viewer: Viewer, upload_id: UploadId) -> Received:
        """Return it.

        Raises:
            UploadNotFound: There is none that the viewer sees.
            StorageUnavailable: The store of files cannot be used.
        """
        upload = self.uploads.get(upload_id, viewer)
        numbers = range(1, upload.parts + 1)
        parts: Sequence[StoredPart] = ()
        match upload.state:
            case UploadState.VERIFYING | UploadState.COMPLETE:
                parts = [upload.part(number) for number in numbers]
            case UploadState.OPEN if upload.ref is not None:
                stored = self.store.parts(upload.store_key, upload.ref)
                parts = [
                    part
                    for part in stored
                    if part.number in numbers and part == upload.part(part.number)
                ]
                if not stored and self.store.size(upload.store_key) == upload.size:
                    parts = [upload.part(number) for number in numbers]
            case _:
                pass
        return Received(upload=upload.shown_to(viewer), parts=parts)


@frozen(kw_only=True)
class Completed:
    """An upload of which all parts are stored.

    Attributes:
        upload: The upload, complete or being verified.
        dataset: What it has become; None: it is being verified, or the dataset was
            removed since.
    """

    upload: Upload
    dataset: Dataset | None

    @property
    def verifying(self) -> bool:
        """Whether its SHA-256 is still computed."""
        return self.upload.state is UploadState.VERIFYING


@frozen
class CompleteUpload:
    """Completes uploads."""

    uploads: UploadRepository
    store: ObjectStore
    clock: Clock
    datasets: DatasetRepository
    policy: UploadPolicy = UploadPolicy()

    def __call__(self, viewer: Viewer, upload_id: UploadId) -> Completed:
        """Put the parts of an upload together, and register it as a dataset.

        A file of one part is verified at once, as are those that are not verified
        here at all; others by a sweep: they are returned in the state ``verifying``.
        Repeating it changes nothing.

        Raises:
            UploadNotFound: There is none that the viewer sees.
            UploadIncomplete: Some parts are not stored.
            UploadExpired: It has expired.
            UploadEnded: It was aborted.
            SizeMismatch, ChecksumMismatch: It is not what was declared.
            DatasetExists: There is a dataset with its id by now; it is discarded.
            InvalidSource: Another program has changed its dataset since.
            StorageUnavailable: The store of files cannot be used.
        """
        upload = self._completed(viewer, upload_id).shown_to(viewer)
        dataset = None
        if upload.state is UploadState.COMPLETE:
            with suppress(DatasetNotFound):
                dataset = self.datasets.get(upload.dataset_id, viewer)
        return Completed(upload=upload, dataset=dataset)

    def _completed(self, viewer: Viewer, upload_id: UploadId) -> Upload:
        upload = self.uploads.get(upload_id, viewer)
        if upload.state in {UploadState.COMPLETE, UploadState.VERIFYING}:
            return upload
        upload.check_open()
        digest = self._finish(upload)
        try:
            return self._settle(upload, digest)
        except StaleVersion:
            # Another request or a sweep was faster.
            upload = self.uploads.get(upload_id, viewer)
            if upload.state not in {UploadState.COMPLETE, UploadState.VERIFYING}:
                upload.check_open()
            return upload

    def _finish(self, upload: Upload) -> str | None:
        """Put the parts together, and return the SHA-256 if it is known."""
        key = upload.store_key
        if upload.ref is None:  # the process died before the store had begun
            raise UploadIncomplete(upload.upload_id, upload.missing(()))
        stored = self.store.parts(key, upload.ref)
        if stored or self.store.size(key) is None:
            upload.check_parts(stored)
        return self.store.finish(key, upload.ref, upload.size)

    def _settle(self, upload: Upload, digest: str | None) -> Upload:
        small = upload.size <= PART_SIZE
        if digest is None and small:
            digest = digest_of(self.store, upload)
        if digest is None and upload.size <= self.policy.verify_size:
            verifying = upload.whole()
            self.uploads.save(upload, verifying)
            return verifying
        settled = settle(self.uploads, self.clock, upload, digest)
        if settled.state is UploadState.FAILED:
            settled.check_open()
        return settled


@frozen
class AbortUpload:
    """Gives up uploads."""

    uploads: UploadRepository
    store: ObjectStore

    def __call__(self, viewer: Viewer, upload_id: UploadId) -> None:
        """Give up an upload, and remove what is stored of it; again is no error.

        Raises:
            UploadNotFound: There is none that the viewer sees.
            UploadEnded: It is complete: its dataset can be removed instead.
            StaleVersion: It changed in this moment.
        """
        upload = self.uploads.get(upload_id, viewer)
        aborted = upload.aborted()
        self.uploads.save(upload, aborted)
        with suppress(DomainError):  # or a sweep does it
            discard(self.uploads, self.store, aborted)


@frozen(kw_only=True)
class SweptUploads:
    """What one sweep of uploads did, in numbers.

    Attributes:
        verified: Files that became datasets.
        failed: Files that are not what was declared.
        removed: Uploads of which nothing is left in the store.
        problem: Why one could not be dealt with, or None.
    """

    verified: int = 0
    failed: int = 0
    removed: int = 0
    problem: DomainError | None = None


@frozen
class SweepUploads:
    """Verifies files, and removes what is left of uploads that have ended.

    Attributes:
        batch: How many uploads are claimed in a call.
    """

    uploads: UploadRepository
    store: ObjectStore
    clock: Clock
    policy: UploadPolicy = UploadPolicy()
    batch: int = 100

    def __call__(self, at_most: timedelta = timedelta.max) -> SweptUploads:
        """Deal with what is due; a crash at any point is repaired by the next call.

        Args:
            at_most: No further file is begun after that time.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        swept, began = SweptUploads(), self.clock()
        for _ in range(self.batch):
            if self.clock() - began >= at_most:
                break
            # One by one: only the lease of the one that is read is renewed.
            claimed = self.uploads.claim(1, LEASE)
            if not claimed:
                break
            try:
                swept = self._deal_with(claimed[0], swept)
            except StaleVersion:
                continue
            except StorageUnavailable as error:
                return evolve(swept, problem=error)
        return swept

    def _deal_with(self, upload: Upload, swept: SweptUploads) -> SweptUploads:
        if upload.state is UploadState.VERIFYING:
            digest = digest_of(self.store, upload, self._renewing(upload))
            if digest is None:
                error = SizeMismatch("The stored file is gone, or has another size.")
                upload = _fail(self.uploads, upload, error)
            else:
                upload = settle(self.uploads, self.clock, upload, digest)
            if upload.state is UploadState.COMPLETE:
                return evolve(swept, verified=swept.verified + 1)
            swept = evolve(swept, failed=swept.failed + 1)
        if upload.state is UploadState.COMPLETE:
            if self.uploads.is_used(upload):
                self.uploads.renew(upload.upload_id, USE_INTERVAL)
                return swept
            unused = upload.unused()
            self.uploads.save(upload, unused)
            upload = unused
        discard(self.uploads, self.store, upload)
        return evolve(swept, removed=swept.removed + 1)

    def _renewing(self, upload: Upload) -> Callable[[], None]:
        """Return what renews the lease of an upload, if it is called often."""
        renewed = self.clock()

        def beat() -> None:
            nonlocal renewed
            if (now := self.clock()) - renewed > LEASE / 3:
                self.uploads.renew(upload.upload_id, LEASE)
                renewed = now

        return beat


@frozen
class PruneUploads:
    """Removes the records of uploads that came to nothing, once they are old.

    Attributes:
        batch: How many are removed in a call.
    """

    uploads: UploadRepository
    store: ObjectStore
    policy: UploadPolicy = UploadPolicy()
    batch: int = 1000

    def __call__(self) -> int:
        """Remove some, and return their number.

        What a request has begun in the store after its upload was over is removed
        before. None is removed while the store cannot be used.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        number = 0
        with suppress(StorageUnavailable):
            for upload in self.uploads.ended(self.policy.ended_lifetime, self.batch):
                self.store.discard(upload.store_key)
                self.uploads.remove(upload)
                number += 1
        return number


def digest_of(
    store: ObjectStore, upload: Upload, beat: Callable[[], None] = lambda: None
) -> str | None:
    """Return the SHA-256 of a stored file; None: it has not the size that it must.

    Args:
        store: Where it is.
        upload: Whose file it is.
        beat: Is called after each piece that was read.
    """
    digest, size = hashlib.sha256(), 0
    if store.size(upload.store_key) != upload.size:
        return None
    with store.read(upload.store_key) as pieces:
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            beat()
    return digest.hexdigest() if size == upload.size else None


def settle(
    uploads: UploadRepository, clock: Clock, upload: Upload, digest: str | None
) -> Upload:
    """Store that a whole file is a dataset, or why it is none, and return it."""
    try:
        complete = upload.verified(digest)
    except ChecksumMismatch as error:
        return _fail(uploads, upload, error)
    dataset = complete.dataset(clock())
    try:
        uploads.complete(upload, complete, dataset)
    except DatasetExists:
        exists = DatasetExists(dataset.viewer.id_of(dataset.stored_id))
        return _fail(uploads, upload, exists)
    return complete


def _fail(uploads: UploadRepository, upload: Upload, error: DomainError) -> Upload:
    failed = upload.failed(error)
    uploads.save(upload, failed)
    return failed


def discard(uploads: UploadRepository, store: ObjectStore, upload: Upload) -> None:
    """Remove what the store has of an upload that has ended, and store that."""
    store.discard(upload.store_key)
    uploads.save(upload, upload.discarded())


DATA = "data"
"""The purpose that addresses of files are signed for."""


@frozen
class HandOver:
    """Hands uploaded files over to Galaxy, which fetches them or is sent them.

    Galaxy keeps an address for ever, and may fetch it after days in a queue. So it is
    one of this service, and leads to an address of the store that lives for minutes.

    Attributes:
        public_url: Returns the address at which Galaxy reaches this service.
        push: Whether it does not, so that files are sent to it.
    """

    uploads: UploadRepository
    store: ObjectStore
    load_signer: Callable[[], Signer]
    clock: Clock
    public_url: Callable[[], str]
    policy: UploadPolicy = UploadPolicy()
    push: bool = False

    def __call__(
        self, data: Collection[UploadData], viewer: Viewer
    ) -> Mapping[UploadData, UrlData | UploadData]:
        """Return what Galaxy is given for uploaded files: addresses, or the files.

        Raises:
            UploadNotFound: There is one that the viewer does not see.
            UploadIncomplete: One is not complete.
        """
        uploads = self.uploads.get_many(
            {UploadId(each.upload_id) for each in data}, viewer
        )
        given: dict[UploadData, UrlData | UploadData] = {}
        for each in data:
            upload = complete(uploads.get(UploadId(each.upload_id)), each)
            file = UploadedFile(
                upload.name,
                upload.ext,
                upload.size,
                upload.sha256,
                partial(self.store.read, upload.store_key),
            )
            given[each] = (
                evolve(each, file=file)
                if self.push
                else self.url_data(upload.upload_id, file)
            )
        return given

    def url_data(self, upload_id: UploadId, file: UploadedFile) -> UrlData:
        """Return the address of a file that is in the store."""
        expires_at = self.clock() + self.policy.data_lifetime
        signed = self.load_signer().sign(DATA, [upload_id, file.name], expires_at)
        path = f"data/{upload_id}/{quote(file.name, safe='')}"
        url = f"{self.public_url().rstrip('/')}/{path}?{urlencode(signed)}"
        return UrlData(url, file.ext, name=file.name, sha256=file.sha256)

    def address(
        self, upload_id: UploadId, name: str, signed: Mapping[str, str]
    ) -> tuple[str, str | None]:
        """Return the key of the file at a signed address, and one of the store's own.

        The latter is None if the store has none: then the file is read.

        Raises:
            BadLink: It is not valid, or has expired.
            StorageUnavailable: The store of files cannot be used.
        """
        self.load_signer().verify(DATA, [upload_id, name], signed, self.clock())
        key = store_key(upload_id)
        return key, self.store.sign_read(key, name, self.policy.read_lifetime)
