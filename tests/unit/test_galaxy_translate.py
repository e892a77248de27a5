"""Reading Galaxy's answers, as recorded by ``tests/integration/record.py``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import pauses, translate
from galaxy_jobs.adapters.galaxy.client import Client
from galaxy_jobs.adapters.galaxy.releases import COMPLETED, SUB_WORKFLOWS
from galaxy_jobs.adapters.galaxy.translate import Pause, Unreadable
from galaxy_jobs.domain import (
    GalaxyData,
    GalaxyState,
    InvocationId,
    InvocationReport,
    InvocationState,
    JobsSummary,
    JobState,
    Json,
    Output,
    Source,
    Src,
    UrlData,
    judge,
)
from galaxy_jobs.domain.use_cases.downloads import whole_file


VERSIONS = sorted(Path(__file__).with_name("recorded").iterdir())
FOLDER = VERSIONS[-1]


@pytest.fixture(params=VERSIONS, ids=lambda folder: folder.name, autouse=True)
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version of Galaxy whose answers are read: each test reads those of all."""
    folder: Path = request.param
    monkeypatch.setitem(globals(), "FOLDER", folder)
    return folder.name


def recorded(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["answer"]


def no_sub(invocation_id: InvocationId) -> InvocationReport:
    raise AssertionError(f"unexpected sub-workflow {invocation_id}")


def run(name: str) -> InvocationReport:
    return translate.invocation(recorded(f"run_{name}"), no_sub)


def states(report: InvocationReport) -> list[str]:
    return [job.state.value for job in report.jobs()]


# --- versions -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("major", "minor", "read"),
    [
        ("26.1", "2", "26.1.2"),
        ("25.0", "", "25.0"),
        ("25.0", None, "25.0"),
        ("26.2", "0.dev0", "26.2.0.dev0"),
        ("24.2", "rc1", "24.2.rc1"),
    ],
)
def test_versions(major: str, minor: object, read: str) -> None:
    shown = {"version_major": major, "version_minor": minor}
    assert translate.version(shown) == read


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"version_major": 26.1},
        {"version_major": "26.1\n26.1"},
        {"version_major": "26.1", "version_minor": "2 <b>"},
        {"version_major": "9" * 99},
        {"version_major": "26.1", "version_minor": "x" * 99},
    ],
)
def test_a_version_that_is_none(shown: dict[str, object]) -> None:
    with pytest.raises(Unreadable):
        translate.version(shown)


# --- values of inputs ---------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (GalaxyData(Src.LDDA, "d"), {"src": "ldda", "id": "d"}),
        (
            UrlData("https://example.org/x", "txt"),
            {"src": "url", "url": "https://example.org/x", "ext": "txt"},
        ),
        (0, 0),
        (None, None),
        (["a"], ["a"]),
    ],
    ids=str,
)
def test_values_of_inputs(value: Source | Json, expected: object) -> None:
    assert translate.input_value(value) == expected


# --- invocations --------------------------------------------------------------


def test_a_run_that_is_new_has_no_steps() -> None:
    report = run("new")
    assert report.state is GalaxyState.NEW
    assert report.steps == ()
    assert judge(report).state is InvocationState.QUEUED


@pytest.mark.parametrize(
    ("name", "galaxy_state", "jobs", "verdict"),
    [
        ("success", "completed", ["ok"], "completed"),
        ("slow", "scheduled", ["running", "new"], "in_progress"),
        ("cancelled", "cancelled", ["deleted", "deleted"], "cancelled"),
        ("skipped", "completed", ["skipped", "ok"], "completed"),
        ("no jobs", "completed", [], "completed"),
        ("wrong when", "failed", [], "failed"),
        ("unreachable", "failed", [], "failed"),
        ("bad parameter", "completed", ["error", "paused"], "in_progress"),
    ],
)
def test_recorded_runs(
    name: str, galaxy_state: str, jobs: list[str], verdict: str, version: str
) -> None:
    report = run(name.replace(" ", "_"))
    if galaxy_state == "completed" and COMPLETED.affects(version):
        galaxy_state = "scheduled"
    assert report.state.value == galaxy_state
    assert states(report) == jobs
    assert judge(report).state.value == verdict


