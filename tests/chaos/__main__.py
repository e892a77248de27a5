"""``python -m tests.chaos --seed 7``, or ``make chaos SEED=7``."""

from __future__ import annotations

import argparse
import random
import sys
from uuid import uuid4

from tests.chaos.run import EVERY_FAULT, Plan, run, say
from tests.support.galaxy import shared_galaxy


def main(arguments: list[str] | None = None) -> int:
    """Run it and print what came of it, in one line."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument(
        "--unsafe",
        action="store_true",
        help="record a submission only after the invoke, to see that this is noticed",
    )
    given = parser.parse_args(arguments)
    seed = random.randrange(10**6) if given.seed is None else given.seed
    plan = Plan(
        seed=seed,
        submissions=given.submissions,
        kills=given.kills,
        unsafe=given.unsafe,
    )
    say(f"SEED={seed}")
    with shared_galaxy(say) as galaxy:
        outcome = run(plan, galaxy.url, galaxy.user_key(f"chaos-{uuid4().hex[:8]}"))
    print(outcome)
    untried = EVERY_FAULT - set(outcome.faults)
    if untried:
        say(f"never happened: {', '.join(sorted(untried))}; repeat it with more")
    return 0 if outcome.verdict.good and not untried else 1


if __name__ == "__main__":
    sys.exit(main())
