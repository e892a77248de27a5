"""Forms to run a workflow, for the first time or again.

Rule of the file: each form contains an idempotency key of its own, so that sending it
twice, by a double click or by reloading, runs it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import uuid4

from attrs import evolve, frozen
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, Template

from galaxy_jobs.domain.errors import (
    DatasetInputAmbiguous,
    DatasetNotFound,
    DomainError,
    InvalidParameters,
    KeyInProgress,
    KeyReused,
    OutcomeUnknown,
)
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.submission import Request
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.values import DatasetId, InvocationId, Parameters
from galaxy_jobs.domain.model.workflow import Allowlist, Workflow
from galaxy_jobs.domain.ports import DatasetRepository, InvocationRepository
from galaxy_jobs.domain.use_cases import ListWorkflows, Rerun, ShowWorkflow, Submit
from galaxy_jobs.entrypoints.api import problems
from galaxy_jobs.entrypoints.api.auth import Caller, requires
from galaxy_jobs.entrypoints.api.parameters import Needs, idempotency_key
from galaxy_jobs.entrypoints.api.threads import asks_galaxy
from galaxy_jobs.entrypoints.hints import explain
from galaxy_jobs.entrypoints.web.forms import Field, Form, name_of, parameters
from galaxy_jobs.entrypoints.web.pages import to_job
from galaxy_jobs.entrypoints.web.render import AnyRequest, Text, page


OFFERED_DATASETS = 200
"""The newest datasets that a form offers; others can be typed in."""


@frozen(kw_only=True)
class SubmitForm:
    """A form for a job, as it is shown and as it is read.

    Attributes:
        workflow: The workflow to run.
        dataset_input: The input that takes the dataset, if that is certain.
        earlier: The job to run again, or None.
        form: What was sent, or None.
        dataset_id: The dataset to run it on.
        error: Why it was not run, or None.
    """

    workflow: Workflow
    dataset_input: str | None
    earlier: Invocation | None = None
    form: Form | None = None
    dataset_id: str = ""
    error: DomainError | None = None

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of its parameters."""
        inputs = [i for i in self.workflow.inputs if i.name != self.dataset_input]
        return [
            Field(
                id=f"p{number}",
                input=input_,
                sent=self.form.getall(name_of(input_)) if self.form else None,
                value=self.given.get(input_.name, input_.default),
                error=self.problems.get(input_.name),
            )
            for number, input_ in enumerate(inputs)
        ]

    @property
    def given(self) -> Parameters:
        """The parameters of the earlier job."""
        return self.earlier.parameters if self.earlier else {}

    @property
    def parameters(self) -> Parameters:
        """The parameters in the form."""
        return parameters(self.fields, self.given)

    @property
    def overwrite(self) -> bool:
        """Whether the job replaces earlier ones."""
        if self.form is not None:
            return self.form.get("overwrite") == "true"
        return self.earlier is not None and self.earlier.overwrite

    @property
    def key(self) -> str:
        """The idempotency key; a new one where the one that was sent is used up."""
        sent = self.form.get("key") if self.form else ""
        used_up = not sent or isinstance(self.error, KeyReused)
        return str(uuid4()) if used_up else sent

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong, by the names of inputs, and of ``dataset_id``."""
        match self.error:
            case DatasetInputAmbiguous() | DatasetNotFound(dataset_id=self.dataset_id):
                return {"dataset_id": explain(self.error)}
            case InvalidParameters(problems=problems):
                dataset = self.dataset_input or "dataset_id"
                return {
                    ("dataset_id" if name == dataset else name): problem
                    for name, problem in problems.items()
                }
            case _:
                return {}

    def response(self, request: AnyRequest, datasets: DatasetRepository) -> Template:
        """Return the page that shows it."""
        error = self.error
        return page(
            request,
            "submit.html",
            status=problems.status_of(error.code, addressed=False) if error else 200,
            form=self,
            message=explain(error) if error else None,
            datasets=datasets.page(OFFERED_DATASETS).items,
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
    workflow_name: Text = None,
    dataset_id: Text = None,
) -> Template:
    """Show the form of a workflow, or the workflows to choose from."""
    if not workflow_name:
        return page(
            request,
            "workflows.html",
            names=list_workflows(),
            dataset_id=dataset_id or "",
        )
    form = _empty(workflow_name, show_workflow, allowlist)
    return evolve(form, dataset_id=dataset_id or "").response(request, datasets)


@post("/ui/submit", guards=[requires(Scope.SUBMIT)])
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
) -> Template | Redirect:
    """Run a workflow, or show what is wrong beside each field."""
    filled = evolve(
        _empty(form.get("workflow_name"), show_workflow, allowlist),
        form=form,
        dataset_id=form.get("dataset_id").strip(),
    )
    job = Request(
        dataset_id=DatasetId(filled.dataset_id),
        workflow_name=filled.workflow.name,
        parameters=filled.parameters,
        overwrite=filled.overwrite,
    )
    try:
        submitted = submit(job, idempotency_key(filled.key, caller))
    except DomainError as error:
        return _refused(request, filled, error, datasets)
    return to_job(submitted.invocation_id)


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
) -> Template:
    """Show the form to run a job again, with the parameters it had."""
    earlier = invocations.get(InvocationId(invocation_id))
    form = _filled(earlier, show_workflow, allowlist)
    return form.response(request, datasets)


@post("/ui/jobs/{invocation_id:str}/rerun", guards=[requires(Scope.SUBMIT)])
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
) -> Template | Redirect:
    """Run a job again, or show what is wrong beside each field."""
    earlier = invocations.get(InvocationId(invocation_id))
    filled = evolve(_filled(earlier, show_workflow, allowlist), form=form)
    try:
        submitted = rerun(
            earlier.invocation_id,
            parameters=filled.parameters,
            overwrite=filled.overwrite,
            key=idempotency_key(filled.key, caller),
        )
    except DomainError as error:
        return _refused(request, filled, error, datasets)
    return to_job(submitted.invocation_id)


def _empty(name: str, show_workflow: ShowWorkflow, allowlist: Allowlist) -> SubmitForm:
    workflow = show_workflow(name)
    target = allowlist.dataset_input(name, workflow)
    return SubmitForm(workflow=workflow, dataset_input=target.name if target else None)


def _filled(
    earlier: Invocation, show_workflow: ShowWorkflow, allowlist: Allowlist
) -> SubmitForm:
    form = _empty(earlier.workflow_name, show_workflow, allowlist)
    return evolve(form, earlier=earlier, dataset_id=earlier.dataset_id)


def _refused(
    request: AnyRequest,
    form: SubmitForm,
    error: DomainError,
    datasets: DatasetRepository,
) -> Template | Redirect:
    if error.code not in problems.STATUS:
        raise error
    if isinstance(error, KeyInProgress | OutcomeUnknown) and error.submission_id:
        return Redirect(f"/ui/submissions/{error.submission_id}", status_code=303)
    return evolve(form, error=error).response(request, datasets)


ROUTES = [get_submit_page, post_submit_form, get_rerun_page, post_rerun_form]
