"""How Hypothesis runs: quickly and at random by default, at length when asked.

``pytest --hypothesis-profile=long`` searches a hundred times as far. A failure
prints the blob that brings it back.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings


settings.register_profile(
    "short",
    max_examples=60,
    stateful_step_count=30,
    deadline=None,  # the machine is shared: a slow example proves nothing
    database=None,  # unit tests leave nothing on the disk
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "long", settings.get_profile("short"), max_examples=6000, stateful_step_count=60
)
settings.load_profile("short")
