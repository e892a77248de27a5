"""Submitting and watching where answers get lost, on the way to us and to Galaxy."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from tests.support.client import Client
from tests.support.galaxy import Lab
from tests.support.proxy import Fate, Passing, Proxy
from tests.support.service import Service, service
from tests.support.wait import until


@frozen
class Net:
    """The service between two proxies, that can lose what passes.

    Attributes:
        jobs: The service.
        gj: Client commands, which go through :attr:`front`.
        front: Between the client and the service.
        back: Between the service and Galaxy.
        text: A registered dataset.
    """

    jobs: Service
    gj: Client
    front: Proxy
    back: Proxy
    text: str

    def ran(self) -> int:
        """Return how often Galaxy was asked to run something."""
        return sum(
            passing.method == "POST"
            and passing.stage == "after"
            and "/invocations" in passing.path
            for passing in self.back.seen
        )


@pytest.fixture(scope="module")
def net(
    lab: Lab, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Net]:
    folder = tmp_path_factory.mktemp("service")
    config = folder / "config.toml"
    config.write_text("[submit]\ndeadline = 8\nfence_wait = 1\nlook_again = 2\n")
    with (
        Proxy(lab.url).running() as back,
        service(
            folder,
            database=module_database_url,
            galaxy=back.url,
            key=lab.key,
            GALAXY_JOBS_CONFIG=str(config),
        ) as running,
    ):
        running.serve()
        running.poll()
        with Proxy(running.url).running() as front:
            text = running.dataset("hda", lab.text)
            yield Net(running, Client.of(front.url, folder), front, back, text)


@pytest.fixture
def guarded(lab: Lab, database_url: str, tmp_path: Path) -> Iterator[Net]:
    """A service of the test's own: once it has a token, it lets in nobody without."""
    with service(
        tmp_path, database=database_url, galaxy=lab.url, key=lab.key
    ) as running:
        running.serve()
        with Proxy(lab.url).running() as back, Proxy(running.url).running() as front:
            text = running.dataset("hda", lab.text)
            yield Net(running, Client.of(front.url, tmp_path), front, back, text)


def job_of(output: str) -> str:
    match = re.search(r"Job (\w+) is", output)
    assert match is not None, output
    return match[1]


def test_an_answer_lost_on_the_way_to_us_is_asked_for_again(net: Net) -> None:
    before = net.ran()
    gate = net.front.gate("POST", "^/jobs$", "after")
    typed = net.gj.start("submit", net.text, "no jobs")
    gate.wait()
    gate.release(Fate.DROP)
    printed, _ = typed.communicate(timeout=120)
    assert typed.returncode == 0, printed
    assert "The answer was lost. Asking again" in printed
    assert net.jobs.wait(job_of(printed))["state"] == "completed"
    assert net.ran() == before + 1


def test_a_request_that_never_arrived_is_sent_again(net: Net) -> None:
    before = net.ran()
    gate = net.front.gate("POST", "^/jobs$", "before")
    typed = net.gj.start("submit", net.text, "no jobs")
    gate.wait()
    gate.release(Fate.DROP)
    printed, _ = typed.communicate(timeout=120)
    assert typed.returncode == 0, printed
    assert "The answer was lost. Asking again" in printed
    assert net.ran() == before + 1


def test_what_galaxy_did_not_answer_is_followed_until_it_is_found(net: Net) -> None:
    before = net.ran()
    gate = net.back.gate("POST", "/invocations", "after")
    typed = net.gj.start("submit", net.text, "no jobs", "--wait")
    gate.wait()
    gate.release(Fate.DROP)
    printed, _ = typed.communicate(timeout=300)
    assert typed.returncode == 0, printed
    assert "not known yet. Waiting until submission" in printed
    assert "completed" in printed
    assert net.ran() == before + 1


def test_what_galaxy_never_got_is_said_to_be_rejected(net: Net) -> None:
    before = net.ran()
    gate = net.back.gate("POST", "/invocations", "before")
    typed = net.gj.start("submit", net.text, "no jobs")
    gate.wait()
    gate.release(Fate.DROP)
    printed, _ = typed.communicate(timeout=300)
    assert typed.returncode == 1, printed
    assert "galaxy-jobs: Outcome unknown." not in printed
    assert net.ran() == before


def test_galaxy_away_for_a_moment_is_waited_for(net: Net) -> None:
    away = True

    def whim(passing: Passing) -> Fate:
        lost = away and passing.method == "POST" and "histories" in passing.path
        return Fate.ERROR if lost else Fate.PASS

    net.back.whim = whim
    try:
        typed = net.gj.start("submit", net.text, "no jobs")
        assert typed.stdout is not None
        assert "Galaxy unavailable." in typed.stdout.readline()
        away = False
        printed, _ = typed.communicate(timeout=120)
        assert typed.returncode == 0, printed
    finally:
        net.back.whim = lambda _: Fate.PASS


def test_ctrl_c_while_submitting_says_how_to_find_out(net: Net) -> None:
    before = net.ran()
    gate = net.front.gate("POST", "^/jobs$", "after")
    typed = net.gj.start("submit", net.text, "no jobs")
    gate.wait()
    typed.send_signal(signal.SIGINT)
    printed, _ = typed.communicate(timeout=60)
    gate.release()
    assert typed.returncode == 130
    command = re.search(r"Find out with: galaxy-jobs (.*)", printed)
    assert command is not None
    key = command[1].split()[-1]
    net.gj("submit", net.text, "no jobs", "--key", key)
    assert net.ran() == before + 1


def test_a_watch_goes_through_a_proxy_that_holds_answers_back(net: Net) -> None:
    # It lets an answer through only when it is complete.
    job = job_of(net.gj("submit", net.text, "two steps", "-p", "sleep_s=1").stdout)
    printed = net.gj("watch", job).stdout
    assert "completed    2 of 2 jobs ok" in printed


def test_a_token_is_asked_for_and_taken(guarded: Net) -> None:
    made = guarded.jobs.run("token", "create", "reader", "--scope", "read", "--json")
    assert made.returncode == 0, made.stderr
    match = re.search(r'"token": *"([^"]+)"', made.stdout)
    assert match is not None

    def closed() -> bool:
        return guarded.jobs.request("GET", "/jobs").status_code == 401

    until(closed, 30)
    done = guarded.gj("list", code=1)
    assert "Set GALAXY_JOBS_TOKEN" in done.stderr
    assert "galaxy-jobs token create" in done.stderr
    assert guarded.gj("list", GALAXY_JOBS_TOKEN=match[1]).stdout
    done = guarded.gj(
        "submit", guarded.text, "no jobs", code=1, GALAXY_JOBS_TOKEN=match[1]
    )
    assert "--scope submit" in done.stderr
    wrong = guarded.gj("list", code=1, GALAXY_JOBS_TOKEN="nonsense")
    assert "GALAXY_JOBS_TOKEN" in wrong.stderr


def test_a_token_in_the_env_file_is_taken(guarded: Net, tmp_path: Path) -> None:
    made = guarded.jobs.run("token", "create", "file", "--scope", "read", "--json")
    match = re.search(r'"token": *"([^"]+)"', made.stdout)
    assert match is not None
    (tmp_path / ".env").write_text(
        f"GALAXY_JOBS_TOKEN={match[1]}\nGALAXY_JOBS_URL={guarded.front.url}\n"
    )
    here = Client(
        {k: v for k, v in guarded.gj.env.items() if k != "GALAXY_JOBS_URL"}, tmp_path
    )
    assert here("list").returncode == 0
