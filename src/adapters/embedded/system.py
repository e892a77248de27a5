"""Locks, processes and logs, for both embedded services.

Rule of the file: records of a process that is gone are not trusted. The kernel
releases a lock when its holder ends, and a process id counts only together with
what ``/proc`` shows of it now.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from galaxy_jobs.adapters.embedded.errors import EmbeddedError


Progress = Callable[[str], None]
"""Called with short phrases about the progress of a long action."""


LOCK_POLL_INTERVAL = 0.05
"""Seconds between two attempts to take a lock within a time."""


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
