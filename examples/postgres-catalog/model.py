"""The inputs and outputs of the tasks, and their login."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from application_sdk.contracts import FileReference, Input, MaxItems, Output
from application_sdk.credentials import Credential, CredentialRef, register_credential_type

MAX_SCHEMAS = 300
"""Of one database: references to all their files go into one input, of 240 KiB at most."""


class PostgresCredential(Credential):
    """A database and who logs in there. Its fields are the keys of a Kubernetes Secret."""

    type_name = "postgres"
    public_fields = frozenset({"host", "port", "database", "username", "sslmode"})

    host: str
    port: int = 5432
    database: str = "postgres"
    username: str
    password: str
    sslmode: str = "prefer"

    @property
    def address(self) -> str:
        """The database's name among all databases."""
        return f"{self.host}:{self.port}/{self.database}"


register_credential_type("postgres", PostgresCredential)

SOURCE = CredentialRef(name="postgres", credential_type="postgres")
"""The secret that the App declares."""

SchemaNames = Annotated[list[str], MaxItems(MAX_SCHEMAS)]
Fingerprints = Annotated[dict[str, str], MaxItems(MAX_SCHEMAS)]


@dataclass(frozen=True)
class Schema:
    name: str
    relations: int
    fingerprint: str
    """Changes with whatever would be extracted."""


class CatalogInput(Input):
    source: CredentialRef = SOURCE
    schemas: SchemaNames = []
    """Empty: all schemas that the login may use."""
    full: bool = False
    """Extract unchanged schemas too."""


class Plan(Output):
    address: str
    changed: Annotated[list[Schema], MaxItems(MAX_SCHEMAS)]
    unchanged: int
    removed: SchemaNames
    marker: Fingerprints
    """What the next run compares with, once this one has handed over what changed."""


class SchemaInput(Input):
    source: CredentialRef
    schema_name: str
    relations: int


class Part(Output):
    file: FileReference
    relations: int


class AssembleInput(Input):
    plan: Plan
    files: Annotated[list[FileReference], MaxItems(MAX_SCHEMAS)]
    relations: int


class Catalog(Output):
    file: FileReference
    """NDJSON: a line for each table and view of the schemas that are new or have changed."""
    address: str
    relations: int
    extracted: SchemaNames
    unchanged: int
    removed: SchemaNames
