"""Values that contracts are made of beside pydantic's: bounds, references to files, repositories and credentials.

User code imports them from here or from `contracts`. They only describe: moving bytes is the storage layer's work.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, ValidationInfo, field_validator

from application_sdk.contracts.base import Contract, SerializableEnum
from application_sdk.contracts.bounds import BoundedDict, BoundedList, MaxItems
from application_sdk.contracts.paths import admitted
from application_sdk.errors import MisuseError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = [
    "BoundedDict",
    "BoundedList",
    "CredentialRef",
    "FileReference",
    "GitReference",
    "Lazy",
    "MaxItems",
    "StorageTier",
]


class StorageTier(SerializableEnum):
    """How long a stored file is kept."""

    TRANSIENT = "transient"
    """Until its run is over: what one task hands to the next."""
    RETAINED = "retained"
    """With its run, until the run itself is removed."""
    PERSISTENT = "persistent"
    """Beyond runs, until somebody deletes it."""


class FileReference(Contract):
    """A file or directory that is passed by reference, so that its bytes never travel in a payload.

    A task makes one with `local_path` (or `from_local`); storing it fills in the rest.
    """

    model_config = ConfigDict(frozen=True)

    local_path: str | None = None
    """Where it lies on the disk of the pod that has it. Means nothing in another pod."""
    storage_path: str | None = None
    """Its key in the object store; for a directory that of its list of files, or the prefix of its keys."""
    is_durable: bool = False
    """Whether it is in the object store."""
    file_count: int = 1
    """Number of files: 1, or those under the directory."""
    tier: StorageTier = StorageTier.TRANSIENT
    auto_materialize: bool = True
    """Whether it is stored and fetched without being asked. False leaves both to the app."""
    sha256: str | None = None
    """Digest of the content, 64 hexadecimal digits, once it is known."""
    size_bytes: int | None = None
    """Size of the content in bytes, once it is known."""
    name: str | None = None
    """The file's own name: under it another pod finds it. None leaves it to `local_path`."""
    content_type: str | None = None
    """Media type of the content, once it is known; guessed from the name unless it is given."""

    @field_validator("local_path")
    @classmethod
    def _is_of_this_disk(cls, path: str | None, info: ValidationInfo) -> str | None:
        return admitted(path, info)

    @property
    def path(self) -> Path:
        """`local_path` as a Path. Raises MisuseError when the file isn't on this disk."""
        if self.local_path is None:
            raise MisuseError(
                f"the file {self.name or self.storage_path!r} isn't on this disk: that is so in a task that has it in "
                "its input, and after self.download()"
            )
        return Path(self.local_path)

    @staticmethod
    def from_local(path: str | Path, *, tier: StorageTier = StorageTier.TRANSIENT) -> FileReference:
        """A reference to a file or directory on this pod's disk; what isn't there yet counts as one file."""
        place = Path(path)
        count = sum(1 for item in place.rglob("*") if item.is_file()) if place.is_dir() else 1
        return FileReference(local_path=str(place), file_count=count, tier=tier)


class Lazy:
    """`Annotated[FileReference | None, Lazy()]`: a stored file in this field isn't fetched before the task begins. The
    task downloads it when it needs it, with `self.download(DownloadInput(ref=…))`."""

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core.core_schema import no_info_after_validator_function

        return no_info_after_validator_function(_left_where_it_is, handler(source))


def _left_where_it_is(value: object) -> object:
    if isinstance(value, FileReference) and value.storage_path is not None:
        return value.model_copy(update={"auto_materialize": False})
    return value


class CredentialRef(Contract):
    """The name of a credential. Holds no secret: a task resolves it with `self.context.resolve_credential`."""

    model_config = ConfigDict(frozen=True)

    name: str = ""
    """Key in the secret store."""
    credential_type: str = ""
    """What it resolves to, such as `basic` or `api_key`."""
    store_name: str = "default"
    """Which secret store, where there are several."""


class GitReference(Contract):
    """A place in a git repository. What to check out: `commit`, else `tag`, else `branch`."""

    model_config = ConfigDict(frozen=True)

    repo_url: str
    branch: str = "main"
    path: str = ""
    tag: str = ""
    commit: str = ""
    credential: CredentialRef | None = None


if TYPE_CHECKING:
    from application_sdk.contracts.connections import ConnectionAttributes as ConnectionAttributes
    from application_sdk.contracts.connections import ConnectionRef as ConnectionRef
else:

    def __getattr__(name):
        if name in ("ConnectionAttributes", "ConnectionRef"):
            from application_sdk.contracts import connections

            return getattr(connections, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
