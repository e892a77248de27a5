"""Whether this process can serve: the database, its schema, and word of Galaxy.

Galaxy is information only: reads work without it, and a service that is taken
out of rotation because Galaxy is down would lose those, too. It is not asked
here: what was last heard of it is told.
"""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres import schema_state
from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.use_cases import GalaxyNews, WhoAmI


@frozen(kw_only=True)
class Ready:
    """How ready this process is.

    Attributes:
        database: Whether it answers.
        migrations: ``current``, ``ahead``, ``behind`` or ``empty``; None where
            the database does not answer.
        galaxy: What was last heard of Galaxy, or None.
        problem: What is in the way, in a sentence, or None.
    """

    database: bool
    migrations: str | None
    galaxy: GalaxyNews | None
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether requests can be served."""
        return self.database and self.migrations in {"current", "ahead"}


@frozen
class Readiness:
    """Finds out how ready this process is."""

    engine: Engine
    whoami: WhoAmI

    def __call__(self) -> Ready:
        """Ask the database."""
        try:
            state = schema_state(self.engine)
        except StoreUnavailable as error:
            return Ready(
                database=False,
                migrations=None,
                galaxy=self.whoami.last,
                problem=str(error),
            )
        return Ready(database=True, migrations=state.value, galaxy=self.whoami.last)
