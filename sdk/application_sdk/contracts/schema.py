"""JSON Schemas of contracts: what `apprun manifest` publishes and what newer versions are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from typing_extensions import override

from application_sdk.wire.digest import JSONObject
from application_sdk.wire.names import TAKES_MORE

if TYPE_CHECKING:
    from pydantic_core import core_schema

_FIELDS: Final = "fields"


def schema_of(contract: type[BaseModel]) -> JSONObject:
    """The JSON Schema of what `decode` accepts as an object of `contract`. Its keys are aliases where there are any.

    Where the code may accept more than a schema can say, since a validator of its own comes first or a field has
    several names, it is marked `x-apprun-takes-more`: what such a schema refuses needn't be wrong.
    """
    return cast("JSONObject", contract.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator))


class _Generator(GenerateJsonSchema):
    """pydantic's, with those marks."""

    @override
    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        return _marked(super().function_before_schema(schema))

    @override
    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> JsonSchemaValue:
        return _marked(super().function_wrap_schema(schema))

    @override
    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        return _marked(super().function_plain_schema(schema))

    @override
    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        made = super().enum_schema(schema)
        return _marked(made) if schema.get("missing") is not None else made

    @override
    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        made = super().str_schema(schema)
        return _marked(made) if schema.get("coerce_numbers_to_str") else made

    @override
    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        return _marked(made) if _takes_more(schema["schema"], schema.get("config")) else made

    @override
    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        made = super().dataclass_schema(schema)
        return _marked(made) if _takes_more(schema["schema"], schema.get("config")) else made

    @override
    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        made = super().typed_dict_schema(schema)
        return _marked(made) if _takes_more(schema, schema.get("config")) else made


def _marked(schema: JsonSchemaValue) -> JsonSchemaValue:
    return {**schema, TAKES_MORE: True}


def _takes_more(schema: Any, config: Any) -> bool:
    """Whether a field of the class, whose own validators may be wrapped around its fields, has several names; or its
    texts may come as numbers."""
    if isinstance(config, dict) and config.get("coerce_numbers_to_str"):
        return True
    while isinstance(schema, dict) and _FIELDS not in schema:
        schema = schema.get("schema")
    fields = schema[_FIELDS] if isinstance(schema, dict) else {}
    return any("validation_alias" in field for field in (fields.values() if isinstance(fields, dict) else fields))
