"""Forms to run a workflow, for the first time or again.

Rule of the file: a form carries an idempotency key that was made with it, so that
sending it twice, by a double click or by reloading, runs it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import uuid4

from attrs import evolve, frozen
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from galaxy_jobs.domain.errors import (
    DatasetNotFound,
    DomainError,
    InvalidParameters,
    KeyInProgress,
    KeyReused,
    OutcomeUnknown,
)
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.submission import Request
from galaxy_jobs.domain.model.values import DatasetId, InvocationId, Parameters
from galaxy_jobs.domain.model.workflow import (
    Allowlist,
    Workflow,
    WorkflowInput,
)
from galaxy_jobs.domain.ports import DatasetRepository, InvocationRepository
from galaxy_jobs.domain.use_cases import (
    ListWorkflows,
    Rerun,
    ShowWorkflow,
    Submit,
)
from galaxy_jobs.entrypoints.api import problems
from galaxy_jobs.entrypoints.api.auth import Caller
from galaxy_jobs.entrypoints.api.parameters import Needs, idempotency_key
from galaxy_jobs.entrypoints.api.threads import asks_galaxy
from galaxy_jobs.entrypoints.web import forms
from galaxy_jobs.entrypoints.web.forms import Field, Form
from galaxy_jobs.entrypoints.web.pages import AnyRequest, to_job
from galaxy_jobs.entrypoints.web.render import page


OFFERED = 200
"""How many datasets, the newest, a form offers; others can be typed in."""


@frozen(kw_only=True)
class Wish:
    """A form for a job, as it is shown and as it is read.

    Attributes:
        workflow: What is to be run.
        dataset_input: The input that takes the dataset, if that is certain.
        earlier: The job that is to be run again, or None.
        form: What was sent, or None.
        dataset_id: What it is to be run on.
        error: Why it was not run, or None.
    """

    workflow: Workflow
    dataset_input: str | None
    earlier: Invocation | None = None
    form: Form | None = None
    dataset_id: str = ""
    error: DomainError | None = None

    @property
    def inputs(self) -> Sequence[WorkflowInput]:
        """The inputs that parameters may fill."""
        return [o for o in self.workflow.inputs if o.name != self.dataset_input]

    @property
    def given(self) -> Parameters:
        """What the earlier job was given."""
        return self.earlier.parameters if self.earlier else {}

    @property
    def parameters(self) -> Parameters:
        """What the form says."""
        return forms.parameters(self.inputs, self.form or Form(), self.given)

    @property
    def overwrite(self) -> bool:
        """Whether it is to take the place of earlier ones."""
        if self.form is not None:
            return self.form.one("overwrite") == "true"
        return self.earlier is not None and self.earlier.overwrite

    @property
    def key(self) -> str:
        """The idempotency key; a new one where the old one is used up."""
        sent = self.form.one("key") if self.form else ""
        used_up = not sent or isinstance(self.error, KeyReused)
        return str(uuid4()) if used_up else sent

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong with which input, and with ``dataset_id``."""
        match self.error:
            case InvalidParameters(problems=found):
                own = "dataset_id" if self.dataset_input is None else self.dataset_input
                return {
                    ("dataset_id" if name == own else name): sentence
                    for name, sentence in found.items()
                }
            case DatasetNotFound(dataset_id=self.dataset_id):
                return {"dataset_id": str(self.error)}
            case _:
                return {}

    def fields(self) -> Sequence[Field]:
        """Return the fields of its parameters."""
        return forms.fields(
            self.inputs, entered=self.form, earlier=self.given, problems=self.problems
        )

    def shown(self, request: AnyRequest, datasets: DatasetRepository) -> Response[str]:
        """Return the page of it."""
        return page(
            request,
            "submit.html",
            status=200
            if self.error is None
            else problems.status_of(self.error.code, addressed=False),
            wish=self,
            datasets=datasets.page(OFFERED).items,
        )


