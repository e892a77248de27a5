"""What goes over the wire: the names, the order and the types of every field.

This is the contract with every client, written out by hand: it follows no change of
the domain by itself. Times are UTC and end in Z.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from galaxy_jobs import domain
from galaxy_jobs.domain import (
    CollectionData,
    DatasetId,
    InvocationId,
    InvocationState,
    UrlData,
    use_cases,
)
from galaxy_jobs.domain.errors import InvalidValue, quoted
from galaxy_jobs.domain.model.batch import MAX_ITEMS
from galaxy_jobs.domain.model.dataset import ADDRESS_LENGTH, UnusableDataset
from galaxy_jobs.domain.model.labels import LABEL_KEY, MAX_LABELS
from galaxy_jobs.domain.model.report import ELEMENTS_LIMIT
from galaxy_jobs.domain.model.source_json import source_from_json, source_to_json
from galaxy_jobs.domain.model.upload import (
    PartRequest,
    part_number,
)
from galaxy_jobs.domain.model.values import NAME_LENGTH
from galaxy_jobs.domain.model.webhook import ADDRESS_LENGTH as WEBHOOK_ADDRESS_LENGTH
from galaxy_jobs.domain.model.webhook import (
    MAX_WORKFLOW_NAMES,
    DeliveryId,
    DeliveryState,
    EventType,
    Webhook,
    WebhookState,
)


T = TypeVar("T")
V = TypeVar("V", bound="View")
C = TypeVar("C", bound="TransitionJson")


def doc(description: str, *examples: Any, **constraints: Any) -> Meta:
    """Return the description of a field, with examples and constraints."""
    return Meta(description=description, examples=list(examples) or None, **constraints)


short = partial(doc, extra_json_schema={"maxLength": NAME_LENGTH})
"""The description of a text that the domain refuses if it is longer."""


class Body(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request, or a part of one."""


