"""What the client commands make of what is typed, and of what the service says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from galaxy_jobs.domain.model.dataset import GalaxyData, Src
from galaxy_jobs.domain.model.values import WorkflowId
from galaxy_jobs.domain.model.workflow import AllowedWorkflow, Workflow, bind
from galaxy_jobs.domain.model.workflow_input import (
    InputKind,
    WorkflowInput,
    expected,
)
from galaxy_jobs.entrypoints import wording
from galaxy_jobs.entrypoints.api import problems
from galaxy_jobs.entrypoints.api.workflow_schema import parameters as schema_of
from galaxy_jobs.entrypoints.client import job_views, output, workflow_views
from galaxy_jobs.entrypoints.client.errors import (
    HINTS,
    CommandFailed,
    Refused,
    Unreachable,
    Usage,
)
from galaxy_jobs.entrypoints.client.http import Answer, Api
from galaxy_jobs.entrypoints.client.parameters import pairs, typed
from galaxy_jobs.entrypoints.client.submitting import Submitter
from galaxy_jobs.entrypoints.client.watching import Stopwatch
from galaxy_jobs.entrypoints.environment import Service
from galaxy_jobs.entrypoints.web.forms import Field


# --- -p NAME=VALUE ---------------------------------------------------------------

READS = WorkflowInput(name="reads", kind=InputKind.DATA)
ALLOWED = AllowedWorkflow(name="w", input="reads")
NOTHING_ALLOWED = AllowedWorkflow(name="w", takes_dataset=False)


def sent(input_: WorkflowInput, *texts: str) -> Any:
    """Return the value that goes out for an input, for what was typed."""
    workflow = Workflow(workflow_id=WorkflowId("w"), name="w", inputs=(READS, input_))
    given = pairs([f"{input_.name}={text}" for text in texts])
    return typed(given, schema_of(workflow, ALLOWED))[input_.name]


def fits(input_: WorkflowInput, value: Any) -> bool:
    """Say whether the domain takes it, as what it is."""
    workflow = Workflow(workflow_id=WorkflowId("w"), name="w", inputs=(READS, input_))
    bound = bind(
        workflow,
        source=GalaxyData(Src.HDA, "x"),
        dataset_input="reads",
        parameters={input_.name: value},
    )
    return input_.name in bound.inputs


def an_input(kind: InputKind, **more: Any) -> WorkflowInput:
    return WorkflowInput(**{"name": "p", "kind": kind, **more})


@pytest.mark.parametrize(
    ("input_", "text", "value"),
    [
        (an_input(InputKind.INTEGER), "3", 3),
        (an_input(InputKind.INTEGER), "-3", -3),
        (an_input(InputKind.INTEGER, optional=True), "3", 3),
        (an_input(InputKind.INTEGER, optional=True), "", None),
        (an_input(InputKind.FLOAT), "0.5", 0.5),
        (an_input(InputKind.INTEGER), "1e3", 1000),
        (an_input(InputKind.INTEGER), " +3 ", 3),
        (an_input(InputKind.FLOAT), "1e-3", 0.001),
        (an_input(InputKind.FLOAT), "1e3", 1000.0),
        (an_input(InputKind.FLOAT), ".5", 0.5),
        (an_input(InputKind.FLOAT), "2", 2),
        (an_input(InputKind.BOOLEAN), "true", True),
        (an_input(InputKind.BOOLEAN), "No", False),
        (an_input(InputKind.BOOLEAN), "yes", True),
        (an_input(InputKind.TEXT), "3", "3"),
        (an_input(InputKind.TEXT), "true", "true"),
        (an_input(InputKind.TEXT), "", ""),
        (an_input(InputKind.TEXT, optional=True), "", ""),
        (an_input(InputKind.TEXT), "a=b", "a=b"),
        (an_input(InputKind.TEXT, options=("a", "b")), "b", "b"),
        (an_input(InputKind.INTEGER, options=(1, 2)), "2", 2),
        (an_input(InputKind.TEXT, multiple=True), "a", "a"),
        (an_input(InputKind.COLOR), "#ff0000", "#ff0000"),
        (an_input(InputKind.OTHER), "[1]", [1]),
        (an_input(InputKind.OTHER), "plain", "plain"),
        (an_input(InputKind.DATA), "reads-2", {"dataset_id": "reads-2"}),
        (an_input(InputKind.DATA), "hda:f2", {"src": "hda", "id": "f2"}),
        (an_input(InputKind.DATA), "lab:1", {"dataset_id": "lab:1"}),
        (an_input(InputKind.DATA), '{"dataset_id": "a"}', {"dataset_id": "a"}),
        (an_input(InputKind.COLLECTION), "hdca:f2", {"src": "hdca", "id": "f2"}),
    ],
)
def test_a_text_becomes_what_the_schema_asks_for(
    input_: WorkflowInput, text: str, value: Any
) -> None:
    made = sent(input_, text)
    assert made == value
    assert type(made) is type(value)
    assert fits(input_, made)


@pytest.mark.parametrize(
    ("input_", "text"),
    [
        (an_input(InputKind.INTEGER), "long"),
        (an_input(InputKind.INTEGER), "1_000"),
        (an_input(InputKind.FLOAT), "nan"),
        (an_input(InputKind.FLOAT), "Infinity"),
        (an_input(InputKind.FLOAT), "1e999"),
        (an_input(InputKind.INTEGER), "9" * 5000),
        (an_input(InputKind.OTHER), "NaN"),
        (an_input(InputKind.OTHER), "1e999"),
        (an_input(InputKind.OTHER), r'"a\u0000b"'),
        (an_input(InputKind.OTHER), r'"\ud800"'),
        (an_input(InputKind.OTHER), "[" * 33 + "]" * 33),
        (an_input(InputKind.OTHER), "[" * 50_000),
        (an_input(InputKind.BOOLEAN), "maybe"),
        (an_input(InputKind.INTEGER), ""),
    ],
)
def test_what_does_not_fit_goes_out_as_it_is(input_: WorkflowInput, text: str) -> None:
    assert sent(input_, text) == text


@given(st.integers())
def test_integers_arrive_as_they_are(number: int) -> None:
    assert sent(an_input(InputKind.INTEGER), str(number)) == number


@given(st.text())
def test_texts_arrive_as_they_are(text: str) -> None:
    assert sent(an_input(InputKind.TEXT), text) == text


def test_a_repeated_name_is_a_list_where_the_schema_takes_one() -> None:
    several = an_input(InputKind.INTEGER, multiple=True)
    assert sent(several, "1", "2") == [1, 2]
    with pytest.raises(Usage, match="2 times"):
        sent(an_input(InputKind.INTEGER), "1", "2")


def test_an_unknown_name_is_left_to_the_service() -> None:
    assert typed(pairs(["slep=1"]), {"properties": {}}) == {"slep": 1}


@pytest.mark.parametrize("text", ["x", "=1", ""])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="NAME=VALUE"):
        pairs([text])


def test_a_schema_is_said_in_words() -> None:
    def words(input_: WorkflowInput) -> str:
        workflow = Workflow(
            workflow_id=WorkflowId("w"), name="w", inputs=(READS, input_)
        )
        return workflow_views.takes(schema_of(workflow, ALLOWED)["properties"]["p"])

    assert words(an_input(InputKind.INTEGER, minimum=0, maximum=60)) == (
        "an integer from 0 to 60"
    )
    assert words(an_input(InputKind.TEXT, options=("a", "b"))) == "one of a, b"
    assert words(an_input(InputKind.TEXT, multiple=True)) == "a text, or several"
    assert words(an_input(InputKind.DATA, optional=True)) == "a dataset"
    assert words(an_input(InputKind.DATA, formats=("txt", "csv"))) == (
        "a dataset, format txt or csv"
    )
    assert words(an_input(InputKind.COLLECTION, collection_type="list")) == (
        "a collection, list"
    )
    assert words(an_input(InputKind.COLOR)) == "a color such as #1f6feb"
    assert words(an_input(InputKind.FLOAT, minimum=0.5)) == "a number of at least 0.5"
    assert words(an_input(InputKind.OTHER, multiple=True)) == "a value, or several"


@pytest.mark.parametrize(
    ("exclusive", "words"),
    [
        ((), "a number from 0 to 1"),
        (("exclusive_minimum",), "a number of more than 0 and at most 1"),
        (("exclusive_maximum",), "a number of at least 0 and less than 1"),
        (
            ("exclusive_minimum", "exclusive_maximum"),
            "a number of more than 0 and less than 1",
        ),
    ],
)
def test_a_bound_that_is_no_value_itself_is_said_so_everywhere(
    exclusive: tuple[str, ...], words: str
) -> None:
    given: dict[str, Any] = dict.fromkeys(exclusive, True)
    input_ = an_input(InputKind.FLOAT, minimum=0, maximum=1, **given)
    workflow = Workflow(workflow_id=WorkflowId("w"), name="w", inputs=(input_,))
    schema = schema_of(workflow, ALLOWED)["properties"]["p"]
    assert workflow_views.takes(schema) == words
    assert Field(id="p0", input=input_).takes == words
    assert expected(input_) == words


NUMBERS = st.none() | st.integers(-9, 9)


@given(
    kind=st.sampled_from([InputKind.INTEGER, InputKind.FLOAT]),
    low=NUMBERS,
    high=NUMBERS,
    exclusive=st.sets(st.sampled_from(["minimum", "maximum"])),
)
def test_the_command_that_is_shown_gives_a_number_within_the_bounds(
    kind: InputKind, low: int | None, high: int | None, exclusive: set[str]
) -> None:
    if low is not None and high is not None:
        high = low + abs(high - low) + len(exclusive)
    limits = {"minimum": low, "maximum": high}
    given_: dict[str, Any] = {
        f"exclusive_{name}": limits[name] is not None for name in exclusive
    }
    input_ = an_input(kind, minimum=low, maximum=high, **given_)
    workflow = Workflow(workflow_id=WorkflowId("w"), name="w", inputs=(input_,))
    shown: dict[str, Any] = {
        "name": "w",
        "dataset_input": None,
        "dataset_inputs": [],
        "parameters": schema_of(workflow, NOTHING_ALLOWED),
    }
    *_, option = workflow_views.command(shown)
    assert fits(input_, sent(input_, option.removeprefix("p=")))


# --- addresses -------------------------------------------------------------------


def test_what_is_in_an_address_stays_in_its_place() -> None:
    _, api, _, _ = submitting(answered({}))
    api.get("workflows", "a/b ü?#")
    api.get("jobs", a=None, b=("x", "y&z"), c=1, d=())
    api.get("jobs", a=None)
    api.get("jobs", b"\xff".decode(errors="surrogateescape"))
    assert [target for _, target, _ in api.asked] == [
        "/workflows/a%2Fb%20%C3%BC%3F%23",
        "/jobs?b=x&b=y%26z&c=1",
        "/jobs",
        "/jobs/%FF",
    ]


# --- what is shown ---------------------------------------------------------------


def test_no_text_of_the_services_moves_the_cursor() -> None:
    assert output.clean("a\x1b[2Jb\rc\0\u202e") == r"a\u001b[2Jb\rc\u0000\u202e"
    assert output.clean("1\u200f\u2066\U000e0041 é中\u0301") == (
        "1\\u200f\\u2066\\udb40\\udc41 é中\u0301"
    )
    assert output.clean("a\tb\nc") == "a b c"
    assert output.clean("a\nb", lines=True) == "a\nb"
    assert output.clean({"ü": 1}) == '{"ü": 1}'


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "just now"),
        (4, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7300, "2 h ago"),
        (200000, "2 d ago"),
        (31 * 86400, "2025-12-02"),
    ],
)
def test_how_long_ago(seconds: float, words: str) -> None:
    now = datetime.fromisoformat("2026-01-02T12:00:00Z")
    at = (now - timedelta(seconds=seconds)).isoformat()
    assert output.ago(at, now) == words


def test_what_was_stopped_is_not_said_to_have_failed() -> None:
    counts = {"total": 3, "ok": 1, "running": 0, "waiting": 0, "failed": 2}
    assert wording.progress(counts, "failed") == "1 of 3 jobs ok, 2 failed"
    words = wording.progress({**counts, "blocked": 1}, "failed")
    assert words == "1 of 3 jobs ok, 2 failed (1 blocked)"
    for state in ("cancelling", "cancelled"):
        words = wording.progress(counts, state)
        assert words == "1 of 3 jobs ok, 2 stopped or failed"


def test_an_address_is_cut_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"https://example.org/{'a' * 100}"
    assert output.short(address) == address
    monkeypatch.setenv("COLUMNS", "80")
    assert output.short(address) == f"{address[:19]}…"
    assert output.short("hda:566af1e3cad5b92b") == "hda:566af1e3cad5b92b"


def test_the_clock_of_a_job_stops_when_it_has_ended_and_never_goes_back() -> None:
    now = datetime.fromisoformat("2026-01-02T12:00:00Z")
    ended = {"state": "failed", "updated_at": "2026-01-02T11:59:00+00:00"}
    watch = Stopwatch()
    assert watch(ended, now) == datetime.fromisoformat(ended["updated_at"])
    assert watch({**ended, "state": "queued"}, now) == now
    assert watch(ended, now + timedelta(seconds=5)) == now


def test_every_hint_is_for_a_problem_that_there_is() -> None:
    assert set(HINTS) <= set(problems.STATUS)
    refusal = Refused({"type": "urn:galaxy-jobs:problem:unauthenticated"})
    assert "GALAXY_JOBS_TOKEN" in (refusal.hint or "")


# --- submitting ------------------------------------------------------------------

ACCEPTED = {"invocation_id": "i", "state": "queued"}


def answered(data: Any) -> Answer:
    return Answer(data, {})


def refused(code: str, status: int, after: float | None = None, **more: Any) -> Refused:
    problem = {"type": f"urn:galaxy-jobs:problem:{code}", "status": status, **more}
    return Refused(problem, after)


LOST = Unreachable("The connection was closed")
NOBODY = Unreachable("Refused", sent=False)


@define
class Script(Api):
    """A service that gives one answer after the other."""

    lines: list[Answer | CommandFailed] = field(factory=list)
    asked: list[tuple[str, str, str | None]] = field(factory=list)

    def request(
        self,
        method: str,
        target: str,
        body: object = None,
        key: str | None = None,
    ) -> Answer:
        self.asked.append((method, target, key))
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, CommandFailed):
            raise line
        return line


@define
class Time:
    """Passes only when somebody sleeps."""

    now: float = 0
    slept: list[float] = field(factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def submitting(
    *lines: Answer | CommandFailed,
) -> tuple[Submitter, Script, Time, list[str]]:
    api, time, reports = Script(Service(), list(lines)), Time(), list[str]()
    submitter = Submitter(
        api, "key", report=reports.append, sleep=time.sleep, monotonic=lambda: time.now
    )
    return submitter, api, time, reports


def test_an_answer_that_comes_is_returned() -> None:
    submitter, api, time, reports = submitting(answered(ACCEPTED))
    assert submitter("jobs", body={}).data == ACCEPTED
    assert api.asked == [("POST", "/jobs", "key")]
    assert (time.slept, reports) == ([], [])


def test_a_lost_answer_is_asked_for_again_with_the_same_key() -> None:
    submitter, api, time, reports = submitting(LOST, NOBODY, answered(ACCEPTED))
    assert submitter("jobs", body={}).data == ACCEPTED
    assert api.asked == [("POST", "/jobs", "key")] * 3
    assert time.slept == [1, 2]
    assert len(reports) == 2
    assert "same idempotency key" in reports[0]


def test_where_nothing_was_sent_nothing_is_repeated() -> None:
    submitter, api, time, _ = submitting(NOBODY)
    with pytest.raises(Unreachable):
        submitter("jobs", body={})
    assert len(api.asked) == 1
    assert not time.slept


def test_a_service_in_trouble_is_asked_again_when_it_says() -> None:
    away = refused("galaxy-unavailable", 503, after=10)
    submitter, _, time, _ = submitting(away, away, answered(ACCEPTED))
    assert submitter("jobs", body={}).data == ACCEPTED
    assert time.slept == [10, 10]


def test_it_is_given_up_after_a_while_and_said_whether_it_may_run() -> None:
    for error, may_run in (
        (LOST, True),
        (refused("galaxy-unavailable", 503, 10), False),
    ):
        submitter, _, time, _ = submitting(error)
        with pytest.raises(CommandFailed) as caught:
            submitter("jobs", body={})
        assert time.now <= submitter.retry_timeout
        assert caught.value.hint is not None
        assert ("It may run" in caught.value.hint) is may_run
        assert caught.value.hint.endswith("--key key")


def test_a_refusal_is_final() -> None:
    submitter, api, _, _ = submitting(refused("invalid-parameters", 422))
    with pytest.raises(Refused):
        submitter("jobs", body={})
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("code", "status"), [("outcome-unknown", 504), ("in-progress", 409)]
)
def test_what_is_not_known_is_followed_until_it_is_settled(
    code: str, status: int
) -> None:
    submitter, api, _, reports = submitting(
        refused(code, status, submission_id="s"),
        answered({"state": "unknown"}),
        LOST,
        refused("database-unavailable", 503, 5),
        answered({"state": "accepted", "invocation_id": "i"}),
        answered(ACCEPTED),
    )
    assert submitter("jobs", body={}).data == ACCEPTED
    asked = [(method, address) for method, address, _ in api.asked]
    assert asked == [
        ("POST", "/jobs"),
        *[("GET", "/submissions/s")] * 4,
        ("POST", "/jobs"),
    ]
    assert "submission s" in reports[0]


def test_what_turns_out_to_have_been_rejected_is_not_sent_again() -> None:
    problem = {"type": "urn:galaxy-jobs:problem:galaxy-unavailable", "status": 503}
    submitter, api, _, _ = submitting(
        refused("outcome-unknown", 504, submission_id="s"),
        answered({"state": "rejected", "problem": problem}),
    )
    with pytest.raises(Refused) as caught:
        submitter("jobs", body={})
    assert caught.value.code == "galaxy-unavailable"
    assert [method for method, _, _ in api.asked] == ["POST", "GET"]


def test_what_is_never_settled_is_given_up() -> None:
    submitter, _, _, _ = submitting(
        refused("outcome-unknown", 504, submission_id="s"),
        answered({"state": "unknown"}),
    )
    with pytest.raises(Refused) as caught:
        submitter("jobs", body={})
    assert "It may run" in (caught.value.hint or "")


def test_a_failure_is_shown_with_its_element() -> None:
    job = {
        "invocation_id": "i1",
        "failure": {
            "reason": "job-failed",
            "step": "sort",
            "path": ["outer", "sort"],
            "element": "plate-1/b",
            "tool": "sort1",
            "exit_code": 2,
            "message": None,
            "stderr": None,
        },
    }
    console = Console(width=200)
    with console.capture() as capture:
        console.print(job_views.failure(job))
    shown = capture.get()
    head = "Failed at step outer > sort, element plate-1/b, tool sort1, exit code 2"
    assert shown.startswith(head)


def test_the_range_of_all_integers_is_not_worth_a_word() -> None:
    def words(**more: Any) -> str:
        workflow = Workflow(
            workflow_id=WorkflowId("w"), name="w", inputs=(an_input(**more),)
        )
        return workflow_views.takes(schema_of(workflow, ALLOWED)["properties"]["p"])

    assert words(kind=InputKind.INTEGER) == "an integer"
    assert words(kind=InputKind.INTEGER, minimum=0) == "an integer of at least 0"
    assert words(kind=InputKind.DIRECTORY) == "the address of a directory"
    assert words(kind=InputKind.TEXT, min_length=2, optional=True) == "a text"


EVERY_PART = (
    READS,
    an_input(InputKind.INTEGER, name="threads", minimum=1, default=4),
    an_input(
        InputKind.TEXT,
        name="mode of the mapper",
        options=("vf", "s", "other"),
        labels=("Very fast", "Sensitive", "other"),
        annotation=f"How long it may take. {'Slower modes find more of them. ' * 6}",
    ),
    an_input(
        InputKind.COLLECTION,
        name="sheet",
        collection_type="sample_sheet:paired",
        formats=("fastqsanger", "fastqsanger.gz"),
        columns=({"name": "condition"}, {"name": "replicate"}),
        optional=True,
    ),
)


@pytest.mark.parametrize("width", [40, 80])
def test_a_workflow_is_shown_in_blocks_that_wrap_and_nothing_is_cut(width: int) -> None:
    workflow = Workflow(workflow_id=WorkflowId("w1"), name="w", inputs=EVERY_PART)
    shown: dict[str, Any] = {
        "name": "w",
        "annotation": "",
        "workflow_id": "w1",
        "version": None,
        "dataset_input": "reads",
        "dataset_inputs": ["reads"],
        "missing_tools": [],
        "run_time_parameters": [],
        "parameters": schema_of(workflow, ALLOWED),
    }
    console = Console(width=width)
    with console.capture() as capture:
        console.print(workflow_views.detail(shown), crop=False)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    *wrapped, run = [line for line in lines if line]
    assert max(map(len, wrapped)) <= width
    assert run.startswith("Run it: galaxy-jobs submit DATASET w -p ")
    blocks = {
        block[0]: " ".join(line.strip() for line in block[1:])
        for part in "\n".join(lines).split("\n\n")
        if (block := part.splitlines())
    }
    assert blocks["threads"] == "an integer of at least 1 default: 4"
    assert blocks["mode of the mapper"].startswith(
        "one of vf (Very fast), s (Sensitive), other required How long it may take. S"
    )
    assert blocks["mode of the mapper"].count("find more of them.") == 6
    assert blocks["sheet"] == (
        "a collection, format fastqsanger or fastqsanger.gz, sample_sheet:paired "
        "columns: condition, replicate optional"
    )
    (about,) = (text for name, text in blocks.items() if name.startswith("workflow"))
    assert "on input 'reads': a dataset" in " ".join(about.split())
    assert "reads" not in blocks


def test_a_list_of_workflows_says_which_cannot_be_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown: dict[str, Any] = {"version": None, "problem": None}
    items: list[Mapping[str, Any]] = [
        {**shown, "name": "calling", "version": 0},
        {**shown, "name": "gone", "problem": "Galaxy shows no such workflow."},
    ]
    output.show(workflow_views.workflows(items))
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["calling", "0"]
    assert second.split(maxsplit=1) == ["gone", "Galaxy shows no such workflow."]
