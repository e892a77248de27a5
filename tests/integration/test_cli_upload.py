"""The command `upload`, against a real service over sockets."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_jobs.adapters.storage.folder import PartWriter
from galaxy_jobs.domain.model import upload as model
from galaxy_jobs.domain.model.upload import MIB
from galaxy_jobs.domain.use_cases import uploads as use_cases
from tests.support.client import Client
from tests.support.http_world import IMPATIENT, World, over_sockets
from tests.support.wait import until


@pytest.fixture(scope="module")
def world(module_database_url: str) -> Iterator[World]:
    with over_sockets(module_database_url, **IMPATIENT) as made:
        yield made


@pytest.fixture(scope="module")
def gj(world: World, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client.of(world.site.url, tmp_path_factory.mktemp("client"))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PART_SIZE", MIB)
    monkeypatch.setattr(use_cases, "PART_SIZE", MIB)


def a_file(tmp_path: Path, name: str = "reads.fastq", size: int = 5 * MIB + 3) -> Path:
    path = tmp_path / name
    path.write_bytes(os.urandom(size))
    return path


def content(world: World, dataset_id: str) -> bytes:
    upload_id = world.get(f"/datasets/{dataset_id}")["source"]["upload_id"]
    with world.container.object_store().read(f"uploads/{upload_id}") as pieces:
        return b"".join(pieces)


def test_a_file_is_uploaded_and_is_a_dataset(
    world: World, gj: Client, tmp_path: Path
) -> None:
    path = a_file(tmp_path)
    command = ("upload", str(path), "--ext", "fastq", "--dataset", "whole")
    with world.site.sweeping():
        done = gj(*command)
    assert "Dataset whole is registered" in done.stdout
    assert content(world, "whole") == path.read_bytes()
    assert "uploaded" in gj("datasets", "list").stdout
    assert "uploaded" in gj("datasets", "show", "whole").stdout
    # What is complete is not sent again.
    assert gj.json(*command)["dataset_id"] == "whole"


def test_an_upload_that_is_killed_sends_no_finished_part_again(
    world: World, gj: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_file(tmp_path, size=9 * MIB + 3)
    finished: list[int] = []
    go_on = threading.Event()
    finish = PartWriter.finish

    def slow(writer: PartWriter) -> None:
        if len(finished) >= 3 and not go_on.wait(60):
            raise AssertionError("nobody went on")
        finish(writer)
        finished.append(writer.part.number)

    monkeypatch.setattr(PartWriter, "finish", slow)
    command = ("upload", str(path), "--ext", "fastq", "--dataset", "killed")
    client = gj.start(*command)
    try:
        until(lambda: len(finished) >= 3)
    finally:
        client.kill()
        client.communicate()
    go_on.set()
    until(lambda: not world.get("/uploads")["items"] or len(finished) >= 3)
    time.sleep(0.5)  # what had arrived whole is stored
    with world.site.sweeping():
        gj(*command)
    assert sorted(finished) == list(range(1, 11))
    assert content(world, "killed") == path.read_bytes()


def test_an_interruption_waits_for_no_answer(
    world: World, gj: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_file(tmp_path)
    arrived: list[int] = []
    go_on = threading.Event()
    finish = PartWriter.finish

    def silent(writer: PartWriter) -> None:
        arrived.append(writer.part.number)
        assert go_on.wait(60)
        finish(writer)

    monkeypatch.setattr(PartWriter, "finish", silent)
    command = ("upload", str(path), "--ext", "fastq", "--dataset", "interrupted")
    with gj.start(*command) as client:
        try:
            until(lambda: len(arrived) == 4)
            client.send_signal(signal.SIGINT)
            printed, _ = client.communicate(timeout=10)
        finally:
            go_on.set()
            client.kill()
    assert (client.returncode, printed) == (130, "")
    with world.site.sweeping():
        gj(*command)
    assert content(world, "interrupted") == path.read_bytes()


def test_a_wrong_file_is_an_error_of_one_line(gj: Client, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for arguments, code in (
        ([str(tmp_path / "none"), "--ext", "txt"], 2),
        ([str(empty), "--ext", "txt"], 1),
        ([str(empty), str(empty), "--ext", "txt", "--dataset", "d"], 2),
        ([str(empty), "--ext", "txt", "--name", "n"], 2),
        ([str(empty), "--ext", "txt", "--collection", "paired", "--name", "n"], 2),
        (["--ext", "txt"], 2),
    ):
        done = gj("upload", *arguments, code=code)
        assert done.stderr.startswith("galaxy-jobs: ")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("list", ["s.fastq", "s.fastq.gz"]),
        ("list:paired", ["s_R1.fq", "s_R2.fq", "s_R1.bam", "s_R2.bam"]),
    ],
)
def test_equal_names_of_elements_are_found_before_anything_is_sent(
    world: World, gj: Client, tmp_path: Path, kind: str, names: list[str]
) -> None:
    before = world.get("/uploads?limit=200")["items"]
    paths = [str(a_file(tmp_path, name, 5)) for name in names]
    done = gj("upload", *paths, "--collection", kind, "--name", "Equal", code=2)
    first, second = paths[0], paths[len(paths) // 2]
    assert f"{first} and {second} would both be element 's'" in done.stderr
    assert world.get("/uploads?limit=200")["items"] == before


def test_a_list_calls_its_elements_by_all_but_the_format(
    world: World, gj: Client, tmp_path: Path
) -> None:
    names = ["ctrl.rep1.fastq.gz", "ctrl.rep2.fastq.gz"]
    paths = [str(a_file(tmp_path, name, 5)) for name in names]
    with world.site.sweeping():
        gj("upload", *paths, "--collection", "list", "--dataset", "reps")
    source = world.get("/datasets/reps")["source"]
    assert [one["name"] for one in source["elements"]] == ["ctrl.rep1", "ctrl.rep2"]


def test_a_sheet_of_files_goes_on_and_doubles_nothing(
    world: World, gj: Client, tmp_path: Path
) -> None:
    names = [f"{sample}_{read}.fastq" for sample in ("x1", "x2") for read in (1, 2)]
    first, *others = (a_file(tmp_path, name, 2 * MIB + 1) for name in names)
    others[1].unlink()
    sheet = tmp_path / "samples.tsv"
    sheet.write_text(
        "name\tforward\treverse\n"
        f"x1\t{first}\t{others[0]}\nx2\t{others[1]}\t{others[2]}\n"
    )
    command = ("datasets", "add", "Plate", "--sheet", str(sheet))
    problem = gj(*command, code=2).stderr
    assert f"{sheet}, line 3, column forward: There is no file" in problem
    others[1].touch()
    with world.site.sweeping():
        problem = gj(*command, code=1).stderr
        assert f"{sheet}, line 3, column forward: it is not uploaded" in problem
        assert "has 1 byte or more" in problem
        others[1].write_bytes(b"reads")
        plate = gj.json(*command)
        assert gj.json(*command) == plate
    registered = [item["name"] for item in world.get("/datasets")["items"]]
    assert [registered.count(name) for name in (*names, "Plate")] == [1] * 5
    source = world.get(f"/datasets/{plate['dataset_id']}")["source"]
    ends = [
        end["dataset_id"] for pair in source["elements"] for end in pair["elements"]
    ]
    for id_, path in zip(ends, (first, *others), strict=True):
        assert content(world, id_) == path.read_bytes()


def test_files_of_a_sheet_are_datasets_with_its_names(
    world: World, gj: Client, tmp_path: Path
) -> None:
    path = a_file(tmp_path, "y.bam", 5)
    sheet = tmp_path / "samples.csv"
    sheet.write_text(f"name,url,id\nSample Y,{path},y\n")
    for _ in range(2):
        shown = gj.json("datasets", "add", "--sheet", str(sheet))
        assert (shown["name"], shown["dataset_id"]) == ("Sample Y", "y")
    assert content(world, "y") == path.read_bytes()


def test_pairs_become_a_collection(world: World, gj: Client, tmp_path: Path) -> None:
    names = [f"{sample}_R{n}.fastq" for sample in ("s1", "s2") for n in (2, 1)]
    paths = [str(a_file(tmp_path, name, 5)) for name in names]
    command = ("--ext", "fastq", "--collection", "list:paired", "--name", "Plate")
    gj("upload", *paths, *command, "--dataset", "plate")
    source = world.get("/datasets/plate")["source"]
    assert source["collection_type"] == "list:paired"
    pairs = {
        sample["name"]: [element["name"] for element in sample["elements"]]
        for sample in source["elements"]
    }
    assert pairs == {sample: ["forward", "reverse"] for sample in ("s1", "s2")}
    ids = [
        element["dataset_id"]
        for sample in source["elements"]
        for element in sample["elements"]
    ]
    shown = [world.get(f"/datasets/{id_}")["name"] for id_ in ids]
    assert shown == sorted(names)
