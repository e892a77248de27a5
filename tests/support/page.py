"""The pages on a real socket, over a real PostgreSQL and a simulated Galaxy.

What stands on a page is put there through the repositories: in whatever state,
at whatever time.
"""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvicorn
from attrs import evolve, frozen
from dependency_injector import providers

from galaxy_jobs.adapters.http_server import Connection, Server
from galaxy_jobs.adapters.testing.memory import SimulatedGalaxy
from galaxy_jobs.domain import (
    BatchId,
    BatchRequest,
    Dataset,
    DatasetId,
    GalaxyData,
    HistoryId,
    Identity,
    Invocation,
    InvocationId,
    InvocationState,
    Problem,
    Progress,
    Request,
    Sighting,
    Src,
    StepSummary,
    Submission,
    SubmissionId,
)
from galaxy_jobs.domain.model.invocation import STALE_AFTER
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.entrypoints.app import create_app
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.settings import Settings
from tests.support.wait import until


WHO = Identity("https://galaxy.example.org", "user")


def steps(**states: str) -> tuple[StepSummary, ...]:
    """Make steps by their labels, each with its state and one job."""
    words = {"waiting": "new", "blocked": "paused", "failed": "error"}
    return tuple(
        StepSummary(
            index=index,
            label=label.replace("_", " "),
            tool=None if state == "input" else f"{label.partition('_')[0]}/2.1",
            state="ok" if state == "input" else state,
            jobs={} if state == "input" else {words.get(state, state): 1},
        )
        for index, (label, state) in enumerate(states.items())
    )


@frozen
class Site:
    """The pages and what is behind them."""

    url: str
    container: Container
    galaxy: SimulatedGalaxy

    def dataset(self, dataset_id: str, name: str = "Test data") -> None:
        self.container.datasets().add(
            Dataset(
                dataset_id=DatasetId(dataset_id),
                name=name,
                source=GalaxyData(Src.HDA, f"hda-{dataset_id}"[:40].replace("/", "-")),
                created_at=datetime.now(UTC),
            ),
            SERVICE,
        )

    def job(
        self,
        workflow: str,
        dataset_id: str,
        *sightings: Sighting,
        ago: timedelta = timedelta(0),
        each: timedelta = timedelta(seconds=20),
        parameters: Mapping[str, Any] | None = None,
        invocation_id: str | None = None,
        owner: str | None = None,
        **more: Any,
    ) -> InvocationId:
        """Record a job that was accepted then, and what was seen of it since."""
        now = datetime.now(UTC) - ago
        request = Request(
            dataset_id=DatasetId(dataset_id),
            workflow_name=workflow,
            parameters=parameters or {},
            **more,
        )
        submission = self.submission(request, now, owner)
        id_ = InvocationId(invocation_id or uuid4().hex[:16])
        self.accept(submission, id_, now)
        for number, sighting in enumerate(sightings, 1):
            self.see(id_, sighting, now + number * each)
        return id_

    def batch(
        self,
        workflow: str,
        dataset_ids: Sequence[str],
        *found: Sighting | Problem,
        ago: timedelta,
        labels: Mapping[str, str],
    ) -> BatchId:
        """Record a batch, and what was found of its first items."""
        at, day = datetime.now(UTC) - ago, timedelta(days=1)
        create = self.container.create_batch()
        request = BatchRequest.of(
            [(DatasetId(id_), {}, {}) for id_ in dataset_ids],
            workflow_name=workflow,
            parameters={},
            labels=labels,
        )
        recorded = evolve(create, submit=evolve(create.submit, clock=lambda: at))(
            request, SERVICE
        )
        for outcome in found:
            item = self.container.batches().begin(
                WHO, at=at, at_once=1000, max_active=0, deadline=day
            )
            assert item is not None
            if isinstance(outcome, Problem):
                rejected = item.rejected(outcome, at)
                self.container.submissions().save(item, rejected, look_in=None)
                continue
            id_ = InvocationId(uuid4().hex[:16])
            self.accept(item, id_, at)
            self.see(id_, outcome, at + ago / 2)
        return recorded.batch.batch_id

    def submission(
        self, request: Request, at: datetime, owner: str | None = None
    ) -> Submission:
        """Record a submission whose outcome is not known."""
        submission = Submission(
            submission_id=SubmissionId(uuid4()),
            identity=WHO,
            request=request,
            owner=owner,
            created_at=at,
            updated_at=at,
        )
        day = timedelta(days=1)
        self.container.submissions().open(submission, deadline=day, key_lifetime=day)
        return submission

    @contextmanager
    def sweeping(self) -> Iterator[None]:
        """Verify files while the block runs, as a poller does."""
        ended = threading.Event()

        def sweep() -> None:
            while not ended.wait(0.1):
                self.container.sweep_uploads()()

        thread = threading.Thread(target=sweep)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def accept(self, submission: Submission, id_: InvocationId, at: datetime) -> None:
        """Record that Galaxy accepted it."""
        after = evolve(
            submission.accepted(id_, at), history_id=HistoryId(uuid4().hex[:16])
        )
        store = self.container.submissions()
        # A poller would look at it from time to time.
        seen_since = datetime.now(UTC) - at
        invocation = after.invocation(id_, at, seen_since + STALE_AFTER)
        store.accept(submission, after, invocation)

    def see(
        self, id_: InvocationId, sighting: Sighting, at: datetime | None = None
    ) -> Invocation:
        """Record what a poll found."""
        invocations = self.container.invocations()
        before = invocations.get(id_, SERVICE)
        after = before.seen(sighting, at or datetime.now(UTC))
        invocations.save(before, after)
        return after


def seen(
    state: InvocationState,
    *,
    ok: int = 0,
    running: int = 0,
    waiting: int = 0,
    failed: int = 0,
    **more: Any,
) -> Sighting:
    """Make what a poll has found."""
    return Sighting(
        state=state,
        galaxy_state="scheduled",
        progress=Progress(
            total=ok + running + waiting + failed,
            ok=ok,
            running=running,
            waiting=waiting,
            failed=failed,
        ),
        **more,
    )


@contextmanager
def site(database_url: str, **instead: Any) -> Iterator[Site]:
    """Serve the pages, on a free port, until the end of the block.

    Args:
        database_url: Of a database with the schema.
        instead: What stands in for providers of the container, by their names.
    """
    galaxy = SimulatedGalaxy(who=WHO)
    home = tempfile.TemporaryDirectory(prefix="galaxy-jobs-")
    container = Container(
        settings=Settings(home=Path(home.name), database_url=database_url)
    )
    for name, thing in {"galaxy": galaxy, **instead}.items():
        getattr(container, name).override(providers.Object(thing))
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(
        uvicorn.Config(
            create_app(container),
            http=Connection,
            lifespan="on",
            log_config=None,
            ws="none",
        ),
        on_ready=lambda: None,
        on_stop=container.broadcast().stop,
    )
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        until(lambda: server.started)
        port = listening.getsockname()[1]
        yield Site(f"http://127.0.0.1:{port}", container, galaxy)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        container.shutdown_resources()
        container.database().close()
        home.cleanup()
