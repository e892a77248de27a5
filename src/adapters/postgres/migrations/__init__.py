"""The schema's history, forward only.

A migration is a module in ``versions`` and a line in :data:`REVISIONS`, which
lets a program compare itself with a database without importing Alembic.

The program of the version before must still run while a migration is applied and
afterwards. So a migration adds; what is obsolete is removed one release later. The
tests check its SQL with Squawk.
"""

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
    "0017",
    "0018",
    "0019",
    "0020",
    "0021",
    "0022",
    "0023",
    "0024",
    "0025",
    "0026",
    "0027",
    "0028",
    "0029",
)
"""All revisions, oldest first."""

VERSION_TABLE = "galaxy_jobs_version"
"""Not Alembic's usual name: a frontend may keep its own tables beside ours."""