def test_a_mapped_step_lists_all_its_jobs() -> None:
    report = run("mapped")
    jobs = {step.label: [job.state for job in step.jobs] for step in report.steps}
    assert sorted(state.value for state in jobs["each"]) == ["error", "ok", "ok"]
    assert len(jobs["again"]) == 3
    assert not any(step.expanding for step in report.steps)
    assert report.steps[1].tool == "gxj_text"


def test_an_unfinished_mapped_step_is_expanding() -> None:
    shown = recorded("run_mapped")
    shown["steps"][1]["state"] = "ready"
    (step,) = [
        step for step in translate.invocation(shown, no_sub).steps if step.expanding
    ]
    assert (step.label, step.scheduled) == ("each", False)


def test_sub_workflows_are_part_of_the_report() -> None:
    requested: list[InvocationId] = []

    def report_sub(invocation_id: InvocationId) -> InvocationReport:
        requested.append(invocation_id)
        return translate.invocation(recorded("run_sub_fails_inside"), no_sub)

    report = translate.invocation(recorded("run_sub_fails"), report_sub)
    assert requested == [recorded("run_sub_fails_inside")["id"]]
    assert [path for path, _ in report.walk()] == [
        ("text",),
        ("nested",),
        ("nested", "text"),
        ("nested", "inner good"),
        ("nested", "inner bad"),
    ]
    failure = judge(report).failure
    assert failure is not None
    assert failure.path == ("nested", "inner bad")


def test_the_time_since_a_job_changed_is_told_by_galaxys_own_clock() -> None:
    shown = recorded("run_first_fails")
    times = [job["update_time"] for step in shown["steps"] for job in step["jobs"]]
    last = datetime.fromisoformat(max(times)).replace(tzinfo=UTC)
    at = last + timedelta(seconds=3)
    assert translate.invocation(shown, no_sub, at).quiet_for == timedelta(seconds=3)
    assert translate.invocation(shown, no_sub).quiet_for is None
    assert translate.invocation(recorded("run_no_jobs"), no_sub, at).quiet_for is None


def test_jobs_have_times_in_utc() -> None:
    shown = recorded("run_success")
    [job] = translate.invocation(shown, no_sub).steps[1].jobs
    [answer] = shown["steps"][1]["jobs"]
    for time, key in ((job.created_at, "create_time"), (job.updated_at, "update_time")):
        assert time is not None
        assert time.isoformat() == f"{answer[key]}+00:00"
    answer["create_time"] = "2026-01-02T12:00:00+01:00"
    answer["update_time"] = "long ago"
    [job] = translate.invocation(shown, no_sub).steps[1].jobs
    assert job.created_at == datetime(2026, 1, 2, 11, tzinfo=UTC)
    assert job.updated_at is None


@pytest.mark.parametrize("time", [None, 5, "", "now", "9999-99-99", []])
def test_a_time_that_cannot_be_read_is_not_known(time: Any) -> None:
    shown = recorded("run_first_fails")
    shown["steps"][1]["jobs"][0]["update_time"] = time
    at = datetime(2026, 1, 2, tzinfo=UTC)
    assert translate.invocation(shown, no_sub, at).quiet_for is None


def test_steps_come_in_the_workflows_order() -> None:
    shown = recorded("run_first_fails")
    shown["steps"].reverse()
    steps = translate.invocation(shown, no_sub).steps
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]


def test_an_unknown_state_of_a_job_is_not_settled() -> None:
    for word in ("hibernating", "blocked", "unknown"):
        shown = recorded("run_success")
        shown["steps"][1]["jobs"][0]["state"] = word
        report = translate.invocation(shown, no_sub)
        assert states(report) == ["unknown"]
        assert judge(report).state is InvocationState.IN_PROGRESS


def break_it(change: Callable[[dict[str, Any]], object]) -> None:
    shown = recorded("run_success")
    change(shown)
    translate.invocation(shown, no_sub)


