"""What an attack costs: memory and CPU time of a process, and other clients' time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests
from attrs import define, field, frozen


MIB = 2**20


@frozen
class Measurement:
    """One figure of an attack, and the most that it may be."""

    name: str
    value: float
    at_most: float
    unit: str

    @property
    def held(self) -> bool:
        return self.value <= self.at_most

    def __str__(self) -> str:
        figure = f"{self.value:.4g} {self.unit} (at most {self.at_most:g})"
        return f"{self.name}: {figure}{'' if self.held else ' BROKEN'}"


@define
class Attack:
    """The measurements of one attack."""

    measurements: list[Measurement] = field(factory=list)

    def at_most(self, bound: float, name: str, value: float, unit: str) -> None:
        """Note a figure. The test fails at its end if any is above its bound."""
        self.measurements.append(Measurement(name, value, bound, unit))

    def verify(self) -> None:
        """Raise AssertionError if a bound was broken."""
        broken = [str(figure) for figure in self.measurements if not figure.held]
        assert not broken, "; ".join(broken)


@define
class Peak:
    """The memory of a process since the block began.

    Attributes:
        growth: The highest resident memory in the block above that at its start, in
            MiB; set at its end.
    """

    growth: float = 0.0


@contextmanager
def peak_memory(pid: int) -> Iterator[Peak]:
    """Measure how far the memory of a process rises while the block runs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM starts again
    before, peak = memory(pid), Peak()
    yield peak
    peak.growth = _status(pid, "VmHWM") - before


def memory(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    return _status(pid, "VmRSS")


def descriptors(pid: int) -> int:
    """Return the number of open descriptors of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def cpu_time(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _status(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    if name not in status:  # the process has ended
        return 0.0
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


@define
class Client:
    """Another client's requests, one after the other.

    Attributes:
        seconds: How long each took.
        statuses: The status of each; 0: no answer.
    """

    seconds: list[float] = field(factory=list)
    statuses: list[int] = field(factory=list)

    def quantile(self, share: float) -> float:
        """Return the time within which that share was answered, in ms."""
        assert self.seconds, "the client was not answered once"
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(math.ceil(share * len(ordered)), len(ordered)) - 1]

    @property
    def slowest(self) -> float:
        """The longest time, in ms."""
        return self.quantile(1)


@contextmanager
def another_client(
    url: str, *, token: str | None = None, pause: float = 0.005
) -> Iterator[Client]:
    """Send GET requests to a URL from a thread while the block runs."""
    client, stopping = Client(), threading.Event()

    def run() -> None:
        with requests.Session() as session:
            if token:
                session.headers["Authorization"] = f"Bearer {token}"
            while not stopping.is_set():
                began, status = time.monotonic(), 0
                with suppress(requests.RequestException):
                    status = session.get(url, timeout=60).status_code
                client.seconds.append(time.monotonic() - began)
                client.statuses.append(status)
                stopping.wait(pause)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield client
    finally:
        stopping.set()
        thread.join()
