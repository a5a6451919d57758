"""Which code a pod has been given as its app's source: the digest of the files that are mounted there.

A ConfigMap may be edited under a run. Its pods tell by this that it was, so that none works with other code than those
before it.
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
    """Of the names and contents of its files; empty when there is no such directory, as when the image has the code.

    Kubernetes mounts a ConfigMap as links into a hidden folder, so hidden names don't count.
    """
    try:
        files = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError:
        return ""
    found = hashlib.sha256()
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        found.update(f"{len(path.name.encode())}:{path.name}:{len(content)}:".encode())
        found.update(content)
    return found.hexdigest()[:DIGEST_LENGTH]
