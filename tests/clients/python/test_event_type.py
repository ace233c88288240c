import pytest
from conftest import member_id, walk
from svix.api import EventTypeDeleteOptions, EventTypeIn, EventTypeListOptions, EventTypePatch, EventTypeUpsertIn
from svix.exceptions import HttpError


def test_made_read_changed_archived_and_expunged(svix, uid):
    schemas = {"1": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    asked = EventTypeIn(name=uid, description="an order was paid", schemas=schemas, group_name="orders")
    made = svix.event_type.create(asked)
    assert (made.name, made.description, made.schemas) == (uid, "an order was paid", schemas)
    assert (made.archived, made.deprecated, made.group_name) == (False, False, "orders")
    assert svix.event_type.get(uid) == made
    patched = svix.event_type.patch(uid, EventTypePatch(deprecated=True))
    assert (patched.deprecated, patched.description) == (True, "an order was paid")
    replaced = svix.event_type.upsert(uid, EventTypeUpsertIn(description="other"))
    assert (replaced.description, replaced.deprecated) == ("other", False)
    created = svix.event_type.upsert(f"{uid}.new", EventTypeUpsertIn(description="new"))
    assert created.name == f"{uid}.new"

    svix.event_type.delete(uid)
    assert svix.event_type.get(uid).archived
    svix.event_type.delete(uid, EventTypeDeleteOptions(expunge=True))
    with pytest.raises(HttpError) as refused:
        svix.event_type.get(uid)
    assert (refused.value.status_code, refused.value.code) == (404, "not_found")


def test_a_list_is_walked_both_ways(svix, uid):
    made = [svix.event_type.create(EventTypeIn(name=f"{uid}.{n}", description="x")).name for n in range(5)]
    options = EventTypeListOptions(limit=250, include_archived=True)
    everything = [member_id(event_type) for event_type in svix.event_type.list(options).data]
    assert [name for name in everything if name.startswith(uid)] == made

    def page(iterator):
        return svix.event_type.list(EventTypeListOptions(limit=2, iterator=iterator, include_archived=True))

    walk(page, everything)
