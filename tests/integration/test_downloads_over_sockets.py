"""Downloads over sockets: what is broken off, refused, given up and not read."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from threading import Event
from urllib.parse import quote, urlsplit

import pytest
import requests
from attrs import evolve
from playwright.sync_api import Error

from galaxy_jobs.adapters.testing.memory import SimulatedGalaxy
from galaxy_jobs.adapters.testing.memory.galaxy import TEXT, SimulatedFile
from galaxy_jobs.domain import Scope
from galaxy_jobs.domain.errors import RunnerUnavailable
from galaxy_jobs.domain.ports.output_files import CHUNK_SIZE
from galaxy_jobs.entrypoints.settings import HttpTable
from tests.support.browser import browser
from tests.support.client import Client
from tests.support.http_world import IMPATIENT, LINES, World, furnished, over_sockets
from tests.support.readme import Session, blocks
from tests.support.wait import until


SIZE = 24 * 2**20
"""More than the kernel keeps for a client that does not read."""

LIMITS = HttpTable(rate=1e6, burst=1e6, downloads=70, downloads_each=30)


@pytest.fixture(scope="module")
def world(module_database_url: str) -> Iterator[World]:
    settings = {**IMPATIENT, "http": LIMITS}
    with over_sockets(module_database_url, **settings) as made:
        furnished(made)
        outputs = [evolve(LINES, size=SIZE)]
        made.galaxy.add_workflow("large", TEXT, outputs=outputs)
        outputs = [*outputs, evolve(LINES, label="second", id="o5", size=SIZE)]
        made.galaxy.add_workflow("two large", TEXT, outputs=outputs)
        yield made


@pytest.fixture
def path(world: World) -> str:
    """The path of a large output."""
    world.galaxy.file_contents["o1"] = bytes(SIZE)
    world.ended(id_ := world.submit(workflow_name="large"))
    return f"/jobs/{id_}/outputs/lines"


@contextmanager
def client_that_does_not_read(
    world: World, path: str, address: str = "127.0.0.1"
) -> Iterator[socket.socket]:
    url = urlsplit(world.site.url)
    with socket.socket() as client:
        client.bind((address, 0))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.connect((url.hostname, url.port))
        request = f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n"
        client.sendall(request.encode())
        yield client


@pytest.fixture(params=[bytes(1000), None], ids=["shortened", "vanished"])
def left(request: pytest.FixtureRequest) -> bytes | None:
    """The file that Galaxy has while it is sent."""
    found: bytes | None = request.param
    return found


@pytest.mark.parametrize("kind", ["lines", "zip"])
def test_what_galaxy_breaks_off_is_never_taken_for_whole(  # noqa: PLR0917
    world: World,
    path: str,
    kind: str,
    left: bytes | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if kind == "zip":
        path = path.replace("/outputs/lines", "/outputs.zip")
    with caplog.at_level(logging.DEBUG):
        out = str(tmp_path / "out")
        command = ["curl", "--silent", "--limit-rate", "8M", "-o", out]
        with subprocess.Popen([*command, world.site.url + path]) as curl:
            until(lambda: world.galaxy.calls["read"] and (tmp_path / "out").exists())
            if left is None:
                del world.galaxy.file_contents["o1"]
            else:
                world.galaxy.file_contents["o1"] = left
            assert curl.wait(30) == 18  # "partial file"
    if left is None:
        assert world.ask("GET", path, Range="bytes=1000-").status_code == 404
    assert "Traceback" not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_a_zip_is_broken_off_where_its_second_file_has_vanished(
    world: World, tmp_path: Path
) -> None:
    world.galaxy.file_contents.update({"o1": bytes(SIZE), "o5": bytes(SIZE)})
    world.ended(id_ := world.submit(workflow_name="two large"))
    url = f"{world.site.url}/jobs/{id_}/outputs.zip"
    with requests.get(url, stream=True, timeout=30) as answer:
        assert answer.status_code == 200
        del world.galaxy.file_contents["o5"]
        chunks = answer.iter_content(2**20)
        got = sum(len(next(chunks)) for _ in range(SIZE // 2**20))
        assert got == SIZE
        with pytest.raises(requests.RequestException):
            list(chunks)


def resident() -> int:
    """Return the memory of this process, the service's too, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_clients_that_do_not_read_cost_little_and_hold_nobody_up(
    world: World, path: str
) -> None:
    before, memory = world.galaxy.calls["read"], resident()
    with ExitStack() as stack:
        for number in range(50):
            address = f"127.0.0.{2 + number % 2}"  # each has a limit of its own
            client = client_that_does_not_read(world, path, address)
            stack.enter_context(client)

        def reads() -> int:
            return world.galaxy.calls["read"] - before

        def is_quiet() -> bool:
            now = reads()
            time.sleep(0.3)
            return now >= 50 and reads() == now

        until(is_quiet)
        # Each is as far ahead as the kernel's buffers go, and no further.
        assert reads() < 50 * SIZE / 2**18 / 4
        assert resident() - memory < 50 * 2 * 2**20
        assert world.ask("GET", "/jobs").status_code == 200
        with requests.get(world.site.url + path, stream=True, timeout=30) as other:
            assert len(next(other.iter_content(1000))) == 1000


