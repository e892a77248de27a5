"""Record what Galaxy answers, for the unit tests that read it.

    GALAXY=24.2 python -m tests.integration.record [declarations | values | outputs]

A real Galaxy is started (the one the integration tests use), every scenario is run
in it, and what the adapter would ask is asked and written down as it comes, one
file an answer. Only where this machine keeps its files is left out. With
``declarations``, only what workflows declare and what becomes of values is recorded;
with ``values``, only what becomes of those that were not recorded before; with
``outputs``, only a run with outputs of each kind.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
from attrs import define

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from tests.support import declared, surfaces
from tests.support.galaxy import GALAXY, Lab
from tests.support.ids import absent_id
from tests.support.truth import SETTLED, has_ended
from tests.support.wait import until
from tests.support.workflows import (
    collection,
    data,
    odd_outputs,
    parameter,
    tool,
    workflow,
)


FOLDER = Path(__file__).parents[1] / "unit/recorded"
LIMIT = 180.0


@define
class Recorder:
    """Asks a Galaxy and keeps the answers."""

    lab: Lab
    home: Path
    folder: Path

    def ask(
        self, path: str, key: str | None = None, **params: Any
    ) -> requests.Response:
        return requests.get(
            f"{self.lab.url}/api/{path}",
            params=params,
            headers={"x-api-key": self.lab.key if key is None else key},
            timeout=60,
        )

    def keep(self, name: str, path: str, key: str | None = None, **params: Any) -> Any:
        """Record the answer under a name, and return it."""
        return self._keep(name, path, self.ask(path, key, **params))

    def send(self, name: str, path: str, body: object) -> Any:
        """Record the answer to a POST under a name, and return it."""
        answer = requests.post(
            f"{self.lab.url}/api/{path}",
            json=body,
            headers={"x-api-key": self.lab.key},
            timeout=60,
        )
        return self._keep(name, path, answer)

    def _keep(self, name: str, path: str, answer: requests.Response) -> Any:
        content = answer.json()
        written = json.dumps(
            {"asked": path, "status": answer.status_code, "answer": content}, indent=1
        )
        written = written.replace(str(self.home), "/srv/galaxy")
        (self.folder / f"{name}.json").write_text(written + "\n", encoding="utf-8")
        return content

    def keep_run(self, name: str, run: str) -> Any:
        return self.keep(name, f"invocations/{run}", step_details="true")

    def show(self, run: str) -> Any:
        return self.ask(f"invocations/{run}", step_details="true").json()

    def invoke(self, workflow_id: str, **inputs: Any) -> str:
        history = self.lab.call("POST", "histories", {"name": f"record {uuid4()}"})
        body = {
            "inputs": inputs,
            "inputs_by": "name",
            "history": f"hist_id={history['id']}",
            "no_add_to_history": True,
        }
        run: str = self.lab.call("POST", f"workflows/{workflow_id}/invocations", body)[
            "id"
        ]
        return run

    def once(self, run: str, seen: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until the invocation looks like that."""

        until(lambda: seen(self.show(run)), LIMIT, every=0.1)


def record(recorder: Recorder, galaxy: LocalGalaxy) -> None:
    lab = recorder.lab
    text, texts = {"src": "hda", "id": lab.text}, {"src": "hdca", "id": lab.texts}
    stored = {one["name"]: one["id"] for one in recorder.ask("workflows").json()} | {
        "every input": lab.add(every_input())
    }
    recorder.keep("user", "users/current")
    recorder.keep("workflow", f"workflows/{stored['two steps']}")
    recorder.keep("workflow_every_input", f"workflows/{stored['every input']}")

    runs = {
        name: recorder.invoke(stored[name], text=text)
        for name in (
            "success",
            "first fails",
            "sub fails",
            "skipped",
            "no jobs",
            "wrong when",
        )
    }
    runs["mapped"] = recorder.invoke(stored["mapped, one fails"], texts=texts)
    runs["bad parameter"] = recorder.invoke(
        stored["two steps"], text=text, exit_code=999
    )
    unreachable = {"src": "url", "url": "http://127.0.0.1:9/x.txt", "ext": "txt"}
    runs["unreachable"] = recorder.invoke(stored["success"], text=unreachable)
    slow = recorder.invoke(stored["slow"], text=text)
    recorder.once(slow, lambda s: any(j["state"] == "running" for j in jobs(s)))
    recorder.keep_run("run_slow", slow)
    lab.call("DELETE", f"invocations/{slow}")
    runs["cancelled"] = slow
    recorder.keep_run("run_new", recorder.invoke(stored["success"], text=text))

    shown = {}
    for name, run in runs.items():
        until(partial(has_ended, recorder.show, run), LIMIT, every=0.1)
        recorder.once(run, lambda s: not any(j["state"] == "deleting" for j in jobs(s)))
        shown[name] = recorder.keep_run("run_" + name.replace(" ", "_"), run)
    inside = shown["sub fails"]["steps"][1]["subworkflow_invocation_id"]
    recorder.keep_run("run_sub_fails_inside", inside)

    record_reviews(recorder, stored, text)
    recorder.keep(
        "paused_datasets",
        "datasets",
        history_id=shown["first fails"]["history_id"],
        q="state",
        qv="paused",
        keys="id,misc_info,creating_job",
        order="hid-asc",
    )
    failed = next(j for j in jobs(shown["first fails"]) if j["state"] == "error")
    recorder.keep("job_failed", f"jobs/{failed['id']}", full="true")
    never = next(j for j in jobs(shown["bad parameter"]) if j["state"] == "error")
    job = recorder.keep("job_never_run", f"jobs/{never['id']}", full="true")
    recorder.keep("output_never_made", f"datasets/{job['outputs']['output1']['id']}")
    ids = list(runs.values())
    recorder.keep(
        "bulk",
        f"histories/{ids[0]}/jobs_summary",
        ids=",".join(ids),
        types=",".join(["WorkflowInvocation"] * len(ids)),
    )
    recorder.keep("refused_absent", f"invocations/{absent_id(galaxy)}")
    recorder.keep("refused_malformed", "invocations/nonsense")
    recorder.keep("refused_wrong_key", "users/current", key="wrong")