class View(Struct, kw_only=True):
    """The body of a response, or a part of one. Every time in it is UTC."""

    def __post_init__(self) -> None:
        """Convert times to UTC."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime):
                setattr(self, name, value.astimezone(UTC))


def view(model: type[V], thing: object, **given: object) -> V:
    """Return a view of *thing*: its attributes, but for the fields that are given."""
    fields = {name: getattr(thing, name, UNSET) for name in model.__struct_fields__}
    known = {
        name: value.value if isinstance(value, Enum) else value
        for name, value in fields.items()
        if value is not UNSET
    }
    return msgspec.convert(known | given, model, from_attributes=True)


Time: TypeAlias = Annotated[datetime, Meta(tz=True)]
# Without additionalProperties, openapi-typescript takes it for an empty object.
JsonObject: TypeAlias = Annotated[
    dict[str, Any], Meta(extra_json_schema={"additionalProperties": {}})
]


class Page(View, Generic[T]):
    """A page of a list."""

    items: Annotated[list[T], doc("Newest first.")]
    next_cursor: NextCursor


NextCursor: TypeAlias = Annotated[
    str | None, doc("`cursor` of the next page; null on the last.", "WzEsIjNmMGE2YiJd")
]
WholeList: TypeAlias = Annotated[None, doc("Always null: the list is complete.")]
InvocationIdField: TypeAlias = Annotated[
    str,
    doc("Galaxy's id of the invocation, and the id of the job.", "f2db41e1fa331b3e"),
]
DatasetIdField: TypeAlias = Annotated[
    DatasetId, doc("A registered dataset.", "reads-1")
]
WorkflowNameField: TypeAlias = Annotated[
    str, doc("As in `GET /workflows`.", "sort-and-count")
]
LabelsField: TypeAlias = Annotated[
    dict[str, str], doc("What it is sorted and found by.", {"project": "plate-7"})
]
_LABELS = Meta(
    extra_json_schema={
        "maxProperties": MAX_LABELS,
        "propertyNames": {"pattern": f"^{LABEL_KEY}$"},
    }
)
NewLabelsField: TypeAlias = Annotated[
    Annotated[dict[str, str], _LABELS],
    doc("What it is sorted and found by. At most 32.", {"project": "plate-7"}),
]
LabelPatchField: TypeAlias = Annotated[
    Annotated[dict[str, str | None], _LABELS] | UnsetType | None,
    doc(
        "New values by keys; null removes a label, and in the place of the object all "
        "of them. The others stay.",
        {"project": "plate-8", "checked": None},
    ),
]
WorkflowIdField: TypeAlias = Annotated[str, doc("In Galaxy.", "f597429621d6eb2b")]
WorkflowVersionField: TypeAlias = Annotated[
    int | None, doc("Its version, counting from 0. Null: not known.", 3)
]
GalaxyStateField: TypeAlias = Annotated[str, doc("Galaxy's own word.", "scheduled")]
OwnerField: TypeAlias = Annotated[
    str | None, doc("Whose it is: the name of a token. Null: nobody's.", "lab-a")
]
BatchIdField: TypeAlias = Annotated[
    UUID, doc("The batch.", "9b6a2f0e-53d1-4d0f-8f0c-6f2f5d7f1a11")
]
ToolField: TypeAlias = Annotated[
    str | None, doc("Galaxy's id of the tool, if it is one.", "sort1/1.2.0")
]


class GalaxySource(Body, tag_field="src"):
    """Data that Galaxy has already."""

    id: Annotated[str, short("Galaxy's id of it.", "5a1cff6882ddb5b2")]


class HdaSource(GalaxySource, tag="hda"):
    """A dataset of a history."""


class LddaSource(GalaxySource, tag="ldda"):
    """A dataset of a library."""


class HdcaSource(GalaxySource, tag="hdca"):
    """A collection of a history."""


class UrlSource(Body, tag_field="src", tag="url", omit_defaults=True):
    """Data that Galaxy fetches when a job is submitted."""

    url: Annotated[
        str,
        short(
            "http, https or ftp, or as configured. Responses have `***` for "
            "credentials in it.",
            "https://example.org/reads.fastq",
            extra_json_schema={"maxLength": ADDRESS_LENGTH},
        ),
    ]
    ext: Annotated[str, short("Galaxy's name of the format.", "fastq")]
    name: Annotated[str | None, short("Its name in Galaxy.", "reads.fastq")] = None
    sha256: Annotated[
        str | None,
        doc("Of the bytes, which Galaxy compares, in hexadecimal digits.", "0" * 64),
    ] = None
    md5: Annotated[str | None, doc("The same with MD5.", "0" * 32)] = None
    dbkey: Annotated[
        str | None, short("Galaxy's name of the genome build.", "hg38")
    ] = None
    deferred: Annotated[
        bool, doc("Whether it is fetched only for the jobs that need it.")
    ] = False


class UploadSource(Body, tag_field="src", tag="upload"):
    """A file that was uploaded; completing its upload has registered it."""

    upload_id: Annotated[
        str, short("The upload.", "3c8f1d52-7b0e-4a3c-9a41-0b5f7a3c2d10")
    ]


class CollectionElement(Body, omit_defaults=True):
    """An element of a collection: a `source`, a `dataset_id` or `elements`."""

    name: Annotated[
        str, short("In a pair, `forward` or `reverse`.", "sample-1", min_length=1)
    ]
    source: Annotated[
        HdaSource | LddaSource | HdcaSource | UrlSource | UploadSource | UnsetType,
        doc("Where Galaxy finds its data."),
    ] = UNSET
    dataset_id: Annotated[
        DatasetId | UnsetType, short("A registered dataset.", "reads-1")
    ] = UNSET
    elements: Annotated[
        list[CollectionElement] | UnsetType, doc("Its own elements.")
    ] = UNSET


class CollectionSource(Body, tag_field="src", tag="collection", omit_defaults=True):
    """A collection that is made in the history of each job."""

    collection_type: Annotated[
        str,
        doc(
            "`list` or `paired`, or several of them with colons: the levels from the "
            "outermost on.",
            "list:paired",
        ),
    ]
    elements: Annotated[
        list[CollectionElement] | None,
        doc(
            "Of the outermost level. Null in lists of datasets.",
            [
                {
                    "name": "sample-1",
                    "elements": [
                        {
                            "name": "forward",
                            "source": {
                                "src": "url",
                                "url": "https://example.org/1_R1.fastq",
                                "ext": "fastqsanger",
                            },
                        },
                        {"name": "reverse", "dataset_id": "reads-1-reverse"},
                    ],
                }
            ],
        ),
    ]
    allow_empty: Annotated[bool, doc("Whether a list in it may have no elements.")] = (
        False
    )
    count: Annotated[
        int | UnsetType, doc("In responses: the elements of the outermost level.", 1)
    ] = UNSET


SourceJson: TypeAlias = (
    HdaSource | LddaSource | HdcaSource | UrlSource | UploadSource | CollectionSource
)
SourceField: TypeAlias = Annotated[SourceJson, doc("Where Galaxy finds the data.")]


class NewDataset(Body, kw_only=True):
    """A dataset to register."""

    dataset_id: Annotated[
        Annotated[DatasetId, short("1 to 255 characters.", min_length=1)] | None,
        doc("Left out, an id is made up.", "reads-1"),
    ] = None
    name: Annotated[str, short("For people.", "Reads of sample 1", min_length=1)]
    source: SourceField
    labels: NewLabelsField = {}


class DatasetChanges(Body):
    """What is to be changed in a dataset."""

    name: (
        Annotated[str, short("For people.", "Reads of sample 1", min_length=1)]
        | UnsetType
    ) = UNSET
    labels: LabelPatchField = UNSET


class DatasetJson(View, kw_only=True):
    """A dataset that jobs can be run on."""

    dataset_id: DatasetIdField
    name: Annotated[str, doc("For people.", "Reads of sample 1")]
    source: Annotated[
        SourceJson | None, doc("Where Galaxy finds the data; null with a `problem`.")
    ]
    created_at: Annotated[Time, doc("When it was registered.")]
    galaxy_name: Annotated[
        str | None, doc("The name of the data in Galaxy.", "sample-1.fastq")
    ] = None
    state: Annotated[
        str | None, doc("Galaxy's word for it, `deleted` or `purged`.", "ok")
    ] = None
    extension: Annotated[
        str | None, doc("Galaxy's name of the format, if it is one.", "fastqsanger")
    ] = None
    collection_type: Annotated[
        str | None, doc("Null: it is no collection.", "list:paired")
    ] = None
    described_at: Annotated[
        Time | None,
        doc("When Galaxy told these, at the registration; null: it was not asked."),
    ] = None
    owner: OwnerField = None
    labels: LabelsField = {}
    problem: Annotated[
        str | UnsetType,
        doc("Only in lists: why it cannot be used; another program registered it so."),
    ] = UNSET


class Datasets(Page[DatasetJson]):
    """A page of datasets, newest first."""


def source_of(body: SourceJson) -> domain.Source:
    """Return the source that a client named.

    Raises:
        InvalidValue: Galaxy could not fetch from there.
    """
    return source_from_json(msgspec.to_builtins(body))


def source(data: domain.Source) -> SourceJson:
    """Return a source as clients see it."""
    shown: SourceJson = msgspec.convert(source_to_json(data, shown=True), SourceJson)
    if isinstance(data, CollectionData) and isinstance(shown, CollectionSource):
        shown.count = data.count
    return shown


def dataset(registered: domain.Dataset | UnusableDataset) -> DatasetJson:
    """Return a dataset as clients see it."""
    if isinstance(registered, UnusableDataset):
        return view(DatasetJson, registered, source=None)
    shown = view(DatasetJson, registered, source=source(registered.source))
    match registered.source:
        case UrlData(ext=ext):
            shown.extension = ext
        case CollectionData(collection_type=type_):
            shown.collection_type = type_
        case _:
            pass  # only Galaxy knows
    if described := registered.description:
        shown.galaxy_name = described.name
        shown.state = described.state
        shown.extension = described.extension
        shown.collection_type = described.collection_type
    return shown


Sha256: TypeAlias = Annotated[
    str,
    doc("A SHA-256, 64 hexadecimal digits in lower case.", pattern="^[0-9a-f]{64}$"),
]
UploadIdField: TypeAlias = Annotated[
    str, doc("Its id.", "3c8f1d52-7b0e-4a3c-9a41-0b5f7a3c2d10")
]
SizeField: TypeAlias = Annotated[int, doc("In bytes.", 734003200)]


class NewUpload(Body, kw_only=True):
    """A file to upload."""

    name: Annotated[
        str, short("The name of the file, without folders.", "reads.fastq.gz")
    ]
    size: Annotated[int, doc("In bytes; no other size is taken.", 734003200)]
    ext: Annotated[str, short("Galaxy's name of the format.", "fastqsanger.gz")]
    sha256: Annotated[
        Sha256 | None, doc("Of the whole file; the dataset is checked against it.")
    ] = None
    dataset_id: Annotated[
        Annotated[DatasetId, short("1 to 255 characters.", min_length=1)] | None,
        doc("The id of the dataset. Left out, an id is made up.", "reads-1"),
    ] = None


class PartsToSign(Body, kw_only=True):
    """Parts that are to be stored."""

    numbers: Annotated[
        list[Annotated[int, Meta(ge=1)]],
        doc("Of the parts, from 1 on; at most 100.", [1, 2, 3], min_length=1),
    ]
    sha256: Annotated[
        dict[str, Sha256], doc("Of parts, by their numbers, if you know them.")
    ] = {}


class PartJson(View, kw_only=True):
    """The request that stores a part."""

    number: Annotated[int, doc("Of the part.", 1)]
    offset: Annotated[int, doc("Where in the file it begins, in bytes.", 0)]
    size: Annotated[int, doc("In bytes.", 67108864)]
    method: Annotated[str, doc("Always `PUT`.", "PUT")]
    url: Annotated[str, doc("Where to send it, without a token.")]
    headers: Annotated[dict[str, str], doc("Headers that have to be sent with it.")]
    expires_at: Annotated[Time, doc("Until when; ask for it again after that.")]


class SignedParts(View):
    """The requests that store parts."""

    parts: Annotated[list[PartJson], doc("In the order in which they were asked for.")]


class UploadJson(View, kw_only=True):
    """A file that is uploaded."""

    upload_id: UploadIdField
    state: Annotated[
        str,
        doc("`open`, `verifying`, `complete`, `failed`, `aborted`, `expired`.", "open"),
    ]
    name: Annotated[str, doc("The name of the file.", "reads.fastq.gz")]
    size: SizeField
    ext: Annotated[str, doc("Galaxy's name of the format.", "fastqsanger.gz")]
    dataset_id: DatasetIdField
    sha256: Annotated[
        str | None, doc("Of the whole file, as declared or computed; null: not known.")
    ]
    part_size: Annotated[int, doc("Of every part but the last, in bytes.", 67108864)]
    parts: Annotated[int, doc("The number of parts.", 11)]
    created_at: Annotated[Time, doc("When it was opened.")]
    expires_at: Annotated[Time, doc("When it expires, unless it is complete.")]


class OpenedUpload(UploadJson, kw_only=True):
    """An upload that was opened."""

    put: Annotated[
        PartJson | None, doc("The request that stores the file, if it is one part.")
    ]


class ReceivedJson(View, kw_only=True):
    """What is stored of an upload."""

    bytes: Annotated[int, doc("The bytes of these parts.", 67108864)]
    parts: Annotated[int, doc("The number of parts.", 1)]


class UploadDetail(UploadJson, kw_only=True):
    """An upload, and what is stored of it."""

    received: Annotated[ReceivedJson, doc("What is stored.")]
    missing: Annotated[list[int], doc("The numbers of the other parts.", [2, 3])]
    problem: Annotated[str | None, doc("Why it failed; null: it has not.")]


class Uploads(Page[UploadJson]):
    """A page of uploads that are open or being verified."""


class CompletedUpload(UploadJson, kw_only=True):
    """An upload of which all parts are stored."""

    dataset: Annotated[
        DatasetJson | None,
        doc("The dataset; null while it is verified, or once it was removed."),
    ]


def upload_detail(received: use_cases.Received) -> UploadDetail:
    """Return an upload with what is stored of it."""
    upload = received.upload
    return view(
        UploadDetail,
        upload,
        received=ReceivedJson(bytes=received.bytes, parts=len(received.parts)),
        missing=received.missing,
        problem=upload.problem and upload.problem.detail,
    )


def completed(done: use_cases.Completed) -> CompletedUpload:
    """Return an upload of which all parts are stored."""
    registered = None if done.dataset is None else dataset(done.dataset)
    return view(CompletedUpload, done.upload, dataset=registered)


def part(signed: PartRequest, origin: str) -> PartJson:
    """Return the request that stores a part, whose path is below an origin."""
    url = f"{origin}{signed.url}" if signed.url.startswith("/") else signed.url
    return view(PartJson, signed, url=url)


def by_number(sha256: dict[str, str]) -> dict[int, str]:
    """Return checksums of parts by their numbers.

    Raises:
        InvalidValue: One is not given for a number.
    """
    checksums = {}
    for text, checksum in sha256.items():
        if (number := part_number(text)) is None:
            raise InvalidValue(
                f"sha256 has a checksum for {quoted(text)}; expected the number of "
                "a part."
            )
        checksums[number] = checksum
    return checksums


class NewJob(Body):
    """A job to run."""

    dataset_id: Annotated[DatasetId, short("A registered dataset.", "reads-1")]
    workflow_name: Annotated[str, short("As in `GET /workflows`.", "sort-and-count")]
    overwrite: Annotated[
        bool,
        doc(
            "Supersede the earlier jobs of this dataset and workflow, whose results "
            "are deleted once this job has completed. Left out, it does not."
        ),
    ] = False
    dataset_input: Annotated[
        str | None,
        short(
            "The data input that takes the dataset. Left out, it is the one that "
            "`parameters` leave over; where they fill all, the dataset fills none.",
            "text",
        ),
    ] = None
    workflow_version: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        doc(
            "The version of the workflow, counting from 0. Left out, the newest, or "
            "the one that is configured.",
            3,
        ),
    ] = None
    use_cached_job: Annotated[
        bool | None,
        doc(
            "Whether Galaxy may copy the results of equal jobs that it has run before. "
            "Left out, as the workflow is configured.",
            True,
        ),
    ] = None
    parameters: Annotated[
        JsonObject,
        doc(
            "By input, as in `GET /workflows/{name}`. At most 64 KiB as JSON.",
            {"sleep_s": 2},
        ),
    ] = {}
    labels: NewLabelsField = {}


class NewItem(Body):
    """An item of a batch."""

    dataset_id: Annotated[DatasetId, short("A registered dataset.", "reads-1")]
    parameters: Annotated[
        JsonObject, doc("In the place of those of the batch, by input.", {"sleep_s": 2})
    ] = {}
    labels: NewLabelsField = {}


class NewBatch(Body):
    """Jobs to run on many datasets."""

    workflow_name: Annotated[str, short("As in `GET /workflows`.", "sort-and-count")]
    items: Annotated[
        list[NewItem],
        doc(
            "1 to 1000 of them. One dataset may be there several times.",
            [{"dataset_id": "reads-1"}, {"dataset_id": "reads-2"}],
            extra_json_schema={"minItems": 1, "maxItems": MAX_ITEMS},
        ),
    ]
    parameters: Annotated[
        JsonObject, doc("Those of all items, as for a job.", {"sleep_s": 2})
    ] = {}
    labels: NewLabelsField = {}
    overwrite: Annotated[bool, doc("Of each item, as for a job.")] = False
    dataset_input: Annotated[
        str | None, short("Of each item, as for a job.", "text")
    ] = None
    workflow_version: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        doc("As for a job. All items run the version that they are checked with.", 3),
    ] = None
    use_cached_job: Annotated[bool | None, doc("Of each item, as for a job.", True)] = (
        None
    )


class NewRun(Body):
    """The differences of a rerun to the job that it repeats."""

    parameters: Annotated[
        JsonObject | None, doc("Those to change; the others stay.", {"sleep_s": 3})
    ] = None
    overwrite: Annotated[bool | None, doc("Left out, as in the repeated job.")] = None
    dataset_input: Annotated[
        str | None,
        short(
            "The data input that takes the dataset, in the place of what it was given "
            "before. Left out, as in the repeated job.",
            "text",
        ),
    ] = None
    workflow_version: Annotated[
        Annotated[int, Meta(ge=0)] | Literal["same"] | None,
        doc("`same`: as in the repeated job. Left out, the newest.", "same", 3),
    ] = None


class JobChanges(Body):
    """What is to be changed in a job."""

    labels: LabelPatchField = UNSET


class Review(Body):
    """The answer to a review."""

    approve: Annotated[bool, doc("Whether the job goes on.", True)]


class RunToAdopt(Body):
    """A run that somebody started in Galaxy."""

    invocation_id: Annotated[
        InvocationId, short("Galaxy's id of the invocation.", "f2db41e1fa331b3e")
    ]
    dataset_id: Annotated[
        DatasetId, short("The registered dataset that the job is about.", "reads-1")
    ]
    workflow_name: Annotated[
        str | None,
        short("As in `GET /workflows`; null: as Galaxy calls it.", "sort-and-count"),
    ] = None


class Accepted(View):
    """The job, accepted by Galaxy."""

    invocation_id: InvocationIdField
    state: Annotated[InvocationState, doc("What is known of it so far.", "queued")]


class DataJson(View):
    """What Galaxy knows of data that it has."""

    name: Annotated[str, doc("In Galaxy.", "sample-1.fastq")]
    state: Annotated[
        str, doc("Galaxy's word for its state, `deleted` or `purged`.", "ok")
    ]
    extension: Annotated[
        str | None, doc("Galaxy's name of the format; null: several.", "fastqsanger")
    ]
    collection_type: Annotated[str | None, doc("Null: no collection.", "list:paired")]


class PlanJson(View):
    """What would be run."""

    dataset_id: DatasetIdField
    workflow_name: WorkflowNameField
    workflow_id: WorkflowIdField
    workflow_version: WorkflowVersionField
    dataset_input: Annotated[
        str | None, doc("Takes the dataset. Null: no input does.", "text")
    ]
    inputs: Annotated[
        JsonObject,
        doc(
            "The value of each input; the others take their defaults.",
            {"text": {"src": "hda", "id": "5a1cff6882ddb5b2"}, "sleep_s": 2},
        ),
    ]
    data: Annotated[
        dict[str, DataJson],
        doc("By input: data that is in Galaxy, as far as Galaxy could tell."),
    ]


class ProgressJson(View):
    """The number of Galaxy's jobs of an invocation, by how far they are."""

    total: Annotated[int, doc("All jobs known so far.", 3)]
    ok: Annotated[int, doc("Ended well, or skipped.", 1)]
    running: Annotated[int, doc("Running.", 0)]
    waiting: Annotated[int, doc("Not started.", 1)]
    failed: Annotated[int, doc("Failed, stopped, or blocked for good.", 2)]
    blocked: Annotated[
        int, doc("How many of `failed` never ran, since another one failed.", 1)
    ] = 0


