"""What older releases of Galaxy lack."""

from __future__ import annotations

import pytest

from galaxy_jobs.adapters.embedded.galaxy_package import RELEASES
from galaxy_jobs.adapters.galaxy import releases
from galaxy_jobs.adapters.galaxy.releases import (
    ADDRESSES,
    CHECKSUMS,
    COMPLETED,
    LIMITS,
    OBJECT_STORES,
    PICK_VALUE,
    PRIVACY,
    SUB_WORKFLOWS,
)


LATER = [COMPLETED, SUB_WORKFLOWS, PICK_VALUE]


@pytest.mark.parametrize(
    ("version", "gaps"),
    [
        ("24.1.4", [ADDRESSES, CHECKSUMS, LIMITS, OBJECT_STORES, PRIVACY, *LATER]),
        ("24.2", [OBJECT_STORES, PRIVACY, *LATER]),
        ("25.0.4", [OBJECT_STORES, PRIVACY, *LATER]),
        ("25.1.3", LATER),
        ("26.0", [PICK_VALUE]),
        ("26.0.2", [PICK_VALUE]),
        ("26.1.2", []),
        ("26.1.rc1", []),
        ("26.2.0.dev0", []),
        ("who knows", []),
    ],
)
def test_what_a_version_lacks(version: str, gaps: list[releases.Gap]) -> None:
    assert list(releases.lacks(version)) == [gap.lacks for gap in gaps]


@pytest.mark.parametrize(
    ("version", "outside"),
    [
        ("23.2.1", "older than 24.1, the oldest that is tested"),
        ("24.1", None),
        ("25.0.4.dev0", None),
        ("26.1.9", None),
        ("26.2.0.dev0", "newer than 26.1, the newest that is tested"),
        ("who knows", "not known"),
    ],
)
def test_versions_outside_the_tested_ones(version: str, outside: str | None) -> None:
    assert releases.untested(version) == outside


def test_the_tested_releases_are_those_that_can_be_installed() -> None:
    assert (RELEASES[0], RELEASES[-1]) == (releases.OLDEST, releases.NEWEST)
