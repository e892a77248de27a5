"""Workflows, and the binding of a request to their inputs.

Rule of the file: only what Galaxy itself declares of an input is checked, and
only because Galaxy does not check it in time: it silently ignores an unknown
input name. Everything else is for Galaxy to decide.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from reprlib import repr as shown  # no longer, nor deeper, than people read
from typing import Any

from attrs import Attribute, evolve, field, frozen

from galaxy_jobs.domain.errors import (
    LISTED,
    DatasetInputAmbiguous,
    DatasetNotFound,
    DomainError,
    InvalidParameters,
    InvalidValue,
    WorkflowNotAllowed,
    WorkflowVersionNotFound,
    listed,
    quoted,
    shortened,
)
from galaxy_jobs.domain.model.dataset import DatasetRef, Source
from galaxy_jobs.domain.model.invoke_options import InvokeOptions
from galaxy_jobs.domain.model.values import (
    DatasetId,
    Json,
    Parameters,
    WorkflowId,
    aware,
    check_not_empty,
)
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.model.workflow_input import (
    Bound,
    WorkflowInput,
    checked,
    expected,
    misfit,
)


@frozen(kw_only=True)
class Workflow:
    """A stored workflow, with what is needed to run it.

    Attributes:
        workflow_id: Galaxy's id of the *stored* workflow. (The ``workflow_id`` of
            an invocation is the id of a version, and another one.)
        name: The name that clients use.
        inputs: In the order of the workflow.
        annotation: The author's explanation; may be empty.
        missing_tools: The ids of tools that it uses and Galaxy lacks, each once;
            Galaxy refuses to run it.
        run_time_parameters: Parameters of tools that only Galaxy's own run form
            sets, as ``step|parameter``; in a run they have the tool's defaults.
        version: The version that these inputs are of, counting from 0; None where the
            engine has no versions.
        updated_at: When it last changed, time-zone aware; None: not known.
    """

    workflow_id: WorkflowId
    name: str
    version: int | None = None
    updated_at: datetime | None = field(default=None, validator=aware)
    inputs: tuple[WorkflowInput, ...] = ()
    annotation: str = ""
    missing_tools: tuple[str, ...] = ()
    run_time_parameters: tuple[str, ...] = ()

    @property
    def empty_inputs(self) -> Mapping[str, None]:
        """The optional parameters that have no default, each with no value.

        A run in which nothing is said of them is not the same to Galaxy: some releases
        hand the tool a text about an object of their own, others fail the run where
        the author set a rule for the value.
        """
        return {
            input_.name: None
            for input_ in self.inputs
            if input_.optional and input_.default is None and not input_.kind.is_data
        }

    @property
    def data_inputs(self) -> list[WorkflowInput]:
        """The inputs that take data rather than a value."""
        return [input_ for input_ in self.inputs if input_.kind.is_data]


@frozen(kw_only=True)
class ListedWorkflow:
    """A stored workflow, as lists show it.

    Attributes:
        name: Its name in Galaxy.
        workflow_id: Galaxy's id of it; None where Galaxy does not list it.
        annotation: The author's explanation; may be empty.
        tags: Its tags.
        owner: Galaxy's name of the user whose it is; None: not known.
        updated_at: When it last changed; None: not known.
        version: Its newest version, counting from 0; None: not known.
        missing_tools: As in :class:`Workflow`; empty, too, where it is not known.
        available: Whether a job can name it; None: not known.
        problem: A sentence, where it is not available or that is not known.
    """

    name: str
    workflow_id: WorkflowId | None = None
    annotation: str = ""
    tags: tuple[str, ...] = ()
    owner: str | None = None
    updated_at: datetime | None = None
    version: int | None = None
    missing_tools: tuple[str, ...] = ()
    available: bool | None = True
    problem: str | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What tells it from another one of its name."""
        at = self.updated_at and f"{self.updated_at:%Y-%m-%dT%H:%M:%SZ}"
        facts = {"id": self.workflow_id, "owner": self.owner, "updated_at": at}
        return {name: text for name, text in facts.items() if text}

    def unavailable(self, error: DomainError) -> ListedWorkflow:
        """Return it as one that cannot be run, for that reason."""
        return evolve(self, available=False, problem=str(error))

    def has(self, text: str) -> bool:
        """Return whether a text is part of what is shown of it, in any case."""
        words = (self.name, self.annotation, self.owner or "", *self.tags)
        return any(text.casefold() in word.casefold() for word in words)