class FailureJson(View):
    """The first failure of a job."""

    reason: Annotated[str, doc("A stable word for programs.", "job-failed")]
    step: Annotated[str | None, doc("Its label, or `step 3` (from 1).", "sort")]
    step_index: Annotated[int | None, doc("The step's place, counting from 0.", 1)]
    path: Annotated[list[str], doc("Labels down through sub-workflows.", ["sort"])]
    element: Annotated[
        str | None, doc("Which element of a mapped collection.", "plate-1/sample-07")
    ]
    tool: ToolField
    exit_code: Annotated[int | None, doc("Of the tool.", 2)]
    stderr: Annotated[str | None, doc("The end of it.", "sort: cannot read: a.txt")]
    message: Annotated[str | None, doc("Galaxy's own sentence.", "Fatal error: 2")]


class StepJson(View):
    """A step of a job."""

    index: Annotated[int, doc("Its place, counting from 0.", 1)]
    label: Annotated[str, doc("As in the workflow editor.", "sort")]
    tool: ToolField
    state: Annotated[str, doc("The state of its jobs taken together.", "failed")]
    jobs: Annotated[dict[str, int], doc("Their number by state.", {"error": 1})]


ProgressField: TypeAlias = Annotated[ProgressJson, doc("How far its jobs are.")]
FailureField: TypeAlias = Annotated[FailureJson | None, doc("What failed first.")]


