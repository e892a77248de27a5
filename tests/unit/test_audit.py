"""Who did what is recorded by the use cases, whoever calls them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from attrs import evolve, field, frozen
from structlog.testing import capture_logs

from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryAuditLog,
    MemoryDatasets,
    MemoryStore,
    MemoryTokens,
)
from galaxy_jobs.domain import DatasetId, GalaxyState, Scope, WorkflowRunner
from galaxy_jobs.domain.errors import (
    AlreadyEnded,
    DatasetNotFound,
    OutcomeUnknown,
    StoreUnavailable,
)
from galaxy_jobs.domain.model.audit import Action, AuditEntry, Kind
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.use_cases import (
    AnswerReview,
    ChangeDataset,
    CreateToken,
    PollPolicy,
    Record,
    RefreshJob,
    RegisterDataset,
    RemoveDataset,
    Rerun,
    RevokeToken,
)
from galaxy_jobs.entrypoints import logs
from tests.support.build import a_report, a_step
from tests.support.faults import When
from tests.support.http_world import in_memory
from tests.support.scripted import ScriptedGalaxy
from tests.support.world import HDA, KEY, REQUEST, World


ADA = Viewer(owner="ada", sees_all=True)


@frozen
class Books:
    """A world whose use cases record what they do, and what is recorded."""

    world: World = field(factory=World.made)
    failed: list[AuditEntry] = field(factory=list)
    log: MemoryAuditLog = field(init=False)
    record: Record = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "log", MemoryAuditLog(self.world.store))
        record = Record(
            self.world.faults.around("audit", self.log),
            failed=lambda entry, _: self.failed.append(entry),
            request_id=lambda: "r1",
        )
        object.__setattr__(self, "record", record)

    def submit(self, *args: Any) -> Any:
        return evolve(self.world.submit, record=self.record)(REQUEST, ADA, *args)

    def done(self) -> list[tuple[Action, Kind, str]]:
        """Return what was done, oldest first, and forget it."""
        entries = list(self.log.entries())[::-1]
        self.world.store.audit.clear()
        for entry in entries:
            assert (entry.owner, entry.request_id) == ("ada", "r1")
            assert entry.at is not None
        return [(entry.action, entry.kind, entry.object_id) for entry in entries]


@pytest.fixture
def books() -> Books:
    return Books()


def test_jobs(books: Books) -> None:
    world = books.world
    job = books.submit().invocation_id
    assert books.done() == [(Action.SUBMIT, Kind.JOB, job)]
    submit = evolve(world.submit, record=books.record)
    again = Rerun(world.rerun.invocations, submit)(job, ADA).invocation_id
    assert books.done() == [(Action.RERUN, Kind.JOB, again)]
    evolve(world.cancel, record=books.record)(again, ADA)
    assert books.done() == [(Action.CANCEL, Kind.JOB, again)]
    refresh = RefreshJob(
        world.rerun.invocations,
        world.galaxy,
        world.clock,
        PollPolicy(),
        books.record,
    )
    refresh(job, ADA)
    assert books.done() == [(Action.REFRESH, Kind.JOB, job)]


def test_what_is_not_done_is_not_recorded(books: Books) -> None:
    job = books.submit(KEY).invocation_id
    assert books.submit(KEY).replayed
    assert books.done() == [(Action.SUBMIT, Kind.JOB, job)]
    books.world.settle()
    with pytest.raises(AlreadyEnded):
        evolve(books.world.cancel, record=books.record)(job, ADA)
    assert books.done() == []


def test_a_submission_whose_outcome_is_not_known_is_recorded(books: Books) -> None:
    books.world.galaxy.fail_next("invoke", OutcomeUnknown("No answer."), after=True)
    with pytest.raises(OutcomeUnknown) as error:
        books.submit()
    id_ = str(error.value.submission_id)
    assert books.done() == [(Action.SUBMIT, Kind.SUBMISSION, id_)]


def test_a_review_is_one_deed(books: Books) -> None:
    world = books.world
    job = books.submit().invocation_id
    waits = a_report(a_step(review=True, needs=[]), state=GalaxyState.READY)
    galaxy = ScriptedGalaxy(
        reports={job: waits}, reviewed={True: waits}, who=world.galaxy.who
    )
    runner, invocations = cast("WorkflowRunner", galaxy), world.rerun.invocations
    refresh = RefreshJob(invocations, runner, world.clock, PollPolicy(), books.record)
    books.done()
    AnswerReview(invocations, runner, refresh, books.record)(
        job, ADA, "0", approve=True
    )
    assert books.done() == [(Action.REVIEW, Kind.JOB, job)]


def test_datasets(books: Books) -> None:
    world = books.world
    datasets = MemoryDatasets(world.store)
    id_ = DatasetId("d2")
    register = RegisterDataset(datasets, world.clock, record=books.record)
    register("reads", HDA, ADA, id_)
    ChangeDataset(datasets, books.record)(id_, ADA, name="more reads")
    RemoveDataset(datasets, books.record)(id_, ADA)
    with pytest.raises(DatasetNotFound):
        RemoveDataset(datasets, books.record)(id_, ADA)
    assert books.done() == [
        (Action.REGISTER, Kind.DATASET, id_),
        (Action.RENAME, Kind.DATASET, id_),
        (Action.DELETE, Kind.DATASET, id_),
    ]


def test_tokens() -> None:
    store = MemoryStore(ManualClock())
    log = MemoryAuditLog(store)
    record = Record(log, failed=lambda *_: None)
    tokens, clock = MemoryTokens(store), ManualClock()
    token = CreateToken(tokens, clock, record=record)("web", Scope.READ).token
    RevokeToken(tokens, clock, record)("web")
    revoked, created = log.entries()
    assert (created.action, revoked.action) == (Action.CREATE, Action.REVOKE)
    for entry in (created, revoked):
        assert (entry.owner, entry.request_id) == (None, None)
        assert (entry.kind, entry.object_id) == (Kind.TOKEN, token.token_id)


def test_what_cannot_be_recorded_is_done_and_reported(books: Books) -> None:
    gone = StoreUnavailable("The database is gone.")
    books.world.faults.raises("audit.record", When.BEFORE, gone)
    done = books.submit()
    [entry] = books.failed
    assert (entry.action, entry.object_id) == (Action.SUBMIT, done.invocation_id)
    books.world.faults.strikes.clear()
    books.world.settle()
    assert books.world.job(done.invocation_id).state.value == "completed"


def test_the_log_has_what_could_not_be_recorded() -> None:
    entry = AuditEntry(
        owner="ada",
        action=Action.CANCEL,
        kind=Kind.JOB,
        object_id="inv1",
        at=datetime.now(UTC),
    )
    with capture_logs() as logged:
        logs.not_recorded(entry, StoreUnavailable("gone"))
    [line] = logged
    assert line["log_level"] == "error"
    assert (line["owner"], line["action"], line["object_id"]) == (
        "ada",
        "cancel",
        "inv1",
    )
    assert logs.request_id() is None


def test_over_http_the_request_and_the_token_are_recorded() -> None:
    tokens = MemoryTokens(MemoryStore())
    token = CreateToken(tokens, lambda: datetime.now(UTC))("web", Scope.SUBMIT)
    with in_memory(tokens=tokens) as world:
        for dataset_id in ("reads", "other"):
            world.site.dataset(dataset_id)
        world.galaxy.add_workflow("sort")
        headers = {"Authorization": f"Bearer {token.text}", "X-Request-ID": "mine"}
        body = {"dataset_id": "reads", "workflow_name": "sort"}
        made = world.api.post("/jobs", json=body, headers=headers).json()
        path = f"/jobs/{made['invocation_id']}/cancel"
        assert world.api.post(path, headers=headers).status_code == 202
        assert world.api.delete("/datasets/other", headers=headers).status_code == 204
        entries = world.site.container.audit_log().entries()
        assert [(e.action, e.object_id, e.owner, e.request_id) for e in entries] == [
            (Action.DELETE, "other", "web", "mine"),
            (Action.CANCEL, made["invocation_id"], "web", "mine"),
            (Action.SUBMIT, made["invocation_id"], "web", "mine"),
        ]
