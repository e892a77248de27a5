"""Locks, processes and logs, for both embedded services.

Rule of the file: records of a process that is gone are not trusted. The kernel
releases a lock when its holder ends, and a process id counts only together with
what ``/proc`` shows of it now.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from galaxy_jobs.adapters.embedded.errors import EmbeddedError


Progress = Callable[[str], None]
"""Called with short phrases about the progress of a long action."""


HOST = "127.0.0.1"
"""The address that embedded servers listen on."""

LOCK_POLL_INTERVAL = 0.05
"""Seconds between two attempts to take a lock within a time."""

ENVIRONMENT = slice(47, 49)
"""Its begin and its end, among the fields of ``/proc/PID/stat`` after the name."""

EXEC_TIMEOUT = 5.0
"""Seconds to wait for a process that becomes another program."""


@contextmanager
def locked(
    path: Path,
    on_wait: Callable[[], None] = lambda: None,
    *,
    timeout: float = float("inf"),
) -> Iterator[None]:
    """Hold the lock file *path* exclusively while the block runs.

    Each call opens the file again, so that threads exclude each other too. Python
    opens it with ``O_CLOEXEC``: programs started in the block do not keep the lock.

    Args:
        path: The file; created if it does not exist.
        on_wait: Called before waiting for another holder.
        timeout: Seconds to wait for it.

    Raises:
        EmbeddedError: It did not let go of the lock in time.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + timeout
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            _wait_for(descriptor, path, deadline)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise EmbeddedError(
                    f"Another process holds {path}: it is starting or stopping the "
                    "server. Try again later."
                ) from None
            time.sleep(LOCK_POLL_INTERVAL)
        else:
            return


def absolute(path: Path) -> Path:
    """Return the absolute path, with ``~`` expanded and links resolved.

    One folder with two names must not get two servers on the same data.
    ``Path.resolve`` would raise on folders that we may not enter.
    """
    return Path(os.path.realpath(path.expanduser()))


def need_proc() -> None:
    """Check that ``/proc`` exists.

    Raises:
        EmbeddedError: This is not Linux, or ``/proc`` is not mounted.
    """
    if not Path("/proc/self/stat").exists():
        raise EmbeddedError(
            "The embedded services need Linux with /proc. Set DATABASE_URL and "
            "GALAXY_URL to servers of your own."
        )


def is_alive(pid: int) -> bool:
    """Whether a process *pid* is alive; a zombie is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # The second field is the program's name and may hold spaces and brackets.
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def own_environment() -> dict[str, str]:
    """Return the variables of ours that PostgreSQL's programs need: no secrets."""
    names = ("HOME", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
    return {name: os.environ[name] for name in names if name in os.environ}


def process_ids() -> Iterator[int]:
    """Yield the ids of all processes."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed
        if entry.isdigit():
            yield int(entry)


def tail(path: Path, lines: int = 3, start: int = 0, separator: str = " | ") -> str:
    """Return the last *lines* of a log after byte *start*, as one line."""
    try:
        with path.open("rb") as log:
            log.seek(start)
            text = log.read()[-10_000:].decode("utf-8", "replace")
    except OSError:
        return ""
    return separator.join(text.strip().splitlines()[-lines:])


def marked_processes(marker: str) -> set[int]:
    """Return the ids of the processes that have an entry *marker* in their PATH.

    PATH, since a server passes it to what it starts, and hardly any other variable.
    """
    wanted = os.fsencode(marker)
    pids = set()
    for pid in process_ids():
        # Another user's are not readable, and a zombie has none.
        with suppress(OSError):
            for variable in _environment(pid).split(b"\0"):
                name, _, value = variable.partition(b"=")
                if name == b"PATH" and wanted in value.split(b":"):
                    pids.add(pid)
    return pids


def _environment(pid: int) -> bytes:
    """Return the environment of a process.

    For a moment, a process that becomes another program shows none, and that of the new
    one is nowhere yet.

    Raises:
        OSError: It is not readable, or the process has no program: it has ended, or is
            the kernel's own.
    """
    files = Path(f"/proc/{pid}")
    deadline = time.monotonic() + EXEC_TIMEOUT
    while not (environment := (files / "environ").read_bytes()):
        os.readlink(files / "exe")  # noqa: PTH115
        stat = (files / "stat").read_text(encoding="utf-8", errors="replace")
        begin, end = stat.rpartition(")")[2].split()[ENVIRONMENT]
        if begin == end != "0" or time.monotonic() > deadline:
            break
        time.sleep(0.001)
    return environment


def kill_marked(marker: str, timeout: float) -> None:
    """Kill the processes of :func:`marked_processes`, as a power cut would.

    Raises:
        EmbeddedError: One is still alive after so many seconds.
    """
    deadline = time.monotonic() + timeout
    killed: set[int] = set()
    # Repeatedly: a process may have started another one before it was killed. One
    # that is ending has lost its environment, and still holds the port.
    while (alive := marked_processes(marker)) or any(map(is_alive, killed)):
        if time.monotonic() > deadline:
            pids = ", ".join(map(str, alive | killed))
            raise EmbeddedError(f"The processes {pids} cannot be killed.")
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= alive
        time.sleep(0.02)


def is_free(port: int) -> bool:
    """Whether a server could listen on a port."""
    with socket.socket() as sock:
        # As the server does: connections in TIME_WAIT do not matter.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port(taken: int) -> int:
    """Return the next free port above *taken*.

    Not one of the kernel's choice: it chooses from the range for outgoing connections,
    and the port might be in use at the next start.

    Raises:
        EmbeddedError: A thousand ports are taken.
    """
    for port in range(taken + 1, taken + 1000):
        if is_free(port):
            return port
    raise EmbeddedError(f"No port from {taken} to {taken + 999} is free.")


def write_private(path: Path, text: str) -> None:
    """Replace the file *path* atomically, readable by its owner only."""
    partial_file = path.with_name(f"{path.name}.new")
    partial_file.unlink(missing_ok=True)
    descriptor = os.open(partial_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        file.write(text)
    partial_file.replace(path)
