"""What Galaxy may say where a text or a number is expected, and storing it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from attrs import evolve
from hypothesis import strategies as st

from galaxy_jobs.adapters.testing.contracts.repositories import (
    DAY,
    HERE,
    HOUR,
    LATER,
    Repositories,
    a_submission,
    sighting,
)
from galaxy_jobs.domain import InvocationState
from galaxy_jobs.domain.model.invocation import Failure, Progress, StepSummary
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import Claim, Look


TEXT = st.text(st.characters(), max_size=20)  # with NUL and halves of characters
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | TEXT
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.builds(lambda: 10**5000)  # Python cannot print it
    | st.sampled_from([-(2**80), b"bytes", {1}, "x" * 100_000]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=5,
)
SIGHTINGS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "galaxy_state": TEXT,
        "attention": TEXT,
        "progress": st.builds(Progress, total=VALUES, ok=VALUES),
        "failure": st.builds(
            Failure,
            reason=TEXT,
            step=VALUES,
            step_index=VALUES,
            tool=VALUES,
            exit_code=VALUES,
        ),
        "steps": st.builds(
            StepSummary,
            index=VALUES,
            label=VALUES,
            tool=VALUES,
            state=VALUES,
            jobs=st.dictionaries(TEXT, VALUES, max_size=2),
        ).map(lambda step: (step,)),
    },
)


def store_between_others(repositories: Repositories, fields: dict[str, Any]) -> None:
    """Write back a look of such a sighting, with others before and behind it."""
    repositories.pass_time(DAY)
    runs = [
        repositories.accepted(uuid4().hex, a_submission(dataset_id="d1"))
        for _ in range(3)
    ]
    claims: dict[InvocationId, Claim] = {}
    while not {run.invocation_id for run in runs} <= claims.keys():
        # Others that earlier tests left are due before them.
        due = repositories.queue.claim(HERE, limit=1000, lease=HOUR)
        assert due
        claims |= {claim.invocation_id: claim for claim in due}
    looks = []
    for run in runs:
        odd = fields if run is runs[1] else {}
        after = run.seen(sighting(InvocationState.IN_PROGRESS, **odd), LATER)
        claim = claims[run.invocation_id]
        look = Look(claim=claim, before=run, after=after, answered=True, next_in=HOUR)
        looks.append(evolve(look, summary=fields.get("galaxy_state")))
    stored = repositories.queue.write_back(looks)
    assert set(stored.unstorable) <= {runs[1].invocation_id}
    assert stored.changes == len(runs) - len(stored.unstorable)
    for run in runs:
        kept = repositories.invocations.get(run.invocation_id, SERVICE)
        moved = kept.state is InvocationState.IN_PROGRESS
        assert moved == (run.invocation_id not in stored.unstorable)
