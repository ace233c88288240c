import json

import pytest
from svix.api import EndpointPatch, EventExampleIn, EventTypeIn
from svix.exceptions import HttpError


def test_an_example_goes_to_its_endpoint_only(svix, app, endpoint, receiver, uid):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "examples": [{"n": 7}, {"n": 8}]}
    svix.event_type.create(EventTypeIn(name=uid, description="x", schemas={"1": schema}))
    svix.endpoint.patch(app.id, endpoint.id, EndpointPatch(event_types=["something.else"]))
    made = svix.endpoint.send_example(app.id, endpoint.id, EventExampleIn(event_type=uid))
    assert (made.event_type, made.payload) == (uid, {"n": 7})
    arrival = receiver.take()
    assert (arrival.headers["webhook-id"], json.loads(arrival.body)) == (made.id, {"n": 7})
    second = svix.endpoint.send_example(app.id, endpoint.id, EventExampleIn(event_type=uid, example_index=1))
    assert second.payload == {"n": 8}


def test_an_endpoint_that_is_not_there_is_404(svix, app):
    with pytest.raises(HttpError) as refused:
        svix.endpoint.send_example(app.id, "none", EventExampleIn(event_type="order.paid"))
    assert (refused.value.status_code, refused.value.code) == (404, "not_found")
