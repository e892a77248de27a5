"""Webhooks with a real poller and PostgreSQL: nothing is lost when it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from galaxy_jobs.adapters.postgres import make_engine
from galaxy_jobs.adapters.testing.contracts import owners
from galaxy_jobs.adapters.testing.contracts.repositories import LATER, S
from galaxy_jobs.adapters.testing.contracts.webhooks import a_webhook, added
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.model.webhook import new_secret
from galaxy_jobs.domain.use_cases import CancelJob
from tests.integration.test_postgres_repositories import in_postgres
from tests.support.receiver import raw, receiver
from tests.support.wait import until


JOBS = 20
KILLS = 2


def poller(database_url: str, config: Path, home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "galaxy_jobs.entrypoints", "poll", "--every", "0.2"],
        env={
            **os.environ,
            "DATABASE_URL": database_url,
            "GALAXY_URL": "http://127.0.0.1:9",  # which is down: it does not matter
            "GALAXY_API_KEY": "none",
            "GALAXY_JOBS_CONFIG": str(config),
            "GALAXY_JOBS_HOME": str(home),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_no_event_is_lost_when_pollers_are_killed(
    database_url: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[webhooks]\nallow_http = true\nallowed_networks = ["127.0.0.0/8"]\n'
    )
    chance = random.Random(1)
    engine = make_engine(database_url)
    repositories = in_postgres(engine)
    webhooks = repositories.webhooks
    ok = raw("HTTP/1.1 204 No Content\r\n\r\n")
    bad = raw("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    def slowly(handler: Any) -> None:
        time.sleep(0.02)
        (bad if chance.random() < 0.02 else ok)(handler)

    with receiver(slowly) as target:
        secret = new_secret(b"k" * 32)
        webhook = a_webhook(url=target.url, secrets=(secret,))
        webhooks.add(webhook, most=1)
        pollers = [poller(database_url, config, tmp_path) for _ in range(2)]
        try:
            runs = [repositories.accepted(f"inv{n}") for n in range(JOBS)]
            for run in runs:
                repositories.moved(run, S.IN_PROGRESS, S.COMPLETED)
            until(lambda: target.received, timeout=60)
            for _ in range(KILLS):
                time.sleep(chance.uniform(0.2, 0.6))
                victim = chance.randrange(2)
                pollers[victim].send_signal(signal.SIGKILL)
                pollers[victim].wait()
                # What it had claimed is due again after its lease.
                with engine.begin() as connection:
                    connection.exec_driver_sql(
                        "UPDATE webhook_deliveries SET next_attempt_at = now() "
                        "WHERE state = 'pending'"
                    )
                    connection.exec_driver_sql(
                        "UPDATE webhooks SET rests_until = now()"
                    )
                pollers[victim] = poller(database_url, config, tmp_path)

            def settled() -> bool:
                with engine.begin() as connection:
                    connection.exec_driver_sql(
                        "UPDATE webhook_deliveries SET next_attempt_at = now() WHERE "
                        "state = 'pending' AND next_attempt_at > now() + '50 s'"
                    )
                return not webhooks.backlog().pending

            until(settled, timeout=90, every=0.5)
        finally:
            for process in pollers:
                process.kill()
                process.wait()
        backlog = webhooks.backlog()
        assert (backlog.delivered, backlog.dead) == (3 * JOBS, 0)
        first_seen: dict[str, list[str]] = defaultdict(list)
        ids = set()
        for request in target.received:
            event = request.verified(secret)
            if event["id"] not in ids:
                first_seen[event["subject"]].append(event["type"])
            ids.add(event["id"])
        assert len(ids) == 3 * JOBS
        states = ["job.queued", "job.in_progress", "job.completed"]
        assert dict(first_seen) == {f"inv{n}": states for n in range(JOBS)}
    engine.dispose()


def test_what_somebody_changes_is_told_by_the_ids_that_all_know(
    database_url: str,
) -> None:
    engine = make_engine(database_url)
    repositories = in_postgres(engine)
    reads = owners.register(repositories, owners.A)
    run = owners.accepted(repositories, "run1", owners.submission_of(owners.A, reads))
    webhook = added(repositories, owner="portal")
    cancel = CancelJob(repositories.invocations, lambda: LATER)
    assert cancel(run.invocation_id, owners.A).dataset_id == "reads"
    sent = repositories.webhooks.deliveries(webhook.webhook_id, SERVICE, 9)
    [event] = sent.items
    assert event.data["dataset_id"] == reads.stored_id != "reads"
    engine.dispose()
