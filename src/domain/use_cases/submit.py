"""Run a workflow on a dataset: once, at whatever moment a process dies.

The four steps, and what is known if the process dies after each:

1. the submission is stored: nothing was asked of Galaxy;
2. its history is created and stored: nothing was invoked, unless step 3 began;
3. collections are made in that history, and Galaxy is invoked into it: the run can
   be found in it;
4. the run is stored.

The reconciler (:mod:`galaxy_jobs.domain.use_cases.reconcile`) settles the rest.
Every step is a compare-and-set against it: the loser stops.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import Literal
from uuid import UUID, uuid4

from attrs import Attribute, evolve, field, frozen

from galaxy_jobs.domain.errors import (
    DataNotFound,
    DataNotMade,
    DatasetInputAmbiguous,
    DatasetNotFound,
    DomainError,
    InvalidParameters,
    InvalidValue,
    KeyInProgress,
    KeyReused,
    OutcomeUnknown,
    RunnerError,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunRejected,
    StaleVersion,
    StoreUnavailable,
    ToolsMissing,
    WorkflowVersionNotFound,
    quoted,
    shortened,
)
from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    DataDescription,
    Dataset,
    DatasetRef,
    GalaxyData,
    Source,
    UploadData,
    UrlData,
    leaves_of,
)
from galaxy_jobs.domain.model.datatypes import Datatypes
from galaxy_jobs.domain.model.invocation import (
    STALE_AFTER,
    Invocation,
    InvocationState,
)
from galaxy_jobs.domain.model.invoke_options import InvokeOptions
from galaxy_jobs.domain.model.source_json import source_to_json
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Problem,
    Request,
    Submission,
    SubmissionState,
    history_mark,
)
from galaxy_jobs.domain.model.values import (
    PARAMETERS_SIZE,
    DatasetId,
    HistoryId,
    Identity,
    InvocationId,
    Json,
    Parameters,
    SubmissionId,
    json_size,
    positive,
)
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.model.workflow import (
    AllowedWorkflow,
    Allowlist,
    Workflow,
    bind,
    resolve,
)
from galaxy_jobs.domain.model.workflow_input import (
    described_misfit,
    misfit,
)
from galaxy_jobs.domain.ports import (
    Clock,
    DataCatalog,
    DatasetRepository,
    InvocationRepository,
    RunHistories,
    SubmissionRepository,
    UploadRepository,
    WorkflowCatalog,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record
from galaxy_jobs.domain.use_cases.sources import CheckUploads, HandsOver, ResolveSource


def _not_negative(_: object, attribute: Attribute[int], value: int) -> None:
    if value < 0:
        raise InvalidValue(f"{attribute.name} must be 0 or above, got {value}.")


@frozen(kw_only=True)
class SubmitPolicy:
    """The time limits of submissions.

    Attributes:
        deadline: After this, the reconciler may look at a submission that is not
            settled. Longer than two requests to Galaxy can take, or submissions
            would be fenced off while still under way. With collections, which are made
            first, and files, which are sent first, it is twice as long.
        key_lifetime: For how long an idempotency key replays an accepted answer.
        at_once: How many items of batches are submitted at once, over all processes.
        max_active: While so many jobs are active, no items are begun; 0: no limit.

    Raises:
        InvalidValue: A duration or `at_once` is not above zero, or `max_active` is
            below it.
    """

    deadline: timedelta = field(default=timedelta(minutes=2), validator=positive)
    key_lifetime: timedelta = field(default=timedelta(hours=24), validator=positive)
    at_once: int = field(default=4, validator=positive)
    max_active: int = field(default=0, validator=_not_negative)


@frozen(kw_only=True)
class Plan:
    """A request that fits its workflow, ready to be invoked.

    Attributes:
        request: The request as it is stored, with the ids of datasets in the store.
        workflow: As Galaxy declares it now.
        inputs: The value or data of each input; others take their defaults.
        data: What Galaxy knows of the data that it has, by input, as far as it was
            asked and could tell.
        dataset_input: The input that takes the job's dataset; None: none does.
        options: How Galaxy is to carry it out, with the version of the workflow.
    """

    request: Request
    workflow: Workflow
    inputs: Mapping[str, Source | Json]
    data: Mapping[str, DataDescription] = field(factory=dict, hash=False)
    dataset_input: str | None = None
    options: InvokeOptions = InvokeOptions()

    @property
    def given(self) -> Parameters:
        """What each input is given, as JSON: a value, or Galaxy's ids of data.

        Credentials in addresses are left out, and so are the elements of a collection
        that take more than :data:`PARAMETERS_SIZE`.
        """
        return {name: _as_json(value) for name, value in self.inputs.items()}


def _as_json(value: Source | Json) -> Json:
    if not isinstance(value, GalaxyData | UrlData | UploadData | CollectionData):
        return value
    written = source_to_json(value, shown=True)
    if isinstance(value, CollectionData):
        written["count"] = value.count
        if json_size(written) > PARAMETERS_SIZE:
            written["elements"] = None
    return written


MAX_LOOKS = 20
"""Data of a request that Galaxy is asked about at most."""

LOOKS_TIMEOUT = timedelta(seconds=10)
"""After this, Galaxy is asked about no more data of a request."""


@frozen
class Check:
    """Checks a request without running it.

    Attributes:
        data: Is asked about the data that Galaxy has; None: its state is left for
            Galaxy to judge.
        hand_over: See :class:`ResolveSource`.
        uploads: Where the files of many requests are looked up; None: they are not.
    """

    datasets: DatasetRepository
    catalog: WorkflowCatalog
    allowlist: Allowlist
    clock: Clock
    data: DataCatalog | None = None
    hand_over: HandsOver | None = None
    uploads: UploadRepository | None = None

    def __call__(self, request: Request, viewer: Viewer) -> Plan:
        """Return the plan that would be invoked.

        Galaxy is asked once about each dataset and collection, at most
        :data:`MAX_LOOKS` of them. Once it fails to answer, or after
        :data:`LOOKS_TIMEOUT`, the rest is for Galaxy to judge when it is invoked.

        Raises:
            InvalidParameters: As for :meth:`plan`, and for data that Galaxy does not
                have, that no job can run on (see :class:`DataDescription`), or that
                is of another type or format than the input takes.
            DomainError: As for :meth:`plan`.
        """
        plan = self.plan(request, viewer)
        inputs = {input_.name: input_ for input_ in plan.workflow.inputs}
        given = {
            name: value
            for name, value in plan.inputs.items()
            if isinstance(value, GalaxyData)
        }
        found = self._look(given.values())
        described, problems = {}, {}
        for name, data in given.items():
            dataset = _dataset_of(name, request)
            what = f"{data.src.value} {quoted(data.id)}"
            what = what if dataset is None else f"dataset {dataset} ({what})"
            match found.get(data):
                case DataNotFound() as error:
                    problems[name] = f"Input {quoted(name)} was given {what}. {error}"
                case DataDescription() as description:
                    described[name] = description
                    wrong = description.problem or described_misfit(
                        inputs[name], description, self._datatypes
                    )
                    if wrong:
                        problems[name] = (
                            f"Input {quoted(name)} was given {what}, which {wrong}."
                        )
                case None:
                    pass  # Galaxy could not tell
        if problems:
            raise InvalidParameters(problems)
        return evolve(plan, data=described)

    def _datatypes(self) -> Datatypes:
        """Return the formats that Galaxy knows, or none where it cannot tell."""
        try:
            return self.data.datatypes() if self.data else Datatypes()
        except RunnerError:
            return Datatypes()

    def _look(
        self, given: Iterable[GalaxyData]
    ) -> dict[GalaxyData, DataDescription | DataNotFound]:
        """Return what Galaxy knows of data, as far as it can tell in time."""
        found: dict[GalaxyData, DataDescription | DataNotFound] = {}
        until = self.clock() + LOOKS_TIMEOUT
        for data in islice(dict.fromkeys(given), MAX_LOOKS):
            if self.data is None or self.clock() > until:
                break
            try:
                found[data] = self.data.describe(data)
            except DataNotFound as error:
                found[data] = error
            except RunnerError:
                break
        return found

    def plan(self, request: Request, viewer: Viewer) -> Plan:
        """Return the plan without asking about the state of data.

        Raises:
            DatasetNotFound: The job's dataset, or one named in a parameter, is
                not registered.
            InvalidSource: The source of one cannot be used.
            WorkflowNotAllowed: It is not on the allowlist.
            WorkflowNotFound, WorkflowAmbiguous: Galaxy has none, or several.
            WorkflowUnreadable: Galaxy cannot show it.
            ToolsMissing: Galaxy lacks tools that it uses.
            InvalidParameters: They do not fit what the workflow declares, or take
                too much space.
            WorkflowVersionNotFound: The workflow has no such version, or another one
                is configured.
            InvalidValue: The name of the dataset or workflow is empty, or too long, or
                the version is below 0.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        request.check_size()
        id_ = request.dataset_id
        known: Mapping[DatasetId, Dataset]
        known = {id_: self.datasets.get(id_, viewer)}  # before Galaxy is asked
        workflow = self._workflow(request, viewer)

        def find(wanted: Collection[DatasetId]) -> Mapping[DatasetId, Dataset]:
            others = {*wanted} - known.keys()
            if not others:
                return known
            return {**known, **self.datasets.get_many(others, viewer)}

        resolved = ResolveSource(self.datasets, self.hand_over)
        return _planned(request, *workflow, find, resolved)

    def plan_all(
        self, requests: Sequence[Request], viewer: Viewer
    ) -> Sequence[Plan | DomainError]:
        """Return the plan of each request, or why it cannot run.

        All are of one version of one workflow, which Galaxy is asked about once. Their
        datasets are read at once. What is uploaded is not handed over to Galaxy yet.

        Raises:
            DomainError: As for :meth:`plan`, about the workflow.
        """
        allowed, workflow = self._workflow(requests[0], viewer)
        ids = {id_ for request in requests for id_ in _dataset_ids(request)}
        known = self.datasets.get_many(ids, viewer)

        def find(wanted: Collection[DatasetId]) -> Mapping[DatasetId, Dataset]:
            return {id_: known[id_] for id_ in wanted if id_ in known}

        whole = None if self.uploads is None else CheckUploads(self.uploads)
        if whole is not None:
            whole.read(known.values())
        resolved = ResolveSource(self.datasets, whole)

        def planned(request: Request) -> Plan | DomainError:
            try:
                request.check_size()
                return _planned(request, allowed, workflow, find, resolved)
            except (RunnerError, StoreUnavailable):
                raise
            except DomainError as error:
                return error

        return [planned(request) for request in requests]

    def _workflow(
        self, request: Request, viewer: Viewer
    ) -> tuple[AllowedWorkflow, Workflow]:
        allowed = self.allowlist.admit(request.workflow_name, viewer)
        allowed = allowed.pinned(request.workflow_version)
        workflow = self.catalog.find(allowed)
        if workflow.missing_tools:
            raise ToolsMissing(workflow.name, workflow.missing_tools)
        return allowed, workflow