@get("/ui/submit")
@asks_galaxy
def get_submit_page(
    *,
    request: AnyRequest,
    list_workflows: Needs[ListWorkflows],
    show_workflow: Needs[ShowWorkflow],
    datasets: Needs[DatasetRepository],
    allowlist: Needs[Allowlist],
    workflow_name: Annotated[str | None, QueryParameter(description="a text")] = None,
    dataset_id: Annotated[str | None, QueryParameter(description="a text")] = None,
) -> Response[str]:
    """Show the form for a workflow, or which workflows there are."""
    if not workflow_name:
        return page(
            request,
            "workflows.html",
            names=list_workflows(),
            dataset_id=dataset_id or "",
        )
    wish = _wish(workflow_name, show_workflow, allowlist)
    return evolve(wish, dataset_id=dataset_id or "").shown(request, datasets)


@post("/ui/submit")
@asks_galaxy
def post_submit_form(
    *,
    request: AnyRequest,
    form: NamedDependency[Form],
    show_workflow: Needs[ShowWorkflow],
    datasets: Needs[DatasetRepository],
    allowlist: Needs[Allowlist],
    submit: Needs[Submit],
    caller: Needs[Caller],
) -> Response[str] | Redirect:
    """Run a workflow, or say beside each field what is wrong with it."""
    wish = evolve(
        _wish(form.one("workflow_name"), show_workflow, allowlist),
        form=form,
        dataset_id=form.one("dataset_id").strip(),
    )
    wanted = Request(
        dataset_id=DatasetId(wish.dataset_id),
        workflow_name=wish.workflow.name,
        parameters=wish.parameters,
        overwrite=wish.overwrite,
    )
    try:
        key = idempotency_key(wish.key, caller)
        return to_job(submit(wanted, key).invocation_id)
    except DomainError as error:
        return _refused(request, wish, error, datasets)


@get("/ui/jobs/{invocation_id:str}/rerun")
@asks_galaxy
def get_rerun_page(
    *,
    request: AnyRequest,
    invocation_id: FromPath[str],
    invocations: Needs[InvocationRepository],
    show_workflow: Needs[ShowWorkflow],
    datasets: Needs[DatasetRepository],
    allowlist: Needs[Allowlist],
) -> Response[str]:
    """Show the form to run a job again, filled in as it was."""
    earlier = invocations.get(InvocationId(invocation_id))
    return _again(earlier, show_workflow, allowlist).shown(request, datasets)


@post("/ui/jobs/{invocation_id:str}/rerun")
@asks_galaxy
def post_rerun_form(
    *,
    request: AnyRequest,
    invocation_id: FromPath[str],
    form: NamedDependency[Form],
    invocations: Needs[InvocationRepository],
    show_workflow: Needs[ShowWorkflow],
    datasets: Needs[DatasetRepository],
    allowlist: Needs[Allowlist],
    rerun: Needs[Rerun],
    caller: Needs[Caller],
) -> Response[str] | Redirect:
    """Run a job again, or say beside each field what is wrong with it."""
    earlier = invocations.get(InvocationId(invocation_id))
    wish = evolve(_again(earlier, show_workflow, allowlist), form=form)
    try:
        done = rerun(
            earlier.invocation_id,
            parameters=wish.parameters,
            overwrite=wish.overwrite,
            key=idempotency_key(wish.key, caller),
        )
    except DomainError as error:
        return _refused(request, wish, error, datasets)
    return to_job(done.invocation_id)


def _wish(name: str, show_workflow: ShowWorkflow, allowlist: Allowlist) -> Wish:
    workflow = show_workflow(name)
    target = allowlist.dataset_input(name, workflow)
    return Wish(workflow=workflow, dataset_input=target.name if target else None)


def _again(
    earlier: Invocation, show_workflow: ShowWorkflow, allowlist: Allowlist
) -> Wish:
    wish = _wish(earlier.workflow_name, show_workflow, allowlist)
    return evolve(wish, earlier=earlier, dataset_id=earlier.dataset_id)


def _refused(
    request: AnyRequest, wish: Wish, error: DomainError, datasets: DatasetRepository
) -> Response[str] | Redirect:
    if error.code not in problems.STATUS:
        raise error
    if isinstance(error, KeyInProgress | OutcomeUnknown) and error.submission_id:
        return Redirect(f"/ui/submissions/{error.submission_id}", status_code=303)
    return evolve(wish, error=error).shown(request, datasets)


ROUTES = [get_submit_page, post_submit_form, get_rerun_page, post_rerun_form]
"""At the paths that they name."""
