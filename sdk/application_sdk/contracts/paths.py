"""Whether a payload may name files of this disk. `contracts.codec` says it for each payload that it reads.

A path means something on the disk of the process that wrote it. One that somebody else names would have this process
read a file of that person's choice: a mounted secret, or its own token.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, TypeVar

from pydantic import ValidationInfo

Paths: TypeAlias = Literal["keep", "drop", "refuse"]
"""What becomes of paths in a payload: `keep` them where it was written on this machine, by its user; `drop` them where
another process of the same app wrote it; `refuse` the payload where anybody else did."""

CONTEXT_KEY: Final = "apprun.paths"
"""Key of the validation context under which the codec says it."""

_REFUSED: Final = (
    "A path names a file of one machine's disk, so it can't be given from outside the run. Store the file, and give a "
    "reference with its storage_path"
)


Path = TypeVar("Path", str, str | None)


def admitted(path: str | None, info: ValidationInfo) -> str | None:
    """The path that a field of a contract gets. Raises ValueError where the payload may not name one. Objects that
    code makes itself have no context, and keep theirs."""
    admitted_request(path, info)
    # guard: no-path-across-pods - the path of a file is valid on the disk of its own pod only
    return None if _rule(info) == "drop" else path


def admitted_request(path: Path, info: ValidationInfo) -> Path:
    """The same for what a route asks its upload and download for. There the path is the route's own, so that it is
    never dropped; it is refused like any other where somebody else gave it."""
    # guard: no-foreign-path - a path in an input would name a file on the disk of whoever reads it
    if path and _rule(info) == "refuse":
        raise ValueError(_REFUSED)
    return path


def _rule(info: ValidationInfo) -> Paths:
    rule: Paths = info.context.get(CONTEXT_KEY, "keep") if isinstance(info.context, dict) else "keep"
    return rule
