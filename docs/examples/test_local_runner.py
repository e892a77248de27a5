"""Prove the engine of one's own: the published contracts, and a run through it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import frozen

from galaxy_jobs.adapters.testing.contracts.runner import (
    Kind,
    RunHistoriesContract,
    Scene,
    WorkflowCatalogContract,
    WorkflowRunnerContract,
)
from galaxy_jobs.domain import GalaxyData, Src, WorkflowId
from local_runner import LocalRunner


COMMANDS: Mapping[Kind, Mapping[str, Sequence[str]]] = {
    Kind.SUCCESS: {"sorted": ["sort"]},
    Kind.FAILURE: {"bad": ["sh", "-c", "echo no >&2; exit 3"], "behind": ["wc"]},
    Kind.SLOW: {"sleep": ["sleep", "60"]},
    Kind.EMPTY: {},
}


@frozen
class LocalScene(Scene):
    """Prepares what the ports cannot."""

    runner: LocalRunner
    file: Path

    @property
    def absent(self) -> str:
        return "absent"

    def add_workflow(self, name: str, kind: Kind) -> WorkflowId:
        return self.runner.add(name, COMMANDS[kind])

    def delete_workflow(self, workflow_id: WorkflowId) -> None:
        self.runner.remove(workflow_id)

    def data(self) -> GalaxyData:
        return GalaxyData(Src.HDA, str(self.file))

    def pass_time(self) -> None:
        time.sleep(0.01)


class Local:
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[LocalRunner]:
        with ThreadPoolExecutor(4) as workers:
            yield LocalRunner(tmp_path / "runs", workers)

    @pytest.fixture
    def scene(self, engine: LocalRunner, tmp_path: Path) -> Scene:
        file = tmp_path / "fruits.txt"
        file.write_text("pear\napple\n")
        return LocalScene(engine, file)


class TestCatalog(Local, WorkflowCatalogContract):
    pass


class TestRunner(Local, WorkflowRunnerContract):
    pass


class TestHistories(Local, RunHistoriesContract):
    pass
