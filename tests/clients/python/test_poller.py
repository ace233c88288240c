from svix.api import EndpointIn, MessagePollerPollOptions, MessagePrecheckIn


def test_a_receiver_may_ask_instead(svix, app, send):
    sink = svix.endpoint.create(app.id, EndpointIn(url="http://127.0.0.1:9/", event_types=["order.paid"], disabled=True))
    sent = [send("order.paid" if n != 2 else "order.sent").id for n in range(5)]
    wanted = sent[:2] + sent[3:]

    def poll(iterator=None):
        options = MessagePollerPollOptions(limit=3, iterator=iterator)
        return svix.message.poller.poll(app.id, sink.id, options)

    first = poll()
    second = poll(first.iterator)
    assert [message.id for message in first.data + second.data] == wanted, "oldest first"
    assert (first.done, second.done) == (False, True)
    assert first.data[0].payload == {"n": 1}
    assert poll(second.iterator).data == []
    later = send("order.paid")
    assert [message.id for message in poll(second.iterator).data] == [later.id]


def test_a_precheck_tells_whether_anybody_asked_for_it(svix, app, receiver):
    svix.endpoint.create(app.id, EndpointIn(url=receiver.url, event_types=["order.paid"], channels=["north"]))

    def active(**fields):
        return svix.message.precheck(app.id, MessagePrecheckIn(**fields)).active

    assert active(event_type="order.paid", channels=["north"])
    assert not active(event_type="order.paid", channels=["south"])
    assert not active(event_type="order.sent", channels=["north"])
