"""Workflows, and the binding of a request to their inputs.

Rule of the file: only what Galaxy itself declares of an input is checked, and
only because Galaxy does not check it in time: it silently ignores an unknown
input name. Everything else is for Galaxy to decide.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from reprlib import repr as shown  # no longer, nor deeper, than people read

from attrs import frozen

from galaxy_jobs.domain.errors import (
    LISTED,
    DatasetInputAmbiguous,
    DatasetNotFound,
    InvalidParameters,
    InvalidValue,
    WorkflowNotAllowed,
    listed,
    quoted,
    shortened,
)
from galaxy_jobs.domain.model.dataset import Source
from galaxy_jobs.domain.model.values import DatasetId, Json, Parameters, WorkflowId
from galaxy_jobs.domain.model.workflow_input import (
    Bound,
    DatasetRef,
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
    """

    workflow_id: WorkflowId
    name: str
    inputs: tuple[WorkflowInput, ...] = ()
    annotation: str = ""


@frozen(kw_only=True)
class AllowedWorkflow:
    """An entry of the allowlist.

    Attributes:
        name: The name that clients use.
        input: The workflow input that takes the dataset; None: the only data
            input there is.
        workflow_id: The id of the stored workflow, whatever its name in Galaxy;
            None: the workflow of that name.
    """

    name: str
    input: str | None = None
    workflow_id: WorkflowId | None = None


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

    def admit(self, name: str) -> AllowedWorkflow:
        """Return the row that allows *name*.

        Raises:
            WorkflowNotAllowed: There is a list and *name* is not on it.
        """
        if not self.rows:
            return AllowedWorkflow(name=name)
        for row in self.rows:
            if row.name == name:
                return row
        raise WorkflowNotAllowed(name, [row.name for row in self.rows])

    def dataset_input(self, name: str, workflow: Workflow) -> WorkflowInput | None:
        """Return the input that takes the job's dataset; see :func:`takes_dataset`.

        Args:
            name: The name that clients use.
            workflow: As Galaxy declares it.

        Raises:
            WorkflowNotAllowed: There is a list and *name* is not on it.
        """
        return takes_dataset(workflow, self.admit(name).input)


def bind(
    workflow: Workflow,
    *,
    source: Source,
    dataset_input: str | None,
    parameters: Parameters,
) -> dict[str, Bound]:
    """Bind a dataset and parameters to the inputs of a workflow.

    Args:
        workflow: As Galaxy declares it.
        source: The data of the job's dataset.
        dataset_input: The input that takes it; None: the only data input.
        parameters: By input name.

    Returns:
        The binding of each input, by name, without those left to their defaults.

    Raises:
        InvalidParameters: With a sentence for each parameter that does not fit:
            an unknown name, a missing required input, a wrong type, option or
            range, or no input for the dataset.
        DatasetInputAmbiguous: Several inputs could take the dataset.
    """
    target = dataset_target(workflow, dataset_input, parameters)
    bound: dict[str, Bound] = {target.name: source}
    inputs = {input_.name: input_ for input_ in workflow.inputs}
    known = {name: value for name, value in parameters.items() if name in inputs}
    unknown = [name for name in parameters if name not in inputs]
    # No more than are shown: it takes time to find what may have been meant.
    problems = {
        name: _unknown(workflow, name, target.name) for name in unknown[:LISTED]
    }
    if reason := misfit(target, source):
        problems[target.name] = reason
    for name, value in known.items():
        if name == target.name:
            problems[name] = (
                f"Input {quoted(name)} takes the dataset of the job itself."
            )
        elif value is None and not inputs[name].required:
            bound[name] = None
        else:
            try:
                bound[name] = checked(inputs[name], value)
            except InvalidValue as error:
                problems[name] = str(error)
    for input_ in workflow.inputs:
        if input_.required and input_.name not in bound and input_.name not in problems:
            problems[input_.name] = (
                f"Input {quoted(input_.name)} ({expected(input_)}) is required; give "
                "it in `parameters`."
            )
    if problems:
        raise InvalidParameters(problems, more=max(len(unknown) - LISTED, 0))
    return bound


def takes_dataset(workflow: Workflow, configured: str | None) -> WorkflowInput | None:
    """Return the input that takes the job's dataset, whatever its parameters are.

    Args:
        workflow: As Galaxy declares it.
        configured: The name of that input in the allowlist, or None.

    Returns:
        None where it depends on which inputs the parameters fill, or where there
        is no such input.
    """
    try:
        return dataset_target(workflow, configured, {})
    except InvalidParameters:
        return None


def dataset_target(
    workflow: Workflow, configured: str | None, parameters: Parameters
) -> WorkflowInput:
    """Return the input that takes the job's dataset.

    Args:
        workflow: As Galaxy declares it.
        configured: The name of that input in the allowlist, or None.
        parameters: By input name: they may leave only one input free.

    Raises:
        InvalidParameters: There is no such input.
        DatasetInputAmbiguous: There are several.
    """
    data = [input_ for input_ in workflow.inputs if input_.kind.is_data]
    if configured is not None:
        for input_ in data:
            if input_.name == configured:
                return input_
        raise InvalidParameters(
            {
                configured: f"The configuration puts the dataset on input "
                f"{quoted(configured)} of workflow {quoted(workflow.name)}, which has "
                "no such data input. Its data inputs: "
                f"{listed([input_.name for input_ in data]) or 'none'}."
            }
        )
    # Of several, the only one that is required and that no parameter fills.
    if len(data) == 1:
        return data[0]
    free = [
        input_ for input_ in data if input_.name not in parameters and input_.required
    ]
    if len(data) > 1 and len(free) == 1:
        return free[0]
    if not data:
        raise InvalidParameters(
            {"dataset_id": f"Workflow {quoted(workflow.name)} has no data input."}
        )
    raise DatasetInputAmbiguous(workflow.name, [input_.name for input_ in data])


def _unknown(workflow: Workflow, name: str, target: str) -> str:
    others = [input_.name for input_ in workflow.inputs if input_.name != target]
    close = difflib.get_close_matches(shortened(name), others, n=1)
    hint = f" Did you mean {quoted(close[0])}?" if close else ""
    return (
        f"Workflow {quoted(workflow.name)} has no input {shown(name)}.{hint} It has: "
        f"{listed(others) or 'none'}."
    )


def resolve(
    bound: Mapping[str, Bound], datasets: Mapping[DatasetId, Source]
) -> dict[str, Source | Json]:
    """Replace references to registered datasets by their data.

    Args:
        bound: From :func:`bind`.
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