def record_outputs(recorder: Recorder) -> None:
    """Record a run with outputs of each kind, and its workflow."""
    stored = recorder.lab.add(odd_outputs())
    run = recorder.invoke(stored, text={"src": "hda", "id": recorder.lab.text})
    until(partial(has_ended, recorder.show, run), LIMIT, every=0.1)
    shown = recorder.keep_run("run_odd_outputs", run)
    version = f"workflows/{shown['workflow_id']}"
    recorder.keep("workflow_odd_outputs", version, instance="true")
    path = f"workflows/{stored}/download"
    recorder.keep("export_odd_outputs", path, style="ga", version=0)


def record_reviews(
    recorder: Recorder, stored: dict[str, str], text: dict[str, str]
) -> None:
    """Record runs that wait for a review, and others whose steps are left."""
    lab = recorder.lab
    lab_history = lab.call("POST", "histories", {"name": "empty"})["id"]
    empty = lab.call(
        "POST",
        f"histories/{lab_history}/contents/dataset_collections",
        {"name": "empty", "collection_type": "list", "element_identifiers": []},
    )
    none = {"src": "hdca", "id": empty["id"]}
    mapped = recorder.invoke(stored["mapped"], texts=none)
    waiting = {
        name: recorder.invoke(stored[name], text=text)
        for name in ("review", "sub review", "never scheduled")
    }
    until(partial(has_ended, recorder.show, mapped), LIMIT, every=0.1)
    recorder.keep_run("run_empty", mapped)
    for name, run in waiting.items():
        recorder.once(run, is_left)
        file = name.replace(" ", "_")
        shown = recorder.keep_run(f"run_{file}", run)
        version = f"workflows/{shown['workflow_id']}"
        recorder.keep(f"workflow_{file}", version, instance="true")
    nested = recorder.show(waiting["sub review"])["steps"][1]
    inside = nested["subworkflow_invocation_id"]
    recorder.once(inside, is_left)
    shown = recorder.keep_run("run_sub_review_inside", inside)
    version = f"workflows/{shown['workflow_id']}"
    recorder.keep("workflow_sub_review_inside", version, instance="true")
    for run, name in ((waiting["review"], "review"), (inside, "sub_review_inside")):
        step = next(
            step
            for step in recorder.show(run)["steps"]
            if step["workflow_step_label"] == "check"
        )
        answer = {"action": False}
        lab.call("PUT", f"invocations/{run}/steps/{step['id']}", answer)
        recorder.once(run, lambda shown: shown["state"] == "cancelled")
        recorder.keep_run(f"run_{name}_rejected", run)
    lab.call("DELETE", f"invocations/{waiting['never scheduled']}")
    lab.call("DELETE", f"invocations/{waiting['sub review']}")


def is_left(shown: dict[str, Any]) -> bool:
    """Whether Galaxy's scheduler has visited an invocation since its last job ended."""
    changes = [job["update_time"] for job in jobs(shown)]
    settled = all(job["state"] in SETTLED for job in jobs(shown))
    visited = all(changed < shown["update_time"] for changed in changes)
    return shown["state"] == "ready" and settled and visited


