"""A small Galaxy over HTTP that follows many runs, for measuring with.

It answers what a poller asks, in the shapes and words that a real Galaxy's answers
were recorded in; a test compares them with a real Galaxy's. All answers are made
beforehand, and it runs in a process of its own, so that it is not what is measured.

``/bench/...`` is not Galaxy's: it tells what was asked, and lets runs move.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import requests
import uvloop
from attrs import define, field, frozen


RECORDINGS = Path(__file__).parents[1] / "tests/unit/recorded"
RECORDED = max(
    folder
    for folder in RECORDINGS.iterdir()
    if folder.name <= (os.environ.get("GALAXY") or folder.name)
)
"""The answers of the release that tests run on, or of the next older one."""
KEY = "bench"
PLACEHOLDER = "@invocation@"
HISTORY = "@history@"


def id_of(number: int) -> str:
    """Return the id of a run; ids are as long as Galaxy's."""
    return f"{number:016x}"


def recorded(name: str) -> Any:
    """Return an answer that a real Galaxy gave."""
    return json.loads((RECORDED / f"{name}.json").read_text())["answer"]


def run(name: str) -> str:
    """Return how a run was shown, with placeholders for its id and its history's."""
    shown = recorded(name)
    text = json.dumps(shown).replace(shown["id"], PLACEHOLDER)
    return text.replace(shown["history_id"], HISTORY)


def summary(shown: str) -> str:
    """Return what the bulk answer says of a run that is shown so."""
    states: Counter[str] = Counter()
    for step in json.loads(shown)["steps"]:
        states.update(job["state"] for job in step["jobs"])
    one = dict(next(iter(recorded("bulk"))))
    one |= {"id": PLACEHOLDER, "states": states, "populated_state": "ok"}
    return json.dumps(one)