@pytest.mark.parametrize("key", ["id", "state", "steps", "history_id"])
def test_an_invocation_without_a_required_key_is_unreadable(key: str) -> None:
    with pytest.raises(Unreadable, match=key):
        break_it(lambda shown: shown.pop(key))


def test_an_unknown_state_of_an_invocation_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="hibernating"):
        break_it(lambda shown: shown.update(state="hibernating"))


@pytest.mark.parametrize("content", [None, [], "x", 1, {}, {"steps": 1}], ids=str)
def test_an_answer_of_another_shape_is_unreadable(content: object) -> None:
    with pytest.raises(Unreadable):
        translate.invocation(content, no_sub)


# --- messages -----------------------------------------------------------------


def test_recorded_messages() -> None:
    assert run("wrong_when").reasons == ("when_not_boolean",)
    assert run("wrong_when").messages == (
        "The condition of a step is neither true nor false, at step 2: Type is: int.",
    )
    assert run("unreachable").reasons == ("dataset_failed",)
    assert run("unreachable").messages == (
        "A dataset that the run needs has failed or could not be fetched, at step 1.",
    )
    assert run("cancelled").reasons == ("user_request",)
    assert run("cancelled").messages == ("The run was cancelled on request.",)
    assert run("success").messages == ()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            {
                "reason": "job_failed",
                "workflow_step_id": 4,
                "dependent_workflow_step_id": 2,
                "job_id": "j",
            },
            "A job that the run depends on has failed, at step 5, because of step 3.",
        ),
        (
            {
                "reason": "output_not_found",
                "workflow_step_id": 1,
                "workflow_step_index_path": [2, 0],
                "output_name": "out",
            },
            (
                "An output that the run needs was not made, at step 3 > step 1 > "
                "step 2: out."
            ),
        ),
        (
            {"reason": "unexpected_failure", "details": "It broke.", "x": 1},
            "An unexpected failure in Galaxy: It broke.",
        ),
        ({"reason": "of_tomorrow"}, "Galaxy's reason: of_tomorrow."),
    ],
)
def test_messages_become_sentences(message: dict[str, Any], expected: str) -> None:
    assert translate.sentence(message) == expected


def test_warnings_are_not_reasons() -> None:
    shown = recorded("run_success")
    shown["messages"] = [{"reason": "workflow_output_not_found", "output_name": "x"}]
    report = translate.invocation(shown, no_sub)
    assert report.messages == report.reasons == ()


# --- bulk, jobs, outputs ------------------------------------------------------


def test_the_bulk_answer(version: str) -> None:
    shown = recorded("bulk")
    summaries = translate.summaries(shown)
    assert list(summaries) == [summary["id"] for summary in shown]
    ids = {
        name: InvocationId(recorded(f"run_{name}")["id"])
        for name in ("success", "first_fails", "sub_fails", "mapped", "cancelled")
    }
    by_name = {name: summaries[id_] for name, id_ in ids.items()}
    assert by_name == {
        "success": JobsSummary(states={"ok": 1}, populated="ok"),
        "first_fails": JobsSummary(
            states={"error": 1, "ok": 1, "paused": 2}, populated="ok"
        ),
        "sub_fails": JobsSummary(
            states={} if SUB_WORKFLOWS.affects(version) else {"ok": 1, "error": 1},
            populated="ok",
        ),
        "mapped": JobsSummary(
            states={"ok": 4, "error": 1, "paused": 1}, populated="ok"
        ),
        "cancelled": JobsSummary(states={"deleted": 2}, populated="failed"),
    }


@pytest.mark.parametrize(
    "part",
    [
        None,
        [1],
        {},
        {"id": "a", "states": [], "populated_state": ""},
        {"id": "a", "states": {"ok": -1}, "populated_state": "ok"},
        {"id": "a", "states": {"ok": 1.5}, "populated_state": "ok"},
        {"id": "a", "states": {"o" * 1000: 1}, "populated_state": "ok"},
        {"id": "a/b", "states": {"ok": 1}, "populated_state": "ok"},
    ],
    ids=repr,
)
def test_parts_of_the_bulk_answer_that_are_none_are_left_out(part: object) -> None:
    known = {"id": "i1", "states": {"ok": 1}, "populated_state": "ok"}
    assert list(translate.summaries([part, known])) == ["i1"]


