"""Answers against JSON Schemas, also those of people who mean harm."""

import time

import pytest

from proxy.rules.conformity import Conformity, Unusable, schema_asked_for

OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("schema", "text", "fits"),
    [
        (OBJECT, '{"n": 1}', True),
        (OBJECT, '{"n": 1.5}', False),
        (OBJECT, "{}", False),
        (OBJECT, '{"n": 1', False),
        (OBJECT, "", False),
        ({"$defs": {"a": OBJECT}, "items": {"$ref": "#/$defs/a"}}, '[{"n": 1}]', True),
        ({"$defs": {"a": OBJECT}, "items": {"$ref": "#/$defs/a"}}, '[{"n": "1"}]', False),
        ({"pattern": "^a+$"}, '"aaa"', True),
        ({"pattern": "^a+$"}, '"b"', False),
        ({"patternProperties": {"^x": {"type": "integer"}}}, '{"x1": 1, "y": "z"}', True),
        ({"patternProperties": {"^x": {"type": "integer"}}}, '{"x1": "1"}', False),
    ],
)
def test_an_answer_fits_or_does_not(schema, text, fits):
    assert Conformity(schema).fits(text) is fits


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"$ref": "#"}, "{}"),
        ({"$ref": "https://example.com/never-fetched"}, "{}"),
        ({"$ref": "file:///etc/passwd"}, "{}"),
        ({"$ref": "#/$defs/none"}, "{}"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}, "1"),
        ({"$defs": {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 8} for i in range(20)} | {"a20": {}},
          "$ref": "#/$defs/a0"}, "1"),
        ({"pattern": "(?=x)"}, '"x"'),
        ({"pattern": "a{1000}{1000}"}, '"x"'),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_applied_says_so_soon(schema, text):
    began = time.thread_time()

    with pytest.raises(Unusable):
        Conformity(schema).fits(text)

    assert time.thread_time() - began < 3


def test_a_pattern_that_would_hang_another_engine_does_not():
    assert Conformity({"pattern": "^(a+)+$"}).fits('"' + "a" * 50_000 + 'b"') is False


@pytest.mark.parametrize("schema", [{"type": "odd"}, {"required": 1}, {"properties": []}])
def test_what_is_no_schema_is_refused(schema):
    with pytest.raises(Unusable):
        Conformity(schema)


@pytest.mark.parametrize(
    ("body", "schema"),
    [
        ({}, None),
        ({"response_format": "json"}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, {"type": "object"}),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": OBJECT}}}, OBJECT),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": OBJECT}}}, OBJECT),
        ({"response_format": {"type": "json_schema", "json_schema": 7}}, None),
    ],
)
def test_the_schema_that_a_request_asks_for(body, schema):
    assert schema_asked_for(body) == schema