class JobJson(View, kw_only=True):
    """A job, as in lists."""

    invocation_id: InvocationIdField
    dataset_id: DatasetIdField
    workflow_name: WorkflowNameField
    workflow_id: Annotated[
        str | None, doc("In Galaxy. Null: not known.", "f597429621d6eb2b")
    ]
    workflow_version: WorkflowVersionField
    version_note: Annotated[
        str | None, doc("A sentence, where the repeated job ran another version.")
    ]
    state: Annotated[
        InvocationState, doc("`completed` only if every job ended well.", "failed")
    ]
    galaxy_state: GalaxyStateField
    parameters: Annotated[
        JsonObject | None,
        doc("As submitted. Null in lists where they take over 4 KiB.", {"sleep_s": 2}),
    ]
    parameters_truncated: Annotated[bool, doc("Whether they were left out.")] = False
    overwrite: Annotated[bool, doc("Whether it supersedes earlier jobs.")]
    rerun_of: Annotated[str | None, doc("The job that it repeats.")]
    superseded_by: Annotated[str | None, doc("The job that superseded it.")]
    labels: LabelsField
    created_at: Annotated[Time, doc("When Galaxy accepted it.")]
    updated_at: Annotated[Time, doc("When anything but `observed_at` changed.")]
    observed_at: Annotated[Time, doc("When Galaxy was last asked.")]
    stale: Annotated[bool, doc("Whether that was suspiciously long ago.")] = False
    results: Annotated[
        Literal["kept", "deleted"], doc("Whether its results are kept in Galaxy.")
    ]
    results_deleted_at: Annotated[Time | None, doc("When they were deleted.")]
    attention: Annotated[str | None, doc("A sentence, where somebody should look.")]
    owner: OwnerField
    progress: ProgressField
    failure: FailureField


