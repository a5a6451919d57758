"""The envelope of a credential that an agent of Atlan's resolves, as plain data: this SDK resolves
none.

Programs that declare it in their inputs can be imported, and see what they are sent.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from application_sdk.contracts.types import CredentialRef


class AgentCredentialSpec(BaseModel):
    """Where an agent would find a credential. Fields of a connector's own are declared in a
    subclass; others are left out."""

    model_config = ConfigDict(extra="ignore", frozen=True, validate_by_name=True, validate_by_alias=True)

    agent_name: str = Field(default="", alias="agent-name")
    secret_manager: str = Field(default="", alias="secret-manager")
    secret_path: str = Field(default="", alias="secret-path")
    auth_type: str = Field(default="", alias="auth-type")
    host: str = ""
    port: int = 0
    connect_by: str = Field(default="", alias="connectBy")
    agent_type: str = Field(default="", alias="agent-type")
    key_type: str = Field(default="", alias="key-type")

    def is_populated(self) -> bool:
        """Whether it names an agent."""
        return bool(self.agent_name)


@runtime_checkable
class CredentialResolvable(Protocol):
    """An input that names its credential."""

    credential_ref: CredentialRef | None