def _planned(
    request: Request,
    allowed: AllowedWorkflow,
    workflow: Workflow,
    find: Callable[[Collection[DatasetId]], Mapping[DatasetId, Dataset]],
    resolved: ResolveSource,
) -> Plan:
    """Return the plan for a version of a workflow.

    Args:
        request: The request.
        allowed: The workflow as it is allowed.
        workflow: As Galaxy declares it.
        find: Returns datasets that exist, by their ids.
        resolved: Returns the source of a dataset, as the runner takes it.
    """
    dataset = find([request.dataset_id]).get(request.dataset_id)
    if dataset is None:
        raise DatasetNotFound(request.dataset_id)
    binding = bind(
        workflow,
        source=resolved(dataset),
        parameters=request.parameters,
        dataset_input=request.dataset_input,
        allowed=allowed,
    )
    options = evolve(allowed.options, version=workflow.version)
    if request.use_cached_job is not None:
        options = evolve(options, use_cached_job=request.use_cached_job)
    bound = binding.inputs
    refs = {
        name: ref.dataset_id
        for name, ref in bound.items()
        if isinstance(ref, DatasetRef)
    }
    datasets = find({*refs.values()}) if refs else {}
    sources = {id_: resolved(dataset) for id_, dataset in datasets.items()}
    data = resolve(bound, sources)
    _check_kinds(workflow, data)
    stored = {
        name: {"dataset_id": datasets[id_].stored_id} for name, id_ in refs.items()
    }
    return Plan(
        request=evolve(
            request,
            dataset_id=dataset.stored_id,
            parameters={**request.parameters, **stored},
        ),
        workflow=workflow,
        inputs={**workflow.empty_inputs, **data},
        dataset_input=binding.dataset_input,
        options=options,
    )


