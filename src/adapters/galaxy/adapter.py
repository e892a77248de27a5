"""Galaxy, as the adapter of all ports to the workflow engine.

Rule of the file: :mod:`.client` sends requests and :mod:`.translate` reads answers;
the one decision made here is the meaning of a refusal for each request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeAlias, TypeVar, cast

from attrs import evolve, frozen

from galaxy_jobs.adapters.galaxy import (
    exports,
    files,
    outlines,
    privacy,
    purging,
    releases,
    translate,
)
from galaxy_jobs.adapters.galaxy.bulk import Bulk
from galaxy_jobs.adapters.galaxy.client import (
    MAX_REQUESTS,
    Client,
    NoAnswer,
    Refused,
    RequestObserver,
    date,
)
from galaxy_jobs.adapters.galaxy.declarations import (
    DECLARATION_TTL,
    Declarations,
    Stored,
)
from galaxy_jobs.adapters.galaxy.limits import MAX_ANSWER_BYTES
from galaxy_jobs.adapters.galaxy.made import Maker
from galaxy_jobs.adapters.galaxy.names import Names
from galaxy_jobs.adapters.galaxy.pauses import (
    MAX_DATASETS,
    broken_input,
    datasets_of,
    element_of,
    failed_input,
    with_blocked,
)
from galaxy_jobs.adapters.galaxy.quota import DiskUsage, disk_usage
from galaxy_jobs.adapters.galaxy.replaced import replacement, with_replacements
from galaxy_jobs.adapters.galaxy.translate import Unreadable
from galaxy_jobs.adapters.galaxy.trial import Trial
from galaxy_jobs.domain.errors import (
    DataNotFound,
    DataNotMade,
    InvalidValue,
    OutcomeUnknown,
    ReportUnavailable,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunNotFound,
    RunRejected,
    WorkflowNotFound,
    WorkflowVersionNotFound,
)
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    DataDescription,
    GalaxyData,
    Source,
    Src,
    UploadData,
    UrlData,
)
from galaxy_jobs.domain.model.datatypes import Datatypes
from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.model.invoke_options import InvokeOptions
from galaxy_jobs.domain.model.report import (
    GalaxyState,
    InvocationReport,
    Invoked,
    JobDetails,
    JobsSummary,
    Output,
    StepReport,
)
from galaxy_jobs.domain.model.values import (
    HistoryId,
    Identity,
    InvocationId,
    JobId,
    Json,
    WorkflowId,
    engine_id,
)
from galaxy_jobs.domain.model.workflow import (
    AllowedWorkflow,
    ListedWorkflow,
    Workflow,
)
from galaxy_jobs.domain.ports import (
    DataCatalog,
    FileStream,
    OutputFiles,
    RunExports,
    RunHistories,
    WorkflowCatalog,
    WorkflowRunner,
)


@frozen
class About:
    """A Galaxy server's version and clock.

    Attributes:
        version: Such as ``26.1.2``, or only ``26.1``.
        now: Its time, to the second; None where it does not send a date.
    """

    version: str
    now: datetime | None


class Galaxy(
    WorkflowCatalog, DataCatalog, WorkflowRunner, RunHistories, OutputFiles, RunExports
):
    """A Galaxy server, through BioBlend.

    Nothing is sent before a method is called. Safe with any number of threads,
    each of which keeps a connection of its own.

    Args:
        url: Its address.
        key: The API key of the user to act as.
        timeout: Deadline of each request in seconds, all of it included.
        private: Whether only our user may read the data of the histories it makes. It
            is made our user's default in Galaxy.
        max_requests: Requests under way at once, over all threads.
        max_answer_bytes: Limit for the body of one answer.
        observer: Called after each request.
        monotonic: Clock in seconds, for the age of what is cached.

    Attributes:
        bulk: Whether Galaxy answers bulk requests, as far as is known.

    Raises:
        InvalidValue: The address or the key is malformed.
    """

    def __init__(
        self,
        url: str,
        key: str,
        timeout: float = 30.0,
        *,
        private: bool = False,
        max_requests: int = MAX_REQUESTS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        observer: RequestObserver = lambda *_: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = Client(
            url,
            key,
            timeout=timeout,
            max_requests=max_requests,
            max_answer_bytes=max_answer_bytes,
            observer=observer,
        )
        self._private = private
        self._names = Names(self._client, monotonic)
        self._plans: dict[str, Plan] = {}
        self._shared_labels: dict[str, SharedLabels] = {}
        self._declarations = Declarations(self._client, monotonic)
        self._not_shown: set[WorkflowId] = set()
        self._monotonic = monotonic
        self._datatypes: tuple[float, Datatypes] | None = None
        self.bulk = Bulk(search_limit=timeout, monotonic=monotonic)

    def stop(self) -> None:
        """Fail whatever waits for an answer, and all that is asked from now on.

        Each request fails as at its deadline, so that its caller can record that.
        """
        self._client.stop()

    def __repr__(self) -> str:
        return repr(self._client)

    def is_private(self) -> bool:
        """Whether only our user may read the data of the histories it makes.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: There was no usable answer.
        """
        with self._client.domain_errors(Refused.unexpected):
            return privacy.is_private(self._client)

    def disk_usage(self) -> DiskUsage:
        """Return how much of the disk our user has, and how much is in our histories.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: There was no usable answer.
        """
        with self._client.domain_errors(Refused.unexpected):
            return disk_usage(self._client)

    def may_purge(self) -> bool:
        """Whether Galaxy lets its users purge data; True where it does not tell.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: There was no usable answer.
        """
        with self._client.domain_errors(Refused.unexpected):
            return purging.is_allowed(self._client)

    def about(self) -> About:
        """Return the server's version and clock, for diagnosis.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: There was no usable answer.
        """
        with self._client.domain_errors(Refused.unexpected):
            answer = self._client.make_get_request(f"{self._client.url}/version")
            version = translate.version(answer.json())
        return About(version, date(answer.headers.get("Date", "")))

    def trial(self) -> Trial:
        """Return what tries to hand files over, for diagnosis."""
        return Trial(self._client)

    # --- the catalogue of workflows ---

    def find(self, wanted: AllowedWorkflow) -> Workflow:
        if wanted.workflow_id is None:
            return self._version(wanted, self._names.stored(wanted.name))
        stored = self._stored(wanted.workflow_id)
        if stored is None:
            raise WorkflowNotFound(
                wanted.name,
                f"Galaxy has no workflow with id {wanted.workflow_id!r} for "
                f"{wanted.name!r}, or it is deleted. Correct that id in the "
                "list of allowed workflows.",
            )
        return self._version(wanted, stored)

    def _version(self, wanted: AllowedWorkflow, stored: Stored) -> Workflow:
        """Return the version that is wanted of a workflow."""
        newest = self._declarations.read(wanted.name, stored)
        version = wanted.options.version
        if version is None or version == newest.version:
            return newest
        if newest.version is None or version > newest.version:
            raise WorkflowVersionNotFound(
                wanted.name, version, f"The newest is version {newest.version}."
            )
        return self._declarations.read(wanted.name, stored, version)

    def _stored(self, workflow_id: WorkflowId) -> Stored | None:
        """Return a workflow as Galaxy lists it; None where there is none."""
        if workflow_id in self._not_shown:
            return self._names.stored_by_id(workflow_id)
        try:
            shown = self._show_workflow(workflow_id)
        except NoAnswer as error:
            if error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            # Of this one alone: Galaxy 26.1 has steps that its own answer cannot hold.
            stored = self._names.stored_by_id(workflow_id)
            if stored is not None and len(self._not_shown) < MAX_PLANS:
                self._not_shown.add(workflow_id)
            return stored
        if shown is None or shown.get("deleted"):
            return None
        return Stored.read({**shown, "id": workflow_id})

    def listed(self, *, hidden: bool = False) -> Sequence[ListedWorkflow]:
        with_known = self._declarations.with_known
        return [with_known(*pair) for pair in self._names.all(hidden=hidden)]

    def _show_workflow(
        self, workflow_id: WorkflowId, *, instance: bool = False
    ) -> Mapping[str, Any] | None:
        """Return a workflow as Galaxy shows it; None where it does not.

        Args:
            workflow_id: Its id; with *instance*, that of one of its versions.
            instance: See *workflow_id*.
        """
        try:
            with self._client.domain_errors():
                shown = self._client.workflows.show_workflow(
                    workflow_id, instance=instance
                )
                translate.part(shown, "name", str)
                return shown
        except Refused:
            return None

    # --- the catalogue of data ---

    def describe(self, data: GalaxyData) -> DataDescription:
        not_found = DataNotFound(data.src.value, data.id)
        try:
            engine_id(data.id)  # it becomes a part of an address
        except InvalidValue as error:
            raise not_found from error
        with self._client.domain_errors(
            lambda refusal: (
                not_found if refusal.status in _NO_DATA else refusal.unexpected()
            )
        ):
            if data.src is Src.HDCA:
                # Without its elements, which may be many.
                shown = self._client.get(
                    f"dataset_collections/{data.id}", view="collection"
                )
            else:
                shown = self._client.get(
                    f"datasets/{data.id}", hda_ldda=data.src.value, view="summary"
                )
            _check_id(translate.id_of(shown), data.id)
            return translate.description(shown)

    def datatypes(self) -> Datatypes:
        now = self._monotonic()
        if self._datatypes is None or self._datatypes[0] < now:
            with self._client.domain_errors(Refused.unexpected):
                known = translate.datatypes(
                    self._client.get("datatypes/mapping"),
                    self._client.get("datatypes/converters"),
                )
            self._datatypes = now + DECLARATION_TTL, known
        return self._datatypes[1]

    # --- starting, watching and stopping ---

    def identity(self) -> Identity:
        with self._client.domain_errors(Refused.unexpected):
            user = self._client.users.get_current_user()
            if not isinstance(user, Mapping):
                raise Unreadable("no user")
            if user.get("id") is None:
                # Galaxy's answer to a request that arrives without a key.
                raise RunnerRefusedUs(
                    f"Galaxy at {self._client.shown_url} treats us as an anonymous "
                    "user. Does a proxy remove the x-api-key header?"
                )
            return Identity(self._client.shown_url, translate.id_of(user))

    def invoke(
        self,
        workflow_id: WorkflowId,
        inputs: Mapping[str, Source | Json],
        history_id: HistoryId,
        options: InvokeOptions = InvokeOptions(),
    ) -> InvocationId:
        # Whatever happens to it, the workflow is not invoked yet.
        inputs = self._with_data_made(inputs, history_id)
        try:
            with self._client.domain_errors(_rejected):
                invocation = self._client.workflows.invoke_workflow(
                    workflow_id,
                    inputs={
                        name: translate.input_value(value)
                        for name, value in inputs.items()
                    },
                    inputs_by=cast("Any", "name|step_uuid"),
                    history_id=history_id,
                    # If it needs them, a refusal names the missing ones.
                    version=options.version,
                    require_exact_tool_versions=options.exact_tool_versions,
                    use_cached_job=options.use_cached_job,
                    resource_params=dict(options.resource_params),
                    preferred_object_store_id=options.preferred_object_store_id,
                    preferred_intermediate_object_store_id=(
                        options.preferred_intermediate_object_store_id
                    ),
                    preferred_outputs_object_store_id=(
                        options.preferred_outputs_object_store_id
                    ),
                )
                return InvocationId(translate.id_of(invocation))
        except NoAnswer as error:
            if options.resource_params and error.status == _GALAXY_FAILED:
                self._check_resources(workflow_id, history_id)
            raise OutcomeUnknown(str(error)) from error

    def _check_resources(self, workflow_id: WorkflowId, history_id: HistoryId) -> None:
        """Check that resources can be requested: Galaxy answers a 500 where not.

        It looks them up before it starts anything.

        Raises:
            RunRejected: None are defined for runs of this workflow.
        """
        with suppress(Refused, NoAnswer), self._client.domain_errors():
            form = self._client.get(
                f"workflows/{workflow_id}/download", style="run", history_id=history_id
            )
            if form[_RESOURCES] is None:
                raise RunRejected(
                    f"HTTP {_GALAXY_FAILED.value}",
                    advice="Resources are requested for the run, and the "
                    "administrators of this Galaxy have defined none for workflows.",
                )

    def _with_data_made(
        self, inputs: Mapping[str, Source | Json], history_id: HistoryId
    ) -> Mapping[str, Source | Json]:
        """Have what a run cannot be given as it is made in its history."""
        values = list(inputs.values())
        by_address = any(isinstance(value, UrlData) for value in values)
        made = any(isinstance(value, CollectionData | UploadData) for value in values)
        if not by_address and not made:
            return inputs
        version = self.about().version
        addresses = by_address and releases.ADDRESSES.affects(version)
        if not addresses and not made:
            return inputs
        assert self._client.timeout is not None
        limit = MAKING_TIMEOUTS * self._client.timeout
        checksums = not releases.CHECKSUMS.affects(version)
        maker = Maker(self._client, history_id, limit, checksums)
        try:
            with self._client.domain_errors(_rejected):
                return maker.made(inputs, addresses=addresses)
        except NoAnswer as error:
            raise DataNotMade(str(error), retry_after=error.retry_after) from error

    def report(self, invocation_id: InvocationId) -> InvocationReport:
        """Return the state of an invocation; see the port.

        A verdict may rest on several answers of different moments. Galaxy reads
        an invocation's own state first, then its steps, then their jobs. Once its
        state is ``scheduled`` or later, all of its jobs and all invocations of its
        sub-workflows exist. So an answer with the state ``scheduled`` lists all of
        them, and so do the answers read after it, each of which has the same
        order. A settled job stays settled: one that is ``ok`` in the first answer
        is still ``ok`` when the last arrives. One that is not settled keeps the
        verdict open, however old its answer is.

        A cancelled invocation may lack steps that Galaxy never reached. They are
        added as not scheduled: the run did not get to its end.
        """
        try:
            with self._client.domain_errors(_unless_missing):
                shown, at, report = self._report(invocation_id, self._show)
                # Data that Galaxy does not show replaces and blocks nothing.
                with suppress(Refused):
                    report = with_replacements(self._client, report, at)
                with suppress(Refused):
                    report = with_blocked(self._client, report, shown)
                return report
        except NoAnswer as error:
            if error.lasting or error.retry_after is not None:
                raise
            raise ReportUnavailable(str(error)) from error

    def outline(self, invocation_id: InvocationId) -> InvocationReport:
        jobs: dict[outlines.Place, outlines.JobsOfStep] = {}

        def show(id_: InvocationId) -> _Shown:
            shown, at = self._show(id_, details=False)
            jobs.update(outlines.jobs_of_steps(shown))
            return shown, at

        with self._client.domain_errors(_unless_missing):
            shown, at, report = self._report(invocation_id, show)
            try:
                return outlines.outline(self._client, report, jobs, shown, at)
            except Refused as refusal:
                raise refusal.unexpected() from refusal

    def _report(
        self, invocation_id: InvocationId, show: Callable[[InvocationId], _Shown]
    ) -> tuple[Any, datetime | None, InvocationReport]:
        """Return an invocation as it is shown, when it was, and its report."""
        shown, at = show(invocation_id)
        report = self._read_report(shown, at, invocation_id, show, depth=0)
        if report.state is GalaxyState.CANCELLED:
            report = self._with_steps_missing(report, shown)
        if report.is_expanding and self._has_sub_workflows(shown):
            report = evolve(report, has_sub_workflows=True)
        return shown, at, report

    def _has_sub_workflows(self, shown: Mapping[str, Any]) -> bool:
        """Whether steps of a run are workflows themselves.

        Galaxy is asked once for each version of a workflow; True if it does not tell.
        """
        try:
            plan = self._plan(shown)
        except (NoAnswer, Unreadable):
            return True
        return plan is None or any(step.is_workflow for step in plan.values())

    def _sub(
        self,
        show: Callable[[InvocationId], _Shown],
        depth: int,
        invocation_id: InvocationId,
    ) -> InvocationReport:
        if depth > MAX_DEPTH:
            raise Unreadable(f"sub-workflows more than {MAX_DEPTH} deep")
        try:
            shown, at = show(invocation_id)
        except Refused as refusal:
            # A missing part does not mean that the run itself is gone.
            raise refusal.unexpected() from refusal
        return self._read_report(shown, at, invocation_id, show, depth)

    def _show(self, invocation_id: InvocationId, *, details: bool = True) -> _Shown:
        answer = self._client.make_get_request(
            f"{self._client.url}/invocations/{invocation_id}",
            params={"step_details": "true"} if details else None,
        )
        return answer.json(), date(answer.headers.get("Date", ""))

    def _read_report(
        self,
        shown: Any,
        at: datetime | None,
        invocation_id: InvocationId,
        show: Callable[[InvocationId], _Shown],
        depth: int,
    ) -> InvocationReport:
        report = translate.invocation(shown, partial(self._sub, show, depth + 1), at)
        _check_id(report.invocation_id, invocation_id)
        if report.state is GalaxyState.READY:
            # Only then may a review be open, or steps be left for ever.
            plan = self._plan(shown)
            return report if plan is None else translate.with_plan(report, shown, plan)
        dataset_id = translate.failed_dataset(shown)
        if report.state is not GalaxyState.FAILED or dataset_id is None:
            return report
        try:
            dataset = self._client.datasets.show_dataset(dataset_id)
        except Refused:
            return report
        problem = translate.dataset_problem(dataset)
        messages = (*report.messages, problem) if problem else report.messages
        return evolve(report, messages=messages)

    def _with_steps_missing(
        self, report: InvocationReport, shown: Mapping[str, Any]
    ) -> InvocationReport:
        plan = self._plan(shown)
        if plan is not None:
            return translate.with_plan(report, shown, plan)
        # The number of steps is unknown: keep Galaxy's own state, cancelled.
        missing = StepReport(index=len(report.steps), scheduled=False)
        return evolve(report, steps=(*report.steps, missing))

    def _plan(self, shown: Mapping[str, Any]) -> Plan | None:
        """Return the steps of an invocation's workflow; None if Galaxy has an error."""
        return self._of_version(self._plans, shown, translate.plan)

    def _of_version(
        self, kept: dict[str, T], shown: Any, read: Callable[[Mapping[str, Any]], T]
    ) -> T | None:
        """Return what is read of an invocation's workflow; None if Galaxy has an error.

        The id in the answer is that of a version, which never changes: Galaxy is asked
        once for each.

        Args:
            kept: What was read before.
            shown: The invocation.
            read: Reads it from the version as Galaxy shows it.
        """
        id_ = translate.id_of(shown, "workflow_id")
        if id_ not in kept:
            try:
                workflow = self._show_workflow(WorkflowId(id_), instance=True)
                if workflow is None:
                    return None
                found = read(workflow)
            except NoAnswer as error:
                if error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                return None
            except (Refused, Unreadable):
                return None
            if len(kept) >= MAX_PLANS:
                kept.clear()
            kept[id_] = found
        return kept[id_]

    def summaries(
        self, invocation_ids: Sequence[InvocationId]
    ) -> Mapping[InvocationId, JobsSummary]:
        return self.bulk.ask(invocation_ids, self._summarize)

    def _summarize(
        self, batch: Sequence[InvocationId]
    ) -> dict[InvocationId, JobsSummary]:
        ids, types = ",".join(batch), ",".join(["WorkflowInvocation"] * len(batch))
        with self._client.domain_errors():
            # Galaxy decodes the history in the path and ignores it.
            answer = self._client.make_get_request(
                f"{self._client.url}/histories/{batch[0]}/jobs_summary",
                # As a string: requests would encode each comma as %2C.
                params=f"ids={ids}&types={types}",
            )
            summaries = translate.summaries(answer.json())
            return {id_: summaries[id_] for id_ in batch if id_ in summaries}

    def details(self, job_id: JobId) -> JobDetails:
        with self._client.domain_errors(_unless_missing):
            shown = self._client.jobs.show_job(job_id, full_details=True)
            _check_id(translate.id_of(shown), job_id)
            info = None
            if shown.get("exit_code") is None:
                info = self._info(shown)
            return translate.details(shown, info, self._element(shown))

    def _element(self, job: Mapping[str, Any]) -> str | None:
        try:
            return element_of(self._client, job)
        except Refused as refusal:
            if refusal.is_missing:
                return None
            raise refusal.unexpected() from refusal

    def _info(self, job: Mapping[str, Any]) -> str | None:
        """Return the message that Galaxy left on one of a job's outputs, if any.

        Of a paused job without one, a sentence on its inputs.

        An output that is ``ok`` has no reason for a failure, but perhaps the
        standard output of a tool; and so has one that another job made.
        """
        try:
            for id_ in islice(datasets_of(self._client, job, "output"), MAX_DATASETS):
                try:
                    shown = self._client.datasets.show_dataset(id_)
                except Refused:
                    continue
                is_own = shown.get("creating_job") in {None, job["id"]}
                info = translate.text(shown.get("misc_info"))
                if info and is_own and shown.get("state") != "ok":
                    return f"{info.strip()} {failed_input(self._client, job)}".strip()
            return broken_input(self._client, job)
        except Refused as refusal:
            raise refusal.unexpected() from refusal

    def outputs(self, invocation_id: InvocationId) -> Sequence[Output]:
        return self._outputs(invocation_id)

    def named(self, invocation_id: InvocationId, label: str) -> Sequence[Output]:
        return self._outputs(invocation_id, label)

    def version(self, dataset_id: str) -> FileVersion:
        with self._client.domain_errors(Refused.unexpected):
            return files.version(self._client, dataset_id)

    def open(
        self,
        dataset_id: str,
        version: FileVersion,
        start: int = 0,
        stop: int | None = None,
    ) -> FileStream:
        stop = version.size if stop is None else stop
        with self._client.domain_errors(Refused.unexpected):
            return files.open_file(self._client, dataset_id, version, start, stop)

    def begin_export(self, invocation_id: InvocationId) -> str:
        with self._client.domain_errors(_rejected_unless_missing):
            return exports.begin(self._client, invocation_id)

    def find_export(self, export_id: str) -> FileVersion | None:
        with self._client.domain_errors(_rejected):
            return exports.find(self._client, export_id)

    def open_export(
        self, export_id: str, version: FileVersion, start: int, stop: int
    ) -> FileStream:
        with self._client.domain_errors(_rejected):
            return exports.open_file(self._client, export_id, version, start, stop)

    def _outputs(
        self, invocation_id: InvocationId, label: str | None = None
    ) -> Sequence[Output]:
        """Return the outputs of a label; without one, all."""
        with self._client.domain_errors(_unless_missing):
            shown = self._client.invocations.show_invocation(invocation_id)
            _check_id(translate.id_of(shown), invocation_id)
            found = [*translate.outputs_of(shown)]
            values = [*translate.values_of(shown)]
            if label not in {listed for listed, *_ in found}:
                found += self._unlisted_outputs(shown)
            outputs = [
                self._output(*each) for each in found if label in {None, each[0]}
            ]
            if any(output.elements for output in outputs):
                outputs = self._with_files(
                    outputs, translate.id_of(shown, "history_id")
                )
            outputs += [value for value in values if label in {None, value.label}]
            return sorted(outputs, key=lambda output: (output.label, output.src))

    def _unlisted_outputs(self, shown: Any) -> Iterator[tuple[str, str, str]]:
        """Return the outputs that have the label of another one."""
        shared = self._of_version(self._shared_labels, shown, self._read_labels)
        if not shared:
            return iter(())
        details, _ = self._show(InvocationId(translate.id_of(shown)))
        return translate.unlisted_outputs(details, shared)

    def _read_labels(self, workflow: Mapping[str, Any]) -> SharedLabels:
        path = f"workflows/{translate.id_of(workflow)}/download"
        version = translate.part(workflow, "version", int)
        return translate.shared_labels(
            self._client.get(path, style="ga", version=version)
        )

    def _with_files(self, outputs: Sequence[Output], history_id: str) -> list[Output]:
        """Return them with the formats and sizes of the elements of collections.

        Galaxy shows these with the datasets of the history; elements that are not in
        the history of the run stay without.
        """
        wanted = {element.id for output in outputs for element in output.elements}
        found: dict[str, Mapping[str, Any]] = {}
        with suppress(Refused):
            listed = self._client.datasets_in(history_id, keys=f"id,{_FILE_KEYS}")
            for content in islice(listed, MAX_LISTED):
                if content.get("id") in wanted:
                    found[content["id"]] = content
                    if len(found) == len(wanted):
                        break
        return [
            evolve(
                output,
                elements=tuple(
                    translate.with_file(element, found.get(element.id or "", {}))
                    for element in output.elements
                ),
            )
            for output in outputs
        ]

    def _output(self, label: str, src: str, id_: str) -> Output:
        content = self._content(src, id_)
        if (
            src == "hda"
            and content.get("state") == "error"
            and content.get("visible") is False
        ):
            with suppress(Refused, KeyError):
                newest = replacement(self._client, content["history_id"], content)
                if (other := translate.id_of(newest)) != id_:
                    return translate.output(
                        label, src, other, self._content(src, other)
                    )
        return translate.output(label, src, id_, content)

    def _content(self, src: str, id_: str) -> Mapping[str, Any]:
        path = f"datasets/{id_}" if src == "hda" else f"dataset_collections/{id_}"
        try:
            return cast(
                "Mapping[str, Any]",
                self._client.get(path, view="summary", keys=_OUTPUT_KEYS)
                if src == "hda"
                else self._client.get(path, view="element"),
            )
        except Refused:
            return {}

    def cancel(self, invocation_id: InvocationId) -> None:
        with self._client.domain_errors(_unless_missing):
            self._client.invocations.cancel_invocation(invocation_id)

    def review(self, invocation_id: InvocationId, place: str, *, approve: bool) -> None:
        with self._client.domain_errors(_not_changed):
            shown, _ = self._show(invocation_id)
            *above, last = place.split(".")
            for index in above:
                inner = _step_at(shown, index).get("subworkflow_invocation_id")
                if inner is None:
                    raise RunNotFound(f"The invocation has no step {place}.")
                shown, _ = self._show(InvocationId(inner))
            step = _step_at(shown, last)
            if (action := step.get("action")) is not None and action is not approve:
                raise RunRejected("The review has been answered already.")
            self._client.invocations.run_invocation_step_action(
                translate.id_of(shown), translate.id_of(step), action=approve
            )

    # --- the histories of runs ---

    def create(self, name: str) -> HistoryId:
        with self._client.domain_errors(Refused.unexpected):
            if self._private:  # again each time: people change it in Galaxy, too
                version = self.about().version
                if releases.PRIVACY.affects(version):
                    raise RunnerUnavailable(
                        "The results are to be private, and Galaxy gives those of "
                        f"public data to everyone before {releases.PRIVACY.until}; "
                        f"this is {version}.",
                        lasting=True,
                    )
                privacy.make_private(self._client)
            # BioBlend would request every field of it.
            history = self._client.post("histories", {"name": name}, keys="id")
            return HistoryId(translate.id_of(history))

    def marked(self, mark: str) -> Mapping[HistoryId, str]:
        with self._client.domain_errors(Refused.unexpected):
            # BioBlend would fetch all histories and filter them itself. The second
            # pair includes deleted ones.
            histories = translate.objects(
                self._client.get(
                    "histories",
                    q=["name-contains", "deleted"],
                    qv=[mark, "None"],
                    keys="id,name",
                )
            )
            names = {
                HistoryId(translate.id_of(history)): translate.name(
                    translate.part(history, "name", str)
                )
                for history in histories
            }
            # Galaxy ignores case.
            return {id_: name for id_, name in names.items() if name and mark in name}

    def name_of(self, history_id: HistoryId) -> str | None:
        try:
            with self._client.domain_errors(_unless_missing):
                shown = self._client.histories.show_history(history_id)
                return translate.name(translate.part(shown, "name", str))
        except RunNotFound:
            return None

    def runs_in(self, history_id: HistoryId) -> Sequence[InvocationId]:
        try:
            with self._client.domain_errors(_unless_missing):
                invocations = self._client.pages(
                    "invocations",
                    INVOCATIONS_PAGE_SIZE,
                    history_id=history_id,
                    include_nested_invocations="false",
                )
                newest_first = [
                    InvocationId(translate.id_of(invocation))
                    for invocation in invocations
                ]
        except RunNotFound:
            return []
        return newest_first[::-1]

    def invoked(self, invocation_id: InvocationId) -> Invoked:
        with self._client.domain_errors(_unless_missing):
            shown = self._client.invocations.show_invocation(invocation_id)
            _check_id(translate.id_of(shown), invocation_id)
            # The id in there is that of a version, which Galaxy shows with the id
            # of the workflow that it is a version of.
            version = translate.id_of(shown, "workflow_id")
            try:
                workflow = self._show_workflow(WorkflowId(version), instance=True)
            except NoAnswer as error:
                if error.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                workflow = None
            return translate.invoked(shown, workflow)

    def contents(self, history_id: HistoryId) -> Collection[GalaxyData]:
        try:
            with self._client.domain_errors(_unless_missing):
                if self._is_purged(history_id):
                    return []
                return [
                    GalaxyData(
                        _SRC[content["history_content_type"]],
                        translate.id_of(content),
                    )
                    for content in self._client.datasets_in(
                        history_id, keys="id,history_content_type"
                    )
                ]
        except RunNotFound:
            return []

    def elements(self, collection: GalaxyData) -> Mapping[str, HistoryId | None]:
        try:
            engine_id(collection.id)  # it becomes a part of an address
            with self._client.domain_errors(
                lambda refusal: (
                    DataNotFound(collection.src.value, collection.id)
                    if refusal.status in _NO_DATA
                    else refusal.unexpected()
                )
            ):
                shown = self._client.get(
                    f"dataset_collections/{collection.id}", view="element-reference"
                )
                return translate.histories_of_elements(shown)
        except (InvalidValue, DataNotFound):
            return {}

    def delete(self, history_id: HistoryId, *, purge: bool = False) -> None:
        with self._client.domain_errors(Refused.unexpected):
            try:
                purging.delete_history(self._client, history_id, purge=purge)
            except Refused as refusal:
                # A purged one is immutable, and deleted already.
                if not refusal.is_missing and not self._is_purged(history_id):
                    raise

    def _is_purged(self, history_id: HistoryId) -> bool:
        shown = self._client.histories.show_history(history_id)
        return bool(shown.get("purged"))

    def undelete(self, history_id: HistoryId) -> None:
        with self._client.domain_errors(_not_changed):
            self._client.histories.undelete_history(history_id)

    def tag(self, history_id: HistoryId, tags: Collection[str]) -> None:
        with self._client.domain_errors(_not_changed):
            # BioBlend would have Galaxy count what the history holds, for its answer.
            self._client.make_put_request(
                f"{self._client.url}/histories/{history_id}",
                {"tags": sorted(map(translate.tag, tags))},
                {"keys": "id"},
            )

    def retag(
        self, history_id: HistoryId, added: Collection[str], removed: Collection[str]
    ) -> None:
        with self._client.domain_errors(_not_changed):
            shown = self._client.make_get_request(
                f"{self._client.url}/histories/{history_id}", params={"keys": "tags"}
            )
            given = translate.part(shown.json(), "tags", list)
        before = {tag for tag in given if isinstance(tag, str)}
        after = before - set(map(translate.tag, removed))
        after |= set(map(translate.tag, added))
        if after != before:
            self.tag(history_id, after)

    def delete_datasets(
        self,
        history_id: HistoryId,
        dataset_ids: Collection[str],
        *,
        purge: bool = False,
    ) -> None:
        # Also before a purge: Galaxies with Celery answer before they refuse one.
        self._change_datasets(history_id, dataset_ids, "delete")
        if purge:
            try:
                self._change_datasets(history_id, dataset_ids, "purge")
            except RunRejected:
                # There is no code in the answer about many.
                if self.may_purge():
                    raise

    def undelete_datasets(
        self, history_id: HistoryId, dataset_ids: Collection[str]
    ) -> None:
        self._change_datasets(history_id, dataset_ids, "undelete")

    def _change_datasets(
        self, history_id: HistoryId, dataset_ids: Collection[str], operation: str
    ) -> None:
        """Carry out an operation on datasets, many in one request."""
        ids = sorted(dataset_ids)
        for start in range(0, len(ids), DATASETS_AT_ONCE):
            items = [
                {"id": id_, "history_content_type": "dataset"}
                for id_ in ids[start : start + DATASETS_AT_ONCE]
            ]
            with self._client.domain_errors(_not_changed):
                answer = self._client.make_put_request(
                    f"{self._client.url}/histories/{history_id}/contents/bulk",
                    {"operation": operation, "items": items},
                )
                if count := len(translate.part(answer, "errors", list)):
                    raise RunRejected(
                        f"Galaxy did not {operation} {count} of {len(items)} datasets."
                    )


