"""The two contracts of the App Framework's templates that programs derive their own from, as plain data."""

from __future__ import annotations

from application_sdk.contracts.base import Input, Output
from application_sdk.contracts.connections import ConnectionRef, PublishInputMixin
from application_sdk.contracts.types import CredentialRef
from application_sdk.credentials.spec import AgentCredentialSpec


class ExtractionInput(Input):
    """What a connector is given. Filters are kept as text: nothing here reads them."""

    workflow_id: str = ""
    connection: ConnectionRef = ConnectionRef()
    credential_guid: str = ""
    credential_ref: CredentialRef | None = None
    extraction_method: str = ""
    agent_json: AgentCredentialSpec | None = None
    output_prefix: str = ""
    output_path: str = ""
    exclude_filter: str = ""
    include_filter: str = ""
    temp_table_regex: str = ""
    source_tag_prefix: str = ""


class ExtractionOutput(Output, PublishInputMixin):
    """What a connector has extracted."""

    workflow_id: str = ""
    success: bool = False
    databases_extracted: int = 0
    schemas_extracted: int = 0
    tables_extracted: int = 0
    views_extracted: int = 0
    columns_extracted: int = 0
    procedures_extracted: int = 0
    processes_extracted: int = 0
    records_uploaded: int = 0
    error: str = ""
