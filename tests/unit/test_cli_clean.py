"""What `galaxy-jobs clean` asks for, deletes and says."""

from __future__ import annotations

import io
import json
from typing import Any, cast

import pytest
from attrs import define, field

from galaxy_jobs.entrypoints.client import cleaning
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused
from galaxy_jobs.entrypoints.client.http import Answer, Api


BEFORE = "2026-03-01T00:00:00+00:00"


def job(id_: str, updated_at: str = "2026-01-01T00:00:00Z", **more: str) -> Any:
    return {"invocation_id": id_, "updated_at": updated_at, "results": "kept", **more}


@define
class Stand:
    """Stands in for the service, whose list has two pages."""

    queries: list[dict[str, Any]] = field(factory=list)
    removed: list[str] = field(factory=list)

    def get(self, *parts: str, **query: Any) -> Answer:
        assert parts == ("jobs",)
        self.queries.append(query)
        if query["cursor"] is None:
            late = job("late", "2026-03-02T00:00:00Z")
            page: Any = {"items": [job("a"), late], "next_cursor": "more"}
        else:
            deleted = job("deleted", results="deleted")
            page = {"items": [deleted, job("used"), job("b")], "next_cursor": None}
        return Answer(page, {})

    def remove(self, *parts: str) -> Answer:
        assert (parts[0], parts[2]) == ("jobs", "results")
        if parts[1] == "used":
            kind = "urn:galaxy-jobs:problem:results-in-use"
            raise Refused({"type": kind, "title": "In use", "detail": "d1 needs them."})
        self.removed.append(parts[1])
        return Answer({}, {})


def clean(
    stand: Stand, *, dry_run: bool = False, yes: bool = False, as_json: bool = True
) -> int:
    return cleaning.clean(
        cast("Api", stand), BEFORE, "w", (), dry_run=dry_run, yes=yes, as_json=as_json
    )


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_old_results_are_deleted_and_used_ones_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand = Stand()
    assert clean(stand, yes=True) == 0
    assert stand.removed == ["a", "b"]
    assert {query["created_before"] for query in stand.queries} == {BEFORE}
    assert stand.queries[0]["state"] == ["cancelled", "completed", "failed"]
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["items"] == ["a", "used", "b"]
    assert (document["count"], document["deleted"]) == (3, ["a", "b"])
    (kept,) = document["kept"]
    assert kept["invocation_id"] == "used"
    assert "d1 needs them" in captured.err


def test_a_dry_run_deletes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stand = Stand()
    assert clean(stand, dry_run=True, as_json=False) == 0
    assert stand.removed == []
    captured = capsys.readouterr()
    assert captured.out.split() == ["a", "used", "b"]
    assert "3 jobs would be deleted" in captured.err


@pytest.mark.parametrize(("answer", "goes"), [("y\n", True), ("\n", False)])
def test_it_asks_on_a_terminal(
    answer: str,
    goes: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", Tty(answer))
    stand = Stand()
    if goes:
        clean(stand)
    else:
        with pytest.raises(CommandFailed, match="Nothing was deleted"):
            clean(stand)
    assert bool(stand.removed) is goes
