"""The ports: the interfaces that the core needs, in its own terms.

Subclass a port to implement it: its methods are abstract, so that a missing one
fails when the adapter is built, not when it is first called. Each docstring is
enough to write another adapter from; the contract suites in
``galaxy_jobs.adapters.testing.contracts`` prove it.

Three things hold for all of them and are not repeated at each method.

A method that serves a caller takes a :class:`Viewer`: what they do not see does not
exist for them. Datasets are named, and shown, as the viewer calls them: see
:mod:`galaxy_jobs.domain.model.viewer`. The service itself is the viewer `SERVICE`.

The ports to the store (`DatasetRepository`, `SubmissionRepository`, `BatchRepository`,
`InvocationRepository`, `PollQueue`, `SessionRepository`, `SupersededRuns`, `Retention`,
`TagChanges`, `TokenRepository`, `SigningKeys`, `UploadRepository`, `AuditLog`,
`WebhookRepository`): every method is one transaction, may be called from several
threads and processes at once, and may raise :class:`StoreUnavailable`: the store could
not be reached, or broke off, and a write may or may not have happened. Durations handed
in are measured by the store's own clock.

`OutputFiles`, which reads the files of the engine's datasets, is needed to serve
downloads alone.

The ports to the engine that runs workflows, be it Galaxy, a simulation of it or
an engine of your own (`WorkflowCatalog`, `WorkflowRunner`, `RunHistories`): three
small ones, since their users differ. The catalogue is asked when a job is
submitted, the runner by submitters and pollers, the histories by submitters and
the reconciler. They concern one engine and its ids, so one adapter mostly implements
all three. Where they say Galaxy, an engine of another kind is meant as well: a
history is anything by which a run can be found, and kept from starting. Every
method may be called from several threads at once, and may raise
:class:`RunnerUnavailable` (no usable answer within the adapter's time limit, a
429, a 5xx, an unreadable answer) and :class:`RunnerRefusedUs` (our key is bad).
"""

from galaxy_jobs.domain.ports.audit import MIN_AUDIT_AGE, AuditLog
from galaxy_jobs.domain.ports.batches import BatchRepository
from galaxy_jobs.domain.ports.catalog import WorkflowCatalog
from galaxy_jobs.domain.ports.clock import Clock
from galaxy_jobs.domain.ports.data import DataCatalog
from galaxy_jobs.domain.ports.datasets import DatasetRepository
from galaxy_jobs.domain.ports.exports import RunExports
from galaxy_jobs.domain.ports.feed import JobTransition, TransitionFeed
from galaxy_jobs.domain.ports.histories import RunHistories
from galaxy_jobs.domain.ports.identity_providers import IdentityProviders
from galaxy_jobs.domain.ports.invocations import InvocationRepository, JobFilter
from galaxy_jobs.domain.ports.objects import ObjectStore, SignedRequest
from galaxy_jobs.domain.ports.output_files import FileStream, OutputFiles
from galaxy_jobs.domain.ports.paging import Cursor, Page
from galaxy_jobs.domain.ports.queue import (
    MAY_BE_LATE,
    Backlog,
    Claim,
    Look,
    PollQueue,
    Stored,
)
from galaxy_jobs.domain.ports.retention import Deletion, Retention
from galaxy_jobs.domain.ports.runner import WorkflowRunner
from galaxy_jobs.domain.ports.sessions import SessionRepository
from galaxy_jobs.domain.ports.signing_keys import SigningKeys
from galaxy_jobs.domain.ports.submissions import SubmissionRepository
from galaxy_jobs.domain.ports.superseded import DataUser, SupersededRuns
from galaxy_jobs.domain.ports.tag_changes import MAX_FORMER, TagChange, TagChanges
from galaxy_jobs.domain.ports.tokens import TokenRepository
from galaxy_jobs.domain.ports.uploads import UploadRepository
from galaxy_jobs.domain.ports.webhooks import (
    Attempt,
    DeliveryBacklog,
    EventSender,
    WebhookRepository,
)


__all__ = [
    "MAX_FORMER",
    "MAY_BE_LATE",
    "MIN_AUDIT_AGE",
    "Attempt",
    "AuditLog",
    "Backlog",
    "BatchRepository",
    "Claim",
    "Clock",
    "Cursor",
    "DataCatalog",
    "DataUser",
    "DatasetRepository",
    "Deletion",
    "DeliveryBacklog",
    "EventSender",
    "FileStream",
    "IdentityProviders",
    "InvocationRepository",
    "JobFilter",
    "JobTransition",
    "Look",
    "ObjectStore",
    "OutputFiles",
    "Page",
    "PollQueue",
    "Retention",
    "RunExports",
    "RunHistories",
    "SessionRepository",
    "SignedRequest",
    "SigningKeys",
    "Stored",
    "SubmissionRepository",
    "SupersededRuns",
    "TagChange",
    "TagChanges",
    "TokenRepository",
    "TransitionFeed",
    "UploadRepository",
    "WebhookRepository",
    "WorkflowCatalog",
    "WorkflowRunner",
]