class JobDetailJson(JobJson, kw_only=True):
    """A job with all that is known of it."""

    dataset_input: Annotated[
        str | None, doc("As submitted: the input that takes the dataset.", "text")
    ]
    use_cached_job: Annotated[
        bool | None,
        doc("As submitted: whether Galaxy may copy the results of equal jobs.", True),
    ]
    request: Annotated[
        JsonObject | None,
        doc(
            "What each input was given; the others have defaults. Null: not known.",
            {"text": {"src": "hda", "id": "5a1cff6882ddb5b2"}, "sleep_s": 2},
        ),
    ] = None
    intermediates_deleted_at: Annotated[
        Time | None, doc("When all but its outputs was deleted in Galaxy.")
    ]
    steps: Annotated[list[StepJson], doc("In the workflow's order.")]
    history_id: Annotated[str | None, doc("In Galaxy.", "33b43b4e7093c91f")]


WebhookIdField: TypeAlias = Annotated[
    str, doc("The id of the webhook.", "3c8f1d52-7b0e-4a3c-9a41-0b5f7a3c2d10")
]
WantedLabels: TypeAlias = Annotated[
    dict[str, str], doc("Only of jobs with all of these labels.", {"plate": "7"})
]
WantedWorkflows: TypeAlias = Annotated[
    list[str], doc("Only of jobs of these workflows; empty: of all.")
]
WantedEvents: TypeAlias = Annotated[
    list[EventType], doc("Only these events; empty: all.", ["job.failed"])
]


class NewWebhook(Body):
    """An address that events are sent to."""

    url: Annotated[
        str,
        doc(
            "An https address.",
            "https://example.org/events",
            extra_json_schema={"maxLength": WEBHOOK_ADDRESS_LENGTH},
        ),
    ]
    events: Annotated[
        list[EventType],
        doc(
            "Only these events, each once; empty: all.",
            ["job.failed"],
            extra_json_schema={"uniqueItems": True},
        ),
    ] = []
    labels: WantedLabels = {}
    workflow_names: Annotated[
        list[str],
        doc(
            "Only of jobs of these workflows, at most 100; empty: of all.",
            extra_json_schema={"maxItems": MAX_WORKFLOW_NAMES},
        ),
    ] = []


class WebhookJson(View):
    """An address that events are sent to."""

    webhook_id: WebhookIdField
    url: Annotated[str, doc("The address.", "https://example.org/events")]
    events: WantedEvents
    labels: WantedLabels
    workflow_names: WantedWorkflows
    state: Annotated[
        WebhookState, doc("`disabled`: the receiver answered 410; see `replay`.")
    ]
    failures: Annotated[int, doc("Attempts that failed since one succeeded.", 0)]
    owner: OwnerField
    created_at: Annotated[Time, doc("When it was made.")]


class NewSecret(WebhookJson):
    """A webhook, with its newest secret."""

    secret: Annotated[
        str, doc("It signs the events. It is not shown again.", "whsec_MfKQ9r8GKYqr")
    ]


class Webhooks(Page[WebhookJson]):
    """A page of webhooks."""