@define
class Simulated:
    """The Galaxy.

    Attributes:
        count: How many runs it has.
        latency: Seconds that each answer takes.
        per_id: Seconds that a bulk answer takes on top for each run.
        answers_in_bulk: Whether it knows the bulk question.
        moved: The runs that have ended well; the others run.
        gone: Those that it does not know any more.
        asked: What was asked, by kind.
        log: Who asked about which run when, if that is wanted.
    """

    count: int
    latency: float = 0.0
    per_id: float = 0.0
    answers_in_bulk: bool = True
    logs: bool = False
    moved: set[str] = field(factory=set, init=False)
    gone: set[str] = field(factory=set, init=False)
    asked: Counter[str] = field(factory=Counter, init=False)
    log: list[tuple[float, str, list[str]]] = field(factory=list, init=False)
    running: str = field(factory=lambda: run("run_slow"), init=False)
    done: str = field(factory=lambda: run("run_success"), init=False)
    user: bytes = field(
        factory=lambda: json.dumps(recorded("user")).encode(), init=False
    )
    _in_bulk: dict[bool, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._in_bulk = {False: summary(self.running), True: summary(self.done)}

    def answer(self, path: str, query: str, key: str) -> tuple[int, bytes, float]:
        """Return status, body and seconds that it takes."""
        parts = path.strip("/").split("/")
        match parts:
            case ["api", "users", "current"]:
                self.asked["identity"] += 1
                return 200, self.user, self.latency
            case ["api", "histories", _, "jobs_summary"] if self.answers_in_bulk:
                ids = query.partition("ids=")[2].partition("&")[0].split(",")
                self.asked["bulk"] += 1
                self.note(key, ids)
                takes = self.latency + self.per_id * len(ids)
                if not all(map(self.knows, ids)):
                    return 500, b"Internal Server Error", takes
                return 200, self.in_bulk(ids), takes
            case ["api", "invocations", id_]:
                self.asked["look"] += 1
                self.note(key, [id_])
                if not self.knows(id_):
                    said = {"err_msg": "Invocation not found", "err_code": 404001}
                    return 404, json.dumps(said).encode(), self.latency
                shown = self.done if id_ in self.moved else self.running
                history = f"{int(id_, 16):x}".rjust(16, "f")  # as in the store
                body = shown.replace(PLACEHOLDER, id_).replace(HISTORY, history)
                return 200, body.encode(), self.latency
            case ["bench", *rest]:
                return 200, self.control(rest, query), 0
            case _:
                self.asked["other"] += 1
                said = {"err_msg": f"No route for {path}", "err_code": 404001}
                return 404, json.dumps(said).encode(), self.latency

    def knows(self, id_: str) -> bool:
        """Whether there is such a run."""
        with contextlib.suppress(ValueError):
            return id_ not in self.gone and 0 <= int(id_, 16) < self.count
        return False

    def in_bulk(self, ids: Iterable[str]) -> bytes:
        """Return the bulk answer."""
        told = (
            self._in_bulk[id_ in self.moved].replace(PLACEHOLDER, id_) for id_ in ids
        )
        return f"[{','.join(told)}]".encode()

    def note(self, key: str, ids: list[str]) -> None:
        """Remember who asked."""
        if self.logs:
            self.log.append((time.monotonic(), key, ids))

    def control(self, words: list[str], query: str) -> bytes:
        """Do what the benchmark wants."""
        told: Any = None
        match words:
            case ["asked"]:
                told = dict(self.asked)
                self.asked.clear()
            case ["log"]:
                told = self.log
            case ["move"]:
                self.moved.update(query.split(","))
            case ["lose"]:
                self.gone.update(query.split(","))
            case _:
                raise ValueError(words)
        return json.dumps(told).encode()


@define(eq=False)
class Connection(asyncio.Protocol):
    """One client; its requests come one after the other."""

    galaxy: Simulated
    transport: asyncio.Transport = field(init=False)
    _came: bytes = field(default=b"", init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer, once the head is there; no request has a body."""
        self._came += data
        head, end, self._came = self._came.partition(b"\r\n\r\n")
        if not end:
            self._came = head
            return
        line, *lines = head.decode("latin-1").split("\r\n")
        key = next(
            (one[11:] for one in lines if one.lower().startswith("x-api-key:")), ""
        )
        path, _, query = line.split(" ")[1].partition("?")
        status, body, takes = self.galaxy.answer(path, query, key.strip())
        said = (
            f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        asyncio.get_running_loop().call_later(takes, self.say, said)

    def say(self, answer: bytes) -> None:
        """Answer, unless who asked is gone."""
        if not self.transport.is_closing():
            self.transport.write(answer)


@frozen
class Galaxy:
    """A simulated Galaxy that runs, seen from outside."""

    url: str

    def asked(self) -> Counter[str]:
        """Return what was asked since this was last called, by kind."""
        return Counter(self._control("asked"))

    def log(self) -> list[tuple[float, str, list[str]]]:
        """Return who asked about what when."""
        return [(at, key, ids) for at, key, ids in self._control("log")]

    def move(self, ids: Iterable[str]) -> None:
        """Let runs end well."""
        self._control("move", ids)

    def lose(self, ids: Iterable[str]) -> None:
        """Let Galaxy forget runs."""
        self._control("lose", ids)

    def _control(self, word: str, ids: Iterable[str] = ()) -> Any:
        url = f"{self.url}/bench/{word}?{','.join(ids)}"
        return requests.get(url, timeout=60).json()


@contextlib.contextmanager
def simulated(count: int, **options: float) -> Iterator[Galaxy]:
    """Start one in a process of its own; see :class:`Simulated` for the options."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.galaxy", f"--count={count}", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert process.stdout is not None
        yield Galaxy(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.communicate()


async def serve(galaxy: Simulated) -> None:
    """Serve for ever, and say where."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(galaxy), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0)
    parser.add_argument("--per-id", type=float, default=0)
    parser.add_argument("--answers-in-bulk", type=int, default=1)
    parser.add_argument("--logs", type=int, default=0)
    said = parser.parse_args()
    uvloop.run(
        serve(
            Simulated(
                said.count,
                latency=said.latency,
                per_id=said.per_id,
                answers_in_bulk=bool(said.answers_in_bulk),
                logs=bool(said.logs),
            )
        )
    )


if __name__ == "__main__":
    main()
