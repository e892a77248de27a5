"""Ten thousand events, delivered to a receiver of this machine while a poller sweeps.

The rival of a delivery is urllib3's pool of connections, which posts bodies as large to
the same receiver with as many threads, and stores nothing. The rival of a sweep is the
same sweep without any delivery at the same time.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from threading import Thread

from urllib3 import HTTPConnectionPool

from bench.galaxy import Galaxy, simulated
from bench.store import Store, postgres, store
from bench.sweep import swept
from bench.table import Row
from galaxy_jobs.adapters.clock import SystemClock
from galaxy_jobs.adapters.event_sender import HttpEventSender
from galaxy_jobs.adapters.postgres import PostgresWebhooks, make_engine
from galaxy_jobs.adapters.threads import DeliveryThreads
from galaxy_jobs.domain import Webhook, WebhookId, WebhookPolicy
from galaxy_jobs.domain.use_cases import DeliverEvents


RUNS = 10_000
EVENTS = 10_000
SWEEPS = 3


def rows() -> Iterator[Row]:
    """Measure."""
    with (
        postgres() as server,
        store(server) as one,
        simulated(RUNS, latency=0.005) as galaxy,
        receiving() as port,
    ):
        one.fill(galaxy.url, RUNS)
        webhooks = PostgresWebhooks(make_engine(one.url))
        deliver = DeliverEvents(
            webhooks=webhooks,
            sender=HttpEventSender(
                WebhookPolicy(allow_http=True, allowed_networks=["127.0.0.0/8"])
            ),
            clock=SystemClock(),
        )
        threads = DeliveryThreads(deliver.due, deliver)
        add(one, webhooks, "answers", f"http://127.0.0.1:{port}/", EVENTS)
        began = time.monotonic()
        threads.run(until_idle=True)
        rate = EVENTS / (time.monotonic() - began)
        delivered = webhooks.backlog().delivered
        naive = posted(port, EVENTS // 5, threads.each)
        yield Row(
            f"{EVENTS:,} events, delivered a second, against urllib3 alone",
            rate,
            naive,
            rate / naive,
            "ours >= 500",
            rate >= 500 and delivered == EVENTS,
        )
        alone = statistics.median(quiet(one, galaxy) for _ in range(SWEEPS))
        add(one, webhooks, "hangs", f"http://127.0.0.1:{port}/hang", 1000)
        add(one, webhooks, "more", f"http://127.0.0.1:{port}/", EVENTS)
        until = time.monotonic() + 60
        Thread(target=threads.run, kwargs={"until": until}, daemon=True).start()
        seconds = statistics.median(quiet(one, galaxy) for _ in range(SWEEPS))
        during = webhooks.backlog().delivered - delivered
        while webhooks.backlog().pending > 1000 and time.monotonic() < until:
            time.sleep(0.1)
        delivered = webhooks.backlog().delivered - delivered
        yield Row(
            f"quiet sweep of {RUNS:,} while a receiver hangs, and another one gets "
            f"{during:,} events, s",
            seconds,
            alone,
            alone / seconds,
            f"ratio >= 0.5, all {EVENTS:,} delivered",
            alone / seconds >= 0.5 and delivered == EVENTS,
        )


def add(one: Store, webhooks: PostgresWebhooks, id_: str, url: str, count: int) -> None:
    """Store a webhook, with so many events to deliver."""
    webhooks.add(
        Webhook(
            webhook_id=WebhookId(id_),
            url=url,
            secrets=("whsec_AAAA",),
            created_at=datetime.now(UTC),
        ),
        most=3,
    )
    one.run(
        "INSERT INTO webhook_deliveries (delivery_id, webhook_id, type, subject, data, "
        f"at) SELECT gen_random_uuid(), '{id_}', 'job.failed', 'job ' || n, "
        "jsonb_build_object('text', repeat('x', 600)), now() "
        f"FROM generate_series(1, {count}) AS n"
    )


def quiet(one: Store, galaxy: Galaxy) -> float:
    """Return the seconds of a sweep that finds no news."""
    one.all_due()
    sweep, seconds, _ = swept(one, galaxy)
    assert sweep.asked == RUNS, sweep
    return seconds


def posted(port: int, count: int, threads: int) -> float:
    """Return how many bodies a second are posted without storing anything."""
    pool = HTTPConnectionPool("127.0.0.1", port, maxsize=threads)
    body = b"x" * 900
    began = time.monotonic()
    with ThreadPoolExecutor(threads) as executor:
        answers = executor.map(
            lambda _: pool.request("POST", "/", body=body).status, range(count)
        )
        assert set(answers) == {204}
    return count / (time.monotonic() - began)


@contextmanager
def receiving() -> Iterator[int]:
    """Run a receiver in a process of its own, and yield its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_receive, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _receive(parent: Connection) -> None:
    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"post /hang"):
                    await asyncio.sleep(60)
                size = head.split(b"content-length: ")[1].split(b"\r\n")[0]
                await reader.readexactly(int(size))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