class DeliveryJson(View):
    """An event that is sent to a webhook."""

    delivery_id: Annotated[
        str,
        doc(
            "Of each attempt the `webhook-id`.", "0b5f7a3c-7b0e-4a3c-9a41-3c8f1d522d10"
        ),
    ]
    type: Annotated[EventType, doc("The type of the event.", "job.completed")]
    subject: Annotated[
        str | None, doc("The job, or the batch. Null: a test.", "f2db41e1fa331b3e")
    ]
    at: Annotated[Time, doc("When it happened.")]
    state: Annotated[
        DeliveryState, doc("`dead`: no attempt succeeded within a day.", "delivered")
    ]
    attempts: Annotated[int, doc("Attempts that were begun.", 1)]
    next_attempt_at: Annotated[Time | None, doc("Null: it has ended.")]
    ended_at: Annotated[Time | None, doc("Null: it is pending.")]
    status: Annotated[int | None, doc("Of the last answer.", 204)]
    problem: Annotated[str | None, doc("Why the last attempt failed.")]


class Deliveries(Page[DeliveryJson]):
    """A page of deliveries, newest first."""


class ToReplay(Body):
    """Deliveries that are to be sent again."""

    delivery_ids: Annotated[
        Annotated[list[DeliveryId], Meta(max_length=1000)] | None,
        doc("Those of these that have ended, at most 1,000; null: all that are dead."),
    ] = None


class Replayed(View):
    """How many deliveries are sent again."""

    replayed: Annotated[int, doc("Their number.", 3)]


def webhook(webhook: Webhook) -> WebhookJson:
    """Return a webhook without its secrets."""
    return view(WebhookJson, webhook, **_sorted(webhook))


def with_secret(webhook: Webhook) -> NewSecret:
    """Return a webhook with its newest secret."""
    return view(NewSecret, webhook, **_sorted(webhook), secret=webhook.secrets[0])


def _sorted(webhook: Webhook) -> dict[str, Any]:
    return {
        "events": sorted(webhook.events, key=lambda event: event.value),
        "workflow_names": sorted(webhook.workflow_names),
    }


class Jobs(Page[JobJson]):
    """A page of jobs, newest first."""


class TransitionJson(View):
    """A change of a job's state."""

    id: Annotated[int, doc("Rises with every change of any job.", 4711)]
    from_state: Annotated[InvocationState | None, doc("Null: it was accepted.")]
    to_state: Annotated[InvocationState, doc("The state from then on.", "failed")]
    at: Annotated[Time, doc("When it was seen.", "2026-01-02T12:04:05.250000Z")]
    galaxy_state: GalaxyStateField
    progress: ProgressField
    failure: FailureField
    reopened: Annotated[bool, doc("Whether it had ended before.")]


class Transitions(View):
    """All changes of a job's state, oldest first."""

    items: Annotated[list[TransitionJson], doc("Oldest first.")]
    next_cursor: WholeList = None


class EventJson(TransitionJson, kw_only=True):
    """A change of a job's state, with the job."""

    invocation_id: InvocationIdField
    dataset_id: DatasetIdField
    workflow_name: WorkflowNameField
    labels: LabelsField


LinkField: TypeAlias = Annotated[
    str | UnsetType,
    doc(
        "With `links`, of a whole file: a path of this service that opens it without a "
        "token, for that time, and as long as the token is not revoked.",
        "/jobs/f2db41e1fa331b3e/outputs/sorted?link=ZXhwaXJ",
    ),
]


FileField: TypeAlias = Annotated[
    str | None,
    doc(
        "Its path in a zip of all outputs, safe for any file system. Null: no file.",
        "plates/plate-1/sample-07.txt",
    ),
]


FormatField: TypeAlias = Annotated[
    str | None, doc("Galaxy's name of the format.", "txt")
]


class ElementJson(View):
    """A dataset of a collection, or a collection in it."""

    name: Annotated[str, doc("Its name in its collection.", "sample-07")]
    id: Annotated[
        str | None, doc("Galaxy's id of the dataset. Null: none.", "5114a2a207b7caff")
    ] = None
    state: Annotated[str | None, doc("Galaxy's word for its state.", "error")] = None
    extension: FormatField = None
    size: Annotated[int | None, doc("In bytes.", 37)] = None
    file: FileField = None
    elements: Annotated[list[ElementJson], doc("Of a collection: what is in it.")] = []
    url: LinkField = UNSET


class OutputJson(View):
    """An output of a job."""

    label: Annotated[
        str,
        doc("As the workflow names it, or else by output and step.", "out1 (Step 3)"),
    ]
    src: Annotated[
        str, doc("`hda`: a dataset; `hdca`: a collection; `value`: no data.", "hda")
    ]
    id: Annotated[
        str | None, doc("Galaxy's id of it. Null: a value.", "d512183da34dc03c")
    ]
    name: Annotated[str | None, doc("As Galaxy names it.", "sort of dataset 1")]
    extension: FormatField
    size: Annotated[int | None, doc("In bytes.", 37)]
    state: Annotated[
        str | None,
        doc("Galaxy's word for its state; `ok` if all datasets of it are.", "ok"),
    ]
    hidden: Annotated[bool, doc("Whether Galaxy hides it in the history.")]
    value: Annotated[Any, doc("Of a value, what it is.", None)]
    file: FileField
    elements: Annotated[
        list[ElementJson],
        doc(
            "Of a collection: what is in it, up to 1,000 datasets from "
            "`first_element` on. Where there are more, those not `ok` come first."
        ),
    ]
    element_count: Annotated[
        int, doc("Of a collection: all datasets in it and its parts.", 0)
    ]
    url: LinkField = UNSET


class Outputs(View):
    """All outputs of a job, by label."""

    items: Annotated[list[OutputJson], doc("By label.")]
    next_cursor: WholeList = None


Link: TypeAlias = Callable[[domain.OutputFile], str]
"""Returns the link to a file."""


def outputs(
    made: Sequence[domain.Output], first_element: int, link: Link | None
) -> list[OutputJson]:
    """Return the outputs of a job; of large collections, from one element on."""
    names = use_cases.file_names(made)
    return [_output(output, names, first_element, link) for output in made]


