"""Labels and searches on the command line, over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.http_world import IMPATIENT, World, furnished, over_sockets


@pytest.fixture
def world(module_database_url: str) -> Iterator[World]:
    with over_sockets(module_database_url, **IMPATIENT) as made:
        furnished(made)
        yield made


def test_jobs_are_submitted_with_labels_and_found_by_them(
    world: World, tmp_path: Path
) -> None:
    gj = Client.of(world.site.url, tmp_path)
    labels = ("--label", "project=plate 7=b", "--label", "checked=")
    found = gj.json("submit", "reads", "sort", *labels)["invocation_id"]
    given = {"project": "plate 7=b", "checked": ""}
    assert gj.json("show", found)["labels"] == given
    other = world.submit()
    for only in (
        labels[:2],
        labels,
        (*labels, "--since", "1h", "--search", "PLATE 7"),
        ("--search", found[:-1], "--label", "checked="),
    ):
        listed = gj.json("list", *only)["items"]
        assert [job["invocation_id"] for job in listed] == [found], only
    listed = gj.json("list", "--since", "1d")["items"]
    assert {job["invocation_id"] for job in listed} == {found, other}
    for nothing in (
        ("--label", "project=plate 8"),
        ("--since", "2999-01-01"),
        (*labels, "--search", "nothing"),
    ):
        assert gj("list", *nothing).stdout == "There are no such jobs.\n"
    for command in (("list",), ("submit", "reads", "sort")):
        for wrong in (["project"], ["a=1", "a=2"]):
            options = [part for label in wrong for part in ("--label", label)]
            assert "KEY=VALUE" in gj(*command, *options, code=2).stderr


def test_datasets_are_registered_with_labels_and_submitted_by_them(
    world: World, tmp_path: Path
) -> None:
    gj = Client.of(world.site.url, tmp_path)
    sheet = tmp_path / "samples.csv"
    address = "https://example.org/"
    rows = [f"s{number},{address}{number},txt,s{number}" for number in range(230)]
    sheet.write_text("\n".join(["name,url,ext,id", *rows]))
    gj("datasets", "add", "--sheet", str(sheet), "--label", "plate=7")
    gj("datasets", "add", "odd", "--url", address, "--ext", "txt", "--id", "odd")
    assert "plate=7" in gj("datasets", "show", "s7").stdout
    listed = gj.json("datasets", "list", "--label", "plate=7", "--limit", "200")
    assert listed["items"][0]["dataset_id"] == "s229"
    none = gj("datasets", "list", "--label", "plate=7", "--label", "plate2=8")
    assert none.stdout == "There are no such datasets.\n"
    typed = ("submit-many", "sort", "--dataset-label", "plate=7", "--no-wait")
    first, again = gj.json(*typed), gj.json(*typed)
    assert first["batch_id"] == again["batch_id"]
    submitted = [item["dataset_id"] for item in first["items"]]
    assert submitted == [f"s{number}" for number in range(230)]
    missing = gj("submit-many", "sort", "--dataset-label", "plate=8", code=2)
    assert "No dataset has the label plate=8." in missing.stderr
    for wrong in ((), ("--dataset", "odd", "--dataset-label", "plate=7")):
        done = gj("submit-many", "sort", *wrong, code=2)
        assert "Give exactly one of --sheet, --dataset and" in done.stderr
    assert (
        "KEY=VALUE" in gj("submit-many", "sort", "--dataset-label", "a", code=2).stderr
    )
