"""Runs commands in processes forked from one that has imported everything.

A cold start of Python costs a second of computing, most of it imports. The fork
server has imported our modules and done nothing else: what it forks is in the state
of a new process, and a test can have as many as it needs. The console script itself
is run where the start is what is tested (see ``Service.cold``).
"""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from attrs import frozen


_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "galaxy_jobs.adapters.galaxy",
        "galaxy_jobs.adapters.postgres",
        "galaxy_jobs.entrypoints.app",
        "galaxy_jobs.entrypoints.cli",
        "galaxy_jobs.entrypoints.container",
        "galaxy_jobs.entrypoints.doctor",
        "galaxy_jobs.entrypoints.poller",
        "galaxy_jobs.entrypoints.serve",
    ]
)

PR_SET_PDEATHSIG = 1

Change = Callable[[], object]
"""Changes the new process before the command runs. A function of a module."""


@frozen
class Forked:
    """A forked process, with the interface of :class:`subprocess.Popen`."""

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


def start(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    out: Path,
    err: Path | None = None,
    change: Change | None = None,
) -> Forked:
    """Start one of our commands.

    Args:
        arguments: The command and its arguments.
        env: Its whole environment.
        folder: Where it runs.
        out: The file that its standard output is appended to.
        err: The same for standard error; None: also `out`.
        change: Called in the process before the command.
    """
    process = _FORKS.Process(
        target=_run,
        args=(tuple(arguments), dict(env), folder, (out, err or out), change),
        name=arguments[0] if arguments else "galaxy-jobs",
        daemon=True,
    )
    process.start()
    return Forked(process)


def run(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    timeout: float = 120,
    change: Change | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run one of our commands to its end, as :func:`subprocess.run` does.

    Raises:
        subprocess.TimeoutExpired: It did not end in time, and was killed.
    """
    with tempfile.TemporaryDirectory(prefix="forked-") as written:
        out, err = Path(written, "out"), Path(written, "err")
        process = start(
            arguments, env=env, folder=folder, out=out, err=err, change=change
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(
            ["galaxy-jobs", *arguments], code, out.read_text(), err.read_text()
        )


def _run(
    arguments: tuple[str, ...],
    env: Mapping[str, str],
    folder: Path,
    logs: tuple[Path, Path],
    change: Change | None,
) -> None:
    # When the test run itself is killed, none of its processes stays behind.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _redirect(Path(os.devnull), 0, os.O_RDONLY)
    for descriptor, log in enumerate(logs, 1):
        _redirect(log, descriptor, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = ["galaxy-jobs", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if change is not None:
        change()
    from galaxy_jobs.entrypoints import cli  # noqa: PLC0415 - imported there already

    try:
        code = cli.run(list(arguments))
    finally:
        # multiprocessing leaves these out.
        atexit._run_exitfuncs()
    sys.exit(code)


def _redirect(path: Path, descriptor: int, flags: int) -> None:
    opened = os.open(path, flags, 0o600)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)
