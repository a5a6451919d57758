"""Where runs under test keep their files: a folder that goes with the process."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from application_sdk.attempt.task_context import FilesPlace

if TYPE_CHECKING:
    from application_sdk.contracts.types import FileReference

_root: Path | None = None


def new_place() -> FilesPlace:
    """A store of its own for a run under test. Nothing is made before it is used."""
    import uuid

    root = _process_folder() / uuid.uuid4().hex
    return FilesPlace(url=(root / "store").as_uri(), scratch=str(root / "scratch"))


def fetched(ref: FileReference, place: FilesPlace, chain: str) -> Path:
    """What `ref` refers to, as a file or directory on this disk. Works inside and outside an event loop."""
    from application_sdk.engines.memory.attempts import NAMESPACE
    from application_sdk.storage.files import FileStorage, Place
    from application_sdk.storage.keys import Scope

    found: list[FileReference] = []
    errors: list[BaseException] = []

    def fetch() -> None:
        storage = FileStorage(Scope(NAMESPACE, "", "", chain), Place(place["url"], f"{place['scratch']}-fetched"))
        try:
            found.append(asyncio.run(storage.fetch(ref)))
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller
            errors.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return Path(found[0].local_path or "")


def _process_folder() -> Path:
    global _root
    if _root is None:
        import atexit
        import os
        import shutil
        import tempfile

        # Only a name: most tests have no files.
        _root = Path(tempfile.gettempdir(), f"apprun-test-{os.getpid()}-{os.urandom(4).hex()}")
        atexit.register(shutil.rmtree, _root, ignore_errors=True)
    return _root
