import os

import pytest
from svix.api import AppPortalAccessIn, ApplicationIn, EndpointIn, Svix, SvixOptions
from svix.exceptions import HttpError


def client(token: str) -> Svix:
    return Svix(token, SvixOptions(server_url=os.environ["POSTRIDER_URL"], retry_schedule=[]))


def test_an_owner_reaches_the_own_application_only(svix, app, uid, receiver):
    access = svix.authentication.app_portal_access(app.id, AppPortalAccessIn(expiry=3600))
    assert access.url.startswith(("http://", "https://"))
    owner = client(access.token)
    endpoint = owner.endpoint.create(app.id, EndpointIn(url=receiver.url))
    assert [each.id for each in svix.endpoint.list(app.id).data] == [endpoint.id]
    assert owner.message.list(app.uid).data == []
    other = svix.application.create(ApplicationIn(name="another", uid=f"{uid}-2"))
    with pytest.raises(HttpError) as refused:
        owner.endpoint.list(other.id)
    assert (refused.value.status_code, refused.value.code) == (404, "not_found")
    with pytest.raises(HttpError) as refused:
        owner.application.delete(app.id)
    assert (refused.value.status_code, refused.value.code) == (403, "insufficient_access")
    owner.authentication.logout()


def test_access_makes_the_application(svix, uid):
    asked = AppPortalAccessIn(application=ApplicationIn(name="new", uid=uid))
    access = svix.authentication.app_portal_access(uid, asked)
    assert client(access.token).endpoint.list(uid).data == []


def test_who_has_no_token_is_told_so(svix):
    svix.health.get()
    with pytest.raises(HttpError) as refused:
        client("nonsense").application.list()
    assert (refused.value.status_code, refused.value.code) == (401, "authentication_failed")
