"""A connection of Atlan's catalog, and where its publishing looks for files: plain data, for programs that pass it on.

Nothing in this SDK reads it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from application_sdk.contracts.bounds import MaxItems

_CAMEL = ConfigDict(
    frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
)


class ConnectionAttributes(BaseModel):
    """What identifies a connection, and who administers it."""

    model_config = ConfigDict(**_CAMEL, extra="ignore")

    qualified_name: str = ""
    name: str = ""
    connector_name: str | None = None
    category: str | None = None
    admin_users: Annotated[list[str], MaxItems(1000)] = []
    admin_roles: Annotated[list[str], MaxItems(1000)] = []
    admin_groups: Annotated[list[str], MaxItems(1000)] = []


class ConnectionRef(BaseModel):
    """A connection, as Atlan writes it: `{"typeName": "Connection", "attributes": {…}}`. Other fields are left out."""

    model_config = ConfigDict(**_CAMEL, extra="ignore")

    type_name: str = "Connection"
    attributes: ConnectionAttributes = ConnectionAttributes()


class PublishInputMixin(BaseModel):
    """Fields of an input about where transformed files lie. They are passed on as they are: nothing is derived."""

    output_path: str = ""
    output_prefix: str = ""
    transformed_data_prefix: str = ""
    connection_qualified_name: str = ""
    publish_state_prefix: str = ""
    staging_data_prefix: str = ""
    current_state_prefix: str = ""
