"""The real Galaxy does what the ports say."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from attrs import frozen

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.samples import upload_text
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.galaxy.releases import OBJECT_STORES
from galaxy_jobs.adapters.testing.contracts.data import DataCatalogContract, DataScene
from galaxy_jobs.adapters.testing.contracts.runner import (
    CollectionsContract,
    Engine,
    Kind,
    LikeGalaxyContract,
    RunHistoriesContract,
    Scene,
    WorkflowCatalogContract,
    WorkflowRunnerContract,
)
from galaxy_jobs.domain import (
    DataCatalog,
    GalaxyData,
    InvokeOptions,
    Src,
    WorkflowId,
)
from galaxy_jobs.domain.errors import RunRejected
from tests.support.galaxy import GALAXY, Lab
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

    def hide_workflow(self, workflow_id: WorkflowId) -> None:
        self.lab.call("PUT", f"workflows/{workflow_id}", {"hidden": True})

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


@frozen
class GalaxyDataScene(DataScene):
    lab: Lab
    absent: str

    def dataset(self, name: str) -> GalaxyData:
        id_ = upload_text(self.lab.url, self.lab.key, name, "a\n")
        return GalaxyData(Src.HDA, id_)

    def collection(self, name: str) -> GalaxyData:
        first = self.dataset("first")
        history = self.lab.call("GET", f"datasets/{first.id}")["history_id"]
        members = [
            {"src": "hda", "name": f"e{n}", "id": data.id}
            for n, data in enumerate((first, self.dataset("second")))
        ]
        path = f"histories/{history}/contents/dataset_collections"
        body = {"name": name, "collection_type": "list", "element_identifiers": members}
        return GalaxyData(Src.HDCA, self.lab.call("POST", path, body)["id"])

    def delete(self, data: GalaxyData) -> None:
        kind = "dataset_collections" if data.src is Src.HDCA else "datasets"
        shown = self.lab.call("GET", f"{kind}/{data.id}")
        path = f"histories/{shown['history_id']}/contents/{kind}/{data.id}"
        self.lab.call("DELETE", path)


class TestData(DataCatalogContract):
    @pytest.fixture
    def data_catalog(self, lab: Lab) -> DataCatalog:
        return Galaxy(lab.url, lab.key)

    @pytest.fixture
    def data_scene(self, lab: Lab, galaxy: LocalGalaxy) -> DataScene:
        return GalaxyDataScene(lab, absent_id(galaxy))


class TestRunner(Real, WorkflowRunnerContract):
    def test_copies_the_results_of_an_equal_job_if_it_may(
        self, engine: Engine, scene: GalaxyScene
    ) -> None:
        workflow_id = scene.add_workflow(self._fresh("cached"), Kind.SUCCESS)

        def ran(options: InvokeOptions) -> tuple[str, str | None]:
            history_id = engine.create(self._fresh("cached"))
            inputs = {"text": scene.data()}
            run = engine.invoke(workflow_id, inputs, history_id, options)
            self._ended(engine, scene, run)
            (job,) = engine.report(run).jobs()
            shown = scene.lab.call("GET", f"jobs/{job.job_id}?full=true")
            return job.job_id, shown["copied_from_job_id"]

        first, none = ran(InvokeOptions())
        assert none is None
        _, none = ran(InvokeOptions())
        assert none is None
        second, copied_from = ran(InvokeOptions(use_cached_job=True))
        assert copied_from not in {None, second}
        assert first

    @pytest.mark.parametrize(
        "options",
        [
            InvokeOptions(preferred_object_store_id="nowhere"),
            InvokeOptions(
                preferred_outputs_object_store_id="nowhere",
                preferred_intermediate_object_store_id="nowhere",
            ),
        ],
    )
    @pytest.mark.skipif(
        OBJECT_STORES.affects(GALAXY.release), reason=OBJECT_STORES.effect
    )
    def test_refuses_an_object_store_that_there_is_not(
        self, engine: Engine, scene: Scene, options: InvokeOptions
    ) -> None:
        workflow_id = scene.add_workflow(self._fresh("store"), Kind.SUCCESS)
        history_id, inputs = engine.create(self._fresh("run")), {"text": scene.data()}
        with pytest.raises(RunRejected):
            engine.invoke(workflow_id, inputs, history_id, options)
        assert engine.runs_in(history_id) == []

    def test_resources_that_its_administrators_have_not_defined_start_nothing(
        self, engine: Engine, scene: Scene
    ) -> None:
        workflow_id = scene.add_workflow(self._fresh("resources"), Kind.SUCCESS)
        history_id, inputs = engine.create(self._fresh("run")), {"text": scene.data()}
        options = InvokeOptions(resource_params={"cores": 4})
        with pytest.raises(RunRejected, match="have defined none"):
            engine.invoke(workflow_id, inputs, history_id, options)
        assert engine.runs_in(history_id) == []


class TestCollections(Real, CollectionsContract):
    pass


class TestHistories(Real, RunHistoriesContract):
    pass


class TestOddities(Real, LikeGalaxyContract):
    pass