def _filled(_: object, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None:
        check_not_empty(f"{attribute.name} of an allowed workflow", value)


@frozen(kw_only=True)
class AllowedWorkflow:
    """An entry of the allowlist.

    Attributes:
        name: The name that clients use.
        input: The data input that takes the dataset, unless the request names
            another one or its parameters fill this one; None: none is preferred.
        takes_dataset: Whether any input takes the dataset. If not, the dataset is
            what the job is about, and every input is filled by parameters.
        workflow_id: The id of the stored workflow, whatever its name in Galaxy;
            None: the workflow of that name.
        options: How it is invoked, unless the request has other options.
        owners: The owners that may run it; empty: all may. It is not on the list for
            others, those who see all included.

    Raises:
        InvalidValue: A text is empty, or there is an *input* that takes no dataset.
    """

    name: str = field(validator=_filled)
    input: str | None = field(default=None, validator=_filled)
    takes_dataset: bool = True
    workflow_id: WorkflowId | None = field(default=None, validator=_filled)
    options: InvokeOptions = InvokeOptions()
    owners: frozenset[str] = frozenset()

    def __attrs_post_init__(self) -> None:
        if self.input is not None and not self.takes_dataset:
            raise InvalidValue(
                f"Workflow {quoted(self.name)} has an input for the dataset, "
                f"{quoted(self.input)}, and is said to take none."
            )

    def pinned(self, version: int | None) -> AllowedWorkflow:
        """Return the same for one version; None: for that of the options.

        Raises:
            WorkflowVersionNotFound: The options have another version.
        """
        only = self.options.version
        if version is None or version == only:
            return self
        if only is not None:
            raise WorkflowVersionNotFound(
                self.name, version, f"Only version {only} may be run here."
            )
        return evolve(self, options=evolve(self.options, version=version))


@frozen
class Allowlist:
    """The workflows that may be run.

    Attributes:
        rows: One per workflow; if empty, every workflow that the key can see.

    Raises:
        InvalidValue: Two rows have the same name.
    """

    rows: tuple[AllowedWorkflow, ...] = ()

    def __attrs_post_init__(self) -> None:
        names = [row.name for row in self.rows]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InvalidValue(
                f"Workflow {quoted(repeated[0])} is allowed more than once."
            )

    def rows_for(self, viewer: Viewer) -> tuple[AllowedWorkflow, ...] | None:
        """Return the rows of what a viewer may run; None: there is no list."""
        if not self.rows:
            return None
        return tuple(row for row in self.rows if viewer.may_run(row.owners))

    def admit(self, name: str, viewer: Viewer) -> AllowedWorkflow:
        """Return the row that allows *name*.

        Raises:
            WorkflowNotAllowed: There is a list and *name* is not on it for the viewer.
            InvalidValue: *name* is empty.
        """
        check_not_empty("workflow_name", name)
        rows = self.rows_for(viewer)
        if rows is None:
            return AllowedWorkflow(name=name)
        for row in rows:
            if row.name == name:
                return row
        raise WorkflowNotAllowed(name, [row.name for row in rows])

    def dataset_input(
        self, name: str, viewer: Viewer, workflow: Workflow
    ) -> WorkflowInput | None:
        """Return the input that takes the dataset, if no parameter fills any.

        Args:
            name: The name that clients use.
            viewer: Who may run it.
            workflow: As Galaxy declares it.

        Returns:
            None where the request decides (see :func:`dataset_target`), or where no
            input takes it.

        Raises:
            WorkflowNotAllowed: There is a list and *name* is not on it.
        """
        try:
            return dataset_target(workflow, {}, allowed=self.admit(name, viewer))
        except InvalidParameters:
            return None

    def dataset_inputs(
        self, name: str, viewer: Viewer, workflow: Workflow
    ) -> list[WorkflowInput]:
        """Return the inputs that may be named to take the dataset.

        Raises:
            WorkflowNotAllowed: There is a list and *name* is not on it.
        """
        takes_dataset = self.admit(name, viewer).takes_dataset
        return workflow.data_inputs if takes_dataset else []


@frozen
class Binding:
    """What a request gives to the inputs of a workflow.

    Attributes:
        inputs: By name, without those that are left to their defaults.
        dataset_input: The input that takes the job's dataset; None: none does.
    """

    inputs: Mapping[str, Bound]
    dataset_input: str | None = None


def bind(
    workflow: Workflow,
    *,
    source: Source,
    parameters: Parameters,
    dataset_input: str | None = None,
    allowed: AllowedWorkflow | None = None,
) -> Binding:
    """Bind a dataset and parameters to the inputs of a workflow.

    Args:
        workflow: As Galaxy declares it.
        source: The data of the job's dataset.
        parameters: By input name.
        dataset_input: The input that the request names for the dataset, or None.
        allowed: The entry of the allowlist, or None.

    Raises:
        InvalidParameters: With a sentence for each parameter that does not fit:
            an unknown name, a missing required input, a wrong type, option or
            range, or no such input for the dataset.
        DatasetInputAmbiguous: Several inputs could take the dataset, and there is
            nothing else wrong with the names of parameters.
    """
    inputs = {input_.name: input_ for input_ in workflow.inputs}
    known = {name: value for name, value in parameters.items() if name in inputs}
    unknown = [name for name in parameters if name not in inputs]
    more = max(len(unknown) - LISTED, 0)
    try:
        target = dataset_target(
            workflow, parameters, dataset_input=dataset_input, allowed=allowed
        )
    except DatasetInputAmbiguous as error:
        if not unknown:
            raise
        # It may be ambiguous for that reason.
        wrong = _unknown(workflow, unknown[:LISTED], None)
        raise InvalidParameters({**error.problems, **wrong}, more) from None
    bound: dict[str, Bound] = {} if target is None else {target.name: source}
    # No more than are shown: it takes time to find what may have been meant.
    problems = _unknown(workflow, unknown[:LISTED], target)
    if target is not None and (problem := misfit(target, source)):
        problems[target.name] = problem
    for name, value in known.items():
        if target is not None and name == target.name:
            problems[name] = (
                f"Input {quoted(name)} takes the dataset of the job itself."
            )
        elif value is None and not inputs[name].required:
            if inputs[name].optional:  # else its default holds
                bound[name] = None
        else:
            try:
                bound[name] = checked(inputs[name], value)
            except InvalidValue as error:
                problems[name] = str(error)
    problems |= {
        name: f"Input {quoted(name)} ({expected(input_)}) is required; give it in "
        "`parameters`."
        for name, input_ in inputs.items()
        if input_.required and name not in bound and name not in problems
    }
    if problems:
        raise InvalidParameters(problems, more)
    return Binding(bound, target.name if target else None)


def dataset_target(
    workflow: Workflow,
    parameters: Parameters,
    *,
    dataset_input: str | None = None,
    allowed: AllowedWorkflow | None = None,
) -> WorkflowInput | None:
    """Return the input that takes the job's dataset.

    The one that the request names. Else, of the data inputs that no parameter
    fills: the allowlist's, the only one, or the only one that is required.

    Args:
        workflow: As Galaxy declares it.
        parameters: By input name.
        dataset_input: The input that the request names for the dataset, or None.
        allowed: The entry of the allowlist, or None.

    Returns:
        None where the dataset fills no input: the workflow has no data input, or
        is not to take one, or parameters fill all.

    Raises:
        InvalidParameters: There is no data input of that name, or none takes the
            dataset.
        DatasetInputAmbiguous: Several inputs could take it.
    """
    data = {input_.name: input_ for input_ in workflow.data_inputs}
    takes_dataset = allowed is None or allowed.takes_dataset
    configured = allowed.input if allowed else None
    if dataset_input is not None:
        if dataset_input in data and takes_dataset:
            return data[dataset_input]
        raise InvalidParameters(
            {
                "dataset_input": f"Workflow {quoted(workflow.name)} has no data input "
                f"{quoted(dataset_input)} that takes the dataset. There are: "
                f"{listed(list(data) if takes_dataset else []) or 'none'}."
            }
        )
    if configured is not None and configured not in data:
        raise InvalidParameters(
            {
                configured: f"The configuration puts the dataset on input "
                f"{quoted(configured)} of workflow {quoted(workflow.name)}, which has "
                f"no such data input. Its data inputs: {listed(data) or 'none'}."
            }
        )
    free = [input_ for name, input_ in data.items() if name not in parameters]
    if not (takes_dataset and free):
        return None
    if configured is not None and configured not in parameters:
        return data[configured]
    required = [input_ for input_ in free if input_.required]
    if len(free) == 1 or len(required) == 1:
        return (required or free)[0]
    raise DatasetInputAmbiguous(workflow.name, [input_.name for input_ in free])


def _unknown(
    workflow: Workflow, names: Sequence[str], target: WorkflowInput | None
) -> dict[str, str]:
    """Return a sentence for each name that no input has."""
    others = [input_.name for input_ in workflow.inputs if input_ != target]
    problems = {}
    for name in names:
        if name in workflow.run_time_parameters:
            problems[name] = (
                f"{quoted(name)} is a parameter of a tool that only Galaxy's own run "
                "form sets. To set it here, connect an input to it in the workflow "
                "editor."
            )
            continue
        close = difflib.get_close_matches(shortened(name), others, n=1)
        hint = f" Did you mean {quoted(close[0])}?" if close else ""
        problems[name] = (
            f"Workflow {quoted(workflow.name)} has no input {shown(name)}.{hint} It "
            f"has: {listed(others) or 'none'}."
        )
    return problems


def resolve(
    bound: Mapping[str, Bound], datasets: Mapping[DatasetId, Source]
) -> dict[str, Source | Json]:
    """Replace references to registered datasets by their data.

    Args:
        bound: The inputs of a :class:`Binding`.
        datasets: The datasets that *bound* refers to, those that exist.

    Raises:
        DatasetNotFound: One of them does not exist.
    """
    resolved: dict[str, Source | Json] = {}
    for name, value in bound.items():
        if isinstance(value, DatasetRef):
            if value.dataset_id not in datasets:
                raise DatasetNotFound(value.dataset_id)
            resolved[name] = datasets[value.dataset_id]
        else:
            resolved[name] = value
    return resolved
