"""The contract of :class:`TagChanges`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.repositories import (
    HERE,
    LATER,
    MINUTE,
    THERE,
    Repositories,
    S,
    a_run,
    a_submission,
)
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import MAX_FORMER, TagChange


class TagChangesContract:
    """What a :class:`TagChanges` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    def _claim(
        self, repositories: Repositories, limit: int = 10
    ) -> Sequence[TagChange]:
        return repositories.tag_changes.claim(HERE, limit=limit, lease=MINUTE)

    def _label(
        self, repositories: Repositories, name: str, labels: Mapping[str, str]
    ) -> Invocation:
        before = repositories.invocations.get(InvocationId(name), SERVICE)
        after = before.labelled(labels, LATER)
        repositories.invocations.save(before, after)
        return after

    def test_notes_what_labels_there_were(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        assert self._claim(repositories) == []
        self._label(repositories, "inv1", {"p": "1", "q": ""})
        self._label(repositories, "inv1", {"p": "2:3"})
        job = self._label(repositories, "inv1", {"p": "1"})
        [change] = self._claim(repositories)
        assert change.job == job
        assert change.former == {"p:1", "q:", "p:2:3"}

    def test_notes_no_other_change(self, repositories: Repositories) -> None:
        run = repositories.accepted("inv1")
        repositories.moved(run, S.IN_PROGRESS, S.COMPLETED)
        assert self._claim(repositories) == []

    @pytest.mark.parametrize("change", [{"adopted": True}, {"history_id": None}])
    def test_notes_none_without_a_history_of_ours(
        self, repositories: Repositories, change: dict[str, Any]
    ) -> None:
        before = repositories.begun(a_submission())
        run = evolve(a_run(before, "inv1"), **change)
        repositories.submissions.accept(
            before, before.accepted(run.invocation_id, LATER), run
        )
        self._label(repositories, "inv1", {"p": "1"})
        assert self._claim(repositories) == []

    def test_leases_those_that_have_waited_longest(
        self, repositories: Repositories
    ) -> None:
        for name in ("inv1", "inv2"):
            repositories.accepted(name)
            self._label(repositories, name, {"p": "1"})
            repositories.pass_time(MINUTE / 60)
        assert repositories.tag_changes.claim(THERE, limit=9, lease=MINUTE) == []
        for expected in (["inv1"], ["inv2"], []):
            claimed = self._claim(repositories, 1)
            assert [change.job.invocation_id for change in claimed] == expected
        repositories.pass_time(2 * MINUTE)
        claimed = self._claim(repositories)
        assert {change.job.invocation_id for change in claimed} == {"inv1", "inv2"}

    def test_forgets_what_is_done(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        self._label(repositories, "inv1", {"p": "1"})
        [change] = self._claim(repositories)
        for _ in range(2):
            repositories.tag_changes.done(change)
        repositories.pass_time(2 * MINUTE)
        assert self._claim(repositories) == []

    def test_keeps_what_has_changed_since(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        self._label(repositories, "inv1", {"p": "1"})
        [change] = self._claim(repositories)
        self._label(repositories, "inv1", {"p": "2"})
        repositories.tag_changes.done(change)
        [change] = self._claim(repositories)
        assert change.former == {"p:1"}

    def test_keeps_so_many_former_labels(self, repositories: Repositories) -> None:
        repositories.accepted("inv1")
        for n in range(12):
            labels = {f"k{n}-{i}": "" for i in range(32)}
            self._label(repositories, "inv1", labels)
        [change] = self._claim(repositories)
        assert len(change.former) == MAX_FORMER
        assert "k0-0:" in change.former
