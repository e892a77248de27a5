"""Two worlds for the HTTP contract: all in memory, and PostgreSQL behind sockets.

Galaxy is simulated in both, since each way in which it can answer has to come when a
test wants it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from attrs import evolve, frozen
from dependency_injector import providers
from litestar.testing import TestClient

from galaxy_jobs.adapters.clock import SystemClock
from galaxy_jobs.adapters.testing.memory import (
    MemoryAuditLog,
    MemoryBatches,
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemoryRetention,
    MemorySessions,
    MemorySigningKeys,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTagChanges,
    MemoryTokens,
    MemoryTransitionFeed,
    MemoryUploads,
    MemoryWebhooks,
    SimulatedGalaxy,
)
from galaxy_jobs.adapters.testing.memory.galaxy import FAILURE, REVIEWED, TEXT
from galaxy_jobs.domain import Element, InputKind, JobDetails, Output, WorkflowInput
from galaxy_jobs.domain.use_cases import PollPolicy
from galaxy_jobs.entrypoints.app import create_app
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.readiness import Ready
from galaxy_jobs.entrypoints.settings import HttpTable, Settings
from tests.support.job_pages import ComposedJobPages
from tests.support.page import Site, site
from tests.support.wait import until


SOON = timedelta(milliseconds=1)
IMPATIENT = {
    "http": HttpTable(rate=1e6, burst=1e6),
    "poll_policy": PollPolicy(min_interval=SOON, max_interval=SOON, stale_after=SOON),
}
"""Providers of a world that limits nobody, and in which a job is due at once."""

N = WorkflowInput(
    name="n", kind=InputKind.INTEGER, minimum=1, maximum=9, default=1, annotation="How"
)
MODE = WorkflowInput(name="mode", kind=InputKind.TEXT, options=("fast", "exact"))
MORE = WorkflowInput(name="more", kind=InputKind.DATA, optional=True)
LINES = Output(
    label="lines", src="hda", id="o1", name="n", extension="txt", size=10, state="ok"
)
PARTS = Output(
    label="parts",
    src="hdca",
    id="o2",
    state="error",
    elements=(
        Element(name="plate-1/a", id="o3", state="ok", size=3),
        Element(name="plate-1/b", id="o4", state="error"),
    ),
)
SORTS = [
    Output(label='a/b "c"\n\u00e4', src="hda", id="s1", extension="txt", state="ok"),
    Output(label="both", src="hda", id="s2", state="ok", hidden=True),
    Output(
        label="both",
        src="hdca",
        id="s3",
        state="ok",
        elements=(Element(name="x/y", path=("x/y",), id="s4", state="ok"),),
    ),
    Output(label="deleted", src="hda", id="s5", state="deleted"),
    Output(label="out1 (Step 3)", src="hda", id="s6", state="ok", size=0),
    Output(label="purged", src="hda", id="s7", state="purged"),
    Output(label="running", src="hda", id="s8", state="running"),
    Output(label="score", src="value", value={"q": 0.5}),
    Output(label="vanished", src="hda", id="s9", state="ok"),
]
"""Outputs of every kind."""
PLATES = Output(
    label="plates",
    src="hdca",
    id="p0",
    state="ok",
    elements=tuple(
        Element(name=name, path=("1/a", name), id=id_, state="ok", extension=extension)
        for name, id_, extension in (
            ("x", "p1", "txt"),
            ("y", "p2", None),
            ("X", "p3", "txt"),
        )
    ),
)
DETAILS = JobDetails(tool="sort1", exit_code=2, stderr="no such key")

ENDED = frozenset({"completed", "failed", "cancelled"})


@frozen
class World:
    """A client of the service, and all that stands behind it.

    Attributes:
        api: Speaks HTTP to the service.
        site: Its container, and the simulated Galaxy.
        token: What the client authenticates itself with, if anything.
    """

    api: httpx.Client
    site: Site
    token: str = ""

    @property
    def container(self) -> Container:
        return self.site.container

    @property
    def galaxy(self) -> SimulatedGalaxy:
        return self.site.galaxy

    def with_token(self, token: str) -> World:
        return World(self.api, self.site, token)

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response:
        """Send a request; headers are spelt with underscores."""
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if method == "PATCH":
            sent.setdefault("content-type", "application/merge-patch+json")
        return self.api.request(method, path, json=body, headers=sent)

    def get(self, path: str) -> Any:
        """Return the JSON at a path that must be there."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def submit(self, **more: object) -> str:
        """Submit a job that must be accepted, and return its id."""
        body = {"dataset_id": "reads", "workflow_name": "sort", **more}
        answer = self.ask("POST", "/jobs", body)
        assert answer.status_code == 201, answer.text
        id_: str = answer.json()["invocation_id"]
        return id_

    def sweep(self) -> None:
        """Let Galaxy go on, and poll."""
        self.galaxy.tick()
        self.container.poll()()

    def ended(self, id_: str) -> Any:
        """Let Galaxy go on until a job has ended, and return the job."""

        def job() -> Any:
            self.sweep()
            shown = self.get(f"/jobs/{id_}")
            return shown if shown["state"] in ENDED else None

        return until(job)


