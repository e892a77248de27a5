"""Files on a server that speaks S3: only signatures and small requests, never bytes.

Clients and Galaxy send and fetch bytes at presigned addresses. Used of S3 is no more
than all dialects have: multipart uploads, HEAD, GET and DELETE of an object. Errors are
told apart by their HTTP status, since their codes differ.
"""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from attrs import define, field

from galaxy_jobs.domain.errors import ObjectNotFound, SizeMismatch, StorageUnavailable
from galaxy_jobs.domain.model.upload import StoredPart
from galaxy_jobs.domain.ports import Clock, ObjectStore, SignedRequest


MAX_LIFETIME = timedelta(days=7)
"""The longest time for which S3 signs an address."""

MAX_SKEW = timedelta(minutes=5)
"""The difference of clocks from which servers may refuse every request."""

TIMEOUT = 20
"""Seconds to connect to the server, and to wait for each answer."""

READ_SIZE = 2**20
"""Bytes of a file that are read at once."""

NOT_FOUND = 404


@define(slots=False, eq=False)
class S3Store(ObjectStore):
    """Keeps files in a bucket.

    Attributes:
        endpoint: The address of the server; None: that of Amazon.
        public_endpoint: The address at which clients and Galaxy reach it; it is part of
            each signature. None: the same.
        region: Part of each signature.
        bucket: It has to exist.
        clock: Tells when addresses expire.
        keys: The id of an access key and its secret; None: those that botocore finds
            in the environment.
    """

    endpoint: str | None
    public_endpoint: str | None
    region: str
    bucket: str
    clock: Clock
    keys: tuple[str, str] | None = field(default=None, repr=False)

    def begin(self, key: str, size: int) -> str:
        del size
        with _translated():
            answer = self._client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ContentType="application/octet-stream"
            )
        return str(answer["UploadId"])

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
        del offset
        parameters: dict[str, Any] = {
            "Bucket": self.bucket,
            "Key": key,
            "UploadId": ref,
            "PartNumber": part.number,
            "ContentLength": part.size,
        }
        headers = {}
        if sha256 is not None:
            encoded = b64encode(bytes.fromhex(sha256)).decode()
            parameters["ChecksumSHA256"] = encoded
            headers["x-amz-checksum-sha256"] = encoded
        lifetime = min(lifetime, MAX_LIFETIME)
        expires_at = (self.clock() + lifetime).replace(microsecond=0)
        return SignedRequest(
            url=self._signed("upload_part", parameters, lifetime),
            headers=headers,
            expires_at=expires_at,
        )

    def parts(self, key: str, ref: str) -> Sequence[StoredPart]:
        return [
            StoredPart(part["PartNumber"], part["Size"])
            for part in self._parts(key, ref)
        ]

    def finish(self, key: str, ref: str, size: int) -> str | None:
        if found := self._parts(key, ref):
            stored = sum(part["Size"] for part in found)
            if stored != size:
                raise SizeMismatch(
                    f"The parts have {stored} bytes; {size} were declared."
                )
            parts = [
                {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
                for part in found
            ]
            with _translated(missing_is=None):
                self._client.complete_multipart_upload(
                    Bucket=self.bucket,
                    Key=key,
                    UploadId=ref,
                    MultipartUpload={"Parts": parts},
                )
        # Repeated, one server answers that it knows no such upload.
        if (stored_size := self.size(key)) is None:
            raise SizeMismatch("There is no such file in the store.")
        if stored_size != size:
            raise SizeMismatch(
                f"The file has {stored_size} bytes; {size} were declared."
            )
        # The file is whole, and what else was begun under its name is removed with it
        # at the latest. Where that may not be listed, each repetition would fail here.
        with suppress(StorageUnavailable):
            self._abort(key)
        return None

    def size(self, key: str) -> int | None:
        answer: dict[str, Any] = {}
        with _translated(missing_is=None):
            answer = self._client.head_object(Bucket=self.bucket, Key=key)
        return answer.get("ContentLength")

    @contextmanager
    def read(self, key: str) -> Iterator[Iterator[bytes]]:
        body: Any = None
        with _translated(missing_is=None):
            body = self._client.get_object(Bucket=self.bucket, Key=key)["Body"]
        if body is None:
            raise ObjectNotFound
        with body:
            yield _pieces(body)

    def sign_read(self, key: str, name: str, lifetime: timedelta) -> str | None:
        parameters = {
            "Bucket": self.bucket,
            "Key": key,
            "ResponseContentType": "application/octet-stream",
            "ResponseContentDisposition": (
                f"attachment; filename*=UTF-8''{quote(name, safe='')}"
            ),
        }
        return self._signed("get_object", parameters, lifetime)

    def discard(self, key: str) -> None:
        self._abort(key)
        with _translated(missing_is=None):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def now(self) -> datetime | None:
        try:
            with _translated():
                answer = self._client.head_bucket(Bucket=self.bucket)
        except StorageUnavailable as error:
            answer = getattr(error.__cause__, "response", {})
            date = _date(answer)
            # A wrong clock is the reason: the signature has a time.
            if date is None or abs(date - self.clock()) < MAX_SKEW:
                raise
        return _date(answer)

    # --- requests -------------------------------------------------------------------

    def _parts(self, key: str, ref: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        with _translated(missing_is=None):
            pages = self._client.get_paginator("list_parts").paginate(
                Bucket=self.bucket, Key=key, UploadId=ref
            )
            for page in pages:
                found += page.get("Parts", [])
        return _newest(found)

    def _abort(self, key: str) -> None:
        """Abort whatever is begun under a key."""
        begun: list[str] = []
        with _translated():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=key
            )
            for page in pages:
                begun += [
                    upload["UploadId"]
                    for upload in page.get("Uploads", [])
                    if upload["Key"] == key
                ]
        for ref in begun:
            with _translated(missing_is=None):
                self._client.abort_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=ref
                )

    def _signed(
        self, method: str, parameters: Mapping[str, Any], lifetime: timedelta
    ) -> str:
        seconds = int(min(lifetime, MAX_LIFETIME).total_seconds())
        with _translated():
            url: str = self._public_client.generate_presigned_url(
                method, Params=dict(parameters), ExpiresIn=seconds
            )
        return url

    @cached_property
    def _client(self) -> Any:
        return self._make_client(self.endpoint)

    @cached_property
    def _public_client(self) -> Any:
        if self.public_endpoint is None:
            return self._client
        return self._make_client(self.public_endpoint)

    def _make_client(self, endpoint: str | None) -> Any:
        try:
            import boto3  # noqa: PLC0415 - only with the extra `s3`
            from botocore.config import Config  # noqa: PLC0415
        except ImportError:
            raise StorageUnavailable(
                "The package boto3 is not installed: install galaxy-jobs[s3]."
            ) from None
        key_id, secret = self.keys or (None, None)
        with _translated():
            return boto3.session.Session().client(
                "s3",
                endpoint_url=endpoint,
                region_name=self.region,
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path" if endpoint else "auto"},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    connect_timeout=TIMEOUT,
                    read_timeout=TIMEOUT,
                    retries={"max_attempts": 2, "mode": "standard"},
                ),
            )


