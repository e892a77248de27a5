"""Collections and sample sheets through the real command line and service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Service, service


SHEET = """name\tforward\treverse\tid
s1\thttp://x.test/1_1.fq?sig=secret\thttp://x.test/1_2.fq\tfirst
s2\thda:5\thda:6\tsecond
"""


@pytest.fixture(scope="module")
def jobs(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("sheets")
    # Galaxy is not asked about elements.
    nowhere = "http://127.0.0.1:9"
    with service(folder, database=module_database_url, galaxy=nowhere, key="k") as jobs:
        jobs.serve()
        jobs.env = {**jobs.env, "GALAXY_JOBS_URL": jobs.url}
        yield jobs


def add(jobs: Service, *arguments: str, code: int = 0) -> str:
    done = jobs.run("datasets", "add", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "secret" not in done.stdout + done.stderr
    return done.stderr if code else done.stdout


def stored(jobs: Service, dataset_id: str) -> Any:
    return jobs.get(f"/datasets/{dataset_id}")["source"]


def test_a_collection_is_registered_and_listed(jobs: Service) -> None:
    typed = ("s1/forward=hda:5", "s1/reverse=http://x.test/2.fq?sig=secret")
    options = ("--collection", "list:paired", "--ext", "fastq", "--id", "plate")
    assert add(jobs, "Plate 1", *typed, *options) == ("Dataset plate is registered.\n")
    (element,) = stored(jobs, "plate")["elements"]
    assert [end["name"] for end in element["elements"]] == ["forward", "reverse"]
    listed = jobs.run("datasets", "list").stdout
    assert "list:paired" in listed
    assert "1 element" in listed
    assert "1 element" in jobs.run("datasets", "show", "plate").stdout
    # Of registered datasets, and of these of others.
    more = ("a=plate", "--collection", "list:list:paired", "--id", "plates")
    add(jobs, "Plates", *more)
    problem = add(
        jobs, "None", "a=none", "--collection", "list", "--id", "none", code=1
    )
    assert "Element 'a' is dataset 'none', which is not registered" in problem


def test_a_sheet_becomes_one_dataset_or_many(jobs: Service) -> None:
    sheet = jobs.folder / "samples.tsv"
    sheet.write_text(SHEET)
    options = ("--sheet", str(sheet), "--ext", "fastq")
    lines = add(jobs, *options).splitlines()
    assert lines == [
        "Dataset first is registered.",
        "Dataset second is registered.",
    ]
    assert stored(jobs, "second")["elements"][1]["source"]["id"] == "6"
    add(jobs, "All samples", *options, "--id", "all")
    assert stored(jobs, "all")["collection_type"] == "list:paired"
    whole = json.loads(add(jobs, "All samples", *options, "--id", "all", "--json"))
    assert whole["source"]["count"] == 2


def test_a_sheet_without_ids_registers_nothing_twice(jobs: Service) -> None:
    add(jobs, "Registered", "--hda", "1", "--id", "registered", "--no-check")
    sheet = jobs.folder / "no-ids.tsv"
    sheet.write_text(
        "name\turl\nby address\thttp://x.test/1.fq?sig=secret\nin Galaxy\thda:7\n"
    )
    options = ("--sheet", str(sheet), "--ext", "fastq", "--no-check", "--json")
    first = add(jobs, *options)
    assert add(jobs, *options) == first
    assert len(first.splitlines()) == 2
    sheet.write_text("name\turl\ns1\tregistered\ns2\thda:7\n")
    whole = add(jobs, "All of them", *options)
    assert add(jobs, "All of them", *options) == whole
    listed = [item["name"] for item in jobs.get("/datasets")["items"]]
    for name in ("by address", "in Galaxy", "All of them"):
        assert listed.count(name) == 1
    # Other content is another dataset; what is no sheet is one more each time.
    sheet.write_text("name\turl\ns1\tregistered\n")
    assert add(jobs, "All of them", *options) != whole
    single = ("Single", "--hda", "7", "--no-check", "--json")
    assert add(jobs, *single) != add(jobs, *single)


def test_what_is_wrong_is_said_with_its_line(jobs: Service, tmp_path: Path) -> None:
    sheet = tmp_path / "bad.tsv"
    sheet.write_text(
        "name,url,id\nok,http://x.test/,third\nbad,file:///etc/passwd,fourth\n"
    )
    options = ("--sheet", str(sheet), "--ext", "fastq")
    problem = add(jobs, *options, code=1)
    assert f"{sheet}, line 3: it is not registered, 1 before it are." in problem
    assert "http, https or ftp" in problem
    assert stored(jobs, "third")["ext"] == "fastq"
    sheet.write_text("name,url\nok,\n")
    assert "line 2: url is empty" in add(jobs, *options, code=2)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("x",), "Give exactly one of --hda, --ldda, --hdca, --url, --collection, "),
        (("x", "--hda", "1", "--sheet", "s"), "Give exactly one of"),
        (("x", "a=b", "--hda", "1"), "Elements are given with --collection alone"),
        (("--collection", "list"), "Give the dataset a NAME"),
        (("--sheet", "s", "--id", "d"), "give the sheet a column id"),
        (("--sheet", "none.tsv"), "none.tsv could not be read"),
        (("x", "--url", "http://x.test"), "--url and --ext go together"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    jobs: Service, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in add(jobs, *arguments, code=2)