def _dataset_ids(request: Request) -> Iterator[DatasetId]:
    """Yield the ids of the datasets that a request names, as far as it is well formed.

    The ids of a viewer are those that they call them.
    """
    yield request.dataset_id
    for value in request.parameters.values():
        match value:
            case {"dataset_id": str(id_)} if isinstance(value, Mapping):
                yield DatasetId(id_)
            case _:
                pass


def _check_kinds(workflow: Workflow, inputs: Mapping[str, Source | Json]) -> None:
    """Check data that was named by the id of a dataset, as is all other data.

    Raises:
        InvalidParameters: Some is a single dataset where a collection is needed.
    """
    given = [(input_, inputs.get(input_.name)) for input_ in workflow.inputs]
    problems = {
        input_.name: problem
        for input_, value in given
        if input_.kind.is_data
        and isinstance(value, GalaxyData | UrlData | UploadData | CollectionData)
        and (problem := misfit(input_, value))
    }
    if problems:
        raise InvalidParameters(problems)


@frozen(kw_only=True)
class Submitted:
    """The answer to an accepted submission.

    Attributes:
        invocation_id: The id of the run.
        state: Its state when it was accepted; a replay repeats it.
        replayed: Whether this repeats an earlier answer, and nothing was run.
    """

    invocation_id: InvocationId
    state: InvocationState = InvocationState.QUEUED
    replayed: bool = False


