"""A service to attack, and the table of what the attacks cost."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.attacks.measure import Attack
from tests.support.postgres import database_url, postgres_url, template_database
from tests.support.service import Service, service


__all__ = ["database_url", "postgres_url", "template_database"]

ATTACKS = pytest.StashKey[dict[str, tuple[Attack, str]]]()


@pytest.fixture
def attack() -> Attack:
    """Takes the measurements of the test."""
    return Attack()


@pytest.fixture
def api(tmp_path: Path, database_url: str) -> Iterator[Service]:
    """The API on a database of its own, without tokens; no Galaxy listens."""
    with service(
        tmp_path, database=database_url, galaxy="http://127.0.0.1:9", key="none"
    ) as running:
        running.cold = True
        running.serve()
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    outcome = yield
    if isinstance(attack := pyfuncitem.funcargs.get("attack"), Attack):
        assert attack.measurements, "an attack that measures nothing shows nothing"
        attack.verify()
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    attacks = item.config.stash.setdefault(ATTACKS, {})
    if report.failed or report.when == "call":
        attack = getattr(item, "funcargs", {}).get("attack", Attack())
        held = "held" if report.passed and attacks.get(item.name) is None else "BROKEN"
        attacks[item.name] = (attack, held)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    attacks = config.stash.get(ATTACKS, {})
    for name, (attack, held) in attacks.items():
        words = name.removeprefix("test_").replace("_", " ")
        terminalreporter.write_line(f"{held:7}{words}")
        for measurement in attack.measurements:
            terminalreporter.write_line(f"       {measurement}")
    count = sum(held == "held" for _, held in attacks.values())
    terminalreporter.write_line(f"attacks={len(attacks)} held={count}")
