"""The routes of webhooks, with a real receiver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galaxy_jobs.adapters.event_sender import HttpEventSender
from galaxy_jobs.domain import Scope, WebhookPolicy
from tests.support.http_world import World, furnished, in_memory
from tests.support.receiver import Receiver, raw, receiver
from tests.support.wait import until


INSIDE = WebhookPolicy(allow_http=True, allowed_networks=["127.0.0.0/8"])
FIELDS = [
    "webhook_id",
    "url",
    "events",
    "labels",
    "workflow_names",
    "state",
    "failures",
    "owner",
    "created_at",
]


@pytest.fixture
def world() -> Iterator[World]:
    with in_memory(event_sender=HttpEventSender(INSIDE)) as opened:
        yield furnished(opened)


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def deliver(world: World) -> None:
    world.container.delivery_threads().run(until_idle=True)


def test_a_webhook_from_its_creation_to_its_end(world: World, target: Receiver) -> None:
    body = {"url": target.url, "events": ["job.queued"], "labels": {"plate": "7"}}
    answer = world.ask("POST", "/webhooks", body)
    assert answer.status_code == 201
    made = answer.json()
    assert list(made) == [*FIELDS, "secret"]
    assert made["events"] == ["job.queued"]
    (listed,) = world.get("/webhooks")["items"]
    assert listed == {name: made[name] for name in FIELDS}
    path = f"/webhooks/{made['webhook_id']}"
    test = world.ask("POST", f"{path}/test")
    assert test.status_code == 202
    deliver(world)
    event = target.received[0].verified(made["secret"])
    assert event["id"] == test.json()["delivery_id"]

    job = {"dataset_id": "reads", "workflow_name": "sort"}
    assert world.ask("POST", "/jobs", job).status_code == 201
    id_ = world.ask("POST", "/jobs", {**job, "labels": {"plate": "7"}}).json()
    deliver(world)
    assert len(target.received) == 2
    event = target.received[1].verified(made["secret"])
    assert event["subject"] == id_["invocation_id"]
    assert event["data"]["labels"] == {"plate": "7"}

    page = world.get(f"{path}/deliveries?limit=1")
    (shown,) = page["items"]
    assert (shown["state"], shown["status"]) == ("delivered", 204)
    assert shown["subject"] == id_["invocation_id"]
    (first,) = world.get(f"{path}/deliveries?limit=1&cursor={page['next_cursor']}")[
        "items"
    ]
    assert first["delivery_id"] == test.json()["delivery_id"]
    assert world.get(f"{path}/deliveries?state=dead")["items"] == []

    again = world.ask("POST", f"{path}/replay", {"delivery_ids": [event["id"]]})
    assert (again.status_code, again.json()) == (202, {"replayed": 1})
    deliver(world)
    assert target.received[2].headers["webhook-id"] == event["id"]
    assert world.ask("POST", f"{path}/replay").json() == {"replayed": 0}

    rotated = world.ask("POST", f"{path}/rotate").json()["secret"]
    world.ask("POST", f"{path}/test")
    deliver(world)
    target.received[3].verified(rotated, made["secret"])

    assert world.ask("DELETE", path).status_code == 204
    assert world.get("/webhooks")["items"] == []
    for method, route in (
        ("DELETE", path),
        ("POST", f"{path}/test"),
        ("POST", f"{path}/rotate"),
        ("POST", f"{path}/replay"),
        ("GET", f"{path}/deliveries"),
    ):
        gone = world.ask(method, route)
        assert gone.status_code == 404
        assert gone.json()["type"].endswith("webhook-not-found")


def test_the_problem_of_an_attempt_is_shown(world: World, target: Receiver) -> None:
    target.answer = raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    made = world.ask("POST", "/webhooks", {"url": target.url}).json()
    path = f"/webhooks/{made['webhook_id']}"
    world.ask("POST", f"{path}/test")
    deliver(world)
    (shown,) = world.get(f"{path}/deliveries?state=pending")["items"]
    assert (shown["status"], shown["attempts"]) == (500, 1)
    assert shown["problem"].startswith("The answer was 500")
    assert world.get("/webhooks")["items"][0]["failures"] == 1
    assert "galaxy_jobs_deliveries_pending 1.0" in world.ask("GET", "/metrics").text


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"url": "https://10.0.0.1/"}, 422, "receiver-not-allowed"),
        ({"url": "ftp://example.org/"}, 400, "malformed-request"),
        (
            {"url": "http://127.0.0.1/", "events": ["job.none"]},
            400,
            "malformed-request",
        ),
        ({"url": "http://127.0.0.1/", "labels": {"": "a"}}, 400, "malformed-request"),
        ({"url": "http://127.0.0.1/", "workflow_names": ["a" * 999]}, 400, ""),
        ({"url": "http://127.0.0.1/", "secret": "mine"}, 400, "malformed-request"),
        ({}, 400, "malformed-request"),
    ],
)
def test_refuses_what_is_wrong(
    world: World, body: dict[str, object], status: int, code: str
) -> None:
    answer = world.ask("POST", "/webhooks", body)
    assert answer.status_code == status
    assert answer.json()["type"].endswith(code)
    assert world.get("/webhooks")["items"] == []


def test_needs_the_scope_admin(world: World, target: Receiver) -> None:
    create = world.container.create_token()
    submit = world.with_token(create("submit", Scope.SUBMIT).text)
    admin = world.with_token(create("admin", Scope.ADMIN).text)
    until(lambda: world.ask("GET", "/jobs").status_code == 401, every=0.2)
    body = {"url": target.url}
    assert submit.ask("POST", "/webhooks", body).status_code == 403
    assert submit.ask("GET", "/webhooks").status_code == 403
    made = admin.ask("POST", "/webhooks", body).json()
    assert made["owner"] == "admin"
    job = {"dataset_id": "reads", "workflow_name": "sort"}
    assert admin.ask("POST", "/jobs", job).status_code == 201