@frozen(kw_only=True)
class Submit:
    """Runs a workflow on a dataset.

    Attributes:
        stale_after: How long a run may wait for its first look.
        record: Records it, if it was accepted or that is not known.
    """

    check: Check
    submissions: SubmissionRepository
    runner: WorkflowRunner
    histories: RunHistories
    identity: Callable[[], Identity]
    clock: Clock
    policy: SubmitPolicy = SubmitPolicy()
    stale_after: timedelta = STALE_AFTER
    new_id: Callable[[], UUID] = uuid4
    record: Recorder = no_record

    def __call__(
        self,
        request: Request,
        viewer: Viewer,
        key: IdempotencyKey | None = None,
        *,
        earlier: Invocation | None = None,
    ) -> Submitted:
        """Invoke it on Galaxy now, once, and record the run.

        Args:
            request: The request.
            viewer: Who makes it.
            key: A request repeated with its key never runs twice.
            earlier: The invocation that it repeats, or None.

        Raises:
            DatasetNotFound, WorkflowNotAllowed, WorkflowNotFound,
            WorkflowAmbiguous, InvalidParameters, InvalidValue: As for :class:`Check`.
            KeyReused: The key belongs to another request.
            KeyInProgress: The first request with that key is not settled yet.
            RunRejected: Galaxy refused the run.
            RunnerRefusedUs: Our key to Galaxy is bad; nothing was started.
            RunnerUnavailable: Galaxy could not be reached; nothing was started.
            OutcomeUnknown: It may run or not; the submission will show it. So also
                where Galaxy's answer cannot be read or stored.
            StoreUnavailable: The database could not be reached; nothing was
                started.
        """
        # Before any request to Galaxy: a replay works while it is down.
        if key is not None and (holder := self.submissions.holder(key)):
            return replay(holder, request)
        plan = self.check(request, viewer)
        now = self.clock()
        submission = Submission(
            submission_id=SubmissionId(self.new_id()),
            identity=self.identity(),
            request=plan.request,
            owner=viewer.owner,
            private=not viewer.sees_all,
            workflow_id=plan.workflow.workflow_id,
            workflow_version=plan.workflow.version,
            version_note=version_note(earlier, plan.workflow),
            inputs=plan.given,
            key=key,
            created_at=now,
            updated_at=now,
        )
        holder = self.submissions.open(
            submission,
            deadline=self._deadline(plan),
            key_lifetime=self.policy.key_lifetime,
        )
        if holder is not None:
            return replay(holder, request)
        return self._run(submission, plan)

    def begun(self, submission: Submission) -> Submitted:
        """Invoke an item of a batch on Galaxy now that it is begun, and record the run.

        The version of the workflow is that with which it was recorded. If it is certain
        that nothing was invoked because Galaxy could not be asked, the item waits
        again; a refusal of it is recorded. After an unexpected error, too, it waits
        again, as :meth:`Submission.not_invoked` has it.

        Args:
            submission: As it was begun, by this caller alone.

        Raises:
            DomainError: As for a new request.
        """
        asked = submission.request
        if asked.workflow_version is None:
            asked = evolve(asked, workflow_version=submission.workflow_version)
        try:
            plan = self.check.plan(asked, SERVICE)
        except StoreUnavailable:
            raise  # the reconciler has it wait again
        except Exception as error:
            self._reject(submission, error)
            raise
        submission = evolve(
            submission,
            workflow_id=plan.workflow.workflow_id,
            workflow_version=plan.workflow.version,
            inputs=plan.given,
        )
        return self._run(submission, plan)

    def _run(self, submission: Submission, plan: Plan) -> Submitted:
        """Do what follows once it is recorded that it is submitted."""
        viewer = submission.viewer
        submission = self._create_history(submission, self._deadline(plan))
        again = submission.request.rerun_of is not None
        action = Action.RERUN if again else Action.SUBMIT
        try:
            submitted = self._invoke(submission, plan)
        except OutcomeUnknown:
            id_ = str(submission.submission_id)
            self.record(viewer, action, Kind.SUBMISSION, id_)
            raise
        self.record(viewer, action, Kind.JOB, submitted.invocation_id)
        return submitted

    def _deadline(self, plan: Plan) -> timedelta:
        values = plan.inputs.values()
        made_first = any(
            isinstance(value, CollectionData | UploadData) for value in values
        )
        return self.policy.deadline * (2 if made_first else 1)

    def _create_history(
        self, submission: Submission, deadline: timedelta
    ) -> Submission:
        """Step 2."""
        try:
            history_id = self.histories.create(submission.history_name)
        except Exception as error:
            # One may exist, but nothing can be invoked into it, since its id is not
            # known. The reconciler will delete it.
            self._reject(submission, error)
            raise
        after = submission.with_history(history_id, self.clock())
        try:
            self.submissions.save(submission, after, look_in=deadline)
        except StaleVersion:
            self._discard(history_id)
            raise _overtaken(submission) from None
        except StoreUnavailable:
            raise  # it may be stored: the reconciler finds out
        except Exception as error:  # an id that cannot be stored
            self._discard(history_id)
            self._reject(submission, error)
            raise
        return after

    def _invoke(self, submission: Submission, plan: Plan) -> Submitted:
        """Steps 3 and 4."""
        assert submission.history_id is not None
        try:
            invocation_id = self.runner.invoke(
                plan.workflow.workflow_id,
                plan.inputs,
                submission.history_id,
                plan.options,
            )
        except OutcomeUnknown as error:
            raise self._lost(submission, str(error)) from error
        except RunnerError as error:
            asked = submission.request.shown_to(submission.viewer)
            explained = _explained(error, asked, plan)
            self._reject(submission, explained)
            self._discard(submission.history_id)
            if explained is error:
                raise
            raise explained from error
        except Exception as error:
            # Not one of the port's, so nothing is known: Galaxy has been asked.
            raise self._lost(submission, _UNREADABLE) from error
        now = self.clock()
        try:
            stored = self.submissions.accept(
                submission,
                submission.accepted(invocation_id, now),
                submission.invocation(invocation_id, now, self.stale_after),
            )
        except (StaleVersion, StoreUnavailable) as error:
            return self._settled_otherwise(submission, error)
        except InvalidValue as error:  # an id that cannot be stored
            raise self._lost(submission, _UNREADABLE) from error
        if submission.batch_id and submission.version > _FIRST_ATTEMPT:
            self._tidy(submission)
        return Submitted(invocation_id=stored.invocation_id)

    def _tidy(self, submission: Submission) -> None:
        """Delete what earlier attempts at an accepted item may have left behind.

        Not before: its history would be among them while that is being made.
        """
        mark = history_mark(submission.submission_id)
        with suppress(RunnerError):
            for history_id in self.histories.marked(mark):
                if history_id != submission.history_id:
                    self.histories.delete(history_id)

    def _settled_otherwise(self, submission: Submission, error: Exception) -> Submitted:
        """Answer for a run that this submitter could not record.

        Either the reconciler was faster, and adopted the run or fenced it off; or
        the database is unavailable, and the reconciler will.
        """
        try:
            stored = self.submissions.get(submission.submission_id, SERVICE)
        except StoreUnavailable:
            stored = submission
        if stored.state is SubmissionState.ACCEPTED and stored.invocation_id:
            return Submitted(invocation_id=stored.invocation_id)
        raise OutcomeUnknown(
            "Galaxy was invoked, but the run could not be recorded in time. "
            f"Submission {submission.submission_id} will show what became of it.",
            submission.submission_id,
        ) from error

    def _reject(self, submission: Submission, error: Exception) -> None:
        """Record that nothing runs, and free the key.

        An item of a batch waits again if Galaxy could not be asked, or after one of its
        first errors that are unexpected, or in which its data could not be made. If
        recording fails, the reconciler does the same later.
        """
        now = self.clock()
        if isinstance(error, RunnerUnavailable | RunnerRefusedUs):
            counts = isinstance(error, DataNotMade)
            after = submission.not_invoked(Problem.of(error), now, counts=counts)
        elif isinstance(error, DomainError):
            after = submission.rejected(Problem.of(error), now)
        else:
            after = submission.not_invoked(UNEXPECTED, now)
        waits = after.state is SubmissionState.WAITING
        look_in = None if waits else self.policy.deadline
        try:
            self.submissions.save(submission, after, look_in=look_in)
        except (StaleVersion, StoreUnavailable):
            return

    def _lost(self, submission: Submission, reason: str) -> OutcomeUnknown:
        """Record that the outcome is unknown, for the reconciler to look at once.

        Returns:
            The error for the client.
        """
        with suppress(StaleVersion, StoreUnavailable):
            self.submissions.save(
                submission, submission.lost(self.clock()), look_in=timedelta(0)
            )
        return OutcomeUnknown(
            f"{reason} Submission {submission.submission_id} will show whether the run "
            "was started.",
            submission.submission_id,
        )

    def _discard(self, history_id: HistoryId) -> None:
        """Delete a history that nothing was invoked into.

        If that fails, the reconciler deletes it later.
        """
        try:
            self.histories.delete(history_id)
        except RunnerError:
            return


