"""Registering a dataset: Galaxy is asked once what its data is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryDatasets,
    MemoryStore,
    SimulatedGalaxy,
)
from galaxy_jobs.domain import DataDescription, DatasetId, GalaxyData, Src, UrlData
from galaxy_jobs.domain.errors import (
    DataMismatch,
    DataNotChecked,
    DatasetExists,
    InvalidValue,
    RunnerError,
    RunnerRefusedUs,
    RunnerUnavailable,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import RegisterDataset


D1 = DatasetId("d1")
HDA, HDCA = GalaxyData(Src.HDA, "a1"), GalaxyData(Src.HDCA, "a1")
FILE = DataDescription(name="1.fq", state="ok", extensions=("fastq",))
LIST = DataDescription(name="plate", state="ok", collection_type="list")
DOWN = RunnerUnavailable("Galaxy is down.", retry_after=7)


@pytest.fixture
def galaxy() -> SimulatedGalaxy:
    galaxy = SimulatedGalaxy()
    galaxy.data |= {HDA: FILE, HDCA: None}
    return galaxy


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def register(galaxy: SimulatedGalaxy, clock: ManualClock) -> RegisterDataset:
    return RegisterDataset(MemoryDatasets(MemoryStore(clock)), clock, galaxy)


def test_what_galaxy_knows_is_kept_with_its_time(
    register: RegisterDataset, clock: ManualClock
) -> None:
    dataset = register("reads", HDA, SERVICE, D1)
    assert (dataset.description, dataset.described_at) == (FILE, clock.now)
    assert register.datasets.get(D1, SERVICE) == dataset


@pytest.mark.parametrize("state", ["deferred", "upload", "error", "deleted", "purged"])
def test_data_in_any_state_is_registered(
    register: RegisterDataset, galaxy: SimulatedGalaxy, state: str
) -> None:
    galaxy.data[HDA] = evolve(FILE, state=state)
    dataset = register("reads", HDA, SERVICE, D1)
    assert dataset.description == galaxy.data[HDA]


def test_data_that_is_not_there_is_refused(
    register: RegisterDataset, galaxy: SimulatedGalaxy
) -> None:
    galaxy.data[HDA] = None
    with pytest.raises(DataMismatch, match="no hda 'a1' that") as refusal:
        register("reads", HDA, SERVICE, D1)
    assert "register that" not in str(refusal.value)
    assert register.datasets.page(SERVICE, 10).items == ()


@pytest.mark.parametrize(
    ("source", "data"),
    [
        (HDA, {HDA: None, HDCA: LIST}),
        (GalaxyData(Src.LDDA, "a1"), {GalaxyData(Src.LDDA, "a1"): None, HDCA: LIST}),
        (HDCA, {HDCA: None, HDA: FILE}),
    ],
)
def test_an_id_of_another_kind_is_refused_with_the_right_kind(
    register: RegisterDataset,
    galaxy: SimulatedGalaxy,
    source: GalaxyData,
    data: dict[GalaxyData, DataDescription | None],
) -> None:
    galaxy.data |= data
    other = "hda" if source == HDCA else "hdca"
    with pytest.raises(DataMismatch, match=f"register that as {other}"):
        register("reads", source, SERVICE, D1)


@pytest.mark.parametrize(
    ("name", "change", "meant"),
    [
        # The id is that of both.
        ("reads", {}, HDA),
        ("1.fq", {}, HDA),
        ("plate", {}, HDCA),
        ("reads", {"state": "deleted"}, HDCA),
        ("reads", {"state": "purged"}, HDCA),
        ("reads", {"state": "error"}, HDCA),
        ("1.fq", {"state": "deleted"}, HDA),
        ("plate", {"name": "plate"}, HDA),
    ],
)
def test_of_two_kinds_the_one_that_was_meant_is_taken(
    register: RegisterDataset,
    galaxy: SimulatedGalaxy,
    name: str,
    change: dict[str, Any],
    meant: GalaxyData,
) -> None:
    galaxy.data |= {HDA: evolve(FILE, **change), HDCA: LIST}
    if meant == HDA:
        register(name, HDA, SERVICE, D1)
        return
    with pytest.raises(DataMismatch) as refusal:
        register(name, HDA, SERVICE, D1)
    assert str(refusal.value).startswith("hda a1, '1.fq' (fastq) was not meant.")
    assert "hdca a1, 'plate' (list): register that as hdca" in str(refusal.value)


def test_nothing_is_registered_where_galaxy_cannot_tell(
    register: RegisterDataset, galaxy: SimulatedGalaxy
) -> None:
    galaxy.outage = DOWN
    with pytest.raises(DataNotChecked, match="is not registered") as refusal:
        register("reads", HDA, SERVICE, D1)
    assert refusal.value.retry_after == 7
    assert register.datasets.page(SERVICE, 10).items == ()
    galaxy.outage = RunnerRefusedUs("Bad key.")
    with pytest.raises(RunnerRefusedUs):
        register("reads", HDA, SERVICE, D1)
    dataset = register("reads", HDA, SERVICE, D1, check=False)
    assert dataset.description is None
    register("reads", UrlData("http://x.test/", "txt"), SERVICE)


@pytest.mark.parametrize("error", [DOWN, RunnerRefusedUs("Bad key.")])
def test_the_other_kind_need_not_be_told(
    register: RegisterDataset, galaxy: SimulatedGalaxy, error: RunnerError
) -> None:
    original = galaxy.describe

    def describe(data: GalaxyData) -> DataDescription:
        if data == HDCA:
            raise error
        return original(data)

    galaxy.describe = describe  # type: ignore[method-assign]
    assert register("reads", HDA, SERVICE, D1).description == FILE


def test_the_same_one_again_asks_nothing_and_changes_nothing(
    register: RegisterDataset, galaxy: SimulatedGalaxy, clock: ManualClock
) -> None:
    first = register("reads", HDA, SERVICE, D1)
    clock.advance(timedelta(hours=1))
    galaxy.outage = DOWN
    assert register("reads", HDA, SERVICE, D1) == first
    for name, source in (("other", HDA), ("reads", HDCA)):
        with pytest.raises(DatasetExists):
            register(name, source, SERVICE, D1)


def test_one_that_was_not_described_is_described_later(
    register: RegisterDataset, clock: ManualClock
) -> None:
    first = register("reads", HDA, SERVICE, D1, check=False)
    now = clock.advance(timedelta(hours=1))
    again = register("reads", HDA, SERVICE, D1)
    assert again == evolve(first, description=FILE, described_at=now)
    assert register.datasets.get(D1, SERVICE) == again


def test_what_can_never_be_is_refused_before_galaxy_is_asked(
    register: RegisterDataset, galaxy: SimulatedGalaxy
) -> None:
    with pytest.raises(InvalidValue):
        register("n" * 256, HDA, SERVICE, D1)
    assert galaxy.calls["describe"] == 0
