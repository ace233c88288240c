import pytest
from conftest import walk
from svix.api import (
    EndpointHeadersIn,
    EndpointHeadersPatchIn,
    EndpointIn,
    EndpointListOptions,
    EndpointPatch,
    EndpointUpsertIn,
)
from svix.exceptions import HttpError, HTTPValidationError


def test_made_read_changed_and_deleted(svix, app, receiver):
    asked = EndpointIn(
        url=receiver.url,
        uid="till",
        description="the till",
        throttle_rate=50,
        event_types=["order.paid", "order.sent"],
        channels=["north"],
        metadata={"owner": "ann"},
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    made = svix.endpoint.create(app.id, asked)
    assert made.id.startswith("ep_")
    for name in ("url", "uid", "description", "throttle_rate", "event_types", "channels", "metadata"):
        assert getattr(made, name) == getattr(asked, name), name
    assert made.disabled is False
    assert svix.endpoint.get(app.id, made.id) == made
    assert svix.endpoint.get(app.uid, "till") == made
    assert svix.endpoint.get_secret(app.id, "till").key == asked.secret

    patched = svix.endpoint.patch(app.id, "till", EndpointPatch(disabled=True, channels=None))
    assert (patched.disabled, patched.channels, patched.throttle_rate) == (True, None, 50)
    replaced = svix.endpoint.upsert(app.id, "till", EndpointUpsertIn(url=receiver.url, uid="till"))
    assert (replaced.id, replaced.disabled, replaced.throttle_rate) == (made.id, False, None)
    assert svix.endpoint.get_secret(app.id, "till").key == asked.secret
    created = svix.endpoint.upsert(app.id, "new", EndpointUpsertIn(url=receiver.url, uid="new"))
    assert created.id != made.id

    svix.endpoint.delete(app.id, "till")
    with pytest.raises(HttpError) as refused:
        svix.endpoint.get(app.id, made.id)
    assert (refused.value.status_code, refused.value.code) == (404, "not_found")


def test_a_list_is_walked_both_ways(svix, app, receiver):
    made = [svix.endpoint.create(app.id, EndpointIn(url=receiver.url)).id for _ in range(5)]
    walk(lambda iterator: svix.endpoint.list(app.id, EndpointListOptions(limit=2, iterator=iterator)), made)


def test_headers_go_along_and_credentials_are_not_shown_again(svix, app, endpoint, receiver, send):
    headers = {"x-shop": "7", "x-city": "Ulm", "authorization": "Bearer open-sesame"}
    svix.endpoint.set_headers(app.id, endpoint.id, EndpointHeadersIn(headers=headers))
    shown = svix.endpoint.get_headers(app.id, endpoint.id)
    assert (shown.headers, shown.sensitive) == ({"x-shop": "7", "x-city": "Ulm"}, ["authorization"])
    patch = EndpointHeadersPatchIn(headers={"x-till": "2"}, delete_headers=["x-city"])
    svix.endpoint.patch_headers(app.id, endpoint.id, patch)
    assert svix.endpoint.get_headers(app.id, endpoint.id).headers == {"x-shop": "7", "x-till": "2"}

    send()
    arrived = receiver.take().headers
    assert (arrived["x-shop"], arrived["x-till"], arrived["authorization"]) == ("7", "2", "Bearer open-sesame")
    assert "x-city" not in arrived


@pytest.mark.parametrize("name", ["webhook-id", "svix-signature", "content-length", "not a name"])
def test_headers_that_are_ours_are_refused(svix, app, endpoint, name):
    with pytest.raises(HTTPValidationError) as refused:
        svix.endpoint.set_headers(app.id, endpoint.id, EndpointHeadersIn(headers={name: "mine"}))
    assert refused.value.detail[0].loc[:2] == ["body", "headers"]


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "ftp://example.com/", "nonsense", ""])
def test_a_url_that_can_never_be_reached_is_refused(svix, app, url):
    with pytest.raises(HTTPValidationError) as refused:
        svix.endpoint.create(app.id, EndpointIn(url=url))
    assert refused.value.detail[0].loc == ["body", "url"]
