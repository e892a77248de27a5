"""How Galaxy is to carry out an invocation of a workflow on data."""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field, frozen

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.values import Parameters, check_not_empty


def _not_negative(_: object, attribute: Attribute[Any], value: int | None) -> None:
    if value is not None and value < 0:
        raise InvalidValue(f"{attribute.name} must be 0 or more, got {value}.")


def _filled(_: object, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None:
        check_not_empty(attribute.name, value)


@frozen(kw_only=True)
class InvokeOptions:
    """The options of an invocation.

    Attributes:
        version: The version of the workflow, counting from 0; None: the newest.
        use_cached_job: Whether Galaxy may copy the results of an equal job that it
            has run before, instead of running it.
        exact_tool_versions: Whether the very versions of tools are needed that the
            workflow was made with. If not, Galaxy takes others that it has.
        preferred_object_store_id: Where Galaxy stores the data of the run; None: where
            it usually does.
        preferred_outputs_object_store_id: The same for the workflow's outputs alone.
        preferred_intermediate_object_store_id: The same for all other data.
        resource_params: Resources by name, as the administrators of Galaxy have
            defined them; empty: its defaults. Where they have not, Galaxy fails with
            an error, and starts nothing.

    Raises:
        InvalidValue: The version is below 0, an id is empty, or there is one object
            store for all data, and another for some.
    """

    version: int | None = field(default=None, validator=_not_negative)
    use_cached_job: bool = False
    exact_tool_versions: bool = True
    preferred_object_store_id: str | None = field(default=None, validator=_filled)
    preferred_outputs_object_store_id: str | None = field(
        default=None, validator=_filled
    )
    preferred_intermediate_object_store_id: str | None = field(
        default=None, validator=_filled
    )
    resource_params: Parameters = field(factory=dict, hash=False)

    def __attrs_post_init__(self) -> None:
        if self.preferred_object_store_id is not None and (
            self.preferred_outputs_object_store_id is not None
            or self.preferred_intermediate_object_store_id is not None
        ):
            raise InvalidValue(
                "preferred_object_store_id cannot be combined with "
                "preferred_outputs_object_store_id or "
                "preferred_intermediate_object_store_id."
            )
