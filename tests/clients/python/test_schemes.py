"""What other schemes sign is verified by the libraries of their receivers, which are not ours."""

import base64
import hashlib
from types import SimpleNamespace

import pytest
import stripe
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)

OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAIR = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
COVERED = ("@method", "@authority", "@path", "@query", "content-digest", "content-type", "webhook-id")


@pytest.fixture
def key(svix, app, endpoint):
    return lambda: svix.endpoint.get_secret(app.id, endpoint.id).key


@pytest.fixture
def rotate(svix, app, endpoint):
    from svix.api import EndpointSecretRotateIn

    def rotate(key, **fields):
        svix.endpoint.rotate_secret(app.id, endpoint.id, EndpointSecretRotateIn(key=key, **fields))

    return rotate


def test_stripes_library_takes_an_event_with_each_active_secret(endpoint, receiver, send, change, key, rotate):
    change(endpoint, signature="stripe")
    old, new = key(), "whsec_another secret of mine"
    rotate(new)
    assert key() == new
    send()
    arrival = receiver.take()
    header = arrival.headers["stripe-signature"]
    for secret in [old, new]:
        assert stripe.WebhookSignature.verify_header(arrival.body.decode(), header, secret, 300)
    event = stripe.Webhook.construct_event(arrival.body, header, new)
    assert event["n"] == 1
    for body, secret in [(arrival.body, OTHER), (arrival.body + b" ", new)]:
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(body.decode(), header, secret, 300)


def key_id(text) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def verify(algorithm, text, arrival, url, body=None, **choice):
    encoded = base64.b64decode(text.partition("_")[2])
    public = Ed25519PublicKey.from_public_bytes(encoded) if algorithm is algorithms.ED25519 else encoded
    keys = MappingKeyResolver(public_keys={key_id(text): public}, private_keys={})
    request = SimpleNamespace(method="POST", url=url, headers=arrival.headers)
    verifier = HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=keys)
    return verifier.verify(request, require_components=COVERED, body=body or arrival.body, **choice)


def test_http_message_signatures_verify(endpoint, receiver, send, change, key, rotate):
    url = f"{receiver.url}?x=1&y=%20"
    change(endpoint, signature="http-message-signatures", url=url)
    send()
    arrival, shared = receiver.take(), key()
    (result,) = verify(algorithms.HMAC_SHA256, shared, arrival, url)
    assert result.body == arrival.body
    for wrong in [
        lambda: verify(algorithms.HMAC_SHA256, shared, arrival, url, b"{}"),
        lambda: verify(algorithms.HMAC_SHA256, shared, arrival, receiver.url),
        lambda: verify(algorithms.HMAC_SHA256, OTHER, arrival, url),
    ]:
        with pytest.raises(InvalidSignature):
            wrong()

    # A key pair beside the old secret: each verifies under its own label.
    rotate(PAIR)
    send()
    arrival, public = receiver.take(), key()
    for algorithm, text in [(algorithms.HMAC_SHA256, shared), (algorithms.ED25519, public)]:
        chosen = {"expect_tag": "postrider", "expect_label": f"sig-{key_id(text)}"}
        (result,) = verify(algorithm, text, arrival, url, **chosen)
        assert result.parameters["keyid"] == key_id(text)
