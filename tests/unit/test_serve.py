"""Settings that the process cannot reach are lowered, and a warning names them."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from galaxy_jobs.entrypoints.serve import _bounded
from galaxy_jobs.entrypoints.settings import HttpTable, Settings


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
