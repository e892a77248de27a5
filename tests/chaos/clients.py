"""Clients that want things, and remember what they were told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests
from attrs import define, field


QUICK, SLEEPS = "quick", "sleeps"
"""A workflow without any job; one whose job sleeps ``sleep_s`` seconds."""

BATCH_SIZE = 8
"""The number of items of a batch."""

ROUNDS = 5
"""How often what was rejected of a batch is submitted again."""

REPEAT_UNTIL_DONE = frozenset({409, 429, 500, 502, 503, 504})


@define(eq=False)
class Wish:
    """One thing that a client wants to have run, once.

    Attributes:
        label: Unique; stands among the parameters of the run.
        path: Where it is sent.
        body: What is sent.
        key: The idempotency key; None: it is sent once, whatever comes.
        kind: In a word.
        told: Every run that an answer has named.
        refused: Whether an answer said that nothing was started; only counts
            where it was sent once.
        submission_id: Where an answer said to look for what became of it.
        cancelled: Whether somebody was promised that it is stopped.
        problem: An answer that should not have come.
    """

    label: str
    path: str
    body: dict[str, Any]
    key: str | None
    kind: str
    told: set[str] = field(factory=set)
    refused: bool = False
    submission_id: str | None = None
    cancelled: bool = False
    problem: str | None = None


@define(eq=False)
class Clients:
    """Some of them, at work at the same time.

    Attributes:
        urls: Tells where APIs are just now.
        datasets: Datasets for most; the last few are those that are overwritten.
        seed: For what they do, though not for when.
        wanted: How many wishes there are to be.
        go_on: Whether to go on when these are done.
        batches: Whether there are batches among them; the first one is one.
        patience: Seconds after which a client gives up to repeat.
        wishes: All of them so far.
    """

    urls: Callable[[], list[str]]
    datasets: list[str]
    seed: int
    wanted: int
    go_on: Callable[[], bool]
    batches: bool = True
    patience: float = 180
    wishes: list[Wish] = field(factory=list, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _at_work: list[Future[None]] = field(factory=list, init=False)

    def start(self, pool: ThreadPoolExecutor, count: int) -> None:
        for number in range(count):
            chance = random.Random(f"{self.seed} client {number}")
            self._at_work.append(pool.submit(self._work, chance))

    @property
    def busy(self) -> bool:
        return not all(one.done() for one in self._at_work)

    def result(self) -> None:
        """Raise what has kept one of them from working, if anything has."""
        for one in self._at_work:
            one.result()

    def _work(self, chance: random.Random) -> None:
        while wishes := self._wishes(chance):
            if wishes[0].kind == "item":
                self._run_batch(wishes, chance)
                continue
            (wish,) = wishes
            self._send(wish, chance)
            if wish.kind == "cancelled" and wish.told:
                self._cancel(wish, chance)

    def _wishes(self, chance: random.Random) -> list[Wish]:
        """Return what to send next: the items of a batch, or a single one."""
        with self._lock:
            if len(self.wishes) >= self.wanted and not self.go_on():
                return []
            label = f"wish-{len(self.wishes)}"
            ran = [one for one in self.wishes if one.told and one.kind != "cancelled"]
            kind = chance.choices(
                ["plain", "keyless", "rerun", "overwrite", "cancelled", "item"],
                [62, 10, 10, 12, 6, 4 if self.batches else 0],
            )[0]
            if kind == "item" or (self.batches and not self.wishes):
                return self._items(chance)
            path, key = "/jobs", None if kind == "keyless" else f"key of {label}"
            body: dict[str, Any] = {"parameters": {"label": label}}
            if kind == "rerun" and ran:
                path = f"/jobs/{min(chance.choice(ran).told)}/rerun"
                body["overwrite"] = False
            else:
                body["dataset_id"] = chance.choice(self.datasets[:-3])
                body["workflow_name"] = QUICK
            if kind == "overwrite":
                body["dataset_id"] = chance.choice(self.datasets[-3:])
                body["overwrite"] = True
            if kind == "cancelled":
                body["workflow_name"] = SLEEPS
                body["parameters"]["sleep_s"] = chance.choice([0, 2, 60])
            wish = Wish(label, path, body, key, kind)
            self.wishes.append(wish)
            return [wish]

    def _items(self, chance: random.Random) -> list[Wish]:
        first = len(self.wishes)
        items = [
            Wish(
                label := f"wish-{first + place}",
                "/batches",
                {
                    "dataset_id": chance.choice(self.datasets[:-3]),
                    "parameters": {"label": label},
                },
                f"key of batch {first}",
                "item",
            )
            for place in range(BATCH_SIZE)
        ]
        self.wishes += items
        return items

    def _run_batch(self, wishes: list[Wish], chance: random.Random) -> None:
        """Submit a batch, and again what of it was rejected, until all items run."""
        left = wishes
        for number in range(ROUNDS):
            body = {"workflow_name": QUICK, "items": [wish.body for wish in left]}
            batch = Wish("", "/batches", body, f"{left[0].key}, {number}", "batch")
            batch_id = self._record(batch, chance)
            left = self._rejected(batch_id, left, chance) if batch_id else []
            for wish in wishes:
                wish.problem = wish.problem or batch.problem
            if not left:
                return

    def _record(self, batch: Wish, chance: random.Random) -> str | None:
        """Send a batch until it is recorded, at times once more; return its id."""
        deadline = time.monotonic() + self.patience
        repeats = chance.choices([0, 1], [70, 30])[0]
        ids: set[str] = set()
        while time.monotonic() < deadline:
            answer = self._ask("POST", batch.path, batch.body, batch.key, chance)
            if answer is not None and answer.status_code == 201:
                ids.add(answer.json()["batch_id"])
                if len(ids) > 1:
                    batch.problem = f"several batches: {sorted(ids)}"
                if not repeats:
                    return min(ids)
                repeats -= 1
            elif answer is not None and answer.status_code not in REPEAT_UNTIL_DONE:
                batch.problem = f"{answer.status_code} {answer.text}"
                return None
            time.sleep(chance.uniform(0.1, 0.5))
        return None

    def _rejected(
        self, batch_id: str, wishes: list[Wish], chance: random.Random
    ) -> list[Wish]:
        """Wait until each item of a batch runs or not; return those that do not."""
        deadline = time.monotonic() + self.patience
        path = f"/batches/{batch_id}/items?limit=200"
        while time.monotonic() < deadline:
            answer = self._ask("GET", path, None, None, chance)
            if answer is not None and answer.ok:
                items = answer.json()["items"]
                for wish, item in zip(wishes, items, strict=True):
                    wish.told |= {item["invocation_id"]} - {None}
                if all(
                    item["invocation_id"] or item["state"] == "rejected"
                    for item in items
                ):
                    return [
                        wish
                        for wish, item in zip(wishes, items, strict=True)
                        if item["invocation_id"] is None
                    ]
            time.sleep(chance.uniform(0.2, 1))
        return []

    def _send(self, wish: Wish, chance: random.Random) -> None:
        deadline = time.monotonic() + self.patience
        repeats = chance.choices([0, 1], [85, 15])[0]
        while time.monotonic() < deadline:
            answer = self._ask("POST", wish.path, wish.body, wish.key, chance)
            if answer is not None and answer.status_code == 201:
                wish.told.add(answer.json()["invocation_id"])
                if wish.key is None or not repeats:
                    return
                repeats -= 1
            elif answer is not None and answer.status_code not in REPEAT_UNTIL_DONE:
                wish.problem = f"{answer.status_code} {answer.text}"
                return
            elif wish.key is None:
                self._note(wish, answer)
                return
            time.sleep(chance.uniform(0.1, 0.5))

    def _note(self, wish: Wish, answer: requests.Response | None) -> None:
        """Remember what somebody was told who cannot ask again."""
        if answer is not None:
            wish.refused = answer.status_code in {429, 503}
            wish.submission_id = answer.json().get("submission_id")

    def _cancel(self, wish: Wish, chance: random.Random) -> None:
        time.sleep(chance.uniform(0, 4))
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            path = f"/jobs/{min(wish.told)}/cancel"
            answer = self._ask("POST", path, None, None, chance)
            if answer is not None and answer.status_code == 202:
                wish.cancelled = True
                return
            if answer is not None and answer.status_code == 409:
                return  # it has ended
            if answer is not None and answer.status_code not in REPEAT_UNTIL_DONE:
                wish.problem = f"cancel: {answer.status_code} {answer.text}"
                return
            time.sleep(chance.uniform(0.1, 0.5))

    def _ask(
        self,
        method: str,
        path: str,
        body: Any,
        key: str | None,
        chance: random.Random,
    ) -> requests.Response | None:
        """Send a request; None if no answer came."""
        headers = {} if key is None else {"Idempotency-Key": key}
        try:
            urls = self.urls()
            if not urls:  # all were killed just now
                return None
            return requests.request(
                method,
                chance.choice(urls) + path,
                json=body,
                headers=headers,
                timeout=30,
            )
        except requests.RequestException:
            return None
