"""What was recorded of the scenarios on real Galaxies is what they expect today."""

from __future__ import annotations

import pytest

from tests.integration.scenarios import SCENARIOS, differences
from tests.support.scenario_table import recorded


RECORDED = recorded()


@pytest.mark.parametrize("release", RECORDED)
def test_what_was_recorded_is_what_is_expected(release: str) -> None:
    rows = RECORDED[release]
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    assert rows.keys() <= scenarios.keys()
    wrong = {
        name: found
        for name, row in rows.items()
        if (found := differences(scenarios[name].expected(release), row["ours"]))
    }
    assert not wrong


def test_sixty_scenarios_are_recorded_on_three_releases() -> None:
    everywhere = set.intersection(*(set(rows) for rows in RECORDED.values()))
    assert len(RECORDED) >= 3
    assert len(everywhere) >= 60
