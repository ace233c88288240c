"""Filters: what is let through is what a JSONPath that we did not write (RFC 9535) selects."""

import os

import httpx
import jsonpath_rfc9535
import pytest

# What docs/filters.md refuses is not here: `$`, indices from the end, several selectors in one pair of brackets, a
# pattern that is no text. Nor are payloads that no filter looks into, numbers beyond 2^53, which Python compares
# exactly, and what stands under DIFFERING.
EXPRESSIONS = [
    # Existence, of whatever value.
    "@", "@.a", "!@.a", "@.a.b", "@['a']", '@["a b"]', "@['\\u0061']", "@['\\'']", "@.é", "@[0]", "@[7]",
    "@.*", "@[*]", "@..b", "@[0:2]", "@[1:]", "@[::2]", "@[::-1]", "@[2:1]", "@.l[1]", "@.l[7]", "@.l[0:1]",
    "@.l[*]", "@.l[1:]", "@.l[::2]", "@.l[::-1]", "@.l[2:1]", "@.l[-2:]", "@.l[:-1]", "@.l..b",
    # Comparisons, each within a kind only.
    "@ == 1", "@.a == 1", "@.a == 1.0", "@.a == 1e0", "@.a == -0", "@.a == 0", "@.a != 1", "@.a == '1'", "@.a == \"x\"",
    "@.a == true", "@.a == false", "@.a == null", "@.a != null", "@.a < 2", "@.a <= 1", "@.a > 0.5", "@.a >= 1",
    "@.a < 'y'", "@.a >= 'x'", "@.a <= true", "@.a < null", "@.a <= null", "1 < @.a", "1 == 1", "'a' < 'b'",
    # Of two values, of what is not there, of lists and objects.
    "@.a == @.b", "@.a != @.b", "@.a < @.b", "@.b && @.a <= @.b", "@.gone == @.none", "@.gone != @.none",
    "@.gone < @.none", "@.gone < 1", "@.gone <= 1", "@.gone != 1",
    "@.l == @.m", "@.l[0] == @.m[0]", "@.m && @.l <= @.m",
    # Joined.
    "@.a && @.b", "@.a || @.b", "!(@.a && @.b)", "@.a == 1 || @.b == 2 && @.l", "(@.a == 1 || @.b == 2) && @.l",
    # Within a value.
    "@.l[?@ > 1]", "@.l[?@ == 1]", "@[?@.b]", "@[?@ == 'x']", "@.l[?!@.b]", "@[?@[?@ == 1]]", "@..[?@.b == 2]",
]
FUNCTIONS = [
    "length(@) == 2", "length(@.a) == 1", "length(@.l) > 1", "length(@.gone) == length(@.none)", "length('é') == 1",
    "count(@.*) == 2", "count(@..b) >= 1", "count(@.gone) == 0", "count(@.l[?@ > 1]) == 1",
    "value(@.a) == 1", "value(@..b) == 2", "value(@.*) == @.gone", "value(@.l[0]) == 1",
    "match(@.a, 'x')", "match(@.a, 'x|y.')", "match(@.a, '.')", "match(@.a, '[^x]*')", "match(@.a, '\\\\p{L}+')",
    "search(@.a, 'x')", "search(@.a, '[a-c]x')", "search(@.a, '\\\\.')", "!search(@.a, 'x')",
    "match(value(@..b), 'b+')",
    "@.l[?match(@, 'x')]", "@.l[?length(@) == 1]", "@.l[?count(@.*) > 0]",
]
PAYLOADS = [
    {}, {"a": 1}, {"a": 1.0}, {"a": -0.0}, {"a": None}, {"a": False}, {"a": "x"}, {"a": "1"},
    {"a": "bx.y"}, {"a": "é"}, {"a": "\n"}, {"a": "\U0001f600"}, {"a": "y\u2028"}, {"a": True, "b": True},
    {"a": {"b": 2}}, {"a": 1, "b": 2}, {"a": 2, "b": 2}, {"a": "x", "b": "xx"}, {"b": "bb"}, {"a b": 1}, {"'": 1},
    {"é": 1}, {"l": []}, {"l": [1, 2]}, {"l": [1, 2], "m": [1, 2]}, {"l": [1, 2], "m": [2, 1]}, {"l": ["x", {"b": 2}]},
    {"l": {"x": 1, "y": [2]}, "m": {"y": [2], "x": 1}}, {"l": [[1], [2, 3]], "b": 2}, {"l": ["x", 1, {"b": 2}]},
    {"l": [{"b": None}]},
    {"l": [[1]]}, {"l": [1, 2, 3, 4]}, {"l": "x"}, {"l": [None]}, {"x": {"b": 2}, "y": {"b": 2}}, {"a": [1]},
    {"a": {}, "b": {}},
]


# An expression with a payload, and whether it is let through; the other reader has it the other way round.
DIFFERING = [
    ("@.gone <= @.none", {}, False),
    ("@.gone >= @.none", {}, False),
    ("@.a > true", {"a": False}, True),
    ("@.a >= true", {"a": False}, True),
    ("@.l > @.m", {"l": [1], "m": [2]}, True),
    ("@.l >= @.m", {"l": {"a": 1}, "m": {}}, True),
    ("@.l == @.m", {"l": [1, 2], "m": [1, 2.0]}, False),
]


@pytest.fixture
def let_through(app):
    """Which of these expressions, as filters, let a payload through."""
    headers = {"authorization": f"Bearer {os.environ['POSTRIDER_TOKEN']}"}
    base = f"{os.environ['POSTRIDER_URL']}/api/v1/app/{app.id}"
    with httpx.Client(base_url=base, headers=headers) as client:

        def let_through(expressions, payloads) -> list[list[bool]]:
            for number, expression in enumerate(expressions):
                fields = {"url": "http://127.0.0.1:9/", "uid": str(number), "filter": expression}
                made = client.post("/endpoint", json=fields)
                assert made.status_code == 201, (expression, made.text)
            return [of(payload, len(expressions)) for payload in payloads]

        def of(payload, count) -> list[bool]:
            answer = client.post("/msg/precheck/dry-run", json={"eventType": "order.paid", "payload": payload})
            assert answer.status_code == 200, answer.text
            matches = {each["endpointUid"]: each["matches"] for each in answer.json()["endpoints"]}
            return [matches[str(number)] for number in range(count)]

        yield let_through


def selected(expression, payload) -> bool:
    return len(jsonpath_rfc9535.find(f"$[?{expression}]", [payload])) > 0


@pytest.mark.parametrize("expressions", [EXPRESSIONS, FUNCTIONS], ids=["values", "functions"])
def test_what_is_let_through_is_what_another_reader_selects(let_through, expressions):
    differing = []
    for payload, through in zip(PAYLOADS, let_through(expressions, PAYLOADS)):
        for expression, is_through in zip(expressions, through):
            if is_through != selected(expression, payload):
                differing.append((expression, payload, is_through))
    assert differing == []


def test_what_the_documentation_calls_different_is(let_through):
    expressions, payloads, expected = zip(*DIFFERING)
    through = let_through(expressions, payloads)
    assert tuple(through[at][at] for at in range(len(DIFFERING))) == expected
    for expression, payload, is_through in DIFFERING:
        assert selected(expression, payload) != is_through, (expression, payload)
