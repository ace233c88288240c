"""Where messages stand with endpoints, and the numbers of an endpoint."""

from conftest import until, walk
from svix.api import (
    EndpointGetStatsOptions,
    MessageAttemptListAttemptedDestinationsOptions,
    MessageAttemptListAttemptedMessagesOptions,
    EndpointIn,
    MessageStatus,
    MessageStatusText,
)


def test_messages_of_an_endpoint_are_walked_both_ways_and_filtered(svix, app, endpoint, receiver, send, ended):
    sent = [send("order.paid") for _ in range(3)]
    for message in sent:
        ended(message)
    receiver.status = 500
    lost = [send("order.lost", tags=["vip"]) for _ in range(2)]
    for message in lost:
        ended(message, 3, MessageStatus.FAIL)
    ids = [message.id for message in sent + lost]

    def listed(**options):
        options = MessageAttemptListAttemptedMessagesOptions(**options)
        return svix.message_attempt.list_attempted_messages(app.id, endpoint.id, options)

    walk(lambda iterator: listed(limit=2, iterator=iterator), ids[::-1])
    failed = listed(status=MessageStatus.FAIL).data
    assert [message.id for message in failed] == ids[:2:-1]
    assert {message.status_text for message in failed} == {MessageStatusText.FAIL}
    assert {message.next_attempt for message in failed} == {None}
    assert [message.id for message in listed(tag="vip").data] == ids[:2:-1]
    assert [message.id for message in listed(event_types=["order.paid"]).data] == ids[2::-1]


def test_destinations_of_a_message_are_walked_both_ways(svix, app, receiver, send, ended):
    made = [svix.endpoint.create(app.id, EndpointIn(url=receiver.url)).id for _ in range(5)]
    message = send()
    ended(message, 5)

    def listed(iterator):
        options = MessageAttemptListAttemptedDestinationsOptions(limit=2, iterator=iterator)
        return svix.message_attempt.list_attempted_destinations(app.id, message.id, options)

    everything = svix.message_attempt.list_attempted_destinations(app.id, message.id).data
    assert sorted(destination.id for destination in everything) == sorted(made)
    assert {destination.status for destination in everything} == {MessageStatus.SUCCESS}
    walk(listed, [destination.id for destination in everything])


def test_stats(svix, app, endpoint, receiver, send, ended):
    ended(send())
    receiver.status = 500
    lost = send()
    ended(lost, 3, MessageStatus.FAIL)

    def numbers():
        stats = svix.endpoint.get_stats(app.id, endpoint.id)
        return (stats.success, stats.fail) == (1, 1) and stats

    stats = until(numbers)
    assert (stats.pending, stats.sending, stats.canceled) == (0, 0, 0)
    before = EndpointGetStatsOptions(until=app.created_at)
    assert svix.endpoint.get_stats(app.id, endpoint.id, before).success == 0
