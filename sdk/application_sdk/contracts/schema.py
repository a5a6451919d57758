"""JSON Schemas of contracts: what `apprun manifest` publishes and what newer versions are compared with."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from application_sdk.wire.digest import JSONObject


def schema_of(contract: type[BaseModel]) -> JSONObject:
    """The JSON Schema of what `decode` accepts as an object of `contract`. Its keys are aliases where there are any."""
    return cast("JSONObject", contract.model_json_schema(by_alias=True, mode="validation"))
