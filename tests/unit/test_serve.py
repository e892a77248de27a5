"""Settings that the process cannot reach are lowered, and a warning names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from galaxy_jobs.entrypoints.container import opened
from galaxy_jobs.entrypoints.serve import _bounded, _ready
from galaxy_jobs.entrypoints.settings import SERVED_URL, DataTable, HttpTable, Settings


def test_no_more_streams_than_the_limit_of_descriptors_allows() -> None:
    settings = Settings(home=Path("/nowhere"), http=HttpTable(streams=700))
    with capture_logs() as logs:
        assert _bounded(settings, 1000) is settings
        assert logs == []
        lowered = _bounded(settings, 900)
    assert (lowered.http.streams, settings.http.streams) == (675, 700)
    (warning,) = logs
    assert warning["log_level"] == "warning"
    assert "[http] streams" in warning["event"]
    assert (warning["setting"], warning["streams"]) == (700, 675)
    assert warning["connections"] == 900


@pytest.mark.parametrize(
    ("public_url", "served", "address"),
    [
        (None, "http://127.0.0.1:8123", "http://127.0.0.1:8123"),
        (None, "http://0.0.0.0:8123", "http://127.0.0.1:8123"),
        (None, "http://10.0.0.5:80", "http://10.0.0.5:80"),
        ("https://jobs.example.org/", "http://0.0.0.0:80", "https://jobs.example.org/"),
    ],
)
def test_galaxy_is_given_the_address_that_is_served_unless_one_is_set(
    public_url: str | None, served: str, address: str
) -> None:
    data = DataTable(public_url=public_url)
    # A database that is not there: nothing is asked of it.
    url = "postgresql://127.0.0.1:9/none"
    settings = Settings(home=Path("/nowhere"), database_url=url, data=data)
    with opened(settings) as container, capture_logs() as logs:
        assert container.public_url() == (public_url or SERVED_URL)
        _ready(container, 10, served)
        assert container.hand_over().public_url() == address
    assert logs[0]["url"] == served
