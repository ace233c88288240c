"""Events in the formats of CloudEvents are read by their own library."""

import json

import pytest
import standardwebhooks
from cloudevents.core.bindings.http import HTTPMessage, from_http_event


@pytest.mark.parametrize("format", ["cloudevents-binary", "cloudevents-structured"])
def test_a_cloudevent_is_read(svix, app, endpoint, receiver, send, change, format):
    change(endpoint, format=format)
    message, arrival = send(), receiver.take()
    event = from_http_event(HTTPMessage(arrival.headers, arrival.body))
    assert (event.get_id(), event.get_type(), event.get_specversion()) == (message.id, "order.paid", "1.0")
    assert event.get_source() == f"/postrider/{app.id}"
    assert event.get_time() == message.timestamp
    assert event.get_datacontenttype() == "application/json"
    data = event.get_data()
    assert (data if isinstance(data, dict) else json.loads(data)) == {"n": 1}
    key = svix.endpoint.get_secret(app.id, endpoint.id).key
    standardwebhooks.Webhook(key).verify(arrival.body, arrival.headers)


def test_an_envelope_of_standard_webhooks_is_what_verifies(svix, app, endpoint, receiver, send, change):
    change(endpoint, format="standard")
    message, arrival = send(), receiver.take()
    key = svix.endpoint.get_secret(app.id, endpoint.id).key
    verified = standardwebhooks.Webhook(key).verify(arrival.body, arrival.headers)
    assert (verified["type"], verified["data"]) == ("order.paid", {"n": 1})
    assert verified["timestamp"] == message.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("format", ["cloudevents-binary", "cloudevents-structured"])
def test_elements_of_a_batch_are_cloudevents(svix, app, endpoint, receiver, send, change, format):
    change(endpoint, format=format, policy={"batch": {"maxMessages": 3, "maxWaitMs": 60_000}})
    sent = [send(event_type) for event_type in ["order.paid", "order.sent", "order.paid"]]
    arrival = receiver.take()
    assert arrival.headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    # The library reads no batches.
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    elements = [json.dumps(element).encode() for element in json.loads(arrival.body)]
    events = [from_http_event(HTTPMessage(headers, element)) for element in elements]
    assert [(event.get_id(), event.get_type()) for event in events] == [(one.id, one.event_type) for one in sent]
    assert [event.get_time() for event in events] == [one.timestamp for one in sent]
    assert {event.get_source() for event in events} == {f"/postrider/{app.id}"}
    assert all(event.get_data() == {"n": 1} for event in events)
    key = svix.endpoint.get_secret(app.id, endpoint.id).key
    standardwebhooks.Webhook(key).verify(arrival.body, arrival.headers)
