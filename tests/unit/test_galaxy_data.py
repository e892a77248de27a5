"""Reading what Galaxy shows of data, as recorded by ``record_data.py``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from galaxy_jobs.adapters.galaxy import translate


RECORDED = Path(__file__).with_name("recorded") / "26.1"


@pytest.mark.parametrize(
    ("name", "state", "collection_type"),
    [
        *((name, name, None) for name in ("ok", "deleted", "purged", "error")),
        ("deferred", "deferred", None),
        ("uploading", "queued", None),
        ("of_others", "ok", None),
        ("list", "ok", "list"),
        ("list_deleted", "deleted", "list"),
        ("list_waiting", "running", "list"),
        ("list_with_error", "error", "list"),
    ],
)
def test_data_is_described(name: str, state: str, collection_type: str | None) -> None:
    shown = json.loads((RECORDED / f"data_{name}.json").read_text())["answer"]
    described = translate.description(shown)
    assert (described.state, described.collection_type) == (state, collection_type)
    assert described.extensions == ("txt",)
    assert described.name == shown["name"]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("absent", 404),
        ("malformed", 400),
        ("private", 403),
        ("list_absent", 400),
        ("list_malformed", 400),
        ("list_of_others", 403),
    ],
)
def test_data_that_is_not_shown_is_refused_with_these(name: str, status: int) -> None:
    recorded = json.loads((RECORDED / f"data_{name}.json").read_text())
    assert recorded["status"] == status
    assert recorded["answer"]["err_msg"]
