"""Policies refuse what would never end, or never wait."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import attrs
import pytest

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.use_cases import PollPolicy, ReconcilePolicy, SubmitPolicy


FIELDS = [
    pytest.param(policy, field.name, id=f"{policy.__name__}.{field.name}")
    for policy in (PollPolicy, ReconcilePolicy, SubmitPolicy)
    for field in attrs.fields(policy)
]


@pytest.mark.parametrize(("policy", "name"), FIELDS)
def test_every_number_and_duration_of_a_policy_is_checked(
    policy: type[Any], name: str
) -> None:
    default = getattr(policy(), name)
    negative = -default or -1
    with pytest.raises(InvalidValue, match=f"^{name} must be .*, got -"):
        policy(**{name: negative})
    if name not in {"jitter", "confirm_after", "max_active"}:
        with pytest.raises(InvalidValue, match=f"^{name} must be above 0, got 0"):
            policy(**{name: default * 0})


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("name", ["backoff_ratio", "jitter"])
def test_a_ratio_is_a_finite_number(name: str, value: float) -> None:
    with pytest.raises(InvalidValue, match=name):
        PollPolicy(**{name: value})  # type: ignore[arg-type]


def test_jitter_leaves_an_interval_above_zero() -> None:
    assert PollPolicy(jitter=0).interval(timedelta(0), 0) > timedelta(0)
    with pytest.raises(InvalidValue, match="jitter must be from 0 to below 1, got 1"):
        PollPolicy(jitter=1)


def test_the_shortest_interval_is_not_above_the_longest() -> None:
    with pytest.raises(InvalidValue) as refusal:
        PollPolicy(min_interval=timedelta(seconds=9), max_interval=timedelta(seconds=1))
    assert str(refusal.value) == "min_interval (9 s) is above max_interval (1 s)."
