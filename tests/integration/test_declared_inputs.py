"""Every kind of input, given every kind of value, on a real Galaxy.

What we accept must not fail for a reason that the declaration told, and what reaches
Galaxy and the tool must be what was sent, by value and by type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import define
from playwright.sync_api import Page

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from tests.support import declared, surfaces
from tests.support.browser import browser
from tests.support.client import Client
from tests.support.declared import CELLS, CHANGED_AT_IMPORT, LEFT_OUT
from tests.support.filling import fill, options
from tests.support.galaxy import Lab
from tests.support.service import Service, service
from tests.support.tab import opened
from tests.support.workflows import collection, data, parameter, tool, workflow


@define
class Cell:
    """One value for one input, and what came of it."""

    label: str
    value: Any
    status: int
    run: str | None = None
    received: Any = None
    reached: Any = None
    outcome: str = ""

    def __str__(self) -> str:
        parts = (self.label, shown(self.value), self.status, shown(self.received))
        return " | ".join(map(str, (*parts, shown(self.reached), self.outcome)))


def shown(value: Any) -> str:
    return value if value == LEFT_OUT else json.dumps(value)


@pytest.fixture(scope="module")
def jobs(
    tmp_path_factory: pytest.TempPathFactory,
    module_database_url: str,
    galaxy: LocalGalaxy,
    lab: Lab,
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("declared")
    with service(
        folder, database=module_database_url, galaxy=galaxy.url, key=lab.key
    ) as made:
        made.serve()
        yield made


def test_whatever_is_accepted_reaches_the_tool_as_it_was_meant(
    jobs: Service, lab: Lab, galaxy: LocalGalaxy, tmp_path: Path
) -> None:
    labels = set(CELLS)
    if galaxy.release < "26.1":
        labels -= CHANGED_AT_IMPORT
    if galaxy.release < "24.2":
        labels = {label for label in labels if "several" not in label}
        labels -= {"text, regex"}
    dataset = jobs.dataset("hda", lab.text)
    cells = []
    for label in sorted(labels):
        lab.add(declared.one_kind(label))
        good, bad = CELLS[label]
        for value, fits in [(v, True) for v in good] + [(v, False) for v in bad]:
            cell = send(jobs, dataset, label, value)
            cells.append(cell)
            assert (cell.status == 201) is fits, cell
    for cell in cells:
        if cell.run is not None:
            look(cell, lab)
    table = "\n".join(map(str, cells))
    (tmp_path / "table.txt").write_text(table, encoding="utf-8")
    for cell in cells:
        if cell.run is not None:
            assert cell.outcome == "ok", cell
            meant = declared.expected(cell.label, cell.value)
            assert cell.received in (meant, LEFT_OUT), cell
            assert type(cell.received) is type(meant) or cell.received == LEFT_OUT, cell
            assert cell.reached == declared.reaching(cell.label, meant), cell


SAMPLES: list[tuple[str, str, Any]] = [
    # surface, label, value
    ("command line", "text", 5),
    ("command line", "text, optional default", LEFT_OUT),
    ("command line", "restricted", "exact"),
    ("command line", "integer", 3.0),
    ("command line", "boolean, optional", None),
    ("command line", "color", "#ABCDEF"),
    ("form", "text", ""),
    ("form", "text, optional", None),
    ("form", "text, optional default", ""),
    ("form", "restricted", LEFT_OUT),
    ("form", "integer, default", None),
    ("form", "float", 2.5),
    ("form", "boolean, required", True),
    ("form", "color", "#ABCDEF"),
]


def test_what_is_typed_reaches_the_tool_as_it_was_meant(
    jobs: Service, lab: Lab
) -> None:
    """A sample of what the other surfaces send to the core; see test_surfaces.py."""
    dataset = jobs.dataset("hda", lab.text)
    names = {label: f"typed: {label}" for _, label, _ in SAMPLES}
    for label, name in names.items():
        lab.add(declared.one_kind(label) | {"name": name})
    gj = Client.of(jobs.url, jobs.folder)
    runs = []
    with browser() as chrome, opened(chrome, jobs.url) as tab:
        for surface, label, value in SAMPLES:
            if surface == "form":
                query = {"workflow_name": names[label], "dataset_id": dataset}
                tab.page.goto(f"{jobs.url}/ui/submit?{urlencode(query)}")
                run = sent_in_a_form(tab.page, label, value)
            else:
                words = ("submit", dataset, names[label], *options(label, value))
                run = gj.json(*words)["invocation_id"]
            runs.append(run)
    answers = surfaces.answers()
    for (surface, label, value), run in zip(SAMPLES, runs, strict=True):
        passed_on = answers[label, surfaces.shown(value)][surface].galaxy
        meant = declared.reaching(label, declared.expected(label, passed_on))
        found = declared.came_of(lab, run, label)
        assert found["outcome"] == "ok", (surface, label, value)
        assert json.dumps(found["reached"]) == json.dumps(meant), (surface, label)


def sent_in_a_form(page: Page, label: str, value: Any) -> str:
    """Fill in a field, submit the job, and return its id."""
    if value != LEFT_OUT:
        fill(page, label, value)
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/ui/jobs/*")
    return page.url.rpartition("/")[2]


def send(jobs: Service, dataset: str, label: str, value: Any) -> Cell:
    """Submit a job with that value."""
    body = {
        "dataset_id": dataset,
        "workflow_name": f"kind: {label}",
        "parameters": {} if value == LEFT_OUT else {label: value},
    }
    answer = jobs.request("POST", "/jobs", body)
    cell = Cell(label, value, answer.status_code)
    if answer.status_code == 201:
        cell.run = answer.json()["invocation_id"]
    else:
        problem = answer.json()
        assert problem["type"].endswith("invalid-parameters"), problem
        assert label in problem["parameters"], problem
        if value != LEFT_OUT and not (label.startswith("several") and value):
            assert f"got {json.dumps(value)}." in problem["detail"], problem
    return cell


def look(cell: Cell, lab: Lab) -> None:
    """See what became of the run."""
    assert cell.run is not None
    found = declared.came_of(lab, cell.run, cell.label)
    cell.outcome = found["outcome"]
    # Galaxy does not record a default everywhere.
    cell.received = found.get("received", LEFT_OUT)
    cell.reached = found.get("reached")


# --- data ---------------------------------------------------------------------


def a_collection(lab: Lab, type_: str) -> str:
    """Make a collection of one text or pair, and return its id."""
    member: dict[str, Any] = {"src": "hda", "id": lab.text}
    for part in reversed(type_.split(":")):
        names = ("forward", "reverse") if part == "paired" else ("one",)
        members = [{**member, "name": name} for name in names]
        member = {
            "src": "new_collection",
            "collection_type": part,
            "element_identifiers": members,
        }
        if isinstance(members[0].get("collection_type"), str):
            member["collection_type"] = f"{part}:{members[0]['collection_type']}"
    history = lab.call("POST", "histories", {"name": "collections"})["id"]
    made: str = lab.call(
        "POST",
        f"histories/{history}/contents/dataset_collections",
        {**member, "name": type_, "copy_elements": True},
    )["id"]
    return made


def test_data_of_another_type_is_refused_and_what_galaxy_maps_over_is_not(
    jobs: Service, lab: Lab
) -> None:
    inputs = ("list", "paired", "list:paired")
    data = {type_: ("hdca", a_collection(lab, type_)) for type_ in inputs}
    data |= {"text": ("hda", lab.text)}
    fitting = {
        ("list", "list"),
        ("paired", "paired"),
        ("list:paired", "paired"),
        ("list:paired", "list:paired"),
    }
    for wanted in inputs:
        steps = collection("data", wanted), tool("copy", "data")
        lab.add(workflow(f"takes {wanted}", *steps))
        for given, (src, id_) in data.items():
            body = {
                "dataset_id": jobs.dataset(src, id_),
                "workflow_name": f"takes {wanted}",
            }
            answer = jobs.request("POST", "/jobs?validate_only=true", body)
            fits = (given, wanted) in fitting
            assert answer.status_code == (200 if fits else 422), (given, wanted)
            assert fits or "data" in answer.json()["parameters"]


def test_a_format_that_galaxy_cannot_convert_is_refused(
    jobs: Service, lab: Lab
) -> None:
    dataset = jobs.dataset("hda", lab.text)
    for format_, status in (("txt", 200), ("data", 200), ("tabular", 422)):
        steps = declared.typed_data("data", format_), tool("copy", "data")
        lab.add(workflow(f"takes {format_}", *steps))
        body = {"dataset_id": dataset, "workflow_name": f"takes {format_}"}
        answer = jobs.request("POST", "/jobs?validate_only=true", body)
        assert answer.status_code == status, answer.text


def test_a_new_version_is_noticed_at_once(jobs: Service, lab: Lab) -> None:
    def made(*labels: str) -> dict[str, Any]:
        parameters = [parameter(label, "text", optional=True) for label in labels]
        return workflow("changes", data("text"), *parameters, tool("copy", "text"))

    def names() -> list[str]:
        return list(jobs.get("/workflows/changes")["parameters"]["properties"])

    id_ = lab.add(made("a"))
    assert names() == names() == ["text", "a"]
    lab.call("PUT", f"workflows/{id_}", {"workflow": made("a", "b")})
    assert names() == ["text", "a", "b"]


def test_missing_tools_are_named_before_the_run(jobs: Service, lab: Lab) -> None:
    lab.add(declared.missing_tools())
    shown_ = jobs.get("/workflows/missing tools")
    assert shown_["missing_tools"] == ["absent", "absent_too"]
    body = {
        "dataset_id": jobs.dataset("hda", lab.text),
        "workflow_name": "missing tools",
        "parameters": {"number": 1},
    }
    problem = jobs.request("POST", "/jobs?validate_only=true", body).json()
    assert problem["missing_tools"] == ["absent", "absent_too"]


def test_a_cancelled_run_that_picks_a_value(
    jobs: Service, lab: Lab, galaxy: LocalGalaxy
) -> None:
    if galaxy.release < "26.1":
        pytest.skip("Galaxy has no such step before 26.1")
    lab.add(declared.picks_a_value())
    jobs.poll()
    id_ = jobs.submit(jobs.dataset("hda", lab.text), "picks a value")
    jobs.post(f"/jobs/{id_}/cancel", None)
    assert jobs.wait(id_)["state"] == "cancelled"
