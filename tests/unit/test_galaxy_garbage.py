"""Every part of Galaxy's answers, replaced by what no Galaxy says.

Whatever an answer holds, the adapter raises an error of the port or returns values
that can be stored, shown and put into an address.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from galaxy_jobs.adapters.galaxy import Galaxy, client, declarations
from galaxy_jobs.adapters.galaxy.declarations import Declarations
from galaxy_jobs.adapters.galaxy.limits import (
    MAX_MEMORY,
    MAX_REQUESTS_OF_CALL,
    NOT_JSON,
    SMALL_ANSWER,
    Call,
    TooMuch,
)
from galaxy_jobs.adapters.galaxy.names import Names
from galaxy_jobs.domain import (
    AllowedWorkflow,
    GalaxyData,
    HistoryId,
    InvocationId,
    InvocationReport,
    JobId,
    Src,
    WorkflowId,
    judge,
)
from galaxy_jobs.domain.errors import (
    OutcomeUnknown,
    RunnerError,
    RunnerUnavailable,
    WorkflowNotFound,
    WorkflowUnreadable,
)
from galaxy_jobs.domain.model.values import TEXT_LIMIT, engine_id
from tests.support.hostile_galaxy import WORKFLOW, HostileGalaxy, many, recorded


DEEP: Any = 1
for _ in range(500):
    DEEP = {"a": DEEP}

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**400,
    "@1e400@",  # see `body`
    float("nan"),
    "",
    "x" * 10_000,
    "a\0b",
    "../a?b=c",
    "a\nb",
    "\ud800",
    [],
    {},
    [[]],
    [{}, None],
    DEEP,
)
IDS = frozenset({"id", "invocation_id", "history_id", "job_id", "workflow_id"})

RUN = InvocationId("f2db41e1fa331b3e")
FAILED_RUN = recorded("run_first_fails")


def body(content: object) -> bytearray:
    return bytearray(json.dumps(content).replace('"@1e400@"', "1e400").encode())


def galaxy(answers: Mapping[str, object]) -> Galaxy:
    """Return one with these answers by kind, or kind and id; else ordinary ones."""
    ordinary = HostileGalaxy()
    made = Galaxy("http://galaxy.test", "key")

    def exchange(
        _: object, request: Any, _name: str, _deadline: float, call: Call
    ) -> object:
        url = urlsplit(request.url)
        query = request.params
        if isinstance(query, dict):
            query = "&".join(
                f"{name}={v}"
                for name, values in query.items()
                for v in (values if isinstance(values, list) else [values])
            )
        target = f"{url.path}?{query or ''}"
        kind, content = ordinary.answer(request.method, target, request.data or b"")
        id_ = url.path.rpartition("/")[2]
        raw = body(answers.get(f"{kind} {id_}", answers.get(kind, content)))
        size = len(raw)
        return client._Answer(200, {}, call.parse(raw, 0), size)

    made._client._exchange = exchange  # type: ignore[assignment, method-assign]
    return made


def report(made: Galaxy, shown: Any) -> object:
    return made.report(InvocationId(shown["id"]))


STEPS = ("text", "text, regex", "several", "float, range", "pairs", "nested", "a")


def opened(export: Any) -> Any:
    """Return the export of a workflow: some steps, their states not as texts in it."""
    steps = export["steps"].items()
    export["steps"] = {place: s for place, s in steps if s["label"] in STEPS}
    for step in export["steps"].values():
        if "tool_state" in step:
            step["tool_state"] = json.loads(step["tool_state"])
    return export


def with_form(made: Galaxy, _: Any) -> object:
    export = recorded("export_every_kind")
    with made._client.domain_errors():
        form = made._client.get("workflows/w1/download", style="run")
        read = declarations.workflow("a", WorkflowId("w1"), export)
        return declarations.with_form(read, export, form)


CASES: dict[str, tuple[str, Any, Callable[[Galaxy, Any], object]]] = {
    **{
        name: ("report", recorded(name), report)
        for name in (
            "run_first_fails",
            "run_mapped",
            "run_sub_fails",
            "run_wrong_when",
            "run_new",
        )
    },
    "outputs": (
        "report",
        recorded("run_success"),
        lambda made, shown: made.outputs(InvocationId(shown["id"])),
    ),
    **{
        name: (
            "details",
            recorded(name),
            lambda made, shown: made.details(JobId(shown["id"])),
        )
        for name in ("job_failed", "job_never_run")
    },
    "an output's dataset": (
        "dataset",
        {"id": "d1", "name": "a", "state": "ok", "misc_info": "b", "file_size": 3},
        lambda made, _: made.outputs(RUN),
    ),
    "data": (
        "dataset d1",
        {"id": "d1", "name": "a", "state": "ok", "extension": "txt", "deleted": False},
        lambda made, _: made.describe(GalaxyData(Src.HDA, "d1")),
    ),
    "a collection": (
        "collection c1",
        {
            "id": "c1",
            "name": "a",
            "collection_type": "list",
            "populated_state": "ok",
            "elements_states": {"ok": 2, "queued": 1},
            "elements_datatypes": ["txt"],
        },
        lambda made, _: made.describe(GalaxyData(Src.HDCA, "c1")),
    ),
    "datatypes": (
        "datatypes",
        recorded("datatypes"),
        lambda made, _: made.datatypes(),
    ),
    "converters": (
        "converters",
        [{"source": "tabular", "target": "json"}],
        lambda made, _: made.datatypes(),
    ),
    "paused datasets": (
        "datasets",
        recorded("paused_datasets"),
        lambda made, _: report(made, FAILED_RUN),
    ),
    "the output of a failed job, and that of its replacement": (
        "datasets",
        [
            {
                "id": f"d{number}",
                "hid": 2,
                "creating_job": job,
                "create_time": f"2026-11-24T06:38:5{number}.8",
            }
            for number, job in enumerate((FAILED_RUN["steps"][1]["jobs"][0]["id"], "b"))
        ],
        lambda made, _: report(made, FAILED_RUN),
    ),
    "contents": (
        "datasets",
        [{"id": "d1", "history_content_type": "dataset"}],
        lambda made, _: made.contents(HistoryId("h1")),
    ),
    "bulk": (
        "summaries",
        recorded("bulk"),
        lambda made, shown: made.summaries([InvocationId(s["id"]) for s in shown]),
    ),
    "what was invoked": (
        "report",
        recorded("run_bad_parameter"),
        lambda made, shown: made.invoked(InvocationId(shown["id"])),
    ),
    "user": ("identity", recorded("user"), lambda made, _: made.identity()),
    **{
        name: (
            kind,
            recorded(name) if kind == "workflow" else opened(recorded(name)),
            lambda made, _: made.find(
                AllowedWorkflow(name="a", workflow_id=WorkflowId("w1"))
            ),
        )
        for kind, name in (
            ("workflow", "workflow"),
            ("export", "export_every_kind"),
            ("export", "export_missing_tools"),
        )
    },
    "run form": ("run_form", recorded("run_form_every_kind"), with_form),
    "workflows": (
        "workflows",
        [
            {
                "id": "w1",
                "name": WORKFLOW,
                "deleted": False,
                "owner": "ada",
                "tags": ["dna"],
                "annotations": ["Sorts."],
                "update_time": "2026-11-24T06:38:55.237643",
            }
        ],
        lambda made, _: made.names(),
    ),
    "a history made": ("create", {"id": "h1"}, lambda made, _: made.create("a")),
    "histories": (
        "marked",
        [{"id": "h1", "name": "a"}],
        lambda made, _: made.marked("a"),
    ),
    "runs": ("runs", [{"id": "i1"}], lambda made, _: made.runs_in(HistoryId("h1"))),
    "a version": ("version", {"version_major": "26.1"}, lambda made, _: made.about()),
}


def places(content: Any) -> Iterator[tuple[str | int, ...]]:
    """Yield the path to every node of a JSON value."""
    yield ()
    members: list[tuple[str | int, Any]] = []
    if isinstance(content, dict):
        members = list(content.items())
    elif isinstance(content, list):
        members = list(enumerate(content[:3]))
    for key, member in members:
        yield from ((key, *path) for path in places(member))


def replaced(content: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """Return a JSON value with one node replaced."""
    if not path:
        return value
    copy = content.copy()
    copy[path[0]] = replaced(content[path[0]], path[1:], value)
    return copy


def verify(value: Any, name: str = "") -> None:  # noqa: C901 - one case a type
    """Check that a value can be stored, shown and put into an address."""
    match value:
        case None | bool() | Enum():
            return
        case str():
            assert len(value) <= TEXT_LIMIT, name
            assert "\0" not in value.encode().decode(), name
            if name in IDS:
                engine_id(value)
        case int() | float():
            assert abs(value) < 2**63, name
        case Mapping():
            for key, member in value.items():
                verify(key)
                verify(member)
        case list() | tuple() | set() | frozenset():
            for member in value:
                verify(member, name)
        case _ if attrs.has(type(value)):
            for attribute in attrs.fields(type(value)):
                verify(getattr(value, attribute.name), attribute.name)
        case _:
            assert hasattr(value, "utcoffset"), value


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_part_is_garbage(
    case: tuple[str, Any, Callable[[Galaxy, Any], object]],
) -> None:
    kind, content, ask = case
    if kind == "report":  # and not of sub-workflows
        kind = f"report {content['id']}"
    answers = {f"report {FAILED_RUN['id']}": FAILED_RUN, kind: content}
    made = galaxy(answers)
    verify(ask(made, content))
    for path in places(content):
        for value in HOSTILE:
            answers[kind] = replaced(content, path, value)
            made._names = Names(made._client, lambda: 0.0)  # an empty cache
            made._declarations = Declarations(made._client, lambda: 0.0)
            made._datatypes = None
            try:
                result = ask(made, content)
            except (RunnerError, WorkflowNotFound, WorkflowUnreadable) as error:
                assert len(str(error)) < 2 * TEXT_LIMIT  # noqa: PT017 - or none
                continue
            verify(result)
            if isinstance(result, InvocationReport):
                verify(judge(result))


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_an_invoke_answered_with_garbage_is_of_unknown_outcome(value: Any) -> None:
    for content in (value, {"id": value}):
        with pytest.raises(OutcomeUnknown):
            galaxy({"invoke": content}).invoke(WorkflowId("w1"), {}, HistoryId("h1"))


def test_an_answer_about_another_run_is_none() -> None:
    other = {**recorded("run_success"), "id": "00000000000000ff"}
    made = galaxy({"report": other})
    with pytest.raises(RunnerUnavailable, match="not 'f2db41e1fa331b3e'"):
        made.report(RUN)
    with pytest.raises(RunnerUnavailable):
        made.outputs(RUN)


def test_sub_workflows_without_end() -> None:
    shown = recorded("run_success")
    shown["steps"][0]["subworkflow_invocation_id"] = shown["id"]
    with pytest.raises(RunnerUnavailable, match="more than 20 deep"):
        report(galaxy({"report": shown}), shown)


def test_pages_without_end() -> None:
    page = [{"id": f"i{n}"} for n in range(100)]
    with pytest.raises(RunnerUnavailable, match="of memory to read"):
        galaxy({"runs": page}).runs_in(HistoryId("h1"))


# --- the limits of one call ---------------------------------------------------


@pytest.fixture
def call() -> Call:
    return Call(timeout=30, large=Lock())


def test_a_call_has_a_number_of_requests(call: Call) -> None:
    for _ in range(MAX_REQUESTS_OF_CALL):
        call.begin_request()
    with pytest.raises(TooMuch, match="more than 1000 requests"):
        call.begin_request()


def test_a_call_has_a_deadline() -> None:
    with pytest.raises(TooMuch, match="more than -4 s"):
        Call(timeout=-1, large=Lock()).begin_request()


@pytest.mark.parametrize(
    "item", [b"[]", b"{}", b'{"a":{}}', b'"xy"', b"[[0]]", b"12345", b"0"]
)
def test_memory_is_estimated_before_it_is_used(item: bytes, call: Call) -> None:
    content = bytearray(many(item, 2**20))
    tracemalloc.start()
    kept = call.parse(content, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept
    assert peak < call._memory
    large = bytearray(many(item, 24 * 2**20))
    if 24 * peak > MAX_MEMORY:
        with pytest.raises(TooMuch, match="more than 192 MiB of memory"):
            call.parse(large, 0)


def test_an_invocation_of_ten_thousand_jobs_is_read(call: Call) -> None:
    job = json.dumps(recorded("run_mapped")["steps"][1]["jobs"][0])
    assert len(call.parse(bytearray(many(job.encode(), 10_000 * len(job))), 0)) > 9000


@pytest.mark.parametrize("text", [b"[" * 100_000, b"\xff", b"", b"1" * 5000])
def test_what_is_no_json(text: bytes, call: Call) -> None:
    assert call.parse(bytearray(text), 0) is NOT_JSON


def test_one_call_at_a_time_has_large_answers() -> None:
    large = Lock()
    first, second = Call(30, large), Call(30, large)
    first.receive(SMALL_ANSWER + 1, 0)
    first.receive(SMALL_ANSWER + 2, 0)
    second.receive(SMALL_ANSWER, 0)
    with pytest.raises(TooMuch, match="others were read"):
        second.receive(SMALL_ANSWER + 1, 0)
    first.end()
    second.receive(SMALL_ANSWER + 1, 0)
