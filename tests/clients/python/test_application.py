import pytest
from conftest import walk
from svix.api import ApplicationIn, ApplicationListOptions, ApplicationPatch, Ordering
from svix.exceptions import HttpError, HTTPValidationError


def test_made_read_changed_and_deleted(svix, uid):
    app = ApplicationIn(name="a shop", uid=uid, throttle_rate=20, metadata={"plan": "gold"})
    made = svix.application.create(app)
    assert made.id.startswith("app_")
    assert (made.name, made.uid, made.throttle_rate, made.metadata) == ("a shop", uid, 20, {"plan": "gold"})
    assert svix.application.get(made.id) == made
    assert svix.application.get(uid) == made
    assert svix.application.get_or_create(app) == made

    patched = svix.application.patch(uid, ApplicationPatch(name="renamed"))
    assert (patched.name, patched.throttle_rate) == ("renamed", 20)
    cleared = svix.application.patch(uid, ApplicationPatch(throttle_rate=None))
    assert (cleared.name, cleared.throttle_rate) == ("renamed", None)
    replaced = svix.application.upsert(uid, ApplicationIn(name="anew", uid=uid))
    assert (replaced.id, replaced.name, replaced.metadata) == (made.id, "anew", {})
    created = svix.application.upsert(f"{uid}-2", ApplicationIn(name="another", uid=f"{uid}-2"))
    assert created.id != made.id

    svix.application.delete(uid)
    with pytest.raises(HttpError) as refused:
        svix.application.get(made.id)
    assert (refused.value.status_code, refused.value.code) == (404, "not_found")


def test_a_list_is_walked_both_ways(svix, uid):
    made = [svix.application.create(ApplicationIn(name=f"shop {n}", uid=f"{uid}-{n}")).id for n in range(5)]
    # Other tests have applications, too: newest first, until ours are through.
    newest = ApplicationListOptions(limit=5, order=Ordering.DESCENDING)
    assert [app.id for app in svix.application.list(newest).data] == made[::-1]
    everything = all_ids(svix, Ordering.ASCENDING)
    assert everything[-5:] == made
    walk(lambda iterator: svix.application.list(ApplicationListOptions(limit=2, iterator=iterator)), everything)


def all_ids(svix, order):
    ids, iterator = [], None
    while True:
        page = svix.application.list(ApplicationListOptions(limit=250, iterator=iterator, order=order))
        ids += [app.id for app in page.data]
        if page.done:
            return ids
        iterator = page.iterator


@pytest.mark.parametrize(
    ("app", "place"),
    [(ApplicationIn(name=""), "name"), (ApplicationIn(name="a", uid="with space"), "uid")],
)
def test_what_is_wrong_is_named(svix, app, place):
    with pytest.raises(HTTPValidationError) as refused:
        svix.application.create(app)
    assert refused.value.status_code == 422
    assert refused.value.detail[0].loc == ["body", place]


def test_a_uid_is_taken_once(svix, app, uid):
    with pytest.raises(HttpError) as refused:
        svix.application.create(ApplicationIn(name="another", uid=uid))
    assert (refused.value.status_code, refused.value.code) == (409, "conflict")