def _date(answer: Mapping[str, Any]) -> datetime | None:
    """Return the time at which a server answered, by its clock."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(date)
    except ValueError:
        return None


def _newest(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest copy of each part, by number.

    SeaweedFS lists all copies of a part that was sent several times, with times in
    whole seconds. Where two that differ are of the same second, the part is left out.
    """
    by_number: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for part in found:
        by_number[part["PartNumber"]].append(part)
    parts: list[dict[str, Any]] = []
    for _, copies in sorted(by_number.items()):
        latest = max(part["LastModified"] for part in copies)
        newest = [part for part in copies if part["LastModified"] == latest]
        if len({part["ETag"] for part in newest}) == 1:
            parts.append(newest[0])
    return parts


_RAISE = object()


@contextmanager
def _translated(*, missing_is: object = _RAISE) -> Iterator[None]:
    """Raise the error of the port for one of boto3's.

    Args:
        missing_is: None: that something is not there ends the block, and is no error.
    """
    try:
        from botocore.exceptions import (  # noqa: PLC0415 - only with the extra `s3`
            BotoCoreError,
            ClientError,
        )
    except ImportError:
        yield
        return
    try:
        yield
    except ClientError as error:
        answer = error.response
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == NOT_FOUND and missing_is is None:
            return
        code = answer.get("Error", {}).get("Code", "")
        raise StorageUnavailable(
            f"The store of files answers with an error {status} ({code})."
        ) from error
    except BotoCoreError as error:
        kind = type(error).__name__
        raise StorageUnavailable(
            f"The store of files cannot be used ({kind})."
        ) from error


def _pieces(body: Any) -> Iterator[bytes]:
    try:
        while piece := body.read(READ_SIZE):
            yield piece
    except Exception as error:
        raise StorageUnavailable(
            "The store of files broke off while it sent one."
        ) from error
