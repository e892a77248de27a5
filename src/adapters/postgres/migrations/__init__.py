"""The schema's history, forward only.

A migration is a module in ``versions`` and a line in :data:`REVISIONS`, which
lets a program compare itself with a database without importing Alembic.

What a migration may do: the program of the version before still runs while it
is applied and afterwards. So it adds, and what is to go is taken away one
release later. Squawk reads the SQL in the tests.
"""

REVISIONS = ("0001", "0002", "0003", "0004")
"""All of them, oldest first."""

VERSION_TABLE = "galaxy_jobs_version"
"""Not Alembic's usual name: a frontend may keep its own tables beside ours."""
