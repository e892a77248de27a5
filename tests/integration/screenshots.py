"""Takes pictures of the pages: ``python -m tests.integration.screenshots [FOLDER]``.

Those in the documentation are replaced; all of them go to the folder, if it is given,
to be looked at.

The list in ``docs/form-picker.png`` is not part of the page: it was taken of a browser
with a window.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import evolve
from playwright.sync_api import Browser, FilePayload

from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.postgres import make_engine, migrate
from galaxy_jobs.domain import (
    BatchId,
    Dataset,
    DatasetId,
    Element,
    Failure,
    GalaxyData,
    InputKind,
    InvocationId,
    InvocationState,
    JobDetails,
    JobState,
    Output,
    Problem,
    Sighting,
    Src,
    WorkflowInput,
)
from galaxy_jobs.domain.model.invocation import StepSummary
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.model.workflow_input import Pattern
from galaxy_jobs.domain.use_cases.steps import FailedJob, TimedStep
from galaxy_jobs.entrypoints import logs
from tests.support.api import StandIn
from tests.support.browser import browser
from tests.support.page import Site, seen, site, steps


ROOT = Path(__file__).parents[2]
SHOWN = {
    "list": "status-page.png",
    "form-inputs": "form-inputs.png",
    "form-refused-field": "form-refused.png",
    "upload-pairs": "upload-pairs.png",
    "outputs-nested": "outputs.png",
    "batch": "batch.png",
}
"""The pictures in the documentation, and their files there."""

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)

STDERR = """\
[M::bwa_idx_load_from_disk] read 0 ALT contigs
[M::process] read 1021348 sequences (154223548 bp)...
[W::bseq_read] the 2nd file has fewer sequences.
[mem_sam_pe] paired reads have different names: "SRR7889.1041", "SRR7889.1044"
"""


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
STEPS = [
    TimedStep(
        path=path,
        summary=StepSummary(
            index=number,
            label=path[-1],
            tool="toolshed.g2.bx.psu.edu/repos/devteam/bwa/bwa_mem/0.7.19",
            state=state,
            jobs={"ok": 11, "error": 2},
        ),
        began_at=NOON,
        ended_at=None if state == "running" else NOON + timedelta(seconds=4000),
    )
    for number, (path, state) in enumerate(
        [
            (("mapping",), "failed"),
            (("mapping", "align"), "failed"),
            (("mapping", "sort", "by name"), "ok"),
            (("report",), "running"),
        ]
    )
]
LOGS = [
    FailedJob(
        path=("mapping", "align"),
        state=JobState.ERROR,
        details=JobDetails(
            tool="bwa_mem/0.7.19",
            element=f"plate-1/sample-{number}",
            exit_code=1,
            stderr="read names differ\n" * 30,
            message="Are they a pair?",
        ),
    )
    for number in range(3)
]


@contextmanager
def _postgres() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp())
    server = EmbeddedPostgres(folder)
    try:
        with server as url:
            engine = make_engine(url)
            migrate(engine)
            engine.dispose()
            yield url
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def output(label: str, name: str, extension: str, size: int) -> Output:
    """Make what Galaxy says of an output."""
    return Output(
        label=label,
        src="hda",
        id=f"bbd44e69cb89{size:x}",
        name=name,
        extension=extension,
        size=size,
        state="ok",
    )


def nested() -> Output:
    """Make what Galaxy says of a collection of collections."""
    names = [
        (f"plate-{plate}", f"sample-{sample:02}", read)
        for plate, samples in ((7, (1, 2)), (8, (1,)))
        for sample in samples
        for read in ("forward", "reverse")
    ]
    return Output(
        label="trimmed reads",
        src="hdca",
        id="c94e1f0a5b27d863",
        name="Trimmed reads",
        state="ok",
        elements=tuple(
            Element(
                name="/".join(path),
                path=path,
                id=f"bbd44e69cb8906{number:02x}",
                state="ok",
                extension="fastqsanger.gz",
                size=48_213_077 + 3_911_003 * number,
            )
            for number, path in enumerate(names)
        ),
    )


def furnish(there: Site) -> dict[str, InvocationId]:
    """Put a laboratory's day on the pages; return jobs to look at."""
    state = InvocationState
    reads = WorkflowInput(name="reads", kind=InputKind.COLLECTION, annotation="FASTQ")
    there.galaxy.add_workflow(
        "variant-calling",
        reads,
        WorkflowInput(
            name="minimum quality",
            kind=InputKind.INTEGER,
            default=20,
            minimum=0,
            maximum=60,
            annotation="Variants below this Phred score are left out.",
        ),
        WorkflowInput(
            name="caller",
            kind=InputKind.TEXT,
            options=("freebayes", "bcftools", "lofreq"),
            default="freebayes",
        ),
        WorkflowInput(
            name="annotate",
            kind=InputKind.BOOLEAN,
            default=True,
            annotation="Name the genes that each variant lies in.",
        ),
        WorkflowInput(
            name="known sites",
            kind=InputKind.DATA,
            optional=True,
            formats=("vcf", "bcf"),
        ),
    )
    there.galaxy.add_workflow(
        "differential-expression",
        WorkflowInput(
            name="treated",
            kind=InputKind.COLLECTION,
            collection_type="list:paired",
            annotation="FASTQ files of the treated samples, in pairs.",
        ),
        WorkflowInput(name="control", kind=InputKind.COLLECTION),
        WorkflowInput(
            name="annotation of genes", kind=InputKind.DATA, formats=("gtf",)
        ),
        WorkflowInput(
            name="genome",
            kind=InputKind.TEXT,
            options=("hg38", "mm10", "dm6"),
            labels=(
                "Human, Dec. 2013 (GRCh38/hg38), with alternate and decoy sequences",
                "Mouse, Dec. 2011 (GRCm38/mm10)",
                "Fruit fly, Aug. 2014 (BDGP Release 6 + ISO1 MT/dm6)",
            ),
        ),
        WorkflowInput(
            name="title of the report",
            kind=InputKind.TEXT,
            optional=True,
            default="Differentially expressed genes",
        ),
        WorkflowInput(
            name="adapter",
            kind=InputKind.TEXT,
            optional=True,
            suggestions=("AGATCGGAAGAGC", "CTGTCTCTTATA"),
            patterns=(Pattern(expression="^[ACGTN]*$", message="Bases, or N."),),
        ),
        WorkflowInput(
            name="largest false discovery rate",
            kind=InputKind.FLOAT,
            default=0.05,
            minimum=0,
            maximum=1,
        ),
        WorkflowInput(name="is stranded", kind=InputKind.BOOLEAN, optional=True),
        WorkflowInput(
            name="plots",
            kind=InputKind.TEXT,
            multiple=True,
            optional=True,
            options=("volcano", "heatmap", "pca"),
        ),
        WorkflowInput(
            name="genes to highlight",
            kind=InputKind.TEXT,
            multiple=True,
            optional=True,
        ),
    )
    for name, title in (("treated", "Treated, 4 pairs"), ("control", "Controls")):
        there.container.datasets().add(
            Dataset(
                dataset_id=DatasetId(f"plate-7-{name}"),
                name=title,
                source=GalaxyData(Src.HDCA, f"c-{name}"),
                created_at=datetime.now(UTC),
            ),
            SERVICE,
        )
    datasets = [f"SRR78890{number}" for number in range(41, 49)]
    for dataset in datasets:
        there.dataset(dataset, f"Paired reads of {dataset}")
    failure = Failure(
        reason="job-failed",
        step="align",
        step_index=2,
        path=("mapping", "align"),
        tool="bwa_mem/0.7.19",
        exit_code=1,
        stderr=STDERR,
        message="The 2 FASTQ files have reads of different names: are they a pair?",
    )
    running = steps(
        reads="input",
        trim="ok",
        align="ok",
        sort="ok",
        call="running",
        report="waiting",
    )
    broken = steps(
        reads="input", trim="ok", align="failed", sort="blocked", call="blocked"
    )
    done = steps(reads="input", trim="ok", align="ok", sort="ok", call="ok")
    good = seen(state.COMPLETED, ok=24, steps=done)
    half = seen(state.IN_PROGRESS, ok=9, running=3, waiting=12, steps=running)
    fails = seen(state.FAILED, ok=11, failed=13, steps=broken, failure=failure)
    there.job("rna-seq", datasets[0], good, ago=26 * HOUR, each=47 * MINUTE)
    there.job(
        "variant-calling", datasets[0], half, good, ago=7 * HOUR, each=21 * MINUTE
    )
    there.job(
        "variant-calling", datasets[1], half, good, ago=6 * HOUR, each=18 * MINUTE
    )
    failed = there.job(
        "variant-calling",
        datasets[2],
        half,
        fails,
        ago=5 * HOUR,
        each=9 * MINUTE,
        parameters={"minimum quality": 30, "caller": "lofreq"},
    )
    there.job(
        "rna-seq",
        datasets[3],
        half,
        seen(state.CANCELLED, ok=2, failed=4),
        ago=4 * HOUR,
        each=2 * MINUTE,
    )
    completed = there.job(
        "variant-calling",
        datasets[4],
        half,
        good,
        ago=2 * HOUR,
        each=31 * MINUTE,
        parameters={"minimum quality": 20},
    )
    there.job(
        "quality-report",
        datasets[5],
        seen(
            state.IN_PROGRESS,
            ok=3,
            running=1,
            failed=1,
            waiting=2,
            failure=evolve(
                failure,
                step="fastqc",
                tool="fastqc/0.12.1",
                exit_code=137,
                path=("fastqc",),
                stderr="Killed",
                message="This tool used more memory than it was given.",
            ),
        ),
        ago=12 * MINUTE,
        each=11.9 * MINUTE,
    )
    following = there.job(
        "variant-calling",
        datasets[6],
        half,
        ago=9 * MINUTE,
        each=8.9 * MINUTE,
        parameters={"minimum quality": 20, "caller": "freebayes", "annotate": True},
    )
    there.job(
        "rna-seq",
        datasets[6],
        seen(
            state.IN_PROGRESS,
            ok=14,
            running=2,
            attention="A job is paused: the quota of its owner is used up.",
            waiting=2,
        ),
        ago=4 * MINUTE,
        each=3.9 * MINUTE,
    )
    there.job(
        "variant-calling",
        datasets[7],
        seen(state.QUEUED, waiting=3),
        ago=timedelta(seconds=40),
    )
    return {"running": following, "failed": failed, "completed": completed}