_FILE_KEYS = "extension,file_size,deleted,purged"

_OUTPUT_KEYS = f"{_FILE_KEYS},visible,hid,history_id"

DATASETS_AT_ONCE = 200
"""Datasets that are changed in one request."""

MAX_LISTED = 20_000
"""Datasets of a history among which the elements of collections are looked for."""

_Shown = tuple[Any, datetime | None]
"""An invocation, and when it was shown by Galaxy's clock."""

_GALAXY_FAILED = HTTPStatus.INTERNAL_SERVER_ERROR

_RESOURCES = "workflow_resource_parameters"
"""What Galaxy's run form has the resources in that runs may request, or null."""

_SRC = {"dataset": Src.HDA, "dataset_collection": Src.HDCA}

_NO_DATA = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
)
"""The answers about data for a malformed id, data of another user, and no data."""

Plan: TypeAlias = Mapping[int, translate.PlannedStep]

SharedLabels: TypeAlias = Mapping[tuple[int, str], str]

T = TypeVar("T")

MAKING_TIMEOUTS = 3
"""The data of a run may take so many times the time-out of one request."""

MAX_PLANS = 1000
"""Workflows whose steps are kept."""

MAX_DEPTH = 20
"""Levels of sub-workflows."""

INVOCATIONS_PAGE_SIZE = 100
"""The most that Galaxy lists in one page."""


def _rejected(refusal: Refused) -> RunRejected:
    return RunRejected(refusal.message, refusal.code)


def _check_id(read: str, asked: str) -> None:
    """Raise Unreadable if an answer is about something else than was asked."""
    if read != asked:
        raise Unreadable(f"it is about {read!r}, not {asked!r}")


def _step_at(shown: Any, index: str) -> Mapping[str, Any]:
    """Return the step of an invocation with that index."""
    for step in translate.objects(translate.part(shown, "steps", list)):
        if str(step.get("order_index")) == index:
            return step
    raise RunNotFound(f"The invocation has no step {index}.")


def _not_changed(refusal: Refused) -> Exception:
    return _not_found(refusal) if refusal.is_missing else _rejected(refusal)


def _not_found(refusal: Refused) -> RunNotFound:
    return RunNotFound(f"{refusal.request}: {refusal.message}")


def _rejected_unless_missing(refusal: Refused) -> Exception:
    return _not_found(refusal) if refusal.is_missing else _rejected(refusal)


def _unless_missing(refusal: Refused) -> Exception:
    """Return RunNotFound for Galaxy's own 404, and NoAnswer for anything else."""
    return _not_found(refusal) if refusal.is_missing else refusal.unexpected()