def test_a_job_that_failed() -> None:
    details = translate.details(recorded("job_failed"), None)
    assert details.tool == "gxj_text"
    assert details.exit_code == 3
    assert details.stderr is not None
    assert "asked to fail" in details.stderr
    assert details.message == "Fatal error: Exit code 3 ()"


def test_a_job_that_never_ran() -> None:
    info = recorded("output_never_made")["misc_info"]
    details = translate.details(recorded("job_never_run"), info)
    assert details.exit_code is None
    assert details.stderr is None
    assert details.message is not None
    assert "'999'" in details.message


def test_only_the_tail_of_stderr_is_kept() -> None:
    shown = recorded("job_failed") | {"tool_stderr": "x" * 9000 + "the end"}
    stderr = translate.details(shown, None).stderr
    assert stderr is not None
    assert len(stderr) == 4000
    assert stderr.endswith("the end")


def test_outputs() -> None:
    shown = recorded("run_mapped")
    labelled = sorted(translate.outputs_of(shown))
    assert [(label, src) for label, src, _ in labelled] == [
        ("again_out", "hdca"),
        ("each_out", "hdca"),
    ]
    dataset = recorded("output_never_made")
    assert translate.output("x", "hda", dataset["id"], dataset) == Output(
        label="x",
        src="hda",
        id=dataset["id"],
        name=dataset["name"],
        extension="txt",
        size=0,
        state="error",
    )
    assert translate.output("x", "hda", "i", {}) == Output(label="x", src="hda", id="i")


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("name", "state", "is_whole"),
    [
        ("ok", "ok", True),
        ("error", "error", False),
        ("uploading", None, False),
        ("deleted", "deleted", False),
        ("purged", "purged", False),
    ],
)
def test_an_output_is_downloaded_if_it_is_whole(
    name: str, state: str | None, *, is_whole: bool, hidden: bool
) -> None:
    file = VERSIONS[-1] / f"data_{name}.json"  # recorded of the newest alone
    content = json.loads(file.read_text())["answer"] | {"visible": not hidden}
    output = translate.output("x", "hda", content["id"], content)
    assert output.state == state or state is None
    assert output.hidden is hidden
    assert (whole_file(output) is not None) is is_whole


def test_outputs_without_labels_and_values_are_shown() -> None:
    """In the shape of `WorkflowInvocation.to_dict` of Galaxy 26.1."""
    shown = recorded("run_success")
    (made,) = shown["outputs"].values()
    values = {"score": 0.5, "mode": "fast", "none": None, "parts": ["a", 1]}
    shown |= {"outputs": {"output1 (Step 2)": made}, "output_values": values}
    shown["output_collections"] = {"output1 (Step 2)": made}
    assert list(translate.outputs_of(shown)) == [
        ("output1 (Step 2)", "hda", made["id"]),
        ("output1 (Step 2)", "hdca", made["id"]),
    ]
    outputs = list(translate.values_of(shown))
    assert {output.label: output.value for output in outputs} == values
    assert all(whole_file(output) is None for output in outputs)


@pytest.mark.parametrize("content", [None, {}, "list"])
def test_a_bulk_answer_that_is_no_list_is_unreadable(content: object) -> None:
    with pytest.raises(Unreadable):
        translate.summaries(content)


# --- reasons for paused jobs ------------------------------------------------------

DIRECT, TRANSITIVE = (dataset["misc_info"] for dataset in recorded("paused_datasets"))
QUOTA = (
    "Execution of this dataset's job is paused because you were over your disk quota "
    "at the time it was ready to run"
)


