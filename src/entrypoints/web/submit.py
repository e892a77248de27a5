"""Forms to run a workflow, for the first time or again.

Rule of the file: each form contains an idempotency key of its own, so that sending it
twice, by a double click or by reloading, runs it once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from uuid import uuid4

from attrs import evolve, frozen
from litestar import Response
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from galaxy_jobs import domain
from galaxy_jobs.domain import DatasetId, InvocationId, errors, ports, use_cases
from galaxy_jobs.entrypoints.api import problems
from galaxy_jobs.entrypoints.api.auth import Caller
from galaxy_jobs.entrypoints.api.parameters import Needs, idempotency_key
from galaxy_jobs.entrypoints.api.routing import Routes
from galaxy_jobs.entrypoints.hints import explain
from galaxy_jobs.entrypoints.web.forms import Field, Form
from galaxy_jobs.entrypoints.web.pages import to_job
from galaxy_jobs.entrypoints.web.render import AnyRequest, Text, page


ROUTES = Routes("/")

LISTED_WORKFLOWS = 200
"""Workflows on the page to choose from; others are found by searching."""


@frozen(kw_only=True)
class SubmitForm:
    """A form for a job, as it is shown and as it is read.

    *dataset_input* takes the dataset, if that is certain; else *dataset_inputs* are
    those to choose from. *earlier* is the job to run again, in its own version of the
    workflow if *same_version*, and *form* what was sent, if any.
    """

    workflow: domain.Workflow
    dataset_input: str | None
    dataset_inputs: Sequence[str] = ()
    earlier: domain.Invocation | None = None
    same_version: bool = False
    form: Form | None = None
    dataset_id: str = ""

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of its parameters."""
        given = self.earlier.parameters if self.earlier else {}
        inputs = [i for i in self.workflow.inputs if i.name != self.dataset_input]
        return [
            Field(
                id=f"p{number}",
                input=input_,
                form=self.form,
                value=given.get(input_.name, input_.default),
                # The dataset may fill it.
                required=input_.required and input_.name not in self.dataset_inputs,
            )
            for number, input_ in enumerate(inputs)
        ]

    @property
    def parameters(self) -> domain.Parameters:
        """The parameters in the form.

        A field that was left empty gives none, so that the workflow's default holds;
        a list that has a default and was emptied is empty.
        Where the earlier job was given something, the default is given explicitly: a
        rerun keeps what is not named.
        """
        given = self.earlier.parameters if self.earlier else {}
        parameters: dict[str, domain.Json] = {}
        for field in self.fields:
            name, input_ = field.input.name, field.input
            if values := field.values():
                parameters[name] = values if field.several else values[-1]
            elif field.is_emptied:
                parameters[name] = []
            elif name in given and name != self.chosen_input:
                parameters[name] = None if input_.kind.is_data else input_.default
        return parameters

    @property
    def chosen_input(self) -> str | None:
        """The input that was chosen for the dataset, if any."""
        if self.form is None and self.earlier:
            return self.earlier.dataset_input
        return (self.form and self.form.get("dataset_input")) or None

    @property
    def version_note(self) -> str | None:
        """A sentence, if another version is run than was by the earlier job."""
        return use_cases.version_note(self.earlier, self.workflow)

    @property
    def overwrite(self) -> bool:
        """Whether the job replaces earlier ones."""
        if self.form is not None:
            return self.form.get("overwrite") == "true"
        return self.earlier is not None and self.earlier.overwrite

    @property
    def key(self) -> str:
        """The idempotency key."""
        return (self.form and self.form.get("key")) or str(uuid4())

    def problems(self, error: domain.DomainError | None) -> Mapping[str, str]:
        """Return what is wrong, by the names of inputs, and of ``dataset_id``."""
        match error:
            case errors.DatasetInputAmbiguous():
                return {"dataset_input": explain(error)}
            case errors.DatasetNotFound(dataset_id=self.dataset_id):
                return {"dataset_id": explain(error)}
            case errors.InvalidParameters(problems=problems):
                dataset = self.dataset_input or "dataset_id"
                return {
                    ("dataset_id" if name == dataset else name): problem
                    for name, problem in problems.items()
                }
            case _:
                return {}


