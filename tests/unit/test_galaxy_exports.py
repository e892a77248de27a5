"""Exports of runs, by a Galaxy that also answers with garbage."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.testing.contracts.exports import (
    ExportScene,
    RunExportsContract,
)
from galaxy_jobs.adapters.testing.contracts.output_files import CONTENT
from galaxy_jobs.adapters.testing.contracts.repositories import NOON
from galaxy_jobs.domain import InvocationId, InvocationState
from galaxy_jobs.domain.errors import (
    RunnerError,
    RunnerUnavailable,
    RunRejected,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import RunExports
from galaxy_jobs.domain.use_cases import FindCrate
from tests.support.hostile_galaxy import (
    ANSWERS,
    KEY,
    Garbage,
    HostileGalaxy,
    hostile_galaxy,
    http,
)


RUN = InvocationId("f00d")

NO_CELERY = http(
    '{"err_msg": "This operation requires asynchronous tasks to be enabled on the '
    'Galaxy server and they are not, please contact the server admin.", '
    '"err_code": 403006}',
    403,
)


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as galaxy:
        yield galaxy


@pytest.fixture
def galaxy(server: HostileGalaxy) -> Galaxy:
    return Galaxy(server.url, KEY, timeout=20)


@frozen
class Exports(ExportScene):
    server: HostileGalaxy

    @property
    def absent(self) -> InvocationId:
        missing = http('{"err_msg": "none", "err_code": 404001}', 404)
        self.server.garbage["export"] = missing
        return RUN

    def run(self) -> InvocationId:
        return RUN

    def make(self, export_id: str) -> None:
        self.server.files[export_id] = CONTENT

    def remove(self, export_id: str) -> None:
        del self.server.files[export_id]


class TestExports(RunExportsContract):
    @pytest.fixture
    def exports(self, galaxy: Galaxy) -> RunExports:
        return galaxy

    @pytest.fixture
    def export_scene(self, server: HostileGalaxy) -> ExportScene:
        return Exports(server)


def test_a_galaxy_that_makes_none_is_quoted(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    server.garbage["export"] = NO_CELERY
    with pytest.raises(RunRejected, match="asynchronous tasks"):
        galaxy.begin_export(RUN)


def test_an_export_that_failed_is_an_error(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    export = galaxy.begin_export(RUN)
    server.files[export] = CONTENT
    server.garbage["file export"] = http('{"err_msg": "No.", "err_code": 400008}', 400)
    with pytest.raises(RunRejected, match="No"):
        galaxy.find_export(export)
    server.garbage["file export"] = http('{"err_msg": "Unknown error: x"}', 500)
    with pytest.raises(RunRejected, match=r"Unknown error: x\. It could not make"):
        galaxy.find_export(export)
    server.garbage["file export"] = http(b"", 204)
    with pytest.raises(RunRejected, match=r"HTTP 204\. It could not make"):
        galaxy.find_export(export)


@pytest.mark.parametrize("status", [None, 200, 502, 503, 504])
def test_an_export_that_cannot_be_asked_for_has_not_failed(
    server: HostileGalaxy, galaxy: Galaxy, status: int | None
) -> None:
    export = galaxy.begin_export(RUN)
    server.files[export] = CONTENT
    server.garbage["file export"] = http("", status) if status else b""
    with pytest.raises(RunnerUnavailable):
        galaxy.find_export(export)


@pytest.mark.parametrize(
    ("status", "error", "begun"), [(500, RunRejected, 2), (503, RunnerUnavailable, 1)]
)
def test_an_export_that_failed_is_made_anew(
    server: HostileGalaxy,
    galaxy: Galaxy,
    status: int,
    error: type[Exception],
    begun: int,
) -> None:
    job: Any = SimpleNamespace(
        state=InvocationState.COMPLETED,
        results_deleted_at=None,
        updated_at=NOON,
        id_on=lambda _: RUN,
    )
    jobs: Any = SimpleNamespace(get=lambda *_: job)
    find = FindCrate(jobs, galaxy, galaxy.identity, lambda: NOON)
    assert find(RUN, SERVICE) is None
    export = f"00000000-0000-4000-8000-{2**40:012x}"
    server.files[export] = CONTENT
    server.garbage["file export"] = http('{"err_msg": "Unknown error: x"}', status)
    with pytest.raises(error):
        find(RUN, SERVICE)
    assert server.requests["export"] == 1
    del server.garbage["file export"]
    found = find(RUN, SERVICE)
    assert server.requests["export"] == begun
    assert (found is None) == (begun == 2)


@pytest.mark.parametrize("garbage", ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize("kind", ["export", "ready", "file export"])
def test_no_garbage_is_taken_for_an_export(
    server: HostileGalaxy, galaxy: Galaxy, kind: str, garbage: Garbage
) -> None:
    export = galaxy.begin_export(RUN)
    server.files[export] = CONTENT
    server.garbage[kind] = garbage
    if kind == "export":
        with pytest.raises(RunnerError):
            galaxy.begin_export(RUN)
    else:
        try:
            assert galaxy.find_export(export) is None
        except RunnerError:
            return
