"""Outputs of a real Galaxy, as clients download them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import pytest
import requests

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.samples import upload_text
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.testing.contracts.output_files import (
    FileScene,
    OutputFilesContract,
)
from galaxy_jobs.domain.ports import OutputFiles
from tests.support.client import Client
from tests.support.galaxy import Lab
from tests.support.ids import absent_id
from tests.support.service import Service, service
from tests.support.wait import until
from tests.support.workflows import odd_outputs


LINES = "".join(f"line {number:06}\n" for number in range(200_000))
"""Sorted already, so that the output of `sort` is the same."""


class GalaxyFileScene(FileScene):
    def __init__(self, lab: Lab, absent: str) -> None:
        self.lab = lab
        self._absent = absent
        self.history = lab.call("POST", "histories", {"name": "files"})["id"]

    @property
    def absent(self) -> str:
        return self._absent

    def dataset(self, content: bytes) -> str:
        text = content.decode("latin-1")
        fetched = upload_text(
            self.lab.url, self.lab.key, "file.bin", text, self.history
        )
        return str(fetched)


@pytest.fixture(scope="module")
def jobs(
    lab: Lab, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with service(
        folder, database=module_database_url, galaxy=lab.url, key=lab.key
    ) as started:
        started.serve()
        started.poll()
        yield started


@pytest.fixture(scope="module")
def job(jobs: Service, lab: Lab) -> dict[str, Any]:
    """A completed job whose output `sort_out` has two megabytes."""
    history = lab.call("POST", "histories", {"name": "lines"})["id"]
    id_ = upload_text(lab.url, lab.key, "lines.txt", LINES, history)
    ended: dict[str, Any] = jobs.wait(
        jobs.submit(jobs.dataset("hda", id_), "two steps")
    )
    assert ended["state"] == "completed", ended
    return ended


@pytest.fixture(scope="module")
def address(jobs: Service, job: dict[str, Any]) -> str:
    return f"{jobs.url}/jobs/{job['invocation_id']}/outputs/sort_out"


def test_an_output_is_downloaded_whole_and_in_ranges(address: str) -> None:
    whole = requests.get(address, timeout=60)
    assert whole.status_code == 200
    assert whole.text == LINES
    head = requests.head(address, timeout=60)
    assert head.content == b""
    assert dict(head.headers).keys() == dict(whole.headers).keys()
    assert head.headers["Content-Length"] == str(len(LINES))
    assert head.headers["ETag"] == whole.headers["ETag"]
    part = requests.get(address, headers={"Range": "bytes=1000000-1000009"}, timeout=60)
    assert (part.status_code, part.text) == (206, LINES[1_000_000:1_000_010])
    assert part.headers["Content-Range"] == f"bytes 1000000-1000009/{len(LINES)}"
    same = requests.get(
        address, headers={"If-None-Match": whole.headers["ETag"]}, timeout=60
    )
    assert (same.status_code, same.content) == (304, b"")


@pytest.mark.parametrize(
    "command",
    [
        ["curl", "--silent", "--show-error", "--fail", "-C", "-", "-o", "{file}"],
        ["wget", "--quiet", "-c", "-O", "{file}"],
    ],
    ids=["curl", "wget"],
)
def test_clients_resume_what_was_interrupted(
    address: str, tmp_path: Path, command: list[str]
) -> None:
    file = tmp_path / "sorted.txt"
    file.write_text(LINES[:777_777])
    filled = [part.format(file=file) for part in command]
    subprocess.run([*filled, address], check=True, timeout=60)
    assert file.read_text() == LINES


def test_the_elements_of_a_collection_are_downloaded(jobs: Service, lab: Lab) -> None:
    dataset = jobs.dataset("hdca", lab.texts)
    ended = jobs.wait(jobs.submit(dataset, "mapped, one fails"))
    outputs = f"/jobs/{ended['invocation_id']}/outputs"
    shown = {item["label"]: item for item in jobs.get(outputs)["items"]}
    states = {item["name"]: item["state"] for item in shown["each_out"]["elements"]}
    assert states == {"text 0": "ok", "text 1": "error", "text 2": "ok"}
    sizes = {item["name"]: item["size"] for item in shown["each_out"]["elements"]}
    assert sizes["text 0"] == len("banana\napple\ncherry\n")
    one = jobs.request("GET", f"{outputs}/each_out/text%200")
    assert (one.status_code, one.text) == (200, "banana\napple\ncherry\n")
    assert one.headers["Content-Disposition"].startswith(
        'attachment; filename="each_out_text_0.txt"'
    )
    failed = jobs.request("GET", f"{outputs}/each_out/text%201")
    assert failed.status_code == 409
    assert failed.json()["type"].endswith("output-not-ready")


def test_a_zip_has_all_outputs_and_no_log_has_a_link(
    jobs: Service, job: dict[str, Any]
) -> None:
    path = f"/jobs/{job['invocation_id']}/outputs"
    answer = jobs.request("GET", f"{path}.zip")
    assert answer.headers["Content-Length"] == str(len(answer.content))
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    assert files == {"count_out.txt": b"200000\n", "sort_out.txt": LINES.encode()}
    count, _ = jobs.get(f"{path}?links=60")["items"]
    assert jobs.request("GET", count["url"]).content == b"200000\n"
    assert jobs.request("GET", f"{count['url']}A").status_code == 403
    link = count["url"].partition("link=")[2]
    for command in jobs.commands:
        assert link[:40] not in command.log.read_text()


def test_a_crate_of_a_job_has_its_metadata_and_outputs(
    jobs: Service, job: dict[str, Any], tmp_path: Path
) -> None:
    path = f"/jobs/{job['invocation_id']}/ro-crate"
    assert jobs.request("GET", path).status_code == 202
    until(lambda: jobs.request("HEAD", path).status_code == 200)
    answer = jobs.request("GET", path)
    assert answer.headers["Content-Length"] == str(len(answer.content))
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        described = json.loads(archive.read("ro-crate-metadata.json"))
        contents = {archive.read(name) for name in archive.namelist()}
    assert described["@graph"]
    assert LINES.encode() in contents
    started = Client.of(jobs.url, tmp_path)
    started("download", job["invocation_id"], "--ro-crate")
    (saved,) = tmp_path.glob("*.rocrate.zip")
    assert saved.read_bytes() == answer.content


def test_each_output_is_shown_for_what_it_is(jobs: Service, lab: Lab) -> None:
    lab.add(odd_outputs())
    ended = jobs.wait(jobs.submit(jobs.dataset("hda", lab.text), "odd outputs"))
    assert (ended["state"], ended["progress"]["ok"]) == ("completed", 6)
    outputs = f"/jobs/{ended['invocation_id']}/outputs"

    def shown() -> dict[str, Any]:
        return {item["label"]: item for item in jobs.get(outputs)["items"]}

    sorted_, counted = b"banana\napple\ncherry\n", b"3\n"
    contents = {
        "aside": sorted_,
        "gone": sorted_,
        "output1 (Step 2)": sorted_,
        "output1 (Step 4)": sorted_,
        "result": counted,
    }
    items = shown()
    assert items.keys() == contents.keys()
    assert {item["state"] for item in items.values()} == {"ok"}
    assert [name for name in items if items[name]["hidden"]] == ["aside"]
    for label, content in contents.items():
        assert jobs.request("GET", f"{outputs}/{quote(label)}").content == content
    with ZipFile(BytesIO(jobs.request("GET", f"{outputs}.zip").content)) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    assert files == {
        f"{label.replace(' ', '_')}.txt": content for label, content in contents.items()
    }
    path = f"histories/{ended['history_id']}/contents/datasets/{items['gone']['id']}"
    lab.call("DELETE", f"{path}?purge=true")
    # Galaxy deletes the file some time later.
    until(lambda: shown()["gone"]["state"] == "purged")
    answer = jobs.request("GET", f"{outputs}/gone")
    assert answer.status_code == 410, answer.text
    assert answer.json()["type"].endswith("results-deleted")
    assert jobs.request("GET", f"{outputs}.zip").status_code == 410
    rest = jobs.request("GET", f"{outputs}.zip?label=result&label=aside")
    with ZipFile(BytesIO(rest.content)) as archive:
        assert archive.namelist() == ["result.txt", "aside.txt"]


class TestFiles(OutputFilesContract):
    @pytest.fixture
    def output_files(self, lab: Lab) -> OutputFiles:
        return Galaxy(lab.url, lab.key)

    @pytest.fixture
    def file_scene(self, lab: Lab, galaxy: LocalGalaxy) -> FileScene:
        return GalaxyFileScene(lab, absent_id(galaxy))