def _output(
    made: domain.Output,
    names: Mapping[tuple[str, ...], str],
    first_element: int,
    link: Link | None,
) -> OutputJson:
    shown = view(
        OutputJson,
        made,
        file=names.get((made.label,)) if made.src == "hda" else None,
        elements=[],
        element_count=len(made.elements),
    )
    if link and (file := use_cases.whole_file(made)) is not None:
        shown.url = link(file)
    folders: dict[tuple[str, ...], list[ElementJson]] = {(): shown.elements}
    for element in made.elements[first_element:][:ELEMENTS_LIMIT]:
        for depth in range(1, len(element.path)):
            path = element.path[:depth]
            if path not in folders:
                folder = ElementJson(name=path[-1])
                folders[path[:-1]].append(folder)
                folders[path] = folder.elements
        dataset = view(
            ElementJson,
            element,
            name=element.path[-1],
            file=names.get((made.label, *element.path)),
        )
        if link and (file := use_cases.whole_file(made, element)) is not None:
            dataset.url = link(file)
        folders[element.path[:-1]].append(dataset)
    return shown


class OutcomeJson(View):
    """The outcome for one of many jobs."""

    invocation_id: InvocationIdField
    dataset_id: DatasetIdField
    workflow_name: WorkflowNameField
    state: Annotated[InvocationState, doc("Its state now.", "cancelling")]
    done: Annotated[bool, doc("Whether it was cancelled, or run again.", True)]
    new_invocation_id: Annotated[
        str | None, doc("The new job, where it was run again.")
    ] = None
    problem: Annotated[
        JsonObject | None,
        doc("Why it was not done. Null, and not done: it was not tried."),
    ] = None


class Outcomes(View):
    """The outcomes for many jobs, newest first."""

    dry_run: Annotated[bool, doc("Whether nothing was to be done.", False)]
    matching: Annotated[int, doc("The number of jobs that match.", 2)]
    done: Annotated[int, doc("The number of those it was done for.", 2)]
    items: Annotated[list[OutcomeJson], doc("Every job that matches.")]


class SubmissionJson(View):
    """The outcome of a submission."""

    submission_id: Annotated[str, doc("A UUID.")]
    state: Annotated[
        str,
        doc("`waiting`, `submitting`, `unknown`, `accepted` or `rejected`.", "waiting"),
    ]
    invocation_id: Annotated[str | None, doc("The job, once accepted.")]
    problem: Annotated[JsonObject | None, doc("Why it was rejected.")]


class RecordedItem(View):
    """An item of a batch, as it was recorded."""

    submission_id: Annotated[UUID, doc("See `GET /submissions/{submission_id}`.")]
    dataset_id: DatasetIdField


class CreatedBatchJson(View):
    """A batch that was recorded."""

    batch_id: BatchIdField
    items: Annotated[list[RecordedItem], doc("In the order of the request.")]


class ItemJson(RecordedItem):
    """An item of a batch."""

    position: Annotated[int, doc("Its place in the batch, counting from 0.", 0)]
    state: Annotated[
        str, doc("Of its job, or else of its submission.", "waiting", "in_progress")
    ]
    invocation_id: Annotated[str | None, doc("The job, once there is one.")]
    problem: Annotated[JsonObject | None, doc("Why it was rejected.")]
    failure: FailureField


class BatchItems(View):
    """A page of the items of a batch."""

    items: Annotated[list[ItemJson], doc("In their order.")]
    next_cursor: NextCursor


class BatchJson(View):
    """A batch, as in lists."""

    batch_id: BatchIdField
    workflow_name: WorkflowNameField
    size: Annotated[int, doc("The number of its items.", 96)]
    counts: Annotated[
        dict[str, int],
        doc("The number of items in each state.", {"waiting": 90, "in_progress": 6}),
    ]
    parameters: Annotated[JsonObject, doc("Those of all items.", {"sleep_s": 2})]
    overwrite: Annotated[bool, doc("Whether each supersedes earlier jobs.")]
    labels: Annotated[dict[str, str], doc("Those of all items.", {"project": "p7"})]
    rerun_of: Annotated[
        UUID | None, doc("The batch whose failed items it repeats.", None)
    ]
    owner: OwnerField
    created_at: Annotated[Time, doc("When it was recorded.")]
    cancelled_at: Annotated[Time | None, doc("When its cancel was requested.")]
    ended_at: Annotated[Time | None, doc("When its last item ended.")]


class BatchDetailJson(BatchJson):
    """A batch."""

    failures: Annotated[list[ItemJson], doc("The first items that have failed.")]


class Batches(Page[BatchJson]):
    """A page of batches."""


def job_detail(invocation: domain.Invocation, now: datetime) -> JobDetailJson:
    """Return a job with all that is known of it; *now* decides whether it is stale."""
    job = view(JobDetailJson, invocation)
    job.progress.blocked = invocation.blocked
    job.request = None if invocation.inputs is None else dict(invocation.inputs)
    job.stale = invocation.is_stale(now)
    return job


def transition(change: domain.Transition) -> TransitionJson:
    """Return a change of a job's state."""
    return _transition(TransitionJson, change)


def _transition(model: type[C], change: domain.Transition, **given: object) -> C:
    json = view(model, change, **given)
    json.progress.blocked = change.blocked
    return json


def event(change: domain.JobTransition) -> EventJson:
    """Return a change of a job's state, with the job."""
    return _transition(
        EventJson,
        change.transition,
        dataset_id=change.dataset_id,
        workflow_name=change.workflow_name,
        labels=change.labels,
    )


def plan(dataset_id: DatasetId, checked: use_cases.Plan) -> PlanJson:
    """Return what would be run."""
    return view(
        PlanJson,
        checked,
        dataset_id=dataset_id,
        workflow_name=checked.workflow.name,
        workflow_id=checked.workflow.workflow_id,
        workflow_version=checked.workflow.version,
        inputs={
            name: source(value) if isinstance(value, domain.Source) else value
            for name, value in checked.inputs.items()
        },
    )