def furnished(world: World) -> World:
    """Return it with the workflows and datasets that the contract speaks of."""
    galaxy = world.galaxy
    galaxy.add_workflow("sort", TEXT, N, outputs=[PARTS, LINES])
    galaxy.add_workflow("sorts", TEXT, outputs=SORTS)
    galaxy.add_workflow("plates", TEXT, outputs=[LINES, PLATES])
    galaxy.file_contents.update({f"p{n}": f"p{n}".encode() for n in (1, 2, 3)})
    galaxy.file_contents.update({"o1": b"0123456789", "o3": b"xyz"})
    galaxy.file_contents.update({"s1": b"one", "s2": b"two", "s4": b"4", "s6": b""})
    galaxy.add_workflow("strict", TEXT, N, MODE, MORE)
    galaxy.add_workflow("fails", TEXT, plan=FAILURE, details={"sort": DETAILS})
    galaxy.add_workflow("reviewed", TEXT, plan=REVIEWED)
    galaxy.add_workflow("purges", TEXT, outputs=[evolve(LINES, id="hda-purged")])
    galaxy.add_workflow("twice")
    galaxy.add_workflow("twice")
    galaxy.add_workflow("QC / count")
    galaxy.add_workflow(
        "pairs",
        WorkflowInput(name="reads", kind=InputKind.DATA),
        WorkflowInput(name="pairs", kind=InputKind.COLLECTION),
    )
    for name, kind, inputs in (
        ("two", InputKind.DATA, ("left", "right")),
        ("accessions", InputKind.TEXT, ("accession",)),
    ):
        declared = (WorkflowInput(name=each, kind=kind) for each in inputs)
        galaxy.add_workflow(name, *declared)
    for dataset_id in ("reads", "other"):
        world.site.dataset(dataset_id)
    return world


@contextmanager
def over_sockets(database_url: str, **instead: Any) -> Iterator[World]:
    """Serve the API on a real socket, over a database that has the schema.

    Args:
        database_url: Of that database.
        instead: Replaces providers of the container, by their names.
    """
    with (
        site(database_url, **instead) as served,
        httpx.Client(base_url=served.url, timeout=60) as client,
    ):
        yield World(client, served)


@contextmanager
def in_memory(**instead: Any) -> Iterator[World]:
    """The same without sockets, over adapters in memory."""
    clock = SystemClock()
    store = MemoryStore(clock)
    galaxy = SimulatedGalaxy()
    home = tempfile.TemporaryDirectory(prefix="galaxy-jobs-")
    container = Container(settings=Settings(home=Path(home.name)))
    invocations = MemoryInvocations(store)
    for name, provided in {
        "clock": clock,
        "datasets": MemoryDatasets(store),
        "submissions": MemorySubmissions(store),
        "batches": MemoryBatches(store),
        "invocations": invocations,
        "job_pages": ComposedJobPages(invocations.page, clock),
        "queue": MemoryPollQueue(store),
        "superseded": MemorySupersededRuns(store),
        "retention": MemoryRetention(store),
        "tag_changes": MemoryTagChanges(store),
        "tokens": MemoryTokens(store),
        "sessions": MemorySessions(store),
        "feed": MemoryTransitionFeed(store),
        "signing_keys": MemorySigningKeys(store),
        "audit_log": MemoryAuditLog(store),
        "uploads": MemoryUploads(store),
        "webhooks": MemoryWebhooks(store),
        "galaxy": galaxy,
        "readiness": lambda: Ready(database=True, migrations="current", galaxy=None),
        **instead,
    }.items():
        getattr(container, name).override(providers.Object(provided))
    url = "http://127.0.0.1:8000"
    try:
        with TestClient(create_app(container), base_url=url) as client:
            client.follow_redirects = False
            yield World(client, Site(url, container, galaxy))
    finally:
        container.shutdown_resources()
        home.cleanup()
