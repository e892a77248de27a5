"""What can become of a run: how to bring it about in a real Galaxy, and our answer.

Rule of the file: each scenario says all that we must show of it; a field that is not
named is empty. What Galaxy itself said is recorded, and not expected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import requests
from attrs import define, field, frozen

from galaxy_jobs.domain.model.verdict import ALL_EMPTY, ALL_SKIPPED
from tests.support.galaxy import Lab
from tests.support.service import ENDED, Service
from tests.support.truth import has_ended
from tests.support.wait import until
from tests.support.workflows import (
    Step,
    collection,
    data,
    parameter,
    review,
    sub,
    tool,
    workflow,
)


LIMIT = 300.0
"""Seconds until a run must have got somewhere; many run at once."""

UNREACHABLE = {"src": "url", "url": "http://127.0.0.1:9/x.txt", "ext": "txt"}


@frozen
class Says:
    """What we must say of a run in the end.

    Attributes:
        state: The state of the job; ``refused`` where there is none.
        jobs: The counts of ``progress`` that are not zero, without the total; None:
            they depend on who was faster.
        reason: The reason of its failure, or the type of the refusal.
        path: The labels down to the failing step, such as ``nested > bad``.
        element: As in ``failure``.
        exit_code: As in ``failure``.
        message: A part of the message, of the failure or the refusal.
        attention: A part of ``attention``.
        outputs: The states of the outputs, by label; None: not looked at.
        states: The ends that it has had; None: one.
    """

    state: str
    jobs: Mapping[str, int] | None = field(factory=dict)
    reason: str | None = None
    path: str | None = None
    element: str | None = None
    exit_code: int | None = None
    message: str | None = None
    attention: str | None = None
    outputs: Mapping[str, str] | None = None
    states: Sequence[str] | None = None


RUNNING = frozenset({"queued", "in_progress", "cancelling"})


def differences(expected: Says, seen: Mapping[str, Any]) -> list[str]:
    """Return the names of what we said otherwise."""
    parts = ("message", "attention")
    exact = ("state", "reason", "path", "element", "exit_code")
    wrong = [name for name in exact if getattr(expected, name) != seen.get(name)]
    wrong += [
        name
        for name in ("jobs", "outputs")
        if getattr(expected, name) not in (None, seen.get(name))
    ]
    for name in parts:
        part, whole = getattr(expected, name), seen.get(name)
        if (part or "") not in (whole or ""):
            wrong.append(name)
    if expected.attention is None and seen.get("attention"):
        wrong.append("attention")
    one = [expected.state] if expected.state not in RUNNING else []
    if list(expected.states or one) != seen["states"]:
        wrong.append("states")
    if seen.get("reopened", False) is not (len(seen["states"]) > 1):
        wrong.append("reopened")
    return wrong


def completed(ok: int, **more: Any) -> Says:
    return Says("completed", {"ok": ok} if ok else {}, **more)


def failed(reason: str = "job-failed", *, path: str | None = None, **more: Any) -> Says:
    counts: dict[str, int] = {
        name: more.pop(name)
        for name in ("ok", "failed", "blocked", "running", "waiting")
        if name in more
    }
    return Says("failed", counts, reason, path, **more)


def cancelled(**jobs: int) -> Says:
    return Says("cancelled", jobs)


CONTENTS = (
    "banana\napple\n",
    *("banana\n", "cherry\n", "apple\n", "poison\n", "banana\npoison\n"),
    *("a\n", "b\n", "c\n", "false\n", "42\n", "none\n", ""),
)
"""The texts that scenarios use, uploaded with one request."""

SPARE = 8
"""Texts that are changed by one scenario each."""


@define
class Stock:
    """Data of every kind in Galaxy, made once by hand.

    Attributes:
        lab: Whose data they are.
        address: The address of a text.
    """

    lab: Lab
    address: str
    history: str = field(init=False)
    _texts: Mapping[str, str] = field(init=False)
    _spare: list[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.history = self.lab.call("POST", "histories", {"name": "stock"})["id"]
        contents = (*CONTENTS, *[CONTENTS[0]] * SPARE)
        # All of one name: messages about them are the same in each run.
        pasted = {"src": "pasted", "ext": "txt", "name": "text"}
        elements = [{**pasted, "paste_content": content} for content in contents]
        ids = self._fetch(*elements)
        for id_ in ids:
            self.wait(id_, "ok")
        self._texts = dict(zip(CONTENTS, ids, strict=False))
        self._spare = ids[len(CONTENTS) :]

    def _fetch(self, *elements: Mapping[str, Any]) -> list[str]:
        target = {"destination": {"type": "hdas"}, "elements": elements}
        body = {"history_id": self.history, "targets": [target]}
        return [
            made["id"] for made in self.lab.call("POST", "tools/fetch", body)["outputs"]
        ]

    def text(self, content: str = CONTENTS[0]) -> dict[str, Any]:
        return {"src": "hda", "id": self._texts[content]}

    def fresh(self) -> dict[str, Any]:
        """A text that nobody else uses."""
        return {"src": "hda", "id": self._spare.pop()}

    def collection(
        self, kind: str, elements: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        body = {
            "name": kind,
            "collection_type": kind,
            "element_identifiers": elements,
            "copy_elements": False,
        }
        path = f"histories/{self.history}/contents/dataset_collections"
        return {"src": "hdca", "id": self.lab.call("POST", path, body)["id"]}

    def texts(self, *contents: str) -> dict[str, Any]:
        members = [
            {**self.text(content), "name": f"sample-{number:02}"}
            for number, content in enumerate(contents, 1)
        ]
        return self.collection("list", members)

    def plates(self, *plates: Sequence[str]) -> dict[str, Any]:
        nested = [
            {
                "src": "new_collection",
                "name": f"plate-{place}",
                "collection_type": "list",
                "element_identifiers": [
                    {**self.text(content), "name": f"sample-{number:02}"}
                    for number, content in enumerate(plate, 1)
                ],
            }
            for place, plate in enumerate(plates, 1)
        ]
        return self.collection("list:list", nested)

    def in_error(self) -> dict[str, Any]:
        """A dataset that a tool failed to make."""
        made = self.being_made(exit_code=1)
        self.wait(made["id"], "error")
        return made

    def being_made(self, **inputs: Any) -> dict[str, Any]:
        """A dataset that a tool still makes."""
        body = {
            "tool_id": "gxj_text",
            "history_id": self.history,
            "inputs": {"input1": self.text(), **inputs},
        }
        (output,) = self.lab.call("POST", "tools", body)["outputs"]
        return {"src": "hda", "id": output["id"]}

    def discarded(self) -> dict[str, Any]:
        """A dataset whose job was deleted while it ran."""
        body = {
            "tool_id": "gxj_text",
            "history_id": self.history,
            "inputs": {"input1": self.text(), "sleep_s": 60},
        }
        answer = self.lab.call("POST", "tools", body)
        self.lab.call("DELETE", f"jobs/{answer['jobs'][0]['id']}")
        (output,) = answer["outputs"]
        self.wait(output["id"], "discarded")
        return {"src": "hda", "id": output["id"]}

    def deleted(self, *, purged: bool = False) -> dict[str, Any]:
        made = self.fresh()
        query = "?purge=true" if purged else ""
        path = f"histories/{self.history}/contents/datasets/{made['id']}"
        self.lab.call("DELETE", f"{path}{query}")
        gone = "purged" if purged else "deleted"
        until(lambda: self.lab.call("GET", path)[gone], LIMIT, every=0.2)
        return made

    def deferred(self, address: str) -> dict[str, Any]:
        """Data that Galaxy fetches once a tool needs it."""
        element = {"src": "url", "url": address, "ext": "txt", "deferred": True}
        (id_,) = self._fetch(element)
        self.wait(id_, "deferred")
        return {"src": "hda", "id": id_}

    def wait(self, dataset: str, state: str) -> None:
        until(
            lambda: self.lab.call("GET", f"datasets/{dataset}")["state"] == state,
            LIMIT,
            every=0.3,
        )


@define
class Run:
    """One run of a scenario, and what a user can do with it.

    Attributes:
        lab: Galaxy.
        jobs: Our service.
        given: The data it runs on, as Galaxy knows it.
        id: Of the invocation.
    """

    lab: Lab
    jobs: Service
    given: Mapping[str, Any]
    id: str

    def galaxy(self, method: str, path: str, body: object = None) -> Any:
        return self.lab.call(method, path, body)

    def shown(self, id_: str | None = None) -> Any:
        return self.galaxy("GET", f"invocations/{id_ or self.id}?step_details=true")

    def tree(self, id_: str | None = None) -> list[Any]:
        """The invocation and those of its sub-workflows, as Galaxy shows them."""
        shown = self.shown(id_)
        inside = [
            below
            for step in shown["steps"]
            if step["subworkflow_invocation_id"]
            for below in self.tree(step["subworkflow_invocation_id"])
        ]
        return [shown, *inside]

    def job_of(self, label: str, state: str | None = None) -> str:
        """Wait for a job of a step, maybe until it is in a state; return its id."""

        def found() -> str | None:
            for invocation in self.tree():
                for step in invocation["steps"]:
                    if step["workflow_step_label"] == label:
                        for job in step["jobs"]:
                            if state in {None, job["state"]}:
                                return str(job["id"])
            return None

        return until(found, LIMIT, every=0.2)

    def sub_id(self, label: str) -> str:
        def found() -> str | None:
            for step in self.shown()["steps"]:
                if step["workflow_step_label"] == label:
                    return step["subworkflow_invocation_id"] or None
            return None

        return until(found, LIMIT, every=0.2)

    def output_of(self, job: str, name: str = "output1") -> str:
        shown = self.galaxy("GET", f"jobs/{job}")
        return str(shown["outputs"][name]["id"])

    def change(self, dataset: str, **fields: Any) -> None:
        self.galaxy("PUT", f"datasets/{dataset}", fields)

    def delete(self, dataset: str, *, purge: bool = False) -> None:
        path = f"datasets/{dataset}"
        self.galaxy("DELETE", f"{path}?purge={str(purge).lower()}")
        gone = "purged" if purge else "deleted"
        # Galaxy purges in the background.
        until(lambda: self.galaxy("GET", path)[gone], LIMIT, every=0.2)

    def job(self) -> Any:
        return self.jobs.job(self.id)

    def end(self) -> Any:
        """Wait until we say that it has ended, with nothing left running."""

        def ended() -> Any:
            job = self.job()
            left = job["progress"]["running"] or job["progress"]["waiting"]
            return job if job["state"] in ENDED and not left else None

        return until(ended, LIMIT, every=0.3)

    def cancel(self, expected: int = 202) -> None:
        answer = self.jobs.request("POST", f"/jobs/{self.id}/cancel")
        assert answer.status_code == expected, answer.text

    def refresh(self) -> Any:
        return self.jobs.post(f"/jobs/{self.id}/refresh", None)

    def repair(self, label: str, **inputs: Any) -> str:
        """Run a failed job again with other values, in its place, as people do.

        Returns:
            The id of the new job.
        """
        job = self.job_of(label, "error")
        shown = self.galaxy("GET", f"jobs/{job}?full=true")
        body = {
            "tool_id": shown["tool_id"],
            "history_id": shown["history_id"],
            "inputs": {
                "input1": {"src": "hda", "id": shown["inputs"]["input1"]["id"]},
                "operation": "copy",
                "sleep_s": 0,
                "exit_code": 0,
                **inputs,
                "rerun_remap_job_id": job,
            },
        }
        (again,) = self.galaxy("POST", "tools", body)["jobs"]
        return str(again["id"])

    def settle(self) -> None:
        """Wait until nothing of it changes in Galaxy."""
        until(partial(has_ended, self.shown, self.id), LIMIT, every=0.3)


def nothing(run: Run) -> None:
    """Let it run."""


@frozen(kw_only=True)
class Scenario:
    """One way in which a run can go.

    Attributes:
        name: What is particular about it, a phrase.
        kind: The heading it stands under.
        steps: The workflow, its data input the first.
        given: Makes the data; a text by default.
        parameters: As sent by the client.
        act: What people do meanwhile; called once the run is accepted.
        expect: What we must say in the end.
        older: The same for Galaxy before the version that is the key.
        ends: Whether the run ends by itself.
        done: Whether Galaxy, from 26.0 on, says that it is done.
        before: Called before the submission, with the id of the stored workflow.
        after: Further checks.
    """

    name: str
    kind: str
    steps: Sequence[Step]
    given: Callable[[Stock], Mapping[str, Any]] = Stock.text
    parameters: Mapping[str, Any] = field(factory=dict)
    act: Callable[[Run], None] = nothing
    expect: Says
    older: Mapping[str, Says] = field(factory=dict)
    ends: bool = True
    done: bool = True
    before: Callable[[Lab, str], None] = lambda *_: None
    after: Callable[[Run], None] = nothing

    @property
    def workflow(self) -> dict[str, Any]:
        return workflow(self.name, *self.steps)

    def expected(self, release: str) -> Says:
        for until_, says in self.older.items():
            if _numbers(release) < _numbers(until_):
                return says
        return self.expect


def _numbers(release: str) -> list[int]:
    return [int(part) for part in release.split(".")]


TEXT, TEXTS = data("text"), collection("texts")
INNER = workflow("inner", TEXT, tool("inner", "text"))
INNER_BAD = workflow(
    "inner bad",
    TEXT,
    tool("inner good", "text", operation="sort"),
    tool("inner bad", "inner good", exit_code=5),
)
INNER_REVIEW = workflow(
    "inner review", TEXT, review("check", "text"), tool("after", "check")
)
INNER_SLOW = workflow("inner slow", TEXT, tool("inner long", "text", sleep_s=60))
NESTED = workflow("nested", TEXT, sub("inner", INNER, text="text"))
NESTED_BAD = workflow("nested bad", TEXT, sub("deep", INNER_BAD, text="text"))


def three(stock: Stock) -> Mapping[str, Any]:
    return stock.texts("banana\n", "cherry\n", "apple\n")


def three_one_bad(stock: Stock) -> Mapping[str, Any]:
    return stock.texts("banana\n", "poison\n", "apple\n")


SUCCESS = "Runs that work"
SKIPPED = "Conditions"
VALUES = "Parameters"
FAILURES = "Tools that fail"
BLOCKED = "Jobs behind a failure"
INPUTS = "Data"
REVIEWS = "Reviews"
SUBS = "Sub-workflows"
CANCELS = "Cancelled runs"
CHANGED = "Changes made in Galaxy while it runs"
LATER = "Changes made in Galaxy after the end"
REFUSED = "Refused submissions"


EVERY_KIND = (
    TEXT,
    parameter("text value", "text", default="by default"),
    parameter("integer", default=3),
    parameter("float", "float", default=2.5),
    parameter("boolean", "boolean", default=True),
    parameter("color", "color", default="#123456"),
    parameter("choice", "text", default="fast", restrictions=["fast", "exact"]),
)
EVERY_VALUE = tool(
    "values",
    "text",
    tool="gxj_values",
    word="@text value",
    whole="@integer",
    ratio="@float",
    flag="@boolean",
    tint="@color",
    mode="@choice",
)


# --- what people do meanwhile -----------------------------------------------------


def cancel(run: Run) -> None:
    run.cancel()


def cancel_when(label: str, state: str = "running") -> Callable[[Run], None]:
    def act(run: Run) -> None:
        run.job_of(label, state)
        run.cancel()

    return act


def cancel_after_a_failure(run: Run) -> None:
    run.job_of("long", "running")
    until(lambda: run.job()["failure"], LIMIT, every=0.3)
    run.cancel()


def cancel_after_the_end(run: Run) -> None:
    run.end()
    run.cancel(409)


def cancel_what_is_left(run: Run) -> None:
    run.job_of("long", "running")
    until(lambda: run.job()["state"] == "failed", LIMIT, every=0.3)
    run.cancel()


def cancel_in_galaxy(label: str, inside: str | None = None) -> Callable[[Run], None]:
    def act(run: Run) -> None:
        run.job_of(label, "running")
        run.galaxy("DELETE", f"invocations/{run.sub_id(inside) if inside else run.id}")

    return act


def cancel_in_galaxy_after_the_end(run: Run) -> None:
    run.end()
    run.settle()
    run.galaxy("DELETE", f"invocations/{run.id}")
    until(lambda: run.shown()["state"] == "cancelled", LIMIT, every=0.3)
    run.refresh()


def delete_history(when: str | None, *, purge: bool = False) -> Callable[[Run], None]:
    """Delete the history of a run: while a step runs, or after the end."""

    def act(run: Run) -> None:
        if when:
            run.job_of(when, "running")
        else:
            run.end()
        history = run.shown()["history_id"]
        output = run.output_of(run.job_of("sort")) if purge and not when else None
        run.galaxy("DELETE", f"histories/{history}?purge={str(purge).lower()}")
        if output:  # Galaxy purges it some time later
            until(
                lambda: run.galaxy("GET", f"datasets/{output}")["purged"],
                LIMIT,
                every=0.3,
            )

    return act


def delete_job(label: str) -> Callable[[Run], None]:
    def act(run: Run) -> None:
        run.galaxy("DELETE", f"jobs/{run.job_of(label, 'running')}")

    return act


def delete_input(run: Run) -> None:
    """Delete the data of a run while a step still waits for it."""
    run.job_of("long", "running")
    run.delete(run.given["id"])


def delete_between(run: Run) -> None:
    """Delete a dataset between two steps."""
    run.job_of("long", "running")
    first = run.job_of("first", "ok")
    run.delete(run.output_of(first))


def rename_output(run: Run) -> None:
    run.end()
    run.change(run.output_of(run.job_of("sort")), name="renamed", visible=False)


def delete_output(*, purge: bool = False) -> Callable[[Run], None]:
    def act(run: Run) -> None:
        run.end()
        run.delete(run.output_of(run.job_of("sort")), purge=purge)

    return act


def repair(label: str, **inputs: Any) -> Callable[[Run], None]:
    def act(run: Run) -> None:
        assert run.end()["state"] == "failed"
        again = run.repair(label, **inputs)
        until(
            lambda: run.galaxy("GET", f"jobs/{again}")["state"] in {"ok", "error"},
            LIMIT,
            every=0.3,
        )
        time.sleep(1)  # Galaxy resumes what waited for it
        run.settle()
        run.refresh()

    return act


def look_again_while_repaired(run: Run) -> None:
    """Refresh while the repaired job still runs: the poller follows it to its end."""
    assert run.end()["state"] == "failed"
    run.repair("bad", sleep_s=8)
    reopened = until(
        lambda: (job := run.refresh())["state"] in {"queued", "in_progress"} and job,
        LIMIT,
        every=0.5,
    )
    assert reopened["failure"] is None or reopened["state"] == "in_progress"


def resume_behind(label: str) -> Callable[[Run], None]:
    def act(run: Run) -> None:
        assert run.end()["state"] == "failed"
        run.galaxy("PUT", f"jobs/{run.job_of(label, 'paused')}/resume")
        time.sleep(1)
        run.settle()
        run.refresh()

    return act


def restore_and_resume(run: Run) -> None:
    """Take the data back out of the bin, and let the paused job go on."""
    delete_input(run)
    assert run.end()["state"] == "failed"
    run.change(run.given["id"], deleted=False)
    resume_behind("behind")(run)


def run_again_beside(run: Run) -> None:
    """Run the failed tool again, but not in the place of the failed job."""
    assert run.end()["state"] == "failed"
    shown = run.galaxy("GET", f"jobs/{run.job_of('bad', 'error')}?full=true")
    run.galaxy(
        "POST",
        "tools",
        {
            "tool_id": "gxj_text",
            "history_id": shown["history_id"],
            "inputs": {"input1": {"src": "hda", "id": shown["inputs"]["input1"]["id"]}},
        },
    )
    run.refresh()


def wait_for_review(run: Run) -> None:
    until(lambda: "review" in (run.job()["attention"] or ""), LIMIT, every=0.3)


def answer_review(index: str, *, approve: bool) -> Callable[[Run], None]:
    def act(run: Run) -> None:
        wait_for_review(run)
        run.jobs.post(f"/jobs/{run.id}/steps/{index}/review", {"approve": approve})

    return act


def written(**values: Any) -> Callable[[Run], None]:
    """Expect values in what the tool of parameters wrote down; None: nothing."""

    def check(run: Run) -> None:
        path = f"datasets/{run.output_of(run.job_of('values'))}/display"
        answer = requests.get(
            f"{run.lab.url}/api/{path}", headers={"x-api-key": run.lab.key}, timeout=60
        )
        found = answer.json()
        wrong = {
            name: found.get(name)
            for name, value in values.items()
            if (found.get(name) or None) != value
        }
        assert not wrong, answer.text

    return check


def deleted_before(lab: Lab, stored: str) -> None:
    lab.call("DELETE", f"workflows/{stored}")


REOPENED = ("failed", "completed")
PURGED = "Deleted in Galaxy: 'behind_out', 'long_out'."
CHANGED = "Changed in Galaxy after the end: deleted 'sort_out'."


# --- the scenarios ----------------------------------------------------------------

SCENARIOS: Sequence[Scenario] = (
    Scenario(
        name="one tool",
        kind=SUCCESS,
        steps=[TEXT, tool("sort", "text", operation="sort")],
        expect=completed(1, outputs={"sort_out": "ok"}),
    ),
    Scenario(
        name="two tools, one after the other",
        kind=SUCCESS,
        steps=[TEXT, tool("sort", "text"), tool("count", "sort", operation="count")],
        expect=completed(2, outputs={"sort_out": "ok", "count_out": "ok"}),
    ),
    Scenario(
        name="a step without a connection that waits for another",
        kind=SUCCESS,
        steps=[
            TEXT,
            tool("first", "text", sleep_s=2),
            tool("second", "text", after="first"),
        ],
        expect=completed(2),
    ),
    Scenario(
        name="a list, mapped twice",
        kind=SUCCESS,
        steps=[TEXTS, tool("each", "texts"), tool("again", "each")],
        given=three,
        expect=completed(6, outputs={"each_out": "ok", "again_out": "ok"}),
    ),
    Scenario(
        name="a list of lists, mapped",
        kind=SUCCESS,
        steps=[collection("plates", "list:list"), tool("each", "plates")],
        given=lambda stock: stock.plates(("a\n", "b\n"), ("c\n",)),
        expect=completed(3, outputs={"each_out": "ok"}),
    ),
    Scenario(
        name="a list of lists, mapped and joined by plate",
        kind=SUCCESS,
        steps=[
            collection("plates", "list:list"),
            tool("each", "plates"),
            tool("join", "each", tool="gxj_join"),
        ],
        given=lambda stock: stock.plates(("a\n", "b\n"), ("c\n",)),
        expect=completed(5, outputs={"each_out": "ok", "join_out": "ok"}),
    ),
    Scenario(
        name="a list, joined to one dataset",
        kind=SUCCESS,
        steps=[
            TEXTS,
            tool("each", "texts"),
            tool("join", "each", tool="gxj_join"),
        ],
        given=three,
        expect=completed(4, outputs={"each_out": "ok", "join_out": "ok"}),
    ),
    Scenario(
        name="outputs that are discovered, then mapped",
        kind=SUCCESS,
        steps=[
            TEXT,
            tool("lines", "text", tool="gxj_split"),
            tool("each", "lines"),
        ],
        expect=completed(3, outputs={"lines_out": "ok", "each_out": "ok"}),
    ),
    Scenario(
        name="nothing is discovered, and nothing mapped",
        kind=SUCCESS,
        steps=[
            TEXT,
            tool("lines", "text", tool="gxj_split"),
            tool("each", "lines"),
        ],
        given=lambda stock: stock.text(""),
        expect=completed(
            1,
            attention="Nothing was done at",
            outputs={"lines_out": "ok", "each_out": "ok"},
        ),
    ),
    Scenario(
        name="an empty list",
        kind=SUCCESS,
        steps=[TEXTS, tool("each", "texts")],
        given=lambda stock: stock.collection("list", []),
        expect=completed(0, attention=ALL_EMPTY, outputs={"each_out": "ok"}),
    ),
    Scenario(
        name="no tool at all",
        kind=SUCCESS,
        steps=[TEXT],
        expect=completed(0),
    ),
    Scenario(
        name="a tool without outputs that writes to stderr",
        kind=SUCCESS,
        steps=[TEXT, tool("check", "text", tool="gxj_check", output=None)],
        expect=completed(1),
    ),
    Scenario(
        name="two outputs of one label",
        kind=SUCCESS,
        steps=[
            TEXT,
            tool("sort", "text", output="result"),
            tool("count", "text", output="result"),
        ],
        expect=completed(2, outputs={"output1 (Step 2)": "ok", "result": "ok"}),
    ),
    # --- conditions ---
    Scenario(
        name="a step whose condition is false, beside another",
        kind=SKIPPED,
        steps=[TEXT, tool("never", "text", when="$(false)"), tool("always", "text")],
        expect=completed(2, outputs={"never_out": "ok", "always_out": "ok"}),
    ),
    Scenario(
        name="a condition from a parameter that is true",
        kind=SKIPPED,
        steps=[
            TEXT,
            parameter("flag", "boolean", default=False),
            tool("maybe", "text", when="$(inputs.when)", condition="flag"),
        ],
        parameters={"flag": True},
        expect=completed(1),
    ),
    Scenario(
        name="all steps skipped, by a parameter that is false",
        kind=SKIPPED,
        steps=[
            TEXT,
            parameter("flag", "boolean", default=True),
            tool("maybe", "text", when="$(inputs.when)", condition="flag"),
            tool("behind", "maybe", when="$(inputs.when)", condition="flag"),
        ],
        parameters={"flag": False},
        expect=completed(2, attention=ALL_SKIPPED),
    ),
    Scenario(
        name="a condition that is no boolean",
        kind=SKIPPED,
        steps=[TEXT, tool("odd", "text", when="$(1 + 1)")],
        expect=failed("when_not_boolean", path="odd"),
    ),
    Scenario(
        name="a condition that cannot be evaluated",
        kind=SKIPPED,
        steps=[TEXT, tool("odd", "text", when="$(nothing.of.that)")],
        expect=failed("expression_evaluation_failed", path="odd"),
    ),
    Scenario(
        name="given up by Galaxy while a job runs on",
        kind=SKIPPED,
        steps=[
            TEXT,
            tool("long", "text", sleep_s=15),
            tool("odd", "text", when="$(1 + 1)"),
        ],
        expect=failed("when_not_boolean", path="odd", ok=1),
    ),
    Scenario(
        name="a sub-workflow whose condition is false",
        kind=SKIPPED,
        steps=[
            TEXT,
            sub("nested", INNER, when="$(false)", text="text"),
            tool("always", "text"),
        ],
        expect=completed(2),
    ),
    Scenario(
        name="a condition from an expression tool",
        kind=SKIPPED,
        steps=[
            TEXT,
            tool(
                "read",
                "text",
                tool="param_value_from_file",
                version="0.1.0",
                param_type="boolean",
                output=None,
            ),
            tool(
                "maybe", "text", when="$(inputs.when)", condition="read|boolean_param"
            ),
        ],
        given=lambda stock: stock.text("false\n"),
        expect=completed(2),
    ),
    # --- parameters ---
    Scenario(
        name="a value from an expression tool",
        kind=VALUES,
        steps=[
            TEXT,
            tool(
                "read",
                "text",
                tool="param_value_from_file",
                version="0.1.0",
                param_type="integer",
                output=None,
            ),
            tool("values", "text", tool="gxj_values", whole="@read|integer_param"),
        ],
        given=lambda stock: stock.text("42\n"),
        expect=completed(2),
        after=written(whole=42),
    ),
    Scenario(
        name="an expression tool that finds no value",
        kind=VALUES,
        steps=[
            TEXT,
            tool(
                "read",
                "text",
                tool="param_value_from_file",
                version="0.1.0",
                param_type="integer",
                output=None,
            ),
            tool("odd", "text", exit_code="@read|integer_param"),
        ],
        given=lambda stock: stock.text("none\n"),
        expect=failed(path="odd", ok=1, failed=1),
    ),
    Scenario(
        name="a value of every kind",
        kind=VALUES,
        steps=[*EVERY_KIND, EVERY_VALUE],
        parameters={
            "text value": "two words",
            "integer": 7,
            "float": 1.25,
            "boolean": True,
            "color": "#ff8800",
            "choice": "exact",
        },
        expect=completed(1),
        after=written(
            word="two words",
            whole=7,
            ratio=1.25,
            flag=True,
            tint="#ff8800",
            mode="exact",
        ),
    ),
    Scenario(
        name="defaults of every kind",
        kind=VALUES,
        steps=[*EVERY_KIND, EVERY_VALUE],
        expect=completed(1),
        after=written(
            word="by default",
            whole=3,
            ratio=2.5,
            flag=True,
            tint="#123456",
            mode="fast",
        ),
    ),
    Scenario(
        name="several values of a text",
        kind=VALUES,
        steps=[
            TEXT,
            parameter(
                "words",
                "text",
                default=["head"],
                multiple=True,
                restrictions=["head", "body", "tail"],
            ),
            tool("values", "text", tool="gxj_values", parts="@words"),
        ],
        parameters={"words": ["head", "tail"]},
        expect=completed(1),
        after=written(parts=["head", "tail"]),
    ),
    Scenario(
        name="an optional text that is left out",
        kind=VALUES,
        steps=[
            TEXT,
            parameter("hint", "text", optional=True),
            tool("values", "text", tool="gxj_values", word="@hint"),
        ],
        expect=completed(1),
        after=written(word=None),
    ),
    Scenario(
        name="an optional text that is null",
        kind=VALUES,
        steps=[
            TEXT,
            parameter("hint", "text", optional=True),
            tool("values", "text", tool="gxj_values", word="@hint"),
        ],
        parameters={"hint": None},
        expect=completed(1),
        after=written(word=None),
    ),
    Scenario(
        name="an optional dataset that is left out",
        kind=VALUES,
        steps=[
            TEXT,
            data("more", optional=True),
            tool("sort", "text"),
            tool("values", "more", tool="gxj_values"),
        ],
        expect=completed(2),
    ),
    Scenario(
        name="a value that only the tool refuses",
        kind=VALUES,
        steps=[
            TEXT,
            parameter("code", default=0),
            tool("odd", "text", exit_code="@code"),
        ],
        parameters={"code": 999},
        expect=failed(path="odd", failed=1, message="999"),
    ),
    # --- tools that fail ---
    Scenario(
        name="the first tool fails",
        kind=FAILURES,
        steps=[
            TEXT,
            tool("bad", "text", exit_code=3),
            tool("behind", "bad"),
            tool("far behind", "behind"),
            tool("apart", "text"),
        ],
        expect=failed(
            path="bad",
            exit_code=3,
            ok=1,
            failed=3,
            blocked=2,
            outputs={
                "bad_out": "error",
                "behind_out": "paused",
                "far behind_out": "paused",
                "apart_out": "ok",
            },
        ),
    ),
    Scenario(
        name="a tool in the middle fails",
        kind=FAILURES,
        steps=[
            TEXT,
            tool("first", "text"),
            tool("bad", "first", exit_code=3),
            tool("behind", "bad"),
        ],
        expect=failed(path="bad", exit_code=3, ok=1, failed=2, blocked=1),
    ),
    Scenario(
        name="the last tool fails",
        kind=FAILURES,
        steps=[TEXT, tool("first", "text"), tool("bad", "first", exit_code=3)],
        expect=failed(path="bad", exit_code=3, ok=1, failed=1),
    ),
    Scenario(
        name="two tools fail, the second one first",
        kind=FAILURES,
        steps=[
            TEXT,
            tool("late", "text", sleep_s=6, exit_code=4),
            tool("early", "text", exit_code=3),
        ],
        expect=failed(path="late", exit_code=4, failed=2),
    ),
    Scenario(
        name="a failing step without a label",
        kind=FAILURES,
        steps=[TEXT, tool("first", "text"), tool(None, "first", exit_code=3)],
        expect=failed(path="step 3", exit_code=3, ok=1, failed=1),
    ),
    Scenario(
        name="a command that cannot read its data",
        kind=FAILURES,
        steps=[TEXT, tool("bad", "text", operation="fail")],
        expect=failed(path="bad", exit_code=2, failed=1),
    ),
    Scenario(
        name="killed, as where memory runs out",
        kind=FAILURES,
        steps=[
            TEXT,
            tool("bad", "text", tool="gxj_check", operation="kill", output=None),
        ],
        expect=failed(path="bad", exit_code=137, failed=1),
    ),
    Scenario(
        name="the highest exit code",
        kind=FAILURES,
        steps=[TEXT, tool("bad", "text", exit_code=255)],
        expect=failed(path="bad", exit_code=255, failed=1),
    ),
    Scenario(
        name="one element of a mapped step fails",
        kind=FAILURES,
        steps=[
            TEXTS,
            tool("each", "texts", operation="fail_on_poison"),
            tool("again", "each"),
        ],
        given=three_one_bad,
        expect=failed(
            path="each",
            element="sample-02",
            exit_code=3,
            ok=4,
            failed=2,
            blocked=1,
            outputs={"each_out": "error", "again_out": "paused"},
        ),
    ),
    Scenario(
        name="all elements of a mapped step fail",
        kind=FAILURES,
        steps=[TEXTS, tool("each", "texts", exit_code=3)],
        given=three,
        expect=failed(path="each", element="sample-01", exit_code=3, failed=3),
    ),
    Scenario(
        name="one element of a list of lists fails",
        kind=FAILURES,
        steps=[
            collection("plates", "list:list"),
            tool("each", "plates", operation="fail_on_poison"),
        ],
        given=lambda stock: stock.plates(("a\n", "b\n"), ("c\n", "poison\n")),
        expect=failed(
            path="each", element="plate-2/sample-02", exit_code=3, ok=3, failed=1
        ),
    ),
    Scenario(
        name="an element that was discovered fails",
        kind=FAILURES,
        steps=[
            TEXT,
            tool("lines", "text", tool="gxj_split"),
            tool("each", "lines", operation="fail_on_poison"),
        ],
        given=lambda stock: stock.text("banana\npoison\n"),
        expect=failed(path="each", element="line-0002", exit_code=3, ok=2, failed=1),
    ),
    # --- behind a failure ---
    Scenario(
        name="a join behind a failing element",
        kind=BLOCKED,
        steps=[
            TEXTS,
            tool("each", "texts", operation="fail_on_poison"),
            tool("join", "each", tool="gxj_join"),
        ],
        given=three_one_bad,
        expect=failed(
            path="each", element="sample-02", exit_code=3, ok=2, failed=2, blocked=1
        ),
    ),
    Scenario(
        name="a tool that only discovers outputs, behind a failure",
        kind=BLOCKED,
        steps=[
            TEXT,
            tool("bad", "text", exit_code=3),
            tool("lines", "bad", tool="gxj_split"),
        ],
        expect=failed(path="bad", exit_code=3, failed=2, blocked=1),
    ),
    Scenario(
        name="a tool without outputs, behind a failure",
        kind=BLOCKED,
        steps=[
            TEXT,
            tool("bad", "text", exit_code=3),
            tool("check", "bad", tool="gxj_check", output=None),
        ],
        expect=failed(path="bad", exit_code=3, failed=2, blocked=1),
    ),
    Scenario(
        name="a tool without outputs, far behind a failure",
        kind=BLOCKED,
        steps=[
            TEXT,
            tool("bad", "text", exit_code=3),
            tool("behind", "bad"),
            tool("check", "behind", tool="gxj_check", output=None),
        ],
        expect=failed(path="bad", exit_code=3, failed=3, blocked=2),
    ),
    Scenario(
        name="a sub-workflow behind a failure",
        kind=BLOCKED,
        steps=[
            TEXT,
            tool("bad", "text", exit_code=3),
            sub("nested", INNER, text="bad"),
        ],
        expect=failed(path="bad", exit_code=3, failed=2, blocked=1),
    ),
    # --- reviews, and steps that are never scheduled ---
    Scenario(
        name="a review that nobody has answered yet",
        kind=REVIEWS,
        steps=[
            TEXT,
            tool("sort", "text"),
            review("check", "sort"),
            tool("count", "check", operation="count"),
        ],
        act=wait_for_review,
        ends=False,
        expect=Says("in_progress", {"ok": 1}, attention="check"),
    ),
    Scenario(
        name="a review for which nothing waits",
        kind=REVIEWS,
        steps=[TEXT, tool("sort", "text"), review("check", "sort")],
        expect=completed(1),
    ),
    Scenario(
        name="a review that is approved",
        kind=REVIEWS,
        steps=[
            TEXT,
            tool("sort", "text"),
            review("check", "sort"),
            tool("count", "check", operation="count"),
        ],
        act=answer_review("2", approve=True),
        expect=completed(2),
    ),
    Scenario(
        name="a review that is rejected",
        kind=REVIEWS,
        steps=[
            TEXT,
            tool("sort", "text"),
            review("check", "sort"),
            tool("count", "check", operation="count"),
        ],
        act=answer_review("2", approve=False),
        expect=Says("cancelled", {"ok": 1}, attention="check"),
    ),
    Scenario(
        name="a review in a sub-workflow that is approved",
        kind=REVIEWS,
        steps=[TEXT, sub("nested", INNER_REVIEW, text="text")],
        act=answer_review("1.1", approve=True),
        expect=completed(1),
    ),
    Scenario(
        name="a review in a sub-workflow that is rejected",
        kind=REVIEWS,
        steps=[TEXT, sub("nested", INNER_REVIEW, text="text")],
        act=answer_review("1.1", approve=False),
        expect=Says("cancelled", attention="check"),
    ),
    Scenario(
        name="steps that are never scheduled, behind a failure",
        kind=BLOCKED,
        steps=[
            TEXT,
            tool("bad", "text", exit_code=3),
            tool("lines", "bad", tool="gxj_split"),
            tool("each", "lines"),
        ],
        done=False,
        expect=failed(path="bad", exit_code=3, failed=2, blocked=1),
    ),
    # --- data ---
    Scenario(
        name="data by an address",
        kind=INPUTS,
        steps=[TEXT, tool("sort", "text")],
        given=lambda stock: {"src": "url", "url": stock.address, "ext": "txt"},
        expect=completed(1, outputs={"sort_out": "ok"}),
    ),
    Scenario(
        name="data by an address that cannot be reached",
        kind=INPUTS,
        steps=[TEXT, tool("sort", "text")],
        given=lambda _: UNREACHABLE,
        expect=failed("dataset_failed", path="text", message="http://127.0.0.1:9/"),
    ),
    Scenario(
        name="deferred data",
        kind=INPUTS,
        steps=[TEXT, tool("sort", "text")],
        given=lambda stock: stock.deferred(stock.address),
        expect=completed(1, outputs={"sort_out": "ok"}),
    ),
    Scenario(
        name="deferred data that cannot be fetched",
        kind=INPUTS,
        steps=[TEXT, tool("sort", "text")],
        given=lambda stock: stock.deferred(UNREACHABLE["url"]),
        expect=failed(path="sort", exit_code=1, failed=1),
    ),
    Scenario(
        name="data that is still being made",
        kind=INPUTS,
        steps=[TEXT, tool("sort", "text")],
        given=partial(Stock.being_made, sleep_s=10),
        expect=completed(1),
    ),
    Scenario(
        name="data that is still being made, and fails",
        kind=INPUTS,
        steps=[TEXT, tool("sort", "text"), tool("count", "sort")],
        given=partial(Stock.being_made, sleep_s=20, exit_code=1),
        expect=failed(path="sort", failed=2, blocked=2, message="error state"),
    ),
    Scenario(
        name="data that fails, for a tool without outputs",
        kind=INPUTS,
        steps=[TEXT, tool("check", "text", tool="gxj_check", output=None)],
        given=partial(Stock.being_made, sleep_s=20, exit_code=1),
        expect=failed(path="check", failed=1, blocked=1, message="is in error"),
    ),
    Scenario(
        name="a list with an element in error",
        kind=INPUTS,
        steps=[TEXTS, tool("each", "texts")],
        given=lambda stock: stock.collection(
            "list",
            [
                {**stock.text(), "name": "sample-01"},
                {**stock.in_error(), "name": "sample-02"},
            ],
        ),
        expect=failed(path="each", element="sample-02", ok=1, failed=1, blocked=1),
    ),
    Scenario(
        name="a list with a deleted element",
        kind=INPUTS,
        steps=[TEXTS, tool("each", "texts")],
        given=lambda stock: stock.collection(
            "list",
            [
                {**stock.text(), "name": "sample-01"},
                {**stock.deleted(), "name": "sample-02"},
            ],
        ),
        expect=failed(path="each", element="sample-02", ok=1, failed=1, blocked=1),
    ),
    # --- sub-workflows ---
    Scenario(
        name="a sub-workflow that works",
        kind=SUBS,
        steps=[TEXT, sub("nested", INNER, text="text"), tool("last", "text")],
        expect=completed(2),
    ),
    Scenario(
        name="only a sub-workflow",
        kind=SUBS,
        steps=[TEXT, sub("nested", INNER, text="text")],
        expect=completed(1),
    ),
    Scenario(
        name="a sub-workflow in a sub-workflow",
        kind=SUBS,
        steps=[TEXT, sub("outer", NESTED, text="text")],
        expect=completed(1),
    ),
    Scenario(
        name="a sub-workflow, and a tool that uses what it made",
        kind=SUBS,
        steps=[
            TEXT,
            sub("nested", INNER, text="text"),
            tool("last", "nested|inner_out"),
        ],
        expect=completed(2),
    ),
    Scenario(
        name="a sub-workflow, mapped",
        kind=SUBS,
        steps=[TEXTS, sub("nested", INNER, text="texts")],
        given=three,
        expect=completed(3),
    ),
    Scenario(
        name="a sub-workflow fails",
        kind=SUBS,
        steps=[TEXT, sub("nested", INNER_BAD, text="text")],
        expect=failed(path="nested > inner bad", exit_code=5, ok=1, failed=1),
    ),
    Scenario(
        name="a sub-workflow in a sub-workflow fails",
        kind=SUBS,
        steps=[TEXT, sub("outer", NESTED_BAD, text="text"), tool("apart", "text")],
        expect=failed(path="outer > deep > inner bad", exit_code=5, ok=2, failed=1),
    ),
    Scenario(
        name="a tool behind a sub-workflow that fails",
        kind=SUBS,
        steps=[
            TEXT,
            sub("nested", INNER_BAD, text="text"),
            tool("behind", "nested|inner bad_out"),
        ],
        expect=failed(
            path="nested > inner bad", exit_code=5, ok=1, failed=2, blocked=1
        ),
    ),
    Scenario(
        name="one element of a mapped sub-workflow fails",
        kind=SUBS,
        steps=[
            TEXTS,
            sub(
                "nested",
                workflow(
                    "inner",
                    TEXT,
                    tool("inner", "text", operation="fail_on_poison"),
                ),
                text="texts",
            ),
        ],
        given=three_one_bad,
        expect=failed(
            path="nested > inner", element="sample-02", exit_code=3, ok=2, failed=1
        ),
    ),
    Scenario(
        name="a sub-workflow that Galaxy gives up",
        kind=SUBS,
        steps=[
            TEXT,
            sub(
                "nested",
                workflow("inner", TEXT, tool("odd", "text", when="$(1 + 1)")),
                text="text",
            ),
        ],
        expect=failed("when_not_boolean", path="nested > odd"),
    ),
    Scenario(
        name="a sub-workflow is cancelled in Galaxy",
        kind=SUBS,
        steps=[TEXT, sub("nested", INNER_SLOW, text="text")],
        act=cancel_in_galaxy("inner long", "nested"),
        done=False,
        expect=failed("user_request", path="nested > inner long", failed=1),
    ),
    # --- cancels ---
    Scenario(
        name="cancelled at once",
        kind=CANCELS,
        steps=[TEXT, tool("long", "text", sleep_s=60)],
        act=cancel,
        expect=Says("cancelled", None),
    ),
    Scenario(
        name="cancelled while a job runs",
        kind=CANCELS,
        steps=[TEXT, tool("long", "text", sleep_s=60), tool("behind", "long")],
        act=cancel_when("long"),
        expect=cancelled(failed=2),
    ),
    Scenario(
        name="cancelled while a sub-workflow runs",
        kind=CANCELS,
        steps=[TEXT, sub("nested", INNER_SLOW, text="text")],
        act=cancel_when("inner long"),
        expect=cancelled(failed=1),
    ),
    Scenario(
        name="cancelled after a failure, while another job runs",
        kind=CANCELS,
        steps=[
            TEXT,
            tool("bad", "text", exit_code=3),
            tool("long", "text", sleep_s=60),
        ],
        act=cancel_after_a_failure,
        expect=Says("cancelled", {"failed": 2}, "job-failed", "bad", exit_code=3),
    ),
    Scenario(
        name="cancelled after the end, which is refused",
        kind=CANCELS,
        steps=[TEXT, tool("sort", "text")],
        act=cancel_after_the_end,
        expect=completed(1),
    ),
    Scenario(
        name="given up by Galaxy, and what is left is cancelled",
        kind=CANCELS,
        steps=[
            TEXT,
            tool("long", "text", sleep_s=60),
            tool("odd", "text", when="$(1 + 1)"),
        ],
        act=cancel_what_is_left,
        expect=failed("when_not_boolean", path="odd", failed=1),
    ),
    Scenario(
        name="cancelled in Galaxy while a job runs",
        kind=CANCELS,
        steps=[TEXT, tool("long", "text", sleep_s=60)],
        act=cancel_in_galaxy("long"),
        expect=cancelled(failed=1),
    ),
    Scenario(
        name="cancelled in Galaxy after all is done",
        kind=CANCELS,
        steps=[TEXT, tool("sort", "text")],
        act=cancel_in_galaxy_after_the_end,
        expect=completed(1),
    ),
    # --- changes in Galaxy ---
    Scenario(
        name="the history is deleted while a job runs",
        kind=CHANGED,
        steps=[TEXT, tool("long", "text", sleep_s=10)],
        act=delete_history("long"),
        expect=completed(1),
    ),
    Scenario(
        name="the history is purged while a job runs",
        kind=CHANGED,
        steps=[TEXT, tool("long", "text", sleep_s=10), tool("behind", "long")],
        act=delete_history("long", purge=True),
        expect=failed(
            path="behind", ok=1, failed=1, message="deleted", attention=PURGED
        ),
        older={
            "26.0": failed(
                path="long", failed=2, message="deleted by user", attention=PURGED
            )
        },
    ),
    Scenario(
        name="a job is deleted while it runs",
        kind=CHANGED,
        steps=[TEXT, tool("long", "text", sleep_s=60), tool("behind", "long")],
        act=delete_job("long"),
        expect=failed(
            path="long",
            failed=2,
            blocked=1,
            message="deleted by user",
            attention="Deleted in Galaxy: 'long_out'.",
        ),
    ),
    Scenario(
        name="the data is deleted while a step waits to use it",
        kind=CHANGED,
        steps=[
            TEXT,
            tool("long", "text", sleep_s=10),
            tool("behind", "text", after="long"),
        ],
        given=Stock.fresh,
        act=delete_input,
        expect=failed(path="behind", ok=1, failed=1, blocked=1, message="deleted"),
    ),
    Scenario(
        name="what a step made is deleted before it is used",
        kind=CHANGED,
        steps=[
            TEXT,
            tool("first", "text"),
            tool("long", "text", sleep_s=15),
            tool("behind", "first", after="long"),
        ],
        act=delete_between,
        expect=failed(
            path="behind",
            ok=2,
            failed=1,
            blocked=1,
            message="deleted",
            attention="Deleted in Galaxy: 'first_out'.",
        ),
    ),
    # --- after the end ---
    Scenario(
        name="the history is deleted after the end",
        kind=LATER,
        steps=[TEXT, tool("sort", "text")],
        act=delete_history(None),
        expect=completed(1),
    ),
    Scenario(
        name="the history is purged after the end",
        kind=LATER,
        steps=[TEXT, tool("sort", "text")],
        act=delete_history(None, purge=True),
        expect=completed(1, attention=CHANGED),
    ),
    Scenario(
        name="an output is renamed and hidden",
        kind=LATER,
        steps=[TEXT, tool("sort", "text")],
        act=rename_output,
        expect=completed(1, outputs={"sort_out": "ok"}),
    ),
    Scenario(
        name="an output is deleted",
        kind=LATER,
        steps=[TEXT, tool("sort", "text")],
        act=delete_output(),
        expect=completed(1, outputs={"sort_out": "deleted"}, attention=CHANGED),
    ),
    Scenario(
        name="an output is purged",
        kind=LATER,
        steps=[TEXT, tool("sort", "text")],
        act=delete_output(purge=True),
        expect=completed(1, outputs={"sort_out": "purged"}, attention=CHANGED),
    ),
    Scenario(
        name="a failed job is repaired, and what waited for it goes on",
        kind=LATER,
        steps=[TEXT, tool("bad", "text", exit_code=3), tool("behind", "bad")],
        act=repair("bad"),
        expect=completed(
            2, outputs={"bad_out": "ok", "behind_out": "ok"}, states=REOPENED
        ),
    ),
    Scenario(
        name="a failed job is repaired, and runs while we look again",
        kind=LATER,
        steps=[TEXT, tool("bad", "text", exit_code=3), tool("behind", "bad")],
        act=look_again_while_repaired,
        expect=completed(2, states=REOPENED),
    ),
    Scenario(
        name="a failed element is repaired",
        kind=LATER,
        steps=[
            TEXTS,
            tool("each", "texts", operation="fail_on_poison"),
            tool("again", "each"),
        ],
        given=three_one_bad,
        act=repair("each"),
        expect=completed(6, states=REOPENED),
    ),
    Scenario(
        name="a failed job of a sub-workflow is repaired",
        kind=LATER,
        steps=[
            TEXT,
            sub("nested", INNER_BAD, text="text"),
            tool("behind", "nested|inner bad_out"),
        ],
        act=repair("inner bad"),
        expect=completed(3, states=REOPENED),
    ),
    Scenario(
        name="a failed job for which nothing waits is run again in its place",
        kind=LATER,
        steps=[TEXT, tool("bad", "text", exit_code=3)],
        act=repair("bad"),
        expect=failed(path="bad", exit_code=3, failed=1),
    ),
    Scenario(
        name="a failed job is run again with the same result",
        kind=LATER,
        steps=[TEXT, tool("bad", "text", exit_code=3), tool("behind", "bad")],
        act=repair("bad", exit_code=4),
        expect=failed(path="bad", exit_code=4, failed=2, blocked=1),
    ),
    Scenario(
        name="a failed job is run again beside the run",
        kind=LATER,
        steps=[TEXT, tool("bad", "text", exit_code=3), tool("behind", "bad")],
        act=run_again_beside,
        expect=failed(path="bad", exit_code=3, failed=2, blocked=1),
    ),
    Scenario(
        name="deleted data is restored, and the paused job resumed",
        kind=LATER,
        steps=[
            TEXT,
            tool("long", "text", sleep_s=10),
            tool("behind", "text", after="long"),
        ],
        given=Stock.fresh,
        act=restore_and_resume,
        expect=completed(2, states=REOPENED),
    ),
    Scenario(
        name="a job behind a failure is resumed, which does not help",
        kind=LATER,
        steps=[TEXT, tool("bad", "text", exit_code=3), tool("behind", "bad")],
        act=resume_behind("behind"),
        expect=failed(path="bad", exit_code=3, failed=2, blocked=1),
    ),
    # --- refused ---
    Scenario(
        name="a tool that Galaxy lacks",
        kind=REFUSED,
        steps=[TEXT, tool("absent", "text", tool="not_installed")],
        expect=Says("refused", reason="galaxy-rejected", message="not_installed"),
    ),
    Scenario(
        name="a workflow that was deleted",
        kind=REFUSED,
        steps=[TEXT, tool("sort", "text")],
        before=deleted_before,
        expect=Says("refused", reason="workflow-not-found"),
    ),
    Scenario(
        name="data in error",
        kind=REFUSED,
        steps=[TEXT, tool("sort", "text")],
        given=Stock.in_error,
        expect=Says("refused", reason="invalid-parameters", message="error"),
    ),
    Scenario(
        name="deleted data",
        kind=REFUSED,
        steps=[TEXT, tool("sort", "text")],
        given=Stock.deleted,
        expect=Says("refused", reason="invalid-parameters", message="deleted"),
    ),
    Scenario(
        name="purged data",
        kind=REFUSED,
        steps=[TEXT, tool("sort", "text")],
        given=partial(Stock.deleted, purged=True),
        expect=Says("refused", reason="invalid-parameters", message="deleted"),
    ),
    Scenario(
        name="data that was discarded",
        kind=REFUSED,
        steps=[TEXT, tool("sort", "text")],
        given=Stock.discarded,
        expect=Says("refused", reason="invalid-parameters"),
    ),
    Scenario(
        name="one dataset for a collection",
        kind=REFUSED,
        steps=[TEXTS, tool("each", "texts")],
        given=Stock.text,
        expect=Says("refused", reason="invalid-parameters", message="collection"),
    ),
    Scenario(
        name="a text for a number",
        kind=REFUSED,
        steps=[TEXT, parameter("number", default=1), tool("sort", "text")],
        parameters={"number": "many"},
        expect=Says("refused", reason="invalid-parameters", message="number"),
    ),
    Scenario(
        name="a parameter that the workflow does not have",
        kind=REFUSED,
        steps=[TEXT, tool("sort", "text")],
        parameters={"nothing": 1},
        expect=Says("refused", reason="invalid-parameters", message="nothing"),
    ),
    Scenario(
        name="a required parameter that is left out",
        kind=REFUSED,
        steps=[
            TEXT,
            parameter("number", optional=False),
            tool("sort", "text", sleep_s="@number"),
        ],
        expect=Says("refused", reason="invalid-parameters", message="number"),
    ),
)