@frozen
class Forms:
    """Makes forms, shows them and runs what was sent (a dependency of routes)."""

    show_workflow: Needs[use_cases.ShowWorkflow]
    allowlist: Needs[domain.Allowlist]
    invocations: Needs[ports.InvocationRepository]
    find_datasets: Needs[use_cases.FindDatasets]
    viewer: Needs[domain.Viewer]

    def first(self, name: str, version: int | None = None, **given: Any) -> SubmitForm:
        """Return the form to run a workflow."""
        workflow = self.show_workflow(name, self.viewer, version)
        target = self.allowlist.dataset_input(name, self.viewer, workflow)
        form = SubmitForm(
            workflow=workflow, dataset_input=target.name if target else None, **given
        )
        inputs = self.allowlist.dataset_inputs(name, self.viewer, workflow)
        names = [input_.name for input_ in inputs]
        if target is None or (
            form.earlier and names != [form.chosen_input or target.name]
        ):
            return evolve(form, dataset_input=None, dataset_inputs=names)
        return form

    def again(
        self, invocation_id: str, version: str | None, form: Form | None = None
    ) -> SubmitForm:
        """Return the form to run a job again, in its own *version* if it is same."""
        job = self.invocations.get(InvocationId(invocation_id), self.viewer)
        same = version == "same"
        return self.first(
            job.workflow_name,
            job.workflow_version if same else None,
            earlier=job,
            same_version=same,
            dataset_id=job.dataset_id,
            form=form,
        )

    def page(
        self,
        request: AnyRequest,
        form: SubmitForm,
        error: domain.DomainError | None = None,
    ) -> Response[str]:
        """Return the page with a form, and with why it was not run."""
        used_up = isinstance(error, errors.KeyReused)
        data: dict[str | None, domain.WorkflowInput | None] = {
            input_.name: input_ for input_ in form.workflow.data_inputs
        }
        data[None] = data.get(form.dataset_input)
        datasets = self.find_datasets([*data.values()], self.viewer)
        return page(
            request,
            "submit.html",
            status=problems.status_of(error.code, addressed=False) if error else 200,
            form=form,
            key=str(uuid4()) if used_up else form.key,
            message=explain(error) if error else "",
            more=error.more if isinstance(error, errors.InvalidParameters) else 0,
            problems=form.problems(error),
            datasets=dict(zip(data, datasets, strict=True)),
        )

    def run(
        self,
        request: AnyRequest,
        form: SubmitForm,
        submit: Callable[[], use_cases.Submitted],
    ) -> Response[Any]:
        """Redirect to the job, or return the form with what is wrong."""
        try:
            return to_job(submit().invocation_id)
        except domain.DomainError as error:
            if error.code not in problems.STATUS:
                raise
            if submission_id := error.extra().get("submission_id"):  # not settled yet
                return Redirect(f"/ui/submissions/{submission_id}", status_code=303)
            return self.page(request, form, error)


@ROUTES.get("/ui/submit", asks_galaxy=True)
def get_submit_page(
    *,
    request: AnyRequest,
    list_workflows: Needs[use_cases.ListWorkflows],
    forms: Needs[Forms],
    viewer: Needs[domain.Viewer],
    workflow_name: Text = None,
    dataset_id: Text = None,
    search: Text = None,
) -> Response[str]:
    """Show the form of a workflow, or the workflows to choose from."""
    dataset_id = dataset_id or ""
    if workflow_name:
        return forms.page(request, forms.first(workflow_name, dataset_id=dataset_id))
    found = list_workflows(viewer, search or "").items
    return page(
        request,
        "workflows.html",
        workflows=found[:LISTED_WORKFLOWS],
        more=len(found) - LISTED_WORKFLOWS,
        dataset_id=dataset_id,
        search=search or "",
    )


@ROUTES.get("/ui/datasets", asks_galaxy=True)
def get_datasets(
    *,
    request: AnyRequest,
    show_workflow: Needs[use_cases.ShowWorkflow],
    find_datasets: Needs[use_cases.FindDatasets],
    viewer: Needs[domain.Viewer],
    workflow_name: Text = None,
    input_name: Annotated[
        str | None, QueryParameter(name="input", description="a text")
    ] = None,
    search: Text = None,
) -> Response[str]:
    """Show the datasets that an input can take, as the options of its field."""
    found: domain.WorkflowInput | None = None
    if workflow_name and input_name:
        inputs = show_workflow(workflow_name, viewer).data_inputs
        found = next((i for i in inputs if i.name == input_name), None)
    [datasets] = find_datasets([found], viewer, search or "")
    return page(request, "datasets.html", datasets=datasets)


@ROUTES.post("/ui/submit", asks_galaxy=True)
def post_submit_form(
    *,
    request: AnyRequest,
    form: Needs[Form],
    forms: Needs[Forms],
    submit: Needs[use_cases.Submit],
    caller: Needs[Caller],
    viewer: Needs[domain.Viewer],
) -> Response[Any]:
    """Run a workflow, or show what is wrong beside each field."""
    filled = forms.first(
        form.get("workflow_name", ""),
        form=form,
        dataset_id=form.get("dataset_id", "").strip(),
    )
    job = domain.Request(
        dataset_id=DatasetId(filled.dataset_id),
        workflow_name=filled.workflow.name,
        parameters=filled.parameters,
        overwrite=filled.overwrite,
        dataset_input=filled.chosen_input,
    )
    return forms.run(
        request,
        filled,
        lambda: submit(job, viewer, idempotency_key(filled.key, caller)),
    )


@ROUTES.get("/ui/jobs/{invocation_id:str}/rerun", asks_galaxy=True)
def get_rerun_page(
    *,
    request: AnyRequest,
    invocation_id: FromPath[str],
    forms: Needs[Forms],
    workflow_version: Text = None,
) -> Response[str]:
    """Show the form to run a job again, with the parameters it had."""
    return forms.page(request, forms.again(invocation_id, workflow_version))


@ROUTES.post("/ui/jobs/{invocation_id:str}/rerun", asks_galaxy=True)
def post_rerun_form(
    *,
    request: AnyRequest,
    invocation_id: FromPath[str],
    form: Needs[Form],
    forms: Needs[Forms],
    rerun: Needs[use_cases.Rerun],
    caller: Needs[Caller],
    viewer: Needs[domain.Viewer],
) -> Response[Any]:
    """Run a job again, or show what is wrong beside each field."""
    filled = forms.again(invocation_id, form.get("workflow_version"), form)
    return forms.run(
        request,
        filled,
        lambda: rerun(
            InvocationId(invocation_id),
            viewer,
            parameters=filled.parameters,
            overwrite=filled.overwrite,
            dataset_input=filled.chosen_input,
            workflow_version="same" if filled.same_version else None,
            key=idempotency_key(filled.key, caller),
        ),
    )
