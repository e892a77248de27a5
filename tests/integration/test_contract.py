"""The HTTP contract over real sockets and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.http_contract import HttpContract, Opened
from tests.support.http_world import IMPATIENT, World, furnished, over_sockets
from tests.support.owner_walk import OwnerWalk
from tests.support.upload_contract import OwnAddresses, UploadContract


@pytest.fixture(scope="module")
def world(module_database_url: str) -> Iterator[World]:
    with over_sockets(module_database_url, **IMPATIENT) as made:
        yield furnished(made)


@pytest.fixture
def opened(database_url: str) -> Opened:
    return partial(over_sockets, database_url)


class TestOverSockets(HttpContract):
    pass


class TestUploadsOverSockets(UploadContract, OwnAddresses):
    pass


class TestOwnersOverSockets(OwnerWalk):
    pass
