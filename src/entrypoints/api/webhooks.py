"""Routes of webhooks."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from litestar import Response
from litestar.params import JSONBody

from galaxy_jobs.domain import Scope, ports, use_cases
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.model.webhook import DeliveryState, WebhookId
from galaxy_jobs.entrypoints.api import cursors, parameters, schemas
from galaxy_jobs.entrypoints.api.parameters import Needs, path, query
from galaxy_jobs.entrypoints.api.routing import Routes


ROUTES = Routes("/webhooks", tags=["webhooks"], scope=Scope.ADMIN)

IdInPath: TypeAlias = Annotated[
    WebhookId, path("The webhook.", "3c8f1d52-7b0e-4a3c-9a41-0b5f7a3c2d10")
]
Manage: TypeAlias = Needs[use_cases.ManageWebhooks]


@ROUTES.post("/", "receiver-not-allowed", "quota-exceeded")
def add_webhook(
    data: JSONBody[schemas.NewWebhook], manage_webhooks: Manage, viewer: Needs[Viewer]
) -> schemas.NewSecret:
    """Make a webhook.

    The address gets the events of jobs that you see, as CloudEvents in JSON, signed as
    Standard Webhooks says with the secret in this response. It is not shown again.
    """
    webhook = manage_webhooks.add(
        viewer,
        data.url,
        events=data.events,
        labels=data.labels,
        workflow_names=data.workflow_names,
    )
    return schemas.with_secret(webhook)


@ROUTES.get("/")
def list_webhooks(
    webhooks: Needs[ports.WebhookRepository],
    viewer: Needs[Viewer],
    limit: parameters.Limit = 50,
    cursor: parameters.CursorText = None,
) -> schemas.Webhooks:
    """List webhooks, newest first.

    Without their secrets.
    """
    here = ["webhooks"]
    page = webhooks.page(viewer, limit, cursors.read(cursor, here))
    return schemas.Webhooks(
        items=[schemas.webhook(webhook) for webhook in page.items],
        next_cursor=cursors.write(page.next, here),
    )


@ROUTES.delete("/{webhook_id:str}", "webhook-not-found")
def remove_webhook(
    webhook_id: IdInPath, manage_webhooks: Manage, viewer: Needs[Viewer]
) -> None:
    """Remove a webhook.

    Nothing is sent to it any more, also of what is pending.
    """
    manage_webhooks.remove(webhook_id, viewer)


@ROUTES.post("/{webhook_id:str}/test", "webhook-not-found", status_code=202)
def test_webhook(
    webhook_id: IdInPath, manage_webhooks: Manage, viewer: Needs[Viewer]
) -> schemas.DeliveryJson:
    """Send a test event to a webhook.

    An event `webhook.test`. What became of it is in the deliveries.
    """
    return schemas.view(schemas.DeliveryJson, manage_webhooks.test(webhook_id, viewer))


@ROUTES.post("/{webhook_id:str}/rotate", "webhook-not-found", status_code=200)
def rotate_webhook(
    webhook_id: IdInPath, manage_webhooks: Manage, viewer: Needs[Viewer]
) -> schemas.NewSecret:
    """Make another secret for a webhook.

    It is in this response alone. Events are signed with it and with the one before,
    until the next rotation.
    """
    return schemas.with_secret(manage_webhooks.rotate(webhook_id, viewer))


@ROUTES.get("/{webhook_id:str}/deliveries", "webhook-not-found")
def list_deliveries(
    *,
    webhook_id: IdInPath,
    webhooks: Needs[ports.WebhookRepository],
    viewer: Needs[Viewer],
    states: Annotated[
        list[DeliveryState] | None,
        query(
            "one of pending, delivered, dead (repeat it for several)",
            ["pending", "dead"],
            name="state",
        ),
    ] = None,
    limit: parameters.Limit = 50,
    cursor: parameters.CursorText = None,
) -> schemas.Deliveries:
    """List deliveries of a webhook, newest first.

    Those that have ended are kept for some days.
    """
    wanted = ("deliveries", webhook_id, sorted(state.value for state in states or ()))
    page = webhooks.deliveries(
        webhook_id, viewer, limit, cursors.read(cursor, wanted), states=states or ()
    )
    return schemas.Deliveries(
        items=[schemas.view(schemas.DeliveryJson, delivery) for delivery in page.items],
        next_cursor=cursors.write(page.next, wanted),
    )


@ROUTES.post("/{webhook_id:str}/replay", "webhook-not-found", status_code=202)
def replay_deliveries(
    webhook_id: IdInPath,
    manage_webhooks: Manage,
    viewer: Needs[Viewer],
    data: JSONBody[schemas.ToReplay | None] = None,
) -> Response[schemas.Replayed]:
    """Send deliveries again.

    Those named, or all that are dead, and whatever waits, for a day from now on, with
    their ids. A webhook that is disabled becomes active. The body may be left out.
    """
    ids = None if data is None else data.delivery_ids
    count = manage_webhooks.replay(webhook_id, viewer, ids)
    return Response(schemas.Replayed(replayed=count), status_code=202)
