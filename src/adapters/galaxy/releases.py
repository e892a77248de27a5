"""What older releases of Galaxy lack, and what follows from that here.

Rule of the file: it is the one home of these facts. The adapter, ``doctor``, the table
in README and the tests on real Galaxies read them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen


OLDEST, NEWEST = "24.1", "26.1"
"""The releases between which everything is tested."""


@frozen
class Gap:
    """Something that a range of versions lacks or does wrong.

    Attributes:
        until: The first version without the gap, such as ``26.0``.
        lacks: What is missing, a noun phrase.
        effect: What it means for the users of this service.
        since: The first version with the gap; before all by default.
    """

    until: str
    lacks: str
    effect: str
    since: str = "0"

    def affects(self, version: str) -> bool:
        """Whether a version has it; False for one that cannot be read."""
        return bool(_numbers(version)) and (
            _numbers(self.since) <= _numbers(version) < _numbers(self.until)
        )


ADDRESSES = Gap(
    "24.2",
    "data by address as an input of a run",
    "Galaxy is asked to fetch it into the history of the run first. If it cannot, the "
    "jobs that need it fail.",
)
CHECKSUMS = Gap(
    "24.2",
    "checksums of data that is fetched",
    "Galaxy does not compare them: what was cut off counts as the whole.",
)
LIMITS = Gap(
    "24.2",
    "limits of parameters, and texts with several values, in imported workflows",
    "Galaxy drops them at the import; a value that does not fit is not refused before "
    "the run.",
)
OBJECT_STORES = Gap(
    "25.1",
    "checks of the object stores that a run prefers",
    "`preferred_object_store_id` and the like are ignored if there is no such store. "
    "Later releases refuse the job.",
)
PRIVACY = Gap(
    "25.1",
    "privacy of the results of public data",
    "Anyone who knows the id of one reads it, whatever its user has set there. With "
    "`[galaxy] private = true`, no job is submitted.",
)
COMPLETED = Gap(
    "26.0",
    "the state `completed` of an invocation",
    "`galaxy_state` remains `scheduled`; `state` is decided by the jobs, as always.",
)
SUB_WORKFLOWS = Gap(
    "26.0",
    "jobs of sub-workflows in bulk answers",
    "Runs with sub-workflows are asked about singly, which takes more requests.",
)
PICK_VALUE = Gap(
    "26.1",
    "steps that pick a value",
    "A workflow with one cannot be imported into Galaxy.",
)

GAPS = (
    ADDRESSES,
    CHECKSUMS,
    LIMITS,
    OBJECT_STORES,
    PRIVACY,
    COMPLETED,
    SUB_WORKFLOWS,
    PICK_VALUE,
)
"""All of them."""


def lacks(version: str) -> Sequence[str]:
    """Return what a version lacks."""
    return [gap.lacks for gap in GAPS if gap.affects(version)]


def untested(version: str) -> str | None:
    """Return how a version lies outside the tested releases; None inside."""
    release = _numbers(version)[:2]
    if not release:
        return "not known"
    if release < _numbers(OLDEST):
        return f"older than {OLDEST}, the oldest that is tested"
    if release > _numbers(NEWEST):
        return f"newer than {NEWEST}, the newest that is tested"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers at the beginning, such as (26, 1, 2) for ``26.1.2.dev0``."""
    match = re.match(r"\d{1,4}(\.\d{1,4}){0,2}(?![0-9])", version, re.ASCII)
    return tuple(map(int, match[0].split("."))) if match else ()
