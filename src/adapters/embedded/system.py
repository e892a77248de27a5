"""What both embedded services ask of the kernel: locks, and who is alive.

Rule of the file: nothing written by a process that is gone is trusted. A lock is
held by the kernel for as long as its holder lives, and a process id is worth
something only together with what ``/proc`` says of it now.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from galaxy_jobs.adapters.embedded.errors import EmbeddedError


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file *path* alone; wait for whoever holds it, and say so.

    Each call opens the file anew, so that threads exclude each other too. Python
    opens with ``O_CLOEXEC``: no program started meanwhile keeps the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def absolute(path: Path) -> Path:
    """Return *path* from the root on, ``~`` filled in and links followed.

    One folder by two names must not become two servers on the same data.
    ``Path.resolve`` would raise on folders that we may not enter.
    """
    return Path(os.path.realpath(path.expanduser()))


def need_proc() -> None:
    """Make sure that ``/proc`` is there.

    Raises:
        EmbeddedError: This is not Linux, or ``/proc`` is not mounted.
    """
    if not Path("/proc/self/stat").exists():
        raise EmbeddedError(
            "The embedded services need Linux with /proc. Set DATABASE_URL and "
            "GALAXY_URL to servers of your own."
        )


def is_alive(pid: int) -> bool:
    """Tell whether there is a process *pid*. A zombie is not one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # The second field is the program's name and may hold spaces and brackets.
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def processes() -> Iterator[int]:
    """Yield the ids of all processes there are."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - Path.iterdir is no better here
        if entry.isdigit():
            yield int(entry)


def tail(path: Path, lines: int = 3, start: int = 0) -> str:
    """Return the last *lines* of a log from byte *start* on, joined to one line."""
    try:
        with path.open("rb") as log:
            log.seek(start)
            text = log.read()[-10_000:].decode("utf-8", "replace")
    except OSError:
        return ""
    return " | ".join(text.strip().splitlines()[-lines:])
