"""A short chaos, and a shorter one without the safeguard: that this one is noticed."""

from __future__ import annotations

from uuid import uuid4

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from tests.chaos.run import Plan, run


def test_under_kills_and_faults_nothing_is_lost_doubled_stuck_or_wrong(
    galaxy: LocalGalaxy,
) -> None:
    plan = Plan(seed=1, submissions=15, kills=5, restarts=1)
    outcome = run(plan, galaxy.url, galaxy.user_key(f"chaos-{uuid4().hex[:8]}"))
    assert outcome.verdict.good, outcome.verdict.sentences()
    assert outcome.submissions >= 15
    assert outcome.kills >= 5
    assert outcome.faults.total() > 5
    assert outcome.deliveries > 2 * outcome.submissions


def test_without_the_safeguard_runs_are_lost(galaxy: LocalGalaxy) -> None:
    plan = Plan(seed=1, submissions=25, kills=5, restarts=0, unsafe=True)
    outcome = run(plan, galaxy.url, galaxy.user_key(f"chaos-{uuid4().hex[:8]}"))
    assert outcome.verdict.lost
