"""Files on SeaweedFS and on Swift, held to the contract of every store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from attrs import evolve
from botocore.exceptions import ClientError

from galaxy_jobs.adapters.clock import SystemClock
from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.store import LocalStore, StoreAccess
from galaxy_jobs.adapters.storage.s3 import S3Store, _newest
from galaxy_jobs.adapters.storage.trial import preflight
from galaxy_jobs.adapters.testing.contracts.objects import (
    HOUR,
    LAST,
    PART,
    SIZE,
    ObjectStoreContract,
    Requests,
)
from galaxy_jobs.domain import StoredPart
from galaxy_jobs.domain.errors import StorageUnavailable
from tests.support.http_world import IMPATIENT, World, furnished, in_memory
from tests.support.swift import swift
from tests.support.upload_contract import UploadContract, completed, opened, sent


@pytest.fixture(scope="module", params=["seaweedfs", "swift"])
def access(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StoreAccess]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "swift":
        with swift(folder) as started:
            yield started
        return
    local = LocalStore(folder, port=18333)
    try:
        yield local.start()
    finally:
        local.remove()
        assert not local.processes()


def s3(access: StoreAccess, **changes: str) -> S3Store:
    """Return the adapter of a store."""
    given = {
        "endpoint": access.endpoint,
        "region": access.region,
        "bucket": access.bucket,
        "secret": access.secret,
        "public_endpoint": None,
        **changes,
    }
    return S3Store(
        endpoint=given["endpoint"],
        public_endpoint=given["public_endpoint"],
        region=str(given["region"]),
        bucket=str(given["bucket"]),
        clock=SystemClock(),
        keys=(access.key_id, str(given["secret"])),
    )


def over_http(
    method: str,
    url: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    answer = requests.request(method, url, data=body, headers=headers, timeout=30)
    return answer.status_code, answer.content


class TestS3Store(ObjectStoreContract):
    @pytest.fixture
    def store(self, access: StoreAccess) -> S3Store:
        return s3(access)

    @pytest.fixture
    def send(self) -> Requests:
        return over_http


@pytest.mark.parametrize(
    "wrong",
    [{"secret": "wrong"}, {"bucket": "none"}, {"endpoint": "http://127.0.0.1:9"}],
    ids=repr,
)
def test_a_store_that_cannot_be_used_is_one_error(
    access: StoreAccess, wrong: dict[str, str]
) -> None:
    store = s3(access, **wrong)
    for call in (
        lambda: store.begin("uploads/x", SIZE),
        lambda: store.discard("uploads/x"),
        store.now,
    ):
        with pytest.raises(StorageUnavailable) as caught:
            call()
        assert access.key_id not in str(caught.value)


def test_addresses_are_those_that_clients_reach(access: StoreAccess) -> None:
    store = s3(access, public_endpoint="https://files.example.org")
    ref = store.begin("uploads/x", SIZE)
    part = StoredPart(2, len(LAST))
    signed = store.sign_part("uploads/x", ref, part, offset=PART, lifetime=HOUR)
    assert signed.url.startswith("https://files.example.org/galaxy-jobs/uploads/x?")
    read = store.sign_read("uploads/x", "a.txt", HOUR)
    assert read is not None
    assert read.startswith("https://files.example.org/")
    store.discard("uploads/x")


def test_the_clock_of_a_store_is_compared(access: StoreAccess) -> None:
    now = s3(access).now()
    assert now is not None
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5


def test_a_key_that_may_not_list_uploads_can_finish_one(access: StoreAccess) -> None:
    def refuse(**_: object) -> None:
        answer = {
            "Error": {"Code": "AccessDenied"},
            "ResponseMetadata": {"HTTPStatusCode": 403},
        }
        raise ClientError(answer, "ListMultipartUploads")

    store, key = s3(access), f"uploads/{uuid4()}"
    ref = store.begin(key, len(LAST))
    part = StoredPart(1, len(LAST))
    signed = store.sign_part(key, ref, part, offset=0, lifetime=HOUR)
    assert over_http("PUT", signed.url, LAST, signed.headers)[0] == 200
    store._client.meta.events.register("before-call.s3.ListMultipartUploads", refuse)
    for _ in range(2):
        store.finish(key, ref, len(LAST))
        with store.read(key) as pieces:
            assert b"".join(pieces) == LAST
    with pytest.raises(StorageUnavailable, match="403"):
        store.discard(key)
    s3(access).discard(key)


def test_the_newest_of_as_many_parts_as_there_can_be_are_found_at_once() -> None:
    now = datetime.now(UTC)
    found = [
        {"PartNumber": number, "ETag": f"{age}", "LastModified": now - age * HOUR}
        for age in range(2)
        for number in range(10_000, 0, -1)
    ]
    began = time.monotonic()
    parts = _newest(found)
    assert time.monotonic() - began < 1
    assert [part["PartNumber"] for part in parts] == list(range(1, 10_001))
    assert {part["ETag"] for part in parts} == {"0"}


def test_another_one_can_run_beside_it(access: StoreAccess, tmp_path: Path) -> None:
    other = LocalStore(tmp_path / "store", port=18333)
    try:
        assert other.start().endpoint != access.endpoint
    finally:
        other.remove()


def test_one_that_cannot_start_is_an_error_that_says_why(tmp_path: Path) -> None:
    local = LocalStore(tmp_path, port=18333)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/filerldb2").touch()
    try:
        with pytest.raises(EmbeddedError, match=r"starting: failed .*leveldb2"):
            local.start()
    finally:
        local.stop()


def test_a_clock_that_is_wrong_is_told_from_a_wrong_key(
    access: StoreAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fast() -> datetime:
        return datetime.now(UTC) + timedelta(hours=1)

    monkeypatch.setattr("botocore.auth.get_current_datetime", fast)
    store = evolve(s3(access), clock=fast)
    now = store.now()
    assert now is not None
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5
    with pytest.raises(StorageUnavailable, match="403"):
        store.begin("uploads/x", SIZE)


def test_pages_of_any_origin_may_send_parts(access: StoreAccess) -> None:
    assert preflight(s3(access), "https://app.example.org") is None


@pytest.fixture(scope="module")
def world(access: StoreAccess) -> Iterator[World]:
    with in_memory(**IMPATIENT, object_store=s3(access)) as made:
        yield furnished(made)


class TestUploads(UploadContract):
    def test_a_complete_one_takes_no_other_part(self, world: World) -> None:
        upload = opened(world, b"small")
        sent(world, upload["put"], b"small")
        assert completed(world, upload).status_code == 200
        answer = sent(world, upload["put"], b"other")
        store, key = world.container.object_store(), f"uploads/{upload['upload_id']}"
        if not answer.is_success:
            with store.read(key) as pieces:
                assert b"".join(pieces) == b"small"
            return
        # Swift takes it, and has no file any more: nobody gets other bytes.
        with pytest.raises(StorageUnavailable), store.read(key) as pieces:
            assert b"".join(pieces) != b"other"
