"""Uploads whose API or poller is killed by ``kill -9`` at each step.

A real process stops at a gate and is killed there. Then of two clients one comes back,
and its upload is finished; the other never does, and nothing is left of its upload.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import requests
from attrs import field, frozen

from galaxy_jobs.adapters.clock import SystemClock
from galaxy_jobs.adapters.embedded.store import LocalStore
from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.adapters.storage.s3 import S3Store
from galaxy_jobs.domain import Signer
from galaxy_jobs.domain.model.upload import MIB
from galaxy_jobs.entrypoints.client import uploading
from tests.support import forks
from tests.support.client import Client
from tests.support.gates import Gate, small_parts
from tests.support.postgres import new_database
from tests.support.proxy import Proxy
from tests.support.service import Command, Service, environment, running
from tests.support.wait import until


FOLDER = "galaxy_jobs.adapters.storage.folder"
S3 = "galaxy_jobs.adapters.storage.s3"
POSTGRES = "galaxy_jobs.adapters.postgres.uploads"
USE_CASES = "galaxy_jobs.domain.use_cases.uploads"

OPENING = {
    "before the row is committed": Gate(f"{POSTGRES}:upload_to_row", "before"),
    "before the store begins": Gate("{store}.begin", "before"),
    "after the store has begun": Gate("{store}.begin", "after"),
    "before the beginning is committed": Gate(f"{POSTGRES}:_save", "after"),
    "after the beginning is committed": Gate(
        f"{POSTGRES}:PostgresUploads.save", "after"
    ),
}
STORING = {
    "before the first byte": Gate(f"{FOLDER}:PartWriter.write", "before"),
    "after the first bytes": Gate(f"{FOLDER}:PartWriter.write", "after"),
    "after the last byte": Gate(f"{FOLDER}:PartWriter.finish", "before"),
    "before the marker": Gate("json:dump", "before"),
    "after the marker": Gate(f"{FOLDER}:PartWriter.finish", "after"),
}
COMPLETING = {
    "before the store finishes": Gate("{store}.finish", "before"),
    "after the store has finished": Gate("{store}.finish", "after"),
    "before the state is committed": Gate(f"{POSTGRES}:_save", "after"),
}
REGISTERING = {
    "before the dataset is committed": Gate(f"{POSTGRES}:dataset_to_row", "before"),
    "after the dataset is committed": Gate(
        f"{POSTGRES}:PostgresUploads.complete", "after"
    ),
}
VERIFYING = {
    "before the digest": Gate(f"{USE_CASES}:digest_of", "before"),
    "after the digest": Gate(f"{USE_CASES}:digest_of", "after"),
    **REGISTERING,
}
REMOVING = {
    "before the store discards": Gate("{store}.discard", "before"),
    "amid the store's discarding": Gate("{discarding}", "after"),
    "after the store has discarded": Gate("{store}.discard", "after"),
    "before that is committed": Gate(f"{POSTGRES}:_save", "after"),
}
ABORTING = {
    "after the abort is committed": Gate(f"{POSTGRES}:PostgresUploads.save", "after"),
    **REMOVING,
}
DIFFERENT = {
    "after the store has begun",
    "after the store has finished",
    "amid the store's discarding",
}
"""The steps that leave something else on a store of the S3 kind."""

NAMES = {
    FolderStore: {
        "store": f"{FOLDER}:FolderStore",
        "discarding": "pathlib:Path.rename",
    },
    S3Store: {"store": f"{S3}:S3Store", "discarding": f"{S3}:S3Store._abort"},
}


@frozen
class World:
    """A service with an API that is never harmed, and what its store has.

    Attributes:
        names: Of the calls of its store, in gates.
        left: Returns the keys of all that the store has.
        part: The size of a part.
    """

    jobs: Service
    database: str
    names: dict[str, str]
    left: Callable[[], set[str]]
    store: FolderStore | S3Store
    part: int
    content: bytes = field(repr=False)

    # --- processes ---

    def victim(self, gate: Gate, *command: str) -> tuple[Command, Path]:
        """Start a process that stops at a gate; return it, and who came there."""
        gate = Gate(gate.call.format(**self.names), gate.stage)
        reached = self.jobs.folder / uuid4().hex
        reached.mkdir()
        change = self.jobs.change
        self.jobs.change = partial(small_parts, self.part, gate, reached)
        try:
            if command:
                return self.jobs.start(*command), reached
            return self.jobs.serve(), reached
        finally:
            self.jobs.change = change

    def sweep(self) -> None:
        """Sweep once; leases have run out."""
        self.sql("UPDATE uploads SET look_at = now() WHERE look_at < now() + '1 hour'")
        self.jobs.run("poll", "--once")  # there is no Galaxy, which is another matter

    def expire(self) -> None:
        self.sql(
            "UPDATE uploads SET expires_at = now(), look_at = now()"
            " WHERE state = 'open'"
        )

    def sql(self, statement: str, *values: object) -> list[Any]:
        with psycopg.connect(self.database) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    # --- what a client does ---

    def open(self, url: str, dataset_id: str, size: int | None = None) -> Any:
        body = {
            "name": "a",
            "size": size or len(self.content),
            "ext": "txt",
            "dataset_id": dataset_id,
        }
        return _ask("POST", f"{url}/uploads", body, dataset_id)

    def store_parts(self, url: str, dataset_id: str, size: int | None = None) -> Any:
        upload = self.open(url, dataset_id, size)
        path = f"{url}/uploads/{upload['upload_id']}"
        if numbers := _ask("GET", path)["missing"]:
            for part in _ask("POST", f"{path}/parts", {"numbers": numbers})["parts"]:
                piece = self.content[part["offset"] :][: part["size"]]
                headers = part["headers"]
                answer = requests.put(
                    part["url"], data=piece, headers=headers, timeout=60
                )
                answer.raise_for_status()
        return upload

    def complete(self, url: str, dataset_id: str, size: int | None = None) -> Any:
        upload = self.open(url, dataset_id, size)
        return _ask("POST", f"{url}/uploads/{upload['upload_id']}/complete")

    def abort(self, url: str, dataset_id: str) -> None:
        upload = self.open(url, dataset_id)
        requests.delete(f"{url}/uploads/{upload['upload_id']}", timeout=60)

    def upload(self, dataset_id: str, size: int | None = None) -> None:
        """Upload a file, from wherever it is."""
        url = self.jobs.url
        if self.open(url, dataset_id, size)["state"] == "open":
            self.store_parts(url, dataset_id, size)
            self.complete(url, dataset_id, size)
        self.sweep()

    # --- what is true ---

    def is_registered(self, dataset_id: str, size: int | None = None) -> bool:
        """Return whether the dataset is there; its file must be whole then."""
        found = self.sql(
            "SELECT source->>'upload_id' FROM datasets WHERE dataset_id = %s",
            dataset_id,
        )
        for (upload_id,) in found:
            with self.store.read(f"uploads/{upload_id}") as pieces:
                assert b"".join(pieces) == self.content[:size]
        return bool(found)

    def check_nothing_else_is_left(self) -> None:
        """Assert that the store has the files of datasets, and no more."""
        rows = self.sql("SELECT source->>'upload_id' FROM datasets")
        assert self.left() == {upload_id for (upload_id,) in rows}
        ((number,),) = self.sql(
            "SELECT count(*) FROM uploads WHERE stored AND state <> 'complete'"
        )
        assert number == 0


def _ask(method: str, url: str, body: Any = None, key: str = "") -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    answer = requests.request(method, url, json=body, headers=headers, timeout=60)
    assert answer.ok, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def folder_world(
    postgres_url: str,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    with (
        new_database(postgres_url, template_database) as database,
        _in_folder(tmp_path_factory.mktemp("folder"), database) as world,
    ):
        yield world


@pytest.fixture(scope="module")
def seaweedfs_world(
    postgres_url: str,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    with (
        new_database(postgres_url, template_database) as database,
        _in_seaweedfs(tmp_path_factory.mktemp("seaweedfs"), database) as world,
    ):
        yield world


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    world: World = request.getfixturevalue(f"{request.param}_world")
    return world


@contextmanager
def _in_folder(home: Path, database: str) -> Iterator[World]:
    root = home / "storage"

    def left() -> set[str]:
        return {path.name for path in root.glob("uploads/*")}

    store = FolderStore(root, lambda: Signer([]), SystemClock())
    with _world(home, database, store, left, MIB) as world:
        yield world


@contextmanager
def _in_seaweedfs(home: Path, database: str) -> Iterator[World]:
    local = LocalStore(home / "store", port=18633)
    try:
        access = local.start()
        config = home / "config.toml"
        config.write_text(
            f"[storage]\nbucket = '{access.bucket}'\nendpoint = '{access.endpoint}'\n"
        )
        keys = (access.key_id, access.secret)
        store = S3Store(
            access.endpoint, None, access.region, access.bucket, SystemClock(), keys
        )

        def left() -> set[str]:
            bucket = {"Bucket": access.bucket}
            begun = store._client.list_multipart_uploads(**bucket)
            files = store._client.list_objects_v2(**bucket)
            found = [*begun.get("Uploads", []), *files.get("Contents", [])]
            return {each["Key"].removeprefix("uploads/") for each in found}

        env = {
            "GALAXY_JOBS_CONFIG": str(config),
            "AWS_ACCESS_KEY_ID": access.key_id,
            "AWS_SECRET_ACCESS_KEY": access.secret,
        }
        with _world(home, database, store, left, 5 * MIB, **env) as world:
            yield world
    finally:
        local.remove()


@contextmanager
def _world(
    home: Path,
    database: str,
    store: FolderStore | S3Store,
    left: Callable[[], set[str]],
    part: int,
    **env: str,
) -> Iterator[World]:
    told = environment(
        home, database=database, galaxy="http://127.0.0.1:9", key="none", **env
    )
    service = Service(told, home, change=partial(small_parts, part))
    with running(service) as jobs:
        jobs.serve()
        names = NAMES[type(store)]
        content = os.urandom(part + 5)
        yield World(jobs, database, names, left, store, part, content)


def each(gates: dict[str, Gate]) -> pytest.MarkDecorator:
    """Run a test at gates on the folder, and on SeaweedFS where most may be left."""
    cases = [
        pytest.param(store, gate, id=f"{store}: {name}")
        for store, names in (("folder", gates), ("seaweedfs", gates.keys() & DIFFERENT))
        for name, gate in gates.items()
        if name in names
    ]
    return pytest.mark.parametrize(("world", "gate"), cases, indirect=["world"])


def killed(
    world: World,
    gate: Gate,
    ids: Sequence[str],
    request: Callable[[str, str], object],
    *,
    number: int | None = None,
) -> None:
    """Send a request for each dataset, and kill the API once they are at the gate.

    Args:
        number: Of the requests that come there; None: all.
    """
    safe = world.jobs.url
    api, reached = world.victim(gate)
    url, world.jobs.url = world.jobs.url, safe

    def send(id_: str) -> None:
        with suppress(requests.ConnectionError):
            request(url, id_)

    threads = [threading.Thread(target=send, args=(id_,), daemon=True) for id_ in ids]
    for thread in threads:
        thread.start()
    wanted = number or len(ids)
    try:
        until(lambda: len([*reached.iterdir()]) >= wanted, 20)
    finally:
        api.process.kill()
        api.process.wait()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def two() -> tuple[str, str]:
    return f"back {uuid4()}", f"gone {uuid4()}"


def check(world: World, back: str, gone: str, size: int | None = None) -> None:
    """Let one client come back; check that all is as if nothing had happened."""
    for id_ in (back, gone):
        world.is_registered(id_, size)
    world.upload(back, size)
    assert world.is_registered(back, size)
    world.expire()
    world.sweep()
    world.is_registered(gone, size)
    world.check_nothing_else_is_left()


@each(OPENING)
def test_an_api_that_is_killed_while_it_opens_an_upload(
    world: World, gate: Gate
) -> None:
    back, gone = two()
    # Those of one owner wait for each other.
    number = 1 if gate is OPENING["before the row is committed"] else None
    killed(world, gate, (back, gone), world.open, number=number)
    check(world, back, gone)


@each(STORING)
def test_an_api_that_is_killed_while_it_stores_a_part(world: World, gate: Gate) -> None:
    back, gone = two()
    for id_ in (back, gone):
        world.open(world.jobs.url, id_)
    killed(world, gate, (back, gone), world.store_parts)
    check(world, back, gone)


@each(COMPLETING)
def test_an_api_that_is_killed_while_it_completes_an_upload(
    world: World, gate: Gate
) -> None:
    back, gone = two()
    for id_ in (back, gone):
        world.store_parts(world.jobs.url, id_)
    killed(world, gate, (back, gone), world.complete)
    check(world, back, gone)


@each(REGISTERING)
def test_an_api_that_is_killed_while_it_registers_a_small_file(
    world: World, gate: Gate
) -> None:
    back, gone = two()
    for id_ in (back, gone):
        world.store_parts(world.jobs.url, id_, 5)
    killed(world, gate, (back, gone), partial(world.complete, size=5))
    check(world, back, gone, 5)


@each(ABORTING)
def test_an_api_that_is_killed_while_it_aborts_an_upload(
    world: World, gate: Gate
) -> None:
    first, second = two()
    for id_ in (first, second):
        world.store_parts(world.jobs.url, id_)
    killed(world, gate, (first, second), world.abort)
    world.expire()
    world.sweep()
    assert not world.is_registered(first)
    assert not world.is_registered(second)
    world.check_nothing_else_is_left()


def killed_sweep(world: World, gate: Gate) -> None:
    poller, reached = world.victim(gate, "poll", "--once")
    try:
        until(lambda: [*reached.iterdir()], 20)
    finally:
        poller.process.kill()
        poller.process.wait()


@each(VERIFYING)
def test_a_poller_that_is_killed_while_it_verifies_a_file(
    world: World, gate: Gate
) -> None:
    id_ = str(uuid4())
    world.store_parts(world.jobs.url, id_)
    world.complete(world.jobs.url, id_)
    killed_sweep(world, gate)
    world.is_registered(id_)
    world.sweep()
    assert world.is_registered(id_)
    world.check_nothing_else_is_left()


@each(REMOVING)
def test_a_poller_that_is_killed_while_it_removes_what_has_expired(
    world: World, gate: Gate
) -> None:
    id_ = str(uuid4())
    world.store_parts(world.jobs.url, id_)
    world.expire()
    killed_sweep(world, gate)
    world.sweep()
    assert not world.is_registered(id_)
    world.check_nothing_else_is_left()


# --- the client, too ----------------------------------------------------------------

INTERRUPTIONS = 5
PART_PATH = re.compile(r"/uploads/[^/]+/parts/(\d+)\?")


def test_an_upload_that_is_interrupted_again_and_again_sends_no_finished_part_twice(
    folder_world: World, tmp_path: Path
) -> None:
    interrupted(folder_world, tmp_path / "reads.fastq", parts=30)


def interrupted(world: World, path: Path, parts: int) -> int:
    """Upload a file; client and API are killed whenever more parts are stored.

    Returns:
        How many parts were sent.
    """
    with path.open("wb") as file:
        for _ in range(parts - 1):
            file.write(os.urandom(world.part))
        file.write(b"the end")
    safe, dataset_id = world.jobs.url, str(uuid4())
    finished: set[int] = set()
    all_sent: list[int] = []
    with Proxy("", keeps_host=True).running() as between:
        env = Client.of(between.url, path.parent).env
        command = ("upload", str(path), "--ext", "fastq", "--dataset", dataset_id)

        def upload() -> forks.Forked:
            log = path.with_suffix(".log")
            return forks.start(command, env=env, folder=path.parent, out=log)

        def check_sent() -> None:
            sent = [
                int(match[1])
                for passing in between.seen
                if passing.method == "PUT" and passing.stage == "before"
                if (match := PART_PATH.match(passing.path))
            ]
            assert not finished & set(sent)
            all_sent.extend(sent)
            between.seen.clear()

        for number in range(INTERRUPTIONS):
            api = world.jobs.serve()
            between.upstream, world.jobs.url = world.jobs.url, safe
            client = upload()
            more = max(number * parts // (INTERRUPTIONS + 1), 1)
            until(lambda: len(stored(world, dataset_id)) >= more, 60)  # noqa: B023
            for process in (
                (client, api.process)
                if number % 2
                else (
                    api.process,
                    client,
                )
            ):
                process.kill()
                process.wait()
            check_sent()
            finished = stored(world, dataset_id)
        between.upstream = safe
        poller = world.jobs.poll()
        assert upload().wait(120) == 0
        poller.stop()
        check_sent()
    assert len(all_sent) <= parts + INTERRUPTIONS * uploading.PARALLEL_PARTS
    ((upload_id,),) = world.sql(
        "SELECT source->>'upload_id' FROM datasets WHERE dataset_id = %s", dataset_id
    )
    with world.store.read(f"uploads/{upload_id}") as pieces, path.open("rb") as sent:
        for piece in pieces:
            assert piece == sent.read(len(piece))
        assert not sent.read(1)
    return len(all_sent)


def stored(world: World, dataset_id: str) -> set[int]:
    """Return the numbers of the parts of an upload that are stored."""
    found = world.sql("SELECT upload_id FROM uploads WHERE dataset_id = %s", dataset_id)
    keys = [f"uploads/{upload_id}" for (upload_id,) in found]
    return {part.number for key in keys for part in world.store.parts(key, "")}
