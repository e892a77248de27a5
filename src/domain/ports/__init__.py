"""What the core needs from outside, in the core's own words.

Subclass a port to implement it: the abstract methods make a forgotten one fail
when the adapter is built, not when it is first called. Each docstring is meant
to be enough to write another adapter from; the contract suites in
``galaxy_jobs.adapters.testing.contracts`` prove it.
"""

from galaxy_jobs.domain.ports.clock import Clock
from galaxy_jobs.domain.ports.feed import JobTransition, TransitionFeed
from galaxy_jobs.domain.ports.listing import JobListing, ListedJobs
from galaxy_jobs.domain.ports.repositories import (
    MAY_BE_LATE,
    Backlog,
    Claim,
    Cursor,
    DatasetRepository,
    InvocationRepository,
    JobFilter,
    Look,
    Page,
    PollQueue,
    SubmissionRepository,
    SupersededRuns,
    TokenRepository,
)
from galaxy_jobs.domain.ports.runner import (
    RunHistories,
    WorkflowCatalog,
    WorkflowRunner,
)


__all__ = [
    "MAY_BE_LATE",
    "Backlog",
    "Claim",
    "Clock",
    "Cursor",
    "DatasetRepository",
    "InvocationRepository",
    "JobFilter",
    "JobListing",
    "JobTransition",
    "ListedJobs",
    "Look",
    "Page",
    "PollQueue",
    "RunHistories",
    "SubmissionRepository",
    "SupersededRuns",
    "TokenRepository",
    "TransitionFeed",
    "WorkflowCatalog",
    "WorkflowRunner",
]