def test_the_number_of_downloads_is_limited(world: World, path: str) -> None:
    opened = world.galaxy.calls["open"]
    with ExitStack() as stack:
        for _ in range(35):
            stack.enter_context(client_that_does_not_read(world, path))

        def status() -> tuple[int, str | None]:
            with requests.get(world.site.url + path, stream=True, timeout=30) as answer:
                return answer.status_code, answer.headers.get("Retry-After")

        until(lambda: world.galaxy.calls["open"] - opened >= 30)
        until(lambda: status() == (429, "5"))
        # A request without a body is none of them.
        assert requests.head(world.site.url + path, timeout=30).status_code == 200
    until(lambda: status() == (200, None))


def test_a_download_ends_with_the_token_of_its_caller(
    empty_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = empty_world
    closed: set[int] = set()
    close = SimulatedFile.close

    def close_noted(file: SimulatedFile) -> None:
        close(file)
        closed.add(id(file))

    monkeypatch.setattr(SimulatedFile, "close", close_noted)
    world.galaxy.file_contents["o1"] = bytes(SIZE)
    world.ended(id_ := world.submit(workflow_name="plates"))
    token = world.container.create_token()("downloads", Scope.READ).text
    until(lambda: world.ask("GET", "/jobs").status_code == 401)
    bearer = {"Authorization": f"Bearer {token}"}
    url = f"{world.site.url}/jobs/{id_}/outputs/lines"
    link = requests.get(
        f"{world.site.url}/jobs/{id_}/outputs?links=60", headers=bearer, timeout=30
    ).json()["items"][0]["url"]
    with (
        requests.get(url, headers=bearer, stream=True, timeout=30) as by_token,
        requests.get(world.site.url + link, stream=True, timeout=30) as by_link,
    ):
        assert by_token.status_code == by_link.status_code == 200
        world.container.revoke_token()("downloads")
        until(lambda: len(closed) == 2)
        for answer in (by_token, by_link):
            with pytest.raises(requests.RequestException):
                assert len(answer.content) < SIZE


@pytest.fixture
def empty_world(database_url: str) -> Iterator[World]:
    with over_sockets(database_url, **IMPATIENT) as made:
        made.container.token_cache().watch_interval = 0.05
        yield furnished(made)


# --- other clients -----------------------------------------------------------------


CONTENT = Random(7).randbytes(SIZE)

ARIA2 = (
    f"{sysconfig.get_path('scripts')}/aria2c --no-conf --quiet --continue"
    " --file-allocation=none --retry-wait=0 -d {folder} -o {name}"
)


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where Galaxy has broken off: once, half-way."""
    places: list[int] = []
    read = SimulatedGalaxy.read

    def cut(galaxy: SimulatedGalaxy, dataset_id: str, start: int, stop: int) -> bytes:
        if start >= SIZE // 2 and not places:
            places.append(start)
            raise RunnerUnavailable("Galaxy is down.")
        return read(galaxy, dataset_id, start, stop)

    monkeypatch.setattr(SimulatedGalaxy, "read", cut)
    return places


@pytest.mark.parametrize(
    "command",
    [
        "curl --silent --fail -C - -o {folder}/{name} {url}",
        "wget --quiet -c -O {folder}/{name} {url}",
        f"{ARIA2} {{url}}",
        f"{ARIA2} --split=4 --max-connection-per-server=4 --min-split-size=1M {{url}}",
    ],
    ids=["curl", "wget", "aria2", "aria2 by 4 connections"],
)
def test_a_download_that_was_broken_off_is_resumed(
    world: World, path: str, cuts: list[int], tmp_path: Path, command: str
) -> None:
    world.galaxy.file_contents["o1"] = CONTENT
    before = world.galaxy.calls["read"]
    url = world.site.url + path
    typed = command.format(folder=tmp_path, name="lines.txt", url=url).split()
    for _ in range(3):  # curl gives up, and is typed again
        code = subprocess.run(typed, check=False, timeout=60).returncode
        if not code:
            break
    assert code == 0
    assert len(cuts) == 1
    assert files_in(tmp_path) == {"lines.txt": CONTENT}
    # What was on its way to a connection is read twice, and not the whole.
    connections = 4 if "--split=4" in command else 1
    read = (world.galaxy.calls["read"] - before) * CHUNK_SIZE
    assert read < SIZE + connections * 6 * 2**20


def test_chromium_resumes_a_download(world: World, path: str, cuts: list[int]) -> None:
    world.galaxy.file_contents["o1"] = CONTENT
    before = world.galaxy.calls["read"]
    with browser() as chrome:
        page = chrome.new_page()
        with page.expect_download() as download, suppress(Error):
            page.goto(world.site.url + path)
        assert download.value.path().read_bytes() == CONTENT
        assert download.value.suggested_filename == "lines.txt"
    assert len(cuts) == 1
    assert world.galaxy.calls["read"] - before < 1.4 * SIZE / 2**18


# --- the command -------------------------------------------------------------------


@pytest.fixture
def gj(world: World, tmp_path: Path) -> Client:
    return Client.of(world.site.url, tmp_path)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_the_outputs_of_a_job_are_saved_as_in_its_zip(
    world: World, gj: Client, tmp_path: Path
) -> None:
    world.galaxy.file_contents["o1"] = b"0123456789"
    world.ended(id_ := world.submit(workflow_name="plates"))
    done = gj("download", id_, "-o", "new/folder")
    assert files_in(tmp_path / "new/folder") == {
        "lines.txt": b"0123456789",
        "plates/1_a/x.txt": b"p1",
        "plates/1_a/y": b"p2",
        "plates/1_a/X (2).txt": b"p3",
    }
    assert "new/folder/lines.txt" in done.stdout.splitlines()
    again = gj("download", id_, "-o", "new/folder")
    assert "new/folder/lines.txt (was there)" in again.stdout.splitlines()
    gj("download", id_, "--label", "lines", "-o", "some")
    assert files_in(tmp_path / "some") == {"lines.txt": b"0123456789"}
    refused = gj("download", id_, "--label", "none", code=1)
    assert "no output 'none'" in refused.stderr
    gj("download", "none", code=1)
    (item,) = gj.json("download", id_, "--label", "lines", "-o", "some")["items"]
    assert item == {"path": ["lines"], "file": "some/lines.txt", "was_there": True}


def test_no_other_file_is_overwritten(world: World, gj: Client, tmp_path: Path) -> None:
    world.galaxy.file_contents["o1"] = b"0123456789"
    world.ended(id_ := world.submit(workflow_name="plates"))
    (tmp_path / "lines.txt").write_text("mine")
    refused = gj("download", id_, "--label", "lines", code=1)
    assert "--force" in refused.stderr
    assert files_in(tmp_path) == {"lines.txt": b"mine"}
    gj("download", id_, "--label", "lines", "--force")
    assert files_in(tmp_path) == {"lines.txt": b"0123456789"}


def test_what_was_interrupted_is_resumed(
    world: World,
    gj: Client,
    path: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = b"0123456789abcdef" * (SIZE // 16)
    world.galaxy.file_contents["o1"] = content
    id_ = path.split("/")[2]
    interrupted = Event()
    read = SimulatedGalaxy.read

    def held(galaxy: SimulatedGalaxy, dataset_id: str, start: int, stop: int) -> bytes:
        if start >= SIZE // 2 and not interrupted.is_set():
            interrupted.wait(60)
            raise RunnerUnavailable("Galaxy is down.")
        return read(galaxy, dataset_id, start, stop)

    monkeypatch.setattr(SimulatedGalaxy, "read", held)
    started = gj.start("download", id_, "--label", "lines")

    def part() -> Path | None:
        parts = [*tmp_path.glob(".lines.txt.*.part")]
        return parts[0] if parts and parts[0].stat().st_size > 2**20 else None

    until(part)
    started.kill()
    started.communicate()
    interrupted.set()
    left = part()
    assert left is not None
    kept = left.stat().st_size
    assert kept < SIZE
    before = world.galaxy.calls["read"]
    gj("download", id_, "--label", "lines")
    assert files_in(tmp_path) == {"lines.txt": content}
    assert world.galaxy.calls["read"] - before <= (SIZE - kept) // 2**18 + 2


def test_the_session_of_an_interrupted_download_is_what_happens(
    world: World, gj: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = (
        block for block in blocks() if "\n^C\n$ galaxy-jobs download" in block.text
    )
    (first, interrupted), *others = block.commands()
    content = Random(18).randbytes(SIZE)
    world.galaxy.file_contents.update({"o1": content[::-1], "o5": content})
    outputs = [
        evolve(LINES, size=SIZE),
        evolve(LINES, label="sorted", id="o5", size=SIZE),
    ]
    world.galaxy.add_workflow("interrupted", TEXT, outputs=outputs)
    world.ended(id_ := world.submit(workflow_name="interrupted"))
    bin_folder = sysconfig.get_path("scripts")
    session = Session(
        env={**gj.env, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
        folder=tmp_path,
        known={first.split()[2]: id_},
    )
    halfway, interruption = Event(), Event()
    read = SimulatedGalaxy.read

    def waits(galaxy: SimulatedGalaxy, dataset_id: str, start: int, stop: int) -> bytes:
        if dataset_id == "o5" and start >= SIZE // 2:
            halfway.set()
            assert interruption.wait(30)
        return read(galaxy, dataset_id, start, stop)

    monkeypatch.setattr(SimulatedGalaxy, "read", waits)
    started = gj.start("download", id_, *first.split()[3:])
    assert halfway.wait(30)
    until(lambda: [*tmp_path.glob("results/.sorted.txt.*.part")])
    started.send_signal(signal.SIGINT)
    printed, _ = started.communicate(timeout=30)
    interruption.set()
    assert started.returncode == 130
    session.compare(interrupted.replace("^C", ""), printed, first)
    for command, shown in others:
        session.compare(shown, session.run(command), command)
    assert files_in(tmp_path / "results") == {
        "lines.txt": content[::-1],
        "sorted.txt": content,
    }


def test_what_is_of_another_version_is_not_gone_on_with(
    world: World, gj: Client, path: str, tmp_path: Path
) -> None:
    etag = requests.head(world.site.url + path, timeout=30).headers["ETag"].strip('"')
    world.galaxy.file_contents["o1"] = content = b"x" * SIZE
    (tmp_path / f".lines.txt.{quote(etag, '')}.part").write_bytes(b"old" * 1000)
    gj("download", path.split("/")[2], "--label", "lines")
    assert files_in(tmp_path) == {"lines.txt": content}


def test_a_download_that_breaks_off_goes_on_by_itself(
    world: World, gj: Client, path: str, cuts: list[int], tmp_path: Path
) -> None:
    world.galaxy.fail_next("open", RunnerUnavailable("Galaxy is down."))
    refused = gj("download", path.split("/")[2], "--label", "lines", code=1)
    assert "Galaxy is down" in refused.stderr
    assert files_in(tmp_path) == {}
    gj("download", path.split("/")[2], "--label", "lines")
    assert len(cuts) == 1
    assert (tmp_path / "lines.txt").stat().st_size == SIZE


def test_an_output_that_is_not_whole_is_named(
    world: World, gj: Client, tmp_path: Path
) -> None:
    world.ended(id_ := world.submit(workflow_name="sorts"))
    done = gj("download", id_, "--label", "both", "--label", "running", code=1)
    assert "running: Output not ready." in done.stderr
    assert files_in(tmp_path) == {"both (2)": b"two", "both/x_y": b"4"}
