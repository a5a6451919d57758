"""The digest of the source files that are mounted into a pod.

A ConfigMap may be edited while a run uses it. Pods compare this digest with that of the run's first
driver, so all pods of a run execute the same code.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

DIGEST_LENGTH: Final = 32
CODE_CHANGED: Final = (
    "the files of spec.source aren't those that the run began with: somebody has edited or deleted the ConfigMap. Put"
    " it back as it was and the run goes on, or cancel the run and submit a new one"
)


def source_digest(directory: Path) -> str:
    """Of the names and contents of its files; empty when there is no such directory, as when the
    image has the code.

    Kubernetes mounts a ConfigMap as links into a hidden folder, so hidden names don't count.
    """
    try:
        files = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError:
        return ""
    hasher = hashlib.sha256()
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        hasher.update(f"{len(path.name.encode())}:{path.name}:{len(content)}:".encode())
        hasher.update(content)
    return hasher.hexdigest()[:DIGEST_LENGTH]
