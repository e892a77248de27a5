"""The items of a batch, as the command line collects them."""

from __future__ import annotations

from typing import Any, cast
from unittest import mock

from galaxy_jobs.domain.model import batch
from galaxy_jobs.entrypoints.client import batches
from galaxy_jobs.entrypoints.client.http import Api


def test_no_more_datasets_are_looked_up_than_a_batch_takes() -> None:
    ids = [{"dataset_id": "d"}] * 200
    pages = [{"items": ids, "next_cursor": f"page {n}"} for n in range(1, 9)]
    api = mock.Mock()
    api.get.side_effect = [mock.Mock(data=page) for page in pages]
    items = batches.items(cast("Api", api), None, (), ["plate=7"], {})
    assert len(items) > batch.MAX_ITEMS, "the service refuses them"
    assert api.get.call_count == batch.MAX_ITEMS // 200 + 1
    asked: Any = api.get.call_args_list
    cursors = [each.kwargs["cursor"] for each in asked]
    assert cursors == [None, *(f"page {n}" for n in range(1, 6))]
    assert {each.kwargs["label"][0] for each in asked} == {"plate:7"}