@pytest.mark.parametrize(
    ("info", "pause"),
    [
        (DIRECT, Pause.BROKEN_INPUT),
        (TRANSITIVE, Pause.PAUSED_INPUT),
        (
            "Input dataset 'a' is in error state. To resume this job fix …",
            Pause.BROKEN_INPUT,
        ),
        ("Input dataset 'a' was deleted before the job started.", Pause.BROKEN_INPUT),
        ("Input dataset 'a' failed to properly set metadata.", Pause.BROKEN_INPUT),
        (f"{TRANSITIVE}, Input dataset 'b' is in error state.", Pause.BROKEN_INPUT),
        (QUOTA, Pause.OTHER),
        ("Execution of this dataset's job is paused", Pause.OTHER),
        ("", Pause.OTHER),
        (None, Pause.OTHER),
    ],
)
def test_reasons_on_paused_outputs(info: str | None, pause: Pause) -> None:
    assert translate.pause(info) == pause


class ScriptedClient(Client):
    """A client with fixed answers: the paused datasets, and others by path."""

    def __init__(
        self,
        *infos: str | None,
        elsewhere: dict[str, Any] | None = None,
        in_error: Sequence[str] = (),
    ) -> None:
        super().__init__("http://127.0.0.1:9", "key", timeout=1)
        shown = recorded("run_first_fails")
        self.listed = [
            {"id": f"d{place}", "creating_job": job["id"], "misc_info": info}
            for place, (job, info) in enumerate(
                zip(
                    (j for j in jobs(shown) if j["state"] == "paused"),
                    infos,
                    strict=False,
                )
            )
        ]
        given = f"datasets/{shown['inputs']['0']['id']}"
        self.in_error = [{"id": id_} for id_ in in_error]
        self.others = {
            given if path == GIVEN else path: answer
            for path, answer in (elsewhere or {}).items()
        }

    def get(self, path: str, **params: Any) -> Any:
        assert path == "datasets"
        assert params["q"] == "state"
        return {"paused": self.listed, "error": self.in_error}[params["qv"]]

    def make_get_request(self, url: str, **kwargs: Any) -> Any:
        parsed = self.others.get(url.rpartition("/api/")[2], {})

        class Answer:
            status_code = 200
            content = b"..."

            def json(self) -> Any:
                return parsed

        return Answer()


