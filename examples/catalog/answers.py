"""The fields of the API server's answers that the catalog reads. They are parsed here and never passed on."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class GroupVersion(Answer):
    group_version: str
    version: str


class ApiGroup(Answer):
    name: str
    preferred_version: GroupVersion


class ApiGroupList(Answer):
    """Answer of `/apis`."""

    groups: list[ApiGroup] = []


class ApiResource(Answer):
    name: str
    kind: str
    namespaced: bool
    verbs: list[str] = []


class ApiResourceList(Answer):
    """Answer of `/apis/<group>/<version>`."""

    resources: list[ApiResource] = []


class KindOfSchema(Answer):
    group: str
    version: str
    kind: str


class Schema(Answer):
    """One schema of an OpenAPI document, with those inside it."""

    ref: str = Field(default="", alias="$ref")
    description: str = ""
    properties: dict[str, Schema] = {}
    items: Schema | None = None
    all_of: list[Schema] = []
    additional_properties: Schema | bool | None = None
    kinds: list[KindOfSchema] = Field(default=[], alias="x-kubernetes-group-version-kind")


class Components(Answer):
    schemas: dict[str, Schema] = {}


class OpenApi(Answer):
    """Answer of `/openapi/v3/apis/<group>/<version>`."""

    components: Components = Components()


class OwnerReference(Answer):
    kind: str
    name: str
    uid: str


class Metadata(Answer):
    name: str
    uid: str = ""
    """Empty for objects that the API server computes on request, such as a ComponentStatus."""
    owner_references: list[OwnerReference] = []


class Item(Answer):
    metadata: Metadata


class ListMetadata(Answer):
    continue_: str = Field(default="", alias="continue")
    remaining_item_count: int | None = None


class MetadataList(Answer):
    """One page of the objects of a kind: only their metadata."""

    metadata: ListMetadata = ListMetadata()
    items: Annotated[list[Item], BeforeValidator(lambda found: found or [])] = []
    """An empty list may come as null."""