class ListedWorkflowJson(View):
    """A workflow that may be run, as lists show it."""

    name: WorkflowNameField
    workflow_id: Annotated[
        str | None, doc("In Galaxy. Null: not known.", "f597429621d6eb2b")
    ]
    version: Annotated[
        int | None,
        doc("That a job would run. Null: not known until somebody looks at it.", 3),
    ]
    updated_at: Annotated[Time | None, doc("When it was changed. Null: not known.")]
    available: Annotated[
        bool | None,
        doc("Whether a job can name it. Null: not known.", True),
    ]
    problem: Annotated[str | None, doc("A sentence, where `available` is not true.")]


class Workflows(View):
    """A page of the workflows that may be run, by name."""

    items: Annotated[
        list[ListedWorkflowJson], doc("By name, upper and lower case alike.")
    ]
    next_cursor: NextCursor


class DataInputJson(View):
    """An input of a workflow that takes data."""

    name: Annotated[str, doc("As in `parameters`.", "text")]
    kind: Annotated[str, doc("`data` or `data_collection`, as Galaxy has it.", "data")]
    collection_type: Annotated[
        str | None,
        doc("Of a collection; several with commas. Null: any.", "list:paired"),
    ]
    formats: Annotated[
        list[str], doc("Galaxy's names of its formats. Empty: any.", ["txt"])
    ]
    optional: Annotated[bool, doc("Whether the workflow runs without it.")]
    default: Annotated[
        JsonObject | None, doc("What it takes where nothing is given. Null: nothing.")
    ]


class WorkflowJson(View):
    """A workflow and its inputs."""

    name: WorkflowNameField
    workflow_id: WorkflowIdField
    version: WorkflowVersionField
    updated_at: Annotated[Time | None, doc("When it was changed. Null: not known.")]
    annotation: Annotated[str, doc("The author's words.", "Sorts and counts lines.")]
    dataset_input: Annotated[
        str | None,
        doc(
            "Takes the job's dataset where no parameter fills it. Null: depends on "
            "`parameters`, or no input does.",
            "text",
        ),
    ]
    dataset_inputs: Annotated[
        list[str],
        doc("What a job's `dataset_input` may be. Empty: no input.", ["text"]),
    ]
    data_inputs: Annotated[list[DataInputJson], doc("All that take data.")]
    missing_tools: Annotated[
        list[str],
        doc("Tools that it uses and Galaxy lacks: Galaxy does not run it.", []),
    ]
    run_time_parameters: Annotated[
        list[str],
        doc(
            "Parameters of tools that only Galaxy's own run form sets, as "
            "`step|parameter`.",
            [],
        ),
    ]
    parameters: Annotated[
        JsonObject,
        doc("A JSON Schema of a job's `parameters`.", {"type": "object"}),
    ]


class Live(View):
    """The process is alive."""

    status: Annotated[str, doc("Always `alive`.", "alive")] = "alive"


class GalaxyJson(View):
    """The last answer of Galaxy, for information."""

    ok: Annotated[bool, doc("Whether it answered.", True)]
    problem: Annotated[str | None, doc("Why it did not.")]
    at: Annotated[Time, doc("When it was asked.")]


class ReadyJson(View):
    """Whether requests can be served."""

    status: Annotated[str, doc("`ready` or `unavailable`.", "ready")]
    database: Annotated[bool, doc("Whether it answers.", True)]
    migrations: Annotated[str | None, doc("`current`, `ahead`, `behind`, `empty`.")]
    galaxy: Annotated[GalaxyJson | None, doc("What was last heard of it.")]
    problem: Annotated[str | None, doc("The reason, where not ready.")]


class ProblemDetails(View):
    """Why a request was refused (RFC 9457). Some types have further members."""

    type: Annotated[str, doc("Stable; ends in the problem's code.")]
    title: Annotated[str, doc("The same for every problem of a type.")]
    status: Annotated[int, doc("The status of the response.")]
    detail: Annotated[str, doc("What was read, what was expected, what to do.")]
    instance: Annotated[str, doc("The path of the request.")]
    request_id: Annotated[str, doc("As in `X-Request-ID` and in the logs.")]
    field: Annotated[str | UnsetType, doc("The field or parameter at fault.")] = UNSET
    parameters: Annotated[
        dict[str, str] | UnsetType,
        doc("With `invalid-parameters`: a sentence for each input, at most 20."),
    ] = UNSET
    more_problems: Annotated[
        int | UnsetType,
        doc("With `invalid-parameters`: the number of problems that are not named."),
    ] = UNSET
    submission_id: Annotated[
        UUID | UnsetType,
        doc(
            "With `in-progress` and `outcome-unknown`: where to look, "
            "`GET /submissions/{submission_id}`."
        ),
    ] = UNSET
    galaxy_message: Annotated[
        str | UnsetType, doc("With `galaxy-rejected`: Galaxy's own sentence.")
    ] = UNSET
    galaxy_code: Annotated[
        int | UnsetType | None, doc("With `galaxy-rejected`: Galaxy's own number.")
    ] = UNSET
    workflows: Annotated[
        list[dict[str, str]] | UnsetType,
        doc("With `workflow-ambiguous`: their `id`, `owner` and `updated_at`."),
    ] = UNSET
    workflow_ids: Annotated[
        list[str] | UnsetType,
        doc("With `workflow-ambiguous`: workflows of that name, at most 20."),
    ] = UNSET
    missing_tools: Annotated[
        list[str] | UnsetType,
        doc("With `galaxy-rejected`: tools that Galaxy lacks, at most 20."),
    ] = UNSET
    missing: Annotated[
        list[int] | UnsetType,
        doc("With `upload-incomplete`: the numbers of the parts that are not stored."),
    ] = UNSET


# Of two threads that are the first to use a model, msgspec 0.22 lets the second use
# what the first has only begun to work out, and the process crashes.
for _model in [*vars().values()]:
    if isinstance(_model, type) and issubclass(_model, Struct):
        msgspec.json.Decoder(_model)