def record_declarations(recorder: Recorder) -> None:
    """Record what Galaxy declares of the inputs of workflows."""
    release = tuple(map(int, recorder.folder.name.split(".")))
    made = {
        "every_kind": declared.every_kind(),
        "all_data": declared.all_data(modern=release >= (25, 1)),
        "default_file": declared.default_file(),
        "runtime_values": declared.runtime_values(),
        "missing_tools": declared.missing_tools(),
    }
    if release >= (26, 1):
        made["picks_a_value"] = declared.picks_a_value()
    made["every_input"] = every_input()
    stored = {shown["name"]: shown["id"] for shown in recorder.ask("workflows").json()}
    ids = {name: recorder.lab.add(content) for name, content in made.items()}
    ids["two_steps"] = stored["two steps"]
    (history,) = recorder.ask("histories", limit=1, keys="id").json()
    for name, id_ in ids.items():
        recorder.keep(f"export_{name}", f"workflows/{id_}/download", style="ga")
        recorder.keep(
            f"run_form_{name}",
            f"workflows/{id_}/download",
            style="run",
            history_id=history["id"],
        )
    recorder.keep("datatypes", "datatypes/mapping")


def record_values(recorder: Recorder, known: Sequence[dict[str, Any]]) -> None:
    """Record what becomes of every value that is sent for every kind of parameter.

    Args:
        recorder: Asks a Galaxy.
        known: What was recorded before, and stays.
    """
    before = {(row["label"], _sent(row)): row for row in known}
    rows: list[dict[str, Any]] = []
    runs: list[tuple[dict[str, Any], str]] = []
    is_driven = recorder.folder.name == surfaces.RELEASE
    passed_on = surfaces.passed_on() if is_driven else {}
    for label in declared.PARAMETERS:
        good, bad = declared.CELLS.get(label, ([], []))
        sent = [*good, *bad, declared.LEFT_OUT, None, *passed_on.get(label, [])]
        stored = ""
        for value in {surfaces.shown(value): value for value in sent}.values():
            if row := before.get((label, surfaces.shown(value))):
                rows.append(row)
                continue
            rows.append(row := {"label": label})
            if value != declared.LEFT_OUT:
                row["sent"] = value
            stored = stored or recorder.lab.add(declared.one_kind(label))
            inputs = {label: value} if "sent" in row else {}
            try:
                runs.append((row, recorder.invoke(stored, **inputs)))
            except EmbeddedError as error:
                message = re.search(r'"err_msg":("(?:\\.|[^"])*")', str(error))
                row["refused"] = json.loads(message[1]) if message else str(error)
    for row, run in runs:
        row.update(declared.came_of(recorder.lab, run, row["label"]))
    lines = ",\n".join(f" {json.dumps(row)}" for row in rows)
    (recorder.folder / "values.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _sent(row: dict[str, Any]) -> str:
    return surfaces.shown(row.get("sent", declared.LEFT_OUT))


def jobs(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [job for step in shown["steps"] for job in step["jobs"]]


def every_input() -> dict[str, Any]:
    """Return a workflow with all kinds of inputs that Galaxy's editor offers."""
    in_range = {"type": "in_range", "min": 0.5, "max": 9.5}
    return workflow(
        "every input",
        data("reads"),
        data(None, optional=True),
        collection("pairs", "list:paired"),
        parameter("number", "integer", optional=False),
        parameter("ratio", "float", default=1.5, validators=[in_range]),
        parameter("flag", "boolean", default=False),
        parameter("tint", "color", default="#00ff00"),
        parameter("word", "text", default="a", restrictions=["a", "b"]),
        parameter("hint", "text", optional=True, suggestions=["x", "y"]),
        parameter("words", "text", default=["a"], multiple=True),
        parameter(None, "integer", default=7),
        tool("sort", "reads"),
    )


def main() -> None:
    galaxy = GALAXY
    ran_before = galaxy.status().running
    galaxy.start(print)
    folder = FOLDER / galaxy.release
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lab = Lab(galaxy.url, galaxy.user_key(f"record-{uuid4().hex[:8]}"))
        recorder = Recorder(lab, galaxy.home, folder)
        only = sys.argv[1] if len(sys.argv) > 1 else ""
        if not only:
            record(recorder, galaxy)
        if only in {"", "outputs"}:
            record_outputs(recorder)
        if only == "outputs":
            return
        if only != "values":
            record_declarations(recorder)
        known = surfaces.recorded(folder, "values") if only == "values" else []
        record_values(recorder, known)
    finally:
        if not ran_before:
            galaxy.stop()


if __name__ == "__main__":
    main()
