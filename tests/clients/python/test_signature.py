"""What arrives is verified by the receiving side's libraries, which are not ours."""

import standardwebhooks
import svix.webhooks

LIBRARIES = [standardwebhooks.Webhook, svix.webhooks.Webhook]
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def is_signed_with(arrival, secret) -> bool:
    verdicts = set()
    for library in LIBRARIES:
        try:
            library(secret).verify(arrival.body, arrival.headers)
            verdicts.add(True)
        except standardwebhooks.WebhookVerificationError:
            verdicts.add(False)
    assert len(verdicts) == 1, "the libraries agree"
    return verdicts.pop()


def test_a_delivery_verifies(svix, app, endpoint, receiver, send):
    message, arrival = send(), receiver.take()
    assert arrival.headers["webhook-id"] == message.id
    assert arrival.headers["content-type"] == "application/json"
    assert not any(name.startswith("svix-") for name in arrival.headers), "not by default"
    assert is_signed_with(arrival, svix.endpoint.get_secret(app.id, endpoint.id).key)
    assert not is_signed_with(arrival, OTHER)
    arrival.body += b" "
    assert not is_signed_with(arrival, svix.endpoint.get_secret(app.id, endpoint.id).key)
