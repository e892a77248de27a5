"""The use cases: small callables over the ports.

Rule of the package: a use case takes its ports and policies in the constructor
and is called with the request. A delivery (HTTP, command line, cron) adds no rule
of its own, and nothing here logs: values and counts are returned.
"""

from galaxy_jobs.domain.use_cases.adopt import AdoptRun
from galaxy_jobs.domain.use_cases.audit import Record
from galaxy_jobs.domain.use_cases.batches import (
    CancelBatch,
    CreateBatch,
    CreatedBatch,
    InvokeNext,
    RerunBatch,
)
from galaxy_jobs.domain.use_cases.cancel import CancelJob
from galaxy_jobs.domain.use_cases.clear_superseded import ClearSuperseded
from galaxy_jobs.domain.use_cases.data_users import DataUsers
from galaxy_jobs.domain.use_cases.datasets import (
    ChangeDataset,
    DataPolicy,
    RegisterDataset,
    RemoveDataset,
)
from galaxy_jobs.domain.use_cases.downloads import (
    FindFile,
    FindFiles,
    Links,
    file_names,
    whole_file,
)
from galaxy_jobs.domain.use_cases.exports import FindCrate
from galaxy_jobs.domain.use_cases.find_datasets import FindDatasets
from galaxy_jobs.domain.use_cases.find_jobs import FindJobs
from galaxy_jobs.domain.use_cases.galaxy_identity import GalaxyNews, WhoAmI
from galaxy_jobs.domain.use_cases.label_job import LabelJob
from galaxy_jobs.domain.use_cases.many_jobs import CancelJobs, Outcome, RerunJobs
from galaxy_jobs.domain.use_cases.outputs import JobOutputs
from galaxy_jobs.domain.use_cases.poll import (
    SLOW_LOOKS,
    Breaker,
    Heartbeat,
    Mapper,
    Poll,
    PollPolicy,
    SlowRuns,
    Sweep,
    one_by_one,
)
from galaxy_jobs.domain.use_cases.reconcile import (
    Reconcile,
    Reconciled,
    ReconcilePolicy,
)
from galaxy_jobs.domain.use_cases.refresh import RefreshJob
from galaxy_jobs.domain.use_cases.retention import (
    Clean,
    Cleaned,
    Cleaner,
    DeleteResults,
)
from galaxy_jobs.domain.use_cases.review import AnswerReview
from galaxy_jobs.domain.use_cases.signing import LoadSigner
from galaxy_jobs.domain.use_cases.steps import (
    FailedJob,
    JobLogs,
    JobSteps,
    TimedStep,
)
from galaxy_jobs.domain.use_cases.submit import (
    Check,
    Plan,
    Rerun,
    Submit,
    SubmitPolicy,
    Submitted,
    version_note,
)
from galaxy_jobs.domain.use_cases.tokens import (
    Authenticate,
    CreateToken,
    ListTokens,
    NewToken,
    RevokeToken,
    SignIn,
    SignOut,
)
from galaxy_jobs.domain.use_cases.update_tags import UpdateTags
from galaxy_jobs.domain.use_cases.uploads import (
    AbortUpload,
    Completed,
    CompleteUpload,
    HandOver,
    OpenUpload,
    PruneUploads,
    Received,
    ShowUpload,
    SignParts,
    SweepUploads,
    SweptUploads,
    UploadPolicy,
)
from galaxy_jobs.domain.use_cases.webhooks import DeliverEvents, ManageWebhooks
from galaxy_jobs.domain.use_cases.workflows import (
    ListWorkflows,
    ShowWorkflow,
)


__all__ = [
    "SLOW_LOOKS",
    "AbortUpload",
    "AdoptRun",
    "AnswerReview",
    "Authenticate",
    "Breaker",
    "CancelBatch",
    "CancelJob",
    "CancelJobs",
    "ChangeDataset",
    "Check",
    "Clean",
    "Cleaned",
    "Cleaner",
    "ClearSuperseded",
    "CompleteUpload",
    "Completed",
    "CreateBatch",
    "CreateToken",
    "CreatedBatch",
    "DataPolicy",
    "DataUsers",
    "DeleteResults",
    "DeliverEvents",
    "FailedJob",
    "FindCrate",
    "FindDatasets",
    "FindFile",
    "FindFiles",
    "FindJobs",
    "GalaxyNews",
    "HandOver",
    "Heartbeat",
    "InvokeNext",
    "JobLogs",
    "JobOutputs",
    "JobSteps",
    "LabelJob",
    "Links",
    "ListTokens",
    "ListWorkflows",
    "LoadSigner",
    "ManageWebhooks",
    "Mapper",
    "NewToken",
    "OpenUpload",
    "Outcome",
    "Plan",
    "Poll",
    "PollPolicy",
    "PruneUploads",
    "Received",
    "Reconcile",
    "ReconcilePolicy",
    "Reconciled",
    "Record",
    "RefreshJob",
    "RegisterDataset",
    "RemoveDataset",
    "Rerun",
    "RerunBatch",
    "RerunJobs",
    "RevokeToken",
    "ShowUpload",
    "ShowWorkflow",
    "SignIn",
    "SignOut",
    "SignParts",
    "SlowRuns",
    "Submit",
    "SubmitPolicy",
    "Submitted",
    "Sweep",
    "SweepUploads",
    "SweptUploads",
    "TimedStep",
    "UpdateTags",
    "UploadPolicy",
    "WhoAmI",
    "file_names",
    "one_by_one",
    "version_note",
    "whole_file",
]
