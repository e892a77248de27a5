"""More connections than the process may have descriptors."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.attacks.measure import Attack
from tests.support.service import Service, service


SILENT = 1200
FEW = 1024


def few_by_default() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))


def few_at_most() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW))


@contextmanager
def many_here() -> Iterator[None]:
    """Let this process have as many descriptors as it may while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("limit", [few_by_default, few_at_most])
@pytest.mark.parametrize(
    "begun", [b"", b"GET /jobs HTTP/1.1\r\nHost: "], ids=["silent", "half-a-head"]
)
def test_more_connections_than_descriptors(
    tmp_path: Path, database_url: str, attack: Attack, limit: object, begun: bytes
) -> None:
    with (
        service(
            tmp_path, database=database_url, galaxy="http://127.0.0.1:9", key="none"
        ) as running,
        many_here(),
        ExitStack() as stack,
    ):
        running.change = limit  # type: ignore[assignment]
        command = running.serve()
        for _ in range(SILENT):
            stack.enter_context(silent(running, begun))
        seconds = []
        for _ in range(20):
            began = time.monotonic()
            response = requests.get(f"{running.url}/health/ready", timeout=10)
            seconds.append(time.monotonic() - began)
            assert response.status_code == 200
        attack.at_most(5, "the slowest of 20 new connections", max(seconds), "s")
        unexpected = command.log.read_text().count("Unexpected:")
        attack.at_most(0, "unexpected errors in the log", unexpected, "lines")


def silent(running: Service, begun: bytes) -> socket.socket:
    parts = urlsplit(running.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=10)
    connection.sendall(begun)
    return connection
