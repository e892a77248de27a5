"""Our commands as processes of their own, many of them, started in no time.

Each is forked from a process that has everything imported and has done nothing
yet: importing takes seconds, and a test that kills a process needs a new one each
time. From the fork on they are what a shell would have started.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from attrs import define, field, frozen

from tests.support.service import Command, Service


_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "galaxy_jobs.entrypoints.cli",
        "galaxy_jobs.entrypoints.poller",
        "galaxy_jobs.entrypoints.serve",
    ]
)

Change = Callable[[], object]


@frozen
class Forked:
    """One of them; looks like a :class:`subprocess.Popen`."""

    process: BaseProcess

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout or 0)
        return self.process.exitcode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, sig: int) -> None:
        if self.process.exitcode is None:
            os.kill(self.pid, sig)


@define
class Forks(Service):
    """Starts our commands by forking.

    Attributes:
        change: Called in each new process before anything else: what is to be
            different there. A function of a module.
    """

    change: Change | None = field(default=None)

    def start(self, *arguments: str) -> Command:
        log = self.folder / f"{arguments[0]}-{len(self.commands)}.log"
        log.touch(mode=0o600)
        process = _FORKS.Process(
            target=_run,
            args=(arguments, dict(self.env), self.folder, log, self.change),
            name=log.stem,
            daemon=True,
        )
        process.start()
        command = Command(Forked(process), log)
        self.commands.append(command)
        return command


def _run(
    arguments: tuple[str, ...],
    env: Mapping[str, str],
    folder: Path,
    log: Path,
    change: Change | None,
) -> None:
    # Should whoever tests be killed itself, nothing of it is to stay behind.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if change is not None:
        change()
    from galaxy_jobs.entrypoints import cli  # noqa: PLC0415 - imported there already

    sys.exit(cli.run(list(arguments)))
