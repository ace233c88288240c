import pytest
from conftest import until, walk
from svix.api import ApplicationIn, MessageCreateOptions, MessageGetOptions, MessageIn, MessageListOptions
from svix.exceptions import HttpError, HTTPValidationError


def test_accepted_once_delivered_and_read(svix, app, endpoint, receiver):
    asked = MessageIn(
        event_type="order.paid",
        payload={"order": 17, "city": "Köln"},
        event_id="e-17",
        channels=["north"],
        tags=["vip"],
    )
    keyed = MessageCreateOptions(with_content=True, idempotency_key="k-17")
    made = svix.message.create(app.id, asked, keyed)
    assert made.id.startswith("msg_")
    for name in ("event_type", "payload", "event_id", "channels", "tags"):
        assert getattr(made, name) == getattr(asked, name), name
    assert svix.message.create(app.id, asked, keyed) == made
    with pytest.raises(HttpError) as refused:
        svix.message.create(app.id, asked)
    assert (refused.value.status_code, refused.value.code) == (409, "conflict")
    other = MessageIn(event_type="order.paid", payload={"order": 18})
    with pytest.raises(HTTPValidationError) as refused:
        svix.message.create(app.id, other, keyed)
    assert refused.value.detail[0].loc == ["header", "idempotency-key"]

    assert receiver.take().headers["webhook-id"] == made.id
    assert svix.message.get(app.id, made.id, MessageGetOptions(with_content=True)) == made
    assert svix.message.get(app.id, "e-17", MessageGetOptions(with_content=False)).payload == {}


def test_it_makes_its_application(svix, uid):
    application = ApplicationIn(name="new", uid=uid)
    svix.message.create(uid, MessageIn(event_type="order.paid", payload={}, application=application))
    assert svix.application.get(uid).name == "new"


def test_a_list_is_walked_both_ways_and_filtered(svix, app):
    sent = [
        svix.message.create(
            app.id,
            MessageIn(
                event_type="order.paid" if n % 2 == 0 else "order.sent",
                payload={"n": n},
                channels=["north"] if n == 2 else None,
                tags=["vip"] if n == 3 else None,
            ),
        )
        for n in range(6)
    ]
    ids = [message.id for message in sent]
    walk(lambda iterator: svix.message.list(app.id, MessageListOptions(limit=2, iterator=iterator)), ids[::-1])

    def listed(**options):
        return [message.id for message in svix.message.list(app.id, MessageListOptions(**options)).data]

    assert listed(event_types=["order.paid"]) == ids[4::-2]
    assert listed(event_types=["order.paid", "order.sent"]) == ids[::-1]
    assert listed(channel="north") == [ids[2]]
    assert listed(tag="vip") == [ids[3]]
    # Several may have come within the millisecond.
    times = {message.id: message.timestamp for message in sent}
    assert listed(before=times[ids[3]]) == [id for id in ids[::-1] if times[id] < times[ids[3]]]
    assert listed(after=times[ids[3]]) == [id for id in ids[::-1] if times[id] > times[ids[3]]]
    whole = svix.message.list(app.id, MessageListOptions(with_content=True)).data
    assert [message.payload for message in whole] == [{"n": n} for n in range(5, -1, -1)]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"event_type": ""}, ["body", "eventType"]),
        ({"event_type": "with space"}, ["body", "eventType"]),
        ({"deliver_at": "2100-01-01T00:00:00Z"}, ["body", "deliverAt"]),
        ({"transformations_params": {"url": "http://example.com/"}}, ["body", "transformationsParams"]),
    ],
)
def test_what_is_wrong_is_named(svix, app, fields, place):
    with pytest.raises(HTTPValidationError) as refused:
        svix.message.create(app.id, MessageIn(**{"event_type": "order.paid", "payload": {}} | fields))
    assert refused.value.detail[0].loc[:2] == place
    assert until(lambda: svix.message.list(app.id).done)
    assert svix.message.list(app.id).data == []
