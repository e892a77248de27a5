"""What a doctor asks the database: its clock, and whose jobs wait in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres.engine import read
from galaxy_jobs.adapters.postgres.tables import active
from galaxy_jobs.domain.model.values import Identity


@frozen(kw_only=True)
class Backlog:
    """The jobs of one user of one Galaxy that have not ended.

    Attributes:
        identity: Whose.
        jobs: How many.
        overdue: For how long the most overdue one has been due for a poll.
    """

    identity: Identity
    jobs: int
    overdue: timedelta


def clock(engine: Engine) -> datetime:
    """Return what time it is there.

    Raises:
        StoreUnavailable: The server could not be reached.
    """
    now = sa.select(sa.func.clock_timestamp())
    found: datetime = read(engine, lambda c: c.execute(now).scalar_one())
    return found


def backlogs(engine: Engine) -> Sequence[Backlog]:
    """Return who has jobs there that have not ended.

    Raises:
        StoreUnavailable: The server could not be reached, or lacks our tables.
    """
    late = sa.func.max(sa.func.now() - active.c.next_poll_at)
    whose = (active.c.galaxy_url, active.c.galaxy_user)
    query = sa.select(*whose, sa.func.count(), late).group_by(*whose).order_by(*whose)
    return [
        Backlog(
            identity=Identity(url, user), jobs=jobs, overdue=max(overdue, timedelta(0))
        )
        for url, user, jobs, overdue in read(engine, lambda c: c.execute(query).all())
    ]
