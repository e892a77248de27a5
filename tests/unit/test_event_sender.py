"""Events over HTTP: to checked addresses alone, whatever receivers do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from galaxy_jobs.adapters.event_sender import HttpEventSender, addresses
from galaxy_jobs.domain import WebhookPolicy
from galaxy_jobs.domain.errors import (
    InvalidValue,
    ReceiverNotAllowed,
    ReceiverUnavailable,
)
from tests.support.receiver import Receiver, raw, receiver


INSIDE = WebhookPolicy(allow_http=True, allowed_networks=["127.0.0.0/8"])
PUBLIC = "93.184.215.14"


def found(*ips: str) -> Callable[[str, int], Sequence[Any]]:
    """Return a look-up with these results, one after the other."""
    left = list(ips)

    def resolve(_: str, port: int) -> Sequence[Any]:
        ip = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (ip, port))]

    return resolve


def send(sender: HttpEventSender, url: str, body: bytes = b"{}") -> int:
    with sender.session(url) as session:
        return session(body, {"webhook-id": "1"})


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def test_events_are_sent_on_one_connection(target: Receiver) -> None:
    sender = HttpEventSender(INSIDE)
    with sender.session(target.url) as session:
        statuses = [session(b"%d" % n, {"webhook-id": str(n)}) for n in range(3)]
    assert statuses == [204] * 3
    assert [each.body for each in target.received] == [b"0", b"1", b"2"]
    assert [each.headers["webhook-id"] for each in target.received] == ["0", "1", "2"]
    assert {each.path for each in target.received} == {"/events?a=b"}
    assert target.connections == 1


def test_a_connection_that_was_closed_is_replaced(target: Receiver) -> None:
    target.answer = raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", close=True)
    with HttpEventSender(INSIDE).session(target.url) as session:
        assert [session(b"{}", {}), session(b"{}", {})] == [200, 200]
    assert target.connections == 2


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.1",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::7f00:1]",
        # As the look-up reads them: 127.0.0.1 and 10.0.0.1 in other spellings.
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "012.0.0.1",
        "localhost",
    ],
)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    sender = HttpEventSender()
    url = f"https://{host}/events"
    with pytest.raises(ReceiverNotAllowed):
        sender.check(url)
    with pytest.raises(ReceiverNotAllowed):
        send(sender, url)


@pytest.mark.parametrize("ip", ["10.9.9.9", "::ffff:127.0.0.1", "fe80::1%1"])
def test_a_name_that_resolves_to_one_on_the_second_look_is_refused(ip: str) -> None:
    sender = HttpEventSender(resolve=found(PUBLIC, ip))
    url = "https://rebound.example/"
    sender.check(url)
    with pytest.raises(ReceiverNotAllowed):
        send(sender, url)


def test_all_addresses_of_a_name_are_checked() -> None:
    both = [*found(PUBLIC)("", 443), *found("10.0.0.1")("", 443)]
    sender = HttpEventSender(resolve=lambda *_: both)
    with pytest.raises(ReceiverNotAllowed):
        sender.check("https://both.example/")


def test_the_address_that_was_checked_is_connected_to(
    target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def resolve(host: str, port: int) -> Sequence[Any]:
        looks.append(host)
        return addresses("127.0.0.1", port)

    sender = HttpEventSender(INSIDE, resolve=resolve)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("again"))
    monkeypatch.setattr(
        "galaxy_jobs.adapters.event_sender.addresses",
        lambda *_: pytest.fail("again"),
    )

    def numeric(host: str, port: int) -> Sequence[Any]:
        looks.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    sender = HttpEventSender(INSIDE, resolve=numeric)
    url = target.url.replace("127.0.0.1", "receiver.example")
    assert send(sender, url) == 204
    assert looks == ["receiver.example"]
    port = url.split(":")[2].split("/")[0]
    assert target.received[0].headers["host"] == f"receiver.example:{port}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://exa mple.org/",
        "https://example.org/\r\nX: y",
        "https://example.org\\@10.0.0.1/",
        "https://user:pass@example.org/",
        "https://user@example.org/",
        "https://example.org/#part",
        "https://[::1/",
        "https://example.org/" + "a" * 3000,
        "https://exämple.org/",
    ],
)
def test_malformed_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        HttpEventSender(resolve=found(PUBLIC)).check(url)
    assert ":pass" not in str(refused.value)


def test_http_is_refused_unless_a_setting_allows_it() -> None:
    sender = HttpEventSender(resolve=found(PUBLIC))
    with pytest.raises(ReceiverNotAllowed, match="https"):
        sender.check("http://example.org/")
    allowing = HttpEventSender(WebhookPolicy(allow_http=True), resolve=found(PUBLIC))
    allowing.check("http://example.org/")


def test_networks_can_be_allowed() -> None:
    policy = WebhookPolicy(allowed_networks=["10.0.0.0/8", "fd00::/8"])
    for ip in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        HttpEventSender(policy, resolve=found(ip)).check("https://inside.example/")
    with pytest.raises(ReceiverNotAllowed):
        HttpEventSender(policy, resolve=found("192.168.0.1")).check(
            "https://x.example/"
        )
    with pytest.raises(InvalidValue, match="allowed_networks"):
        WebhookPolicy(allowed_networks=["10.0.0.1/8"])


def test_a_name_that_cannot_be_resolved_is_no_receiver() -> None:
    def unknown(*_: object) -> Sequence[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    sender = HttpEventSender(resolve=unknown)
    sender.check("https://later.example/")
    with pytest.raises(ReceiverUnavailable, match="cannot be resolved"):
        send(sender, "https://later.example/")


def test_redirects_are_not_followed(target: Receiver) -> None:
    with receiver() as elsewhere:
        target.answer = raw(
            f"HTTP/1.1 307 Away\r\nLocation: {elsewhere.url}\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        assert send(HttpEventSender(INSIDE), target.url) == 307
        assert not elsewhere.received


def drip(handler: Any) -> None:
    for character in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
        handler.wfile.write(bytes([character]))
        time.sleep(0.05)


def until_it_is_left(handler: Any) -> None:
    handler.connection.settimeout(20)
    handler.connection.recv(1)


def never_close(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    handler.wfile.flush()
    until_it_is_left(handler)


@pytest.mark.parametrize("answer", [drip, until_it_is_left])
def test_an_answer_that_takes_too_long_is_given_up(
    target: Receiver, answer: Callable[[Any], None]
) -> None:
    target.answer = answer
    began = time.monotonic()
    with pytest.raises(ReceiverUnavailable, match=r"within 0\.3 s"):
        send(HttpEventSender(INSIDE, timeout=0.3), target.url)
    assert time.monotonic() - began < 10


def test_the_status_of_an_answer_without_an_end_counts(target: Receiver) -> None:
    target.answer = never_close
    began = time.monotonic()
    sender = HttpEventSender(INSIDE, timeout=1)
    assert send(sender, target.url) == 200
    assert time.monotonic() - began < 10


def test_an_answer_just_in_time_counts(target: Receiver) -> None:
    def late(handler: Any) -> None:
        time.sleep(0.25)
        raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(handler)

    target.answer = late
    assert send(HttpEventSender(INSIDE), target.url) == 200


def test_no_more_is_read_than_64_kib(target: Receiver) -> None:
    sent: list[int] = []

    def endless(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent.append(handler.connection.send(b"x" * 2**16))

    target.answer = endless
    began = time.monotonic()
    assert send(HttpEventSender(INSIDE), target.url) == 200
    assert time.monotonic() - began < 8

    target.answer = raw("HTTP/1.1 200 OK\r\n" + "X-A: aaaaaaaaaaaaaaaaaaaa\r\n" * 5000)
    with pytest.raises(ReceiverUnavailable):
        send(HttpEventSender(INSIDE), target.url)
    target.answer = raw("HTTP/1.1 100 Continue\r\n\r\n" * 10_000)
    with pytest.raises(ReceiverUnavailable):
        send(HttpEventSender(INSIDE), target.url)


@pytest.mark.parametrize("text", ["", "no http\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\0"])
def test_garbage_is_no_answer(target: Receiver, text: str) -> None:
    target.answer = raw(text, close=True)
    with pytest.raises(ReceiverUnavailable):
        send(HttpEventSender(INSIDE), target.url)


def test_a_look_up_that_hangs_is_given_up() -> None:
    blocked = threading.Event()

    def hang(*_: object) -> Sequence[Any]:
        blocked.wait(20)
        return []

    began = time.monotonic()
    with pytest.raises(ReceiverUnavailable):
        send(HttpEventSender(resolve=hang, timeout=0.2), "https://slow.example/")
    blocked.set()
    assert time.monotonic() - began < 10


def test_the_certificate_has_to_be_that_of_the_name(target: Receiver) -> None:
    url = target.url.replace("http:", "https:")
    with pytest.raises(ReceiverUnavailable, match="TLS"):
        send(HttpEventSender(INSIDE), url)