def jobs(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [job for step in shown["steps"] for job in step["jobs"]]


def paused(client: Client) -> list[str]:
    shown = recorded("run_first_fails")
    report = pauses.with_blocked(client, translate.invocation(shown, no_sub), shown)
    return states(report)[-2:]


GIVEN = "the input of the run"


@pytest.mark.parametrize(
    ("infos", "expected"),
    [
        ([DIRECT, TRANSITIVE], ["blocked", "blocked"]),
        ([DIRECT, DIRECT], ["blocked", "blocked"]),
        ([QUOTA, QUOTA], ["paused", "paused"]),
        # A job that waits for a paused one may go on when that one does.
        ([QUOTA, TRANSITIVE], ["paused", "paused"]),
        ([DIRECT, QUOTA], ["blocked", "paused"]),
        # An unknown reason may pass.
        ([DIRECT, None], ["blocked", "paused"]),
        ([DIRECT], ["blocked", "paused"]),
        ([], ["paused", "paused"]),
    ],
)
def test_paused_jobs_that_will_never_run(
    infos: list[str | None], expected: list[str]
) -> None:
    assert paused(ScriptedClient(*infos)) == expected


@pytest.mark.parametrize(
    ("elsewhere", "expected"),
    [
        ({GIVEN: {"state": "paused", "misc_info": DIRECT}}, "blocked"),
        ({GIVEN: {"state": "paused", "misc_info": QUOTA}}, "paused"),
        ({GIVEN: {"state": "ok"}}, "paused"),
        (
            {
                GIVEN: {
                    "state": "paused",
                    "misc_info": TRANSITIVE,
                    "creating_job": "j",
                },
                "jobs/j": {"inputs": {"a": {"src": "hda", "id": "far"}}},
                "datasets/far": {"state": "paused", "misc_info": DIRECT},
            },
            "blocked",
        ),
        (
            {
                GIVEN: {
                    "state": "paused",
                    "misc_info": TRANSITIVE,
                    "creating_job": "j",
                },
                "jobs/j": {"inputs": {"a": {"src": "hdca", "id": "c"}}},
                "dataset_collections/c": {
                    "elements": [
                        {"object": {"elements": [{"object": {"id": "far"}}]}},
                        {"object": None},
                    ]
                },
                "datasets/far": {"state": "paused", "misc_info": QUOTA},
            },
            "paused",
        ),
    ],
    ids=str,
)
def test_jobs_that_wait_for_data_outside_the_run(
    elsewhere: dict[str, Any], expected: str
) -> None:
    client = ScriptedClient(TRANSITIVE, TRANSITIVE, elsewhere=elsewhere)
    assert paused(client) == [expected, expected]


def taking(*ids: str, src: str = "hda") -> dict[str, Any]:
    return {"inputs": {id_: {"src": src, "id": id_} for id_ in ids}}


@pytest.mark.parametrize(
    ("infos", "first", "second", "expected"),
    [
        # No job has an output.
        ([], taking("bad"), taking("good"), ["blocked", "paused"]),
        ([], taking("good"), taking("good"), ["paused", "paused"]),
        ([], taking("good", "bad"), taking("bad"), ["blocked", "blocked"]),
        ([], taking("gone"), taking("bad"), ["blocked", "blocked"]),
        ([], taking("bad"), taking("held"), ["blocked", "blocked"]),
        ([], taking("good"), taking("held"), ["paused", "paused"]),
        ([], taking("far"), taking("bad"), ["blocked", "blocked"]),
        ([], taking("list", src="hdca"), taking("bad"), ["blocked", "blocked"]),
        # The first has one.
        ([DIRECT], {}, taking("bad"), ["blocked", "blocked"]),
        ([QUOTA], {}, taking("bad"), ["paused", "blocked"]),
        ([QUOTA], {}, taking("held"), ["paused", "paused"]),
        ([None], taking("bad"), taking("good"), ["paused", "paused"]),
    ],
    ids=str,
)
def test_paused_jobs_without_an_output_are_judged_by_their_inputs(
    infos: list[str | None],
    first: dict[str, Any],
    second: dict[str, Any],
    expected: list[str],
) -> None:
    shown = recorded("run_first_fails")
    ids = [job["id"] for job in jobs(shown) if job["state"] == "paused"]
    elsewhere = {
        f"jobs/{ids[0]}": first,
        f"jobs/{ids[1]}": second,
        "datasets/good": {"state": "ok"},
        "datasets/held": {"state": "paused"},
        "datasets/gone": {"state": "ok", "deleted": True},
        "datasets/far": {"state": "error"},
        "dataset_collections/list": {"elements": [{"object": {"id": "bad"}}]},
    }
    client = ScriptedClient(*infos, elsewhere=elsewhere, in_error=["bad"])
    assert paused(client) == expected


def test_the_search_for_the_reason_is_bounded() -> None:
    many = {
        f"datasets/d{n}": {"state": "paused", "misc_info": DIRECT} for n in range(50)
    }
    far = {"inputs": {str(n): {"src": "hda", "id": f"d{n}"} for n in range(50)}}
    given = {"state": "paused", "misc_info": TRANSITIVE, "creating_job": "j"}
    client = ScriptedClient(
        TRANSITIVE, TRANSITIVE, elsewhere={GIVEN: given, "jobs/j": far, **many}
    )
    assert paused(client) == ["paused", "paused"]


def test_states_of_jobs_are_those_of_galaxy() -> None:
    ours = {JobState.BLOCKED, JobState.UNKNOWN}
    assert {state.value for state in set(JobState) - ours} >= {
        "new", "resubmitted", "upload", "waiting", "queued", "running", "ok", "error",
        "failed", "paused", "deleting", "deleted", "stop", "stopped", "skipped",
    }  # fmt: skip


def test_elements_of_a_collection_may_be_in_several_histories() -> None:
    path = Path(__file__).parent / "recorded" / "26.1" / "made_collection.json"
    shown = json.loads(path.read_text())["answer"]
    found = translate.histories_of_elements(shown)
    assert set(found.values()) > {shown["history_id"]}
    assert set(found) == {element.id for element in translate.elements(shown)}
    bare = {"elements": [{"object": {"id": "f2db41e1fa331b3e"}}, {"object": None}]}
    assert translate.histories_of_elements(bare) == {"f2db41e1fa331b3e": None}
