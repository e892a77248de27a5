"""Trials of a store of files as clients use it, for diagnosis."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import requests

from galaxy_jobs.domain.errors import StorageUnavailable
from galaxy_jobs.domain.model.dataset import UploadedFile
from galaxy_jobs.domain.model.upload import StoredPart, UploadId, store_key
from galaxy_jobs.domain.ports import ObjectStore, SignedRequest


CONTENT = b"A file of galaxy-jobs doctor.\n"
FILE = UploadedFile(
    name="doctor.txt",
    ext="txt",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    read=lambda: nullcontext(iter([CONTENT])),
)
LIFETIME = timedelta(minutes=5)
TIMEOUT = 10


def preflight(store: ObjectStore, origin: str) -> str | None:
    """Ask a store what a browser asks it before a page sends a part.

    Args:
        store: Where parts are sent to; one without addresses of its own is not asked.
        origin: That of the page.

    Returns:
        Why the page may not send it; None: it may.
    """
    signed = _signed(store, store_key(UploadId("doctor")), "doctor")
    if not (host := urlsplit(signed.url).netloc):
        return None
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,x-amz-checksum-sha256",
    }
    try:
        answer = requests.options(
            signed.url, headers=headers, timeout=TIMEOUT, allow_redirects=False
        )
    except requests.RequestException as error:
        return f"{host} does not answer ({type(error).__name__})"
    allowed = answer.headers.get("Access-Control-Allow-Origin")
    methods = answer.headers.get("Access-Control-Allow-Methods", "")
    if not answer.ok or allowed not in {"*", origin} or "PUT" not in methods.upper():
        return f"{host} does not let pages of {origin} send files (CORS)"
    return None


@contextmanager
def stored(store: ObjectStore, service: str) -> Iterator[UploadId]:
    """Keep a small file in a store, sent as clients send one, during the block.

    Args:
        store: Where it is kept.
        service: The address of this service.

    Raises:
        StorageUnavailable: It could not be sent.
    """
    upload_id = UploadId(f"doctor-{uuid4()}")
    key = store_key(upload_id)
    ref = store.begin(key, FILE.size)
    try:
        signed = _signed(store, key, ref)
        url = urljoin(service, signed.url)
        host = urlsplit(url).netloc
        try:
            answer = requests.put(
                url, data=CONTENT, headers=signed.headers, timeout=TIMEOUT
            )
        except requests.RequestException as error:
            raise StorageUnavailable(
                f"No file can be sent to {host} ({type(error).__name__})."
            ) from error
        if not answer.ok:
            raise StorageUnavailable(
                f"No file can be sent to {host} (HTTP {answer.status_code})."
            )
        store.finish(key, ref, FILE.size)
        yield upload_id
    finally:
        store.discard(key)


def _signed(store: ObjectStore, key: str, ref: str) -> SignedRequest:
    part = StoredPart(1, FILE.size)
    return store.sign_part(key, ref, part, offset=0, lifetime=LIFETIME)
