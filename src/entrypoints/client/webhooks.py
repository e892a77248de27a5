"""The commands ``galaxy-jobs webhook``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from galaxy_jobs.entrypoints.client import output, parameters
from galaxy_jobs.entrypoints.client.answers import (
    AsJson,
    connect,
    show_answer,
)
from galaxy_jobs.entrypoints.client.options import PAGE, Id, Page, commands_of


app = commands_of(
    name="webhook", help="Have events sent to an address; needs the scope admin."
)


@app.command
def add(
    url: str,
    /,
    *,
    event: tuple[str, ...] = (),
    label: tuple[str, ...] = (),
    workflow: tuple[str, ...] = (),
    json: AsJson = False,
) -> int:
    """Make a webhook, and print its secret: once, now, and never again.

    Args:
        url: The address that events are sent to, such as https://example.org/events.
        event: Only these events, such as job.failed; may be repeated.
        label: KEY=VALUE, only of jobs with this label; may be repeated: with all.
        workflow: Only of jobs of this workflow; may be repeated.
    """
    body = {
        "url": url,
        "events": event,
        "labels": parameters.labels(label),
        "workflow_names": workflow,
    }
    return _secret(connect().post("webhooks", body=body).data, as_json=json)


@app.command(name="list")
def list_(*, page: Page = PAGE) -> int:
    """List webhooks, newest first."""
    return page.show("webhooks", table=_webhooks, empty="There are no webhooks.")


@app.command
def remove(webhook: Id, /, *, json: AsJson = False) -> int:
    """Remove a webhook: nothing is sent to it any more."""
    answer = connect().remove("webhooks", webhook)
    message = f"Webhook {output.clean(webhook)} is removed."
    return show_answer(answer, json, lambda _: message)


@app.command
def test(webhook: Id, /, *, json: AsJson = False) -> int:
    """Send a test event; `deliveries` shows what became of it."""
    answer = connect().post("webhooks", webhook, "test")
    return show_answer(answer, json, lambda it: f"Event {it['delivery_id']} is sent.")


@app.command
def rotate(webhook: Id, /, *, json: AsJson = False) -> int:
    """Make another secret, and print it once; the one before stays valid."""
    return _secret(connect().post("webhooks", webhook, "rotate").data, as_json=json)


@app.command
def deliveries(
    webhook: Id,
    /,
    *,
    state: tuple[Literal["pending", "delivered", "dead"], ...] = (),
    page: Page = PAGE,
) -> int:
    """List deliveries, newest first.

    Args:
        state: Only those in this state; may be repeated.
    """
    return page.show(
        *("webhooks", webhook, "deliveries"),
        state=state,
        table=_deliveries,
        empty="There are no such deliveries.",
    )


@app.command
def replay(
    webhook: Id,
    /,
    *deliveries: Annotated[str, Parameter(help="Their ids; all dead ones if none.")],
    json: AsJson = False,
) -> int:
    """Send deliveries again, and enable a webhook that is disabled."""
    body = {"delivery_ids": deliveries} if deliveries else None
    answer = connect().post("webhooks", webhook, "replay", body=body)
    return show_answer(
        answer,
        json,
        lambda shown: f"Deliveries that are sent again: {shown['replayed']}.",
    )


def _secret(shown: Mapping[str, Any], *, as_json: bool) -> int:
    """Print a secret alone on standard output, so that a script can take it."""
    if as_json:
        output.document(shown)
    else:
        output.line(shown["secret"])
        output.note(f"Webhook {output.clean(shown['webhook_id'])}. Keep its secret:")
        output.note("it is not shown again.")
    return 0


def _wanted(item: Mapping[str, Any]) -> str:
    labels = [f"{key}:{value}" for key, value in item["labels"].items()]
    return ", ".join([*item["events"], *labels, *item["workflow_names"]]) or "all"


_webhooks = output.listing(
    {
        "webhook": "webhook_id",
        "address": "url",
        "state": "state",
        "events": _wanted,
    },
    cut="address",
)


_deliveries = output.listing(
    {
        "delivery": "delivery_id",
        "event": "type",
        "about": "subject",
        "state": "state",
        "attempts": "attempts",
        "problem": "problem",
    },
    cut="problem",
)
