"""Requests that schemathesis makes up from our OpenAPI document: no answer is an
error of the server's, and none is other than the document says."""

import os
import uuid

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from svix.api import ApplicationIn, EndpointIn, EventTypeIn, MessageIn, Svix, SvixOptions

# A server of its own: what is made up may pause or delete what other tests need.
URL = os.environ["POSTRIDER_MADE_UP_URL"]
TOKEN = os.environ["POSTRIDER_MADE_UP_TOKEN"]
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9/"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

OPERATIONS = {
    operation.ok().label: operation.ok()
    for operation in schemathesis.openapi.from_url(f"{URL}/api/v1/openapi.json").get_all_operations()
}
# What takes no input cannot be asked otherwise than it is described.
CASES = [
    pytest.param(label, mode, id=f"{label} {mode.value}")
    for label, operation in OPERATIONS.items()
    for mode in GenerationMode
    if mode == GenerationMode.POSITIVE or operation.body or any(operation.iter_parameters())
]


@pytest.fixture
def known() -> dict[str, str]:
    """Things that are there, so that not every made-up request is a 404."""
    svix = Svix(TOKEN, SvixOptions(server_url=URL, retry_schedule=[]))
    name = f"known-{uuid.uuid4()}"
    app = svix.application.create(ApplicationIn(name=name, uid=name))
    svix.event_type.create(EventTypeIn(name=name, description="known"))
    endpoint = svix.endpoint.create(app.id, EndpointIn(url=NOWHERE))
    message = svix.message.create(app.id, MessageIn(event_type=name, payload={}))
    return {"app_id": app.id, "endpoint_id": endpoint.id, "event_type_name": name, "msg_id": message.id}


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_every_answer_is_described(label, mode, known):
    @hypothesis.seed(int(os.environ["POSTRIDER_SEED"]))
    @hypothesis.settings(
        max_examples=int(os.environ["POSTRIDER_EXAMPLES"]),
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def check(case):
        # Which ones is a matter of the made-up values, so that it is the same in each run.
        for name, value in known.items():
            if name in case.path_parameters and len(str(case.path_parameters[name])) % 4 > 0:
                case.path_parameters[name] = value
        # Nothing is to be sent to hosts that are made up.
        if isinstance(case.body, dict) and isinstance(case.body.get("url"), str):
            case.body["url"] = NOWHERE
        case.call_and_validate(checks=CHECKS, headers={"authorization": f"Bearer {TOKEN}"})

    check()
