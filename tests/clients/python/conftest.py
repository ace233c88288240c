"""What the tests share: clients of the server that the environment names, and a receiver."""

import json
import os
import time
import urllib.request
import uuid

import pytest
from receiver import PATIENCE_S, Receiver
from svix.api import ApplicationIn, EndpointIn, MessageIn, MessageStatus, Svix, SvixOptions


@pytest.fixture(scope="session")
def svix() -> Svix:
    """Svix's own client; what fails is not tried again."""
    options = SvixOptions(server_url=os.environ["POSTRIDER_URL"], retry_schedule=[])
    return Svix(os.environ["POSTRIDER_TOKEN"], options)


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def uid() -> str:
    """A uid that is nobody else's."""
    return f"py-{uuid.uuid4()}"


@pytest.fixture
def app(svix: Svix, uid: str):
    return svix.application.create(ApplicationIn(name="a shop", uid=uid))


@pytest.fixture
def endpoint(svix: Svix, app, receiver: Receiver):
    return svix.endpoint.create(app.id, EndpointIn(url=receiver.url))


@pytest.fixture
def send(svix: Svix, app):
    """Sends a message to the application."""

    def send(event_type: str = "order.paid", **fields):
        return svix.message.create(app.id, MessageIn(event_type=event_type, payload={"n": 1}, **fields))

    return send


@pytest.fixture
def change(app):
    """Sets fields of an endpoint that Svix's client does not know."""

    def change(endpoint, **fields):
        url = f"{os.environ['POSTRIDER_URL']}/api/v1/app/{app.id}/endpoint/{endpoint.id}"
        headers = {"authorization": f"Bearer {os.environ['POSTRIDER_TOKEN']}", "content-type": "application/json"}
        request = urllib.request.Request(url, json.dumps(fields).encode(), headers, method="PATCH")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    return change


@pytest.fixture
def ended(svix: Svix, app):
    """Waits until a message has that many attempts that ended so; gives them, newest first."""

    def ended(message, count: int = 1, status: MessageStatus = MessageStatus.SUCCESS):
        def look():
            attempts = svix.message_attempt.list_by_msg(app.id, message.id).data
            found = [attempt for attempt in attempts if attempt.status == status]
            return found if len(found) >= count else None

        return until(look)

    return ended


def until(look):
    """Looks until there is something to see, for what the server shows and does not signal."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.02)
    raise TimeoutError(f"waited in vain: {look}")


def walk(page, order):
    """Walks a list to its end by `iterator`, and back by `prev_iterator`; both must show the same.

    `page` gives a page that begins at an iterator; `order` is what the whole must be.
    """
    pages, iterator = [], None
    while True:
        pages.append(page(iterator))
        if pages[-1].done:
            break
        iterator = pages[-1].iterator
        assert len(pages) <= len(order), "the list does not end"
    shown = [[member_id(member) for member in each.data] for each in pages]
    assert sum(shown, []) == order
    assert len(pages) > 2, "three pages, so that there is one in the middle"
    for at in range(len(pages) - 1, 0, -1):
        back = page(pages[at].prev_iterator)
        assert [member_id(member) for member in back.data] == shown[at - 1]


def member_id(member) -> str:
    return getattr(member, "id", None) or member.name
