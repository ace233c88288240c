"""What failed of a batch is said by AWS's own library for Lambda functions, in the form that it gives to SQS."""

import json

import pytest
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from svix.api import MessageIn


def as_sqs(elements: list) -> dict:
    """A batch as a Lambda function gets one."""
    return {"Records": [{"messageId": element["id"], "body": json.dumps(element)} for element in elements]}


@pytest.mark.parametrize("format", ["payload", "cloudevents-structured"])
def test_what_powertools_names_as_failed_comes_again_alone(svix, app, endpoint, receiver, change, ended, format):
    change(endpoint, format=format, policy={"batch": {"maxMessages": 4, "maxWaitMs": 60_000}})
    refused, taken = [], []

    def take(record) -> None:
        element = json.loads(record.body)
        if element["data"]["n"] == 2 and not refused:
            refused.append(element)
            raise ValueError("it is not taken the first time")
        taken.append(element)

    def answer(arrival) -> bytes:
        # A processor for each, as the library wants it.
        processor = BatchProcessor(event_type=EventType.SQS)
        event = as_sqs(json.loads(arrival.body))
        return json.dumps(process_partial_response(event, take, processor)).encode()

    receiver.answer = answer
    sent = [svix.message.create(app.id, MessageIn(event_type="order.paid", payload={"n": n})) for n in range(4)]
    assert [element["id"] for element in json.loads(receiver.take().body)] == [message.id for message in sent]
    again = json.loads(receiver.take().body)
    assert again == refused and again[0]["id"] == sent[2].id
    for message in sent:
        ended(message)
    assert [element["data"]["n"] for element in taken] == [0, 1, 3, 2]
    attempts = [len(svix.message_attempt.list_by_msg(app.id, message.id).data) for message in sent]
    assert attempts == [1, 1, 2, 1]
