"""Galaxy, filling all three ports to whatever runs workflows.

Rule of the file: it asks, :mod:`.translate` reads, :mod:`.client` sends; nothing
is decided here but what a refusal means to what was asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from attrs import evolve, frozen

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.bulk import BULK, Bulk
from galaxy_jobs.adapters.galaxy.client import Client, Heard, NoAnswer, Refused
from galaxy_jobs.adapters.galaxy.names import NAMES_KEPT, Names
from galaxy_jobs.adapters.galaxy.pauses import datasets_of, with_blocked
from galaxy_jobs.adapters.galaxy.translate import Unreadable
from galaxy_jobs.domain.errors import (
    OutcomeUnknown,
    RunnerRefusedUs,
    RunNotFound,
    RunRejected,
    WorkflowNotFound,
)
from galaxy_jobs.domain.model.dataset import GalaxyData, Source, Src
from galaxy_jobs.domain.model.report import (
    GalaxyState,
    InvocationReport,
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
)
from galaxy_jobs.domain.model.workflow import AllowedWorkflow, Workflow
from galaxy_jobs.domain.ports import (
    RunHistories,
    WorkflowCatalog,
    WorkflowRunner,
)


@frozen
class About:
    """What a Galaxy says of itself.

    Attributes:
        version: Such as ``26.1``.
        now: By its clock, to the second; None where it does not say.
    """

    version: str
    now: datetime | None


class Galaxy(WorkflowCatalog, WorkflowRunner, RunHistories):
    """A Galaxy server, through BioBlend.

    Nothing is asked of it before a method is called. Safe with any number of
    threads, each of which keeps a connection of its own.

    Args:
        url: Its address.
        key: The API key of the user to be there.
        timeout: Seconds each request may take, all of it included.
        at_once: How many requests may be under way, whatever the threads.
        bulk: How many invocations one bulk question may ask about.
        heard: Told of each request; see :class:`Client`.
        monotonic: Tells seconds, for what is remembered.

    Attributes:
        bulk: Whether Galaxy can be asked in bulk, as far as is known.
    """

    def __init__(
        self,
        url: str,
        key: str,
        timeout: float = 30.0,
        *,
        at_once: int = 32,
        bulk: int = BULK,
        heard: Heard = lambda *_: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = Client(url, key, timeout=timeout, at_once=at_once, heard=heard)
        self._monotonic = monotonic
        self._names = Names(self._client, monotonic)
        self.bulk = Bulk(most=bulk, patience=timeout, monotonic=monotonic)

    def __repr__(self) -> str:
        return repr(self._client)

    def about(self) -> About:
        """Say what answers there, and what time it is there; for a doctor.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: It could not be asked.
        """
        with self._client.asking(Refused.unexpected):
            answer = self._client.make_get_request(f"{self._client.url}/version")
            version = translate.part(answer.json(), "version_major", str)
        try:
            now = parsedate_to_datetime(answer.headers.get("Date", ""))
        except ValueError:
            now = None
        return About(version, now if now and now.tzinfo else None)

    # --- which workflows there are ---

    def find(self, wanted: AllowedWorkflow) -> Workflow:
        if wanted.workflow_id is not None:
            shown = self._show_workflow(wanted.workflow_id)
            if shown is None or shown.get("deleted"):
                raise WorkflowNotFound(
                    wanted.name,
                    f"Galaxy has no workflow with id {wanted.workflow_id!r} for "
                    f"{wanted.name!r}, or it is deleted. Correct that id in the "
                    "list of allowed workflows.",
                )
            return self._workflow(wanted.name, shown)
        began = self._monotonic()
        for since in (began - NAMES_KEPT, began):
            shown = self._show_workflow(self._names.id_of(wanted.name, since))
            # It may have been deleted or renamed since the list was read.
            if (
                shown is not None
                and not shown.get("deleted")
                and shown.get("name") == wanted.name
            ):
                return self._workflow(wanted.name, shown)
        raise WorkflowNotFound(wanted.name)

    def names(self) -> Sequence[str]:
        return sorted(self._names.since(self._monotonic() - NAMES_KEPT))

    def _show_workflow(self, workflow_id: WorkflowId) -> Mapping[str, Any] | None:
        """Return what Galaxy shows of a workflow; None where it shows none."""
        try:
            with self._client.asking():
                shown = self._client.workflows.show_workflow(workflow_id)
                translate.part(shown, "name", str)
                return shown
        except Refused:
            return None

    def _workflow(self, name: str, shown: Mapping[str, Any]) -> Workflow:
        with self._client.asking():
            return translate.workflow(name, shown)

    # --- starting, watching and stopping ---

    def identity(self) -> Identity:
        with self._client.asking(Refused.unexpected):
            user = self._client.users.get_current_user()
            if not isinstance(user, Mapping):
                raise Unreadable("no user")
        if not isinstance(user.get("id"), str):
            # What Galaxy tells those of whom it saw no key.
            raise RunnerRefusedUs(
                f"Galaxy at {self._client.shown_url} takes us for nobody. Does "
                "something on the way remove the x-api-key header?"
            )
        return Identity(self._client.shown_url, user["id"])

    def invoke(
        self,
        workflow_id: WorkflowId,
        inputs: Mapping[str, Source | Json],
        history_id: HistoryId,
    ) -> InvocationId:
        try:
            with self._client.asking(lambda no: RunRejected(no.message, no.code)):
                # Exact versions of tools are Galaxy's own default, and ours: what
                # the workflow was made with, or a refusal that names what lacks.
                made = self._client.workflows.invoke_workflow(
                    workflow_id,
                    inputs={name: translate.given(one) for name, one in inputs.items()},
                    inputs_by=cast("Any", "name|step_uuid"),
                    history_id=history_id,
                    require_exact_tool_versions=True,
                )
                return InvocationId(translate.part(made, "id", str))
        except NoAnswer as error:
            raise OutcomeUnknown(str(error)) from error

    def report(self, invocation_id: InvocationId) -> InvocationReport:
        """Say how the invocation stands now; see the port.

        Why a verdict may rest on several answers that are not of one moment:
        Galaxy reads an invocation's own state first, then its steps, then their
        jobs. Once its state is ``scheduled`` or later, all of its jobs and all
        invocations of its sub-workflows are made. So whatever the answer to the
        invocation lists is complete if it says ``scheduled``, and whatever is
        read after it, is too: each sub-workflow's answer has the same order in
        itself. And what is settled stays so: a job seen ``ok`` in the first
        answer is still ``ok`` when the last has come. One that was not settled
        yet keeps the verdict open, however old the answer is.

        What is cancelled may lack steps that Galaxy never came to; they are
        added, not scheduled, so that nobody thinks that the run was through.
        """
        with self._client.asking(_unless_missing):
            shown = self._client.get(
                f"invocations/{invocation_id}", step_details="true"
            )
            report = translate.invocation(shown, self._sub)
            if report.state is GalaxyState.CANCELLED:
                report = self._with_steps_missing(report, shown)
            return with_blocked(self._client, report, shown)

    def _sub(self, invocation_id: InvocationId) -> InvocationReport:
        try:
            shown = self._client.get(
                f"invocations/{invocation_id}", step_details="true"
            )
        except Refused as no:
            # That the run has a part which Galaxy does not show is not to be
            # taken for the run being gone.
            raise no.unexpected() from no
        return translate.invocation(shown, self._sub)

    def _with_steps_missing(
        self, report: InvocationReport, shown: Mapping[str, Any]
    ) -> InvocationReport:
        try:
            workflow = self._client.workflows.show_workflow(
                translate.part(shown, "workflow_id", str), instance=True
            )
            count = len(translate.part(workflow, "steps", dict))
        except Refused:
            # Nobody can tell: then Galaxy's own word, cancelled, is to hold.
            count = len(report.steps) + 1
        there = {step.index for step in report.steps}
        missing = [
            StepReport(index=index, scheduled=False)
            for index in range(count)
            if index not in there
        ]
        steps = sorted([*report.steps, *missing], key=lambda step: step.index)
        return evolve(report, steps=tuple(steps))

    def summaries(
        self, invocation_ids: Sequence[InvocationId]
    ) -> Mapping[InvocationId, JobsSummary]:
        return self.bulk.ask(invocation_ids, self._summaries)

    def _summaries(
        self, batch: Sequence[InvocationId]
    ) -> dict[InvocationId, JobsSummary]:
        ids, types = ",".join(batch), ",".join(["WorkflowInvocation"] * len(batch))
        with self._client.asking():
            # The history in the path is decoded and not looked at.
            answer = self._client.make_get_request(
                f"{self._client.url}/histories/{batch[0]}/jobs_summary",
                # As a text: commas would be written as three characters each.
                params=f"ids={ids}&types={types}",
            )
            asked = set(batch)
            found = translate.summaries(answer.json())
            return {id_: one for id_, one in found.items() if id_ in asked}

    def details(self, job_id: JobId) -> JobDetails:
        with self._client.asking(_unless_missing):
            shown = self._client.jobs.show_job(job_id, full_details=True)
            translate.part(shown, "state", str)
        info = None
        if shown.get("exit_code") is None:
            info = self._info(shown)
        return translate.details(shown, info)

    def _info(self, job: Mapping[str, Any]) -> str | None:
        """Return the sentence that Galaxy left on a job's output, if any."""
        with self._client.asking(Refused.unexpected):
            for id_ in datasets_of(self._client, job, "output"):
                try:
                    shown = self._client.datasets.show_dataset(id_)
                except Refused:
                    continue
                if info := str(shown.get("misc_info") or "").strip():
                    return info
        return None

    def outputs(self, invocation_id: InvocationId) -> Sequence[Output]:
        with self._client.asking(_unless_missing):
            shown = self._client.invocations.show_invocation(invocation_id)
            labelled = sorted(translate.outputs_of(shown))
        with self._client.asking(Refused.unexpected):
            return [
                translate.output(label, src, id_, self._content(src, id_))
                for label, src, id_ in labelled
            ]

    def _content(self, src: str, id_: str) -> Mapping[str, Any]:
        path = f"datasets/{id_}" if src == "hda" else f"dataset_collections/{id_}"
        try:
            return cast(
                "Mapping[str, Any]",
                self._client.get(path, view="summary", keys="extension,file_size")
                if src == "hda"
                else self._client.get(path, view="collection"),
            )
        except Refused:
            return {}

    def cancel(self, invocation_id: InvocationId) -> None:
        with self._client.asking(_unless_missing):
            self._client.invocations.cancel_invocation(invocation_id)

    # --- the histories of runs ---

    def create(self, name: str) -> HistoryId:
        with self._client.asking(Refused.unexpected):
            # BioBlend would have Galaxy tell all about it.
            made = self._client.post("histories", {"name": name}, keys="id")
            return HistoryId(translate.part(made, "id", str))

    def named(self, name: str) -> Sequence[HistoryId]:
        with self._client.asking(Refused.unexpected):
            # BioBlend would fetch all histories and look for the name itself. The
            # second pair asks for deleted ones as well.
            listed = translate.objects(
                self._client.get(
                    "histories",
                    q=["name", "deleted"],
                    qv=[name, "None"],
                    keys="id,name",
                )
            )
            return [
                HistoryId(translate.part(one, "id", str))
                for one in listed
                if one.get("name") == name
            ]

    def runs_in(self, history_id: HistoryId) -> Sequence[InvocationId]:
        found: list[InvocationId] = []
        try:
            with self._client.asking(_unless_missing):
                for offset in range(0, 10**9, _RUNS):
                    page = translate.objects(
                        self._client.get(
                            "invocations",
                            history_id=history_id,
                            include_nested_invocations="false",
                            limit=_RUNS,
                            offset=offset,
                        )
                    )
                    found += [
                        InvocationId(translate.part(one, "id", str)) for one in page
                    ]
                    if len(page) < _RUNS:
                        break
        except RunNotFound:
            return []
        return found[::-1]

    def contents(self, history_id: HistoryId) -> Collection[GalaxyData]:
        try:
            with self._client.asking(_unless_missing):
                if self._is_purged(history_id):
                    return []
                return [
                    GalaxyData(_SRC[one["history_content_type"]], one["id"])
                    for one in self._client.datasets_in(
                        history_id, keys="id,history_content_type"
                    )
                ]
        except RunNotFound:
            return []

    def delete(self, history_id: HistoryId, *, purge: bool = False) -> None:
        with self._client.asking(Refused.unexpected):
            try:
                self._client.histories.delete_history(history_id, purge=purge)
            except Refused as no:
                # A purged one is immutable: as deleted as can be.
                if not no.is_missing and not self._is_purged(history_id):
                    raise

    def _is_purged(self, history_id: HistoryId) -> bool:
        shown = self._client.histories.show_history(history_id)
        return bool(shown.get("purged"))

    def undelete(self, history_id: HistoryId) -> None:
        def meant(no: Refused) -> Exception:
            if no.is_missing:
                return RunNotFound(f"{no.asked}: {no.message}")
            return RunRejected(no.message, no.code)

        with self._client.asking(meant):
            self._client.histories.undelete_history(history_id)


_SRC = {"dataset": Src.HDA, "dataset_collection": Src.HDCA}

_RUNS = 100
"""Invocations in one page: Galaxy refuses to list more."""


def _unless_missing(no: Refused) -> Exception:
    """Take Galaxy's word that there is no such thing; nothing else counts for that."""
    if no.is_missing:
        return RunNotFound(f"{no.asked}: {no.message}")
    return no.unexpected()
