"""The service on a real Galaxy, with a database of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.support.galaxy import Lab, shared_galaxy
from tests.support.service import Service, service

from bench.store import postgres, store


@contextmanager
def real() -> Iterator[tuple[Service, Lab]]:
    """Give the service, which serves and does not poll yet, and its user's Galaxy."""
    with (
        shared_galaxy(print) as local,
        postgres() as server,
        store(server) as one,
        tempfile.TemporaryDirectory() as folder,
    ):
        lab = Lab(local.url, local.user_key(f"bench-{uuid4().hex[:8]}"))
        with service(
            Path(folder), database=one.url, galaxy=lab.url, key=lab.key
        ) as jobs:
            jobs.serve()
            yield jobs, lab