UNEXPECTED = Problem(
    "internal-error",
    "An unexpected error occurred before Galaxy had started anything, and it will not "
    "start any more. It is safe to submit it again.",
)
"""The problem of what ended in an unexpected error; of an item, the last time."""

_FIRST_ATTEMPT = 2
"""The version of an item of a batch that has a history, at the first attempt."""

_UNREADABLE = "Galaxy was invoked, and its answer could not be understood."


@frozen
class Rerun:
    """Runs a job's workflow on its dataset once more, as a new job."""

    invocations: InvocationRepository
    submit: Submit

    def __call__(
        self,
        invocation_id: InvocationId,
        viewer: Viewer,
        *,
        parameters: Parameters | None = None,
        overwrite: bool | None = None,
        dataset_input: str | None = None,
        workflow_version: int | Literal["same"] | None = None,
        key: IdempotencyKey | None = None,
    ) -> Submitted:
        """Submit it again.

        Args:
            invocation_id: The job to repeat, in any state.
            viewer: Who repeats it.
            parameters: They replace the earlier ones, name by name; the others
                stay as they were.
            overwrite: It replaces the earlier choice; None keeps it.
            dataset_input: The input that takes the dataset, whatever it was given
                before; None keeps the earlier choice.
            workflow_version: The version to run; ``same``: that of the job; None: the
                newest, or that which is configured.
            key: As for :class:`Submit`.

        Raises:
            JobNotFound: There is no such job.
            WorkflowVersionNotFound: There is no such version, or that of the job is not
                known, or there is another workflow by its name now.
            InvalidParameters: Also for a value of the job that has no place any more.
            DomainError: As for :class:`Submit`.
        """
        earlier = self.invocations.get(invocation_id, viewer)
        if workflow_version == "same":
            workflow_version = self._same_version(earlier, viewer)
        kept = {**earlier.parameters}
        if dataset_input is None:
            dataset_input = earlier.dataset_input
        else:
            kept.pop(dataset_input, None)
        request = Request(
            dataset_id=earlier.dataset_id,
            workflow_name=earlier.workflow_name,
            parameters={**kept, **(parameters or {})},
            overwrite=earlier.overwrite if overwrite is None else overwrite,
            rerun_of=earlier.invocation_id,
            dataset_input=dataset_input,
            use_cached_job=earlier.use_cached_job,
            workflow_version=workflow_version,
            labels=earlier.labels,
        )
        try:
            return self.submit(request, viewer, key, earlier=earlier)
        except DatasetInputAmbiguous:
            raise
        except InvalidParameters as error:
            unchanged = kept.keys() - (parameters or {}).keys()
            raise _about_kept(error, unchanged, earlier) from error

    def _same_version(self, earlier: Invocation, viewer: Viewer) -> int:
        """Return the version that a job ran, of the same workflow.

        Raises:
            WorkflowVersionNotFound: It is not known, or the workflow is another one.
        """
        name, version = earlier.workflow_name, earlier.workflow_version
        if version is None:
            raise WorkflowVersionNotFound(
                name, None, "The version that the job ran is not known."
            )
        check = self.submit.check
        found = check.catalog.find(check.allowlist.admit(name, viewer))
        if found.workflow_id != earlier.workflow_id:
            raise WorkflowVersionNotFound(
                name,
                version,
                f"The job ran the workflow with the id {earlier.workflow_id}; now "
                f"there is another one by that name, {found.workflow_id}.",
            )
        return version


