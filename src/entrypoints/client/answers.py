"""The answers of the service, as client commands show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import RenderableType

from galaxy_jobs.entrypoints import environment
from galaxy_jobs.entrypoints.client import output


if TYPE_CHECKING:
    from galaxy_jobs.entrypoints.client.http import Answer, Api

AsJson = Annotated[bool, Parameter(name="--json", help="Print the API's JSON instead.")]

PAGE_SIZE = 200
"""The most items of a page."""

View = Callable[[Any], RenderableType]
"""Makes what is shown of the JSON in an answer."""


def connect() -> Api:
    """Return the service that is configured."""
    from galaxy_jobs.entrypoints.client.http import Api  # noqa: PLC0415 - slow to import

    return Api(environment.read(environment.Service))


def show_answer(answer: Answer, as_json: AsJson, view: View) -> int:
    """Show an answer, and return the exit code."""
    if as_json:
        output.document(answer.data)
    else:
        output.show(view(answer.data))
    return 0


def all_items(api: Api, *path: str, **only: object) -> Iterator[Any]:
    """Yield what a resource lists, page by page."""
    cursor = None
    while True:
        page = api.get(*path, **only, limit=PAGE_SIZE, cursor=cursor).data
        yield from page["items"]
        following = page["next_cursor"]
        if following in {None, cursor}:
            return
        cursor = following


def show_items(answer: Answer, as_json: AsJson, table: View, empty: str) -> int:
    """Show the items in an answer, or the sentence that there are none."""
    items = answer.data["items"]
    show_answer(answer, as_json, lambda _: table(items) if items else empty)
    if answer.data["next_cursor"] and not as_json:
        output.note(f"There are more: add  --cursor {answer.data['next_cursor']}")
    return 0
