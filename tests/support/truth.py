"""What Galaxy really ran, asked of Galaxy itself and of nobody of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import psycopg
import requests
from attrs import frozen


Thing = Mapping[str, Any]

SETTLED = frozenset(
    {"ok", "error", "failed", "paused", "deleted", "skipped", "stopped"}
)
"""Galaxy's words for jobs that do not change any more."""


@frozen
class Truth:
    """Knows which runs there are for a submission.

    Attributes:
        url: Galaxy's own address, not a proxy's.
        key: The key the service uses.
        database: Where the submissions are.
    """

    url: str
    key: str
    database: str

    def ask(self, path: str, **params: object) -> Any:
        answer = requests.get(
            f"{self.url}/api/{path}",
            params=cast("Any", params),
            headers={"x-api-key": self.key},
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json()

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def submissions(self, idempotency_key: str) -> list[str]:
        """Return the ids of all submissions that were made with a key."""
        found = self.rows(
            "SELECT submission_id::text FROM submissions WHERE key = %s",
            idempotency_key,
        )
        return [row[0] for row in found]

    def open(self) -> int:
        """Return how many submissions are not settled."""
        return int(
            self.rows(
                "SELECT count(*) FROM submissions"
                " WHERE state IN ('submitting', 'unknown')"
            )[0][0]
        )

    def histories(self, submission_id: str) -> list[Thing]:
        """Return the histories made for a submission, deleted ones included."""
        name = f"galaxy-jobs {submission_id}"
        found: list[Thing] = self.ask(
            "histories",
            q=["name-contains", "deleted"],
            qv=[name, "None"],
            view="summary",
        )
        return found

    def invoked(self, submission_id: str) -> list[Thing]:
        """Return whatever was invoked for a submission."""
        return [
            self.ask(f"invocations/{one['id']}")
            for history in self.histories(submission_id)
            for one in self.ask(
                "invocations",
                history_id=history["id"],
                include_nested_invocations="false",
            )
        ]

    def has_ended(self, invocation_id: str) -> bool:
        """Whether nothing of a run will change any more."""

        def show(id_: str) -> Thing:
            shown: Thing = self.ask(f"invocations/{id_}", step_details="true")
            return shown

        return has_ended(show, invocation_id)

    def runs(self, submission_id: str) -> list[str]:
        """Return what Galaxy runs, or has run, for a submission.

        What it cancelled since it came into a deleted history never ran.
        """
        return [one["id"] for one in self.invoked(submission_id) if not fenced_off(one)]


def has_ended(show: Callable[[str], Thing], invocation_id: str) -> bool:
    """Whether nothing of a run will change any more, whatever the version of Galaxy.

    Servers before 26.0 never call it ``completed``: it remains ``scheduled``.

    Args:
        show: Returns an invocation with the details of its steps.
        invocation_id: The run.
    """
    shown = show(invocation_id)
    if shown["state"] in {"completed", "failed", "cancelled"}:
        return True
    return shown["state"] == "scheduled" and all(
        all(job["state"] in SETTLED for job in step["jobs"] or ())
        and (
            not (inside := step.get("subworkflow_invocation_id"))
            or has_ended(show, inside)
        )
        for step in shown["steps"]
    )


def fenced_off(invocation: Thing) -> bool:
    reasons = {message["reason"] for message in invocation.get("messages") or []}
    ended = invocation["state"] in {"cancelled", "cancelling"}
    return ended and "history_deleted" in reasons