def _about_kept(
    error: InvalidParameters, kept: Collection[str], earlier: Invocation
) -> InvalidParameters:
    """Add to a refusal which values were those of the repeated job."""
    version = earlier.workflow_version
    ran = "" if version is None else f", which ran version {version} of the workflow"
    note = f"The value is that of the repeated job{ran}."
    return InvalidParameters(
        {
            name: f"{problem} {note}" if name in kept else problem
            for name, problem in error.problems.items()
        },
        error.more,
    )


def version_note(earlier: Invocation | None, workflow: Workflow) -> str | None:
    """Return a sentence, if another version is run than was by an earlier job."""
    if earlier is None or earlier.workflow_version is None:
        return None
    if earlier.workflow_id != workflow.workflow_id:
        return (
            f"Job {earlier.invocation_id} ran another workflow by this name, with the "
            f"id {earlier.workflow_id}."
        )
    if earlier.workflow_version == workflow.version:
        return None
    return (
        f"Job {earlier.invocation_id} ran version {earlier.workflow_version} of this "
        f"workflow; this job runs version {workflow.version}."
    )


def _dataset_of(name: str, request: Request) -> str | None:
    """Return the id of the registered dataset that an input takes, in quotes."""
    # An input that no parameter fills takes the job's own dataset.
    value = request.parameters.get(name, {"dataset_id": request.dataset_id})
    id_ = value.get("dataset_id") if isinstance(value, Mapping) else None
    return None if id_ is None else shortened(repr(id_))


