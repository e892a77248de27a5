"""Waiting in tests: for a condition, never for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar


T = TypeVar("T")


def until(
    condition: Callable[[], T | None],
    timeout: float = 60.0,
    *,
    every: float = 0.02,
) -> T:
    """Ask *condition* until it says something true, and return that.

    Raises:
        AssertionError: *timeout* seconds went by.
    """
    deadline = time.monotonic() + timeout
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(
                f"{condition} was not true within {timeout:g} s: {answer!r}"
            )
        time.sleep(every)
