"""The core of galaxy-jobs: import it from any service; it needs attrs alone.

It holds the states of an invocation and their transitions
(:mod:`~galaxy_jobs.domain.model.invocation`), the verdict on Galaxy's answers
(:mod:`~galaxy_jobs.domain.model.verdict`), submissions that are neither lost nor
doubled (:mod:`~galaxy_jobs.domain.model.submission`), the interfaces that it
needs (:mod:`~galaxy_jobs.domain.ports`) and the use cases
(:mod:`~galaxy_jobs.domain.use_cases`).

Model, verdict and ports are imported from here; use cases from
``galaxy_jobs.domain.use_cases`` and errors from ``galaxy_jobs.domain.errors``.
"""

from galaxy_jobs.domain import ports
from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.domain.model.audit import Action, AuditEntry, Kind
from galaxy_jobs.domain.model.batch import Batch, BatchItem, BatchRequest
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    DataDescription,
    Dataset,
    DatasetRef,
    GalaxyData,
    Source,
    SourceElement,
    Src,
    UnusableDataset,
    UploadData,
    UploadedFile,
    UrlData,
)
from galaxy_jobs.domain.model.datatypes import Datatypes
from galaxy_jobs.domain.model.download import FileVersion, OutputFile
from galaxy_jobs.domain.model.invocation import (
    Event,
    Failure,
    Invocation,
    InvocationState,
    Progress,
    Revision,
    Sighting,
    StepSummary,
    Transition,
)
from galaxy_jobs.domain.model.invoke_options import InvokeOptions
from galaxy_jobs.domain.model.labels import Label, Labels
from galaxy_jobs.domain.model.report import (
    Element,
    GalaxyState,
    InvocationReport,
    Invoked,
    JobDetails,
    JobReport,
    JobsSummary,
    JobState,
    NamedStep,
    Output,
    StepReport,
)
from galaxy_jobs.domain.model.retention import Kept, RetentionPolicy, RetentionRule
from galaxy_jobs.domain.model.signing import Signer, SigningKey
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Problem,
    Request,
    Submission,
    SubmissionEvent,
    SubmissionState,
)
from galaxy_jobs.domain.model.token import Scope, Token, TokenId
from galaxy_jobs.domain.model.upload import (
    PartRequest,
    StoredPart,
    Upload,
    UploadId,
    UploadState,
)
from galaxy_jobs.domain.model.user import Issuer, Session, User
from galaxy_jobs.domain.model.values import (
    BatchId,
    DatasetId,
    HistoryId,
    Identity,
    InvocationId,
    JobId,
    Json,
    Parameters,
    SubmissionId,
    WorkflowId,
)
from galaxy_jobs.domain.model.verdict import culprit, judge
from galaxy_jobs.domain.model.viewer import SERVICE, Sees, Viewer
from galaxy_jobs.domain.model.webhook import (
    Delivery,
    DeliveryId,
    DeliveryState,
    EventType,
    Webhook,
    WebhookId,
    WebhookPolicy,
    WebhookState,
)
from galaxy_jobs.domain.model.workflow import (
    AllowedWorkflow,
    Allowlist,
    ListedWorkflow,
    Workflow,
)
from galaxy_jobs.domain.model.workflow_input import (
    InputKind,
    Pattern,
    WorkflowInput,
)
from galaxy_jobs.domain.ports import *  # noqa: F403 - whatever ports there are


__all__ = [
    "SERVICE",
    "Action",
    "AllowedWorkflow",
    "Allowlist",
    "AuditEntry",
    "Batch",
    "BatchId",
    "BatchItem",
    "BatchRequest",
    "CollectionData",
    "DataDescription",
    "Dataset",
    "DatasetId",
    "DatasetRef",
    "Datatypes",
    "Delivery",
    "DeliveryId",
    "DeliveryState",
    "DomainError",
    "Element",
    "Event",
    "EventType",
    "Failure",
    "FileVersion",
    "GalaxyData",
    "GalaxyState",
    "HistoryId",
    "IdempotencyKey",
    "Identity",
    "InputKind",
    "Invocation",
    "InvocationId",
    "InvocationReport",
    "InvocationState",
    "InvokeOptions",
    "Invoked",
    "Issuer",
    "JobDetails",
    "JobId",
    "JobReport",
    "JobState",
    "JobsSummary",
    "Json",
    "Kept",
    "Kind",
    "Label",
    "Labels",
    "ListedWorkflow",
    "NamedStep",
    "Output",
    "OutputFile",
    "Parameters",
    "PartRequest",
    "Pattern",
    "Problem",
    "Progress",
    "Request",
    "RetentionPolicy",
    "RetentionRule",
    "Revision",
    "Scope",
    "Sees",
    "Session",
    "Sighting",
    "Signer",
    "SigningKey",
    "Source",
    "SourceElement",
    "Src",
    "StepReport",
    "StepSummary",
    "StoredPart",
    "Submission",
    "SubmissionEvent",
    "SubmissionId",
    "SubmissionState",
    "Token",
    "TokenId",
    "Transition",
    "UnusableDataset",
    "Upload",
    "UploadData",
    "UploadId",
    "UploadState",
    "UploadedFile",
    "UrlData",
    "User",
    "Viewer",
    "Webhook",
    "WebhookId",
    "WebhookPolicy",
    "WebhookState",
    "Workflow",
    "WorkflowId",
    "WorkflowInput",
    "culprit",
    "judge",
]
__all__ += ports.__all__