def _explained(error: RunnerError, request: Request, plan: Plan) -> RunnerError:
    """Add to a refusal that names data by Galaxy's id which dataset that is."""
    if not isinstance(error, RunRejected):
        return error
    given = (
        (name, place, data)
        for name, source in plan.inputs.items()
        if isinstance(source, GalaxyData | CollectionData)
        for place, data in leaves_of(source)
        if isinstance(data, GalaxyData)
    )
    for name, place, data in given:
        if data.id in error.galaxy_message:
            dataset = _dataset_of(name, request)
            what = f"element {quoted(place)} of dataset" if place else "dataset"
            advice = (
                f"Input {name!r} was given {data.src.value} {data.id}."
                if dataset is None
                else f"{what.capitalize()} {dataset} is {data.src.value} {data.id}: "
                f"{_REGISTER}"
            )
            return RunRejected(error.galaxy_message, error.galaxy_code, advice)
    return error


_REGISTER = (
    "if this Galaxy has no such data, register what it has under another dataset_id."
)


def replay(holder: Submission, request: Request) -> Submitted:
    """Answer from the submission that holds the key.

    Raises:
        KeyReused: The submission is for another request.
        KeyInProgress: It is for this one, and not settled yet.
    """
    stored = holder.request.shown_to(holder.viewer)
    if stored.fingerprint != request.fingerprint:
        raise KeyReused
    if holder.invocation_id is None:
        raise KeyInProgress(holder.submission_id)
    return Submitted(invocation_id=holder.invocation_id, replayed=True)


def _overtaken(submission: Submission) -> RunnerUnavailable:
    return RunnerUnavailable(
        "This request took too long and was given up before Galaxy was invoked "
        f"(submission {submission.submission_id}). Nothing was started; repeat it.",
        retry_after=1,
    )
