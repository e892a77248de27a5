"""The service as it is run in earnest: its commands, as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import requests
from attrs import define, field

from galaxy_jobs.entrypoints import poller
from tests.support import forks
from tests.support.wait import until


ENDED = frozenset({"completed", "failed", "cancelled"})


class Process(Protocol):
    """What is needed of a :class:`subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...
    def send_signal(self, sig: int) -> None: ...


@define
class Command:
    """One of our commands, running."""

    process: Process
    log: Path

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, limit: float = 20) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(limit)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def logged(self) -> list[dict[str, Any]]:
        """Return what it logged: a JSON object a line."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@define
class Service:
    """Starts our commands with one environment, and speaks to the API.

    Attributes:
        env: The environment of the commands.
        folder: Where they run and log.
        cold: Whether each command is a new Python, as a shell starts it; otherwise
            it is forked from one that has imported everything.
        change: Called in each forked process before the command runs.
        url: The address of the API that was started last.
        token: The token that a test made.
        commands: Those that were started, oldest first.
    """

    env: Mapping[str, str]
    folder: Path
    cold: bool = False
    change: forks.Change | None = None
    url: str = ""
    token: str = ""
    commands: list[Command] = field(factory=list)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        if not self.cold:
            return forks.run(
                arguments, env=self.env, folder=self.folder, change=self.change
            )
        return subprocess.run(
            [sys.executable, "-m", "galaxy_jobs.entrypoints", *arguments],
            check=False,
            env=dict(self.env),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self, *arguments: str) -> Command:
        """Start a command that goes on."""
        log = self.folder / f"{arguments[0]}-{len(self.commands)}.log"
        command = Command(self._started(arguments, log), log)
        self.commands.append(command)
        return command

    def _started(self, arguments: Sequence[str], log: Path) -> Process:
        log.write_bytes(b"")
        log.chmod(0o600)
        if not self.cold:
            return forks.start(
                arguments,
                env=self.env,
                folder=self.folder,
                out=log,
                change=self.change,
            )
        with log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "galaxy_jobs.entrypoints", *arguments],
                env=dict(self.env),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def serve(self, *arguments: str) -> Command:
        """Start the API on a free port and wait until it is ready."""
        command = self.start("serve", "--port", "0", *arguments)

        def address() -> str | None:
            assert command.process.poll() is None, command.log.read_text()
            told = [one for one in command.logged() if one["event"] == "serving"]
            return told[0]["url"] if told else None

        self.url = until(address, 60)
        until(lambda: self.request("GET", "/health/ready").ok, 60)
        return command

    def poll(self, every: float = 0.3) -> Command:
        """Start a polling loop."""
        return self.start("poll", "--every", str(every))

    def stop(self) -> None:
        for command in reversed(self.commands):
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.process.send_signal(signal.SIGCONT)
                command.stop()

    def request(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> requests.Response:
        """Ask the API."""
        with requests.Session() as session:
            # It would read all variables, which pytest changes while threads ask.
            session.trust_env = False
            return session.request(
                method,
                self.url + path,
                json=body,
                headers={
                    name.replace("_", "-"): text for name, text in headers.items()
                },
                timeout=120,
            )

    def get(self, path: str) -> Any:
        answer = self.request("GET", path)
        assert answer.ok, answer.text
        return answer.json()

    def post(self, path: str, body: object, **headers: str) -> Any:
        answer = self.request("POST", path, body, **headers)
        assert answer.ok, answer.text
        return answer.json()

    def dataset(self, src: str, id_: str) -> str:
        """Register data of Galaxy, whatever it says of it; return the dataset's id."""
        body = {"name": "test data", "source": {"src": src, "id": id_}}
        dataset_id: str = self.post("/datasets?check=false", body)["dataset_id"]
        return dataset_id

    def submit(
        self, dataset_id: str, workflow: str, parameters: object = None, **more: object
    ) -> str:
        """Submit a job that must be accepted, and return its id."""
        body = {
            "dataset_id": dataset_id,
            "workflow_name": workflow,
            "parameters": parameters or {},
            **more,
        }
        invocation_id: str = self.post("/jobs", body)["invocation_id"]
        return invocation_id

    def job(self, invocation_id: str) -> Any:
        return self.get(f"/jobs/{invocation_id}")

    def wait(
        self, invocation_id: str, *states: str, timeout: float = 120
    ) -> dict[str, Any]:
        """Wait until a job is in one of the states; none given: has ended."""
        wanted = set(states) or ENDED

        def there() -> dict[str, Any] | None:
            job = self.job(invocation_id)
            if job["state"] in ENDED - wanted:
                raise AssertionError(f"ended otherwise: {json.dumps(job, indent=1)}")
            return job if job["state"] in wanted else None

        return until(there, timeout, every=0.1)


def environment(
    folder: Path, *, database: str, galaxy: str, key: str, **more: str
) -> dict[str, str]:
    """Return what our commands are told in these tests."""
    return {
        **os.environ,
        "DATABASE_URL": database,
        "GALAXY_URL": galaxy,
        "GALAXY_API_KEY": key,
        "GALAXY_JOBS_HOME": str(folder),
        **more,
    }


def report_each_sweep() -> None:
    """Have a poller log at each sweep, also if there is nothing to do."""
    poller.REPORT_INTERVAL = 0.0


@contextlib.contextmanager
def running(service: Service) -> Iterator[Service]:
    """Migrate its database; at the end of the block, stop all of its commands."""
    done = service.run("migrate")
    assert done.returncode == 0, done.stderr
    try:
        yield service
    finally:
        service.stop()


@contextlib.contextmanager
def service(
    folder: Path, *, database: str, galaxy: str, key: str, **more: str
) -> Iterator[Service]:
    """Make a service, with its database migrated and nothing started.

    Args:
        folder: Where it runs.
        database: ``DATABASE_URL``.
        galaxy: ``GALAXY_URL``.
        key: ``GALAXY_API_KEY``.
        more: Further variables of the environment.
    """
    env = environment(folder, database=database, galaxy=galaxy, key=key, **more)
    with running(Service(env, folder)) as made:
        yield made
