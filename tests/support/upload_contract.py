"""What clients may rely on when they upload files, whatever the store is."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest

from galaxy_jobs.domain import UrlData
from galaxy_jobs.domain.model import upload as model
from galaxy_jobs.domain.model.upload import MIB
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import uploads as use_cases
from tests.support.http_contract import problem
from tests.support.http_world import World


PART = 5 * MIB
"""The size of parts: no store of the S3 kind takes smaller ones, but for the last."""

CONTENT = os.urandom(2 * PART + 17)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def opened(world: World, content: bytes = CONTENT, **more: object) -> Any:
    """Open an upload for a file, and return the response."""
    body = {"name": "reads.fastq", "size": len(content), "ext": "fastq", **more}
    answer = world.ask("POST", "/uploads", body)
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert answer.headers["location"] == f"/uploads/{shown['upload_id']}"
    return shown


def signed(world: World, upload: Any, *numbers: int, **more: object) -> list[Any]:
    """Return the requests for parts."""
    path = f"/uploads/{upload['upload_id']}/parts"
    answer = world.ask("POST", path, {"numbers": list(numbers), **more})
    assert answer.status_code == 200, answer.text
    parts: list[Any] = answer.json()["parts"]
    return parts


def sent(
    world: World, part: Any, body: bytes, url: str | None = None
) -> httpx.Response:
    """Send a part, without any token."""
    client = world.api if urlsplit(part["url"]).path.startswith("/uploads/") else httpx
    return client.request(
        part["method"], url or part["url"], content=body, headers=part["headers"]
    )


def slice_of(part: Any, content: bytes = CONTENT) -> bytes:
    return content[part["offset"] : part["offset"] + part["size"]]


def stored(world: World, upload: Any, content: bytes = CONTENT) -> None:
    """Store all parts, the last one first."""
    for part in signed(world, upload, *range(upload["parts"], 0, -1)):
        answer = sent(world, part, slice_of(part, content))
        assert answer.status_code == 200, answer.text


def completed(world: World, upload: Any, wait: int = 0) -> httpx.Response:
    path = f"/uploads/{upload['upload_id']}/complete?wait={wait}"
    return world.ask("POST", path)


def swept(world: World) -> None:
    world.container.sweep_uploads()()


def altered(url: str, **query: str | None) -> str:
    """Return an address with some parameters changed, or left out."""
    parts = urlsplit(url)
    pairs = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **query}
    kept = {name: text for name, text in pairs.items() if text is not None}
    return urlunsplit(parts._replace(query=urlencode(kept)))


class UploadContract:
    """A module that subclasses it has the fixture ``world``, of the HTTP contract."""

    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make a file of three parts small."""
        monkeypatch.setattr(model, "PART_SIZE", PART)
        monkeypatch.setattr(use_cases, "PART_SIZE", PART)

    @pytest.fixture(autouse=True)
    def nothing_open(self, world: World) -> Iterator[None]:
        yield
        for upload in world.get("/uploads?limit=200")["items"]:
            world.ask("DELETE", f"/uploads/{upload['upload_id']}")
        swept(world)

    # --- from the beginning to the end --------------------------------------------

    def test_a_file_is_uploaded_part_by_part_and_becomes_a_dataset(
        self, world: World
    ) -> None:
        upload = opened(world, dataset_id=f"reads {uuid4()}")
        assert (upload["state"], upload["size"]) == ("open", len(CONTENT))
        assert (upload["part_size"], upload["parts"], upload["put"]) == (PART, 3, None)
        path = f"/uploads/{upload['upload_id']}"
        assert world.get("/uploads")["items"][0]["upload_id"] == upload["upload_id"]
        third, first = signed(world, upload, 3, 1)
        assert (third["number"], third["offset"], third["size"]) == (3, 2 * PART, 17)
        assert first["method"] == "PUT"
        for part in (third, first):
            answer = sent(world, part, slice_of(part))
            assert answer.status_code == 200
            assert answer.headers["etag"]
        shown = world.get(path)
        assert shown["received"] == {"bytes": PART + 17, "parts": 2}
        assert shown["missing"] == [2]
        answer = completed(world, upload)
        assert problem(answer, 409, "upload-incomplete")["missing"] == [2]
        (second,) = signed(world, upload, 2)
        assert sent(world, second, slice_of(second)).is_success
        answer = completed(world, upload)
        assert answer.status_code == 202
        assert answer.json()["state"] == "verifying"
        assert answer.json()["dataset"] is None
        swept(world)
        answers = [completed(world, upload) for _ in range(2)]
        for answer in answers:
            assert answer.status_code == 200
            shown = answer.json()
            assert (shown["state"], shown["sha256"]) == ("complete", SHA256)
            assert shown["dataset"]["dataset_id"] == upload["dataset_id"]
        dataset = world.get(f"/datasets/{upload['dataset_id']}")
        assert shown["dataset"] == dataset
        source = {"src": "upload", "upload_id": upload["upload_id"]}
        assert (dataset["source"], dataset["name"]) == (source, "reads.fastq")
        where = f"/datasets/{upload['dataset_id']}"
        patched = world.ask("PATCH", where, {"name": "b", "labels": {"k": "v"}})
        assert patched.status_code == 200
        assert completed(world, upload).json()["dataset"] == patched.json()
        assert world.ask("DELETE", where).status_code == 204
        assert completed(world, upload).json()["dataset"] is None
        assert world.get("/uploads")["items"] == []
        assert world.get(path)["missing"] == []

    def test_a_small_file_is_one_request_and_complete_at_once(
        self, world: World
    ) -> None:
        content = b"small"
        digest = hashlib.sha256(content).hexdigest()
        upload = opened(world, content, sha256=digest)
        assert sent(world, upload["put"], content).status_code == 200
        answer = completed(world, upload)
        assert (answer.status_code, answer.json()["sha256"]) == (200, digest)
        assert answer.json()["dataset"]["dataset_id"] == upload["upload_id"]

    def test_galaxy_is_given_an_address_at_which_the_file_is(
        self, world: World
    ) -> None:
        upload = opened(world, dataset_id=f"reads {uuid4()}", name="a b'ü%.txt")
        stored(world, upload)
        completed(world, upload)
        swept(world)
        world.submit(dataset_id=upload["dataset_id"])
        (data,) = [
            value
            for value in world.galaxy.runs[-1].inputs.values()
            if isinstance(value, UrlData)
        ]
        parts = urlsplit(data.url)
        assert parts.path.startswith(f"/data/{upload['upload_id']}/a%20b")
        assert (data.ext, data.name, data.sha256) == ("fastq", "a b'ü%.txt", SHA256)
        url = f"{parts.path}?{parts.query}"
        answer = world.api.get(url, follow_redirects=False)
        if answer.status_code == 302:
            answer = httpx.get(answer.headers["location"])
        assert answer.status_code == 200
        assert answer.content == CONTENT
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-length"] == str(len(CONTENT))
        for bad in (
            altered(url, expires="99999999999"),
            altered(url, signature="0" * 64),
            altered(url, signature=None),
            url.replace("a%20b", "a%20c"),
        ):
            problem(world.api.get(bad), 403, "forbidden")

    def test_a_repeated_request_opens_no_other_upload(self, world: World) -> None:
        key = uuid4().hex
        body = {"name": "a", "size": 5, "ext": "txt"}
        first, same = (
            world.ask("POST", "/uploads", body, Idempotency_Key=key) for _ in range(2)
        )
        assert same.headers["idempotent-replayed"] == "true"
        assert first.json()["upload_id"] == same.json()["upload_id"]
        for change in ({"size": 6}, {"dataset_id": "x"}, {"sha256": "0f" * 32}):
            other = {**body, **change}
            answer = world.ask("POST", "/uploads", other, Idempotency_Key=key)
            problem(answer, 422, "idempotency-key-reused")

    def test_uploads_are_listed_page_by_page(self, world: World) -> None:
        made = [opened(world)["upload_id"] for _ in range(3)]
        first = world.get("/uploads?limit=2")
        rest = world.get(f"/uploads?limit=2&cursor={first['next_cursor']}")
        listed = [item["upload_id"] for item in first["items"] + rest["items"]]
        assert (listed, rest["next_cursor"]) == (made[::-1], None)

    def test_an_upload_is_no_data_before_it_is_complete(self, world: World) -> None:
        upload_id = opened(world)["upload_id"]
        for id_ in (upload_id, "none"):
            source: dict[str, Any] = {"src": "upload", "upload_id": id_}
            element = {"name": "a", "source": source}
            listed = {"collection_type": "list", "elements": [element]}
            for each in (source, {"src": "collection", **listed}):
                body = {"name": "n", "source": each}
                answer = world.ask("POST", "/datasets", body)
                problem(answer, 422, "invalid-source")

    # --- what is wrong ------------------------------------------------------------

    @pytest.mark.parametrize(
        "wrong",
        [
            {"size": 0},
            {"size": -1},
            {"size": 6 * 10**12},
            {"size": 2**70},
            {"name": "a/b"},
            {"name": "a\\b"},
            {"name": "a\nb"},
            {"name": "\x1b[31m"},
            {"name": ".."},
            {"name": ""},
            {"name": "x" * 256},
            {"ext": ""},
            {"ext": "x" * 256},
            {"sha256": "ab"},
            {"sha256": "F" * 64},
            {"dataset_id": ""},
            {"dataset_id": "x" * 256},
            {"part_size": 5},
        ],
        ids=repr,
    )
    def test_a_malformed_upload_is_refused(
        self, world: World, wrong: dict[str, object]
    ) -> None:
        body = {"name": "a", "size": 5, "ext": "txt", **wrong}
        problem(world.ask("POST", "/uploads", body), 400, "malformed-request")
        assert world.get("/uploads")["items"] == []

    def test_a_dataset_by_that_id_is_refused_at_the_beginning(
        self, world: World
    ) -> None:
        body = {"name": "a", "size": 5, "ext": "txt", "dataset_id": "reads"}
        problem(world.ask("POST", "/uploads", body), 409, "dataset-exists")
        assert world.get("/uploads")["items"] == []

    def test_a_dataset_that_came_meanwhile_fails_the_upload(self, world: World) -> None:
        upload = opened(world, b"small", dataset_id=f"d {uuid4()}")
        sent(world, upload["put"], b"small")
        source = {"src": "hda", "id": "1"}
        body = {"dataset_id": upload["dataset_id"], "name": "n", "source": source}
        assert world.ask("POST", "/datasets?check=false", body).is_success
        for _ in range(2):
            problem(completed(world, upload), 409, "dataset-exists")
        assert world.get(f"/datasets/{upload['dataset_id']}")["source"] == source

    @pytest.mark.parametrize("change", [-1, 1])
    def test_a_part_of_another_size_is_refused(self, world: World, change: int) -> None:
        upload = opened(world)
        (part,) = signed(world, upload, 3)
        body = slice_of(part)
        wrong = body[:-1] if change < 0 else body + b"x"
        assert sent(world, part, wrong).status_code == 403
        assert world.get(f"/uploads/{upload['upload_id']}")["missing"] == [1, 2, 3]
        assert sent(world, part, body).status_code == 200

    def test_a_part_with_another_checksum_is_refused(self, world: World) -> None:
        upload = opened(world)
        digest = hashlib.sha256(CONTENT[2 * PART :]).hexdigest()
        (part,) = signed(world, upload, 3, sha256={"3": digest})
        assert not sent(world, part, b"x" * 17).is_success
        assert world.get(f"/uploads/{upload['upload_id']}")["missing"] == [1, 2, 3]
        assert sent(world, part, slice_of(part)).status_code == 200

    def test_parts_that_it_does_not_have_are_not_signed(self, world: World) -> None:
        upload = opened(world)
        path = f"/uploads/{upload['upload_id']}/parts"
        for numbers in ([], [0], [4], [10_001], [1] * 101, ["1"]):
            answer = world.ask("POST", path, {"numbers": numbers})
            problem(answer, 400, "malformed-request")
        answer = world.ask("POST", path, {"numbers": [1], "sha256": {"x": "0" * 64}})
        problem(answer, 400, "malformed-request")

    def test_a_part_that_is_sent_again_replaces_the_one_before(
        self, world: World
    ) -> None:
        upload = opened(world)
        stored(world, upload, CONTENT[::-1])
        stored(world, upload)
        if world.get(f"/uploads/{upload['upload_id']}")["missing"]:
            # It cannot tell which is the later one of two in the same second.
            time.sleep(1.1)
            stored(world, upload)
        completed(world, upload)
        swept(world)
        assert completed(world, upload).json()["sha256"] == SHA256

    def test_a_wrong_checksum_of_the_whole_fails_it(self, world: World) -> None:
        upload = opened(world, sha256="0" * 64, dataset_id=f"d {uuid4()}")
        stored(world, upload)
        assert completed(world, upload).status_code == 202
        swept(world)
        for _ in range(2):
            problem(completed(world, upload), 422, "checksum-mismatch")
        path = f"/uploads/{upload['upload_id']}"
        shown = world.get(path)
        assert shown["state"] == "failed"
        assert SHA256 in shown["problem"]
        answer = world.ask("POST", f"{path}/parts", {"numbers": [1]})
        problem(answer, 422, "checksum-mismatch")
        answer = world.ask("GET", f"/datasets/{upload['dataset_id']}")
        problem(answer, 404, "dataset-not-found")
        self.nothing_is_left(world, upload)

    def test_an_aborted_one_takes_nothing_and_leaves_nothing(
        self, world: World
    ) -> None:
        upload = opened(world)
        (first, second) = signed(world, upload, 1, 2)
        assert sent(world, first, slice_of(first)).is_success
        path = f"/uploads/{upload['upload_id']}"
        for _ in range(2):
            assert world.ask("DELETE", path).status_code == 204
        assert sent(world, second, slice_of(second)).status_code in {403, 404}
        problem(completed(world, upload), 409, "already-ended")
        answer = world.ask("POST", f"{path}/parts", {"numbers": [2]})
        problem(answer, 409, "already-ended")
        assert world.get(path)["state"] == "aborted"
        self.nothing_is_left(world, upload)

    def test_a_complete_one_cannot_be_aborted(self, world: World) -> None:
        upload = opened(world, b"small")
        sent(world, upload["put"], b"small")
        assert completed(world, upload).status_code == 200
        answer = world.ask("DELETE", f"/uploads/{upload['upload_id']}")
        problem(answer, 409, "already-ended")
        assert completed(world, upload).status_code == 200

    def test_a_complete_one_takes_no_other_part(self, world: World) -> None:
        upload = opened(world, b"small")
        sent(world, upload["put"], b"small")
        assert completed(world, upload).status_code == 200
        assert not sent(world, upload["put"], b"other").is_success

    def test_there_is_none_by_another_id(self, world: World) -> None:
        for id_ in ("none", "%00", str(uuid4())):
            for method, path in (
                ("GET", ""),
                ("DELETE", ""),
                ("POST", "/complete"),
            ):
                answer = world.ask(method, f"/uploads/{id_}{path}")
                assert answer.status_code == 404, answer.text

    def nothing_is_left(self, world: World, upload: Any) -> None:
        """Assert that the store has nothing of an upload after a sweep."""
        swept(world)
        store, key = world.container.object_store(), f"uploads/{upload['upload_id']}"
        assert store.size(key) is None
        kept = world.container.uploads().get(upload["upload_id"], SERVICE)
        assert not kept.stored
        assert not store.parts(key, kept.ref or "")


class OwnAddresses:
    """The addresses of parts that the service itself takes."""

    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make a file of three parts small."""
        monkeypatch.setattr(model, "PART_SIZE", PART)

    @pytest.mark.parametrize(
        "query",
        [
            {"expires": "99999999999"},
            {"offset": "0"},
            {"size": "18"},
            {"signature": "0" * 64},
            {"signature": None},
            {"key": "00000000"},
            {"sha256": "0" * 64},
        ],
        ids=repr,
    )
    def test_an_altered_address_is_refused(
        self, world: World, query: dict[str, str | None]
    ) -> None:
        upload = opened(world)
        (part,) = signed(world, upload, 3)
        url = altered(part["url"], **query)
        assert sent(world, part, slice_of(part), url).status_code == 403

    def test_an_address_of_one_part_takes_no_other(self, world: World) -> None:
        upload, other = opened(world), opened(world)
        (part,) = signed(world, upload, 3)
        for url in (
            part["url"].replace("/parts/3", "/parts/2"),
            part["url"].replace(upload["upload_id"], other["upload_id"]),
            part["url"].replace("/parts/3", "/parts/x"),
        ):
            assert sent(world, part, slice_of(part), url).status_code in {403, 404}
