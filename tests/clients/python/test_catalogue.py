"""The catalogue: what is refused by a schema is what a validator that we did not write refuses."""

import os

import jsonschema_rs
import pytest
import requests
from openapi_spec_validator import OpenAPIV31SpecValidator
from svix.api import EventTypeIn, EventTypePatch


SCHEMAS = [
    {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 2, "multipleOf": 2}}},
    {"properties": {"a": {"enum": ["x", 1, None]}, "b": {"const": {"c": [1]}}}, "additionalProperties": False},
    {"properties": {"s": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-c]+$"}}},
    {"properties": {"l": {"prefixItems": [{"type": "string"}], "items": {"type": "number"}, "uniqueItems": True}}},
    {"anyOf": [{"required": ["n"]}, {"required": ["s"]}], "not": {"required": ["a"]}},
    {"oneOf": [{"required": ["n"]}, {"required": ["s"]}]},
    {"if": {"required": ["n"]}, "then": {"required": ["s"]}, "else": {"required": ["l"]}},
    {"$ref": "#/$defs/t", "$defs": {"t": {"properties": {"t": {"$ref": "#/$defs/t"}, "n": {"type": "number"}}}}},
    {"properties": {"l": {"contains": {"const": 1}, "minContains": 2}}, "dependentRequired": {"n": ["s"]}},
    {"allOf": [{"properties": {"n": True}}], "unevaluatedProperties": False},
    {"propertyNames": {"maxLength": 1}, "minProperties": 1},
]
PAYLOADS = [
    {},
    {"n": 2},
    {"n": 4.0},
    {"n": 3},
    {"n": "2"},
    {"a": None},
    {"a": 2},
    {"b": {"c": [1.0]}},
    {"b": {"c": [2]}},
    {"s": "ab"},
    {"s": "é"},
    {"s": "abcd"},
    {"n": 2, "s": "abc"},
    {"l": ["a", 1, 2]},
    {"l": [1, 1]},
    {"l": ["a", 1, 1.0]},
    {"t": {"t": {"n": 1}}},
    {"t": {"t": {"n": "1"}}},
    {"long": 1},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_refused_is_what_another_validator_refuses(schema, uid, app):
    server, headers = os.environ["POSTRIDER_URL"], {"authorization": f"Bearer {os.environ['POSTRIDER_TOKEN']}"}

    def post(path, body):
        return requests.post(f"{server}/api/v1{path}", json=body, headers=headers, timeout=30)

    made = post("/event-type", {"name": uid, "description": "", "schemas": {"1": schema}, "validation": "refuse"})
    assert made.status_code == 201, made.text
    validator = jsonschema_rs.Draft202012Validator(schema)
    for payload in PAYLOADS:
        answer = post(f"/app/{app.id}/msg", {"eventType": uid, "payload": payload})
        assert answer.status_code == (202 if validator.is_valid(payload) else 422), (payload, answer.text)


def test_a_document_is_imported_by_svix_client(svix, uid):
    from svix.api import EventTypeImportOpenApiIn

    post = {"description": "It came", "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}
    document = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "webhooks": {uid: {"post": post}}}
    planned = svix.event_type.import_openapi(EventTypeImportOpenApiIn(spec=document, dry_run=True))
    assert planned.data.modified == [uid]
    assert planned.data.to_modify[0].description == "It came"
    done = svix.event_type.import_openapi(EventTypeImportOpenApiIn(spec=document))
    assert done.data.modified == [uid]
    assert svix.event_type.get(uid).schemas == {"1": {"type": "object"}}


def valid(path) -> dict:
    """What is there, a document of OpenAPI 3.1."""
    headers = {"authorization": f"Bearer {os.environ['POSTRIDER_TOKEN']}"}
    answer = requests.get(f"{os.environ['POSTRIDER_URL']}/api/v1{path}", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()
    return document


def test_an_export_is_valid_openapi(svix, uid):
    # With a reference within a schema, versions, markup in a description, an archived one, and none at all.
    for number, schema in enumerate(SCHEMAS):
        svix.event_type.create(EventTypeIn(name=f"{uid}.{number}", description="*It* <came>", schemas={"1": schema}))
    svix.event_type.create(EventTypeIn(name=f"{uid}.bare", description=""))
    svix.event_type.create(EventTypeIn(name=f"{uid}.old", description="Gone", archived=True))
    two = {"1": {"type": "object"}, "2": {"type": "object", "title": "second", "examples": [{"n": 1}]}}
    svix.event_type.patch(f"{uid}.0", EventTypePatch(description="It came", schemas=two))
    webhooks = valid("/event-type/export/openapi")["webhooks"]
    assert f"{uid}.bare" in webhooks
    # It does not look into the schemas of webhooks: they say the same as those that came, references and all.
    for number, schema in enumerate([two["2"], *SCHEMAS[1:]]):
        exported = webhooks[f"{uid}.{number}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        came, went = jsonschema_rs.Draft202012Validator(schema), jsonschema_rs.Draft202012Validator(exported)
        assert [went.is_valid(payload) for payload in PAYLOADS] == [came.is_valid(payload) for payload in PAYLOADS]


def test_our_own_document_is_valid_openapi():
    assert valid("/openapi.json")["paths"]
