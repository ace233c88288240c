import pytest
from conftest import walk
from svix.api import (
    MessageAttemptListByEndpointOptions,
    MessageAttemptListByMsgOptions,
    MessageAttemptTriggerType,
    MessageStatus,
    MessageStatusText,
    StatusCodeClass,
)
from svix.exceptions import HttpError


def test_listed_by_message_and_by_endpoint(svix, app, endpoint, receiver, send, ended):
    receiver.status = 500
    message = send()
    attempts = ended(message, 3, MessageStatus.FAIL)
    assert len(attempts) == 3, "the schedule has three"
    assert attempts == sorted(attempts, key=lambda attempt: attempt.id, reverse=True), "newest first"
    for attempt in attempts:
        assert attempt.id.startswith("atmpt_")
        assert (attempt.msg_id, attempt.endpoint_id, attempt.url) == (message.id, endpoint.id, receiver.url)
        assert (attempt.response_status_code, attempt.status_text) == (500, MessageStatusText.FAIL)
        assert attempt.trigger_type == MessageAttemptTriggerType.SCHEDULED
        assert svix.message_attempt.get(app.id, message.id, attempt.id) == attempt
    ids = [attempt.id for attempt in attempts]

    def by_message(iterator):
        options = MessageAttemptListByMsgOptions(limit=1, iterator=iterator)
        return svix.message_attempt.list_by_msg(app.id, message.id, options)

    def by_endpoint(iterator):
        options = MessageAttemptListByEndpointOptions(limit=1, iterator=iterator)
        return svix.message_attempt.list_by_endpoint(app.id, endpoint.id, options)

    walk(by_message, ids)
    walk(by_endpoint, ids)


def test_filtered(svix, app, endpoint, receiver, send, ended):
    paid, sent = send("order.paid", channels=["north"]), send("order.sent")
    ended(paid), ended(sent)
    receiver.status = 404
    lost = send("order.lost")
    newest = ended(lost, 3, MessageStatus.FAIL)[0]

    def messages(**options):
        listed = svix.message_attempt.list_by_endpoint(
            app.id, endpoint.id, MessageAttemptListByEndpointOptions(**options)
        )
        return {attempt.msg_id for attempt in listed.data}

    assert messages() == {paid.id, sent.id, lost.id}
    assert messages(status=MessageStatus.SUCCESS) == {paid.id, sent.id}
    assert messages(status_code_class=StatusCodeClass.CODE4XX) == {lost.id}
    assert messages(event_types=["order.paid", "order.lost"]) == {paid.id, lost.id}
    assert messages(channel="north") == {paid.id}
    assert messages(before=newest.timestamp) >= {paid.id, sent.id}
    assert messages(after=newest.timestamp) == set()


def test_what_is_not_there_is_404(svix, app):
    with pytest.raises(HttpError) as refused:
        svix.message_attempt.list_by_msg(app.id, "msg_000000000000000000000000000")
    assert (refused.value.status_code, refused.value.code) == (404, "not_found")
