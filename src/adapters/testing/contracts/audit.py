"""The contract of :class:`AuditLog`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from galaxy_jobs.adapters.testing.contracts.repositories import (
    CROWD,
    DAY,
    HOUR,
    UNICODE,
    Repositories,
    about,
    at_once,
)
from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.audit import Action, AuditEntry, Kind


def an_entry(
    object_id: str = "inv1",
    owner: str | None = "web",
    action: Action = Action.CANCEL,
    request_id: str | None = "r1",
) -> AuditEntry:
    """Return an entry that is not recorded."""
    return AuditEntry(
        owner=owner,
        action=action,
        kind=Kind.JOB,
        object_id=object_id,
        request_id=request_id,
    )


def ids(entries: object) -> list[str]:
    """Return the ids of the objects of entries."""
    assert isinstance(entries, list)
    return [entry.object_id for entry in entries]


class AuditLogContract:
    """What an :class:`AuditLog` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    @pytest.mark.parametrize("action", list(Action))
    def test_returns_what_was_recorded_with_its_time(
        self, repositories: Repositories, action: Action
    ) -> None:
        texts = UNICODE.replace("\x00", "")
        for kind in Kind:
            repositories.audit.record(
                AuditEntry(
                    owner=texts,
                    action=action,
                    kind=kind,
                    object_id=texts,
                    request_id=None,
                )
            )
        found = list(repositories.audit.entries())
        assert [entry.kind for entry in found] == list(Kind)[::-1]
        for entry in found:
            assert (entry.owner, entry.object_id) == (texts, texts)
            assert (entry.action, entry.request_id) == (action, None)
            assert entry.at is not None
            assert entry.at.utcoffset() == timedelta(0)

    def test_the_newest_come_first_and_are_filtered(
        self, repositories: Repositories
    ) -> None:
        audit = repositories.audit
        audit.record(an_entry("1", "web"))
        audit.record(an_entry("2", None, Action.CREATE))
        repositories.pass_time(HOUR)
        audit.record(an_entry("3", "web", Action.CREATE))
        audit.record(an_entry("4", "lab"))
        assert ids(list(audit.entries())) == ["4", "3", "2", "1"]
        assert ids(list(audit.entries(limit=2))) == ["4", "3"]
        assert ids(list(audit.entries(owner="web"))) == ["3", "1"]
        assert ids(list(audit.entries(owner="none"))) == []
        assert ids(list(audit.entries(owner="a\0b"))) == []
        assert ids(list(audit.entries(action=Action.CREATE))) == ["3", "2"]
        both = audit.entries(owner="web", action=Action.CREATE)
        assert ids(list(both)) == ["3"]
        since = audit.entries(limit=2)[-1].at
        assert ids(list(audit.entries(since=since))) == ["4", "3"]
        newest, *_, oldest = audit.entries()
        assert newest.at is not None
        assert oldest.at is not None
        assert about(HOUR, newest.at - oldest.at)

    @pytest.mark.parametrize("text", ["a\0b", "\ud800"])
    def test_refuses_what_cannot_be_stored(
        self, repositories: Repositories, text: str
    ) -> None:
        for entry in (an_entry(text), an_entry(owner=text), an_entry(request_id=text)):
            with pytest.raises(InvalidValue):
                repositories.audit.record(entry)
        assert not repositories.audit.entries()

    def test_old_entries_are_removed_the_oldest_first(
        self, repositories: Repositories
    ) -> None:
        audit = repositories.audit
        for n in range(4):
            audit.record(an_entry(str(n)))
            repositories.pass_time(DAY)
        assert audit.prune(4 * DAY + HOUR) == 0
        assert audit.prune(HOUR + DAY, limit=2) == 2  # noqa: PLR2004
        assert ids(list(audit.entries())) == ["3", "2"]
        assert audit.prune(2 * DAY - HOUR) == 1
        assert ids(list(audit.entries())) == ["3"]

    def test_young_entries_are_never_removed(self, repositories: Repositories) -> None:
        repositories.audit.record(an_entry())
        repositories.pass_time(DAY - HOUR)
        assert repositories.audit.prune(timedelta(0)) == 0
        repositories.pass_time(2 * HOUR)
        assert repositories.audit.prune(timedelta(0)) == 1

    def test_many_at_once(self, repositories: Repositories) -> None:
        at_once(
            *(
                lambda n=n: repositories.audit.record(an_entry(str(n)))
                for n in range(CROWD)
            )
        )
        found = ids(list(repositories.audit.entries()))
        assert sorted(found) == [str(n) for n in range(CROWD)]
        repositories.pass_time(2 * DAY)
        pruned = at_once(*[lambda: repositories.audit.prune(DAY)] * CROWD)
        assert sum(n for n in pruned if isinstance(n, int)) == CROWD
