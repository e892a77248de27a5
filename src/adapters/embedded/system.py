"""What both embedded services ask of the kernel: locks, and who is alive.

Rule of the file: nothing written by a process that is gone is trusted. A lock is
held by the kernel for as long as its holder lives, and a process id is worth
something only together with what ``/proc`` says of it now.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galaxy_jobs.adapters.embedded.errors import EmbeddedError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file *path* alone; wait for whoever holds it.

    Each call opens the file anew, so that threads exclude each other too. Python
    opens with ``O_CLOEXEC``: no program started meanwhile keeps the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


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


def birth(pid: int) -> str | None:
    """Return when *pid* was started, in the kernel's ticks; None if it is not alive.

    A zombie is not alive. Number and birth together name a process for ever, as
    long as the machine is not booted anew: the number alone is given out again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name and may hold spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def boot() -> str:
    """Return what names the present run of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


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
