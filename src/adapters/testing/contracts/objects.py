"""The contract of :class:`ObjectStore`."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

import pytest

from galaxy_jobs.domain.errors import ObjectNotFound, SizeMismatch
from galaxy_jobs.domain.model.upload import MIB, StoredPart
from galaxy_jobs.domain.ports import ObjectStore


PART = 5 * MIB
"""The size of parts: no store of the S3 kind takes smaller ones, but for the last."""

OK, BAD_REQUEST, FORBIDDEN, NOT_FOUND, UNPROCESSABLE = 200, 400, 403, 404, 422
HOUR = timedelta(hours=1)
FIRST, LAST = os.urandom(PART), b"the end"
CONTENT = FIRST + LAST
SIZE = len(CONTENT)


class Requests(Protocol):
    """Sends requests to signed addresses of a store."""

    def __call__(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Return the status and the body of the response."""


class ObjectStoreContract:
    """What an :class:`ObjectStore` must do.

    A module that subclasses it has two fixtures: ``store``, and ``send``, which sends
    requests to its addresses.
    """

    @pytest.fixture
    def store(self) -> ObjectStore:
        """Return the adapter; to be supplied."""
        raise NotImplementedError

    @pytest.fixture
    def send(self) -> Requests:
        """Return what sends requests; to be supplied."""
        raise NotImplementedError

    @pytest.fixture
    def key(self) -> str:
        """Return a key that no other test uses."""
        return f"uploads/{uuid4()}"

    def stored(  # noqa: PLR0917 - as many as a part has
        self,
        store: ObjectStore,
        send: Requests,
        key: str,
        ref: str,
        number: int,
        body: bytes,
    ) -> int:
        """Store a part by its address, and return the status."""
        part = StoredPart(number, len(body))
        offset = (number - 1) * PART
        signed = store.sign_part(key, ref, part, offset=offset, lifetime=HOUR)
        return send("PUT", signed.url, body, signed.headers)[0]

    def finished(self, store: ObjectStore, send: Requests, key: str) -> str:
        """Store a file whole, and return what the store called it."""
        ref = store.begin(key, SIZE)
        for number, body in ((2, LAST), (1, FIRST)):
            assert self.stored(store, send, key, ref, number, body) == OK
        store.finish(key, ref, SIZE)
        return ref

    def content(self, store: ObjectStore, key: str) -> bytes:
        """Return a file."""
        with store.read(key) as pieces:
            return b"".join(pieces)

    # --- from the beginning to the end ----------------------------------------------

    def test_parts_are_put_together_in_the_order_of_their_numbers(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        ref = store.begin(key, SIZE)
        assert store.parts(key, ref) == []
        assert self.stored(store, send, key, ref, 2, LAST) == OK
        assert store.parts(key, ref) == [StoredPart(2, len(LAST))]
        assert self.stored(store, send, key, ref, 1, FIRST) == OK
        both = [StoredPart(1, PART), StoredPart(2, len(LAST))]
        assert store.parts(key, ref) == both
        assert store.size(key) is None
        with pytest.raises(ObjectNotFound), store.read(key):
            pass
        store.finish(key, ref, SIZE)
        assert store.size(key) == SIZE
        assert self.content(store, key) == CONTENT

    def test_finishing_again_changes_nothing(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        ref = self.finished(store, send, key)
        store.finish(key, ref, SIZE)
        assert self.content(store, key) == CONTENT
        with pytest.raises(SizeMismatch):
            store.finish(key, ref, SIZE + 1)
        assert store.size(key) == SIZE

    def test_a_part_that_is_sent_again_replaces_the_one_before(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        ref = store.begin(key, SIZE)
        assert self.stored(store, send, key, ref, 2, b"neither") == OK
        assert self.stored(store, send, key, ref, 2, LAST) == OK
        assert self.stored(store, send, key, ref, 1, FIRST) == OK
        if store.parts(key, ref) == [StoredPart(1, PART)]:  # it cannot tell
            self.wait_until_expired()
            assert self.stored(store, send, key, ref, 2, LAST) == OK
        assert len(store.parts(key, ref)) == len([FIRST, LAST])
        store.finish(key, ref, SIZE)
        assert self.content(store, key) == CONTENT

    def test_a_file_of_one_part_may_be_small(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        ref = store.begin(key, 1)
        assert self.stored(store, send, key, ref, 1, b"x") == OK
        digest = store.finish(key, ref, 1)
        assert digest in {None, hashlib.sha256(b"x").hexdigest()}
        assert self.content(store, key) == b"x"

    def test_a_file_is_read_at_its_address_if_the_store_has_one(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        self.finished(store, send, key)
        url = store.sign_read(key, "Ü \"'%.txt", HOUR)
        if url is not None:
            assert send("GET", url) == (OK, CONTENT)
            for altered in (_with(url, "x"), url.replace(key, f"{key}x")):
                assert send("GET", altered)[0] == FORBIDDEN

    def test_it_can_be_used(self, store: ObjectStore) -> None:
        now = store.now()
        assert now is None or now.utcoffset() is not None

    # --- what is refused ------------------------------------------------------------

    def test_nothing_but_the_signed_size_is_stored(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        ref = store.begin(key, SIZE)
        part = StoredPart(2, len(LAST))
        signed = store.sign_part(key, ref, part, offset=PART, lifetime=HOUR)
        for body in (LAST[:-1], LAST + b"x"):
            assert send("PUT", signed.url, body, signed.headers)[0] == FORBIDDEN
        assert store.parts(key, ref) == []
        assert send("PUT", signed.url, LAST, signed.headers)[0] == OK

    def test_a_part_with_another_checksum_is_not_stored(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        ref = store.begin(key, SIZE)
        part = StoredPart(2, len(LAST))
        digest = hashlib.sha256(LAST).hexdigest()
        signed = store.sign_part(
            key, ref, part, offset=PART, sha256=digest, lifetime=HOUR
        )
        status, _ = send("PUT", signed.url, LAST[::-1], signed.headers)
        assert status in {BAD_REQUEST, FORBIDDEN, UNPROCESSABLE}
        assert store.parts(key, ref) == []
        assert send("PUT", signed.url, LAST, signed.headers)[0] == OK

    def test_forged_altered_and_expired_addresses_are_refused(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        ref = store.begin(key, SIZE)
        part = StoredPart(2, len(LAST))
        signed = store.sign_part(key, ref, part, offset=PART, lifetime=HOUR)
        short = store.sign_part(
            key, ref, part, offset=PART, lifetime=timedelta(seconds=1)
        )
        for url in (
            _with(signed.url, "x"),
            _with(signed.url, None),
            signed.url.replace(key, f"{key}x"),
            signed.url.partition("?")[0],
        ):
            status, _ = send("PUT", url, LAST, signed.headers)
            assert status in {BAD_REQUEST, FORBIDDEN, NOT_FOUND}
        self.wait_until_expired()
        status, _ = send("PUT", short.url, LAST, short.headers)
        assert status == FORBIDDEN
        assert store.parts(key, ref) == []

    def wait_until_expired(self) -> None:
        """Let two seconds pass; a store with a clock of ours can do that at once."""
        time.sleep(2.1)

    def test_a_file_of_another_size_is_not_finished(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        ref = store.begin(key, SIZE)
        assert self.stored(store, send, key, ref, 1, FIRST) == OK
        with pytest.raises(SizeMismatch):
            store.finish(key, ref, SIZE)
        assert store.size(key) is None
        assert store.parts(key, ref) == [StoredPart(1, PART)]
        with pytest.raises(SizeMismatch):
            store.finish(f"{key}x", ref, SIZE)

    # --- what is removed ------------------------------------------------------------

    def test_nothing_is_left_of_what_was_discarded(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        self.finished(store, send, key)
        other = f"{key}-2"
        self.finished(store, send, other)
        for _ in range(2):
            store.discard(key)
            assert store.size(key) is None
        assert store.size(other) == SIZE

    def test_several_may_discard_the_same_at_once(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(10):
                ref = store.begin(key, SIZE)
                assert self.stored(store, send, key, ref, 2, LAST) == OK
                discarding = [pool.submit(store.discard, key) for _ in range(4)]
                for future in discarding:
                    future.result()
                assert store.parts(key, ref) == []

    def test_what_was_only_begun_is_discarded_with_its_parts(
        self, store: ObjectStore, send: Requests, key: str
    ) -> None:
        refs = [store.begin(key, SIZE) for _ in range(2)]
        assert self.stored(store, send, key, refs[0], 2, LAST) == OK
        part = StoredPart(1, PART)
        signed = store.sign_part(key, refs[0], part, offset=0, lifetime=HOUR)
        store.discard(key)
        assert [store.parts(key, ref) for ref in refs] == [[], []]
        # An address that is still valid brings nothing back.
        assert send("PUT", signed.url, FIRST, signed.headers)[0] in {
            FORBIDDEN,
            NOT_FOUND,
        }
        assert store.size(key) is None
        with pytest.raises(SizeMismatch):
            store.finish(key, refs[0], SIZE)


def _with(url: str, signature: str | None) -> str:
    """Return an address with another signature, or none."""
    parts = urlsplit(url)
    pairs = [
        (name, text if "ignature" not in name else signature)
        for name, text in parse_qsl(parts.query)
    ]
    kept = [(name, text) for name, text in pairs if text is not None]
    return urlunsplit(parts._replace(query=urlencode(kept)))
