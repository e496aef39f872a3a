"""What the service says of itself in its OpenAPI document."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from storycore_tts.entrypoints.http import create_app, inspection, schemas
from storycore_tts.entrypoints.http.openai import models, voices

from .serving import config


def test_each_operation_and_each_answer_is_described_by_example():
    document = create_app(config(Path("/nowhere"))).openapi()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["description"].endswith((".", "it.")), path
            for status, answer in operation["responses"].items():
                assert answer["description"] not in ("", "Successful Response"), (path, status)
                for kind, content in answer.get("content", {}).items():
                    assert has_example(document, kind, content), (path, status, kind)


def test_each_field_and_each_parameter_is_described():
    document = create_app(config(Path("/nowhere"))).openapi()
    fields = {
        f"{name}.{field}": schema
        for name, of in document["components"]["schemas"].items()
        for field, schema in of.get("properties", {}).items()
    }
    parameters = {
        f"{path} {parameter['name']}": parameter
        for path, methods in document["paths"].items()
        for operation in methods.values()
        for parameter in operation.get("parameters", [])
    }
    assert [name for name, it in (fields | parameters).items() if not it.get("description")] == []


def has_example(document, kind, content):
    """Sound files and event streams have none; everything else has one, here or in its schema."""
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    schema = document["components"]["schemas"].get(name, {})
    return not kind.endswith("json") or {"example", "examples"} & {*content, *schema}


@pytest.mark.parametrize("module", [inspection, schemas, models, voices])
def test_examples_are_what_they_are_examples_of(module):
    shown = 0
    for model in vars(module).values():
        if isinstance(model, type) and issubclass(model, BaseModel):
            for example in (model.model_config.get("json_schema_extra") or {}).get("examples", []):
                model.model_validate(example)
                assert set(example) <= set(model.model_fields)
                shown += 1
    assert shown