def furnish_batch(there: Site) -> BatchId:
    """Put a plate of samples on the pages, as one batch."""
    reads = WorkflowInput(name="reads", kind=InputKind.DATA)
    there.galaxy.add_workflow("quality-report", reads)
    samples = [f"plate-7-{row}{column:02}" for row in "ABCD" for column in range(1, 13)]
    for sample in samples:
        there.dataset(sample, f"Reads of {sample}")
    message = "The file ends in the middle of a record."
    failure = Failure(reason="job-failed", step="fastqc", message=message)
    good = seen(InvocationState.COMPLETED, ok=3)
    fails = seen(InvocationState.FAILED, ok=1, failed=2, failure=failure)
    busy = seen(InvocationState.IN_PROGRESS, ok=1, running=1, waiting=1)
    refused = Problem("galaxy-rejected", "Galaxy refused it: the dataset is deleted.")
    outcomes: list[Sighting | Problem]
    outcomes = [good, good, fails, *[good] * 6, refused, *[good] * 12, *[busy] * 4]
    return there.batch(
        "quality-report",
        samples,
        *outcomes,
        ago=19 * MINUTE,
        labels={"project": "plate-7"},
    )


def take(there: Site, chrome: Browser, folder: Path) -> None:
    """Take all pictures."""
    jobs = furnish(there)
    job = {name: f"/ui/jobs/{id_}" for name, id_ in jobs.items()}
    form = "/ui/submit?workflow_name=variant-calling"
    data_form = "/ui/submit?workflow_name=differential-expression"
    batch_id = None
    wide, phone, laptop = (1120, 760), (390, 844), (1366, 768)
    for name, path, size, scheme, whole in (
        ("list", "/", laptop, "light", False),
        ("list-dark", "/", wide, "dark", True),
        ("list-phone", "/", phone, "light", False),
        ("running", job["running"], wide, "light", True),
        ("running-dark", job["running"], wide, "dark", True),
        ("running-phone", job["running"], phone, "light", True),
        ("failed", job["failed"], wide, "light", True),
        ("failed-dark", job["failed"], wide, "dark", False),
        ("failed-phone", job["failed"], phone, "light", True),
        ("completed", job["completed"], wide, "light", True),
        ("completed-phone", job["completed"], phone, "dark", True),
        ("outputs-nested", job["completed"], (900, 760), "light", True),
        ("form", form, wide, "light", True),
        ("form-data", data_form, wide, "light", True),
        ("form-inputs", data_form, (720, 900), "light", False),
        ("form-data-phone", data_form, phone, "dark", True),
        ("list-tablet", "/", (768, 1024), "dark", False),
        ("failed-tablet", job["failed"], (768, 1024), "light", True),
        ("form-phone", form, phone, "dark", True),
        ("form-refused", data_form, wide, "light", True),
        ("form-refused-field", data_form, (720, 900), "light", False),
        ("form-refused-phone", data_form, phone, "dark", True),
        ("selected-phone", "/", phone, "dark", False),
        ("workflows", "/ui/submit", wide, "light", False),
        ("upload-pairs", "/ui/upload", (900, 760), "light", True),
        ("upload-pairs-phone", "/ui/upload", phone, "dark", True),
        ("docs", "/docs", wide, "light", False),
        ("docs-operation", "/docs#submit_job", wide, "dark", False),
        ("docs-phone", "/docs", phone, "light", False),
        ("docs-operation-phone", "/docs#submit_job", phone, "light", False),
        ("batches", "/ui/batches", wide, "light", False),
        ("batches-phone", "/ui/batches", phone, "dark", False),
        ("batch", "/ui/batches/{batch_id}", wide, "light", False),
        ("batch-dark", "/ui/batches/{batch_id}", wide, "dark", True),
        ("batch-phone", "/ui/batches/{batch_id}", phone, "light", True),
        ("batch-jobs", "/?batch_id={batch_id}", wide, "light", False),
    ):
        # Its jobs would hide the others in the pictures before.
        if "batch" in name and batch_id is None:
            batch_id = furnish_batch(there)
        context = chrome.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            device_scale_factor=1 if size[0] > phone[0] else 2,
        )
        page = context.new_page()
        page.goto(there.url + path.format(batch_id=batch_id))
        page.wait_for_load_state("load")
        if path.startswith("/ui/jobs"):
            page.wait_for_selector("#outputs:not([hx-get])")
        if "refused" in name:
            page.get_by_label("Dataset", exact=True).fill("plate-7-treated")
            page.get_by_label("Input for the dataset").select_option("treated")
            page.get_by_label("control").fill("plate-7-control")
            page.get_by_label("annotation of genes").fill("SRR7889041")
            page.get_by_label("genome").select_option("dm6")
            page.get_by_label("adapter", exact=True).fill("not bases")
            page.get_by_role("button", name="Run", exact=True).click()
            page.wait_for_selector(".error")
        if "upload" in name:
            names = [
                f"SRR788904{n}_R{read}.fastq.gz" for n in (1, 2) for read in (1, 2)
            ]
            page.set_input_files(
                "#files",
                [
                    FilePayload(name=name, mimeType="", buffer=name.encode() * 10_000)
                    for name in [*names, "SRR7889043_R1.fastq.gz"]
                ],
            )
            page.get_by_label("list of pairs").check()
            page.locator("#name").fill("Plate 7, treated")
            page.wait_for_selector(".sample-head button:visible")
        if "selected" in name:
            for box in page.locator(".select").all()[:3]:
                box.check()
        path_ = folder / f"{name}.png"
        if name == "form-refused-field":
            page.locator("fieldset", has=page.locator(".error")).screenshot(path=path_)
        elif name == "outputs-nested":
            page.locator("section", has=page.locator("#outputs")).screenshot(path=path_)
        else:
            page.screenshot(path=path_, full_page=whole)
        context.close()


def main() -> None:
    """Take them."""
    logs.configure(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outputs = StandIn(
            [
                output("report", "MultiQC report", "html", 1843120),
                nested(),
                output("variants", "Variants", "vcf", 48213),
            ]
        )
        with (
            _postgres() as url,
            site(
                url,
                job_outputs=outputs,
                job_steps=StandIn(STEPS),
                job_logs=StandIn((LOGS, 3)),
            ) as there,
            browser() as chrome,
        ):
            take(there, chrome, folder)
        for name, file in SHOWN.items():
            shutil.copy(folder / f"{name}.png", ROOT / "docs" / file)


if __name__ == "__main__":
    main()
