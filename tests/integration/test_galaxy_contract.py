"""The real Galaxy does what the ports say."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from attrs import frozen

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.testing.contracts.runner import (
    Engine,
    Kind,
    LikeGalaxyContract,
    ReviewsContract,
    RunHistoriesContract,
    Scene,
    WorkflowCatalogContract,
    WorkflowRunnerContract,
)
from galaxy_jobs.domain import GalaxyData, Src, WorkflowId
from tests.support.galaxy import Lab
from tests.support.ids import absent_id
from tests.support.workflows import Step, data, review, tool, workflow


STEPS: Mapping[Kind, tuple[Step, ...]] = {
    Kind.SUCCESS: (data("text"), tool("sort", "text", operation="sort")),
    Kind.FAILURE: (
        data("text"),
        tool("bad", "text", exit_code=3),
        tool("behind", "bad"),
    ),
    Kind.SLOW: (data("text"), tool("sleep", "text", sleep_s=60)),
    Kind.EMPTY: (data("text"),),
    Kind.REVIEW: (
        data("text"),
        tool("sort", "text", operation="sort"),
        review("check", "sort"),
        tool("count", "check", operation="count"),
    ),
}


@frozen
class GalaxyScene(Scene):
    lab: Lab
    absent: str

    def add_workflow(self, name: str, kind: Kind) -> WorkflowId:
        return WorkflowId(self.lab.add(workflow(name, *STEPS[kind])))

    def delete_workflow(self, workflow_id: WorkflowId) -> None:
        self.lab.call("DELETE", f"workflows/{workflow_id}")

    def data(self) -> GalaxyData:
        return GalaxyData(Src.HDA, self.lab.text)

    def pass_time(self) -> None:
        time.sleep(0.2)


class Real:
    @pytest.fixture
    def engine(self, lab: Lab) -> Engine:
        return Galaxy(lab.url, lab.key)

    @pytest.fixture
    def scene(self, lab: Lab, galaxy: LocalGalaxy) -> Scene:
        return GalaxyScene(lab, absent_id(galaxy))


class TestCatalog(Real, WorkflowCatalogContract):
    pass


class TestRunner(Real, WorkflowRunnerContract):
    pass


class TestReviews(Real, ReviewsContract):
    pass


class TestHistories(Real, RunHistoriesContract):
    pass


class TestOddities(Real, LikeGalaxyContract):
    pass
