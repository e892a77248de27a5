"""What the doctor says of Galaxy's disk."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from galaxy_jobs.adapters.galaxy.quota import DiskUsage, disk_usage
from galaxy_jobs.entrypoints.doctor import Verdict
from tests.support.hostile_galaxy import hostile_galaxy, http
from tests.unit.test_doctor_uploads import doctor, found


GB = 10**9
USAGE = DiskUsage(
    used=80 * GB, quota=100 * GB, ours=GB, histories=100, all_counted=False
)


@pytest.mark.parametrize(
    ("usage", "verdict", "says"),
    [
        (USAGE, Verdict.OK, "used (80%)"),
        (USAGE, Verdict.OK, "in the newest 100 of our histories."),
        (evolve(USAGE, used=90 * GB), Verdict.WARN, "used (90%)"),
        (evolve(USAGE, used=120 * GB), Verdict.WARN, "galaxy-jobs clean"),
        (evolve(USAGE, quota=None), Verdict.OK, "without a limit"),
        (evolve(USAGE, all_counted=True), Verdict.OK, "of it in our histories."),
        (evolve(USAGE, used=None), Verdict.LEFT_OUT, "does not show"),
    ],
)
def test_the_quota(usage: DiskUsage, verdict: Verdict, says: str) -> None:
    asked = doctor()
    parts: Any = asked.parts
    parts.galaxy = lambda: SimpleNamespace(
        disk_usage=lambda: usage, may_purge=lambda: True
    )
    ((outcome, message),) = found(asked, "quota")
    assert outcome is verdict
    assert says in message


@pytest.mark.parametrize(
    ("configuration", "warnings"),
    [
        ({"allow_user_dataset_purge": False}, 1),
        ({"allow_user_dataset_purge": True}, 0),
        ({}, 0),
        ([], 0),
    ],
)
def test_a_galaxy_whose_users_may_not_purge(configuration: Any, warnings: int) -> None:
    with hostile_galaxy(
        configuration=http(json.dumps(configuration)),
        identity=http('{"total_disk_usage": 1}'),
        newest=http("[]"),
    ) as galaxy:
        _, *more = found(doctor(galaxy=galaxy.url), "quota")
    assert [verdict for verdict, _ in more] == [Verdict.WARN] * warnings
    assert "allow_user_dataset_purge" in str(more) or not warnings


@pytest.mark.parametrize(
    ("user", "used", "quota"),
    [
        ({"total_disk_usage": 17.0, "quota_bytes": 100}, 17, 100),
        ({"total_disk_usage": "17", "quota_bytes": None}, 17, None),
        ({"total_disk_usage": 17, "quota_bytes": -1}, 17, None),
        ({"total_disk_usage": float("inf"), "quota_bytes": "much"}, None, None),
        ([], None, None),
    ],
)
def test_what_galaxy_shows_of_it(
    user: Any, used: int | None, quota: int | None
) -> None:
    def get(path: str, **_: object) -> Any:
        return user if path == "users/current" else [{"size": 3}, {"size": None}, {}]

    client: Any = SimpleNamespace(get=get)
    assert disk_usage(client) == DiskUsage(
        used=used, quota=quota, ours=3, histories=3, all_counted=True
    )
